//! What the tests of damage and kills share: a replica with something of everything in it, and all that
//! can be read of a store.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test program uses a part of it, and stops at the first surprise"
)]

use std::collections::BTreeSet;
use std::path::Path;

use backend_sled::SledStore;
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_store::{
    Authorship, Digest, Direction, Head, HistoryScan, Identity, LogEntry, LogScan, MemoryStore,
    MetadataKey, MetadataScan, OriginScan, PageLimit, Position, Properties, PullOptions, RecordKey,
    RecordScan, RecordState, Replica, ReplicaId, ReplicaStore, ReplicaStoreExt as _, Resolution,
    ResolutionScan, Side, StoreError,
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

/// How many random cases there are of each kind: `PROPHET_CASES`, or so many.
pub(crate) fn cases(otherwise: usize) -> usize {
    let cases = std::env::var("PROPHET_CASES").ok().and_then(|cases| cases.parse().ok());
    cases.unwrap_or(otherwise)
}

fn properties<const N: usize>(named: [(&str, &str); N]) -> Properties {
    Properties::try_from(named).unwrap()
}

/// Makes a replica with conflicts, votes, hidden records, a long value and `records` more records.
pub(crate) fn fill(path: &Path, records: usize) {
    block_on(async {
        let identity = Identity::new_database().unwrap();
        let replica = Replica::open(SledStore::create(path, identity).unwrap()).await.unwrap();
        let theirs = Identity::new_replica(identity.database).unwrap();
        let peer = Replica::open(MemoryStore::new(theirs)).await.unwrap();
        let bug = replica.create("bug", properties([("title", "one")])).await.unwrap();
        let person = replica.create("person", properties([("name", "A. Person")])).await.unwrap();
        peer.pull(&replica, PullOptions::new()).await.unwrap();
        peer.update(&bug, properties([("title", "theirs")])).await.unwrap();
        replica.update(&bug, properties([("title", "ours")])).await.unwrap();
        replica.pull(&peer, PullOptions::new().prefer(Side::Source)).await.unwrap();
        let long: String = (0..20_000).map(|number| format!("{number} ")).collect();
        replica.update(&person, properties([("name", &long)])).await.unwrap();
        replica.delete(&person).await.unwrap();
        for number in 0..records {
            let title = format!("bug number {number}");
            replica.create("bug", properties([("title", &title)])).await.unwrap();
        }
        replica.update(&bug, properties([("title", "the last one")])).await.unwrap();
        replica.close().await.unwrap();
    });
}

/// All that can be read from a store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Content {
    pub(crate) head: Head,
    pub(crate) log: Vec<LogEntry>,
    pub(crate) records: Vec<RecordState>,
    pub(crate) histories: Vec<(RecordKey, Vec<LogEntry>)>,
    pub(crate) origins: Vec<(ReplicaId, Vec<Authorship>)>,
    pub(crate) found: Vec<Option<Position>>,
    pub(crate) resolutions: Vec<Resolution>,
    pub(crate) metadata: Vec<(MetadataKey, Vec<u8>)>,
    pub(crate) batches: (Vec<Option<RecordState>>, Vec<Option<Vec<u8>>>),
}

impl Content {
    pub(crate) fn of(store: &dyn ReplicaStore) -> Result<Self, StoreError> {
        block_on(async {
            let log: Vec<_> = store.stream_log(LogScan::default()).try_collect().await?;
            let keys: BTreeSet<_> = log.iter().flat_map(LogEntry::records).cloned().collect();
            let digests: Vec<_> = log.iter().map(|entry| entry.changeset.digest()).collect();
            let origins: BTreeSet<_> =
                log.iter().map(|entry| entry.changeset.header().origin).collect();
            Self::at(store, log, keys, digests, origins).await
        })
    }

    /// The same questions as those that gave `self`, for they depend on the log.
    pub(crate) fn again(&self, store: &dyn ReplicaStore) -> Result<Self, StoreError> {
        let keys = self.histories.iter().map(|(key, _)| key.clone()).collect();
        let digests = self.log.iter().map(|entry| entry.changeset.digest()).collect();
        let origins = self.origins.iter().map(|(origin, _)| *origin).collect();
        block_on(async {
            let log = store.stream_log(LogScan::default()).try_collect().await?;
            Self::at(store, log, keys, digests, origins).await
        })
    }

    async fn at(
        store: &dyn ReplicaStore,
        log: Vec<LogEntry>,
        keys: BTreeSet<RecordKey>,
        digests: Vec<Digest>,
        authors: BTreeSet<ReplicaId>,
    ) -> Result<Self, StoreError> {
        let (direction, limit) = (Direction::Backward, PageLimit::items(7));
        let mut histories = Vec::new();
        for record in keys.iter().cloned() {
            let scan = HistoryScan { record: record.clone(), after: None, direction, limit };
            histories.push((record, store.stream_history(scan).try_collect().await?));
        }
        let mut origins = Vec::new();
        for origin in authors {
            let limit = PageLimit::items(10_000);
            let scan = OriginScan { origin, after: None, direction, limit };
            origins.push((origin, store.scan_origin(&scan).await?.items));
        }
        let metadata: Vec<(MetadataKey, Vec<u8>)> =
            store.stream_metadata(MetadataScan::default()).try_collect().await?;
        let names: Vec<_> = metadata.iter().map(|(key, _)| key.clone()).collect();
        let keys: Vec<_> = keys.into_iter().collect();
        Ok(Self {
            head: store.head().await?,
            log,
            records: store.stream_records(RecordScan::default()).try_collect().await?,
            histories,
            origins,
            found: store.find_changesets(&digests).await?.value,
            resolutions: store.stream_resolutions(ResolutionScan::default()).try_collect().await?,
            metadata,
            batches: (
                store.get_records(&keys).await?.value,
                store.get_metadata(&names).await?.value,
            ),
        })
    }
}
