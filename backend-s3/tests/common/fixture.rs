//! A bucket in memory, and what is in it.

use std::sync::Arc;

use backend_s3::{S3Options, S3Store};
use futures_lite::future::block_on;
use object_store::ObjectStore;
use prophet_bucket::{Bucket, Settings};
use prophet_store::{Changeset, Head, RecordKey, ReplicaStore as _, StoreError, Value};

use super::{changesets_of, commit_id, commit_of, identity};

pub(crate) struct Fixture {
    pub(crate) bucket: Bucket,
    pub(crate) store: Arc<dyn ObjectStore>,
}

/// What a root says.
pub(crate) struct Names {
    pub(crate) segments: Vec<String>,
    pub(crate) tables: Vec<(String, u64)>,
    pub(crate) retired: Vec<String>,
    pub(crate) version: u64,
    pub(crate) generation: u64,
}

impl Fixture {
    pub(crate) fn new(settings: Settings) -> Self {
        let bucket = Bucket::with(settings);
        let store: Arc<dyn ObjectStore> = Arc::new(bucket.store());
        Self { bucket, store }
    }

    pub(crate) fn plain() -> Self {
        Self::new(Settings::plain(1))
    }

    pub(crate) fn try_create(&self, options: &S3Options) -> Result<S3Store, StoreError> {
        block_on(options.create_in(Arc::clone(&self.store), "bugs", identity(9)))
    }

    pub(crate) fn create(&self, options: &S3Options) -> S3Store {
        self.try_create(options).unwrap()
    }

    pub(crate) fn try_open(&self, options: &S3Options) -> Result<S3Store, StoreError> {
        block_on(options.open_in(Arc::clone(&self.store), "bugs"))
    }

    pub(crate) fn open(&self, options: &S3Options) -> S3Store {
        self.try_open(options).unwrap()
    }

    /// How many requests it takes to open it.
    pub(crate) fn opening(&self, options: &S3Options) -> u64 {
        let before = self.bucket.requests();
        drop(self.open(options));
        self.bucket.requests().since(&before).total().requests
    }

    /// What the root names; of that nothing is retired, and all is there.
    pub(crate) fn names(&self) -> Names {
        let root = self.bucket.object("bugs/manifest.json").unwrap();
        let root: serde_json::Value = serde_json::from_slice(&root).unwrap();
        let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let segments = list(&root["segments"]).iter().map(|it| text(&it["name"])).collect();
        let tables = list(&root["index"]["tables"]);
        let tables = tables.iter().map(|it| (text(&it["name"]), it["level"].as_u64().unwrap()));
        let retired = list(&root["index"]["retired"]).iter().map(|it| text(&it[0])).collect();
        let version = root["version"].as_u64().unwrap();
        let generation = root["index"]["generation"].as_u64().unwrap_or(0);
        Names { segments, tables: tables.collect(), retired, version, generation }
    }

    /// Of what the root names nothing is retired, and all is there. Segments are numbered, and tables say of
    /// which commits they are.
    pub(crate) fn check_names(&self) -> Names {
        let names = self.names();
        for (number, segment) in (1..).zip(&names.segments) {
            assert!(
                segment.starts_with(&format!("log/{number:08}-")),
                "{segment} is the {number}th"
            );
        }
        let mut last = names.version;
        for (name, _) in &names.tables {
            let span = name.strip_prefix("index/").unwrap();
            let number = |from: usize| span[from..from + 20].parse::<u64>().unwrap();
            assert_eq!(number(21), last, "{name} ends where the next one begins");
            last = number(0) - 1;
        }
        assert!(names.tables.is_empty() || last == 0, "no commit is left out");
        for name in names.segments.iter().chain(names.tables.iter().map(|(name, _)| name)) {
            assert!(!names.retired.contains(name), "{name} is both needed and retired");
            assert!(self.bucket.object(&format!("bugs/{name}")).is_some(), "{name} is gone");
        }
        names
    }
}

pub(crate) fn commit(store: &S3Store, changeset: &Changeset, base: Head) -> Head {
    let commit = commit_of(changeset, base, commit_id(1, base.version.get()));
    block_on(store.commit(&commit)).unwrap()
}

pub(crate) fn record_of(changeset: &Changeset) -> RecordKey {
    let commit = commit_of(changeset, Head::EMPTY, commit_id(9, 9));
    commit.records().keys().next().unwrap().clone()
}

/// Changesets that create a record each, with a text.
pub(crate) fn texts(count: usize, mut text: impl FnMut(usize) -> String) -> Vec<Changeset> {
    changesets_of(1, count, "text", |number| Value::from(text(number).as_str()))
}

/// Random words, of which so many different ones there are: the fewer, the shorter they pack.
pub(crate) fn words(random: &mut u64, bytes: usize, words: u64) -> String {
    let mut text = String::new();
    while text.len() < bytes {
        *random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        let word = ((*random >> 33) % words).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        text.push_str(&format!("{word:016x} "));
    }
    text
}
