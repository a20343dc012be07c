//! A process that writes is killed, again and again: nothing that it said it had committed is lost.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has failed, and this one is about time"
)]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use backend_sled::SledStore;
use futures_lite::future::block_on;
use prophet_store::{Identity, Properties, Replica, ReplicaStore as _, ReplicaStoreExt as _};
use support::{Random, cases};

const PATH: &str = "PROPHET_TEST_PATH";
const MARK: &str = "committed ";

#[test]
#[ignore = "the process that another test starts and kills"]
fn child() {
    let Some(path) = std::env::var_os(PATH) else { return };
    for round in 0.. {
        let store = SledStore::open(&path).unwrap();
        let replica = block_on(Replica::open(store)).unwrap();
        for number in 0..40 {
            // Some of them in pieces.
            let text = "text ".repeat(if number % 5 == 0 { 2_000 } else { 3 });
            let named = Properties::new().with("round", round).unwrap();
            let named = named.with("number", number).unwrap().with("text", text).unwrap();
            block_on(replica.create("note", named)).unwrap();
            let head = block_on(replica.head()).unwrap();
            let mut out = std::io::stdout().lock();
            out.write_all(format!("{MARK}{} {}\n", head.version, head.commit).as_bytes()).unwrap();
            out.flush().unwrap();
        }
        block_on(replica.close()).unwrap();
    }
}

/// Lets a process write for a while, from when it is started or from its first commit on. What it said
/// it had committed last, if anything.
fn killed(path: &Path, from_first: bool, after: Duration) -> Option<(u64, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"])
        .env(PATH, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (begun, first) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let lines = output.lines().map_while(Result::ok);
        let lines = lines.inspect(|line| {
            if line.contains(MARK) {
                let _ = begun.send(());
            }
        });
        let said = lines.filter_map(|line| {
            let (_, said) = line.split_once(MARK)?;
            let (version, commit) = said.split_once(' ')?;
            // The last line may be cut off.
            (commit.len() == 36).then(|| Some((version.parse().ok()?, commit.to_owned())))?
        });
        said.last()
    });
    if from_first {
        first.recv_timeout(Duration::from_secs(60)).unwrap();
    }
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

fn check(store: &SledStore, said: Option<&(u64, String)>, before: u64) -> u64 {
    let head = block_on(store.head()).unwrap();
    let version = head.version.get();
    let least = said.map_or(before, |(version, _)| *version);
    assert!((least..=least + 1).contains(&version), "{version}, and {least} were acknowledged");
    if let Some((same, commit)) = said
        && *same == version
    {
        assert_eq!(head.commit.to_string(), *commit);
    }
    version
}

#[test]
fn a_killed_process_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = Random::new(9);
    let (mut commits, mut silent) = (0, 0);
    let kills = cases(200);
    let mut done = 0;
    while done < kills {
        // Anew now and then, for what was read before takes time to read again.
        let path = directory.path().join(format!("killed {done}"));
        drop(SledStore::create(&path, Identity::new_database().unwrap()).unwrap());
        let mut before = 0;
        for _ in 0..25.min(kills - done) {
            // Some of them while it opens.
            let from_first = done % 4 > 0;
            let after = Duration::from_micros(random.next() % 60_000);
            let said = killed(&path, from_first, after);
            silent += usize::from(said.is_none());
            let store = SledStore::open(&path).unwrap();
            let version = check(&store, said.as_ref(), before);
            commits += version - before;
            before = version;
            assert_eq!(block_on(store.verify()).unwrap().problems, Vec::<String>::new());
            done += 1;
        }
        let store = SledStore::open(&path).unwrap();
        assert_eq!(block_on(store.audit()).unwrap().problems, Vec::<String>::new());
    }
    println!("{kills} kills, {commits} commits, {silent} kills before the first");
    assert!(commits > kills as u64, "they were hardly ever killed while they wrote");
}

#[test]
fn a_creation_that_was_killed_can_be_done_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    drop(SledStore::create(&path, Identity::new_database().unwrap()).unwrap());
    // Everything but the last step.
    std::fs::remove_file(path.join("replica")).unwrap();
    assert!(matches!(SledStore::open(&path), Err(prophet_store::StoreError::NotFound { .. })));
    let identity = Identity::new_database().unwrap();
    let store = SledStore::create(&path, identity).unwrap();
    assert_eq!(store.facts().identity, identity);
    assert_eq!(block_on(store.verify()).unwrap().problems, Vec::<String>::new());
}
