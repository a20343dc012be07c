//! Two real processes: one serves a replica in SQLite, the other one syncs with it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use backend_sqlite::SqliteStore;
use futures_lite::future::block_on;
use prophet_http::{HttpOptions, HttpPeer, HttpStore};
use prophet_store::*;
use support::live::Live;
use support::{assert_sound, digests, fill};

/// Another process that serves the replica in this file.
struct Process {
    child: Child,
    port: u16,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Process {
    fn serving(path: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "serve", "--ignored", "--nocapture"])
            .env("PROPHET_TEST_FILE", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.by_ref().map(Result::unwrap).find_map(|line| {
            line.split_once("port ").map(|(_, port)| port.trim().parse().unwrap())
        });
        // It goes on to say how long it has been running.
        std::thread::spawn(move || lines.count());
        Self { child, port: port.unwrap() }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The most memory that it has had in use, in bytes.
    fn peak_memory(&self) -> u64 {
        peak_memory(&format!("/proc/{}/status", self.child.id()))
    }
}

fn peak_memory(status: &str) -> u64 {
    let status = std::fs::read_to_string(status).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() << 10
}

#[test]
#[ignore = "the other process, which the tests after this one start"]
fn serve() {
    let path = std::env::var("PROPHET_TEST_FILE").unwrap();
    block_on(async {
        let replica = Replica::open(SqliteStore::open(path).unwrap()).await.unwrap();
        let live = Live::of(&replica);
        println!("\nport {}", live.port);
        std::io::stdout().flush().unwrap();
        // Until the other end of standard input is gone.
        let _ = std::io::stdin().lines().count();
    });
}

fn options() -> HttpOptions {
    let pause = Duration::from_millis(20);
    HttpOptions::new().no_proxy().pauses(pause, pause)
}

fn peer(process: &Process) -> HttpPeer {
    HttpPeer::new(&process.url(), options()).unwrap()
}

async fn created(path: &Path, identity: Identity) -> Replica {
    Replica::open(SqliteStore::create(path, identity).unwrap()).await.unwrap()
}

#[test]
fn two_processes_sync_and_one_of_them_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("served.sqlite");
    block_on(async {
        let identity = Identity::new_database().unwrap();
        let ada = created(&path, identity).await;
        fill(&ada, 50, 500).await;
        ada.close().await.unwrap();
        drop(ada);

        let mut process = Process::serving(&path);
        let database = peer(&process).database().await.unwrap();
        assert_eq!(database, identity.database);
        let identity = Identity::new_replica(database).unwrap();
        let store = SqliteStore::create(directory.path().join("here.sqlite"), identity).unwrap();
        let bob = Replica::clone_of(store, &peer(&process)).await.unwrap();
        assert_eq!(digests(&bob).await.len(), 500);
        fill(&bob, 30, 300).await;
        assert_eq!(peer(&process).push(&bob).await.unwrap().integrated, 300);

        // An engine here over the store there.
        let remote = HttpStore::open(&process.url(), options()).await.unwrap();
        let remote = Replica::open(remote).await.unwrap();
        let bug =
            remote.create("bug", Properties::new().with("title", "far").unwrap()).await.unwrap();
        assert_eq!(bob.pull(&peer(&process), PullOptions::new()).await.unwrap().integrated, 1);
        assert!(bob.get(&bug).await.unwrap().is_some());

        process.kill();
        let gone = HttpPeer::new(&process.url(), options().retries(1)).unwrap();
        assert!(bob.pull(&gone, PullOptions::new()).await.is_err());
        let process = Process::serving(&path);
        fill(&bob, 10, 100).await;
        assert_eq!(peer(&process).push(&bob).await.unwrap().integrated, 100);
        drop(process);
        let ada = Replica::open(SqliteStore::open(&path).unwrap()).await.unwrap();
        assert_eq!(ada.vector().await.unwrap(), bob.vector().await.unwrap());
        assert_sound(&ada).await;
        assert_sound(&bob).await;
    });
}

/// So many changesets of so many bytes each are far more than either side may hold.
const LARGE: usize = 256;
const LARGE_BYTES: usize = 1 << 20;
/// Several batches of 4 MiB, one commit of them as SQLite has it, and the pieces in between.
const MOST_MEMORY: u64 = 160 << 20;

#[test]
fn neither_side_holds_more_than_a_few_batches() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("served.sqlite");
    block_on(async {
        let identity = Identity::new_database().unwrap();
        drop(created(&path, identity).await);
        let there = Process::serving(&path);
        {
            let other = directory.path().join("other.sqlite");
            let ada = created(&other, Identity::new_replica(identity.database).unwrap()).await;
            for number in 0..LARGE {
                let photo = Value::from(vec![number as u8; LARGE_BYTES]);
                ada.create("photo", Properties::new().with("photo", photo).unwrap()).await.unwrap();
            }
            drop(ada);
            let from = Process::serving(&other);
            let before = [from.peak_memory(), there.peak_memory()];
            // Here is in between, with nothing but a store of its own in a file.
            let here = directory.path().join("here.sqlite");
            let here = created(&here, Identity::new_replica(identity.database).unwrap()).await;
            let pulled = here.pull(&peer(&from), PullOptions::new()).await.unwrap();
            assert_eq!(pulled.integrated as usize, LARGE);
            let pushed = peer(&there).push(&here).await.unwrap();
            assert_eq!(pushed.integrated as usize, LARGE);
            let after = [from.peak_memory(), there.peak_memory()];
            let mine = peak_memory("/proc/self/status");
            let megabytes = |bytes: u64| bytes >> 20;
            eprintln!(
                "{} MB: the server pulled from {} (before {}), the one pushed to {} (before {}), \
                 here {} (MB at most)",
                (LARGE * LARGE_BYTES) >> 20,
                megabytes(after[0]),
                megabytes(before[0]),
                megabytes(after[1]),
                megabytes(before[1]),
                megabytes(mine),
            );
            for peak in after.into_iter().chain([mine]) {
                assert!(peak < MOST_MEMORY, "{} MB", megabytes(peak));
            }
        }
    });
}
