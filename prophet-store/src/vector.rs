//! Version vectors: what a replica has seen.

use std::collections::BTreeMap;

use crate::changeset::Header;
use crate::codec;
use crate::id::{Digest, ReplicaId, Sequence};

/// The last changeset seen of one branch of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs, reason = "the fields of a tip are fixed by the format")]
pub struct Tip {
    /// Its place among what the origin authored.
    pub sequence: Sequence,
    /// Its identity.
    pub digest: Digest,
}

/// What has been seen: for each origin its tips, one unless the origin was forked.
///
/// Sequences have no gaps, so a tip stands for everything that its chain leads back to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionVector {
    tips: BTreeMap<ReplicaId, Vec<Tip>>,
}

/// A changeset that does not follow anything seen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "changeset {sequence} of {origin} does not follow anything seen: its previous one is missing"
)]
#[non_exhaustive]
pub struct Gap {
    /// The replica that authored it.
    pub origin: ReplicaId,
    /// Its place among what that replica authored.
    pub sequence: Sequence,
}

impl VersionVector {
    /// Nothing seen.
    pub const fn new() -> Self {
        Self { tips: BTreeMap::new() }
    }

    pub(crate) const fn from_tips(tips: BTreeMap<ReplicaId, Vec<Tip>>) -> Self {
        Self { tips }
    }

    /// The tips of every origin seen, in order of the origins; those of one in rising order.
    pub fn tips(&self) -> impl ExactSizeIterator<Item = (ReplicaId, &[Tip])> {
        self.tips.iter().map(|(origin, tips)| (*origin, tips.as_slice()))
    }

    /// The tips of one origin: empty if nothing of it was seen.
    pub fn of(&self, origin: ReplicaId) -> &[Tip] {
        self.tips.get(&origin).map_or(&[], Vec::as_slice)
    }

    /// The digest of the whole vector: equal vectors have equal digests.
    pub fn digest(&self) -> Digest {
        Digest::of(&codec::encode_vector(self))
    }

    /// Notes that a changeset was seen, for the first time.
    ///
    /// It follows a tip, or it begins a branch: then its previous one was seen but is no tip any
    /// more. That cannot be told from the tips alone and is for the caller to know.
    ///
    /// # Errors
    /// A changeset beyond every tip that follows none of them leaves a gap and is refused.
    pub fn advance(&mut self, header: &Header, digest: Digest) -> Result<(), Gap> {
        let Header { origin, sequence, .. } = *header;
        let tip = Tip { sequence, digest };
        let known = self.of(origin);
        let followed = header.previous.and_then(|previous| {
            known.iter().position(|tip| tip.digest == previous && tip.sequence.next() == sequence)
        });
        let beyond = known.last().is_none_or(|last| last.sequence < sequence);
        if followed.is_none() && beyond && sequence != Sequence::FIRST {
            return Err(Gap { origin, sequence });
        }
        let tips = self.tips.entry(origin).or_default();
        if let Some(index) = followed {
            tips.remove(index);
        }
        if let Err(place) = tips.binary_search(&tip) {
            tips.insert(place, tip);
        }
        Ok(())
    }
}
