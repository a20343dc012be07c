//! Pulling: taking in what another replica has and this one lacks.

mod dry;
mod incoming;
mod options;
mod report;
mod settle;

use std::collections::HashSet;

use futures_lite::future::zip;

use self::incoming::Incoming;
pub use self::options::{Choice, Progress, PullOptions, Resolver, Side};
pub use self::report::PullReport;
use crate::changeset::Changeset;
use crate::error::{Error, MissingBasis, Unreadable};
use crate::id::{Digest, Position, ReplicaId};
use crate::replica::batch::Batch;
use crate::replica::metadata::UNSETTLED;
use crate::replica::receive::{Received, receive};
use crate::replica::seen::{Seen, seen};
use crate::replica::{Replica, ReplicaOptions};
use crate::source::{ChangesetSource, Offer};
use crate::store::{MetadataKey, ReplicaStore};
use crate::vector::{Tip, VersionVector};

/// What there is to pull.
struct Plan {
    /// The tips of the source that are not here.
    lacking: HashSet<Digest>,
    known: VersionVector,
    total: u64,
}

impl Replica {
    /// Takes in all that `source` has and this replica has not.
    ///
    /// Changesets come in batches, each one atomic commit, so that a pull that was interrupted (its
    /// future dropped, the source gone, the process killed) leaves a sound replica, and the next
    /// one goes on where it stopped. Pulling again what is here changes nothing.
    ///
    /// # Errors
    /// A source of another database, and this very replica. A bundle whose basis is not here. What
    /// the source says. A source that gives something that cannot be is refused at the first such
    /// changeset: what came before it is kept, and nothing after it is taken in. With
    /// [`fail_on_conflict`](PullOptions::fail_on_conflict), the conflicts.
    pub async fn pull(
        &self,
        source: &dyn ChangesetSource,
        mut options: PullOptions<'_>,
    ) -> Result<PullReport, Error> {
        let before = seen(&*self.inner.store).await?;
        let offer = source.offer(&before.vector).await?;
        let mut report = PullReport::of(&offer);
        self.check_source(&offer, &before)?;
        let start = before.unsettled.unwrap_or(before.at.position);
        let mut contested = before.unsettled.is_some();
        if let Some(plan) = self.plan(&offer, &before).await? {
            if options.fail_on_conflict {
                let refused =
                    self.refuse_conflicts(source, &offer, &plan, options.batch_size()).await;
                refused.map_err(Error::and_nothing_is_kept)?;
            }
            let mut changesets = Incoming::of(source, &offer, &plan, options.batch_size());
            let mut next = changesets.next().await;
            let mut was_here = 0_u64;
            while let Some(batch) = next.take() {
                // While the store commits one batch, the next one is read.
                let integrated = self.integrate_all(&batch, start);
                let (received, following) = zip(integrated, changesets.next()).await;
                next = following;
                let received = received?;
                was_here = was_here.saturating_add(received.seen);
                // Another pull may bring the same meanwhile, and each of those that are here is given once.
                if was_here > incoming::REPEATED
                    && was_here - incoming::REPEATED > self.head().await?.position.get()
                {
                    let why = "it gives the same changesets again and again";
                    return Err(Error::unreadable(&offer.place, why, Unreadable::Invalid));
                }
                contested |= received.contested;
                let refused = received.refused.clone();
                report.add(received);
                if let Some((changeset, why)) = refused {
                    return Err(Error::bad_changeset(&offer.place, changeset, why));
                }
                if let Some(progress) = &mut options.progress {
                    let (done, bytes) = (report.integrated, report.bytes);
                    let all = next.is_none() && changesets.has_all();
                    let total = if all { done } else { plan.total.max(done) };
                    progress(Progress { done, total, bytes });
                }
            }
            changesets.failure.map_or(Ok(()), Err)?;
            self.expect_tips(&offer).await?;
        }
        if contested {
            self.settle(start, options, &mut report).await?;
        }
        Ok(report)
    }

    /// Gives `target` all that this replica has and it has not: a [`pull`](Self::pull) from the
    /// other side. What the options say is done at the target.
    ///
    /// # Errors
    /// As for [`pull`](Self::pull).
    pub async fn push(&self, target: &Self, options: PullOptions<'_>) -> Result<PullReport, Error> {
        target.pull(self, options).await
    }

    /// Makes a new replica of the database that `source` has, in `store`, which is empty and of
    /// that database: `Identity::new_replica(database)`. If it is interrupted,
    /// [`pull`](Self::pull) goes on.
    ///
    /// # Errors
    /// As for [`pull`](Self::pull); a store that is not empty.
    pub async fn clone_of(
        store: impl ReplicaStore,
        source: &dyn ChangesetSource,
    ) -> Result<Self, Error> {
        Self::options().clone_of(store, source).await
    }

    /// Refuses a source that a replica which has seen this may not pull from.
    fn check_source(&self, offer: &Offer, before: &Seen) -> Result<(), Error> {
        let ours = self.inner.store.facts().identity.database;
        if offer.database != ours {
            let (theirs, place) = (offer.database, offer.place.clone());
            return Err(Error::OtherDatabase { ours, theirs, place });
        }
        if offer.replica == before.lineage.author && offer.head == Some(before.at) {
            return Err(Error::PullFromItself { place: offer.place.clone() });
        }
        Ok(())
    }

    /// What there is to pull, unless there is nothing.
    async fn plan(&self, offer: &Offer, before: &Seen) -> Result<Option<Plan>, Error> {
        if offer.seen == before.vector {
            return Ok(None);
        }
        let missing = self.lacking(&before.vector, &offer.basis).await?;
        if !missing.is_empty() {
            let missing = missing.iter().map(|(origin, tip)| MissingBasis {
                origin: *origin,
                here: before.vector.of(*origin).last().map(|tip| tip.sequence),
                needed: *tip,
            });
            let (place, missing) = (offer.place.clone(), missing.collect());
            return Err(Error::BasisMissing { place, missing });
        }
        let lacking = self.lacking(&before.vector, &offer.seen).await?;
        if lacking.is_empty() {
            return Ok(None);
        }
        let lacking: HashSet<_> = lacking.into_iter().map(|(_, tip)| tip.digest).collect();
        let (mut known, mut total) = (VersionVector::new(), 0_u64);
        for (origin, tips) in offer.seen.tips() {
            let lacks = |tip: &&Tip| lacking.contains(&tip.digest);
            for tip in tips.iter().filter(|tip| !lacks(tip)) {
                known.put(origin, *tip);
            }
            let here = before.vector.of(origin);
            for tip in tips.iter().filter(lacks) {
                here.iter().for_each(|tip| known.put(origin, *tip));
                let earlier = here.iter().map(|here| here.sequence.get());
                let earlier = earlier.filter(|here| *here < tip.sequence.get()).max();
                total = total.saturating_add(tip.sequence.get() - earlier.unwrap_or(0));
            }
        }
        Ok(Some(Plan { lacking, known, total }))
    }

    /// The tips of `vector` that are not in the log, which has seen `here`.
    async fn lacking(
        &self,
        here: &VersionVector,
        vector: &VersionVector,
    ) -> Result<Vec<(ReplicaId, Tip)>, Error> {
        let tips =
            vector.tips().flat_map(|(origin, tips)| tips.iter().map(move |tip| (origin, *tip)));
        let unsure: Vec<_> =
            tips.filter(|(origin, tip)| !here.has_tip(*origin, tip.digest)).collect();
        let digests: Vec<_> = unsure.iter().map(|(_, tip)| tip.digest).collect();
        if digests.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.inner.store.find_changesets(&digests).await?.value;
        let lacking = unsure.into_iter().zip(found).filter(|(_, found)| found.is_none());
        Ok(lacking.map(|(lacking, _)| lacking).collect())
    }

    /// Integrates changesets, as one commit, or as several where one would be too large: small changesets
    /// may touch large records.
    async fn integrate_all(
        &self,
        changesets: &[Changeset],
        start: Position,
    ) -> Result<Received, Error> {
        let mut all = Received::default();
        let mut parts = vec![changesets];
        while let Some(part) = parts.pop() {
            match self.integrate(part, start).await {
                Err(error) if part.len() > 1 && error.is_limit() => {
                    let (first, rest) = part.split_at(part.len() / 2);
                    parts.extend([rest, first]);
                }
                received => all.and(received?),
            }
            if all.refused.is_some() {
                break;
            }
        }
        Ok(all)
    }

    /// Integrates changesets, as one commit. If they bring conflicts it is noted that those which
    /// came after `start` are to be settled, should the pull not come to that.
    async fn integrate(
        &self,
        changesets: &[Changeset],
        start: Position,
    ) -> Result<Received, Error> {
        let edited = self
            .edit(|edit| async move {
                let mut batch = Batch::new(edit.front()?);
                let received = receive(&edit, &mut batch, changesets).await?;
                let key = MetadataKey::new(UNSETTLED)?;
                if received.contested && edit.get_metadata(&key).await?.is_none() {
                    batch.set_metadata(key, Some(start.to_string().into_bytes()));
                }
                edit.adopt(batch)?;
                Ok(received)
            })
            .await?;
        Ok(edited.value)
    }

    /// Whether all that the source announced is here now.
    async fn expect_tips(&self, offer: &Offer) -> Result<(), Error> {
        let lacking = self.lacking(&VersionVector::new(), &offer.seen).await?;
        match lacking.first() {
            None => Ok(()),
            Some((origin, tip)) => {
                let why = format!(
                    "the source announced it as number {} of replica {origin}, and did not give it",
                    tip.sequence
                );
                Err(Error::bad_changeset(&offer.place, tip.digest, why))
            }
        }
    }
}

impl ReplicaOptions {
    /// As [`Replica::clone_of`], opened with these options.
    ///
    /// # Errors
    /// As for [`Replica::clone_of`].
    pub async fn clone_of(
        self,
        store: impl ReplicaStore,
        source: &dyn ChangesetSource,
    ) -> Result<Replica, Error> {
        let replica = self.open(store).await?;
        let head = replica.head().await?;
        if head.position != Position::ZERO {
            let place = replica.inner.store.facts().place.clone();
            return Err(Error::NotEmpty { place, position: head.position });
        }
        replica.pull(source, PullOptions::new()).await?;
        Ok(replica)
    }
}
