//! Who seals a segment and dies before the manifest says so leaves that to the others.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod support;

use std::io;
use std::sync::{Arc, Mutex};

use backend_fs::simulated::SimulatedDisk;
use backend_fs::{Disk, DiskFile, FileId, FsOptions};
use futures_lite::future::block_on;
use prophet_files::manifest::Manifest;
use prophet_store::{Commit, CommitId, Head, ReplicaStore as _};
use support::{IDENTITY, metadata_key};

type Act = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// A disk on which no manifest can be written, or on which something happens when the lock is given
/// back for the first time after that was asked for.
#[derive(Clone)]
struct Watched {
    disk: SimulatedDisk,
    manifests: bool,
    unlocked: Act,
}

struct Lock(Arc<dyn DiskFile>, Act);

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watched")
    }
}

impl std::fmt::Debug for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lock")
    }
}

impl Disk for Watched {
    fn make_root(&self) -> io::Result<()> {
        self.disk.make_root()
    }

    fn make_directory(&self, name: &str) -> io::Result<()> {
        self.disk.make_directory(name)
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        self.disk.list(directory)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(name)?;
        match name {
            "lock" => Ok(Arc::new(Lock(file, Arc::clone(&self.unlocked)))),
            _ => Ok(file),
        }
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        match name.starts_with("manifest") && !self.manifests {
            true => Err(io::Error::other("it is dead")),
            false => self.disk.create(name),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_names(&self, directory: &str) -> io::Result<()> {
        self.disk.sync_names(directory)
    }

    fn id_of(&self, name: &str) -> io::Result<Option<FileId>> {
        self.disk.id_of(name)
    }
}

impl DiskFile for Lock {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn id(&self) -> io::Result<Option<FileId>> {
        self.0.id()
    }

    fn is_named(&self) -> io::Result<bool> {
        self.0.is_named()
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.0.read_at(offset, len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn lock(&self) -> io::Result<()> {
        self.0.lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.0.unlock()?;
        let act = self.1.lock().unwrap().take();
        if let Some(act) = act {
            act();
        }
        Ok(())
    }
}

fn commit(number: u8, base: Head) -> Commit {
    let commit = Commit::new(CommitId::from_bytes([number; 16]), base);
    commit.with_metadata(metadata_key("key"), Some(vec![number; 2_000])).unwrap()
}

#[test]
fn what_somebody_else_sealed_is_told_by_who_committed_it() {
    let disk = SimulatedDisk::default();
    let watched = |manifests| Watched { disk: disk.clone(), manifests, unlocked: Act::default() };
    let options = FsOptions::new().segment_bytes(2_000).views(false);
    let mine = watched(true);
    let store = options.create_on(Arc::new(mine.clone()), "a test".into(), IDENTITY).unwrap();
    let first = commit(1, Head::EMPTY);
    let (dies, base, other) = (watched(false), first.head(), options);
    *mine.unlocked.lock().unwrap() = Some(Box::new(move || {
        // Behind that commit, and before its segment is sealed by who made it.
        let store = other.open_on(Arc::new(dies), "another".into()).unwrap();
        block_on(store.commit(&commit(2, base))).unwrap();
        block_on(store.close()).unwrap();
    }));
    block_on(store.commit(&first)).unwrap();
    block_on(store.close()).unwrap();
    assert_eq!(told(&disk), commit(2, base).head());
}

#[test]
fn what_somebody_else_committed_and_did_not_tell_is_told_by_who_is_closed() {
    let disk = SimulatedDisk::default();
    let watched = |manifests| Watched { disk: disk.clone(), manifests, unlocked: Act::default() };
    let options = FsOptions::new().views(false);
    let store = options.create_on(Arc::new(watched(true)), "a test".into(), IDENTITY).unwrap();
    let other = options.open_on(Arc::new(watched(false)), "another".into()).unwrap();
    let theirs = commit(1, Head::EMPTY);
    block_on(other.commit(&theirs)).unwrap();
    block_on(other.close()).unwrap();
    assert_eq!(told(&disk), Head::EMPTY);
    block_on(store.close()).unwrap();
    assert_eq!(told(&disk), theirs.head());
}

fn told(disk: &SimulatedDisk) -> Head {
    let file = disk.open("manifest.json").unwrap();
    let len = usize::try_from(file.len().unwrap()).unwrap();
    Manifest::decode(&file.read_at(0, len).unwrap()).unwrap().head
}
