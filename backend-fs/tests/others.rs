//! What another handle, or the disk, left half done is no harm to this one.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod support;

use std::io::ErrorKind;

use backend_fs::simulated::{Fault, Image, Kind, Loss, SimulatedDisk};
use futures_lite::future::block_on;
use prophet_store::{Commit, CommitId, Head, ReplicaStore as _, StoreError};
use support::{create, metadata_key, noise, open, options};

fn commit(number: u8, base: Head, bytes: usize) -> Commit {
    let commit = Commit::new(CommitId::from_bytes([number; 16]), base);
    let value = noise(number.into(), bytes).into_bytes();
    commit.with_metadata(metadata_key(&format!("key {number}")), Some(value)).unwrap()
}

/// The head of what a loss of power now would leave, in several ways.
fn heads_left(image: &Image) -> Vec<Head> {
    let losses = [Loss::Least, Loss::Most].into_iter().chain((0..8).map(Loss::Some));
    let left = losses.map(|loss| image.after_power_loss(loss));
    let open = |image| open(&options(1 << 20), &SimulatedDisk::new(image)).unwrap();
    left.map(|image| block_on(open(image).head()).unwrap()).collect()
}

/// The operation so far from here fails, and one more so far behind it.
fn fail(disk: &SimulatedDisk, at: u64, kind: Kind, and_after: Option<u64>) {
    let (at, error) = (disk.steps() + at, ErrorKind::Other);
    disk.fail(Some(Fault { at, kind, error, forever: false, and_after }));
}

/// The device takes in what one handle wrote, and loses it, and says so once: to that one, or to the next
/// one that asks.
#[test]
fn what_another_handle_failed_to_sync_is_durable_before_it_counts() {
    let (mut lost, mut shown) = (0, 0);
    for at in 1..30 {
        for reading in [false, true] {
            let (disk, options) = (SimulatedDisk::default(), options(1 << 20));
            let ours = create(&options, &disk).unwrap();
            let first = commit(1, Head::EMPTY, 10);
            block_on(ours.commit(&first)).unwrap();
            let theirs = open(&options, &disk).unwrap();
            assert_eq!(block_on(ours.head()).unwrap(), first.head());
            let second = commit(2, first.head(), 9_000);
            fail(&disk, at, Kind::Dropped, Some(2));
            let answer = block_on(theirs.commit(&second));
            let fired = disk.fired().unwrap_or_default();
            disk.fail(None);
            if !fired.starts_with("sync log/") {
                continue;
            }
            lost += 1;
            assert!(matches!(answer, Err(StoreError::OutcomeUnknown { .. })), "{answer:?}");

            let mut base = first.head();
            if reading {
                // Somebody is told of it by the head of the log, and then reads it.
                base = block_on(ours.head()).unwrap();
                shown += usize::from(base == second.head());
            }
            let third = commit(3, base, 10);
            let head = match block_on(ours.commit(&third)) {
                Ok(head) => head,
                Err(StoreError::StaleBase { .. }) => {
                    let head = block_on(ours.head()).unwrap();
                    block_on(ours.commit(&commit(3, head, 10))).unwrap()
                }
                Err(error) => panic!("{error:?}"),
            };
            for left in heads_left(&disk.image()) {
                assert_eq!(left, head, "operation {at}, {fired}");
            }
        }
    }
    assert!(lost >= 2 && shown >= 1, "{lost} syncs were lost, and {shown} commits of those seen");
}

/// A sync that a reader failed is no reason to show what it was for: the next one would say that all is well.
#[test]
fn what_a_reader_failed_to_sync_is_not_shown_by_the_next_try() {
    let mut failed = 0;
    for at in 1..30 {
        let (disk, options) = (SimulatedDisk::default(), options(1 << 20));
        let theirs = create(&options, &disk).unwrap();
        let ours = open(&options, &disk).unwrap();
        let (first, second) = (commit(1, Head::EMPTY, 9_000), |base| commit(2, base, 10));
        block_on(theirs.commit(&first)).unwrap();
        fail(&disk, at, Kind::Before, None);
        let read = block_on(ours.head());
        let fired = disk.fired().unwrap_or_default();
        disk.fail(None);
        if !fired.starts_with("sync log/") {
            continue;
        }
        failed += 1;
        assert!(matches!(read, Err(StoreError::Io { .. })), "{read:?}");
        for _ in 0..3 {
            assert!(matches!(block_on(ours.head()), Err(StoreError::Io { .. })));
        }
        // Who may write makes sure of it, and whoever writes behind it has done so.
        match at % 2 {
            0 => block_on(ours.commit(&second(first.head()))).unwrap(),
            _ => block_on(theirs.commit(&second(first.head()))).unwrap(),
        };
        assert_eq!(block_on(ours.head()).unwrap(), second(first.head()).head());
    }
    assert!(failed >= 1);
}

/// What is derived does not fit any more: the log goes on as long as it does.
#[test]
fn a_disk_that_is_full_of_what_is_derived_takes_commits_on() {
    for number in [4, 16] {
        let (disk, options) = (SimulatedDisk::default(), options(1));
        let mut store = create(&options, &disk).unwrap();
        let mut head = Head::EMPTY;
        // Each one fills a segment, and the tables of every fourth are merged.
        for number in 1..number {
            head = block_on(store.commit(&commit(number, head, 3_000))).unwrap();
        }
        block_on(store.close()).unwrap();
        store = open(&options, &disk).unwrap();
        let used: usize = disk.image().tree().values().map(Vec::len).sum();
        let tables: usize = index(&disk).iter().map(|(_, bytes)| bytes).sum();
        // Room for a commit and what it is sealed as, and not for a table of all.
        disk.hold(Some(used + 16_000.min(tables)));
        head = block_on(store.commit(&commit(number, head, 3_000))).unwrap();
        head = block_on(store.commit(&commit(number + 1, head, 10))).unwrap();
        block_on(store.close()).unwrap();
        drop(store);
        let store = open(&options, &disk).unwrap();
        assert_eq!(block_on(store.head()).unwrap(), head);
        head = block_on(store.commit(&commit(number + 2, head, 10))).unwrap();
        let unfinished = |disk: &SimulatedDisk| {
            disk.image().tree().keys().filter(|name| name.ends_with(".unfinished")).count()
        };
        assert_eq!(unfinished(&disk), 0);

        // With room again, all is derived as it should be.
        disk.hold(None);
        for number in number + 3..number + 20 {
            head = block_on(store.commit(&commit(number, head, 3_000))).unwrap();
        }
        block_on(store.close()).unwrap();
        let tables = index(&disk);
        assert!(tables.len() <= 8, "{tables:?}");
        let store = open(&options, &disk).unwrap();
        assert_eq!(block_on(store.head()).unwrap(), head);
        assert!(block_on(store.verify()).unwrap().is_sound());
    }
}

/// The tables, with their lengths.
fn index(disk: &SimulatedDisk) -> Vec<(String, usize)> {
    let tree = disk.image().tree();
    let tables = tree.iter().filter(|(name, _)| name.starts_with("index/"));
    tables.map(|(name, bytes)| (name.clone(), bytes.len())).collect()
}

/// A merge was stopped before it had removed what it was made from.
#[test]
fn tables_that_were_merged_go_when_it_is_opened() {
    let (disk, options) = (SimulatedDisk::default(), options(1));
    let store = create(&options, &disk).unwrap();
    let mut head = Head::EMPTY;
    let mut before = Vec::new();
    for number in 1..=6 {
        head = block_on(store.commit(&commit(number, head, 100))).unwrap();
        block_on(store.head()).unwrap();
        before
            .extend(disk.image().tree().into_iter().filter(|(name, _)| name.contains("-0000000")));
    }
    block_on(store.close()).unwrap();
    drop(store);
    let expected = index(&disk);
    let mut image = disk.image();
    for (name, bytes) in before.iter().filter(|(name, _)| name.starts_with("index/")) {
        if !image.tree().contains_key(name) {
            image = image.with(name, Some(bytes.clone()));
        }
    }
    let disk = SimulatedDisk::new(image);
    assert!(index(&disk).len() > expected.len());
    let store = open(&options, &disk).unwrap();
    assert_eq!(index(&disk), expected);
    assert_eq!(block_on(store.head()).unwrap(), head);
}
