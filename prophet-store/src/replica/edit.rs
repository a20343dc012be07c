//! Edits: what a closure does to records, as one atomic commit of one changeset or several.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::changeset::{Authored, Change, Changeset, Payload};
use crate::environment;
use crate::error::Error;
use crate::id::{CommitId, Digest, Position, Sequence};
use crate::integrate::integrate;
use crate::log::LogEntry;
use crate::name::{Creator, NameError, RecordKey, RecordType};
use crate::record::{Existence, RecordState};
use crate::replica::group::{Front, Outcome};
use crate::replica::pending::Pending;
use crate::replica::{Author, Inner, Record, Replica};
use crate::store::{Commit, Head, MetadataKey};
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
pub(super) struct Work {
    pub(super) front: Front,
    author: Author,
    undone: Option<Digest>,
    /// Whether a read showed that somebody else has committed since the edit began.
    pub(super) stale: bool,
    /// The states of records as of the changesets already sealed in this edit.
    sealed: BTreeMap<RecordKey, RecordState>,
    pending: BTreeMap<RecordKey, Pending>,
    entries: Vec<LogEntry>,
    metadata: BTreeMap<MetadataKey, Option<Vec<u8>>>,
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
                let edited = Edited { value, changesets: work.changesets() };
                Ok((edited, work.into_commit()?))
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
            front,
            author,
            undone: None,
            stale: false,
            sealed: BTreeMap::new(),
            pending: BTreeMap::new(),
            entries: Vec::new(),
            metadata: BTreeMap::new(),
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
        let known =
            self.with(|work| Ok(work.pending.contains_key(key) || work.sealed.contains_key(key)))?;
        let read = if known { None } else { self.read(key).await? };
        self.with(|work| {
            let pending = match work.pending.entry(key.clone()) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    let state = work.sealed.get(key).cloned().or(read);
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
            let Existence::Alive = pending.now().existence else { return Ok(None) };
            let properties = pending.now().properties.clone();
            Ok(Some(Record::new(key.clone(), pending.before().changed(), properties)))
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
        self.with_pending(key, |pending| match pending.now().existence {
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
            if pending.now().existence == Existence::Alive {
                Err(Error::NotDeleted { key: key.clone() })
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
            work.undone = Some(undone);
            Ok(())
        })
    }

    pub(super) fn set_metadata(
        &self,
        key: MetadataKey,
        value: Option<Vec<u8>>,
    ) -> Result<(), Error> {
        self.with(|work| {
            work.metadata.insert(key, value);
            Ok(())
        })
    }

    /// The value of a metadata key, as the edits before this one leave it.
    pub(super) async fn get_metadata(&self, key: &MetadataKey) -> Result<Option<Vec<u8>>, Error> {
        if let Some(value) = self.with(|work| Ok(work.metadata.get(key).cloned()))? {
            return Ok(value);
        }
        if let Some(value) = self.inner.committer.staged_metadata(key) {
            return Ok(value);
        }
        let read = self.inner.store.get_metadata(std::slice::from_ref(key)).await?;
        self.note_read_at(read.at)?;
        Ok(read.value.into_iter().next().flatten())
    }

    fn note_read_at(&self, at: Head) -> Result<(), Error> {
        self.with(|work| {
            work.stale |= !self.inner.committer.leads_to(&work.front, at);
            Ok(())
        })
    }

    /// The state of a record before this edit.
    pub(super) async fn state(&self, key: &RecordKey) -> Result<RecordState, Error> {
        self.with_pending(key, |pending| Ok(pending.before().clone())).await
    }
}

fn expect_alive(key: &RecordKey, pending: &Pending) -> Result<(), Error> {
    match pending.now().existence {
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
        if self.undone.is_none() {
            inner.apply_rules(&mut self.pending)?;
        }
        let changes: Vec<Change> = self.pending.values().filter_map(Pending::change).collect();
        if changes.is_empty() {
            self.pending.clear();
            self.undone = None;
            return Ok(());
        }
        let payload = match self.undone {
            Some(undone) => Payload::Undo { undone, changes },
            None => Payload::Edit(changes),
        };
        let clock_time = self.front.clock.tick(inner.environment.now());
        let identity = inner.store.facts().identity;
        let changeset = Changeset::author(Authored {
            database: identity.database,
            origin: identity.replica,
            sequence: self.front.tip.map_or(Sequence::FIRST, |(sequence, _)| sequence.next()),
            previous: self.front.tip.map(|(_, digest)| digest),
            parents: Vec::new(),
            creator: self.author.creator.clone(),
            time: match self.author.time {
                Some(millis) => crate::time::Timestamp::new(millis, 0),
                None => clock_time,
            },
            payload,
        })?;
        let position = self.front.head.position.next();
        let pending = std::mem::take(&mut self.pending);
        self.undone = None;
        let mut states: BTreeMap<_, _> =
            pending.into_iter().map(|(key, pending)| (key, pending.into_before())).collect();
        // Records that were only read have no change; their states stay as they are.
        self.entries.push(integrate(position, &changeset, &mut states));
        let changed = changeset.changes().iter().map(|change| &change.record);
        for key in changed {
            if let Some(state) = states.remove(key) {
                self.sealed.insert(key.clone(), state);
            }
        }
        self.front.tip = Some((changeset.header().sequence, changeset.digest()));
        self.front.head.position = position;
        Ok(())
    }

    fn changesets(&self) -> Vec<(Position, Digest)> {
        let entries = self.entries.iter();
        entries.map(|entry| (entry.position, entry.changeset.digest())).collect()
    }

    /// The commit of all that was sealed, if that is anything, and where the replica is after it.
    fn into_commit(self) -> Result<Option<(Commit, Front)>, Error> {
        if self.entries.is_empty() && self.metadata.is_empty() {
            return Ok(None);
        }
        let mut base = self.front.head;
        base.position = Position::new(base.position.get() - self.entries.len() as u64);
        // The committer gives the id: edits staged together share one.
        let mut commit = Commit::new(CommitId::from_bytes([0; 16]), base);
        for entry in self.entries {
            commit = commit.with_entry(entry)?;
        }
        for state in self.sealed.into_values() {
            commit = commit.with_record(state)?;
        }
        for (key, value) in self.metadata {
            commit = commit.with_metadata(key, value)?;
        }
        Ok(Some((commit, self.front)))
    }
}
