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

    pub(crate) fn of_origin(origin: ReplicaId, mut tips: Vec<Tip>) -> Self {
        tips.sort_unstable();
        tips.dedup();
        let tips = if tips.is_empty() { BTreeMap::new() } else { BTreeMap::from([(origin, tips)]) };
        Self { tips }
    }

    /// Takes in the tips of origins that it does not have yet.
    pub(crate) fn extend(&mut self, other: Self) {
        self.tips.extend(other.tips);
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.tips.is_empty()
    }

    /// Whether one of the tips of `origin` is this changeset.
    pub fn has_tip(&self, origin: ReplicaId, digest: Digest) -> bool {
        self.of(origin).iter().any(|tip| tip.digest == digest)
    }

    /// Whether a changeset follows a tip, or is the first of its origin that was seen.
    pub(crate) fn is_followed_by(&self, header: &Header) -> bool {
        let known = self.of(header.origin);
        match header.previous {
            None => known.is_empty(),
            Some(previous) => known
                .iter()
                .any(|tip| tip.digest == previous && tip.sequence.next() == header.sequence),
        }
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
        let beyond = self.of(origin).last().is_none_or(|last| last.sequence < sequence);
        if !self.is_followed_by(header) && beyond && sequence != Sequence::FIRST {
            return Err(Gap { origin, sequence });
        }
        self.note(header, digest);
        Ok(())
    }

    /// Notes a changeset that is known to follow something seen, be it a tip or what was one: what
    /// [`advance`](Self::advance) does without looking.
    pub fn note(&mut self, header: &Header, digest: Digest) {
        if let (Some(tips), Some(previous)) = (self.tips.get_mut(&header.origin), header.previous) {
            tips.retain(|tip| tip.digest != previous);
        }
        self.put(header.origin, Tip { sequence: header.sequence, digest });
    }

    /// Puts in a tip of an origin, beside those that are there.
    pub fn put(&mut self, origin: ReplicaId, tip: Tip) {
        let tips = self.tips.entry(origin).or_default();
        if let Err(place) = tips.binary_search(&tip) {
            tips.insert(place, tip);
        }
    }
}
