//! Edits: what a closure does to records, as one atomic commit of one changeset or several.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_lite::StreamExt as _;

use crate::changeset::{Authored, Change, Changeset, Payload, Vote};
use crate::environment::{self, Environment};
use crate::error::Error;
use crate::ext::ReplicaStoreExt as _;
use crate::id::{DatabaseId, Digest, Position, ReplicaId, Sequence};
use crate::name::{Creator, NameError, RecordKey, RecordType};
use crate::record::{Existence, RecordState};
use crate::replica::batch::Batch;
use crate::replica::group::{Front, Outcome};
use crate::replica::pending::Pending;
use crate::replica::{Author, Inner, Record, Replica};
use crate::store::{Authorship, Head, LogScan, MetadataKey, OriginCursor, OriginScan};
use crate::time::Timestamp;
use crate::typed::Properties;

/// What an edit came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Edited<T> {
    /// What the closure returned.
    pub value: T,
    /// The changesets that it made, with their positions here; none if nothing changed.
    pub changesets: Vec<(Position, Digest)>,
}

impl<T> Edited<T> {
    /// The last changeset that it made, if it made any.
    pub fn changeset(&self) -> Option<Digest> {
        self.changesets.last().map(|(_, digest)| *digest)
    }
}

/// Records in the making: what [`Replica::edit`] hands to its closure.
///
/// It reads what is committed and what the closure itself has done so far. Nothing is written
/// before the closure returns, and nothing at all if it returns an error.
#[derive(Clone)]
pub struct Edit {
    inner: Arc<Inner>,
    work: Arc<Mutex<Option<Work>>>,
}

/// Everything an edit holds until it is committed.
struct Work {
    /// Where the replica was when the edit began.
    began: Front,
    author: Author,
    purpose: Purpose,
    /// Whether a read showed that somebody else has committed since the edit began.
    stale: bool,
    /// The changesets already sealed in this edit.
    batch: Batch,
    pending: BTreeMap<RecordKey, Pending>,
}

/// What the changeset in the making is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Edit,
    Undo(Digest),
    Merge,
}

impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edit").finish_non_exhaustive()
    }
}

impl Replica {
    /// Runs `edit` and commits what it did: all of it, atomically and durably, or nothing.
    ///
    /// The closure is run again when somebody else committed in the meantime, so it must not do
    /// anything else that counts. While it runs, other edits of this process wait: it should
    /// not wait for people, and must write through its [`Edit`] alone: whatever else may write,
    /// [`luids`](Self::luids) and [`undo`](Self::undo) too, would wait for ever.
    ///
    /// ```
    /// use futures_lite::future::block_on;
    /// use prophet_store::{Error, Identity, MemoryStore, Properties, Replica, Value};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// block_on(async {
    ///     let replica = Replica::open(MemoryStore::new(Identity::new_database()?)).await?;
    ///     let edited = replica
    ///         .edit(|edit| async move {
    ///             let title = Properties::try_from([("title", Value::from("It fails"))])?;
    ///             let bug = edit.create("bug", title).await?;
    ///             let about = Properties::try_from([("bug", Value::from(&bug))])?;
    ///             edit.create("comment", about).await?;
    ///             Ok(bug)
    ///         })
    ///         .await?;
    ///     assert_eq!(edited.changesets.len(), 1, "two records, one changeset");
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// What the closure returns, what breaks a rule or a limit, and what the store says.
    pub async fn edit<T, F, Fut>(&self, mut edit: F) -> Result<Edited<T>, Error>
    where
        F: FnMut(Edit) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let inner = &self.inner;
        loop {
            let turn = inner.turn().await?;
            let handle = Edit::new(Arc::clone(inner), turn.front().clone(), self.author.clone());
            let result = edit(handle.clone()).await;
            let mut work = handle.finish()?;
            if work.stale {
                turn.give_up().await;
                continue;
            }
            let sealed = result.and_then(|value| {
                work.seal(inner)?;
                let edited = Edited { value, changesets: work.batch.changesets() };
                Ok((edited, work.batch.into_commit(&work.began)?))
            });
            let (edited, commit, front) = match sealed {
                Ok((edited, Some((commit, front)))) => (edited, commit, front),
                // Nothing is committed that would show whether what it saw was so.
                outcome => match turn.confirm().await? {
                    Outcome::Committed => return outcome.map(|(edited, _)| edited),
                    Outcome::Stale => continue,
                },
            };
            match turn.stage(commit, front).await? {
                Outcome::Committed => return Ok(edited),
                Outcome::Stale => {}
            }
        }
    }
}

impl Edit {
    fn new(inner: Arc<Inner>, front: Front, author: Author) -> Self {
        let work = Work {
            batch: Batch::new(front.clone()),
            began: front,
            author,
            purpose: Purpose::Edit,
            stale: false,
            pending: BTreeMap::new(),
        };
        Self { inner, work: Arc::new(Mutex::new(Some(work))) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Work>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self) -> Result<Work, Error> {
        self.lock().take().ok_or(Error::EditOver)
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut Work) -> Result<T, Error>) -> Result<T, Error> {
        use_it(self.lock().as_mut().ok_or(Error::EditOver)?)
    }

    /// Runs `use_it` on the pending state of a record, which is read first if need be.
    async fn with_pending<T>(
        &self,
        key: &RecordKey,
        use_it: impl FnOnce(&mut Pending) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let known = self
            .with(|work| Ok(work.pending.contains_key(key) || work.batch.state(key).is_some()))?;
        let read = if known { None } else { self.read(key).await? };
        self.with(|work| {
            let pending = match work.pending.entry(key.clone()) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    let state = work.batch.state(key).cloned().or(read);
                    entry.insert(Pending::new(
                        state.unwrap_or_else(|| RecordState::new(key.clone())),
                    ))
                }
            };
            use_it(pending)
        })
    }

    /// The state of a record before this edit: staged by an edit before it, or committed.
    async fn read(&self, key: &RecordKey) -> Result<Option<RecordState>, Error> {
        if let Some(state) = self.inner.committer.staged(key) {
            return Ok(Some(state));
        }
        let read = self.inner.store.get_records(std::slice::from_ref(key)).await?;
        self.note_read_at(read.at)?;
        Ok(read.value.into_iter().next().flatten())
    }

    /// The record as this edit sees it, unless there is none or it was deleted.
    ///
    /// # Errors
    /// What the store says.
    pub async fn get(&self, key: &RecordKey) -> Result<Option<Record>, Error> {
        self.with_pending(key, |pending| {
            let Existence::Alive = pending.existence() else { return Ok(None) };
            let changed = pending.before().changed();
            Ok(Some(Record::new(key.clone(), changed, pending.properties())))
        })
        .await
    }

    /// Creates a record with these properties and a new id.
    ///
    /// # Errors
    /// A reserved type; what the store says. Rules are checked when the edit ends.
    pub async fn create<T>(
        &self,
        record_type: T,
        properties: Properties,
    ) -> Result<RecordKey, Error>
    where
        T: TryInto<RecordType, Error: Into<NameError>>,
    {
        let record_type = record_type.try_into().map_err(Into::into)?;
        let id = environment::new_record_id(&*self.inner.environment)?;
        let key = RecordKey::new(record_type, id);
        self.create_at(&key, properties).await?;
        Ok(key)
    }

    /// Creates a record whose id is known: one brought in from elsewhere, or one deleted before,
    /// which begins anew with nothing but these properties.
    ///
    /// # Errors
    /// A record that exists; a reserved type; what the store says.
    pub async fn create_at(&self, key: &RecordKey, properties: Properties) -> Result<(), Error> {
        if key.record_type().is_reserved() {
            return Err(Error::ReservedType { record_type: key.record_type().clone() });
        }
        self.create_any(key, properties).await
    }

    pub(super) async fn create_any(
        &self,
        key: &RecordKey,
        properties: Properties,
    ) -> Result<(), Error> {
        self.with_pending(key, |pending| match pending.existence() {
            Existence::Alive => Err(Error::RecordExists { key: key.clone() }),
            Existence::Never | Existence::Deleted => {
                pending.create(&properties);
                Ok(())
            }
        })
        .await
    }

    /// Sets the properties named, and removes those that are named as absent; others stay.
    ///
    /// # Errors
    /// No such record; what the store says. Rules are checked when the edit ends.
    pub async fn update(&self, key: &RecordKey, properties: Properties) -> Result<(), Error> {
        self.with_pending(key, |pending| {
            expect_alive(key, pending)?;
            pending.set(&properties);
            Ok(())
        })
        .await
    }

    /// Deletes a record: hides it, with all it has.
    ///
    /// # Errors
    /// No such record; what the store says.
    pub async fn delete(&self, key: &RecordKey) -> Result<(), Error> {
        self.with_pending(key, |pending| {
            expect_alive(key, pending)?;
            pending.delete();
            Ok(())
        })
        .await
    }

    /// Brings a deleted record back as it was.
    ///
    /// # Errors
    /// A record that is not deleted; what the store says.
    pub async fn undelete(&self, key: &RecordKey) -> Result<(), Error> {
        self.with_pending(key, |pending| {
            if pending.existence() == Existence::Alive {
                let contested = pending.before().existence_register().is_contested();
                Err(Error::NotDeleted { key: key.clone(), contested })
            } else if pending.undelete() {
                Ok(())
            } else {
                Err(Error::NoSuchRecord { key: key.clone(), deleted: false })
            }
        })
        .await
    }

    /// Ends the changeset in the making and begins another, of the same atomic commit: for
    /// bringing in many changesets at once. `time` is in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// What breaks the rules of a type, or a limit.
    pub fn begin_changeset<C>(&self, creator: C, time: Option<u64>) -> Result<(), Error>
    where
        C: TryInto<Creator, Error: Into<NameError>>,
    {
        let creator = creator.try_into().map_err(Into::into)?;
        self.with(|work| {
            work.seal(&self.inner)?;
            work.author = Author { creator, time };
            Ok(())
        })
    }

    /// Marks the changeset in the making as one that takes back another.
    pub(super) fn mark_undo(&self, undone: Digest) -> Result<(), Error> {
        self.with(|work| {
            work.purpose = Purpose::Undo(undone);
            Ok(())
        })
    }

    /// Marks the changeset in the making as one that settles conflicts with values merged by hand.
    pub(super) fn mark_merge(&self) -> Result<(), Error> {
        self.with(|work| {
            work.purpose = Purpose::Merge;
            Ok(())
        })
    }

    /// Ends the changeset in the making, and votes: a changeset of its own. The records voted on
    /// were read before.
    pub(super) fn vote(&self, votes: Vec<Vote>) -> Result<(), Error> {
        self.with(|work| {
            for vote in &votes {
                if let Some(pending) = work.pending.get(&vote.record) {
                    work.batch.know(pending.before().clone());
                }
            }
            work.seal(&self.inner)?;
            match votes.is_empty() {
                true => Ok(()),
                false => work.append(&self.inner, Payload::Resolution(votes)),
            }
        })
    }

    /// Where the replica is as this edit leaves it.
    pub(super) fn front(&self) -> Result<Front, Error> {
        self.with(|work| Ok(work.batch.front.clone()))
    }

    /// Commits what `batch` holds, which began where this edit did.
    pub(super) fn adopt(&self, batch: Batch) -> Result<(), Error> {
        self.with(|work| {
            work.batch = batch;
            Ok(())
        })
    }

    pub(super) fn set_metadata(
        &self,
        key: MetadataKey,
        value: Option<Vec<u8>>,
    ) -> Result<(), Error> {
        self.with(|work| {
            work.batch.set_metadata(key, value);
            Ok(())
        })
    }

    /// The value of a metadata key, as the edits before this one leave it.
    pub(super) async fn get_metadata(&self, key: &MetadataKey) -> Result<Option<Vec<u8>>, Error> {
        let read = self.get_metadata_many(std::slice::from_ref(key)).await?;
        Ok(read.into_iter().next().flatten())
    }

    /// The values of metadata keys, in this order, as the edits before this one leave them.
    pub(super) async fn get_metadata_many(
        &self,
        keys: &[MetadataKey],
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let committer = &self.inner.committer;
        let staged = self.with(|work| {
            let staged = |key| match work.batch.metadata().get(key) {
                Some(value) => Some(value.clone()),
                None => committer.staged_metadata(key),
            };
            Ok(keys.iter().map(staged).collect::<Vec<_>>())
        })?;
        let unknown = keys.iter().zip(&staged).filter(|(_, staged)| staged.is_none());
        let unknown: Vec<_> = unknown.map(|(key, _)| key.clone()).collect();
        let mut read = Vec::new().into_iter();
        if !unknown.is_empty() {
            let values = self.inner.store.get_metadata(&unknown).await?;
            self.note_read_at(values.at)?;
            read = values.value.into_iter();
        }
        let values = staged.into_iter();
        Ok(values.map(|staged| staged.unwrap_or_else(|| read.next().flatten())).collect())
    }

    /// The states of records before this edit, as far as they exist.
    pub(super) async fn read_many(&self, keys: Vec<RecordKey>) -> Result<Vec<RecordState>, Error> {
        let (mut states, mut unknown) = (Vec::new(), Vec::new());
        for key in keys {
            match self.inner.committer.staged(&key) {
                Some(state) => states.push(state),
                None => unknown.push(key),
            }
        }
        if !unknown.is_empty() {
            let read = self.inner.store.get_records(&unknown).await?;
            self.note_read_at(read.at)?;
            states.extend(read.value.into_iter().flatten());
        }
        Ok(states)
    }

    /// A page of what an origin authored, of what is committed.
    pub(super) async fn scan_origin(
        &self,
        scan: &OriginScan,
    ) -> Result<(Vec<Authorship>, Option<OriginCursor>), Error> {
        let page = self.inner.store.scan_origin(scan).await?;
        self.note_read_at(page.at)?;
        Ok((page.items, page.more))
    }

    /// Whether a changeset of the log, or one staged, follows this one of the log.
    pub(super) async fn is_followed(&self, digest: Digest) -> Result<bool, Error> {
        if self.inner.committer.staged_follows(digest) {
            return Ok(true);
        }
        let found = self.inner.store.find_changesets(&[digest]).await?;
        self.note_read_at(found.at)?;
        let after = found.value.into_iter().flatten().next();
        let mut later = self.inner.store.stream_log(LogScan { after, ..LogScan::default() });
        while let Some(entry) = later.next().await {
            if entry?.changeset.header().follows(digest) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The changeset of this origin and sequence that an edit not yet committed brings; if
    /// `digest` is given, only that one.
    pub(super) fn staged_at(
        &self,
        origin: ReplicaId,
        sequence: Sequence,
        digest: Option<Digest>,
    ) -> Option<Digest> {
        self.inner.committer.staged_at(origin, sequence, digest)
    }

    pub(super) fn environment(&self) -> &dyn Environment {
        &*self.inner.environment
    }

    pub(super) fn database(&self) -> DatabaseId {
        self.inner.store.facts().identity.database
    }

    /// Which of these changesets are in the log that this edit builds on, staged ones too.
    pub(super) async fn find_changesets(&self, digests: &[Digest]) -> Result<Vec<bool>, Error> {
        if digests.is_empty() {
            return Ok(Vec::new());
        }
        // In this order: what is staged may be in the store, and staged no more, before that is asked.
        let staged = self.inner.committer.staged_changesets(digests);
        let found = self.inner.store.find_changesets(digests).await?;
        self.note_read_at(found.at)?;
        Ok(found
            .value
            .iter()
            .zip(staged)
            .map(|(found, staged)| found.is_some() || staged)
            .collect())
    }

    fn note_read_at(&self, at: Head) -> Result<(), Error> {
        self.with(|work| {
            work.stale |= !self.inner.committer.leads_to(&work.began, at);
            Ok(())
        })
    }

    /// The state of a record before this edit.
    pub(super) async fn state(&self, key: &RecordKey) -> Result<RecordState, Error> {
        self.with_pending(key, |pending| Ok(pending.before().clone())).await
    }
}

fn expect_alive(key: &RecordKey, pending: &Pending) -> Result<(), Error> {
    match pending.existence() {
        Existence::Alive => Ok(()),
        existence => {
            Err(Error::NoSuchRecord { key: key.clone(), deleted: existence == Existence::Deleted })
        }
    }
}

impl Work {
    /// Makes a changeset of what is pending, if it comes to anything. What is refused stays
    /// pending, so that an edit which ignores that is refused in the end.
    fn seal(&mut self, inner: &Inner) -> Result<(), Error> {
        // What is undone goes back to what it was, whatever the rules have come to say since.
        if !matches!(self.purpose, Purpose::Undo(_)) {
            inner.apply_rules(&mut self.pending)?;
        }
        let changes: Vec<Change> = self.pending.values().filter_map(Pending::change).collect();
        if !changes.is_empty() {
            self.append(
                inner,
                match self.purpose {
                    Purpose::Edit => Payload::Edit(changes),
                    Purpose::Undo(undone) => Payload::Undo { undone, changes },
                    Purpose::Merge => Payload::Merge(changes),
                },
            )?;
        }
        self.pending.clear();
        self.purpose = Purpose::Edit;
        Ok(())
    }

    /// Authors a changeset and appends it.
    fn append(&mut self, inner: &Inner, payload: Payload) -> Result<(), Error> {
        if let (None, Some((replica, tip))) =
            (self.batch.front.tip, self.batch.front.lineage.ancestors.first().copied())
        {
            let payload = Payload::Continuation { replica, tip: tip.digest };
            let continuation = self.author(inner, payload)?;
            self.batch.append(&continuation)?;
        }
        let changeset = self.author(inner, payload)?;
        for change in changeset.changes() {
            if let Some(pending) = self.pending.get(&change.record) {
                self.batch.know(pending.before().clone());
            }
        }
        self.batch.append(&changeset)
    }

    fn author(&mut self, inner: &Inner, mut payload: Payload) -> Result<Changeset, Error> {
        let front = &mut self.batch.front;
        let clock_time = front.clock.tick(inner.environment.now());
        let time = match self.author.time {
            Some(millis) => Timestamp::new(millis, 0),
            None => clock_time,
        };
        for property in payload.changes_mut().iter_mut().flat_map(|change| &mut change.properties) {
            property.rank = property.rank.filter(|rank| *rank > time);
        }
        Ok(Changeset::author(Authored {
            database: inner.store.facts().identity.database,
            origin: front.lineage.author,
            sequence: front.tip.map_or(Sequence::FIRST, |tip| tip.sequence.next()),
            previous: front.tip.map(|tip| tip.digest),
            parents: front.heads.to_vec(),
            creator: self.author.creator.clone(),
            time,
            payload,
        })?)
    }
}
