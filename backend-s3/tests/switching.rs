//! A replica moves from any kind of store to any other, and nothing of it is lost: all twenty ways.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;
use std::sync::Arc;

use backend_fs::FsStore;
use backend_s3::S3Options;
use backend_sled::SledStore;
use backend_sqlite::SqliteStore;
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_bucket::{Bucket, Settings};
use prophet_store::{
    Identity, LogEntry, LogScan, MemoryStore, MetadataKey, MetadataScan, Properties, PullOptions,
    RecordScan, RecordState, Replica, ReplicaStore, ReplicaStoreExt as _, Resolution,
    ResolutionScan, Side, Value,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Memory,
    Files,
    Sqlite,
    Sled,
    Bucket,
}

const KINDS: [Kind; 5] = [Kind::Memory, Kind::Files, Kind::Sqlite, Kind::Sled, Kind::Bucket];

impl Kind {
    async fn create(self, directory: &Path, identity: Identity) -> Arc<dyn ReplicaStore> {
        let path = directory.join(format!("{self:?}"));
        match self {
            Self::Memory => Arc::new(MemoryStore::new(identity)),
            Self::Files => Arc::new(FsStore::create(path, identity).unwrap()),
            Self::Sqlite => Arc::new(SqliteStore::create(path, identity).unwrap()),
            Self::Sled => Arc::new(SledStore::create(path, identity).unwrap()),
            Self::Bucket => {
                let bucket = Arc::new(Bucket::with(Settings::plain(7)).store());
                // Checkpoints come in the middle of it.
                let options = S3Options::new().checkpoint_every(2);
                Arc::new(options.create_in(bucket, "moved", identity).await.unwrap())
            }
        }
    }
}

/// All that a store has.
#[derive(Debug, PartialEq)]
struct Content {
    log: Vec<LogEntry>,
    records: Vec<RecordState>,
    votes: Vec<Resolution>,
    metadata: Vec<(MetadataKey, Vec<u8>)>,
}

impl Content {
    async fn of(store: &dyn ReplicaStore) -> Self {
        Self {
            log: store.stream_log(LogScan::default()).map(Result::unwrap).collect().await,
            records: store
                .stream_records(RecordScan::default())
                .map(Result::unwrap)
                .collect()
                .await,
            votes: store
                .stream_resolutions(ResolutionScan::default())
                .map(Result::unwrap)
                .collect()
                .await,
            metadata: store
                .stream_metadata(MetadataScan::default())
                .map(Result::unwrap)
                .collect()
                .await,
        }
    }
}

fn properties(title: &str) -> Properties {
    Properties::try_from([("title", title)]).unwrap()
}

/// A replica with everything in it: values of every kind and size, conflicts, votes, deleted records,
/// what a peer wrote, and what is local.
async fn original() -> Replica {
    let identity = Identity::new_database().unwrap();
    let ada = Replica::open(MemoryStore::new(identity)).await.unwrap();
    let mut keys = Vec::new();
    for number in 0..30 {
        keys.push(ada.create("bug", properties(&format!("bug {number}"))).await.unwrap());
    }
    let everything = Properties::new()
        .with("yes", true)
        .unwrap()
        .with("count", i64::MIN)
        .unwrap()
        .with("share", Value::try_from(0.1).unwrap())
        .unwrap()
        .with("bytes", Value::Bytes(vec![0; 100_000]))
        .unwrap()
        .with("names with e\u{301} and \u{e9}", "long\u{0} ".repeat(20_000))
        .unwrap();
    ada.create("Bug \u{1F41B}", everything).await.unwrap();
    let other = Identity::new_replica(identity.database).unwrap();
    let bob = Replica::clone_of(MemoryStore::new(other), &ada).await.unwrap();
    for (number, key) in keys.iter().enumerate() {
        bob.update(key, properties("bob's")).await.unwrap();
        match number % 4 {
            0 => drop(ada.delete(key).await.unwrap()),
            _ => drop(ada.update(key, properties("ada's")).await.unwrap()),
        }
    }
    ada.pull(&bob, PullOptions::new()).await.unwrap();
    bob.pull(&ada, PullOptions::new().prefer(Side::Target)).await.unwrap();
    ada.pull(&bob, PullOptions::new()).await.unwrap();
    ada.luids(&keys).await.unwrap();
    ada
}

#[test]
fn every_store_moves_to_every_other() {
    block_on(async {
        let original = original().await;
        let identity = original.store().facts().identity;
        let content = Content::of(&**original.store()).await;
        assert!(content.votes.len() > 20 && content.metadata.len() > 5, "{content:?}");
        let mut moved = 0;
        for from in KINDS {
            let directory = tempfile::tempdir().unwrap();
            let source = from.create(directory.path(), identity).await;
            original.store().copy_to(&*source).await.unwrap();
            assert!(Content::of(&*source).await == content, "to {from:?}");
            for to in KINDS.into_iter().filter(|to| *to != from) {
                let directory = tempfile::tempdir().unwrap();
                let target = to.create(directory.path(), identity).await;
                source.copy_to(&*target).await.unwrap();
                assert!(Content::of(&*target).await == content, "from {from:?} to {to:?}");
                assert!(target.verify().await.unwrap().is_sound(), "from {from:?} to {to:?}");
                assert!(target.audit().await.unwrap().is_sound(), "from {from:?} to {to:?}");
                // It goes on there.
                let replica = Replica::options().open_shared(target).await.unwrap();
                let key = replica.create("note", properties("moved")).await.unwrap();
                assert!(replica.get(&key).await.unwrap().is_some());
                replica.close().await.unwrap();
                moved += 1;
            }
        }
        assert_eq!(moved, 20);
    });
}
