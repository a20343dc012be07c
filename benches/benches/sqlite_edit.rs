//! One durable edit of one property, on SQLite, beside its floors.
//!
//! - `floor, one row`: bare rusqlite appends the bytes of the log entry and replaces the bytes of
//!   the record, in two tables without any index, and commits. Less cannot be done durably.
//! - `floor, same rows`: bare rusqlite writes the very rows that Prophet writes, into the same
//!   tables with the same indexes, and commits.
//!
//! All three hand the work over to a worker thread and wait for its answer, as an async API over a
//! blocking engine has to, all use WAL and `synchronous=FULL`, and all run in turns.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench measures time and stops at the first surprise"
)]

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use backend_sqlite::SqliteStore;
use benches::{Floor, RECORDS, Subject, in_turns, medians};
use criterion::{Criterion, criterion_group, criterion_main};
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_store::{Direction, Identity, Replica, codec};
use rusqlite::{Connection, params};

fn connect(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.pragma_update(None, "synchronous", "full").unwrap();
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    connection
}

/// The bytes that the last edit appended to the log and put in the place of the record.
fn last_bytes(replica: &Replica) -> (Vec<u8>, Vec<u8>) {
    let mut log = replica.log(None, Direction::Backward);
    let entry = block_on(log.next()).unwrap().unwrap();
    let key = entry.changeset.changes()[0].record.clone();
    let read = block_on(replica.store().get_records(&[key])).unwrap();
    (codec::encode_entry(&entry), codec::encode_record(read.value[0].as_ref().unwrap()))
}

fn one_row(path: &Path, (entry, state): (Vec<u8>, Vec<u8>)) -> Floor {
    let connection = connect(path);
    connection
        .execute_batch(
            "CREATE TABLE log(position INTEGER PRIMARY KEY, entry BLOB);
             CREATE TABLE record(id INTEGER PRIMARY KEY, state BLOB);",
        )
        .unwrap();
    for id in 0..RECORDS as u64 {
        connection
            .execute("INSERT INTO record VALUES (?1, ?2)", params![id.cast_signed(), state])
            .unwrap();
    }
    Floor::new(move |number| {
        let id = (number * 7_919 % RECORDS as u64).cast_signed();
        connection.prepare_cached("BEGIN IMMEDIATE").unwrap().execute([]).unwrap();
        connection
            .prepare_cached("INSERT INTO log VALUES (?1, ?2)")
            .unwrap()
            .execute(params![number.cast_signed(), entry])
            .unwrap();
        connection
            .prepare_cached("UPDATE record SET state = ?2 WHERE id = ?1")
            .unwrap()
            .execute(params![id, state])
            .unwrap();
        connection.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
    })
}

/// Writes the rows that Prophet writes, as the last edit left them, into a copy of its file.
fn same_rows(prophet: &Path, path: &Path) -> Floor {
    {
        let source = connect(prophet);
        source.execute("VACUUM INTO ?1", [path.to_str()]).unwrap();
    }
    let connection = connect(path);
    let (mut position, mut sequence): (i64, i64) = connection
        .query_row("SELECT max(position), max(sequence) FROM log", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let mut version: i64 =
        connection.query_row("SELECT max(version) FROM commits", [], |row| row.get(0)).unwrap();
    let payload: Vec<u8> = connection
        .query_row("SELECT payload FROM log WHERE position = ?1", [position], |row| row.get(0))
        .unwrap();
    let (properties, state): (String, Vec<u8>) = connection
        .query_row("SELECT properties, state FROM record ORDER BY changed DESC", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    Floor::new(move |number| {
        let execute = |statement: &str, parameters: &[&dyn rusqlite::ToSql]| {
            connection.prepare_cached(statement).unwrap().execute(parameters).unwrap();
        };
        position += 1;
        sequence += 1;
        version += 1;
        let record = (number * 7_919 % RECORDS as u64).cast_signed() + 1;
        // As far from one another as digests are.
        let mut digest = [7; 32];
        digest[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        execute("BEGIN IMMEDIATE", &[]);
        execute(
            "INSERT INTO log (position, digest, origin, sequence, creator, millis, counter, kind, \
             checksum, payload) VALUES (?1, ?2, 1, ?3, 1, ?4, 0, 0, 1000000000, ?5)",
            &[&position, &digest, &sequence, &1_790_000_000_000i64, &payload],
        );
        execute("INSERT INTO history VALUES (?1, ?2)", &[&record, &position]);
        execute(
            "UPDATE record SET changed = ?2, existence = 1, properties = ?3, state = ?4 \
             WHERE id = ?1",
            &[&record, &position, &properties, &state],
        );
        execute(
            "INSERT INTO commits VALUES (?1, ?2, ?3, ?4)",
            &[&version, &position, &[7u8; 16], &4_000_000_000i64],
        );
        execute("COMMIT", &[]);
    })
}

fn edits(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let prophet = directory.path().join("prophet.db");
    let store = SqliteStore::create(&prophet, Identity::new_database().unwrap()).unwrap();
    let mut subject = Subject::new(store);
    subject.edit();
    let one = one_row(&directory.path().join("one.db"), last_bytes(&subject.replica));
    let same = same_rows(&prophet, &directory.path().join("same.db"));
    let names = ["floor, one row", "floor, same rows", "prophet"];
    let runs = RefCell::new((subject, one, same, names.map(|_| Vec::new())));

    let mut group = criterion.benchmark_group("single durable edit, sqlite");
    for (wanted, name) in names.iter().enumerate() {
        group.bench_function(*name, |bencher| {
            bencher.iter_custom(|count| {
                let (subject, one, same, times) = &mut *runs.borrow_mut();
                in_turns(count, wanted, times, |index| match index {
                    0 => one.edit(),
                    1 => same.edit(),
                    _ => subject.edit(),
                })
            });
        });
    }
    group.finish();

    let (_, _, _, times) = &mut *runs.borrow_mut();
    let Some([one, same, prophet]) = medians(times) else { return };
    let ratio = |floor: Duration| prophet.as_secs_f64() / floor.as_secs_f64();
    println!(
        "single durable edit, sqlite, medians: prophet {prophet:?}; {:.2}x of the same rows \
         ({same:?}), {:.2}x of one row ({one:?})",
        ratio(same),
        ratio(one)
    );
}

criterion_group!(benches, edits);
criterion_main!(benches);
