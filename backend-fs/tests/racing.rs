//! Several handles of one directory, each commit of which begins another file of the log.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use backend_fs::{FsOptions, FsStore};
use futures_lite::future::block_on;
use prophet_store::{
    Commit, CommitId, Head, HistoryScan, Identity, LogScan, PageLimit, Properties, Replica,
    ReplicaStore as _, ReplicaStoreExt as _, StoreError,
};
use support::{Content, IDENTITY, cases, metadata_key};

fn options() -> FsOptions {
    FsOptions::new().segment_bytes(1).views(false)
}

/// Commits so often, on whatever head there is.
fn write(path: &Path, salt: u8, count: u64) {
    let store = options().open(path).unwrap();
    let (mut number, mut done) = (0_u64, 0);
    let mut last = Head::EMPTY;
    while done < count {
        let base = block_on(store.head()).unwrap();
        assert!(base.version >= last.version, "{base} after {last}");
        number += 1;
        let mut id = [salt; 16];
        id[8..].copy_from_slice(&number.to_be_bytes());
        let commit = Commit::new(CommitId::from_bytes(id), base)
            .with_metadata(metadata_key(&format!("by/{salt}")), Some(vec![salt; 9]))
            .unwrap();
        match block_on(store.commit(&commit)) {
            Ok(head) => {
                assert_eq!(head, commit.head());
                last = head;
                done += 1;
            }
            Err(StoreError::StaleBase { head, .. }) => assert!(head.version >= base.version),
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Makes records, on whatever head there is.
fn edit(path: &Path, count: usize) {
    let replica = block_on(Replica::open(options().open(path).unwrap())).unwrap();
    for number in 0..count {
        let named = Properties::new().with("number", i64::try_from(number).unwrap()).unwrap();
        block_on(replica.create("note", named)).unwrap();
    }
}

/// Reads until all are done.
fn read(store: &FsStore, running: &AtomicUsize) -> usize {
    let (mut last, mut reads) = (Head::EMPTY, 0);
    while running.load(Ordering::Acquire) > 0 {
        let head = block_on(store.head()).unwrap();
        assert!(head.version >= last.version, "{head} after {last}");
        let page = block_on(store.scan_log(&LogScan::default())).unwrap();
        assert!(page.at.version >= head.version, "{} after {head}", page.at);
        if let Some(entry) = page.items.last() {
            assert!(page.more.is_some() || entry.position == page.at.position);
            let record = (*entry.records().first().unwrap()).clone();
            let (after, direction, limit) = (None, Default::default(), PageLimit::default());
            let scan = HistoryScan { record, after, direction, limit };
            assert!(!block_on(store.scan_history(&scan)).unwrap().items.is_empty());
        }
        last = page.at;
        reads += 1;
    }
    reads
}

/// Counts down also where the thread panics, so that the others end.
struct Ends<'a>(&'a AtomicUsize);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[test]
fn heads_never_go_back_and_reads_never_fail() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("raced");
    drop(options().create(&path, IDENTITY).unwrap());
    let running = AtomicUsize::new(3);
    let count = cases(40);
    std::thread::scope(|scope| {
        for salt in [1, 2] {
            let (path, running) = (&path, &running);
            scope.spawn(move || {
                let _ends = Ends(running);
                write(path, salt, count as u64);
            });
        }
        scope.spawn(|| {
            let _ends = Ends(&running);
            edit(&path, count);
        });
        let readers: Vec<_> = [true, false]
            .map(|read_only| {
                let store = options().read_only(read_only).open(&path).unwrap();
                let running = &running;
                scope.spawn(move || read(&store, running))
            })
            .into();
        // Others come and go, and find something whole each time.
        let mut opened = 0;
        while running.load(Ordering::Acquire) > 0 {
            let store = options().read_only(opened % 2 == 0).open(&path).unwrap();
            block_on(store.head()).unwrap();
            opened += 1;
        }
        let reads: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        println!("{reads:?} reads, {opened} opened");
    });
    let store = options().open(&path).unwrap();
    let found = Content::of(&store).unwrap();
    assert_eq!(found.log.len(), count);
    assert_eq!(found.head.version.get(), 3 * count as u64);
    assert!(block_on(store.verify()).unwrap().is_sound());
    assert_eq!(block_on(store.audit()).unwrap().problems, Vec::<String>::new());
}

/// One of those who create one at the same time does; the others are told.
#[test]
fn one_creates() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..cases(25) {
        let path = directory.path().join(format!("{round}/deeper"));
        let identities = [1, 2, 3].map(|_| Identity::new_database().unwrap());
        let made: Vec<_> = std::thread::scope(|scope| {
            let create = |identity| {
                let path = &path;
                scope.spawn(move || FsOptions::new().create(path, identity))
            };
            let threads = identities.map(create);
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut winners = Vec::new();
        for (answer, identity) in made.into_iter().zip(identities) {
            match answer {
                Ok(store) => {
                    assert_eq!(store.facts().identity, identity);
                    winners.push(identity);
                }
                Err(StoreError::AlreadyExists { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(winners.len(), 1);
        let store = FsOptions::new().open(&path).unwrap();
        assert_eq!(store.facts().identity, winners[0]);
        assert!(block_on(store.verify()).unwrap().is_sound());
    }
}
