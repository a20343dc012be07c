//! The engine: a replica that edits and remembers.

mod as_of;
mod batch;
mod bundle;
mod conflicts;
mod diff;
mod edit;
mod find;
mod group;
mod history;
mod lineage;
mod luid;
mod metadata;
mod pending;
mod pull;
mod receive;
mod record;
mod references;
mod resolve;
mod rules;
mod seen;
mod settings;
mod undo;
mod watch;
mod why;

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use futures_lite::Stream;
use serde::Serialize;

pub use as_of::AsOf;
pub use bundle::{Bundle, BundleSummary, StreamedBundle};
pub use conflicts::{Attribution, Candidate, Conflict, ConflictCounts, RecordedVote};
pub use diff::{RecordDiff, RegisterDiff};
pub use edit::{Edit, Edited};
pub use history::{HistoryChange, HistoryEntry, HistoryVote, StepKind};
pub use pull::{Choice, Progress, PullOptions, PullReport, Resolver, Side};
pub use receive::Fork;
pub use record::Record;
pub use references::Joined;
pub use rules::RecordRules;
pub use settings::Settings;
pub use why::{Flip, Why};

pub(crate) use metadata::{CONTESTED, contested_key};
pub(crate) use seen::seen;

use crate::environment::{Environment, SystemEnvironment};
use crate::error::Error;
use crate::id::Digest;
use crate::name::{Creator, NameError, RecordKey, RecordType};
use crate::store::{Head, ReplicaStore};
use crate::typed::Properties;
use group::Committer;

/// A stream of what a replica reads, a page at a time.
pub type Streamed<'a, T> = Pin<Box<dyn Stream<Item = Result<T, Error>> + Send + 'a>>;

/// A replica of a database: creates, updates, deletes, finds and remembers.
///
/// Cheap to clone, and meant to be shared by many tasks: edits made at the same time share one
/// commit of the store. It belongs to no runtime; any executor will do.
///
/// ```
/// use futures_lite::future::block_on;
/// use prophet_store::{Identity, MemoryStore, Properties, Replica, Value};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// block_on(async {
///     let replica = Replica::open(MemoryStore::new(Identity::new_database()?)).await?;
///     let ada = replica
///         .create("person", Properties::try_from([("name", Value::from("Ada"))])?)
///         .await?;
///     let record = replica.get(&ada).await?.ok_or("just created")?;
///     assert_eq!(record.get("name"), Some(&Value::from("Ada")));
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct Replica {
    inner: Arc<Inner>,
    author: Author,
}

struct Inner {
    store: Arc<dyn ReplicaStore>,
    environment: Arc<dyn Environment>,
    rules: HashMap<RecordType, RecordRules>,
    committer: Committer,
}

/// Who makes changesets, and when they say they were made.
#[derive(Debug, Clone)]
struct Author {
    creator: Creator,
    /// The wall clock unless given, in milliseconds since the Unix epoch.
    time: Option<u64>,
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("store", &self.inner.store)
            .field("author", &self.author)
            .finish_non_exhaustive()
    }
}

/// How to open a replica; see [`Replica::options`].
#[derive(Debug)]
pub struct ReplicaOptions {
    creator: Creator,
    environment: Arc<dyn Environment>,
    rules: HashMap<RecordType, RecordRules>,
}

impl ReplicaOptions {
    /// Names the creator of the changesets made through this handle; nobody if not given.
    ///
    /// # Errors
    /// What is not a name.
    pub fn creator<C>(mut self, creator: C) -> Result<Self, NameError>
    where
        C: TryInto<Creator, Error: Into<NameError>>,
    {
        self.creator = creator.try_into().map_err(Into::into)?;
        Ok(self)
    }

    /// Sets the rules for records of one type. Rules are local: they govern what is written
    /// through this handle, never what is received.
    ///
    /// # Errors
    /// What is not a record type.
    pub fn rules<T>(mut self, record_type: T, rules: RecordRules) -> Result<Self, NameError>
    where
        T: TryInto<RecordType, Error: Into<NameError>>,
    {
        self.rules.insert(record_type.try_into().map_err(Into::into)?, rules);
        Ok(self)
    }

    /// Takes time and chance from here instead of the operating system.
    #[must_use]
    pub fn environment(mut self, environment: impl Environment) -> Self {
        self.environment = Arc::new(environment);
        self
    }

    /// Opens the replica that `store` holds.
    ///
    /// # Errors
    /// What the store says when it is asked where it is.
    pub async fn open(self, store: impl ReplicaStore) -> Result<Replica, Error> {
        self.open_shared(Arc::new(store)).await
    }

    /// Opens the replica that `store` holds, which others may hold too.
    ///
    /// # Errors
    /// What the store says when it is asked where it is.
    pub async fn open_shared(self, store: Arc<dyn ReplicaStore>) -> Result<Replica, Error> {
        store.head().await?;
        let Self { creator, environment, rules } = self;
        let committer = Committer::default();
        let inner = Arc::new(Inner { store, environment, rules, committer });
        Ok(Replica { inner, author: Author { creator, time: None } })
    }
}

impl Replica {
    /// Opens the replica that `store` holds. A new one is made by the backend: for example
    /// `SqliteStore::create(path, Identity::new_database()?)`.
    ///
    /// # Errors
    /// What the store says when it is asked where it is.
    pub async fn open(store: impl ReplicaStore) -> Result<Self, Error> {
        Self::options().open(store).await
    }

    /// Begins to say how a replica is to be opened.
    ///
    /// ```
    /// use futures_lite::future::block_on;
    /// use prophet_store::{Identity, MemoryStore, Replica};
    ///
    /// let store = MemoryStore::new(Identity::new_database()?);
    /// let replica = block_on(Replica::options().creator("ada@example.org")?.open(store))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn options() -> ReplicaOptions {
        ReplicaOptions {
            creator: Creator::empty(),
            environment: Arc::new(SystemEnvironment),
            rules: HashMap::new(),
        }
    }

    /// The same replica, with another creator for what is made through this handle.
    ///
    /// # Errors
    /// What is not a name.
    pub fn with_creator<C>(&self, creator: C) -> Result<Self, NameError>
    where
        C: TryInto<Creator, Error: Into<NameError>>,
    {
        let creator = creator.try_into().map_err(Into::into)?;
        let author = Author { creator, ..self.author.clone() };
        Ok(Self { inner: Arc::clone(&self.inner), author })
    }

    /// The same replica, with this time, in milliseconds since the Unix epoch, on what is made
    /// through this handle: for bringing in what was recorded elsewhere, earlier.
    #[must_use]
    pub fn with_time(&self, millis: u64) -> Self {
        let author = Author { time: Some(millis), ..self.author.clone() };
        Self { inner: Arc::clone(&self.inner), author }
    }

    /// The store beneath. Committing to it directly is safe: the engine notices, as it notices
    /// other processes.
    pub fn store(&self) -> &Arc<dyn ReplicaStore> {
        &self.inner.store
    }

    /// Where the replica is.
    ///
    /// # Errors
    /// What the store says.
    pub async fn head(&self) -> Result<Head, Error> {
        Ok(self.inner.store.head().await?)
    }

    /// The record, unless there is none or it was deleted.
    ///
    /// # Errors
    /// What the store says.
    pub async fn get(&self, key: &RecordKey) -> Result<Option<Record>, Error> {
        let read = self.inner.store.get_records(std::slice::from_ref(key)).await?;
        Ok(read.value.into_iter().next().flatten().and_then(|state| Record::of(&state)))
    }

    /// These records, in this order; `None` where there is none or it was deleted.
    ///
    /// # Errors
    /// What the store says.
    pub async fn get_many(&self, keys: &[RecordKey]) -> Result<Vec<Option<Record>>, Error> {
        let read = self.inner.store.get_records(keys).await?;
        Ok(read.value.iter().map(|state| state.as_ref().and_then(Record::of)).collect())
    }

    /// Creates a record with these properties and a new id.
    ///
    /// # Errors
    /// What breaks the rules of its type, or a limit; a reserved type; what the store says.
    pub async fn create<T>(
        &self,
        record_type: T,
        properties: Properties,
    ) -> Result<RecordKey, Error>
    where
        T: TryInto<RecordType, Error: Into<NameError>>,
    {
        let record_type = record_type.try_into().map_err(Into::into)?;
        let edited = self
            .edit(|edit| {
                let (record_type, properties) = (record_type.clone(), properties.clone());
                async move { edit.create(record_type, properties).await }
            })
            .await?;
        Ok(edited.value)
    }

    /// Creates a record from any serialisable struct or map.
    ///
    /// # Errors
    /// As for [`create`](Self::create), and what cannot be a record.
    pub async fn create_from<T, S>(&self, record_type: T, value: &S) -> Result<RecordKey, Error>
    where
        T: TryInto<RecordType, Error: Into<NameError>>,
        S: Serialize + ?Sized,
    {
        let properties = Properties::from_serialize(value)?;
        self.create(record_type, properties).await
    }

    /// Sets the properties named, and removes those that are named as absent; others stay. What
    /// changes nothing makes no changeset.
    ///
    /// # Errors
    /// No such record; what breaks the rules of its type, or a limit; what the store says.
    pub async fn update(
        &self,
        key: &RecordKey,
        properties: Properties,
    ) -> Result<Option<Digest>, Error> {
        let edited = self
            .edit(|edit| {
                let (key, properties) = (key.clone(), properties.clone());
                async move { edit.update(&key, properties).await }
            })
            .await?;
        Ok(edited.changeset())
    }

    /// Sets the properties that `value` has, and removes those of its fields that are `None`.
    ///
    /// # Errors
    /// As for [`update`](Self::update), and what cannot be a record.
    pub async fn update_from<S>(&self, key: &RecordKey, value: &S) -> Result<Option<Digest>, Error>
    where
        S: Serialize + ?Sized,
    {
        let properties = Properties::from_serialize(value)?;
        self.update(key, properties).await
    }

    /// Deletes a record. Its history stays, and [`undelete`](Self::undelete) brings it back.
    ///
    /// # Errors
    /// No such record; what the store says.
    pub async fn delete(&self, key: &RecordKey) -> Result<Option<Digest>, Error> {
        let edited = self
            .edit(|edit| {
                let key = key.clone();
                async move { edit.delete(&key).await }
            })
            .await?;
        Ok(edited.changeset())
    }

    /// Brings a deleted record back as it was.
    ///
    /// # Errors
    /// A record that was never deleted; what the store says.
    pub async fn undelete(&self, key: &RecordKey) -> Result<Option<Digest>, Error> {
        let edited = self
            .edit(|edit| {
                let key = key.clone();
                async move { edit.undelete(&key).await }
            })
            .await?;
        Ok(edited.changeset())
    }

    /// Closes the store; every later call fails. What was acknowledged is durable without it.
    ///
    /// # Errors
    /// What the store says.
    pub async fn close(&self) -> Result<(), Error> {
        Ok(self.inner.store.close().await?)
    }
}
