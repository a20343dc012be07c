//! The store: the trait, put together from the parts.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures_lite::future::block_on;
use prophet_store::{
    Authorship, Commit, Digest, Facts, Head, HistoryScan, Identity, LogEntry, LogScan, MetadataKey,
    MetadataScan, OriginCursor, OriginScan, Page, Position, Read, RecordCounts, RecordKey,
    RecordScan, RecordState, RecordType, ReplicaStore, Resolution, ResolutionCursor,
    ResolutionScan, StoreError, Verification,
};
use prophet_writer::Writer;

use crate::options::SledOptions;
use crate::shared::{At, Shared};
use crate::verify;

/// A [`ReplicaStore`] in a directory that [sled](https://docs.rs/sled) keeps, which one handle at a
/// time may have open.
///
/// Reads run on the calling thread, and do not wait for a commit that is under way: until it is on the
/// device they see what was there before. Commits run one after the other on a thread that belongs to
/// the handle. Dropping the handle waits for the commits that were handed over, and so does
/// [`close`](Self::close). A commit waits for the end of a [`verify`](Self::verify) and of a
/// [`count_records`](Self::count_records).
pub struct SledStore {
    facts: Facts,
    // Before the state, so that the thread has ended when the tree is closed.
    writer: Writer<Commit>,
    shared: Arc<Shared>,
    closed: AtomicBool,
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl SledStore {
    /// Creates the replica `identity` in a directory, which is made if it is not there, and opens it,
    /// with the default options.
    ///
    /// # Errors
    /// Those of [`SledOptions::create`].
    pub fn create(path: impl AsRef<Path>, identity: Identity) -> Result<Self, StoreError> {
        SledOptions::new().create(path, identity)
    }

    /// Opens the replica in a directory, with the default options.
    ///
    /// # Errors
    /// Those of [`SledOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        SledOptions::new().open(path)
    }

    pub(crate) const fn new(facts: Facts, shared: Arc<Shared>, writer: Writer<Commit>) -> Self {
        Self { facts, writer, shared, closed: AtomicBool::new(false) }
    }

    fn is_open(&self) -> Result<(), StoreError> {
        match self.closed.load(Ordering::Acquire) {
            true => Err(StoreError::closed(&self.facts.place)),
            false => Ok(()),
        }
    }

    fn read<T>(&self, read: impl FnOnce(At<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.is_open()?;
        self.shared.read(read)
    }
}

// sled is ready at once, so nothing that is blocked on here waits for anybody else.
#[async_trait]
impl ReplicaStore for SledStore {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.read(|at| Ok(at.head()))
    }

    async fn get_records(
        &self,
        keys: &[RecordKey],
    ) -> Result<Read<Vec<Option<RecordState>>>, StoreError> {
        self.read(|at| block_on(at.get_records(keys)))
    }

    async fn scan_records(
        &self,
        scan: &RecordScan,
    ) -> Result<Page<RecordState, RecordKey>, StoreError> {
        self.read(|at| block_on(at.scan_records(scan)))
    }

    async fn count_records(
        &self,
        record_type: Option<&RecordType>,
    ) -> Result<Read<RecordCounts>, StoreError> {
        self.read(|at| block_on(at.count_records(record_type)))
    }

    async fn scan_log(&self, scan: &LogScan) -> Result<Page<LogEntry, Position>, StoreError> {
        self.read(|at| block_on(at.scan_log(scan)))
    }

    async fn scan_history(
        &self,
        scan: &HistoryScan,
    ) -> Result<Page<LogEntry, Position>, StoreError> {
        self.read(|at| block_on(at.scan_history(scan)))
    }

    async fn scan_origin(
        &self,
        scan: &OriginScan,
    ) -> Result<Page<Authorship, OriginCursor>, StoreError> {
        self.read(|at| block_on(at.scan_origin(scan)))
    }

    async fn find_changesets(
        &self,
        digests: &[Digest],
    ) -> Result<Read<Vec<Option<Position>>>, StoreError> {
        self.read(|at| block_on(at.find_changesets(digests)))
    }

    async fn scan_resolutions(
        &self,
        scan: &ResolutionScan,
    ) -> Result<Page<Resolution, ResolutionCursor>, StoreError> {
        self.read(|at| block_on(at.scan_resolutions(scan)))
    }

    async fn get_metadata(
        &self,
        keys: &[MetadataKey],
    ) -> Result<Read<Vec<Option<Vec<u8>>>>, StoreError> {
        self.read(|at| block_on(at.get_metadata(keys)))
    }

    async fn scan_metadata(
        &self,
        scan: &MetadataScan,
    ) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError> {
        self.read(|at| block_on(at.scan_metadata(scan)))
    }

    async fn commit(&self, commit: &Commit) -> Result<Head, StoreError> {
        self.is_open()?;
        self.writer.commit(commit.id(), commit.clone()).await
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        self.is_open()?;
        self.shared.on(|state| verify::verify(&self.facts.place, state))
    }

    async fn close(&self) -> Result<(), StoreError> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Err(StoreError::closed(&self.facts.place));
        }
        self.writer.close().await;
        self.shared.close();
        Ok(())
    }
}
