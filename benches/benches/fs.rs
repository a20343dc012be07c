//! The filesystem backend beside its floors, which are bare files.
//!
//! - One durable edit. Floor: the bytes of the same lines appended to a file and synced, by a worker
//!   thread that is handed the job and answers it, as an async API over a blocking system has to.
//!   Both run in turns.
//! - Integrating 50,000 foreign changesets: the commits that a pull hands to the store, and the
//!   whole pull. Floor: the same lines appended to a file and synced, in the same batches.
//! - Opening a replica of 50,000 changesets.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench measures time and stops at the first surprise"
)]

use std::cell::RefCell;
use std::fs::File;
use std::io::Write as _;

use backend_fs::FsStore;
use benches::{BATCH, CHANGESETS, Floor, Subject, commits, fill, in_turns, medians};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_files::line::{CommitEnd, Line, LineWriter};
use prophet_store::{
    Direction, Head, Identity, LogEntry, MemoryStore, PullOptions, Replica, ReplicaStore as _,
};

/// The lines that the last edit appended.
fn last_lines(replica: &Replica) -> Vec<u8> {
    let mut log = replica.log(None, Direction::Backward);
    let entry = block_on(log.next()).unwrap().unwrap();
    let head = block_on(replica.head()).unwrap();
    lines(replica, &[entry], head)
}

fn lines(replica: &Replica, entries: &[LogEntry], head: Head) -> Vec<u8> {
    let mut writer = LineWriter::new(replica.store().facts().identity.database);
    let mut out = Vec::new();
    for entry in entries {
        writer.write(&Line::Entry(entry.clone()), &mut out);
    }
    writer.write(&Line::Commit(CommitEnd::at(head)), &mut out);
    out
}

fn edits(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("prophet");
    let mut subject =
        Subject::new(FsStore::create(path, Identity::new_database().unwrap()).unwrap());
    subject.edit();
    let line = last_lines(&subject.replica);
    let mut file = File::create(directory.path().join("floor")).unwrap();
    let floor = Floor::new(move |_| {
        file.write_all(&line).unwrap();
        file.sync_data().unwrap();
    });
    let names = ["floor, append and sync", "prophet"];
    let runs = RefCell::new((subject, floor, names.map(|_| Vec::new())));

    let mut group = criterion.benchmark_group("single durable edit, fs");
    for (wanted, name) in names.iter().enumerate() {
        group.bench_function(*name, |bencher| {
            bencher.iter_custom(|count| {
                let (subject, floor, times) = &mut *runs.borrow_mut();
                in_turns(count, wanted, times, |index| match index {
                    0 => floor.edit(),
                    _ => subject.edit(),
                })
            });
        });
    }
    group.finish();

    let (_, _, times) = &mut *runs.borrow_mut();
    let Some([floor, prophet]) = medians(times) else { return };
    println!(
        "single durable edit, fs, medians: prophet {prophet:?}; {:.2}x of append and sync ({floor:?})",
        prophet.as_secs_f64() / floor.as_secs_f64()
    );
}

fn integrations(criterion: &mut Criterion) {
    let identity = Identity::new_database().unwrap();
    let source = block_on(Replica::open(MemoryStore::new(identity))).unwrap();
    block_on(fill(&source));
    let commits = block_on(commits(&source, BATCH));
    let batches: Vec<_> =
        commits.iter().map(|commit| lines(&source, commit.entries(), commit.head())).collect();
    let bytes: usize = batches.iter().map(Vec::len).sum();
    println!("{CHANGESETS} changesets are {bytes} bytes of lines");
    let new = || Identity::new_replica(identity.database).unwrap();

    let mut group = criterion.benchmark_group("integrate 50,000, fs");
    group.sample_size(10).throughput(Throughput::Elements(CHANGESETS as u64));
    group.bench_function("floor, append and sync", |bencher| {
        bencher.iter_batched(
            || tempfile::tempfile().unwrap(),
            |mut file| {
                for batch in &batches {
                    file.write_all(batch).unwrap();
                    file.sync_data().unwrap();
                }
                file
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("commits to the store", |bencher| {
        bencher.iter_batched(
            || {
                let directory = tempfile::tempdir().unwrap();
                (FsStore::create(directory.path().join("new"), identity).unwrap(), directory)
            },
            |(store, directory)| {
                for commit in &commits {
                    block_on(store.commit(commit)).unwrap();
                }
                drop(store);
                directory
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("pull from memory", |bencher| {
        bencher.iter_batched(
            || {
                let directory = tempfile::tempdir().unwrap();
                (FsStore::create(directory.path().join("new"), new()).unwrap(), directory)
            },
            |(store, directory)| {
                let target = block_on(Replica::open(store)).unwrap();
                let report = block_on(target.pull(&source, PullOptions::new())).unwrap();
                assert_eq!(report.integrated, CHANGESETS as u64);
                drop(target);
                directory
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    block_on(async {
        let target = Replica::open(FsStore::create(&path, new()).unwrap()).await.unwrap();
        target.pull(&source, PullOptions::new()).await.unwrap();
        target.close().await.unwrap();
    });
    let mut group = criterion.benchmark_group("open 50,000, fs");
    group.sample_size(10);
    group.bench_function("open", |bencher| {
        bencher.iter(|| drop(FsStore::open(&path).unwrap()));
    });
    group.finish();
    let size = |name: &str| -> u64 {
        let files = std::fs::read_dir(path.join(name)).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    let [log, index, records] = ["log", "index", "records"].map(size);
    println!(
        "a changeset takes {:.0} bytes: {:.0} in the log, {:.0} in the index, {:.0} in the records",
        (log + index + records) as f64 / CHANGESETS as f64,
        log as f64 / CHANGESETS as f64,
        index as f64 / CHANGESETS as f64,
        records as f64 / CHANGESETS as f64
    );
}

criterion_group!(benches, edits, integrations);
criterion_main!(benches);
