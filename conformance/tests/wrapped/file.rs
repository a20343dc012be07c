//! A store in one file: its commits one after the other, replayed into memory by each handle.
//!
//! It has every power there is, or is exclusive; it is as plain as can be and not meant to be
//! quick.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use conformance::{Harness, Place, Store};
use futures_lite::future::block_on;
use prophet_store::{
    Access, Authorship, Capabilities, Commit, DatabaseId, Digest, Durability, Facts, Head,
    HistoryScan, Identity, LogEntry, LogScan, MemoryStore, MetadataKey, MetadataScan, OriginCursor,
    OriginScan, Page, Position, Read, RecordCounts, RecordKey, RecordScan, RecordState, RecordType,
    ReplicaId, ReplicaStore, Resolution, ResolutionCursor, ResolutionScan, Sharing, StoreError,
    Verification,
};
use tempfile::TempDir;

use super::encoding::{decoded, encoded, put, take};
use super::locked;

/// What the store is like. All but the first two make it a broken one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileOptions {
    /// One handle at a time.
    pub(crate) exclusive: bool,
    /// Files of others are in the directory.
    pub(crate) company: bool,
    /// No lock keeps others away, while a handle is open or while it commits.
    pub(crate) unlocked: bool,
    /// A handle reads what there was when it was opened, and its own commits.
    pub(crate) reads_nothing_new: bool,
    /// A handle commits to what it last knew of.
    pub(crate) commits_blindly: bool,
    /// What is written is kept back until the handle is closed or dropped.
    pub(crate) writes_at_the_end: bool,
    /// Opening another process's place makes one where there is none.
    pub(crate) opens_nothing: bool,
}

impl FileOptions {
    /// A sound store that several processes share.
    pub(crate) const SHARED: Self = Self {
        exclusive: false,
        company: false,
        unlocked: false,
        reads_nothing_new: false,
        commits_blindly: false,
        writes_at_the_end: false,
        opens_nothing: false,
    };
    /// A sound store for one handle at a time.
    pub(crate) const EXCLUSIVE: Self = Self { exclusive: true, ..Self::SHARED };
}

const REPLICA: &str = "replica";

pub(crate) struct FileHarness(pub(crate) FileOptions);

impl Harness for FileHarness {
    fn place(&self) -> Box<dyn Place> {
        let directory = TempDir::new().expect("a temporary directory can be made");
        if self.0.company {
            for name in ["desktop.ini", ".DS_Store", "replica~", "replica.lock", "0"] {
                std::fs::write(directory.path().join(name), b"not of a replica")
                    .expect("the directory can be written to");
            }
        }
        let path = directory.path().join(REPLICA);
        Box::new(FilePlace { options: self.0, path, _directory: directory })
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        let path = Path::new(address);
        if self.0.opens_nothing && !path.exists() {
            let nobody = Identity {
                database: DatabaseId::from_bytes([0; 16]),
                replica: ReplicaId::from_bytes([0; 16]),
            };
            return Ok(Arc::new(FileStore::create(path, nobody, self.0)?));
        }
        Ok(Arc::new(FileStore::open(path, self.0, Access::ReadWrite)?))
    }
}

struct FilePlace {
    options: FileOptions,
    path: PathBuf,
    _directory: TempDir,
}

impl Place for FilePlace {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        Ok(Arc::new(FileStore::create(&self.path, identity, self.options)?))
    }

    fn open(&self) -> Result<Store, StoreError> {
        Ok(Arc::new(FileStore::open(&self.path, self.options, Access::ReadWrite)?))
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        if self.options.exclusive {
            return None;
        }
        let opened = FileStore::open(&self.path, self.options, Access::ReadOnly);
        Some(opened.map(|store| Arc::new(store) as Store))
    }

    fn address(&self) -> Option<String> {
        self.path.to_str().map(str::to_owned)
    }
}

#[derive(Debug)]
struct FileStore {
    options: FileOptions,
    facts: Facts,
    memory: MemoryStore,
    /// The file and how much of it was replayed; `None` once the handle is closed.
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    file: File,
    replayed: u64,
    /// What is to be written at the end.
    pending: Vec<u8>,
}

impl FileStore {
    fn create(path: &Path, identity: Identity, options: FileOptions) -> Result<Self, StoreError> {
        let place = path.display().to_string();
        let made = OpenOptions::new().create_new(true).write(true).open(path);
        match made {
            Ok(mut file) => {
                let mut bytes = Vec::new();
                put(&mut bytes, identity.database.as_bytes());
                put(&mut bytes, identity.replica.as_bytes());
                file.write_all(&bytes).map_err(|error| StoreError::io(place, "creating", error))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(StoreError::already_exists(place));
            }
            Err(error) => return Err(StoreError::io(place, "creating", error)),
        }
        Self::open(path, options, Access::ReadWrite)
    }

    fn open(path: &Path, options: FileOptions, access: Access) -> Result<Self, StoreError> {
        let place = path.display().to_string();
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::not_found(path.display().to_string()),
            _ => StoreError::io(path.display().to_string(), "opening", error),
        };
        let writing = access == Access::ReadWrite;
        let mut file = OpenOptions::new().read(true).append(writing).open(path).map_err(failed)?;
        if options.exclusive && !options.unlocked {
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::locked(place, "another handle of it is open"));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        let mut bytes = [0; 40];
        file.read_exact(&mut bytes).map_err(failed)?;
        let mut rest = &bytes[..];
        let ids = [take(&mut rest), take(&mut rest)].map(|id| id.and_then(|id| id.try_into().ok()));
        let [Some(database), Some(replica)] = ids else {
            return Err(StoreError::not_a_replica(place, "it does not begin with an identity"));
        };
        let identity = Identity {
            database: DatabaseId::from_bytes(database),
            replica: ReplicaId::from_bytes(replica),
        };
        let capabilities = Capabilities {
            access,
            sharing: if options.exclusive { Sharing::Exclusive } else { Sharing::Processes },
            durability: Durability::ProcessCrash,
        };
        let store = Self {
            options,
            facts: Facts { identity, place, format: 1, capabilities },
            memory: MemoryStore::new(identity),
            open: Mutex::new(Some(Open { file, replayed: 40, pending: Vec::new() })),
        };
        store.locking(|open| store.replay(open))?;
        Ok(store)
    }

    fn failed(&self, error: io::Error) -> StoreError {
        StoreError::io(self.facts.place.as_str(), "using it", error)
    }

    /// Uses the file while no other handle does.
    fn locking<T>(
        &self,
        use_it: impl FnOnce(&mut Open) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut guard = locked(&self.open);
        let Some(open) = guard.as_mut() else {
            return Err(StoreError::closed(self.facts.place.as_str()));
        };
        if self.options.exclusive || self.options.unlocked {
            return use_it(open);
        }
        open.file.lock().map_err(|error| self.failed(error))?;
        let answer = use_it(open);
        open.file.unlock().map_err(|error| self.failed(error))?;
        answer
    }

    /// Takes in what was written since. A part of a commit at the end is none.
    fn replay(&self, open: &mut Open) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        let seek = SeekFrom::Start(open.replayed);
        open.file.seek(seek).map_err(|error| self.failed(error))?;
        open.file.read_to_end(&mut bytes).map_err(|error| self.failed(error))?;
        let mut rest = &bytes[..];
        while let Some(frame) = take(&mut rest) {
            let commit = decoded(frame).ok_or_else(|| {
                StoreError::corrupt(self.facts.place.as_str(), "a commit that is none")
            })?;
            // Its own commits come by here as well, and are recognised.
            match block_on(self.memory.commit(&commit)) {
                Ok(_) | Err(StoreError::StaleBase { .. }) => {}
                Err(error) => return Err(error),
            }
            open.replayed += frame.len() as u64 + 4;
        }
        Ok(())
    }

    /// The content as it is now.
    fn now(&self) -> Result<&MemoryStore, StoreError> {
        self.locking(
            |open| if self.options.reads_nothing_new { Ok(()) } else { self.replay(open) },
        )?;
        Ok(&self.memory)
    }

    fn write(&self, commit: &Commit) -> Result<Head, StoreError> {
        self.locking(|open| {
            if self.facts.capabilities.access == Access::ReadOnly {
                return Err(StoreError::read_only(self.facts.place.as_str()));
            }
            if !self.options.commits_blindly {
                self.replay(open)?;
            }
            let fresh = commit.base() == block_on(self.memory.head())?;
            let head = block_on(self.memory.commit(commit))?;
            if self.options.unlocked {
                // Time for others to come in between.
                (0..100).for_each(|_| std::thread::yield_now());
            }
            if fresh {
                let mut frame = Vec::new();
                put(&mut frame, &encoded(commit));
                if self.options.writes_at_the_end {
                    open.pending.extend(frame);
                } else {
                    // What a process that ended amid a commit left is in the way of the next.
                    if !self.options.unlocked && !self.options.commits_blindly {
                        open.file.set_len(open.replayed).map_err(|error| self.failed(error))?;
                    }
                    open.file.write_all(&frame).map_err(|error| self.failed(error))?;
                }
            }
            Ok(head)
        })
    }

    fn release(&self) -> Result<(), StoreError> {
        match locked(&self.open).take() {
            None => Err(StoreError::closed(self.facts.place.as_str())),
            Some(mut open) => {
                open.file.write_all(&open.pending).map_err(|error| self.failed(error))
            }
        }
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        let _ = self.release();
    }
}

#[async_trait]
impl ReplicaStore for FileStore {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.now()?.head().await
    }

    async fn get_records(
        &self,
        keys: &[RecordKey],
    ) -> Result<Read<Vec<Option<RecordState>>>, StoreError> {
        self.now()?.get_records(keys).await
    }

    async fn scan_records(
        &self,
        scan: &RecordScan,
    ) -> Result<Page<RecordState, RecordKey>, StoreError> {
        self.now()?.scan_records(scan).await
    }

    async fn count_records(
        &self,
        record_type: Option<&RecordType>,
    ) -> Result<Read<RecordCounts>, StoreError> {
        self.now()?.count_records(record_type).await
    }

    async fn scan_log(&self, scan: &LogScan) -> Result<Page<LogEntry, Position>, StoreError> {
        self.now()?.scan_log(scan).await
    }

    async fn scan_history(
        &self,
        scan: &HistoryScan,
    ) -> Result<Page<LogEntry, Position>, StoreError> {
        self.now()?.scan_history(scan).await
    }

    async fn scan_origin(
        &self,
        scan: &OriginScan,
    ) -> Result<Page<Authorship, OriginCursor>, StoreError> {
        self.now()?.scan_origin(scan).await
    }

    async fn find_changesets(
        &self,
        digests: &[Digest],
    ) -> Result<Read<Vec<Option<Position>>>, StoreError> {
        self.now()?.find_changesets(digests).await
    }

    async fn scan_resolutions(
        &self,
        scan: &ResolutionScan,
    ) -> Result<Page<Resolution, ResolutionCursor>, StoreError> {
        self.now()?.scan_resolutions(scan).await
    }

    async fn get_metadata(
        &self,
        keys: &[MetadataKey],
    ) -> Result<Read<Vec<Option<Vec<u8>>>>, StoreError> {
        self.now()?.get_metadata(keys).await
    }

    async fn scan_metadata(
        &self,
        scan: &MetadataScan,
    ) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError> {
        self.now()?.scan_metadata(scan).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Head, StoreError> {
        self.write(commit)
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        self.now()?.verify().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.release()
    }
}
