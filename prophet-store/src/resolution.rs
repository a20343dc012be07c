//! The resolution database: votes, found by the conflict they were cast on.

use crate::changeset::{Changeset, Vote};
use crate::id::{ConflictId, Digest, ReplicaId, Sequence};

/// A vote as the resolution database keeps it, ordered by conflict and then changeset.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the fields of a resolution are fixed by the format")]
pub struct Resolution {
    /// The changeset that carried the vote.
    pub changeset: Digest,
    /// The replica that voted.
    pub voter: ReplicaId,
    /// The place of that changeset among what the voter authored.
    pub sequence: Sequence,
    /// The vote.
    pub vote: Vote,
}

impl Resolution {
    /// The votes that `changeset` carries, as the resolution database keeps them.
    pub fn of(changeset: &Changeset) -> impl Iterator<Item = Self> {
        let header = changeset.header();
        changeset.payload().votes().iter().map(|vote| Self {
            changeset: changeset.digest(),
            voter: header.origin,
            sequence: header.sequence,
            vote: vote.clone(),
        })
    }

    /// The conflict voted on.
    pub fn conflict(&self) -> ConflictId {
        self.vote.conflict()
    }
}
