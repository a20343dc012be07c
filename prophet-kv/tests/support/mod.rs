//! A store that is nothing but this crate and a map, whose reads are really async: each of them waits
//! once. It is as short as a backend can be.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test program uses a part of it, and stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use futures_lite::future::yield_now;
use prophet_kv::{EntriesInMap, Found, Map, Reads, Scan, verify, writes};
use prophet_store::{
    Access, Authorship, Capabilities, Commit, Digest, Direction, Durability, Facts, Head,
    HistoryScan, Identity, LogEntry, LogScan, MetadataKey, MetadataScan, OriginCursor, OriginScan,
    Page, Position, Read, RecordCounts, RecordKey, RecordScan, RecordState, RecordType,
    ReplicaStore, Resolution, ResolutionCursor, ResolutionScan, Sharing, StoreError, Verification,
};
use prophet_tables::KeyRange;

pub(crate) const PLACE: &str = "a map";

/// What a map holds at one head.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot(pub(crate) Arc<BTreeMap<Vec<u8>, Vec<u8>>>);

impl Map for Snapshot {
    type Scan = SnapshotScan;

    async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        yield_now().await;
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, range: KeyRange, direction: Direction) -> SnapshotScan {
        SnapshotScan { map: self.clone(), range, direction }
    }
}

pub(crate) struct SnapshotScan {
    map: Snapshot,
    range: KeyRange,
    direction: Direction,
}

impl Scan for SnapshotScan {
    async fn next(&mut self) -> Result<Option<Found>, StoreError> {
        yield_now().await;
        if self.range.is_empty() {
            return Ok(None);
        }
        let KeyRange { start, end } = &self.range;
        let bounds = (start.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice));
        let mut found = self.map.0.range::<[u8], (Bound<&[u8]>, Bound<&[u8]>)>(bounds);
        let next = match self.direction {
            Direction::Forward => found.next(),
            Direction::Backward => found.next_back(),
        };
        let Some((key, value)) = next.map(|(key, value)| (key.clone(), value.clone())) else {
            return Ok(None);
        };
        self.range = self.range.clone().after(&key, self.direction);
        Ok(Some((key, value)))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Volume {
    pub(crate) identity: Option<Identity>,
    pub(crate) head: Option<Head>,
    pub(crate) map: Snapshot,
    pub(crate) open: bool,
}

#[derive(Debug)]
pub(crate) struct MapStore {
    facts: Facts,
    volume: Arc<Mutex<Volume>>,
    closed: Mutex<bool>,
}

impl MapStore {
    pub(crate) fn new(volume: &Arc<Mutex<Volume>>, identity: Identity) -> Self {
        let capabilities = Capabilities {
            access: Access::ReadWrite,
            sharing: Sharing::Exclusive,
            durability: Durability::Volatile,
        };
        let facts = Facts { identity, place: PLACE.to_owned(), format: 1, capabilities };
        Self { facts, volume: Arc::clone(volume), closed: Mutex::new(false) }
    }

    fn volume(&self) -> Result<MutexGuard<'_, Volume>, StoreError> {
        match *self.closed.lock().unwrap() {
            true => Err(StoreError::closed(PLACE)),
            false => Ok(self.volume.lock().unwrap()),
        }
    }

    fn reads(
        &self,
    ) -> Result<Reads<'static, Snapshot, EntriesInMap<'static, Snapshot>>, StoreError> {
        let volume = self.volume()?;
        let map = volume.map.clone();
        let head = volume.head.unwrap_or(Head::EMPTY);
        Ok(Reads::new(PLACE, head, map.clone(), EntriesInMap::new(PLACE, map)))
    }

    fn release(&self) {
        let mut closed = self.closed.lock().unwrap();
        if !*closed {
            *closed = true;
            self.volume.lock().unwrap().open = false;
        }
    }
}

impl Drop for MapStore {
    fn drop(&mut self) {
        self.release();
    }
}

#[async_trait]
impl ReplicaStore for MapStore {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn head(&self) -> Result<Head, StoreError> {
        Ok(self.reads()?.head())
    }

    async fn get_records(
        &self,
        keys: &[RecordKey],
    ) -> Result<Read<Vec<Option<RecordState>>>, StoreError> {
        self.reads()?.get_records(keys).await
    }

    async fn scan_records(
        &self,
        scan: &RecordScan,
    ) -> Result<Page<RecordState, RecordKey>, StoreError> {
        self.reads()?.scan_records(scan).await
    }

    async fn count_records(
        &self,
        record_type: Option<&RecordType>,
    ) -> Result<Read<RecordCounts>, StoreError> {
        self.reads()?.count_records(record_type).await
    }

    async fn scan_log(&self, scan: &LogScan) -> Result<Page<LogEntry, Position>, StoreError> {
        self.reads()?.scan_log(scan).await
    }

    async fn scan_history(
        &self,
        scan: &HistoryScan,
    ) -> Result<Page<LogEntry, Position>, StoreError> {
        self.reads()?.scan_history(scan).await
    }

    async fn scan_origin(
        &self,
        scan: &OriginScan,
    ) -> Result<Page<Authorship, OriginCursor>, StoreError> {
        self.reads()?.scan_origin(scan).await
    }

    async fn find_changesets(
        &self,
        digests: &[Digest],
    ) -> Result<Read<Vec<Option<Position>>>, StoreError> {
        self.reads()?.find_changesets(digests).await
    }

    async fn scan_resolutions(
        &self,
        scan: &ResolutionScan,
    ) -> Result<Page<Resolution, ResolutionCursor>, StoreError> {
        self.reads()?.scan_resolutions(scan).await
    }

    async fn get_metadata(
        &self,
        keys: &[MetadataKey],
    ) -> Result<Read<Vec<Option<Vec<u8>>>>, StoreError> {
        self.reads()?.get_metadata(keys).await
    }

    async fn scan_metadata(
        &self,
        scan: &MetadataScan,
    ) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError> {
        self.reads()?.scan_metadata(scan).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Head, StoreError> {
        // What it was judged on has to be what it is applied to.
        let mut volume = loop {
            let reads = self.reads()?;
            let judged = reads.head();
            if let Some(applied) = reads.judge(commit, |_| true).await? {
                return Ok(applied);
            }
            let volume = self.volume()?;
            if volume.head.unwrap_or(Head::EMPTY) == judged {
                break volume;
            }
        };
        let mut list = Vec::new();
        writes::commit(&mut list, commit);
        writes::forget(&mut list, commit.head().version);
        writes::apply(Arc::make_mut(&mut volume.map.0), list);
        volume.head = Some(commit.head());
        Ok(commit.head())
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        verify(&self.reads()?).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        drop(self.volume()?);
        self.release();
        Ok(())
    }
}
