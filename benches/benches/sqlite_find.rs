//! Finding one record among 50,000 by a property, without an index, on SQLite.
//!
//! - `floor, bare scan`: bare rusqlite steps through all 50,000 rows of the same file and reads the
//!   bytes of each state, and looks at nothing.
//! - `by query`: the store leaves out what cannot match.
//! - `by closure`: every record is decoded and handed to a closure.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench measures time and stops at the first surprise"
)]

use backend_sqlite::SqliteStore;
use criterion::{Criterion, criterion_group, criterion_main};
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_store::{Identity, Properties, Query, Record, Replica, Value, property};
use rusqlite::Connection;

const RECORDS: i64 = 50_000;
const WANTED: i64 = 31_415;

fn finds(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("find.db");
    let store = SqliteStore::create(&path, Identity::new_database().unwrap()).unwrap();
    let replica = block_on(Replica::open(store)).unwrap();
    for first in (0..RECORDS).step_by(1_000) {
        let create = replica.edit(|edit| async move {
            for number in first..first + 1_000 {
                let properties = Properties::new()
                    .with("title", format!("bug number {number}"))?
                    .with("status", "open")?
                    .with("number", number)?;
                edit.create("bug", properties).await?;
            }
            Ok(())
        });
        block_on(create).unwrap();
    }
    let all = Query::of("bug").unwrap();
    let wanted = Value::from(format!("bug number {WANTED}"));
    let by_title = all.clone().filter(property("title").unwrap().eq(wanted.clone()));
    let bare = Connection::open(&path).unwrap();

    let mut group = criterion.benchmark_group("find 1 of 50,000, sqlite");
    group.sample_size(20);
    group.bench_function("floor, bare scan", |bencher| {
        bencher.iter(|| {
            let mut statement = bare.prepare_cached("SELECT state FROM record").unwrap();
            let mut rows = statement.query([]).unwrap();
            let mut bytes = 0;
            while let Some(row) = rows.next().unwrap() {
                bytes += row.get_ref(0).unwrap().as_blob().unwrap().len();
            }
            assert!(bytes > 0);
        });
    });
    group.bench_function("by query", |bencher| {
        bencher.iter(|| {
            let found: Vec<Record> = block_on(replica.find(&by_title).try_collect()).unwrap();
            assert_eq!(found.len(), 1);
        });
    });
    group.bench_function("by closure", |bencher| {
        bencher.iter(|| {
            let wanted = wanted.clone();
            let found = replica.find_where(&all, move |bug| bug.get("title") == Some(&wanted));
            let found: Vec<Record> = block_on(found.try_collect()).unwrap();
            assert_eq!(found.len(), 1);
        });
    });
    group.finish();
}

criterion_group!(benches, finds);
criterion_main!(benches);
