//! What the tests of crashes, faults and damage share: the commits, what a store holds after them,
//! and a disk that fails.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

pub(crate) mod recorder;

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use backend_fs::simulated::SimulatedDisk;
use backend_fs::{Disk, FsOptions, FsStore};
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_store::{
    Authorship, Commit, CommitId, DatabaseId, Digest, Direction, Environment, Head, HistoryScan,
    Identity, LogEntry, LogScan, MemoryStore, MetadataKey, MetadataScan, OriginScan, Page,
    PageLimit, Position, Properties, PullOptions, RecordKey, RecordScan, RecordState, Replica,
    ReplicaId, ReplicaStore, ReplicaStoreExt as _, Resolution, ResolutionScan, Side, StoreError,
};

use recorder::Recorder;

pub(crate) const IDENTITY: Identity = Identity {
    database: DatabaseId::from_bytes([0xDB; 16]),
    replica: ReplicaId::from_bytes([0x10; 16]),
};

/// Numbers that look random, the same in every run.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }
}

/// Whether everything is to be tried, and not some of it: `PROPHET_ALL`.
pub(crate) fn everything() -> bool {
    std::env::var_os("PROPHET_ALL").is_some()
}

/// How many random cases there are of each kind: `PROPHET_CASES`, or so many.
pub(crate) fn cases(otherwise: usize) -> usize {
    let cases = std::env::var("PROPHET_CASES").ok().and_then(|cases| cases.parse().ok());
    cases.unwrap_or(otherwise)
}

/// Time and chance, the same in every run.
#[derive(Debug)]
struct Counted(AtomicU64);

impl Environment for Counted {
    fn now(&self) -> u64 {
        1_700_000_000_000 + self.0.fetch_add(1, Ordering::Relaxed) % 1_000_000
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let mut random = Random::new(self.0.fetch_add(1, Ordering::Relaxed));
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&random.next().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let _ = duration;
        Box::pin(futures_lite::future::yield_now())
    }
}

async fn engine(store: Arc<dyn ReplicaStore>, seed: u64) -> Replica {
    let counted = Counted(AtomicU64::new(seed << 32));
    Replica::options().environment(counted).open_shared(store).await.unwrap()
}

fn properties<const N: usize>(named: [(&str, &str); N]) -> Properties {
    Properties::try_from(named).unwrap()
}

pub(crate) fn metadata_key(text: &str) -> MetadataKey {
    MetadataKey::new(text).unwrap()
}

fn by_hand(number: u8, base: Head) -> Commit {
    Commit::new(CommitId::from_bytes([number; 16]), base)
}

/// Text that does not become much shorter when it is compressed.
pub(crate) fn noise(seed: u64, len: usize) -> String {
    let mut random = Random::new(seed);
    (0..len).map(|_| char::from(b'0' + u8::try_from(random.below(75)).unwrap())).collect()
}

/// Commits one after another, and what a store holds after each.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) commits: Vec<Commit>,
    /// After none of them, after the first, and so on.
    pub(crate) contents: Vec<Content>,
}

impl Workload {
    /// One of everything; made once.
    pub(crate) fn get() -> &'static Self {
        static MADE: OnceLock<Workload> = OnceLock::new();
        MADE.get_or_init(|| block_on(Self::make(70_000)))
    }

    /// The same, but small.
    pub(crate) fn small() -> &'static Self {
        static MADE: OnceLock<Workload> = OnceLock::new();
        MADE.get_or_init(|| block_on(Self::make(400)))
    }

    async fn make(large: usize) -> Self {
        let recorder = Arc::new(Recorder::new(MemoryStore::new(IDENTITY)));
        let replica = engine(Arc::clone(&recorder) as _, 1).await;
        let theirs = Identity { replica: ReplicaId::from_bytes([0x20; 16]), ..IDENTITY };
        let peer = engine(Arc::new(MemoryStore::new(theirs)), 2).await;

        let bug =
            replica.create("bug", properties([("title", "one"), ("status", "new")])).await.unwrap();
        let person = replica
            .edit(|edit| async move {
                edit.create("bug", properties([("title", "several at once \u{0}\n\"")])).await?;
                edit.create("person", properties([("name", "A. Person")])).await
            })
            .await
            .unwrap()
            .value;
        peer.pull(&replica, PullOptions::new()).await.unwrap();
        peer.update(&bug, properties([("status", "theirs")])).await.unwrap();
        peer.update(&person, properties([("name", "Another")])).await.unwrap();
        replica.update(&bug, properties([("status", "ours")])).await.unwrap();
        let noted = by_hand(0xE1, recorder.head().await.unwrap())
            .with_metadata(metadata_key("note/kept"), Some(vec![0, 255, 10, 13]))
            .unwrap()
            .with_metadata(metadata_key("note/gone"), Some(Vec::new()))
            .unwrap();
        recorder.commit(&noted).await.unwrap();
        // Brings foreign entries, a conflict, and a vote on it.
        replica.pull(&peer, PullOptions::new().prefer(Side::Source)).await.unwrap();
        recorder.commit(&by_hand(0xE2, recorder.head().await.unwrap())).await.unwrap();
        let gone = by_hand(0xE3, recorder.head().await.unwrap())
            .with_metadata(metadata_key("note/gone"), None)
            .unwrap();
        recorder.commit(&gone).await.unwrap();
        replica.delete(&person).await.unwrap();
        peer.pull(&replica, PullOptions::new()).await.unwrap();
        peer.update(&bug, properties([("title", "two")])).await.unwrap();
        replica.update(&bug, properties([("title", "three")])).await.unwrap();
        replica.pull(&peer, PullOptions::new()).await.unwrap();
        let conflicts = replica.conflicts_of(&bug).await.unwrap();
        for conflict in &conflicts {
            let choice = conflict.values().next().unwrap().cloned();
            replica.resolve(conflict, choice).await.unwrap();
        }
        replica.undelete(&person).await.unwrap();
        let text = noise(7, large);
        replica.create("text", properties([("body", &text)])).await.unwrap();
        replica.update(&person, properties([("name", "the last one")])).await.unwrap();

        let commits = recorder.recorded();
        let store = MemoryStore::new(IDENTITY);
        let mut contents = vec![Content::of(&store).unwrap()];
        for commit in &commits {
            store.commit(commit).await.unwrap();
            contents.push(Content::of(&store).unwrap());
        }
        assert!(commits.len() >= 12, "{}", commits.len());
        assert!(contents.last().unwrap().resolutions.len() >= 2);
        Self { commits, contents }
    }

    /// After how many commits a store is; what it holds has to be what it holds then.
    pub(crate) fn expect(&self, store: &FsStore) -> Result<usize, String> {
        let head = block_on(store.head()).map_err(|error| format!("the head: {error:?}"))?;
        let number = usize::try_from(head.version.get()).unwrap();
        let expected = self.contents.get(number).ok_or_else(|| format!("there is no {head}"))?;
        let content = Content::of(store).map_err(|error| format!("reading: {error:?}"))?;
        expected.same(&content).map_err(|what| format!("after {number} commits: {what}"))?;
        Ok(number)
    }

    /// As [`expect`](Self::expect), but only the log and the records are looked at.
    pub(crate) fn glance(&self, store: &FsStore) -> Result<usize, String> {
        let head = block_on(store.head()).map_err(|error| format!("the head: {error:?}"))?;
        let number = usize::try_from(head.version.get()).unwrap();
        let expected = self.contents.get(number).ok_or_else(|| format!("there is no {head}"))?;
        let failed = |error| format!("reading: {error:?}");
        let log = block_on(store.scan_log(&LogScan::default())).map_err(failed)?;
        let records = block_on(store.scan_records(&RecordScan::default())).map_err(failed)?;
        match (log.items, records.items) == (expected.log.clone(), expected.records.clone()) {
            true => Ok(number),
            false => Err(format!("after {number} commits: it holds something else")),
        }
    }

    /// As [`expect`](Self::expect), and everything is sound.
    pub(crate) fn expect_sound(&self, store: &FsStore, audit: bool) -> Result<usize, String> {
        let number = self.expect(store)?;
        let mut reports = vec![block_on(store.verify()).map_err(|error| format!("{error:?}"))?];
        if audit {
            reports.push(block_on(store.audit()).map_err(|error| format!("{error:?}"))?);
        }
        match reports.into_iter().flat_map(|report| report.problems).next() {
            Some(problem) => Err(format!("after {number} commits: {problem}")),
            None => Ok(number),
        }
    }
}

/// All that can be read from a store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Content {
    pub(crate) head: Head,
    pub(crate) records: Vec<RecordState>,
    pub(crate) log: Vec<LogEntry>,
    pub(crate) histories: Vec<(RecordKey, Vec<LogEntry>)>,
    pub(crate) origins: Vec<(ReplicaId, Vec<Authorship>)>,
    pub(crate) found: Vec<Option<Position>>,
    pub(crate) resolutions: Vec<Resolution>,
    pub(crate) metadata: Vec<(MetadataKey, Vec<u8>)>,
    pub(crate) batches: (Vec<Option<RecordState>>, Vec<Option<Vec<u8>>>),
}

impl Content {
    pub(crate) fn of(store: &dyn ReplicaStore) -> Result<Self, StoreError> {
        block_on(Self::read(store))
    }

    async fn read(store: &dyn ReplicaStore) -> Result<Self, StoreError> {
        let head = store.head().await?;
        let log: Vec<LogEntry> = store.stream_log(LogScan::default()).try_collect().await?;
        let backward = LogScan { direction: Direction::Backward, ..LogScan::default() };
        let mut reversed: Vec<_> = store.stream_log(backward).try_collect().await?;
        reversed.reverse();
        if reversed != log {
            return Err(StoreError::invalid_commit("the log is another one read backward"));
        }
        let keys: BTreeSet<_> = log.iter().flat_map(LogEntry::records).cloned().collect();
        let mut histories = Vec::new();
        for record in keys.iter().cloned() {
            let (direction, limit) = (Direction::Forward, PageLimit::default());
            let scan = HistoryScan { record: record.clone(), after: None, direction, limit };
            histories.push((record, store.stream_history(scan).try_collect().await?));
        }
        let authors: BTreeSet<_> = log.iter().map(|e| e.changeset.header().origin).collect();
        let mut origins = Vec::new();
        for origin in authors {
            let (direction, limit) = (Direction::Forward, PageLimit::default());
            let scan = OriginScan { origin, after: None, direction, limit };
            let Page { items, .. } = store.scan_origin(&scan).await?;
            origins.push((origin, items));
        }
        let mut digests: Vec<_> = log.iter().map(|entry| entry.changeset.digest()).collect();
        digests.push(Digest::from_bytes([0xEE; 32]));
        let found = store.find_changesets(&digests).await?.value;
        let metadata: Vec<(MetadataKey, Vec<u8>)> =
            store.stream_metadata(MetadataScan::default()).try_collect().await?;
        let mut names: Vec<_> = metadata.iter().map(|(key, _)| key.clone()).collect();
        names.push(metadata_key("note/gone"));
        let keys: Vec<_> = keys.into_iter().collect();
        let batches =
            (store.get_records(&keys).await?.value, store.get_metadata(&names).await?.value);
        Ok(Self {
            head,
            records: store.stream_records(RecordScan::default()).try_collect().await?,
            log,
            histories,
            origins,
            found,
            resolutions: store.stream_resolutions(ResolutionScan::default()).try_collect().await?,
            metadata,
            batches,
        })
    }

    /// Says what is not the same.
    pub(crate) fn same(&self, other: &Self) -> Result<(), String> {
        for (what, same) in [
            ("head", self.head == other.head),
            ("log", self.log == other.log),
            ("records", self.records == other.records),
            ("histories", self.histories == other.histories),
            ("origins", self.origins == other.origins),
            ("positions of changesets", self.found == other.found),
            ("resolutions", self.resolutions == other.resolutions),
            ("metadata", self.metadata == other.metadata),
            ("batches", self.batches == other.batches),
        ] {
            if !same {
                return Err(format!("the {what} are not those that were committed"));
            }
        }
        Ok(())
    }
}

pub(crate) fn options(segment_bytes: u64) -> FsOptions {
    FsOptions::new().segment_bytes(segment_bytes).views(false)
}

pub(crate) fn create(options: &FsOptions, disk: &SimulatedDisk) -> Result<FsStore, StoreError> {
    options.create_on(Arc::new(disk.clone()) as Arc<dyn Disk>, "a disk".to_owned(), IDENTITY)
}

pub(crate) fn open(options: &FsOptions, disk: &SimulatedDisk) -> Result<FsStore, StoreError> {
    options.open_on(Arc::new(disk.clone()) as Arc<dyn Disk>, "a disk".to_owned())
}
