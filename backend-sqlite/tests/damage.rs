//! Damage is seen: by the read that meets it, and by `verify`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod common;

use std::fs;

use backend_sqlite::SqliteStore;
use common::{Author, apply, commit, head, identity, key, metadata, place, record};
use futures_lite::future::block_on;
use prophet_store::{
    Commit, Digest, Head, HistoryScan, LogScan, MetadataKey, MetadataScan, OriginScan, PageLimit,
    PropertyName, RegisterName, ReplicaId, ReplicaStore, Resolution, Sequence, StoreError, Value,
    Vote, limits,
};
use rusqlite::Connection;

/// A small replica with something in every table.
fn replica() -> (tempfile::TempDir, std::path::PathBuf) {
    let (directory, path) = place();
    let store = SqliteStore::create(&path, identity()).unwrap();
    let (mut one, mut other) = (Author::new(1), Author::new(2));
    let changesets = [
        one.update(&key("bug", 1), "title", "a title that can be found in the file"),
        other.update(&key("bug", 2), "title", "another"),
        one.update(&key("bug", 1), "title", "a third"),
    ];
    let name = PropertyName::new("title").unwrap();
    let candidates = vec![None, Some(Value::from(1))];
    let register = RegisterName::Property(name.clone());
    let vote = Vote::new(key("bug", 1), register, candidates, None, Vec::new()).unwrap();
    let resolution = Resolution {
        changeset: Digest::from_bytes([5; 32]),
        voter: ReplicaId::from_bytes([1; 16]),
        sequence: Sequence::FIRST,
        vote,
    };
    let commit: Commit = commit(1, Head::EMPTY, &changesets)
        .with_record(record(&key("bug", 1), true, [(name.clone(), Value::from("shown"))]))
        .unwrap()
        .with_record(record(&key("bug", 2), false, [(name, Value::from("hidden"))]))
        .unwrap()
        .with_resolution(resolution)
        .unwrap()
        .with_metadata(MetadataKey::new("key").unwrap(), Some(b"value".to_vec()))
        .unwrap();
    apply(&store, &commit).unwrap();
    assert!(block_on(store.verify()).unwrap().is_sound());
    (directory, path)
}

fn tamper(path: &std::path::Path, damage: &str) {
    let conn = Connection::open(path).unwrap();
    conn.pragma_update(None, "foreign_keys", false).unwrap();
    conn.execute_batch(damage).unwrap();
}

fn log(store: &SqliteStore) -> Result<usize, StoreError> {
    block_on(store.scan_log(&LogScan::default())).map(|page| page.items.len())
}

#[test]
fn a_damaged_byte_in_the_log_is_seen() {
    let (_directory, path) = replica();
    let mut bytes = fs::read(&path).unwrap();
    let text = b"title that can be found";
    let places: Vec<_> =
        (0..bytes.len() - text.len()).filter(|at| bytes[*at..].starts_with(text)).collect();
    assert_eq!(places.len(), 1);
    bytes[places[0]] ^= 0x20;
    fs::write(&path, bytes).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    let error = log(&store).unwrap_err();
    let StoreError::Corrupt { place, .. } = &error else { panic!("{error}") };
    assert!(place.contains("log entry 1") && place.contains(path.to_str().unwrap()), "{error}");
    let history = HistoryScan {
        record: key("bug", 1),
        after: None,
        direction: Default::default(),
        limit: PageLimit::default(),
    };
    let error = block_on(store.scan_history(&history)).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    let verification = block_on(store.verify()).unwrap();
    assert!(verification.problems.iter().any(|problem| problem.contains("log entry 1")));
    assert_eq!(verification.entries, 3);
    assert_eq!(head(&store).position.get(), 3, "the rest is there");
}

/// Whatever somebody does to the tables, `verify` says where.
#[test]
fn verify_finds_what_was_tampered_with() {
    for (damage, place) in [
        ("UPDATE log SET digest = zeroblob(32) WHERE position = 2", "log entry 2"),
        ("UPDATE log SET millis = millis + 1 WHERE position = 2", "log entry 2"),
        ("UPDATE log SET sequence = 7 WHERE position = 2", "log entry 2"),
        ("UPDATE log SET sequence = 0 WHERE position = 2", "log entry 2"),
        ("UPDATE log SET kind = 3 WHERE position = 2", "log entry 2"),
        ("UPDATE log SET kind = 77 WHERE position = 2", "log entry 2"),
        ("UPDATE log SET counter = -1 WHERE position = 2", "log entry 2"),
        ("UPDATE log SET parents = x'00' WHERE position = 2", "log entry 2"),
        ("UPDATE log SET previous = zeroblob(32) WHERE position = 3", "log entry 3"),
        ("UPDATE log SET database = zeroblob(16) WHERE position = 3", "log entry 3"),
        ("UPDATE log SET effects = x'00' WHERE position = 3", "log entry 3"),
        ("UPDATE log SET origin = 99 WHERE position = 3", "log entry 3"),
        ("DELETE FROM log WHERE position = 2", "position 3 where 2 should be"),
        ("DELETE FROM log WHERE position = 3", "the log ends at 2"),
        ("UPDATE creator SET name = 'somebody else'", "log entry 1"),
        ("UPDATE creator SET name = 'some' || char(10) || 'body'", "creator 1"),
        ("UPDATE origin SET uuid = zeroblob(16) WHERE id = 1", "log entry 1"),
        ("UPDATE origin SET uuid = zeroblob(3) WHERE id = 1", "origin 1"),
        ("UPDATE record_type SET name = 'feature'", "record feature/"),
        ("UPDATE record_type SET name = ''", "record type 1"),
        ("UPDATE record SET properties = '{}' WHERE existence = 1", "record bug/"),
        ("UPDATE record SET properties = '{}' WHERE existence = 2", "record bug/"),
        ("UPDATE record SET existence = 1 WHERE existence = 2", "record bug/"),
        ("UPDATE record SET changed = 2 WHERE existence = 2", "record bug/"),
        ("UPDATE record SET state = substr(state, 1, 20) WHERE existence = 2", "record bug/"),
        ("UPDATE record SET state = NULL WHERE existence = 2", "record bug/"),
        ("UPDATE record SET uuid = zeroblob(16) WHERE existence = 2", "record bug/0000"),
        ("DELETE FROM record WHERE existence = 2", "the history"),
        ("DELETE FROM history WHERE position = 2", "it lacks entry 2"),
        ("INSERT INTO history SELECT id, 3 FROM record WHERE existence = 2", "the history has 4"),
        ("UPDATE resolution SET changeset = zeroblob(32)", "the resolution of conflict"),
        ("UPDATE resolution SET vote = x'AB50'", "the resolution of conflict"),
        (
            "UPDATE metadata SET value = 'x' || value WHERE 0; UPDATE metadata SET value = x'00'",
            "metadata key key",
        ),
        ("UPDATE metadata SET key = ''", "metadata"),
        ("UPDATE replica SET database = zeroblob(16)", "the identity"),
        ("UPDATE commits SET position = 2 WHERE version = 1", "commit 1"),
        ("UPDATE commits SET version = 5 WHERE version = 1", "commit 5"),
        ("DELETE FROM commits WHERE version = 1", "the head is at position 0"),
        ("DROP INDEX log_digest", "log_digest"),
        ("CREATE TRIGGER t AFTER INSERT ON log BEGIN DELETE FROM metadata; END", "trigger t"),
        ("DROP TABLE metadata", "metadata"),
    ] {
        let (_directory, path) = replica();
        let store = SqliteStore::open(&path).unwrap();
        tamper(&path, damage);
        let problems = match block_on(store.verify()) {
            Ok(verification) => verification.problems,
            Err(error) => panic!("{damage}: {error}"),
        };
        assert!(problems.iter().any(|problem| problem.contains(place)), "{damage}: {problems:?}");
        assert!(problems.iter().all(|problem| problem.contains(path.to_str().unwrap())));
    }
}

#[test]
fn a_log_that_lost_its_end_is_neither_read_nor_written_as_if_whole() {
    let (_directory, path) = replica();
    tamper(&path, "DELETE FROM log WHERE position = 3");
    let store = SqliteStore::open(&path).unwrap();
    assert!(matches!(log(&store), Err(StoreError::Corrupt { .. })));
    let next = metadata(2, head(&store), "key", b"value");
    assert!(matches!(apply(&store, &next), Err(StoreError::Corrupt { .. })));
}

#[test]
fn damage_to_the_head_or_the_identity_is_seen_on_opening() {
    for damage in [
        "UPDATE commits SET id = zeroblob(16)",
        "UPDATE commits SET checksum = 0",
        "DELETE FROM commits",
        "UPDATE replica SET replica = zeroblob(16)",
        "DELETE FROM replica",
        "DROP TABLE commits",
    ] {
        let (_directory, path) = replica();
        tamper(&path, damage);
        let error = SqliteStore::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{damage}: {error}");
    }
}

/// No flipped byte anywhere makes a read panic, or makes the log other than it was.
#[test]
fn a_flipped_byte_anywhere_gives_the_same_log_or_an_error() {
    let (_directory, path) = replica();
    let sound = fs::read(&path).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    let read = |store: &SqliteStore| block_on(store.scan_log(&LogScan::default()));
    let expected = read(&store).unwrap();
    drop(store);
    // Most of the file is empty space; a step that shares no factor with the page size.
    for at in (0..sound.len()).step_by(97) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0xFF;
        fs::write(&path, bytes).unwrap();
        let Ok(store) = SqliteStore::open(&path) else { continue };
        match read(&store) {
            Ok(page) => assert_eq!(page, expected, "byte {at}"),
            Err(error) => assert!(matches!(error, StoreError::Corrupt { .. }), "{at}: {error:?}"),
        }
        if let Ok(found) = block_on(store.get_records(&[key("bug", 1)])) {
            let _ = found;
        }
        block_on(store.verify()).unwrap();
    }
}

/// What is not read whole is certified all the same.
#[test]
fn entries_that_are_only_named_and_keys_of_metadata_are_certified() {
    let origin = ReplicaId::from_bytes([1; 16]);
    let (after, direction, limit) = (None, Default::default(), PageLimit::default());
    let scan = OriginScan { origin, after, direction, limit };
    for damage in [
        "UPDATE log SET digest = zeroblob(32) WHERE position = 3",
        "UPDATE log SET sequence = 9 WHERE position = 3",
        "UPDATE log SET checksum = checksum + 1 WHERE position = 3",
        "UPDATE log SET origin = 1",
        "UPDATE log SET position = 9 WHERE position = 3",
    ] {
        let (_directory, path) = replica();
        let store = SqliteStore::open(&path).unwrap();
        let sound = block_on(store.scan_origin(&scan)).unwrap();
        assert_eq!(sound.items.len(), 2);
        tamper(&path, damage);
        let error = block_on(store.scan_origin(&scan)).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{damage}: {error}");
        let last = sound.items.last().unwrap().digest;
        match block_on(store.find_changesets(&[last])) {
            Ok(found) => {
                assert!([None, Some(sound.items[1].position)].contains(&found.value[0]), "{damage}")
            }
            Err(error) => assert!(matches!(error, StoreError::Corrupt { .. }), "{damage}"),
        }
    }
    let (_directory, path) = replica();
    let store = SqliteStore::open(&path).unwrap();
    tamper(&path, "UPDATE metadata SET key = 'kez'");
    let error = block_on(store.scan_metadata(&MetadataScan::default())).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    let kez = MetadataKey::new("kez").unwrap();
    let error = block_on(store.get_metadata(&[kez])).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

/// A head that was lost does not make a log longer than it says.
#[test]
fn entries_beyond_the_head_are_damage() {
    let (_directory, path) = replica();
    let store = SqliteStore::open(&path).unwrap();
    tamper(&path, "DELETE FROM commits WHERE version = 1");
    assert!(matches!(log(&store), Err(StoreError::Corrupt { .. })));
}

#[test]
fn metadata_up_to_the_limit_survives() {
    let (_directory, path) = place();
    let store = SqliteStore::create(&path, identity()).unwrap();
    let value = vec![0xA5; limits::METADATA_VALUE_BYTES as usize];
    let name = "\0".repeat(limits::METADATA_KEY_BYTES as usize);
    apply(&store, &metadata(1, Head::EMPTY, &name, &value)).unwrap();
    let key = MetadataKey::new(name).unwrap();
    assert_eq!(block_on(store.get_metadata(&[key])).unwrap().value, [Some(value)]);
}
