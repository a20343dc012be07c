//! Who a replica is when it authors: its id, and the ids that it went on from.
//!
//! A store keeps the identity that it was created with. A replica that finds itself forked (its
//! directory was copied, and both copies were written to) goes on under a new id, which is kept in
//! metadata and whose first changeset names the id and the tip that it continues.

use crate::error::Error;
use crate::ext::entry_of;
use crate::id::{Digest, ReplicaId, Sequence};
use crate::replica::metadata::parse;
use crate::store::{Direction, MetadataKey, OriginScan, PageLimit, ReplicaStore, StoreError};
use crate::vector::Tip;

/// The metadata key of the lineage: the id of the author, and then a line for each id that it
/// goes on from, newest first: the id, the sequence and the digest of its tip. Absent while the
/// author is the replica that the store was created as.
pub(super) const AUTHOR: &str = "sync/author";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lineage {
    /// The id under which it authors.
    pub(crate) author: ReplicaId,
    /// The ids that it goes on from, newest first, each with the tip that it had.
    pub(crate) ancestors: Vec<(ReplicaId, Tip)>,
}

impl Lineage {
    pub(crate) const fn new(author: ReplicaId) -> Self {
        Self { author, ancestors: Vec::new() }
    }

    /// The lineage that goes on from this one, at `tip`, as `author`.
    pub(super) fn continued(&self, author: ReplicaId, tip: Tip) -> Self {
        let mut ancestors = vec![(self.author, tip)];
        ancestors.extend(&self.ancestors);
        Self { author, ancestors }
    }

    /// What a replica's metadata says; `created` is the identity of its store.
    pub(super) fn decode(created: ReplicaId, value: Option<&[u8]>) -> Result<Self, Error> {
        let Some(value) = value else { return Ok(Self::new(created)) };
        let key = MetadataKey::new(AUTHOR)?;
        let text: String = parse(&key, value)?;
        let damaged = |why: &str| Error::Metadata { key: key.to_string(), why: why.to_owned() };
        let mut lines = text.lines();
        let author = lines.next().ok_or_else(|| damaged("it is empty"))?;
        let mut lineage = Self::new(parse(&key, author.as_bytes())?);
        for line in lines {
            let fields: Vec<_> = line.split(' ').collect();
            let [id, sequence, digest] = fields.as_slice() else {
                return Err(damaged("a line does not have three fields"));
            };
            let sequence = Sequence::new(parse(&key, sequence.as_bytes())?)
                .ok_or_else(|| damaged("there is no sequence number 0"))?;
            let tip = Tip { sequence, digest: parse(&key, digest.as_bytes())? };
            lineage.ancestors.push((parse(&key, id.as_bytes())?, tip));
        }
        Ok(lineage)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut text = self.author.to_string();
        for (id, Tip { sequence, digest }) in &self.ancestors {
            text.push_str(&format!("\n{id} {sequence} {digest}"));
        }
        text.into_bytes()
    }

    /// Whether changeset `digest`, number `sequence` of `origin`, is of this lineage: authored
    /// under the present id, or under an earlier one by the branch that this one goes on from.
    pub(super) async fn authored(
        &self,
        store: &dyn ReplicaStore,
        origin: ReplicaId,
        sequence: Sequence,
        digest: Digest,
    ) -> Result<bool, Error> {
        if origin == self.author {
            return Ok(true);
        }
        let Some((_, tip)) = self.ancestors.iter().find(|(ancestor, _)| *ancestor == origin) else {
            return Ok(false);
        };
        if sequence > tip.sequence {
            return Ok(false);
        }
        let scan = OriginScan {
            origin,
            after: Some((sequence, Digest::from_bytes([0; 32]))),
            direction: Direction::Forward,
            limit: PageLimit::items(2),
        };
        let at_sequence = store.scan_origin(&scan).await?.items;
        let alone = at_sequence.iter().filter(|found| found.sequence == sequence).count() == 1;
        if alone {
            // All of the branch is here, so what is alone is of it.
            return Ok(true);
        }
        let mut at = *tip;
        while at.sequence > sequence {
            let Some(previous) = previous(store, at.digest).await? else { return Ok(false) };
            at = previous;
        }
        Ok(at.digest == digest)
    }
}

/// The lineage of the replica in `store`.
pub(super) async fn lineage(store: &dyn ReplicaStore) -> Result<Lineage, Error> {
    let author = store.get_metadata(&[MetadataKey::new(AUTHOR)?]).await?.value;
    Lineage::decode(store.facts().identity.replica, author.first().and_then(Option::as_deref))
}

/// What comes before a changeset of the log in the chain of its origin.
async fn previous(store: &dyn ReplicaStore, digest: Digest) -> Result<Option<Tip>, StoreError> {
    Ok(entry_of(store, digest).await?.and_then(|entry| {
        let header = entry.changeset.header();
        let sequence = Sequence::new(header.sequence.get() - 1)?;
        Some(Tip { sequence, digest: header.previous? })
    }))
}
