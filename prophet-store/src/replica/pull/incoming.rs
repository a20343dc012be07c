//! What comes from a source, held against what the source announced.

use std::collections::HashSet;

use futures_lite::StreamExt as _;

use super::Plan;
use crate::changeset::Changeset;
use crate::error::Error;
use crate::id::Digest;
use crate::replica::Streamed;
use crate::source::{ChangesetSource, Offer};
use crate::vector::VersionVector;

/// A batch ends with so many bytes, whatever the number of its changesets.
const BATCH_BYTES: usize = 4 << 20;
/// So many changesets may a source give beyond twice what it announced.
pub(super) const REPEATED: u64 = 10_000;

/// The changesets of a source, a batch at a time, up to its first failure.
pub(super) struct Incoming<'a> {
    changesets: Streamed<'a, Changeset>,
    place: &'a str,
    announced: &'a VersionVector,
    /// The tips that have not come yet.
    lacking: HashSet<Digest>,
    /// How many may still come: no source has more changesets than the sequences of its tips say,
    /// and one that goes on repeating itself is left in the end.
    left: u64,
    batch_size: usize,
    pub(super) failure: Option<Error>,
    ended: bool,
}

impl<'a> Incoming<'a> {
    pub(super) fn of(
        source: &'a dyn ChangesetSource,
        offer: &'a Offer,
        plan: &'a Plan,
        batch_size: usize,
    ) -> Self {
        Self {
            changesets: source.changesets(offer, &plan.known),
            place: &offer.place,
            announced: &offer.seen,
            lacking: plan.lacking.clone(),
            left: offer.seen.tips().flat_map(|(_, tips)| tips).fold(REPEATED, |most, tip| {
                most.saturating_add(tip.sequence.get().saturating_mul(2))
            }),
            batch_size,
            failure: None,
            ended: false,
        }
    }

    /// Whether all that the source announced has come: whatever it goes on to give is left.
    pub(super) fn has_all(&self) -> bool {
        self.lacking.is_empty()
    }

    pub(super) async fn next(&mut self) -> Option<Vec<Changeset>> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while !self.ended && !self.has_all() && batch.len() < self.batch_size && bytes < BATCH_BYTES
        {
            match self.changesets.next().await {
                Some(Ok(changeset)) => match self.contradiction(&changeset) {
                    None => {
                        bytes += changeset.payload_bytes().len();
                        self.lacking.remove(&changeset.digest());
                        batch.push(changeset);
                    }
                    Some(why) => {
                        self.fail(Error::bad_changeset(self.place, changeset.digest(), why))
                    }
                },
                Some(Err(error)) => self.fail(error),
                None => self.ended = true,
            }
        }
        (!batch.is_empty()).then_some(batch)
    }

    fn fail(&mut self, error: Error) {
        self.failure = Some(error);
        self.ended = true;
    }

    /// What speaks against what a source announced: more than there is, or at the place of the only
    /// tip of an origin another changeset.
    fn contradiction(&mut self, changeset: &Changeset) -> Option<String> {
        let header = changeset.header();
        self.left = match self.left.checked_sub(1) {
            Some(left) => left,
            None => return Some("the source gives far more than it announced".to_owned()),
        };
        let [tip] = self.announced.of(header.origin) else { return None };
        let other = tip.sequence == header.sequence && tip.digest != changeset.digest();
        other.then(|| {
            format!(
                "it is number {} of replica {}, which the source announced as {}",
                header.sequence, header.origin, tip.digest
            )
        })
    }
}
