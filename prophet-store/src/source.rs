//! Where changesets are pulled from.

use async_trait::async_trait;

use crate::changeset::Changeset;
use crate::error::Error;
use crate::id::{DatabaseId, ReplicaId};
use crate::replica::Streamed;
use crate::store::Head;
use crate::vector::VersionVector;

/// What [`Replica::pull`](crate::Replica::pull) pulls from: another replica, or whatever has
/// changesets of one, such as a [`Bundle`](crate::Bundle).
///
/// A source is not trusted: everything that it gives is checked before it is integrated.
#[async_trait]
pub trait ChangesetSource: Send + Sync {
    /// What the source has for whoever has seen this. A source far away sends what was seen along with
    /// its one question, so that the answer can be all there is to say; others need not look at it.
    ///
    /// # Errors
    /// What keeps the source from being read.
    async fn offer(&self, seen: &VersionVector) -> Result<Offer, Error>;

    /// The changesets of `offer`, which this source made, that `known` does not cover, in an order in
    /// which each comes after everything it builds on: that of the source's own log. Some that are
    /// covered may be among them, and some that came after the offer; whoever pulls leaves out what
    /// it has. It may be called more than once.
    ///
    /// An error ends the stream. What came before it is good.
    fn changesets(&self, offer: &Offer, known: &VersionVector) -> Streamed<'_, Changeset>;
}

/// What a [`ChangesetSource`] says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "whoever implements a source states all of it")]
pub struct Offer {
    /// The database that its changesets are of.
    pub database: DatabaseId,
    /// The replica that they come from.
    pub replica: ReplicaId,
    /// Where the source is, in words a person recognises: a path or URL.
    pub place: String,
    /// What whoever takes all that the source has will have seen: equal to one's own if neither has
    /// anything that the other lacks.
    pub seen: VersionVector,
    /// What it leaves out, and whoever pulls must have; empty if it has everything.
    pub basis: VersionVector,
    /// Where the replica is, if the source is a live one.
    pub head: Option<Head>,
}
