//! How to create and open a store.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use futures_lite::future::block_on;
use prophet_kv::{Entries as _, Map as _, Scan as _, Tally, certified, certify};
use prophet_store::{
    Access, Capabilities, Direction, Durability, Facts, Head, Identity, Sharing, StoreError,
};
use prophet_tables::keys;
use sled::Batch;

use crate::engine::{Engine, exists};
use crate::error::file;
use crate::layout::{FORMAT, Layout, Lock, Witness, sync_directory};
use crate::shared::{Shared, State};
use crate::store::SledStore;
use crate::top::{TOP, Top};
use crate::writer;

/// How to create or open a [`SledStore`].
///
/// ```
/// use backend_sled::SledOptions;
/// # use prophet_store::{DatabaseId, Identity, ReplicaId, ReplicaStore};
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("bugs");
/// # let identity = Identity {
/// #     database: DatabaseId::from_bytes([1; 16]),
/// #     replica: ReplicaId::from_bytes([2; 16]),
/// # };
///
/// let options = SledOptions::new().cache_bytes(8 << 20);
/// drop(options.create(&path, identity)?);
/// assert_eq!(options.open(&path)?.facts().identity, identity);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SledOptions {
    cache_bytes: u64,
    count: bool,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self { cache_bytes: 64 << 20, count: true }
    }
}

impl SledOptions {
    /// The defaults: a cache of 64 MiB, and all keys are counted when a replica is opened.
    pub fn new() -> Self {
        Self::default()
    }

    /// How much of the tree sled keeps in memory, about.
    #[must_use]
    pub const fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Whether opening counts all keys, which takes longer the more there are: a damaged file is something
    /// that sled may open with a part of it silently gone. Without it, only the end of the log is
    /// looked at, and [`verify`](prophet_store::ReplicaStore::verify) is what finds the rest.
    #[must_use]
    pub const fn count(mut self, count: bool) -> Self {
        self.count = count;
        self
    }

    /// Creates the replica `identity` in a directory, which is made if it is not there, and opens it.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] if there is anything in the directory but what a creation left
    /// behind that was cut off; [`StoreError::Locked`] while somebody else is creating one there, or has
    /// the files of sled open; [`StoreError::Corrupt`] if there are files of sled that it cannot read,
    /// which are not removed; [`StoreError::Io`] where it cannot be made.
    pub fn create(
        &self,
        path: impl AsRef<Path>,
        identity: Identity,
    ) -> Result<SledStore, StoreError> {
        let layout = Layout::new(path.as_ref());
        let failed = file(&layout.place, "making the directory");
        match fs::create_dir(&layout.directory) {
            Ok(()) => {
                let parent = layout.directory.parent().filter(|path| !path.as_os_str().is_empty());
                sync_directory(parent.unwrap_or_else(|| Path::new("."))).map_err(&failed)?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if !layout.directory.is_dir() || !layout.is_unfinished()? {
                    return Err(StoreError::already_exists(&layout.place));
                }
            }
            Err(error) => return Err(failed(error)),
        }
        let lock = layout.lock()?;
        // Somebody else may have been quicker.
        if exists(&layout.identity()) {
            return Err(StoreError::already_exists(&layout.place));
        }
        // A creation that was cut off committed nothing; its tree is as good as a new one.
        let commits = |told: Option<Top>| told.is_some_and(|told| told.head != Head::EMPTY);
        if exists(&layout.tree()) {
            if commits(Witness::open(&layout)?.read()) {
                return Err(StoreError::already_exists(&layout.place));
            }
            layout.remove_unfinished_settings().map_err(&failed)?;
        }
        let engine = self.engine(&layout, lock)?;
        // The file beside it may be gone, damaged, or older than the tree.
        if commits(read_top(&engine)?) || !engine.is_empty()? {
            return Err(StoreError::already_exists(&layout.place));
        }
        let top = Top::empty();
        let mut batch = Batch::default();
        batch.insert(TOP, certify(TOP, top.to_bytes().to_vec()));
        engine.apply(batch)?;
        let witness = Witness::open(&layout)?;
        witness.write(&top).and_then(|()| witness.sync()).map_err(&failed)?;
        sync_directory(&layout.directory).map_err(&failed)?;
        layout.write_identity(&identity)?;
        store(
            &layout.place,
            identity,
            State { engine: Arc::new(engine), witness, top, before: Vec::new() },
        )
    }

    /// Opens the replica in a directory.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::NotAReplica`] and [`StoreError::NewerFormat`] leave what
    /// is there as it is. [`StoreError::Locked`] while another handle or program has it open;
    /// [`StoreError::Corrupt`] if it is damaged, or acknowledged commits are missing from its end.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<SledStore, StoreError> {
        let layout = Layout::new(path.as_ref());
        let identity = layout.read_identity()?;
        let lock = layout.lock()?;
        if !exists(&layout.tree().join("db")) {
            // sled would make a new one.
            return Err(StoreError::corrupt(&layout.place, "the file of sled is missing"));
        }
        let engine = self.engine(&layout, lock)?;
        let Some(top) = read_top(&engine)? else {
            return Err(StoreError::corrupt(&layout.place, "its head is missing or damaged"));
        };
        let witness = Witness::open(&layout)?;
        let state = State { engine: Arc::new(engine), witness, top, before: Vec::new() };
        check(&layout.place, &state)?;
        if self.count {
            let tally = state.engine.tally()?;
            if tally != top.tally {
                return Err(lost(&layout.place, &tally, &top.tally));
            }
        }
        // It may be older, where a program was killed. Nothing is wrong where it cannot be written.
        let _ = state.witness.write(&top);
        store(&layout.place, identity, state)
    }

    fn engine(&self, layout: &Layout, lock: Lock) -> Result<Engine, StoreError> {
        Engine::open(&layout.place, &layout.tree(), self.cache_bytes, lock)
    }
}

/// Where the replica is, as its tree says; `None` if that is missing or damaged.
fn read_top(engine: &Engine) -> Result<Option<Top>, StoreError> {
    let stored = engine.get(TOP)?;
    Ok(stored.as_ref().and_then(|stored| certified(TOP, stored)).and_then(Top::from_bytes))
}

/// Whether the end of the log is there, and all that was acknowledged.
fn check(place: &str, state: &State) -> Result<(), StoreError> {
    let head = state.top.head;
    let reads = state.reads(place);
    let map = reads.map();
    block_on(async {
        let last = map.scan(keys::commits(), Direction::Backward).next().await?;
        let same = match &last {
            Some((key, id)) => {
                keys::to_commit(key) == Some(head.version) && id == head.commit.as_bytes()
            }
            None => head == Head::EMPTY,
        };
        if !same {
            return Err(StoreError::corrupt(place, "its last commit is not that of its head"));
        }
        let last = map.scan(keys::entries(), Direction::Backward).next().await?;
        let last = last.and_then(|(key, _)| keys::to_entry(&key));
        if last.unwrap_or_default() != head.position {
            return Err(StoreError::corrupt(place, "its log does not end where its head says"));
        }
        if head.position.get() > 0 {
            let entry = reads.entries().entry_at(head.position).await?;
            if reads.position_of(entry.changeset.digest()).await? != Some(head.position) {
                return Err(StoreError::corrupt(place, "the end of its log is not found"));
            }
        }
        // Where the witness cannot be read, it says nothing.
        let Some(told) = state.witness.read() else { return Ok(()) };
        let missing = || {
            let (told, head) = (told.head, head);
            let what = format!("{told} was acknowledged, and it is at {head}: commits are missing");
            Err(StoreError::corrupt(place, what))
        };
        if told.head == head && told != state.top {
            let what = format!("what was acknowledged at {head} is not what is there");
            return Err(StoreError::corrupt(place, what));
        }
        if told.head.version >= head.version {
            return if told == state.top { Ok(()) } else { missing() };
        }
        match map.get(&keys::commit(told.head.version)).await? {
            Some(id) if id != told.head.commit.as_bytes() => missing(),
            _ => Ok(()),
        }
    })
}

/// The error for keys that are not those that there should be.
pub(crate) fn lost(place: &str, tally: &Tally, expected: &Tally) -> StoreError {
    let (keys, expected) = (tally.keys(), expected.keys());
    let what = format!(
        "something is lost, or older than it was: there are {keys} keys of {expected}, and what they \
         come to is not what the head says"
    );
    StoreError::corrupt(place, what)
}

fn store(place: &str, identity: Identity, state: State) -> Result<SledStore, StoreError> {
    let capabilities = Capabilities {
        access: Access::ReadWrite,
        sharing: Sharing::Exclusive,
        durability: Durability::PowerLoss,
    };
    let facts = Facts { identity, place: place.to_owned(), format: FORMAT.into(), capabilities };
    let engine = Arc::clone(&state.engine);
    let shared = Arc::new(Shared::new(place.to_owned(), state));
    let writer = writer::start(Arc::clone(&shared), engine)?;
    Ok(SledStore::new(facts, shared, writer))
}
