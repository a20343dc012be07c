//! The store: the trait, put together from the parts.

use std::fmt;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures_lite::future::poll_once;
use prophet_store::{
    Authorship, Commit, Digest, Facts, Head, HistoryScan, Identity, LogEntry, LogScan, MetadataKey,
    MetadataScan, OriginCursor, OriginScan, Page, Position, Read, RecordCounts, RecordKey,
    RecordScan, RecordState, RecordType, ReplicaStore, Resolution, ResolutionCursor,
    ResolutionScan, StoreError, Verification,
};
use prophet_writer::Writer;

use crate::log::Log;
use crate::options::FsOptions;
use crate::prepared::Prepared;
use crate::shared::Shared;
use crate::verify;

/// A [`ReplicaStore`] in a directory of files that people can read, which any number of handles in
/// any number of programs may have open at once.
///
/// Reads run on the calling thread. They wait for no lock of another program, and for a commit of this
/// handle only while it is taken in. Commits run one after the other on a thread that belongs to the handle. Dropping the handle waits for the commits that
/// were handed over, and so does [`close`](Self::close).
pub struct FsStore {
    facts: Facts,
    shared: Arc<Shared>,
    writer: Option<Writer<Arc<Prepared>>>,
    closed: AtomicBool,
}

impl fmt::Debug for FsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FsStore").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl FsStore {
    /// Creates the replica `identity` in a directory, which is made if it is not there, and opens
    /// it, with the default options.
    ///
    /// # Errors
    /// Those of [`FsOptions::create`].
    pub fn create(path: impl AsRef<Path>, identity: Identity) -> Result<Self, StoreError> {
        FsOptions::new().create(path, identity)
    }

    /// Opens the replica in a directory for reading and writing, with the default options.
    ///
    /// # Errors
    /// Those of [`FsOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        FsOptions::new().open(path)
    }

    pub(crate) const fn new(
        facts: Facts,
        shared: Arc<Shared>,
        writer: Option<Writer<Arc<Prepared>>>,
    ) -> Self {
        Self { facts, shared, writer, closed: AtomicBool::new(false) }
    }

    fn read<T>(
        &self,
        read: impl FnOnce(Log<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::closed(&self.facts.place));
        }
        self.shared.read(read)
    }

    /// Reads what takes long: on a copy of the state, for writers wait for those who read in it.
    fn read_long<T>(
        &self,
        read: impl FnOnce(Log<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let state = self.read(|log| Ok(log.state.clone()))?;
        self.shared.on(&state, read)
    }
}

#[async_trait]
impl ReplicaStore for FsStore {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.read(|log| Ok(log.state.head))
    }

    async fn get_records(
        &self,
        keys: &[RecordKey],
    ) -> Result<Read<Vec<Option<RecordState>>>, StoreError> {
        self.read(|log| log.records(keys))
    }

    async fn scan_records(
        &self,
        scan: &RecordScan,
    ) -> Result<Page<RecordState, RecordKey>, StoreError> {
        self.read(|log| log.scan_records(scan))
    }

    async fn count_records(
        &self,
        record_type: Option<&RecordType>,
    ) -> Result<Read<RecordCounts>, StoreError> {
        // Where there are no tables, counting is done before a copy would be.
        if self.read(|log| Ok(log.state.index.tables.is_empty()))? {
            return self.read(|log| log.count_records(record_type));
        }
        self.read_long(|log| log.count_records(record_type))
    }

    async fn scan_log(&self, scan: &LogScan) -> Result<Page<LogEntry, Position>, StoreError> {
        self.read(|log| log.scan_log(scan))
    }

    async fn scan_history(
        &self,
        scan: &HistoryScan,
    ) -> Result<Page<LogEntry, Position>, StoreError> {
        self.read(|log| log.scan_history(scan))
    }

    async fn scan_origin(
        &self,
        scan: &OriginScan,
    ) -> Result<Page<Authorship, OriginCursor>, StoreError> {
        self.read(|log| log.scan_origin(scan))
    }

    async fn find_changesets(
        &self,
        digests: &[Digest],
    ) -> Result<Read<Vec<Option<Position>>>, StoreError> {
        self.read(|log| log.find_changesets(digests))
    }

    async fn scan_resolutions(
        &self,
        scan: &ResolutionScan,
    ) -> Result<Page<Resolution, ResolutionCursor>, StoreError> {
        self.read(|log| log.scan_resolutions(scan))
    }

    async fn get_metadata(
        &self,
        keys: &[MetadataKey],
    ) -> Result<Read<Vec<Option<Vec<u8>>>>, StoreError> {
        self.read(|log| log.metadata(keys))
    }

    async fn scan_metadata(
        &self,
        scan: &MetadataScan,
    ) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError> {
        self.read(|log| log.scan_metadata(scan))
    }

    async fn commit(&self, commit: &Commit) -> Result<Head, StoreError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::closed(&self.facts.place));
        }
        let Some(writer) = &self.writer else {
            return Err(StoreError::read_only(&self.facts.place));
        };
        let prepared = Arc::new(Prepared::new(commit.clone()));
        let mut answer = pin!(writer.commit(commit.id(), Arc::clone(&prepared)));
        // From here on the writer has it, and mostly waits for the device.
        if let Some(answered) = poll_once(answer.as_mut()).await {
            return answered;
        }
        prepared.work_out();
        answer.await
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        let place = &self.shared.place;
        let verify = || self.read_long(|log| Ok((verify::verify(&log, place)?, log.state.clone())));
        let (mut found, mut state) = verify()?;
        for _ in 0..2 {
            // What was published anew meanwhile may have taken away what was looked at.
            if !found.is_sound() && place.is_published_anew(&state)? {
                (found, state) = verify()?;
            }
        }
        Ok(found)
    }

    async fn close(&self) -> Result<(), StoreError> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Err(StoreError::closed(&self.facts.place));
        }
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
        Ok(())
    }
}
