//! Creating and opening.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prophet_files::manifest::{MANIFEST, Manifest};
use prophet_files::segment::open_name;
use prophet_store::{Access, Capabilities, Durability, Facts, Head, Identity, Sharing, StoreError};
use serde_json::{Value, json};

use crate::disk::{Disk, SystemDisk};
use crate::error::io;
use crate::layout::{FORMAT, IDENTITY, INDEX, LOCK, LOG, RECORDS, UNFINISHED, parse_table, table};
use crate::load::{Place, manifest_in};
use crate::seal;
use crate::seal::put_file;
use crate::shared::Shared;
use crate::state::{Sealed, State};
use crate::store::FsStore;
use crate::tail::{Tail, to_usize};
use crate::view::{Index, IndexTable, Layer};
use crate::writer;

/// A segment is sealed once it has so many bytes.
const SEGMENT_BYTES: u64 = 2 << 20;

/// How to open a replica in a directory.
#[derive(Debug, Clone)]
pub struct FsOptions {
    read_only: bool,
    segment_bytes: u64,
    views: bool,
}

impl Default for FsOptions {
    fn default() -> Self {
        Self { read_only: false, segment_bytes: SEGMENT_BYTES, views: true }
    }
}

impl FsOptions {
    /// For reading and writing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens for reading only: nothing in the directory is touched. A directory that a replica was
    /// published to is opened in no other way, and shows what was published to it last, of which all is
    /// loaded anew. That is noticed where the manifest is another file, as `publish` and most programs that
    /// copy trees leave it, and the system tells files apart, which Windows does not.
    #[must_use]
    pub const fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Begins another file of the log when the last one has so many bytes; 2 MiB unless this is
    /// said.
    ///
    /// A longer one takes longer to open, and is larger until it is compressed; shorter ones make
    /// more files, and who clones the replica over HTTP more requests.
    #[must_use]
    pub const fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Whether the records are written as lines of JSON, for people, when the handle is closed;
    /// they are unless this is said.
    #[must_use]
    pub const fn views(mut self, views: bool) -> Self {
        self.views = views;
        self
    }

    /// Creates the replica `identity` in a directory, which is made if it is not there, and opens
    /// it for reading and writing.
    ///
    /// # Errors
    /// `AlreadyExists` for a directory that has something in it. What the system says.
    pub fn create(
        &self,
        path: impl AsRef<Path>,
        identity: Identity,
    ) -> Result<FsStore, StoreError> {
        let path = path.as_ref();
        let disk = Arc::new(SystemDisk::new(absolute(path)?, true));
        self.create_on(disk, path.display().to_string(), identity)
    }

    /// Opens the replica in a directory.
    ///
    /// # Errors
    /// `NotFound`; `NotAReplica` for a directory with something else in it; `NewerFormat`;
    /// `Corrupt`. What the system says.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<FsStore, StoreError> {
        let path = path.as_ref();
        let disk = Arc::new(SystemDisk::new(absolute(path)?, !self.read_only));
        self.open_on(disk, path.display().to_string())
    }

    /// As [`create`](Self::create), on another kind of disk. `place` is for messages.
    ///
    /// # Errors
    /// As for `create`.
    pub fn create_on(
        &self,
        disk: Arc<dyn Disk>,
        place: String,
        identity: Identity,
    ) -> Result<FsStore, StoreError> {
        let place = Place::new(place.into(), disk, identity, false);
        let failed = place.io("creating the replica");
        let disk = &*place.disk;
        disk.make_root().map_err(&failed)?;
        // What is left of a creation that did not come to its end is gone over.
        let ours = |name: &String| {
            [LOCK, LOG, INDEX, RECORDS].contains(&name.as_str()) || name.ends_with(UNFINISHED)
        };
        if !disk.list("").map_err(&failed)?.iter().all(ours) || has_log(disk).map_err(&failed)? {
            return Err(StoreError::already_exists(&*place.name));
        }
        let lock = disk.create(LOCK).map_err(&failed)?;
        lock.lock().map_err(&failed)?;
        // Somebody else may have been at it.
        if !disk.list("").map_err(&failed)?.iter().all(ours) || has_log(disk).map_err(&failed)? {
            return Err(StoreError::already_exists(&*place.name));
        }
        for directory in [LOG, INDEX, RECORDS] {
            disk.make_directory(directory).map_err(&failed)?;
        }
        let mut state = State {
            place: Arc::clone(&place.name),
            identity,
            head: Head::EMPTY,
            seen: Sealed::NOTHING.seen,
            sealed: Sealed::NOTHING,
            recent: Layer::new(),
            index: Index::new(),
            tail: Tail::nowhere(identity.database, 1, Head::EMPTY),
            cache: Arc::default(),
            published: None,
        };
        seal::begin_segment(&place, &mut state)?;
        disk.sync_names("").map_err(&failed)?;
        let text = json!({
            "prophet": "replica",
            "format": FORMAT,
            "database": identity.database.to_string(),
            "replica": identity.replica.to_string(),
        });
        put_file(disk, "", IDENTITY, |out| writeln!(out, "{text}")).map_err(&failed)?;
        // It is derived, and the replica is there without it.
        let _ = seal::put_manifest(&place, &state);
        lock.unlock().map_err(&failed)?;
        self.start(place, state)
    }

    /// As [`open`](Self::open), on another kind of disk. `place` is for messages.
    ///
    /// # Errors
    /// As for `open`.
    pub fn open_on(&self, disk: Arc<dyn Disk>, place: String) -> Result<FsStore, StoreError> {
        let name: Arc<str> = place.into();
        let (identity, published) = identity(&*disk, &name)?;
        let place = Place::new(name, disk, identity, published);
        if published && !self.read_only {
            return Err(StoreError::read_only(format!("{}, a published replica,", place.name)));
        }
        if self.read_only {
            let (state, _) = place.load_beside_writers()?;
            return self.start(place, state);
        }
        let lock = place.disk.open(LOCK).or_else(|_| place.disk.create(LOCK));
        let lock = lock.map_err(place.io("opening the lock"))?;
        lock.lock().map_err(place.io("taking the lock"))?;
        // Who created it may have died before the name of the identity was durable.
        place.disk.sync_names("").map_err(place.io("opening the replica"))?;
        // It may be what the disk is full of.
        remove_unfinished(&place);
        let (mut state, _) = place.load(true)?;
        if state.tail.name.is_empty() {
            seal::begin_segment(&place, &mut state)?;
        }
        remove_leftovers(&place, &state);
        lock.unlock().map_err(place.io("giving the lock back"))?;
        self.start(place, state)
    }

    fn start(&self, place: Place, state: State) -> Result<FsStore, StoreError> {
        let facts = Facts {
            identity: place.identity,
            place: place.name.to_string(),
            format: FORMAT,
            capabilities: Capabilities {
                access: if self.read_only { Access::ReadOnly } else { Access::ReadWrite },
                sharing: Sharing::Processes,
                durability: Durability::PowerLoss,
            },
        };
        if self.read_only {
            return Ok(FsStore::new(facts, Arc::new(Shared::new(place, state)), None));
        }
        let lock = place.disk.open(LOCK).map_err(place.io("opening the lock"))?;
        // Whoever wrote last may have died before it told others, or a file was removed.
        let untold = !seal::is_told(&place, &state);
        let shared = Arc::new(Shared::new(place, state));
        let (segment_bytes, views) = (self.segment_bytes, self.views);
        let writer = writer::start(Arc::clone(&shared), lock, segment_bytes, views, untold)?;
        Ok(FsStore::new(facts, shared, Some(writer)))
    }
}

/// The path, whatever directory the program goes to later.
fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    std::path::absolute(path)
        .map_err(io(&path.display().to_string(), "finding out where the directory is"))
}

/// Whether there is a log with something in it: more than the beginning of a first segment, which is
/// all that a creation can have left.
fn has_log(disk: &dyn Disk) -> std::io::Result<bool> {
    let names = match disk.list(LOG) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        names => names?,
    };
    for name in names.iter().filter(|name| !name.ends_with(UNFINISHED)) {
        let path = format!("{LOG}/{name}");
        if path != open_name(1) {
            return Ok(true);
        }
        let file = disk.open(&path)?;
        let text = file.read_at(0, to_usize(file.len()?))?;
        if text.iter().filter(|byte| **byte == b'\n').count() > 1 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Which replica a directory has, and whether it was published there.
fn identity(disk: &dyn Disk, place: &str) -> Result<(Identity, bool), StoreError> {
    let failed = io(place, "opening the replica");
    let file = match disk.open(IDENTITY) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return match published(disk, place)? {
                Some(manifest) => Ok((manifest.identity, true)),
                None => Err(nothing_there(disk, place)),
            };
        }
        // The path is that of a file.
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(StoreError::not_a_replica(place, "it is a file, not a directory"));
        }
        Err(error) => return Err(failed(error)),
    };
    const LONGEST: u64 = 4_096;
    let len = file.len().map_err(&failed)?.min(LONGEST);
    let bytes = file.read_at(0, len as usize).map_err(&failed)?;
    let not = |why: &str| StoreError::not_a_replica(place, format!("{IDENTITY} {why}"));
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| not("is not JSON"))?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("prophet") != "replica" {
        return Err(not("does not say that it is a replica"));
    }
    let format = value.get("format").and_then(Value::as_u64).unwrap_or(0);
    if format > FORMAT {
        return Err(StoreError::newer_format(place, format, FORMAT));
    }
    match (text("database").parse(), text("replica").parse()) {
        (Ok(database), Ok(replica)) => Ok((Identity { database, replica }, false)),
        _ => {
            Err(StoreError::corrupt(format!("{place}/{IDENTITY}"), "it does not name the replica"))
        }
    }
}

/// The manifest of a directory that a replica was published to, and where nobody writes.
fn published(disk: &dyn Disk, place: &str) -> Result<Option<Manifest>, StoreError> {
    let failed = io(place, "opening a published replica");
    if disk.open(LOCK).is_ok() {
        return Ok(None);
    }
    let file = match disk.open(MANIFEST) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    manifest_in(&*file, place).map(Some)
}

/// What to say of a directory without an identity.
fn nothing_there(disk: &dyn Disk, place: &str) -> StoreError {
    let unfinished = |name: &String| {
        [LOCK, LOG, INDEX, RECORDS].contains(&name.as_str()) || name.ends_with(UNFINISHED)
    };
    match disk.list("") {
        Ok(names) if names.iter().all(unfinished) => StoreError::not_found(place),
        Ok(_) => StoreError::not_a_replica(place, format!("it is a directory without {IDENTITY}")),
        Err(error) if error.kind() == ErrorKind::NotFound => StoreError::not_found(place),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            StoreError::not_a_replica(place, "it is a file, not a directory")
        }
        Err(error) => io(place, "opening the replica")(error),
    }
}

/// Removes files that were not finished; that failing does no harm.
fn remove_unfinished(place: &Place) {
    for directory in ["", LOG, INDEX, RECORDS] {
        let Ok(names) = place.disk.list(directory) else { continue };
        for name in names.iter().filter(|name| name.ends_with(UNFINISHED)) {
            let path =
                if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
            let _ = place.disk.remove(&path);
        }
    }
}

/// Removes open segments that were sealed and tables that were merged, where somebody was stopped before that;
/// that failing does no harm.
fn remove_leftovers(place: &Place, state: &State) {
    let segments = place.segments().map(|segments| segments.leftovers).unwrap_or_default();
    // Who can only fetch files is told before one that they know is gone.
    if segments.is_empty() || seal::put_manifest(place, state).is_ok() {
        segments.iter().for_each(|name| drop(place.disk.remove(name)));
    }
    let tables = place.disk.list(INDEX).unwrap_or_default();
    for (first, last) in tables.iter().filter_map(|file| parse_table(file)) {
        let wider = |it: &IndexTable| {
            it.first <= first && last <= it.last && (it.first, it.last) != (first, last)
        };
        if state.index.tables.iter().any(wider) {
            let _ = place.disk.remove(&table(first, last));
        }
    }
}
