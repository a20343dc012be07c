//! The sled backend beside its floors, which are bare sled.
//!
//! - One durable edit. Floor: one batch of the same keys and values, flushed and synced to the device,
//!   by a worker thread that is handed the job and answers it, as an async API over a blocking engine
//!   has to. Both run in turns.
//! - Integrating 50,000 foreign changesets in batches of 1,000: the commits that a pull hands to the
//!   store. Floor: the same keys and values in the same batches, each flushed and synced.
//! - Opening a replica of 50,000 changesets, with all keys counted and without.
//! - Reading one record. Floor: a look-up of bare sled, and decoding what it finds.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench measures time and stops at the first surprise"
)]

use std::cell::RefCell;
use std::fs::File;
use std::path::Path;

use backend_sled::{SledOptions, SledStore};
use benches::{CHANGESETS, Floor, Subject, commits, fill, in_turns, medians};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_kv::{certify, writes};
use prophet_store::{
    Commit, CommitId, Direction, Head, Identity, MemoryStore, Position, Properties, RecordKey,
    Replica, ReplicaStore as _, ReplicaStoreExt as _, codec,
};
use prophet_tables::keys;
use sled::{Batch, Db};

/// As many changesets as a commit has here.
const PER_COMMIT: usize = 1_000;

/// Bare sled, synced as a durable store has to.
struct Bare {
    db: Db,
    file: File,
}

impl Bare {
    fn open(path: &Path) -> Self {
        let config = sled::Config::new().path(path).cache_capacity(64 << 20).flush_every_ms(None);
        let db = config.open().unwrap();
        Self { db, file: File::options().write(true).open(path.join("db")).unwrap() }
    }

    fn apply(&self, batch: Batch) {
        self.db.apply_batch(batch).unwrap();
        self.db.flush().unwrap();
        self.file.sync_data().unwrap();
    }
}

/// A key as it is stored, and its value.
type Pair = (Vec<u8>, Vec<u8>);

/// What a commit puts, as it is stored where values are short.
fn pairs(commit: &Commit) -> Vec<Pair> {
    let mut list = Vec::new();
    writes::commit(&mut list, commit);
    let mut pairs: Vec<_> = list
        .into_iter()
        .filter_map(|(key, value)| {
            let mut value = value?;
            value.push(0);
            let stored = certify(&key, value);
            Some((key, stored))
        })
        .collect();
    pairs.push((b"t".to_vec(), certify(b"t", vec![7; 48])));
    pairs
}

/// What the last edit put.
fn last_pairs(replica: &Replica) -> (RecordKey, Vec<Pair>) {
    let mut log = replica.log(None, Direction::Backward);
    let entry = block_on(log.next()).unwrap().unwrap();
    let head = block_on(replica.head()).unwrap();
    let key = entry.changeset.changes()[0].record.clone();
    let read = block_on(replica.store().get_records(std::slice::from_ref(&key))).unwrap();
    let base = Head { position: Position::new(entry.position.get() - 1), ..head };
    let commit = Commit::new(CommitId::from_bytes([7; 16]), base)
        .with_entry(entry)
        .unwrap()
        .with_record(read.value[0].clone().unwrap())
        .unwrap();
    (key, pairs(&commit))
}

/// Writes what an edit writes, under other keys each time but for the records, which are the same few.
fn bare_edits(path: &Path, replica: &Replica, records: Vec<RecordKey>) -> Floor {
    let (edited, pairs) = last_pairs(replica);
    let bare = Bare::open(path);
    // The same content to begin with.
    let mut batch = Batch::default();
    for key in &records {
        let read = block_on(replica.store().get_records(std::slice::from_ref(key))).unwrap();
        let mut state = codec::encode_record(read.value[0].as_ref().unwrap());
        state.push(0);
        let key = keys::record(key);
        batch.insert(key.clone(), certify(&key, state));
    }
    bare.apply(batch);
    let of_record = keys::record(&edited);
    Floor::new(move |number| {
        let mut batch = Batch::default();
        let record = &records[(number as usize * 7_919) % records.len()];
        for (key, stored) in &pairs {
            let mut key = key.clone();
            match key[0] {
                b'r' if key == of_record => key = keys::record(record),
                b't' => {}
                // As far from one another as digests are.
                b'c' => {
                    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    key[1..9].copy_from_slice(&spread.to_be_bytes());
                }
                b'h' => {
                    key = keys::history(record, Position::new(1_000 + number));
                }
                b'o' => key[17..25].copy_from_slice(&(1_000 + number).to_be_bytes()),
                _ => {
                    let end = key.len() - 8;
                    key[end..].copy_from_slice(&(1_000 + number).to_be_bytes());
                }
            }
            batch.insert(key, stored.as_slice());
        }
        bare.apply(batch);
    })
}

fn edits(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("prophet");
    let store = SledStore::create(path, Identity::new_database().unwrap()).unwrap();
    let mut subject = Subject::new(store);
    subject.edit();
    let scan = subject.replica.store().stream_records(Default::default());
    let records: Vec<_> =
        block_on(scan.map(|state| state.unwrap().key().clone()).collect::<Vec<_>>());
    let floor = bare_edits(&directory.path().join("floor"), &subject.replica, records);
    let names = ["floor, bare sled", "prophet"];
    let runs = RefCell::new((subject, floor, names.map(|_| Vec::new())));

    let mut group = criterion.benchmark_group("single durable edit, sled");
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
        "single durable edit, sled, medians: prophet {prophet:?}; {:.2}x of bare sled ({floor:?})",
        prophet.as_secs_f64() / floor.as_secs_f64()
    );
}

fn integrations(criterion: &mut Criterion) {
    let identity = Identity::new_database().unwrap();
    let source = block_on(Replica::open(MemoryStore::new(identity))).unwrap();
    block_on(fill(&source));
    let commits = block_on(commits(&source, PER_COMMIT));
    let batches: Vec<Vec<Pair>> = commits.iter().map(pairs).collect();
    let bytes: usize = batches.iter().flatten().map(|(key, value)| key.len() + value.len()).sum();
    println!("{CHANGESETS} changesets are {bytes} bytes of keys and values");

    let mut group = criterion.benchmark_group("integrate 50,000, sled");
    group.sample_size(10).throughput(Throughput::Elements(CHANGESETS as u64));
    group.bench_function("floor, bare sled", |bencher| {
        bencher.iter_batched(
            || {
                let directory = tempfile::tempdir().unwrap();
                (Bare::open(&directory.path().join("bare")), directory, batches.clone())
            },
            |(bare, directory, batches)| {
                for pairs in batches {
                    let mut batch = Batch::default();
                    for (key, value) in pairs {
                        batch.insert(key, value);
                    }
                    bare.apply(batch);
                }
                (bare, directory)
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("commits to the store", |bencher| {
        bencher.iter_batched(
            || {
                let directory = tempfile::tempdir().unwrap();
                (SledStore::create(directory.path().join("new"), identity).unwrap(), directory)
            },
            |(store, directory)| {
                for commit in &commits {
                    block_on(store.commit(commit)).unwrap();
                }
                (store, directory)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    let store = SledStore::create(&path, identity).unwrap();
    for commit in &commits {
        block_on(store.commit(commit)).unwrap();
    }
    drop(store);
    let mut group = criterion.benchmark_group("open 50,000, sled");
    group.sample_size(10);
    for (name, count) in [("counting", true), ("not counting", false)] {
        group.bench_function(name, |bencher| {
            let options = SledOptions::new().count(count);
            bencher.iter_batched(|| (), |()| options.open(&path).unwrap(), BatchSize::PerIteration);
        });
    }
    group.finish();
    let files = std::fs::metadata(path.join("sled/db")).unwrap().len();
    println!("a changeset takes {:.0} bytes in the file of sled", files as f64 / CHANGESETS as f64);
}

fn look_ups(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("prophet");
    let store = SledStore::create(&path, Identity::new_database().unwrap()).unwrap();
    let replica = block_on(Replica::open(store)).unwrap();
    let created = block_on(replica.edit(|edit| async move {
        let mut keys = Vec::new();
        for number in 0..1_000_i64 {
            let properties = Properties::new().with("title", format!("bug number {number}"))?;
            keys.push(edit.create("bug", properties).await?);
        }
        Ok(keys)
    }));
    let records = created.unwrap().value;
    let bare = Bare::open(&directory.path().join("floor"));
    let read = block_on(replica.store().get_records(&records)).unwrap();
    let mut batch = Batch::default();
    for state in read.value.into_iter().flatten() {
        batch.insert(keys::record(state.key()), codec::encode_record(&state));
    }
    bare.apply(batch);

    let mut group = criterion.benchmark_group("read one record, sled");
    let mut at = 0;
    let mut next = || {
        at = (at + 379) % records.len();
        &records[at]
    };
    group.bench_function("floor, bare sled and decoding", |bencher| {
        bencher.iter(|| {
            let found = bare.db.get(keys::record(next())).unwrap().unwrap();
            codec::decode_record(&found).unwrap()
        });
    });
    group.bench_function("prophet", |bencher| {
        bencher.iter(|| {
            let key = std::slice::from_ref(next());
            block_on(replica.store().get_records(key)).unwrap().value.remove(0).unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, edits, integrations, look_ups);
criterion_main!(benches);
