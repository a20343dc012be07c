//! A store of somebody else: one file, to which each commit is appended, and a map in memory, which is
//! made from it when it is opened. `docs/writing-a-backend.md` leads through it.

mod file;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use async_lock::Mutex;
use async_trait::async_trait;
use prophet_kv::{EntriesInMap, Reads, Report, verify, writes};
use prophet_store::{
    Access, Authorship, Capabilities, Commit, Digest, Durability, Facts, Head, HistoryScan,
    Identity, LogEntry, LogScan, MetadataKey, MetadataScan, OriginCursor, OriginScan, Page,
    Position, Read, RecordCounts, RecordKey, RecordScan, RecordState, RecordType, ReplicaStore,
    Resolution, ResolutionCursor, ResolutionScan, Sharing, StoreError, Verification,
};

/// A replica in one file.
#[derive(Debug)]
pub struct FileStore {
    facts: Facts,
    /// Held for as long as a commit takes, so that there is one at a time.
    log: Mutex<Log>,
    /// What reads answer from; `None` once the handle is closed.
    state: RwLock<Option<Arc<State>>>,
}

#[derive(Debug)]
struct Log {
    file: File,
    end: u64,
}

/// All that the replica holds at one head.
#[derive(Debug, Clone, PartialEq)]
struct State {
    head: Head,
    map: BTreeMap<Vec<u8>, Vec<u8>>,
}

type Map<'a> = &'a BTreeMap<Vec<u8>, Vec<u8>>;
type Result<T> = std::result::Result<T, StoreError>;
type Metadata = (MetadataKey, Vec<u8>);
type Paged<T, C> = Result<Page<T, C>>;

impl State {
    const EMPTY: Self = Self { head: Head::EMPTY, map: BTreeMap::new() };

    fn reads<'a>(&'a self, facts: &'a Facts) -> Reads<'a, Map<'a>, EntriesInMap<'a, Map<'a>>> {
        let entries = EntriesInMap::new(&facts.place, &self.map);
        Reads::new(&facts.place, self.head, &self.map, entries)
    }

    fn apply(&mut self, head: Head, list: Vec<writes::Write>) {
        writes::apply(&mut self.map, list);
        self.head = head;
    }
}

impl FileStore {
    /// Creates a replica in a new file.
    ///
    /// # Errors
    /// Something that is there already, and what keeps from writing.
    pub fn create(path: &Path, identity: Identity) -> Result<Self> {
        let place = path.display().to_string();
        let file = file::create(path, identity).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => StoreError::already_exists(&place),
            _ => StoreError::io(&place, "creating", error),
        })?;
        Ok(Self::new(place, identity, Log { file, end: file::FRAMES }, State::EMPTY))
    }

    /// Opens the replica in a file.
    ///
    /// # Errors
    /// No file or one that is something else, one that is open already, damage, and what keeps from
    /// reading.
    pub fn open(path: &Path) -> Result<Self> {
        let place = path.display().to_string();
        let file = file::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => StoreError::not_found(&place),
            ErrorKind::IsADirectory => StoreError::not_a_replica(&place, "it is a directory"),
            ErrorKind::WouldBlock => StoreError::locked(&place, "another handle has it open"),
            _ => StoreError::io(&place, "opening", error),
        })?;
        let failed = |error| StoreError::io(&place, "reading", error);
        let bytes = file::read(&file).map_err(failed)?;
        let found = file::replay(&place, &bytes)?;
        file::recover(&file, &bytes, &found).map_err(failed)?;
        Ok(Self::new(place, found.identity, Log { file, end: found.end }, found.state))
    }

    fn new(place: String, identity: Identity, log: Log, state: State) -> Self {
        let capabilities = Capabilities {
            access: Access::ReadWrite,
            sharing: Sharing::Exclusive,
            durability: Durability::PowerLoss,
        };
        let facts = Facts { identity, place, format: file::FORMAT.into(), capabilities };
        Self { facts, log: Mutex::new(log), state: RwLock::new(Some(Arc::new(state))) }
    }

    fn state(&self) -> Result<Arc<State>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.clone().ok_or_else(|| StoreError::closed(&self.facts.place))
    }

    fn shut(&self) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Appends a commit to the file, for good.
    fn append(&self, log: &mut Log, commit: &Commit, list: &[writes::Write]) -> Result<()> {
        let place = &self.facts.place;
        let end = file::append(&log.file, log.end, commit.head(), list).map_err(|error| {
            // Half a frame is no commit, now or after a crash: not applied, and never will be.
            if log.file.set_len(log.end).is_err() {
                self.shut();
            }
            match error.kind() {
                ErrorKind::StorageFull => StoreError::full(place, Some(error.into())),
                _ => StoreError::io(place, "writing a commit", error),
            }
        })?;
        file::make_durable(&log.file, commit.head().version, end).map_err(|error| {
            // The frame is whole, and nobody can say whether it stays. Opening settles it.
            self.shut();
            StoreError::outcome_unknown(commit.id(), place, Some(error.into()))
        })?;
        log.end = end;
        Ok(())
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        // Closing the file would not do: a child process just being started may have it too.
        let _ = self.log.get_mut().file.unlock();
    }
}

#[async_trait]
impl ReplicaStore for FileStore {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn head(&self) -> Result<Head> {
        Ok(self.state()?.head)
    }

    async fn get_records(&self, keys: &[RecordKey]) -> Result<Read<Vec<Option<RecordState>>>> {
        self.state()?.reads(&self.facts).get_records(keys).await
    }

    async fn scan_records(&self, scan: &RecordScan) -> Paged<RecordState, RecordKey> {
        self.state()?.reads(&self.facts).scan_records(scan).await
    }

    async fn count_records(&self, of: Option<&RecordType>) -> Result<Read<RecordCounts>> {
        self.state()?.reads(&self.facts).count_records(of).await
    }

    async fn scan_log(&self, scan: &LogScan) -> Paged<LogEntry, Position> {
        self.state()?.reads(&self.facts).scan_log(scan).await
    }

    async fn scan_history(&self, scan: &HistoryScan) -> Paged<LogEntry, Position> {
        self.state()?.reads(&self.facts).scan_history(scan).await
    }

    async fn scan_origin(&self, scan: &OriginScan) -> Paged<Authorship, OriginCursor> {
        self.state()?.reads(&self.facts).scan_origin(scan).await
    }

    async fn find_changesets(&self, digests: &[Digest]) -> Result<Read<Vec<Option<Position>>>> {
        self.state()?.reads(&self.facts).find_changesets(digests).await
    }

    async fn scan_resolutions(&self, scan: &ResolutionScan) -> Paged<Resolution, ResolutionCursor> {
        self.state()?.reads(&self.facts).scan_resolutions(scan).await
    }

    async fn get_metadata(&self, keys: &[MetadataKey]) -> Result<Read<Vec<Option<Vec<u8>>>>> {
        self.state()?.reads(&self.facts).get_metadata(keys).await
    }

    async fn scan_metadata(&self, scan: &MetadataScan) -> Paged<Metadata, MetadataKey> {
        self.state()?.reads(&self.facts).scan_metadata(scan).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Head> {
        let mut log = self.log.lock().await;
        let state = self.state()?;
        if let Some(applied) = state.reads(&self.facts).judge(commit, |_| true).await? {
            return Ok(applied);
        }
        let mut list = Vec::new();
        writes::commit(&mut list, commit);
        writes::forget(&mut list, commit.head().version);
        // From here on nothing waits, so a future that is dropped leaves nothing half done.
        self.append(&mut log, commit, &list)?;
        drop(state);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = &mut *state {
            // Copies the map if a read is under way, which goes on at the head before.
            Arc::make_mut(state).apply(commit.head(), list);
        }
        Ok(commit.head())
    }

    async fn verify(&self) -> Result<Verification> {
        let log = self.log.lock().await;
        let (state, place) = (self.state()?, &self.facts.place);
        let mut report = Report::after(verify(&state.reads(&self.facts)).await?);
        let bytes = file::read(&log.file).map_err(|e| StoreError::io(place, "reading", e))?;
        match file::replay(place, &bytes) {
            Ok(found) if found.state == *state => {}
            Ok(_) => report.problem(format!("{place}: the file is not what was written to it")),
            Err(error) => report.problem(error.to_string()),
        }
        Ok(report.finish())
    }

    async fn close(&self) -> Result<()> {
        let log = self.log.lock().await;
        self.state()?;
        self.shut();
        log.file.unlock().map_err(|error| StoreError::io(&self.facts.place, "closing", error))
    }
}
