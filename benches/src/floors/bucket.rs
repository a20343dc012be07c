//! Bare PUTs and GETs of `object_store`.

use std::collections::HashMap;
use std::sync::Arc;

use futures_lite::future::block_on;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode};
use prophet_bucket::{Bucket, Settings};
use prophet_store::{Commit, RecordKey, RecordState, codec};

use crate::floor::{Engine, Floor};

/// Below so many bytes the store does not compress a commit.
const SMALL: usize = 256;

/// Objects in a bucket in memory: a commit is one PUT, on the condition that there is no such object, of
/// all that it carries, compressed as the store does. A record is an object of its own.
pub fn bucket() -> Floor {
    Floor::new("object_store", |_| {
        let bucket = Bucket::with(Settings::plain(1));
        Objects { store: Arc::new(bucket.store()), written: 0, places: HashMap::new() }
    })
    .opens_at_once()
}

struct Objects {
    store: Arc<dyn ObjectStore>,
    written: u64,
    places: HashMap<RecordKey, Path>,
}

impl Engine for Objects {
    type Write = (Path, Vec<u8>);

    fn prepare(&mut self, commit: &Commit) -> Self::Write {
        self.written += 1;
        let mut bytes = Vec::new();
        for entry in commit.entries() {
            bytes.extend(codec::encode_entry(entry));
        }
        for state in commit.records().values() {
            bytes.extend(codec::encode_record(state));
        }
        for resolution in commit.resolutions() {
            bytes.extend(codec::encode_resolution(resolution));
        }
        if bytes.len() >= SMALL {
            bytes = zstd::bulk::compress(&bytes, 3).expect("bytes can be compressed");
        }
        (Path::from(format!("commits/{:020}", self.written)), bytes)
    }

    fn write(&mut self, (path, bytes): Self::Write) {
        let put = self.store.put_opts(&path, bytes.into(), PutMode::Create.into());
        block_on(put).expect("the bucket takes an object");
    }

    fn fill(&mut self, commits: &[Commit]) {
        for commit in commits {
            let write = self.prepare(commit);
            self.write(write);
            for (key, state) in commit.records() {
                let path = Path::from(format!("records/{}", key.id()));
                let put = self.store.put(&path, codec::encode_record(state).into());
                block_on(put).expect("the bucket takes an object");
                self.places.insert(key.clone(), path);
            }
        }
    }

    fn get(&mut self, records: &[RecordKey]) -> Option<Vec<RecordState>> {
        let found = records.iter().map(|record| {
            let path = self.places.get(record)?;
            let bytes = block_on(async { self.store.get(path).await?.bytes().await }).ok()?;
            codec::decode_record(&bytes).ok()
        });
        found.collect()
    }
}
