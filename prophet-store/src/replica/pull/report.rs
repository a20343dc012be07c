//! What a pull did.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::ReplicaId;
use crate::replica::receive::{Fork, Received};
use crate::source::Offer;

/// What a pull did. It may be sent to whoever asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PullReport {
    /// The replica that was pulled from.
    pub source: ReplicaId,
    /// Where it is.
    pub place: String,
    /// Changesets integrated.
    pub integrated: u64,
    /// Changesets that the source gave although they were here already.
    pub already_seen: u64,
    /// Bytes of the payloads integrated.
    pub bytes: u64,
    /// Conflicts that the pull brought: the sum of the next three.
    pub conflicts: u64,
    /// Those that a majority of votes decides.
    pub by_majority: u64,
    /// Those that were decided because the merger asked for it: by a side or by a resolver.
    pub by_policy: u64,
    /// Those left open.
    pub open: u64,
    /// Replicas that were found to have been copied and written to on both sides.
    pub forks: Vec<Fork>,
}

impl PullReport {
    /// Of a pull that found nothing new in what a source offers.
    pub fn of(offer: &Offer) -> Self {
        Self {
            source: offer.replica,
            place: offer.place.clone(),
            integrated: 0,
            already_seen: 0,
            bytes: 0,
            conflicts: 0,
            by_majority: 0,
            by_policy: 0,
            open: 0,
            forks: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, received: Received) {
        self.integrated += received.integrated;
        self.already_seen += received.seen;
        self.bytes += received.bytes;
        self.forks.extend(received.forks);
    }
}

/// In a sentence or a few, for people.
impl fmt::Display for PullReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, integrated, conflicts, by_majority, by_policy, open, .. } = self;
        match integrated {
            0 => write!(f, "nothing new from {place}")?,
            1 => write!(f, "1 changeset from {place}")?,
            _ => write!(f, "{integrated} changesets from {place}")?,
        }
        if *conflicts > 0 {
            let plural = if *conflicts == 1 { "" } else { "s" };
            write!(
                f,
                "; {conflicts} conflict{plural}: {by_majority} settled by majority, {by_policy} \
                 decided here, {open} left open"
            )?;
        }
        self.forks.iter().try_for_each(|fork| write!(f, "; {fork}"))
    }
}
