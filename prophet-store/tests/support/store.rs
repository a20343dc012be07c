//! Replicas to test, and a store that fails as told.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_lite::StreamExt as _;
use prophet_store::*;

pub(crate) fn identity() -> Identity {
    Identity { database: DatabaseId::from_bytes([1; 16]), replica: ReplicaId::from_bytes([2; 16]) }
}

/// Time that stands still unless moved, and chance that counts.
#[derive(Debug, Default)]
pub(crate) struct Still {
    pub(crate) now: AtomicU64,
    pub(crate) drawn: AtomicU64,
}

impl Environment for Still {
    fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    fn random(&self, bytes: &mut [u8]) -> std::io::Result<()> {
        let drawn = self.drawn.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        for (byte, drawn) in bytes.iter_mut().rev().zip(drawn.iter().rev()) {
            *byte = *drawn;
        }
        Ok(())
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        // Time does not pass, but others get their turn.
        Box::pin(futures_lite::future::yield_now())
    }
}

pub(crate) fn properties<const N: usize>(pairs: [(&str, Value); N]) -> Properties {
    Properties::try_from(pairs).unwrap()
}

pub(crate) fn name(text: &str) -> Properties {
    properties([("name", Value::from(text))])
}

pub(crate) async fn names(found: Streamed<'_, Record>) -> Vec<String> {
    found
        .map(|record| record.unwrap().get("name").and_then(Value::as_text).unwrap().to_owned())
        .collect()
        .await
}

/// What a commit does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    Works,
    /// It is applied, and the answer is lost.
    Lost,
    /// It is not applied, and the answer is lost.
    Vanishes,
    /// It is applied, and the answer never comes.
    Silent,
    /// It is refused, whether an earlier attempt was applied or not.
    Busy,
    Closed,
    Full,
}

/// What is answered late: `find_changesets`, or `scan_origin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    Changesets,
    Origins,
}

/// A store whose next commits do as told, and those after them what they should.
#[derive(Debug)]
pub(crate) struct Scripted {
    store: MemoryStore,
    script: Mutex<VecDeque<Act>>,
    /// Whether a commit takes a while: long enough for others to stage theirs.
    slow: bool,
    /// Whether what a pull asks about changesets while a commit is under way is answered after it, and as it
    /// was before it.
    late: Option<Late>,
    under_way: AtomicU64,
    pub(crate) commits: AtomicU64,
    /// The size of the largest commit so far.
    pub(crate) largest: AtomicU64,
}

impl Scripted {
    pub(crate) fn new(script: &[Act]) -> Self {
        Self {
            store: MemoryStore::new(identity()),
            script: Mutex::new(script.iter().copied().collect()),
            slow: false,
            late: None,
            under_way: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            largest: AtomicU64::new(0),
        }
    }

    pub(crate) fn slow(script: &[Act]) -> Self {
        Self { slow: true, ..Self::new(script) }
    }

    pub(crate) fn late(late: Late) -> Self {
        Self { late: Some(late), ..Self::slow(&[]) }
    }

    async fn late_if<T>(&self, asked: bool, late: Late, answer: T) -> T {
        while asked && self.late == Some(late) && self.under_way.load(Ordering::SeqCst) > 0 {
            futures_lite::future::yield_now().await;
        }
        answer
    }
}

/// A commit that is under way until this is dropped.
struct UnderWay<'a>(&'a AtomicU64);

impl<'a> UnderWay<'a> {
    fn begin(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) async fn open(store: Scripted) -> (Replica, Arc<Scripted>) {
    let store = Arc::new(store);
    let options = Replica::options().environment(Still::default());
    (options.open_shared(store.clone()).await.unwrap(), store)
}

#[async_trait]
impl ReplicaStore for Scripted {
    fn facts(&self) -> &Facts {
        self.store.facts()
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
        // What is at one place, and not what one's own tip is.
        let one = scan.after.is_some() && scan.limit.items == 1;
        self.late_if(one, Late::Origins, self.store.scan_origin(scan).await).await
    }
    async fn find_changesets(
        &self,
        digests: &[Digest],
    ) -> Result<Read<Vec<Option<Position>>>, StoreError> {
        self.late_if(digests.len() > 1, Late::Changesets, self.store.find_changesets(digests).await)
            .await
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
    async fn commit(&self, commit: &Commit) -> Result<Head, StoreError> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.largest.fetch_max(commit.size(), Ordering::SeqCst);
        let _under_way = UnderWay::begin(&self.under_way);
        for _ in 0..if self.late.is_some() { 100 } else { u8::from(self.slow) } {
            futures_lite::future::yield_now().await;
        }
        let act = self.script.lock().unwrap().pop_front().unwrap_or(Act::Works);
        if matches!(act, Act::Works | Act::Lost | Act::Silent) {
            let answer = self.store.commit(commit).await;
            if matches!(act, Act::Works) || answer.is_err() {
                return answer;
            }
        }
        match act {
            Act::Busy => Err(StoreError::busy("here", "somebody else writes")),
            Act::Closed => Err(StoreError::closed("here")),
            Act::Full => Err(StoreError::full("here", None)),
            Act::Silent => std::future::pending().await,
            _ => Err(StoreError::outcome_unknown(commit.id(), "here", None)),
        }
    }
    async fn verify(&self) -> Result<Verification, StoreError> {
        self.store.verify().await
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}
