//! Opening and creating: what is refused is refused untouched.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use backend_sqlite::{SqliteOptions, SqliteStore};
use common::{apply, head, identity, metadata, place};
use futures_lite::future::block_on;
use prophet_store::{Access, Durability, Head, ReplicaStore, Sharing, StoreError};
use rusqlite::Connection;

/// The names and bytes of everything in a directory.
fn contents(directory: &Path) -> Vec<(String, Option<Vec<u8>>)> {
    let mut found: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).ok())
        })
        .collect();
    found.sort();
    found
}

/// Opens `path` for writing and for reading, shows that nothing was changed, and gives the errors.
fn refused(path: &Path) -> [StoreError; 2] {
    let directory = path.parent().unwrap();
    let before = contents(directory);
    let errors = [false, true]
        .map(|read_only| SqliteOptions::new().read_only(read_only).open(path).unwrap_err());
    assert_eq!(contents(directory), before, "it was touched");
    errors
}

fn new_replica(path: &Path) {
    let store = SqliteStore::create(path, identity()).unwrap();
    apply(&store, &metadata(1, Head::EMPTY, "key", b"value")).unwrap();
}

#[test]
fn a_new_replica_is_empty_and_says_what_it_is() {
    let (directory, path) = place();
    let store = SqliteStore::create(&path, identity()).unwrap();
    assert_eq!(head(&store), Head::EMPTY);
    let facts = store.facts().clone();
    assert_eq!(facts.identity, identity());
    assert_eq!(facts.place, path.display().to_string());
    assert_eq!(facts.format, 1);
    assert_eq!(facts.capabilities.access, Access::ReadWrite);
    assert_eq!(facts.capabilities.sharing, Sharing::Processes);
    assert_eq!(facts.capabilities.durability, Durability::PowerLoss);
    assert_eq!(block_on(store.verify()).unwrap().problems, Vec::<String>::new());
    block_on(store.close()).unwrap();
    assert_eq!(store.facts(), &facts);
    assert!(matches!(block_on(store.head()), Err(StoreError::Closed { .. })));
    assert!(matches!(block_on(store.close()), Err(StoreError::Closed { .. })));
    let commit = metadata(1, Head::EMPTY, "key", b"value");
    assert!(matches!(apply(&store, &commit), Err(StoreError::Closed { .. })));
    let names: Vec<_> = contents(directory.path()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["test.replica"], "closing checkpoints, and leaves one file");
}

#[test]
fn opening_nothing_finds_nothing_and_makes_nothing() {
    let (directory, path) = place();
    assert!(matches!(refused(&path), [StoreError::NotFound { .. }, StoreError::NotFound { .. }]));
    let below_a_file = directory.path().join("file");
    fs::write(&below_a_file, "text").unwrap();
    let error = SqliteStore::open(below_a_file.join("replica")).unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
    assert!(matches!(SqliteStore::open(""), Err(StoreError::NotFound { .. })));
}

#[test]
fn what_is_not_a_replica_is_refused() {
    let (directory, path) = place();
    let not_a_replica = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        for error in refused(&path) {
            assert!(matches!(error, StoreError::NotAReplica { .. }), "{bytes:?}: {error}");
        }
    };
    not_a_replica(b"");
    not_a_replica(b"x");
    not_a_replica(b"a text that is longer than the magic number of SQLite\n");
    not_a_replica(&[0; 10_000]);
    not_a_replica("more than a page of text\n".repeat(1_000).as_bytes());

    // Not the temporary directory itself: beside that other programs come and go.
    let inner = directory.path().join("a directory");
    fs::create_dir(&inner).unwrap();
    fs::remove_file(&path).unwrap();
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t (x); PRAGMA user_version = 9")
        .unwrap();
    conn.close().unwrap();
    for error in refused(&path) {
        assert!(matches!(error, StoreError::NotAReplica { .. }), "{error}");
    }
    for error in refused(&inner) {
        assert!(matches!(error, StoreError::NotAReplica { .. }), "{error}");
    }
}

#[test]
fn a_newer_format_is_refused() {
    let (_directory, path) = place();
    new_replica(&path);
    let mut bytes = fs::read(&path).unwrap();
    bytes[60..64].copy_from_slice(&2_u32.to_be_bytes());
    fs::write(&path, bytes).unwrap();
    for error in refused(&path) {
        let StoreError::NewerFormat { found: 2, supported: 1, .. } = error else {
            panic!("{error}");
        };
    }
}

fn newer(error: &StoreError) -> bool {
    matches!(error, StoreError::NewerFormat { found: 2, supported: 1, .. })
}

/// A program of a later version has it open, or crashed: the format is in the write-ahead log.
#[test]
fn a_newer_format_in_the_write_ahead_log_is_refused() {
    let (directory, path) = place();
    new_replica(&path);
    let before = SqliteStore::open(&path).unwrap();
    let at = head(&before);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA user_version = 2").unwrap();
    for read_only in [false, true] {
        let error = SqliteOptions::new().read_only(read_only).open(&path).unwrap_err();
        assert!(newer(&error), "{error}");
    }
    let error = apply(&before, &metadata(2, at, "key", b"late")).unwrap_err();
    assert!(newer(&error), "{error}");
    assert_eq!(head(&before), at);

    let crashed = directory.path().join("crashed");
    let log = directory.path().join("crashed-wal");
    fs::copy(&path, &crashed).unwrap();
    fs::copy(directory.path().join("test.replica-wal"), &log).unwrap();
    let bytes = [&crashed, &log].map(|path| fs::read(path).unwrap());
    for read_only in [true, false] {
        let error = SqliteOptions::new().read_only(read_only).open(&crashed).unwrap_err();
        assert!(newer(&error), "{error}");
        assert_eq!([&crashed, &log].map(|path| fs::read(path).unwrap()), bytes, "it was touched");
    }

    other.execute_batch("PRAGMA user_version = 1").unwrap();
    apply(&before, &metadata(2, at, "key", b"in time")).unwrap();
}

#[test]
fn a_file_cut_off_is_corrupt() {
    let (_directory, path) = place();
    new_replica(&path);
    let bytes = fs::read(&path).unwrap();
    for len in [30, 99, 100, 4_096, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..len]).unwrap();
        for error in refused(&path) {
            assert!(matches!(error, StoreError::Corrupt { .. }), "{len}: {error}");
        }
    }
    fs::write(&path, &bytes).unwrap();
    SqliteStore::open(&path).unwrap();
}

#[test]
fn creating_where_something_is_already_makes_nothing() {
    let (directory, path) = place();
    let taken = |at: &Path| {
        let before = contents(directory.path());
        let error = SqliteStore::create(at, identity()).unwrap_err();
        assert!(matches!(error, StoreError::AlreadyExists { .. }), "{error}");
        assert_eq!(contents(directory.path()), before);
    };
    fs::write(&path, "").unwrap();
    taken(&path);
    taken(directory.path());
    fs::remove_file(&path).unwrap();
    new_replica(&path);
    taken(&path);
    fs::remove_file(&path).unwrap();
    let log = directory.path().join("test.replica-wal");
    fs::write(&log, "left of an earlier database").unwrap();
    taken(&path);
    fs::remove_file(&log).unwrap();
    new_replica(&path);
}

#[test]
fn creating_where_no_file_can_be_says_why() {
    let (directory, path) = place();
    let error = SqliteStore::create(path.join("below"), identity()).unwrap_err();
    let StoreError::Io { place, source, .. } = &error else { panic!("{error}") };
    assert_eq!(*place, path.join("below").display().to_string());
    assert!(source.to_string().contains("there is no directory"), "{source}");
    let error = SqliteStore::create(directory.path().join("new/"), identity()).unwrap_err();
    let StoreError::Io { source, .. } = &error else { panic!("{error}") };
    assert!(source.to_string().contains("names a directory"), "{source}");
    let error = SqliteStore::open("").unwrap_err();
    assert!(error.to_string().contains("the empty path"), "{error}");
    for nowhere in ["", "/", ".."] {
        let error = SqliteStore::create(nowhere, identity()).unwrap_err();
        assert!(
            matches!(error, StoreError::Io { .. } | StoreError::AlreadyExists { .. }),
            "{nowhere:?}: {error}"
        );
    }
    assert_eq!(contents(directory.path()), []);
}

#[test]
fn what_a_crashed_create_left_is_not_in_the_way() {
    let (directory, path) = place();
    // The next names that this process will use.
    for number in 0..100 {
        let name = format!(".prophet-{}-{}-{number}", identity().replica, std::process::id());
        fs::write(directory.path().join(name), "half a database").unwrap();
    }
    new_replica(&path);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(head(&store).version.get(), 1);
}

#[test]
fn paths_with_characters_that_mean_something_to_sqlite_work() {
    let (directory, _) = place();
    for name in ["a b?c#d%41", "file:x?mode=memory", ":memory:", "ünïcödé", "-dash", "'quote\""]
    {
        let path = directory.path().join(name);
        new_replica(&path);
        assert_eq!(head(&SqliteStore::open(&path).unwrap()).version.get(), 1, "{name}");
        let reader = SqliteOptions::new().read_only(true).open(&path).unwrap();
        assert_eq!(head(&reader).version.get(), 1, "{name}");
        assert!(path.exists());
    }
}

#[test]
fn a_replica_held_by_another_program_is_locked() {
    let (_directory, path) = place();
    new_replica(&path);
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; PRAGMA user_version; COMMIT",
        )
        .unwrap();
    let options = SqliteOptions::new().busy_timeout(Duration::from_millis(50));
    for read_only in [false, true] {
        let error = options.clone().read_only(read_only).open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    }
    drop(other);
    options.open(&path).unwrap();
}

/// What is committed to a file without a name is gone when it is closed.
#[cfg(unix)]
#[test]
fn a_file_that_was_removed_or_replaced_is_not_written_to() {
    let (directory, path) = place();
    let other = directory.path().join("other.replica");
    for replaced in [false, true] {
        new_replica(&path);
        let store = SqliteStore::open(&path).unwrap();
        let at = head(&store);
        if replaced {
            new_replica(&other);
            let theirs = SqliteStore::open(&other).unwrap();
            apply(&theirs, &metadata(2, head(&theirs), "key", b"theirs")).unwrap();
            drop(theirs);
            fs::rename(&other, &path).unwrap();
        } else {
            fs::rename(&path, &other).unwrap();
        }
        let gone = |error: StoreError| {
            let StoreError::Corrupt { place, what, .. } = &error else { panic!("{error}") };
            assert_eq!(*place, path.display().to_string());
            assert!(what.starts_with("it was removed or replaced while it was open"), "{what}");
        };
        let next = metadata(2, at, "key", b"lost");
        gone(apply(&store, &next).unwrap_err());
        gone(apply(&store, &next).unwrap_err());
        assert_eq!(head(&store), at, "a connection that is there already reads the old one");
        if !replaced {
            // Back under its name, it is the file that was opened.
            fs::rename(&other, &path).unwrap();
            apply(&store, &next).unwrap();
        }
        drop(store);
        for file in fs::read_dir(directory.path()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
}

#[test]
fn a_timeout_may_be_as_long_as_one_likes() {
    let (_directory, path) = place();
    new_replica(&path);
    let longest = Duration::from_millis(i32::MAX.cast_unsigned().into());
    for timeout in [longest, longest + Duration::from_millis(1), Duration::MAX] {
        let store = SqliteOptions::new().busy_timeout(timeout).open(&path).unwrap();
        assert_eq!(head(&store).version.get(), 1);
    }
}

#[test]
fn a_handle_that_only_reads_answers_commits_with_read_only() {
    let (_directory, path) = place();
    let writer = SqliteStore::create(&path, identity()).unwrap();
    let reader = SqliteOptions::new().read_only(true).open(&path).unwrap();
    assert_eq!(reader.facts().capabilities.access, Access::ReadOnly);
    let commit = metadata(1, Head::EMPTY, "key", b"value");
    assert!(matches!(apply(&reader, &commit), Err(StoreError::ReadOnly { .. })));
    apply(&writer, &commit).unwrap();
    assert_eq!(head(&reader), commit.head());
    assert!(block_on(reader.verify()).unwrap().is_sound());
    block_on(reader.close()).unwrap();
    assert!(matches!(apply(&reader, &commit), Err(StoreError::Closed { .. })));
}

/// What an unprivileged user sees: the test runs itself again as one.
#[cfg(unix)]
mod unprivileged {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    use super::*;

    const PATH: &str = "BACKEND_SQLITE_TEST_PATH";

    fn run(test: &str, path: &Path) {
        let program = std::env::current_exe().unwrap();
        // Where the program is may be closed to other users.
        let copy = path.parent().unwrap().parent().unwrap().join("program");
        // By another process: a child that another test starts meanwhile would still have the copy open
        // for writing, and what is being written to is not run.
        let copied = Command::new("cp").args([&program, &copy]).status().unwrap();
        assert!(copied.success());
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new(copy);
        command.args(["--ignored", "--exact", &format!("unprivileged::{test}")]);
        command.env(PATH, path).current_dir("/");
        // Only root can become somebody else, and only root has to.
        if chown(path, Some(0), Some(0)).is_ok() {
            command.uid(65_534).gid(65_534);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    }

    /// A replica with these permissions, in a directory with those.
    fn replica(file: u32, directory: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let outer = tempfile::tempdir().unwrap();
        fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let inner = outer.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let path = inner.join("test.replica");
        new_replica(&path);
        fs::set_permissions(&path, fs::Permissions::from_mode(file)).unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(directory)).unwrap();
        (outer, path)
    }

    fn given() -> std::path::PathBuf {
        std::env::var_os(PATH).unwrap().into()
    }

    #[test]
    fn a_file_that_may_not_be_written_to() {
        let (_outer, path) = replica(0o444, 0o777);
        run("refuses_a_read_only_file", &path);
    }

    #[test]
    #[ignore = "run by the test above"]
    fn refuses_a_read_only_file() {
        let path = given();
        let before = contents(path.parent().unwrap());
        let error = SqliteStore::open(&path).unwrap_err();
        let StoreError::ReadOnly { place, .. } = error else { panic!("{error}") };
        assert_eq!(place, path.display().to_string());
        assert_eq!(contents(path.parent().unwrap()), before);
        let reader = SqliteOptions::new().read_only(true).open(&path).unwrap();
        assert_eq!(head(&reader).version.get(), 1);
    }

    #[test]
    fn a_directory_that_may_not_be_written_to() {
        let (_outer, path) = replica(0o666, 0o555);
        run("reads_in_a_read_only_directory", &path);
    }

    #[test]
    #[ignore = "run by the test above"]
    fn reads_in_a_read_only_directory() {
        let path = given();
        let before = contents(path.parent().unwrap());
        let error = SqliteStore::open(&path).unwrap_err();
        assert!(
            matches!(&error, StoreError::ReadOnly { place, .. } if place.contains("directory")),
            "{error}"
        );
        let reader = SqliteOptions::new().read_only(true).open(&path).unwrap();
        assert_eq!(head(&reader).version.get(), 1);
        assert!(block_on(reader.verify()).unwrap().is_sound());
        drop(reader);
        assert_eq!(contents(path.parent().unwrap()), before);
    }
}
