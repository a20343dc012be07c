//! What people find in the directory, and what is made anew when it is missing.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use backend_fs::{FsOptions, FsStore};
use futures_lite::future::block_on;
use prophet_store::{
    Identity, Properties, RecordId, RecordKey, RecordType, Replica, ReplicaStore as _,
    ReplicaStoreExt as _,
};
use serde_json::Value;

fn properties(title: &str) -> Properties {
    Properties::try_from([("title", title)]).unwrap()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

/// A replica with a few segments, closed.
fn some_replica(path: &Path) {
    block_on(async {
        let options = FsOptions::new().segment_bytes(4_000);
        let store = options.create(path, Identity::new_database().unwrap()).unwrap();
        let replica = Replica::open(store).await.unwrap();
        for number in 0..60 {
            let key = replica.create("bug", properties(&format!("bug {number}"))).await.unwrap();
            if number % 3 == 0 {
                replica.update(&key, properties(&format!("better {number}"))).await.unwrap();
            }
            if number % 7 == 0 {
                replica.delete(&key).await.unwrap();
            }
        }
        replica.close().await.unwrap();
    });
}

#[test]
fn every_file_of_the_log_is_lines_of_json() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    some_replica(&path);
    let files = names(&path.join("log"));
    assert!(files.len() > 3, "{files:?}");
    let mut positions = Vec::new();
    for file in &files {
        let file = path.join("log").join(file);
        let text = match file.extension().unwrap().to_str().unwrap() {
            "zst" => {
                let unpacked = Command::new("zstdcat").arg(&file).output().unwrap();
                assert!(unpacked.status.success(), "{unpacked:?}");
                String::from_utf8(unpacked.stdout).unwrap()
            }
            _ => fs::read_to_string(&file).unwrap(),
        };
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if line.get("digest").is_some() {
                positions.push(line["position"].as_u64().unwrap());
            }
        }
    }
    assert_eq!(positions, (1..=89).collect::<Vec<_>>());
}

#[test]
fn records_are_lines_of_json_when_the_replica_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    some_replica(&path);
    let bugs = lines(&path.join("records/bug.jsonl"));
    assert_eq!((&bugs[0]["type"], &bugs[0]["position"]), (&"bug".into(), &89.into()));
    assert_eq!(bugs.len(), 1 + 60 - 9, "deleted ones are not shown");
    let titles: Vec<_> =
        bugs[1..].iter().map(|bug| bug["properties"]["title"].as_str().unwrap()).collect();
    assert!(titles.contains(&"better 3") && titles.contains(&"bug 1"));
    assert!(!titles.contains(&"bug 3") && !titles.contains(&"bug 7"));
}

#[test]
fn what_is_derived_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    some_replica(&path);
    let now = |name: &str| names(&path.join(name));
    let (index, records) = (now("index"), fs::read(path.join("records/bug.jsonl")).unwrap());
    let manifest = fs::read(path.join("manifest.json")).unwrap();
    fs::remove_dir_all(path.join("index")).unwrap();
    fs::remove_dir_all(path.join("records")).unwrap();
    fs::remove_file(path.join("manifest.json")).unwrap();
    // A reader makes what it needs in memory, and touches nothing.
    let reader = FsOptions::new().read_only(true).open(&path).unwrap();
    let audit = block_on(reader.audit()).unwrap();
    assert!(audit.is_sound() && audit.records == 60, "{audit:?}");
    assert!(!path.join("index").exists());
    drop(reader);
    // A writer makes it anew, the records and the manifest when it has written.
    let store = FsStore::open(&path).unwrap();
    assert_eq!(now("index"), index);
    block_on(async {
        let replica = Replica::open(store).await.unwrap();
        let audit = replica.store().audit().await.unwrap();
        assert!(audit.is_sound() && audit.records == 60, "{audit:?}");
        replica.create("note", properties("new")).await.unwrap();
        replica.close().await.unwrap();
    });
    let again = fs::read(path.join("records/bug.jsonl")).unwrap();
    let after_first =
        |text: &[u8]| text.splitn(2, |byte| *byte == b'\n').nth(1).map(<[u8]>::to_vec);
    assert_eq!(after_first(&again), after_first(&records));
    assert_ne!(fs::read(path.join("manifest.json")).unwrap(), manifest);
}

#[test]
fn a_damaged_index_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    some_replica(&path);
    for name in names(&path.join("index")) {
        let file = path.join("index").join(name);
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    }
    let store = FsStore::open(&path).unwrap();
    assert!(block_on(store.audit()).unwrap().is_sound());
    assert!(block_on(store.verify()).unwrap().is_sound());
}

#[test]
fn types_of_any_name_have_files_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    let long = "x".repeat(255);
    let types = ["bug", "Bug", "BUG", "a/b", "../up", "con", ".", "é", "e\u{301}", &long];
    block_on(async {
        let store = FsStore::create(&path, Identity::new_database().unwrap()).unwrap();
        let replica = Replica::open(store).await.unwrap();
        for (number, name) in (1..).zip(types) {
            let id = RecordId::from_bytes([number; 16]);
            let key = RecordKey::new(RecordType::new(name).unwrap(), id);
            let create = replica.edit(|edit| {
                let key = &key;
                async move { edit.create_at(key, properties(name)).await }
            });
            create.await.unwrap();
        }
        replica.close().await.unwrap();
    });
    let files = names(&path.join("records"));
    let lower: std::collections::HashSet<_> = files.iter().map(|f| f.to_lowercase()).collect();
    assert_eq!((files.len(), lower.len()), (types.len() + 1, files.len()), "{files:?}");
    let mut found: Vec<_> = files
        .iter()
        .filter(|file| file.ends_with("jsonl"))
        .map(|file| lines(&path.join("records").join(file))[0]["type"].as_str().unwrap().to_owned())
        .collect();
    found.sort_unstable();
    let mut expected = types.map(str::to_owned);
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn a_directory_with_something_else_in_it_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("letter.txt"), "dear").unwrap();
    let identity = Identity::new_database().unwrap();
    let created = FsStore::create(directory.path(), identity).unwrap_err().to_string();
    assert!(created.contains("exists already"), "{created}");
    let opened = FsStore::open(directory.path()).unwrap_err().to_string();
    assert!(
        opened.contains("not a Prophet replica") && opened.contains("prophet.json"),
        "{opened}"
    );
    let file = FsStore::open(directory.path().join("letter.txt")).unwrap_err().to_string();
    assert!(file.contains("it is a file"), "{file}");
    let file = FsStore::create(directory.path().join("letter.txt"), identity).unwrap_err();
    assert!(file.to_string().contains("letter.txt"), "{file}");
    assert_eq!(names(directory.path()), ["letter.txt"]);
}
