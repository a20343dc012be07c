//! What people find in the directory, and what is made anew when it is missing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use backend_fs::{FsOptions, FsStore};
use futures_lite::future::block_on;
use prophet_files::manifest::Manifest;
use prophet_store::{
    Identity, Properties, RecordId, RecordKey, RecordType, Replica, ReplicaStore as _,
    ReplicaStoreExt as _,
};
use serde_json::Value;
use support::{IDENTITY, Workload};

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
    for bug in &bugs[1..] {
        let members: Vec<_> = bug.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            members,
            ["changed", "id", "properties"],
            "what is not contested does not say so"
        );
    }
}

/// Four tables as wide as each other become one, so each sealed segment is in as few as can be.
#[test]
fn tables_of_the_index_stay_few() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    some_replica(&path);
    let sealed = names(&path.join("log")).iter().filter(|name| name.ends_with(".zst")).count();
    let (mut after, mut expected) = (0, Vec::new());
    for width in [64, 16, 4, 1] {
        while sealed - after >= width {
            expected.push(format!("{:08}-{:08}.table", after + 1, after + width));
            after += width;
        }
    }
    assert!(sealed > 8, "{sealed}");
    assert_eq!(names(&path.join("index")), expected);
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
    // A writer makes it anew, the records and the manifest at the latest when it is closed.
    let store = FsStore::open(&path).unwrap();
    assert_eq!(now("index"), index);
    block_on(async {
        let audit = store.audit().await.unwrap();
        assert!(audit.is_sound() && audit.records == 60, "{audit:?}");
        store.close().await.unwrap();
    });
    assert_eq!(fs::read(path.join("records/bug.jsonl")).unwrap(), records);
    assert_eq!(fs::read(path.join("manifest.json")).unwrap(), manifest);
}

/// Only what is not of the last commit is written.
#[test]
fn records_are_written_where_they_changed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    some_replica(&path);
    let file = |name: &str| path.join("records").join(name);
    let edit = |record_type: &str| {
        block_on(async {
            let store = FsOptions::new().open(&path).unwrap();
            let replica = Replica::open(store).await.unwrap();
            replica.create(record_type, properties("new")).await.unwrap();
            replica.close().await.unwrap();
        });
    };
    edit("note");
    assert_eq!(lines(&file("note.jsonl")).len(), 2);
    // It says who wrote it last.
    let mark = "a mark\n";
    fs::write(file("note.jsonl"), mark).unwrap();
    edit("bug");
    assert_eq!(lines(&file("bug.jsonl")).len(), 1 + 52);
    assert_eq!(lines(&file("note.jsonl")).len(), 2, "the open segment has records of both");
    // In a segment of its own, what has not changed stays.
    let one_each = FsOptions::new().segment_bytes(1);
    let write = |record_type: &str| {
        block_on(async {
            let replica = Replica::open(one_each.open(&path).unwrap()).await.unwrap();
            replica.create(record_type, properties("newer")).await.unwrap();
            replica.close().await.unwrap();
        });
    };
    write("bug");
    fs::write(file("note.jsonl"), mark).unwrap();
    block_on(async { FsStore::open(&path).unwrap().close().await.unwrap() });
    assert_eq!(fs::read_to_string(file("note.jsonl")).unwrap(), mark, "nothing changed");
    edit("bug");
    assert_eq!(fs::read_to_string(file("note.jsonl")).unwrap(), mark, "no note changed");
    // A file of a type that is not there, and the files of another log.
    fs::write(file("ghost.jsonl"), mark).unwrap();
    fs::remove_file(file("note.jsonl")).unwrap();
    block_on(async { FsStore::open(&path).unwrap().close().await.unwrap() });
    assert_eq!(lines(&file("note.jsonl")).len(), 2);
    assert!(!file("ghost.jsonl").exists());
    let written = fs::read_to_string(file(".written.json")).unwrap();
    let mut other: Value = serde_json::from_str(&written).unwrap();
    other["commit"] = Value::from("018f2d6e-7b1c-7000-8000-000000000001");
    fs::write(file(".written.json"), other.to_string()).unwrap();
    fs::write(file("note.jsonl"), mark).unwrap();
    block_on(async { FsStore::open(&path).unwrap().close().await.unwrap() });
    assert_eq!(lines(&file("note.jsonl")).len(), 2);
}

#[allow(clippy::disallowed_methods, reason = "it is the clock that tells")]
fn within_seconds(mut holds: impl FnMut() -> bool) -> bool {
    let began = std::time::Instant::now();
    while !holds() {
        if began.elapsed().as_secs() > 20 {
            return false;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    true
}

/// Who was killed told nobody of the last commits; who comes next does, without a commit.
#[test]
fn the_manifest_is_brought_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    some_replica(&path);
    let manifest = path.join("manifest.json");
    let old = fs::read(&manifest).unwrap();
    let head = block_on(async {
        let replica = Replica::open(FsStore::open(&path).unwrap()).await.unwrap();
        replica.create("note", properties("new")).await.unwrap();
        replica.store().head().await.unwrap()
    });
    fs::write(&manifest, &old).unwrap();
    let store = FsStore::open(&path).unwrap();
    let told = || Manifest::decode(&fs::read(&manifest).unwrap()).unwrap().head;
    assert_ne!(told(), head);
    assert!(within_seconds(|| told() == head), "while it is open");
    drop(store);
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

/// A program that seals a segment may die before it says so in the manifest: whoever opens the replica
/// then does, also where nothing was committed meanwhile.
#[test]
fn a_manifest_that_names_a_file_that_was_sealed_is_written_anew() {
    let directory = tempfile::tempdir().unwrap();
    let commits = &Workload::small().commits;
    let [open, sealed] = [u64::MAX, 1].map(|bytes| {
        let path = directory.path().join(bytes.to_string());
        let options = FsOptions::new().segment_bytes(bytes).views(false);
        let store = options.create(&path, IDENTITY).unwrap();
        for commit in commits {
            block_on(store.commit(commit)).unwrap();
        }
        block_on(store.close()).unwrap();
        path
    });
    fs::copy(open.join("manifest.json"), sealed.join("manifest.json")).unwrap();
    let store = FsOptions::new().views(false).open(&sealed).unwrap();
    block_on(store.close()).unwrap();
    let manifest = fs::read(sealed.join("manifest.json")).unwrap();
    for segment in Manifest::decode(&manifest).unwrap().segments {
        assert!(sealed.join(&segment.name).exists(), "{}", segment.name);
    }
}

/// However many types there are, what is written once is not written again.
#[test]
fn records_of_many_types_are_left_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    let store = FsOptions::new().create(&path, IDENTITY).unwrap();
    block_on(async {
        let replica = Replica::open(store).await.unwrap();
        for number in 0..200 {
            let record_type = format!("a_type_of_records_{number:04}");
            replica.create(record_type.as_str(), properties("a title")).await.unwrap();
        }
        replica.close().await.unwrap();
    });
    let file = path.join("records/a_type_of_records_0007.jsonl");
    fs::write(&file, "it is not touched").unwrap();
    block_on(FsOptions::new().open(&path).unwrap().close()).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "it is not touched");
}
