//! What is damaged is refused or does no harm, and what was never acknowledged is whole or gone.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::path::PathBuf;

use external::FileStore;
use futures_lite::future::block_on;
use prophet_store::{
    Commit, CommitId, DatabaseId, Head, Identity, MetadataKey, ReplicaId, ReplicaStore, StoreError,
};
use tempfile::TempDir;

const IDENTITY: Identity =
    Identity { database: DatabaseId::from_bytes([1; 16]), replica: ReplicaId::from_bytes([2; 16]) };
const FRAMES: usize = 1536;

struct Files {
    directory: TempDir,
    /// The file and the head after one commit, and after another.
    before: (Vec<u8>, Head),
    after: (Vec<u8>, Head),
}

impl Files {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("replica");
        let store = FileStore::create(&path, IDENTITY).unwrap();
        let commit = |id, base| {
            let key = MetadataKey::new(format!("key {id}")).unwrap();
            let commit = Commit::new(CommitId::from_bytes([id; 16]), base);
            let commit = commit.with_metadata(key, Some(vec![id; 5])).unwrap();
            let head = block_on(store.commit(&commit)).unwrap();
            (fs::read(&path).unwrap(), head)
        };
        let before = commit(1, Head::EMPTY);
        let after = commit(2, before.1);
        Self { directory, before, after }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("damaged")
    }

    /// The head of a file of these bytes.
    fn open(&self, bytes: &[u8]) -> Result<Head, StoreError> {
        fs::write(self.path(), bytes).unwrap();
        let store = FileStore::open(&self.path())?;
        block_on(async {
            assert!(store.verify().await?.is_sound(), "what was opened is sound");
            store.head().await
        })
    }
}

#[test]
fn a_commit_never_acknowledged_is_whole_or_gone() {
    let files = Files::new();
    let (before, after) = (&files.before.0, &files.after.0);
    for end in before.len()..=after.len() {
        // The mark is still that of the commit before.
        let mut torn = [&before[..], &after[before.len()..end]].concat();
        let whole = end == after.len();
        let expected = if whole { files.after.1 } else { files.before.1 };
        assert_eq!(files.open(&torn).unwrap(), expected, "{end} bytes");
        assert_eq!(fs::read(files.path()).unwrap().len(), if whole { end } else { before.len() });
        torn.resize(after.len() + 100, 0);
        assert_eq!(files.open(&torn).unwrap(), expected, "{end} bytes, and then zeros");
    }
}

#[test]
fn an_acknowledged_commit_cut_off_is_damage() {
    let files = Files::new();
    for end in 0..files.after.0.len() {
        let opened = files.open(&files.after.0[..end]);
        let refused =
            matches!(opened, Err(StoreError::Corrupt { .. } | StoreError::NotAReplica { .. }));
        assert!(refused, "{end} bytes: {opened:?}");
    }
}

#[test]
fn no_byte_changes_unnoticed() {
    let files = Files::new();
    for at in 0..files.after.0.len() {
        let mut damaged = files.after.0.clone();
        damaged[at] ^= 0x55;
        match files.open(&damaged) {
            Ok(head) => {
                assert_eq!(head, files.after.1, "byte {at}");
                assert!(at < FRAMES, "byte {at} is of a commit");
            }
            Err(
                StoreError::Corrupt { .. }
                | StoreError::NotAReplica { .. }
                | StoreError::NewerFormat { .. },
            ) => {
                assert_eq!(fs::read(files.path()).unwrap(), damaged, "byte {at}: untouched");
            }
            Err(other) => panic!("byte {at}: {other:?}"),
        }
    }
}

#[test]
fn verify_finds_what_was_damaged_since() {
    let files = Files::new();
    fs::write(files.path(), &files.after.0).unwrap();
    let store = FileStore::open(&files.path()).unwrap();
    let mut damaged = files.after.0.clone();
    damaged[FRAMES + 40] ^= 1;
    fs::write(files.path(), damaged).unwrap();
    let found = block_on(store.verify()).unwrap();
    assert!(found.problems[0].contains("byte 1536"), "{found:?}");
}
