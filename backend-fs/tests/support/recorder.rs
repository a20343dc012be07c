//! A store that keeps the commits that it was given.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use prophet_store::{
    Authorship, Commit, Digest, Facts, Head, HistoryScan, LogEntry, LogScan, MemoryStore,
    MetadataKey, MetadataScan, OriginCursor, OriginScan, Page, Position, Read, RecordCounts,
    RecordKey, RecordScan, RecordState, RecordType, ReplicaStore, Resolution, ResolutionCursor,
    ResolutionScan, StoreError, Verification,
};

#[derive(Debug)]
pub(crate) struct Recorder {
    store: MemoryStore,
    commits: Mutex<Vec<Commit>>,
}

impl Recorder {
    pub(crate) const fn new(store: MemoryStore) -> Self {
        Self { store, commits: Mutex::new(Vec::new()) }
    }

    pub(crate) fn recorded(&self) -> Vec<Commit> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl ReplicaStore for Recorder {
    fn facts(&self) -> &Facts {
        self.store.facts()
    }

    async fn commit(&self, commit: &Commit) -> Result<Head, StoreError> {
        let head = self.store.commit(commit).await?;
        self.commits.lock().unwrap_or_else(PoisonError::into_inner).push(commit.clone());
        Ok(head)
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.store.head().await
    }

    async fn get_records(
        &self,
        keys: &[RecordKey],
    ) -> Result<Read<Vec<Option<RecordState>>>, StoreError> {
        self.store.get_records(keys).await
    }

    async fn scan_records(
        &self,
        scan: &RecordScan,
    ) -> Result<Page<RecordState, RecordKey>, StoreError> {
        self.store.scan_records(scan).await
    }

    async fn count_records(
        &self,
        record_type: Option<&RecordType>,
    ) -> Result<Read<RecordCounts>, StoreError> {
        self.store.count_records(record_type).await
    }

    async fn scan_log(&self, scan: &LogScan) -> Result<Page<LogEntry, Position>, StoreError> {
        self.store.scan_log(scan).await
    }

    async fn scan_history(
        &self,
        scan: &HistoryScan,
    ) -> Result<Page<LogEntry, Position>, StoreError> {
        self.store.scan_history(scan).await
    }

    async fn scan_origin(
        &self,
        scan: &OriginScan,
    ) -> Result<Page<Authorship, OriginCursor>, StoreError> {
        self.store.scan_origin(scan).await
    }

    async fn find_changesets(
        &self,
        digests: &[Digest],
    ) -> Result<Read<Vec<Option<Position>>>, StoreError> {
        self.store.find_changesets(digests).await
    }

    async fn scan_resolutions(
        &self,
        scan: &ResolutionScan,
    ) -> Result<Page<Resolution, ResolutionCursor>, StoreError> {
        self.store.scan_resolutions(scan).await
    }

    async fn get_metadata(
        &self,
        keys: &[MetadataKey],
    ) -> Result<Read<Vec<Option<Vec<u8>>>>, StoreError> {
        self.store.get_metadata(keys).await
    }

    async fn scan_metadata(
        &self,
        scan: &MetadataScan,
    ) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError> {
        self.store.scan_metadata(scan).await
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        self.store.verify().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}
