//! Opening: who has it, what is not a replica, and what is newer.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use backend_sled::{SledOptions, SledStore};
use futures_lite::future::block_on;
use prophet_store::{Commit, CommitId, Head, Identity, MetadataKey, ReplicaStore as _, StoreError};

fn identity() -> Identity {
    Identity::new_database().unwrap()
}

#[test]
fn a_second_handle_is_told_who_is_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    let store = SledStore::create(&path, identity()).unwrap();
    let error = SledStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error:?}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    block_on(store.close()).unwrap();
    // The closed handle is still there.
    drop(SledStore::open(&path).unwrap());
    drop(store);
}

#[test]
fn it_opens_right_behind_a_drop() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    let mut store = SledStore::create(&path, identity()).unwrap();
    for number in 0..100 {
        if number % 2 == 0 {
            block_on(store.close()).unwrap();
        }
        drop(store);
        store = SledStore::open(&path).unwrap();
    }
}

#[test]
fn somebody_else_has_the_files_of_sled_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    drop(SledStore::create(&path, identity()).unwrap());
    // As a program does that opens them with sled itself, for longer than a handle takes to go.
    let db = fs::File::options().write(true).open(path.join("sled/db")).unwrap();
    db.lock().unwrap();
    let error = SledStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error:?}");
    drop(db);
    drop(SledStore::open(&path).unwrap());
}

fn files(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn what_is_newer_or_no_replica_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    drop(SledStore::create(&path, identity()).unwrap());
    let mut newer = fs::read(path.join("replica")).unwrap();
    newer[8] = 2;
    let body = newer.len() - 4;
    let checksum = crc32fast::hash(&newer[..body]);
    newer[body..].copy_from_slice(&checksum.to_le_bytes());
    fs::write(path.join("replica"), newer).unwrap();
    let before = files(&path.join("sled"));
    let error = SledStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found: 2, .. }), "{error:?}");
    fs::write(path.join("replica"), "something else").unwrap();
    let error = SledStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::NotAReplica { .. }), "{error:?}");
    assert_eq!(files(&path.join("sled")), before);

    let other = directory.path().join("other");
    fs::create_dir(&other).unwrap();
    assert!(matches!(SledStore::open(&other), Err(StoreError::NotFound { .. })));
    fs::write(other.join("notes.txt"), "mine").unwrap();
    assert!(matches!(SledStore::open(&other), Err(StoreError::NotAReplica { .. })));
    let error = SledStore::create(&other, identity()).unwrap_err();
    assert!(matches!(error, StoreError::AlreadyExists { .. }), "{error:?}");
    let error = SledStore::open(other.join("notes.txt")).unwrap_err();
    assert!(matches!(error, StoreError::NotAReplica { .. }), "{error:?}");
    let error = SledStore::create(other.join("notes.txt"), identity()).unwrap_err();
    assert!(matches!(error, StoreError::AlreadyExists { .. }), "{error:?}");
    assert_eq!(files(&other).len(), 1);
}

/// All who verify read the same file `head`.
#[test]
fn several_verify_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::create(directory.path().join("replica"), identity()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let found = block_on(store.verify()).unwrap();
                    assert_eq!(found.problems, Vec::<String>::new());
                }
            });
        }
    });
}

/// What is there without the file `replica` is not taken for a creation that was cut off, unless there
/// is nothing in it.
#[test]
fn nothing_is_created_over_commits_or_the_tree_of_somebody_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    let store = SledStore::create(&path, identity()).unwrap();
    let commit = Commit::new(CommitId::from_bytes([7; 16]), Head::EMPTY);
    block_on(store.commit(&commit)).unwrap();
    drop(store);
    let kept = fs::read(path.join("replica")).unwrap();
    let head = fs::read(path.join("head")).unwrap();
    fs::remove_file(path.join("replica")).unwrap();
    // Also where the other file that tells of commits is gone too, or damaged.
    for told in [Some(&head[..]), None, Some(b""), Some(b"nonsense")] {
        match told {
            Some(told) => fs::write(path.join("head"), told).unwrap(),
            None => fs::remove_file(path.join("head")).unwrap(),
        }
        let error = SledStore::create(&path, identity()).unwrap_err();
        assert!(matches!(error, StoreError::AlreadyExists { .. }), "{error:?}");
    }
    fs::write(path.join("replica"), kept).unwrap();
    let store = SledStore::open(&path).unwrap();
    assert_eq!(block_on(store.head()).unwrap(), commit.head());

    let other = directory.path().join("other");
    fs::create_dir_all(other.join("sled")).unwrap();
    fs::write(other.join("sled/db"), "mine").unwrap();
    let error = SledStore::create(&other, identity()).unwrap_err();
    assert!(matches!(error, StoreError::AlreadyExists { .. }), "{error:?}");
    assert_eq!(fs::read(other.join("sled/db")).unwrap(), b"mine");
}

/// A replica with a commit, without the files that say so: its path, what was in its file `replica`,
/// and its head.
fn untold(directory: &Path) -> (PathBuf, Vec<u8>, Head) {
    let path = directory.join("replica");
    let store = SledStore::create(&path, identity()).unwrap();
    let key = MetadataKey::new("peers/home").unwrap();
    let commit = Commit::new(CommitId::from_bytes([7; 16]), Head::EMPTY)
        .with_metadata(key, Some(b"192.0.2.1".to_vec()))
        .unwrap();
    let head = block_on(store.commit(&commit)).unwrap();
    drop(store);
    let kept = fs::read(path.join("replica")).unwrap();
    fs::remove_file(path.join("replica")).unwrap();
    fs::remove_file(path.join("head")).unwrap();
    (path, kept, head)
}

/// That sled does not open says nothing of what is in its files.
#[test]
fn nothing_is_created_over_a_tree_that_cannot_be_looked_into() {
    let directory = tempfile::tempdir().unwrap();
    let (path, kept, head) = untold(directory.path());
    let db = fs::File::options().write(true).open(path.join("sled/db")).unwrap();
    db.lock().unwrap();
    let error = SledStore::create(&path, identity()).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error:?}");
    drop(db);

    let settings = fs::read(path.join("sled/conf")).unwrap();
    fs::write(path.join("sled/conf"), "what is no setting").unwrap();
    let error = SledStore::create(&path, identity()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    fs::write(path.join("sled/conf"), settings).unwrap();

    fs::write(path.join("replica"), kept).unwrap();
    let store = SledStore::open(&path).unwrap();
    assert_eq!(block_on(store.head()).unwrap(), head);
    assert!(block_on(store.verify()).unwrap().is_sound());
}

/// Keys are what tells, also where the file `head` is of before them, or the top is gone or damaged.
#[test]
fn nothing_is_created_over_keys() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty");
    drop(SledStore::create(&empty, identity()).unwrap());
    let (path, _, _) = untold(directory.path());
    for top in [None, Some("damaged")] {
        let db = open_sled(&path.join("sled"));
        let keys = db.len();
        match top {
            None => db.remove("t").unwrap(),
            Some(top) => db.insert("t", top).unwrap(),
        };
        db.flush().unwrap();
        drop(db);
        for told in [&b""[..], &fs::read(empty.join("head")).unwrap()] {
            fs::write(path.join("head"), told).unwrap();
            let error = SledStore::create(&path, identity()).unwrap_err();
            assert!(matches!(error, StoreError::AlreadyExists { .. }), "{error:?}");
        }
        let left = open_sled(&path.join("sled")).len();
        assert_eq!(left, if top.is_none() { keys - 1 } else { keys + 1 });
    }
}

#[test]
fn a_creation_that_was_cut_off_while_sled_made_its_files_can_be_done_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    for empty in [false, true] {
        fs::create_dir_all(path.join("sled/blobs")).unwrap();
        fs::write(path.join("lock"), "").unwrap();
        fs::write(path.join("sled/conf"), "settings, in part").unwrap();
        if empty {
            fs::write(path.join("sled/db"), "").unwrap();
        }
        drop(SledStore::create(&path, identity()).unwrap());
        drop(SledStore::open(&path).unwrap());
        fs::remove_dir_all(&path).unwrap();
    }
}

/// Whatever else got into the file `head` does not silence it for ever.
#[test]
fn what_is_behind_the_head_is_taken_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    let store = SledStore::create(&path, identity()).unwrap();
    block_on(store.commit(&Commit::new(CommitId::from_bytes([7; 16]), Head::EMPTY))).unwrap();
    drop(store);
    let head = path.join("head");
    let mut longer = fs::read(&head).unwrap();
    let len = longer.len();
    longer.extend_from_slice(b"and more");
    fs::write(&head, longer).unwrap();
    let store = SledStore::open(&path).unwrap();
    assert_eq!(fs::read(&head).unwrap().len(), len);
    assert!(block_on(store.verify()).unwrap().is_sound());
}

/// What is committed to a file without a name is gone when it is closed.
#[cfg(unix)]
#[test]
fn a_tree_that_was_removed_or_replaced_is_not_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let (path, elsewhere) = (directory.path().join("replica"), directory.path().join("elsewhere"));
    let other = directory.path().join("other");
    drop(SledStore::create(&other, identity()).unwrap());
    let store = SledStore::create(&path, identity()).unwrap();
    let commit = Commit::new(CommitId::from_bytes([7; 16]), Head::EMPTY);
    let refused = || {
        let error = block_on(store.commit(&commit)).unwrap_err();
        let StoreError::Corrupt { place, what, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*place, path.display().to_string());
        assert!(what.starts_with("it was removed or replaced while it was open"), "{what}");
        assert_eq!(block_on(store.head()).unwrap(), Head::EMPTY);
    };
    // The whole directory, and the file alone.
    for (name, elsewhere, other) in [
        (path.clone(), elsewhere.clone(), other.clone()),
        (path.join("sled/db"), elsewhere, other.join("sled/db")),
    ] {
        fs::rename(&name, &elsewhere).unwrap();
        refused();
        fs::rename(&other, &name).unwrap();
        refused();
        fs::rename(&name, &other).unwrap();
        fs::rename(&elsewhere, &name).unwrap();
    }
    // Back under its name, it is the file that was opened.
    block_on(store.commit(&commit)).unwrap();
}

/// sled itself, which may hold its lock a little longer than its handle is there.
fn open_sled(directory: &Path) -> sled::Db {
    let tries = 0..1000;
    let opened = tries.map(|_| sled::open(directory)).find(|opened| match opened {
        Err(sled::Error::Io(error)) if error.to_string().contains("acquire lock") => {
            thread::sleep(Duration::from_millis(10));
            false
        }
        _ => true,
    });
    opened.unwrap().unwrap()
}

/// Counting is what notices a loss that sled does not; without it, `verify` does.
#[test]
fn opening_counts_all_keys_unless_told_not_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    let store = SledStore::create(&path, identity()).unwrap();
    let key = MetadataKey::new("peers/home").unwrap();
    let commit = Commit::new(CommitId::from_bytes([7; 16]), Head::EMPTY)
        .with_metadata(key.clone(), Some(b"192.0.2.1".to_vec()))
        .unwrap();
    block_on(store.commit(&commit)).unwrap();
    drop(store);
    let db = open_sled(&path.join("sled"));
    assert!(db.remove(prophet_tables::keys::metadata(&key)).unwrap().is_some());
    db.flush().unwrap();
    drop(db);
    for options in [SledOptions::new(), SledOptions::new().count(true).cache_bytes(1 << 20)] {
        let error = options.open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    }
    let store = SledOptions::new().count(false).cache_bytes(1 << 20).open(&path).unwrap();
    assert_eq!(block_on(store.head()).unwrap(), commit.head());
    assert!(!block_on(store.verify()).unwrap().is_sound());
}
