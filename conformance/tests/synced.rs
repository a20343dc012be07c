//! Whether what was acknowledged had been synced, by what the kernel was asked for. A disk in memory that
//! loses what was not synced shows that stores ask their seam at the right time; this shows that the seam,
//! or the engine below, asks the kernel. It runs stores in another process under `strace`, which has to be
//! installed, on Linux.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first surprise, and its other process answers on its output"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use futures_lite::future::block_on;
use harnesses::{FsHarness, Harness, SledHarness, SqliteHarness};
use prophet_store::{DatabaseId, Identity, Properties, Replica, ReplicaId};

/// What the other process is to do, and where.
const TASK: &str = "SYNCED_TASK";
const ADDRESS: &str = "SYNCED_ADDRESS";
const ACKNOWLEDGED: &str = "acknowledged edit ";
const EDITS: usize = 20;

/// What an edit writes and no other one does.
fn title(edit: usize) -> String {
    format!("title of edit {edit};")
}

fn harness(name: &str) -> Box<dyn Harness> {
    match name {
        "fs" => Box::new(FsHarness::new()),
        "fs_sealed_at_once" => Box::new(FsHarness::sealed_at_once()),
        "sled" => Box::new(SledHarness::new()),
        "sqlite" => Box::new(SqliteHarness::new()),
        other => panic!("there is no store {other}"),
    }
}

/// Not a test by itself: the other process.
#[test]
#[ignore = "the other process of these tests"]
fn edits() {
    let (task, address) = (std::env::var(TASK).unwrap(), std::env::var(ADDRESS).unwrap());
    let store = harness(&task).open_address(&address).unwrap();
    block_on(async {
        let replica = Replica::options().open_shared(store).await.unwrap();
        for number in 0..EDITS {
            let properties = Properties::try_from([("title", title(number))]).unwrap();
            replica.create("bug", properties).await.unwrap();
            println!("{ACKNOWLEDGED}{number}");
        }
    });
}

/// What the kernel did for the other process.
enum Call<'a> {
    Acknowledged(usize),
    Synced { file: &'a str },
    Wrote { file: &'a str, bytes: &'a str },
}

/// What was asked of the kernel for files below a directory, and what was said.
fn calls<'a>(trace: &'a str, directory: &str) -> Vec<Call<'a>> {
    let mut unfinished: BTreeMap<&str, &str> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let (begun, result) = if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            unfinished.insert(process, begun);
            continue;
        } else if rest.starts_with("<...") {
            (unfinished.remove(process).unwrap(), rest)
        } else {
            (rest, rest)
        };
        let Some((call, arguments)) = begun.split_once('(') else { continue };
        // It has to have gone well.
        let went_well = result.rsplit_once("= ").is_some_and(|(_, it)| !it.starts_with('-'));
        let Some((_, file)) = arguments.split_once('<').filter(|_| went_well) else { continue };
        let Some((file, bytes)) = file.split_once('>') else { continue };
        if file.starts_with(directory) {
            calls.push(match call {
                "fsync" | "fdatasync" => Call::Synced { file },
                _ => Call::Wrote { file, bytes },
            });
        } else if let Some((_, said)) = bytes.split_once(ACKNOWLEDGED) {
            let end = said.find(|digit: char| !digit.is_ascii_digit()).unwrap();
            calls.push(Call::Acknowledged(said[..end].parse().unwrap()));
        }
    }
    calls
}

/// Each edit wrote something that counts, by its file, its bytes and what only this edit writes, and all of
/// that was synced before the edit was acknowledged.
fn check(task: &str, counts: impl Fn(&str, &str, &str) -> bool) {
    let harness = harness(task);
    let place = harness.place();
    let identity = Identity {
        database: DatabaseId::from_bytes([1; 16]),
        replica: ReplicaId::from_bytes([2; 16]),
    };
    let store = place.create(identity).unwrap();
    block_on(store.close()).unwrap();
    drop(store);
    let address = place.address().unwrap();
    let directory = Path::new(&address).canonicalize().unwrap();
    let directory = directory.parent().unwrap().to_str().unwrap();
    let trace = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new("strace")
        .args([
            "-f",
            "-y",
            "-s",
            "4096",
            "-e",
            "trace=write,writev,pwrite64,pwritev,fsync,fdatasync",
        ])
        .arg("-o")
        .arg(trace.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "edits", "--ignored", "--nocapture", "--test-threads=1"])
        .env(TASK, task)
        .env(ADDRESS, &address)
        .output()
        .unwrap_or_else(|error| panic!("strace, which has to be installed: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let trace = std::fs::read_to_string(trace.path()).unwrap();
    let (mut wrote, mut unsynced, mut acknowledged) = (false, BTreeSet::new(), 0);
    for call in calls(&trace, directory) {
        match call {
            Call::Acknowledged(edit) => {
                assert_eq!(edit, acknowledged);
                assert!(wrote, "{task}: nothing was written for edit {edit}");
                assert!(unsynced.is_empty(), "{task}: edit {edit} before a sync of {unsynced:?}");
                (wrote, acknowledged) = (false, edit + 1);
            }
            Call::Synced { file } => {
                unsynced.remove(file);
            }
            Call::Wrote { file, bytes } => {
                if counts(file, bytes, &title(acknowledged)) {
                    wrote = true;
                    unsynced.insert(file);
                }
            }
        }
    }
    assert_eq!(acknowledged, EDITS, "{task}: \n{trace}");
}

#[test]
fn fs_syncs_what_it_acknowledges() {
    for task in ["fs", "fs_sealed_at_once"] {
        // A segment is sealed, and the next one begun, once the edit that filled it is acknowledged.
        check(task, |file, bytes, title| file.ends_with(".jsonl") && bytes.contains(title));
    }
}

#[test]
fn sled_syncs_what_it_acknowledges() {
    check("sled", |file, _, _| file.ends_with("/db"));
}

#[test]
fn sqlite_syncs_what_it_acknowledges() {
    check("sqlite", |file, _, _| !file.ends_with("-shm"));
}
