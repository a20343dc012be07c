//! One format: a published tree is opened as a directory, and a directory is pulled from as a tree.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::path::Path;

use backend_fs::{FsOptions, FsStore};
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_files::manifest::Manifest;
use prophet_files::{DirectoryFetch, DirectoryTree, PublishOptions, PublishedSource, publish};
use prophet_store::{
    Identity, LogScan, MemoryStore, MetadataScan, Properties, PullOptions, RecordKey, RecordScan,
    Replica, ReplicaStore, ReplicaStoreExt as _, ResolutionScan, Side,
};

fn properties(title: &str) -> Properties {
    Properties::try_from([("title", title)]).unwrap()
}

/// A replica with conflicts, votes and deletions, and another one that has pulled from it.
async fn disagreeing() -> (Replica, Replica) {
    let identity = Identity::new_database().unwrap();
    let ada = Replica::open(MemoryStore::new(identity)).await.unwrap();
    let mut keys: Vec<RecordKey> = Vec::new();
    for number in 0..40 {
        keys.push(ada.create("bug", properties(&format!("bug {number}"))).await.unwrap());
    }
    let store = MemoryStore::new(Identity::new_replica(identity.database).unwrap());
    let bob = Replica::clone_of(store, &ada).await.unwrap();
    for (number, key) in keys.iter().enumerate() {
        bob.update(key, properties("bob's")).await.unwrap();
        match number % 4 {
            0 => drop(ada.delete(key).await.unwrap()),
            _ => drop(ada.update(key, properties("ada's")).await.unwrap()),
        }
    }
    ada.pull(&bob, PullOptions::new()).await.unwrap();
    bob.pull(&ada, PullOptions::new().prefer(Side::Target)).await.unwrap();
    ada.pull(&bob, PullOptions::new()).await.unwrap();
    (ada, bob)
}

/// All that two stores have is the same, but for local metadata.
async fn same(one: &dyn ReplicaStore, other: &dyn ReplicaStore) {
    let log = |store: &dyn ReplicaStore| {
        block_on(store.stream_log(LogScan::default()).map(Result::unwrap).collect::<Vec<_>>())
    };
    assert_eq!(log(one), log(other));
    let records = |store: &dyn ReplicaStore| {
        block_on(
            store.stream_records(RecordScan::default()).map(Result::unwrap).collect::<Vec<_>>(),
        )
    };
    assert_eq!(records(one), records(other));
    let votes = |store: &dyn ReplicaStore| {
        block_on(
            store
                .stream_resolutions(ResolutionScan::default())
                .map(Result::unwrap)
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(votes(one), votes(other));
}

#[test]
fn a_published_tree_is_opened_for_reading() {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let (ada, bob) = disagreeing().await;
        let tree = DirectoryTree::new(directory.path());
        publish(&ada, &tree, PublishOptions::new()).await.unwrap();
        let key = ada.create("note", properties("later")).await.unwrap();
        publish(&ada, &tree, PublishOptions::new()).await.unwrap();

        let refused = FsStore::open(directory.path()).unwrap_err().to_string();
        assert!(refused.contains("may only be read") && refused.contains("published"), "{refused}");
        let store = FsOptions::new().read_only(true).open(directory.path()).unwrap();
        assert_eq!(store.facts().identity, ada.store().facts().identity);
        same(&store, &**ada.store()).await;
        let verified = store.verify().await.unwrap();
        assert!(verified.is_sound() && verified.entries > 100, "{verified:?}");
        let metadata = store.stream_metadata(MetadataScan::default()).count().await;
        assert_eq!(metadata, 0, "what is local stays at home");
        let read = store.get_records(std::slice::from_ref(&key)).await.unwrap();
        assert!(read.value.iter().all(Option::is_some));
        drop(bob);
    });
}

#[test]
fn whoever_reads_a_tree_goes_on_when_it_is_published_anew() {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tree");
        let tree = DirectoryTree::new(&path);
        let ada = Replica::open(MemoryStore::new(Identity::new_database().unwrap())).await.unwrap();
        ada.create("bug", properties("first")).await.unwrap();
        publish(&ada, &tree, PublishOptions::new()).await.unwrap();
        let store = FsOptions::new().read_only(true).open(&path).unwrap();
        let (mut files, mut gone) = (names(&path.join("log")), 0);
        for number in 0..8 {
            // Sometimes it was read before, and sometimes nothing is at hand.
            if number % 3 == 0 {
                same(&store, &**ada.store()).await;
            }
            for _ in 0..3 {
                ada.create("bug", properties(&format!("bug {number}"))).await.unwrap();
            }
            publish(&ada, &tree, PublishOptions::new()).await.unwrap();
            let now = names(&path.join("log"));
            gone += files.iter().filter(|file| !now.contains(file)).count();
            files = now;
        }
        assert!(gone > 2, "files that the handle knew are gone: {gone}");
        let head = store.head().await.unwrap();
        assert_eq!(head.position, ada.head().await.unwrap().position);
        same(&store, &**ada.store()).await;
        assert!(store.verify().await.unwrap().is_sound());

        // Without a manifest it stays what it was.
        let (manifest, aside) = (path.join("manifest.json"), directory.path().join("aside"));
        std::fs::rename(&manifest, &aside).unwrap();
        same(&store, &**ada.store()).await;
        std::fs::rename(&aside, &manifest).unwrap();
        // Of what is copied there, the manifest may come first.
        let elsewhere = tempfile::tempdir().unwrap();
        ada.create("bug", properties("copied")).await.unwrap();
        let before = ada.head().await.unwrap().position;
        publish(&ada, &DirectoryTree::new(elsewhere.path()), PublishOptions::new()).await.unwrap();
        std::fs::copy(elsewhere.path().join("manifest.json"), &aside).unwrap();
        std::fs::rename(&aside, &manifest).unwrap();
        assert_eq!(store.head().await.unwrap().position.get() + 1, before.get());
        assert_eq!(store.count_records(None).await.unwrap().value.values().sum::<u64>(), 25);
        for file in names(&elsewhere.path().join("log")) {
            let copied = path.join("log").join(&file);
            std::fs::copy(elsewhere.path().join("log").join(&file), copied).unwrap();
        }
        same(&store, &**ada.store()).await;
        // What is of another replica, less than there was, or more of another past, is not taken for it.
        let earlier = Replica::open(MemoryStore::new(ada.store().facts().identity)).await.unwrap();
        earlier.create("bug", properties("first")).await.unwrap();
        let longer = Replica::open(MemoryStore::new(ada.store().facts().identity)).await.unwrap();
        for number in 0..40 {
            longer.create("bug", properties(&format!("another {number}"))).await.unwrap();
        }
        let other =
            Replica::open(MemoryStore::new(Identity::new_database().unwrap())).await.unwrap();
        other.create("bug", properties("other")).await.unwrap();
        for replica in [earlier, longer, other] {
            publish(&replica, &tree, PublishOptions::new().replace()).await.unwrap();
            for _ in 0..2 {
                let error = store.head().await.unwrap_err().to_string();
                assert!(error.contains("removed or replaced while it was open"), "{error}");
            }
        }
    });
}

fn names(directory: &Path) -> Vec<String> {
    let files = std::fs::read_dir(directory).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

async fn pull(target: &Replica, path: &Path) -> u64 {
    let source = PublishedSource::open(DirectoryFetch::new(path)).await.unwrap();
    target.pull(&source, PullOptions::new()).await.unwrap().integrated
}

#[test]
fn a_directory_is_a_source_as_it_is() {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("replica");
        let (ada, _) = disagreeing().await;
        let database = ada.store().facts().identity.database;
        let store = FsOptions::new().segment_bytes(8_000);
        let store = store.create(&path, Identity::new_replica(database).unwrap()).unwrap();
        let live = Replica::clone_of(store, &ada).await.unwrap();
        let seen = live.vector().await.unwrap();
        live.close().await.unwrap();
        let target = MemoryStore::new(Identity::new_replica(database).unwrap());
        let target = Replica::open(target).await.unwrap();
        assert!(pull(&target, &path).await > 100);
        assert_eq!(target.vector().await.unwrap(), seen);
        assert_eq!(pull(&target, &path).await, 0);
    });
}

#[test]
fn a_directory_is_pulled_from_while_it_is_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    let identity = Identity::new_database().unwrap();
    let store = FsOptions::new().segment_bytes(3_000).create(&path, identity).unwrap();
    let live = block_on(Replica::open(store)).unwrap();
    let target = MemoryStore::new(Identity::new_replica(identity.database).unwrap());
    let target = block_on(Replica::open(target)).unwrap();
    let pulled = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for number in 0..400 {
                block_on(live.create("bug", properties(&format!("bug {number}")))).unwrap();
            }
        });
        let mut pulled = 0;
        while !writing.is_finished() {
            pulled += block_on(pull(&target, &path));
        }
        pulled
    });
    let seen = block_on(live.vector()).unwrap();
    block_on(live.close()).unwrap();
    let rest = block_on(pull(&target, &path));
    assert_eq!(pulled + rest, 400);
    assert!(pulled > 0, "some came while it was written to");
    assert_eq!(block_on(target.vector()).unwrap(), seen);
    assert!(block_on(target.store().audit()).unwrap().is_sound());
}

#[test]
fn nothing_is_published_into_a_replica() {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("replica");
        let store = FsStore::create(&path, Identity::new_database().unwrap()).unwrap();
        let replica = Replica::open(store).await.unwrap();
        replica.create("bug", properties("kept")).await.unwrap();
        let tree = DirectoryTree::new(&path);
        for options in [PublishOptions::new(), PublishOptions::new().replace()] {
            let refused = publish(&replica, &tree, options).await.unwrap_err().to_string();
            assert!(refused.contains("is a replica itself"), "{refused}");
        }
        replica.close().await.unwrap();
        assert!(FsStore::open(&path).unwrap().audit().await.unwrap().is_sound());
    });
}

#[test]
fn a_log_without_an_identity_is_not_written_over() {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("replica");
        let identity = Identity::new_database().unwrap();
        let replica = Replica::open(FsStore::create(&path, identity).unwrap()).await.unwrap();
        replica.create("bug", properties("kept")).await.unwrap();
        replica.close().await.unwrap();
        let kept = std::fs::read(path.join("prophet.json")).unwrap();
        std::fs::remove_file(path.join("prophet.json")).unwrap();
        std::fs::remove_file(path.join("manifest.json")).unwrap();
        let refused = FsStore::create(&path, identity).unwrap_err().to_string();
        assert!(refused.contains("exists already"), "{refused}");
        std::fs::write(path.join("prophet.json"), kept).unwrap();
        assert_eq!(FsStore::open(&path).unwrap().audit().await.unwrap().entries, 1);
    });
}

#[test]
fn a_log_cut_off_while_it_is_open_is_not_written_to() {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("replica");
        let store = FsStore::create(&path, Identity::new_database().unwrap()).unwrap();
        let replica = Replica::open(store).await.unwrap();
        replica.create("bug", properties("one")).await.unwrap();
        let log = path.join("log/00000001.jsonl");
        let short = std::fs::read(&log).unwrap().len() as u64;
        replica.create("bug", properties("two")).await.unwrap();
        std::fs::File::options().write(true).open(&log).unwrap().set_len(short).unwrap();
        let refused = replica.create("bug", properties("three")).await.unwrap_err().to_string();
        assert!(refused.contains("shorter than it was"), "{refused}");
        assert_eq!(std::fs::metadata(&log).unwrap().len(), short, "nothing is written to it");
    });
}

/// A copy that another program made of what a web server shows: no identity, no lock, and the open
/// segment as long as it was when that program came to it.
#[test]
fn a_copy_of_what_is_served_is_opened_for_reading() {
    block_on(async {
        for segment_bytes in [1, 1 << 20] {
            let directory = tempfile::tempdir().unwrap();
            let (path, copy) = (directory.path().join("replica"), directory.path().join("copy"));
            let options = FsOptions::new().segment_bytes(segment_bytes);
            let store = options.create(&path, Identity::new_database().unwrap()).unwrap();
            let replica = Replica::open(store).await.unwrap();
            for number in 0..20 {
                replica.create("bug", properties(&format!("bug {number}"))).await.unwrap();
            }
            replica.close().await.unwrap();
            let manifest = std::fs::read(path.join("manifest.json")).unwrap();
            let replica = Replica::open(options.open(&path).unwrap()).await.unwrap();
            replica.create("bug", properties("written while it was copied")).await.unwrap();
            replica.close().await.unwrap();
            std::fs::create_dir_all(copy.join("log")).unwrap();
            std::fs::write(copy.join("manifest.json"), &manifest).unwrap();
            for file in std::fs::read_dir(path.join("log")).unwrap() {
                let file = file.unwrap();
                std::fs::copy(file.path(), copy.join("log").join(file.file_name())).unwrap();
            }
            let opened = FsOptions::new().read_only(true).open(&copy).unwrap();
            let audit = opened.audit().await.unwrap();
            assert!(audit.is_sound() && audit.entries == 20, "{audit:?}");
            assert!(opened.verify().await.unwrap().is_sound());
            // One that came to the log before the manifest says so.
            let log = copy.join("log/00000001.jsonl");
            let Ok(text) = std::fs::read(&log) else { continue };
            let short = text.len() * 2 / 3;
            std::fs::write(&log, &text[..short]).unwrap();
            let torn = FsOptions::new().read_only(true).open(&copy).unwrap_err().to_string();
            assert!(torn.contains("shorter than it should be"), "{torn}");
        }
    });
}

#[test]
fn a_manifest_leads_nowhere_else() {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        let (ada, _) = disagreeing().await;
        publish(&ada, &DirectoryTree::new(&tree), PublishOptions::new()).await.unwrap();
        let manifest = std::fs::read(tree.join("manifest.json")).unwrap();
        let mut manifest = Manifest::decode(&manifest).unwrap();
        for name in ["../log/00000001.jsonl", "/etc/passwd", "log/../../x", ""] {
            name.clone_into(&mut manifest.segments[0].name);
            std::fs::write(tree.join("manifest.json"), manifest.encode()).unwrap();
            let opened = FsOptions::new().read_only(true).open(&tree).unwrap_err().to_string();
            assert!(opened.contains("no name of a file in a tree"), "{opened}");
        }
    });
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-r").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// Another handle has sealed what this one knew meanwhile, so that this one looks for more by name.
#[test]
fn a_handle_that_is_behind_does_not_go_on_in_what_its_directory_was_replaced_by() {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let (path, backup) = (directory.path().join("replica"), directory.path().join("backup"));
        let options = FsOptions::new().segment_bytes(1);
        let store = options.create(&path, Identity::new_database().unwrap()).unwrap();
        let replica = Replica::open(store).await.unwrap();
        replica.create("bug", properties("one")).await.unwrap();
        let behind = Replica::open(options.open(&path).unwrap()).await.unwrap();
        replica.create("bug", properties("two")).await.unwrap();
        replica.create("bug", properties("three")).await.unwrap();
        replica.close().await.unwrap();
        copy(&path, &backup);
        std::fs::rename(&path, directory.path().join("gone")).unwrap();
        std::fs::rename(&backup, &path).unwrap();
        let refused = behind.create("bug", properties("four")).await.unwrap_err().to_string();
        assert!(refused.contains("replaced while it was open"), "{refused}");
        drop(behind);
        let audit = FsStore::open(&path).unwrap().audit().await.unwrap();
        assert!(audit.is_sound() && audit.entries == 3, "{audit:?}");
    });
}

/// As a backup is restored, or another copy synchronised into its place.
#[test]
fn what_was_replaced_while_it_was_open_is_not_written_to() {
    block_on(async {
        for replaced in ["log/00000001.jsonl", "lock", "log", ""] {
            let directory = tempfile::tempdir().unwrap();
            let (path, backup) =
                (directory.path().join("replica"), directory.path().join("backup"));
            let store = FsStore::create(&path, Identity::new_database().unwrap()).unwrap();
            let replica = Replica::open(store).await.unwrap();
            replica.create("bug", properties("one")).await.unwrap();
            copy(&path, &backup);
            replica.create("bug", properties("two")).await.unwrap();
            let (old, new) = (path.join(replaced), backup.join(replaced));
            if old.is_dir() {
                std::fs::rename(&old, directory.path().join("gone")).unwrap();
            }
            std::fs::rename(&new, &old).unwrap();
            let refused = replica.create("bug", properties("three")).await.unwrap_err().to_string();
            assert!(refused.contains("replaced while it was open"), "{replaced:?}: {refused}");
            drop(replica);
            let audit = FsStore::open(&path).unwrap().audit().await.unwrap();
            let left = if replaced == "lock" { 2 } else { 1 };
            assert!(audit.is_sound() && audit.entries == left, "{replaced:?}: {audit:?}");
        }
    });
}
