//! What a changeset takes on disk, indexes and all.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod common;

use std::fs;

use backend_sqlite::SqliteStore;
use common::{Author, apply, commit_id, entry, identity, key, place, update};
use prophet_store::{
    Commit, Digest, Head, Position, PropertyName, RecordState, Register, ReplicaStore as _, Value,
    Write,
};

const RECORDS: u128 = 1_000;
const PER_COMMIT: u64 = 100;

/// Ids as UUIDs are: without an order that would flatter the tables.
fn id(number: u128) -> u128 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
}

#[test]
fn a_one_property_changeset_takes_less_than_300_bytes() {
    let (_directory, path) = place();
    let mut author = Author::new(1);
    let mut last: Vec<Option<(Digest, String)>> = vec![None; RECORDS as usize];
    let mut at = Head::EMPTY;
    let mut sizes = Vec::new();
    for half in 0..2 {
        let store =
            SqliteStore::create(&path, identity()).or_else(|_| SqliteStore::open(&path)).unwrap();
        for number in 0..10_000 / PER_COMMIT {
            let mut commit = Commit::new(commit_id(half * 1_000 + number + 1), at);
            for step in 0..PER_COMMIT {
                let turn = half * 10_000 + number * PER_COMMIT + step;
                let index = (turn * 379 % RECORDS as u64) as usize;
                let key = key("bug", id(index as u128));
                let value = format!("status {turn}");
                let (seen, old) = match last[index].take() {
                    Some((digest, value)) => (vec![digest], Some(Value::from(value))),
                    None => (Vec::new(), None),
                };
                let payload = update(&key, "status", old, Value::from(value.clone()), &seen);
                let changeset = author.author(payload);
                let position = commit.head().position.next();
                let write =
                    |value| Write::new(changeset.digest(), changeset.header().time, Some(value));
                let state = RecordState::from_registers(
                    key,
                    Position::new(position.get()),
                    Register::new(vec![write(Value::Boolean(true))]),
                    [(
                        PropertyName::new("status").unwrap(),
                        Register::new(vec![write(Value::from(value.clone()))]),
                    )]
                    .into(),
                )
                .unwrap();
                last[index] = Some((changeset.digest(), value));
                commit = commit.with_entry(entry(position.get(), &changeset)).unwrap();
                commit = commit.with_record(state).unwrap();
            }
            at = apply(&store, &commit).unwrap();
        }
        futures_lite::future::block_on(store.close()).unwrap();
        sizes.push(fs::metadata(&path).unwrap().len());
    }
    let each = (sizes[1] - sizes[0]) as f64 / 10_000.0;
    println!("{each} bytes per changeset");
    let conn = rusqlite::Connection::open(&path).unwrap();
    let tables = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 8";
    let mut statement = conn.prepare(tables).unwrap();
    let sizes = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    for size in sizes {
        let (name, bytes): (String, i64) = size.unwrap();
        println!("{name}: {bytes} bytes");
    }
    assert!(each < 300.0, "{each} bytes per changeset");
}
