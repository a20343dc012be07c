//! What a replica has seen, and what of it another one lacks.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_lite::{StreamExt as _, stream};

use crate::changeset::Changeset;
use crate::error::Error;
use crate::ext::ReplicaStoreExt as _;
use crate::id::{Digest, Position, ReplicaId, Sequence};
use crate::replica::lineage::{AUTHOR, Lineage, lineage};
use crate::replica::metadata::{SEEN, UNSETTLED, parse, take_tips};
use crate::replica::{Replica, Streamed};
use crate::source::{ChangesetSource, Offer};
use crate::store::{
    Authorship, Direction, Head, LogScan, MetadataKey, MetadataScan, OriginCursor, OriginScan,
    PageLimit, ReplicaStore,
};
use crate::vector::{Tip, VersionVector};

/// What a replica had seen at one head.
pub(crate) struct Seen {
    pub(crate) at: Head,
    pub(crate) lineage: Lineage,
    pub(crate) vector: VersionVector,
    /// The position after which conflicts came that an interrupted pull did not settle.
    pub(super) unsettled: Option<Position>,
}

/// Reads what the replica in `store` has seen. Costs as much as there are origins, however long
/// the log is.
pub(crate) async fn seen<S: ReplicaStore + ?Sized>(store: &S) -> Result<Seen, Error> {
    let keys = [MetadataKey::new(AUTHOR)?, MetadataKey::new(UNSETTLED)?];
    'read: loop {
        let noted = store.get_metadata(&keys).await?;
        let at = noted.at;
        let [author, unsettled] = noted.value.as_slice() else { continue };
        let lineage = Lineage::decode(store.facts().identity.replica, author.as_deref())?;
        let unsettled = unsettled.as_ref().map(|bytes| parse(&keys[1], bytes)).transpose()?;
        let unsettled = unsettled.map(Position::new);
        let own = store.scan_origin(&last_of(lineage.author)).await?;
        if own.at != at {
            continue;
        }
        let mut vector = VersionVector::new();
        let mut scan = MetadataScan { prefix: SEEN.to_owned(), ..MetadataScan::default() };
        loop {
            let page = store.scan_metadata(&scan).await?;
            if page.at != at {
                continue 'read;
            }
            for (key, value) in &page.items {
                take_tips(key, value, &mut vector)?;
            }
            match page.more {
                Some(more) => scan.after = Some(more),
                None => break,
            }
        }
        if let Some(Authorship { sequence, digest, .. }) = own.items.first().copied() {
            vector.put(lineage.author, Tip { sequence, digest });
        }
        return Ok(Seen { at, lineage, vector, unsettled });
    }
}

const fn last_of(origin: ReplicaId) -> OriginScan {
    OriginScan { origin, after: None, direction: Direction::Backward, limit: PageLimit::items(1) }
}

/// Where the first changeset of an origin is that comes after a sequence: where it forked there, of
/// whichever branch.
async fn first_after(
    store: &dyn ReplicaStore,
    origin: ReplicaId,
    after: Option<Sequence>,
) -> Result<Option<Position>, Error> {
    let mut after = after.map(|sequence| (sequence, Digest::from_bytes([0xff; 32])));
    let mut first: Option<Authorship> = None;
    loop {
        let direction = Direction::Forward;
        let scan = OriginScan { origin, after, direction, limit: PageLimit::items(2) };
        let page = store.scan_origin(&scan).await?;
        for found in page.items {
            match &mut first {
                Some(first) if found.sequence > first.sequence => return Ok(Some(first.position)),
                Some(first) => first.position = first.position.min(found.position),
                None => first = Some(found),
            }
        }
        match page.more {
            Some(more) => after = Some(more),
            None => return Ok(first.map(|first| first.position)),
        }
    }
}

/// Up to which sequence `known` covers everything of an origin that `store` has.
async fn covered(
    store: &dyn ReplicaStore,
    origin: ReplicaId,
    tips: &[Tip],
    known: &VersionVector,
) -> Result<Option<Sequence>, Error> {
    let digests: Vec<_> = known.of(origin).iter().map(|tip| tip.digest).collect();
    let found = store.find_changesets(&digests).await?.value;
    let here = known.of(origin).iter().zip(found).filter(|(_, found)| found.is_some());
    let known = here.map(|(tip, _)| tip.sequence).max();
    let fork = match tips.len() {
        0 | 1 => None,
        _ => Some(last_before_fork(store, origin).await?),
    };
    Ok(match (known, fork) {
        // Which of the branches beyond are covered, only a walk along each would tell.
        (Some(known), Some(fork)) => fork.map(|fork| fork.min(known)),
        (known, _) => known,
    })
}

/// The last changeset of a forked origin that all its branches share.
async fn last_before_fork(
    store: &dyn ReplicaStore,
    origin: ReplicaId,
) -> Result<Option<Sequence>, Error> {
    let mut after: Option<OriginCursor> = None;
    let (mut last, mut shared) = (None, None);
    loop {
        let direction = Direction::Forward;
        let scan = OriginScan { origin, after, direction, limit: PageLimit::default() };
        let page = store.scan_origin(&scan).await?;
        for found in &page.items {
            if last == Some(found.sequence) {
                return Ok(shared);
            }
            shared = last.replace(found.sequence);
        }
        match page.more {
            Some(more) => after = Some(more),
            None => return Ok(last),
        }
    }
}

/// The changesets of the log up to `end` that `known` does not cover; some that it covers may be
/// among them where an origin forked.
pub(super) async fn unknown<'a>(
    store: &'a dyn ReplicaStore,
    seen: &Seen,
    known: &VersionVector,
) -> Result<Streamed<'a, Changeset>, Error> {
    let mut first: Option<Position> = None;
    // Where all tips of an origin are known, or it has one, everything up to a known changeset is.
    let mut covered_up_to: BTreeMap<ReplicaId, Sequence> = BTreeMap::new();
    for (origin, tips) in seen.vector.tips() {
        let all = tips.iter().all(|tip| known.has_tip(origin, tip.digest));
        let up_to = match all {
            true => tips.last().map(|tip| tip.sequence),
            false => {
                let up_to = covered(store, origin, tips, known).await?;
                let found = first_after(store, origin, up_to).await?;
                first = first.into_iter().chain(found).min();
                up_to
            }
        };
        if all || tips.len() == 1 {
            covered_up_to.extend(up_to.map(|sequence| (origin, sequence)));
        }
    }
    let Some(first) = first else { return Ok(Box::pin(stream::empty())) };
    let end = seen.at.position;
    let scan = LogScan {
        after: Some(Position::new(first.get() - 1)),
        limit: PageLimit::items(1_024),
        ..LogScan::default()
    };
    let entries = store.stream_log(scan);
    let unknown = entries
        .take_while(move |entry| entry.as_ref().map_or(true, |entry| entry.position <= end))
        .filter_map(move |entry| match entry {
            Err(error) => Some(Err(error.into())),
            Ok(entry) => {
                let header = entry.changeset.header();
                let covered = covered_up_to.get(&header.origin);
                let unknown = covered.is_none_or(|covered| header.sequence > *covered);
                unknown.then_some(Ok(entry.changeset))
            }
        });
    Ok(Box::pin(unknown))
}

impl Replica {
    /// What this replica has seen: what a peer, or a [bundle](Self::bundle) for this replica, can
    /// leave out.
    ///
    /// # Errors
    /// What the store says.
    pub async fn vector(&self) -> Result<VersionVector, Error> {
        Ok(seen(&*self.inner.store).await?.vector)
    }

    /// The id under which this replica authors changesets: that of its store, or a later one if
    /// the replica was found to be forked.
    ///
    /// # Errors
    /// What the store says.
    pub async fn author(&self) -> Result<ReplicaId, Error> {
        Ok(lineage(&*self.inner.store).await?.author)
    }
}

/// A replica is a source for others in the same process.
#[async_trait]
impl ChangesetSource for Replica {
    async fn offer(&self, _: &VersionVector) -> Result<Offer, Error> {
        let facts = self.inner.store.facts();
        // A store on another machine may answer reads from what it knew when it last was asked this.
        self.inner.store.head().await?;
        let seen = seen(&*self.inner.store).await?;
        Ok(Offer {
            database: facts.identity.database,
            replica: seen.lineage.author,
            place: facts.place.clone(),
            seen: seen.vector,
            basis: VersionVector::new(),
            head: Some(seen.at),
        })
    }

    fn changesets(&self, _: &Offer, known: &VersionVector) -> Streamed<'_, Changeset> {
        let (store, known) = (&*self.inner.store, known.clone());
        let begin = async move {
            let seen = seen(store).await?;
            unknown(store, &seen, &known).await
        };
        Box::pin(stream::once_future(begin).flat_map(|begun| match begun {
            Ok(changesets) => changesets,
            Err(error) => Box::pin(stream::once(Err(error))),
        }))
    }
}
