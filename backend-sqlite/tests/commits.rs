//! Commits: atomic, conditional, recognised, durable; and what happens when they cannot be.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod common;

use std::time::Duration;

use backend_sqlite::{SqliteOptions, SqliteStore};
use common::{Author, apply, commit, commit_id, head, identity, key, metadata, place, update};
use futures_lite::future::{block_on, poll_once, zip};
use prophet_store::{
    Commit, Direction, Head, LogScan, OriginScan, PageLimit, Position, ReplicaStore, Sequence,
    StoreError, Timestamp, Version,
};
use rusqlite::Connection;

#[test]
fn two_handles_see_each_other_and_one_of_two_commits_wins() {
    let (_directory, path) = place();
    let one = SqliteStore::create(&path, identity()).unwrap();
    let other = SqliteStore::open(&path).unwrap();
    let first = apply(&one, &metadata(1, Head::EMPTY, "who", b"one")).unwrap();
    assert_eq!(head(&other), first);
    let error = apply(&other, &metadata(2, Head::EMPTY, "who", b"other")).unwrap_err();
    let StoreError::StaleBase { base, head: now, .. } = error else { panic!("{error}") };
    assert_eq!((base, now), (Head::EMPTY, first));
    let second = apply(&other, &metadata(2, first, "who", b"other")).unwrap();
    assert_eq!(head(&one), second);
}

#[test]
fn a_base_that_differs_in_the_commit_id_alone_is_stale() {
    let (_directory, path) = place();
    let store = SqliteStore::create(&path, identity()).unwrap();
    let now = apply(&store, &metadata(1, Head::EMPTY, "key", b"1")).unwrap();
    let restored = Head { commit: commit_id(9), ..now };
    let error = apply(&store, &metadata(2, restored, "key", b"2")).unwrap_err();
    assert!(matches!(error, StoreError::StaleBase { .. }), "{error}");
}

#[test]
fn commits_are_recognised_by_id_and_then_by_their_changesets() {
    let (_directory, path) = place();
    let store = SqliteStore::create(&path, identity()).unwrap();
    let changeset = Author::new(1).update(&key("bug", 1), "title", "crash");
    let with_changeset = commit(1, Head::EMPTY, std::slice::from_ref(&changeset));
    let first = apply(&store, &with_changeset).unwrap();
    let plain = metadata(2, first, "key", b"0");
    let mut at = apply(&store, &plain).unwrap();
    for number in 0..1_023 {
        at = apply(&store, &metadata(10 + number, at, "key", &number.to_le_bytes())).unwrap();
    }
    block_on(store.close()).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(apply(&store, &plain).unwrap(), plain.head(), "1,024 commits are remembered");
    for number in 0..600 {
        at = apply(&store, &metadata(2_000 + number, at, "key", &number.to_le_bytes())).unwrap();
    }
    assert_eq!(apply(&store, &with_changeset).unwrap(), first, "recognised by its changeset");
    assert!(matches!(apply(&store, &plain), Err(StoreError::StaleBase { .. })));
    let again = commit(5_000, at, &[changeset]);
    assert!(matches!(apply(&store, &again), Err(StoreError::InvalidCommit { .. })));
    assert_eq!(head(&store), at);
    let verification = block_on(store.verify()).unwrap();
    assert!(verification.is_sound(), "{verification:?}");
    let conn = Connection::open(&path).unwrap();
    let kept: i64 = conn.query_row("SELECT count(*) FROM commits", [], |row| row.get(0)).unwrap();
    assert!((1_024..1_024 + 256).contains(&kept), "{kept}");
}

/// The replica was restored from before it, and what it brings came again in another commit.
#[test]
fn a_commit_beyond_the_head_was_not_applied_whatever_it_brings() {
    let (_directory, path) = place();
    let store = SqliteStore::create(&path, identity()).unwrap();
    let changeset = Author::new(1).update(&key("bug", 1), "title", "crash");
    let changesets = std::slice::from_ref(&changeset);
    let now = apply(&store, &commit(1, Head::EMPTY, changesets)).unwrap();
    for version in [1, 7, u64::MAX - 1] {
        let lost =
            Head { version: Version::new(version), commit: commit_id(8), position: Position::ZERO };
        let beyond = commit(9, lost, changesets);
        assert!(beyond.head().version > now.version);
        let error = apply(&store, &beyond).unwrap_err();
        assert!(matches!(error, StoreError::StaleBase { .. }), "{error}");
    }
}

#[test]
fn a_changeset_twice_in_a_commit_is_refused() {
    let (_directory, path) = place();
    let store = SqliteStore::create(&path, identity()).unwrap();
    let changeset = Author::new(1).update(&key("bug", 1), "title", "crash");
    let twice = commit(1, Head::EMPTY, &[changeset.clone(), changeset]);
    assert!(matches!(apply(&store, &twice), Err(StoreError::InvalidCommit { .. })));
    assert_eq!(head(&store), Head::EMPTY);
}

#[test]
fn a_full_disk_refuses_the_commit_and_leaves_the_handle_right() {
    let (_directory, path) = place();
    SqliteStore::create(&path, identity()).unwrap();
    let store = SqliteOptions::new().max_pages(60).open(&path).unwrap();
    let mut at = Head::EMPTY;
    let error = loop {
        let number = at.version.get() + 1;
        let value = vec![7; 20_000];
        match apply(&store, &metadata(number, at, &format!("key {number}"), &value)) {
            Ok(now) => at = now,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(at.version.get() > 3);
    assert_eq!(head(&store), at);
    apply(&store, &metadata(1_000, at, "key 1", b"small")).unwrap();
    assert!(block_on(store.verify()).unwrap().is_sound());
    drop(store);
    assert_eq!(head(&SqliteStore::open(&path).unwrap()).version.get(), at.version.get() + 1);
}

#[test]
fn a_commit_that_another_program_keeps_waiting_is_busy() {
    let (_directory, path) = place();
    SqliteStore::create(&path, identity()).unwrap();
    let options = SqliteOptions::new().busy_timeout(Duration::from_millis(50));
    let store = options.open(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = metadata(1, Head::EMPTY, "key", b"value");
    assert!(matches!(apply(&store, &waiting), Err(StoreError::Busy { .. })));
    assert_eq!(head(&store), Head::EMPTY, "reads do not wait");
    other.execute_batch("ROLLBACK").unwrap();
    apply(&store, &waiting).unwrap();
}

#[test]
fn a_dropped_future_leaves_a_whole_commit_or_none() {
    let (_directory, path) = place();
    let store = SqliteStore::create(&path, identity()).unwrap();
    let mut at = Head::EMPTY;
    let mut author = Author::new(1);
    for number in 1..=50 {
        let changesets = [0, 1, 2].map(|n| author.update(&key("bug", n), "n", number as i64));
        let next = commit(number, at, &changesets);
        // Polled once or never, and dropped.
        if number.is_multiple_of(2) {
            drop(store.commit(&next));
            assert_eq!(head(&store), at);
        } else {
            let _ = block_on(poll_once(store.commit(&next)));
        }
        // Sending it again settles it.
        at = apply(&store, &next).unwrap();
        assert_eq!(at, next.head());
    }
    assert_eq!(at.position, Position::new(150));
    assert!(block_on(store.verify()).unwrap().is_sound());
}

#[test]
fn dropping_the_handle_finishes_what_was_handed_over() {
    let (_directory, path) = place();
    let store = SqliteStore::create(&path, identity()).unwrap();
    let mut at = Head::EMPTY;
    for number in 1..=20 {
        let next = metadata(number, at, "key", &number.to_le_bytes());
        let _ = block_on(poll_once(store.commit(&next)));
        at = next.head();
    }
    drop(store);
    assert!(!path.with_extension("replica-wal").exists(), "the last one to close checkpoints");
    assert_eq!(head(&SqliteStore::open(&path).unwrap()), at);
}

#[test]
fn queued_commits_are_applied_in_order() {
    let (_directory, path) = place();
    let store = SqliteStore::create(&path, identity()).unwrap();
    let mut at = Head::EMPTY;
    let commits: Vec<Commit> = (1..=200)
        .map(|number| {
            let next = metadata(number, at, "key", &number.to_le_bytes());
            at = next.head();
            next
        })
        .collect();
    block_on(async {
        let mut waiting = Vec::new();
        for commit in &commits {
            let mut future = store.commit(commit);
            match poll_once(&mut future).await {
                Some(done) => assert_eq!(done.unwrap(), commit.head()),
                None => waiting.push((commit, future)),
            }
        }
        for (commit, future) in waiting {
            assert_eq!(future.await.unwrap(), commit.head());
        }
        assert_eq!(store.head().await.unwrap(), at);
        // Closing waits for what is queued.
        let last = metadata(1_000, at, "key", b"last");
        let mut committing = store.commit(&last);
        assert!(poll_once(&mut committing).await.is_none_or(|done| done.is_ok()));
        let (closed, _) = zip(store.close(), async {
            if poll_once(&mut committing).await.is_none() {
                committing.await.unwrap();
            }
        })
        .await;
        closed.unwrap();
    });
    assert_eq!(head(&SqliteStore::open(&path).unwrap()).version.get(), 201);
}

#[test]
fn threads_that_race_on_many_handles_make_one_line_of_commits() {
    let (_directory, path) = place();
    SqliteStore::create(&path, identity()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let path = &path;
            scope.spawn(move || {
                let store = SqliteStore::open(path).unwrap();
                let mut author = Author::new(u8::try_from(thread).unwrap());
                let mut done = 0_u32;
                while done < 25 {
                    let base = head(&store);
                    let mut trial = author.clone();
                    let changeset = trial.update(&key("bug", thread.into()), "n", done);
                    let id = (thread + 1) << 32 | u64::from(done);
                    match apply(&store, &commit(id, base, &[changeset])) {
                        Ok(_) => (author, done) = (trial, done + 1),
                        Err(StoreError::StaleBase { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                    assert!(head(&store).version >= base.version);
                }
            });
        }
    });
    let store = SqliteStore::open(&path).unwrap();
    let at = head(&store);
    assert_eq!((at.version.get(), at.position.get()), (100, 100));
    assert!(block_on(store.verify()).unwrap().is_sound());
}

#[test]
fn the_largest_numbers_survive_and_stay_in_order() {
    let (_directory, path) = place();
    let store = SqliteStore::create(&path, identity()).unwrap();
    let mut author = Author::new(1);
    let half = 1 << 63;
    let sequences = [1, 2, half - 1, half, half + 1, u64::MAX - 1, u64::MAX];
    let times = [0, 1, u64::MAX, half, half - 1, 7, u64::MAX];
    // Twice each, as a fork would, and not in order.
    let mut changesets = Vec::new();
    for branch in [1, 2] {
        for (sequence, millis) in sequences.into_iter().zip(times).rev() {
            author.sequence = Sequence::new(sequence).unwrap();
            author.time = Timestamp::new(millis.saturating_sub(branch), u32::MAX);
            let payload = update(&key("bug", 1), "n", None, i64::MIN.into(), &[]);
            let mut trial = author.clone();
            changesets.push(trial.author_with(payload, |authored| {
                authored.time = Timestamp::new(millis, u32::MAX - branch as u32);
                authored.previous =
                    (sequence > 1).then(|| prophet_store::Digest::from_bytes([branch as u8; 32]));
            }));
        }
    }
    apply(&store, &commit(1, Head::EMPTY, &changesets)).unwrap();
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    let log = block_on(store.scan_log(&LogScan::default())).unwrap();
    let read: Vec<_> = log.items.into_iter().map(|entry| entry.changeset).collect();
    assert_eq!(read, changesets);
    let mut expected: Vec<_> = changesets
        .iter()
        .map(|changeset| (changeset.header().sequence, changeset.digest()))
        .collect();
    expected.sort();
    for direction in [Direction::Forward, Direction::Backward] {
        let mut scan = OriginScan {
            origin: author.origin,
            after: None,
            direction,
            limit: PageLimit::items(3),
        };
        let mut found = Vec::new();
        loop {
            let page = block_on(store.scan_origin(&scan)).unwrap();
            found.extend(page.items.iter().map(|item| (item.sequence, item.digest)));
            scan.after = page.more;
            if page.more.is_none() {
                break;
            }
        }
        assert_eq!(found, expected);
        expected.reverse();
    }
    assert!(block_on(store.verify()).unwrap().is_sound());
}

/// A write that the system refuses: the test runs itself again where files may not grow.
#[cfg(target_os = "linux")]
#[test]
fn a_failure_to_write_is_never_half_a_commit() {
    let (_directory, path) = place();
    SqliteStore::create(&path, identity()).unwrap();
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 400; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "commits_where_files_may_not_grow"])
        .env("BACKEND_SQLITE_TEST_PATH", &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    let store = SqliteStore::open(&path).unwrap();
    assert!(block_on(store.verify()).unwrap().is_sound());
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "run by the test above"]
fn commits_where_files_may_not_grow() {
    let path = std::env::var_os("BACKEND_SQLITE_TEST_PATH").unwrap();
    let store = SqliteStore::open(path).unwrap();
    let mut at = Head::EMPTY;
    let mut failures = 0;
    for number in 1..200 {
        let value = vec![7; 10_000];
        let next = metadata(number, at, &format!("key {number}"), &value);
        match apply(&store, &next) {
            Ok(now) => at = now,
            Err(error) => {
                failures += 1;
                assert!(
                    matches!(error, StoreError::Io { .. } | StoreError::Full { .. }),
                    "{error:?}"
                );
            }
        }
        assert_eq!(head(&store), at, "the handle stays right");
        if failures == 3 {
            break;
        }
    }
    assert!(failures == 3 && at.version.get() > 5, "{failures} {at}");
    assert!(block_on(store.verify()).unwrap().is_sound());
}
