//! Pulling 50,000 changesets that the target has not seen, into an empty replica.
//!
//! In memory, the floor is reading them from the source and doing nothing. On SQLite there are two:
//! the same reading, and bare rusqlite filling an empty file of the same tables and indexes with
//! the rows that the pull made, in as many durable transactions.

#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a bench measures time and stops at the first surprise"
)]

use std::path::Path;

use backend_sqlite::SqliteStore;
use benches::{BATCH, CHANGESETS, fill};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_store::{
    ChangesetSource as _, Identity, MemoryStore, PullOptions, Replica, ReplicaStore, VersionVector,
};
use rusqlite::Connection;
use tempfile::TempDir;

/// As many as fit in a processor's cache with all that is made of them: what suits a store whose
/// commits cost nothing.
const SMALL_BATCH: usize = 512;

async fn pull(store: impl ReplicaStore, source: &Replica, batches_of: usize) {
    let target = Replica::open(store).await.unwrap();
    let options = PullOptions::new().batches_of(batches_of);
    let report = target.pull(source, options).await.unwrap();
    assert_eq!(report.integrated, CHANGESETS as u64);
}

async fn read(source: &Replica) {
    let nothing = VersionVector::new();
    let offer = source.offer(&nothing).await.unwrap();
    let mut changesets = source.changesets(&offer, &nothing);
    let mut bytes = 0;
    while let Some(changeset) = changesets.next().await {
        bytes += changeset.unwrap().payload_bytes().len();
    }
    assert!(bytes > 0);
}

fn create(directory: &TempDir, name: &str, identity: Identity) -> SqliteStore {
    SqliteStore::create(directory.path().join(name), identity).unwrap()
}

/// Fills the tables of `target`, as many log entries a transaction as a batch has.
fn insert(target: &Path, source: &Path) {
    let bare = Connection::open(target).unwrap();
    bare.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;").unwrap();
    bare.execute("ATTACH ?1 AS pulled", [source.to_str().unwrap()]).unwrap();
    let tables = ["record_type", "origin", "creator"];
    for table in tables {
        bare.execute_batch(&format!("INSERT INTO {table} SELECT * FROM pulled.{table}")).unwrap();
    }
    for first in (0..CHANGESETS).step_by(BATCH) {
        let last = first + BATCH;
        bare.execute_batch(&format!(
            "BEGIN IMMEDIATE;
             INSERT INTO log SELECT * FROM pulled.log
                 WHERE position > {first} AND position <= {last};
             INSERT OR REPLACE INTO record SELECT record.* FROM pulled.history h
                 JOIN pulled.record record ON record.id = h.record
                 WHERE h.position > {first} AND h.position <= {last};
             INSERT INTO history SELECT * FROM pulled.history
                 WHERE position > {first} AND position <= {last};
             COMMIT;"
        ))
        .unwrap();
    }
}

fn pulls(criterion: &mut Criterion) {
    let identity = Identity::new_database().unwrap();
    let new = || Identity::new_replica(identity.database).unwrap();

    let source = block_on(Replica::open(MemoryStore::new(identity))).unwrap();
    block_on(fill(&source));
    let mut group = criterion.benchmark_group("pull 50,000, memory to memory");
    group.sample_size(10).throughput(Throughput::Elements(CHANGESETS as u64));
    group.bench_function("floor, read the source", |bencher| {
        bencher.iter(|| block_on(read(&source)));
    });
    for batches_of in [BATCH, SMALL_BATCH] {
        group.bench_function(format!("pull, batches of {batches_of}"), |bencher| {
            let store = || MemoryStore::new(new());
            bencher.iter_batched(
                store,
                |store| block_on(pull(store, &source, batches_of)),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();

    let directory = tempfile::tempdir().unwrap();
    let source = block_on(Replica::open(create(&directory, "source.db", identity))).unwrap();
    block_on(fill(&source));
    let pulled = directory.path().join("pulled.db");
    block_on(pull(SqliteStore::create(&pulled, new()).unwrap(), &source, BATCH));
    let mut group = criterion.benchmark_group("pull 50,000, sqlite to sqlite");
    group.sample_size(10).throughput(Throughput::Elements(CHANGESETS as u64));
    group.bench_function("floor, read the source", |bencher| {
        bencher.iter(|| block_on(read(&source)));
    });
    let mut number = 0;
    let mut fresh = || {
        number += 1;
        format!("target-{number}.db")
    };
    group.bench_function("floor, bare insert", |bencher| {
        bencher.iter_batched(
            || {
                let target = directory.path().join(fresh());
                block_on(SqliteStore::create(&target, new()).unwrap().close()).unwrap();
                target
            },
            |target| insert(&target, &pulled),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("pull", |bencher| {
        bencher.iter_batched(
            || create(&directory, &fresh(), new()),
            |store| block_on(pull(store, &source, BATCH)),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, pulls);
criterion_main!(benches);
