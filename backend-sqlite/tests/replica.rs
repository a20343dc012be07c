//! The engine on one SQLite file, shared with other processes.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use backend_sqlite::SqliteStore;
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_store::{
    Error, Identity, Position, Properties, Query, RecordKey, Replica, ReplicaStoreExt as _, Value,
    property,
};

const PATH: &str = "PROPHET_TEST_PATH";
const KEY: &str = "PROPHET_TEST_KEY";
const INCREMENTS: i64 = 40;

fn create(path: &Path) -> Replica {
    let store = SqliteStore::create(path, Identity::new_database().unwrap()).unwrap();
    block_on(Replica::open(store)).unwrap()
}

async fn increment(replica: &Replica, key: &RecordKey) -> Result<(), Error> {
    let edited = replica.edit(|edit| async move {
        let record = edit.get(key).await?.ok_or_else(|| Error::app("the counter is gone"))?;
        let n = record.get("n").and_then(Value::as_integer).unwrap_or_default();
        edit.update(key, Properties::new().with("n", n + 1)?).await
    });
    edited.await.map(|_| ())
}

#[test]
#[ignore = "the process that other tests start"]
fn child() {
    let path = std::env::var_os(PATH).unwrap();
    let key: RecordKey = std::env::var(KEY).unwrap().parse().unwrap();
    let replica = block_on(Replica::open(SqliteStore::open(path).unwrap())).unwrap();
    for _ in 0..INCREMENTS {
        block_on(increment(&replica, &key)).unwrap();
    }
}

fn start_child(path: &Path, key: &RecordKey) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored"])
        .env(PATH, path)
        .env(KEY, key.to_string())
        .spawn()
        .unwrap()
}

#[test]
fn edits_of_several_processes_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shared.db");
    let replica = create(&path);
    let counter = Properties::new().with("n", 0).unwrap();
    let key = block_on(replica.create("counter", counter)).unwrap();
    let children = [start_child(&path, &key), start_child(&path, &key)];
    for _ in 0..INCREMENTS {
        block_on(increment(&replica, &key)).unwrap();
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let record = block_on(replica.get(&key)).unwrap().unwrap();
    assert_eq!(record.get("n"), Some(&Value::from(3 * INCREMENTS)));
    assert!(block_on(replica.store().audit()).unwrap().is_sound());
}

#[test]
fn watch_gives_what_another_process_commits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("watched.db");
    let replica = create(&path);
    let counter = Properties::new().with("n", 0).unwrap();
    let key = block_on(replica.create("counter", counter)).unwrap();
    let mut child = start_child(&path, &key);
    let watched = replica.watch(Position::new(1), Duration::from_millis(5));
    let seen: Vec<_> = block_on(watched.take(INCREMENTS as usize).collect::<Vec<_>>());
    assert!(child.wait().unwrap().success());
    let positions: Vec<_> =
        seen.iter().map(|entry| entry.as_ref().unwrap().position.get()).collect();
    assert_eq!(positions, (2..=INCREMENTS as u64 + 1).collect::<Vec<_>>(), "each once, in order");
}

#[test]
fn what_was_acknowledged_is_there_after_a_reopen_without_a_close() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("reopened.db");
    let replica = create(&path);
    let person = Properties::new().with("name", "Ada").unwrap();
    let key = block_on(replica.create("person", person)).unwrap();
    drop(replica);
    let replica = block_on(Replica::open(SqliteStore::open(&path).unwrap())).unwrap();
    let record = block_on(replica.get(&key)).unwrap().unwrap();
    assert_eq!(record.get("name"), Some(&Value::from("Ada")));
    block_on(replica.update(&key, Properties::new().with("name", "Grace").unwrap())).unwrap();
    let named = property("name").unwrap().eq("Grace");
    let query = Query::of("person").unwrap().filter(named);
    assert_eq!(block_on(replica.count(&query)).unwrap(), 1);
    assert!(block_on(replica.store().audit()).unwrap().is_sound());
}

#[test]
fn a_closed_replica_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let replica = create(&directory.path().join("closed.db"));
    block_on(replica.close()).unwrap();
    let error = block_on(replica.create("person", Properties::new())).unwrap_err();
    assert!(error.to_string().contains("open the replica again"), "{error}");
}
