//! sled itself: one tree in a directory, which one handle has to itself.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use prophet_kv::Tally;
use prophet_store::StoreError;
use sled::{Batch, Db, IVec};

use crate::error::{call, file, is_lock};
use crate::layout::{Lock, sync_directory};
use crate::top::TOP;

/// After its handle was dropped, sled may hold its lock a little longer.
const TRIES: u32 = 200;
const BETWEEN: Duration = Duration::from_millis(10);

/// An open tree.
pub(crate) struct Engine {
    place: String,
    /// There until it is dropped.
    db: Option<Db>,
    /// The file that sled writes to: its own flush does not reach the device.
    file: File,
    /// Where it is, wherever the program moves to.
    path: PathBuf,
    /// Held for as long as the tree is open; dropped after it.
    _lock: Lock,
}

impl Engine {
    /// Opens the tree in `directory`, or makes it.
    pub(crate) fn open(
        place: &str,
        directory: &Path,
        cache_bytes: u64,
        lock: Lock,
    ) -> Result<Self, StoreError> {
        let config = sled::Config::new()
            .path(directory)
            .cache_capacity(cache_bytes)
            // Nothing is written but by a commit.
            .flush_every_ms(None);
        remove_unfinished_snapshots(directory)
            .map_err(file(place, "removing what was unfinished"))?;
        let action = "opening the tree";
        let mut tries = 0;
        let db = call(place, action, || {
            loop {
                match config.open() {
                    Err(error) if is_lock(&error) && tries < TRIES => {
                        tries += 1;
                        wait();
                    }
                    Err(error) if is_lock(&error) => return Ok(None),
                    opened => return opened.map(Some),
                }
            }
        })?;
        let db = db.ok_or_else(|| {
            StoreError::locked(place, "another program has the files of sled open")
        })?;
        let failed = file(place, "opening the file of sled");
        let path = directory.canonicalize().map_err(&failed)?.join("db");
        let file = File::options().write(true).open(&path).map_err(&failed)?;
        // What a program that died had flushed, and had not synced, is found, and counts from now on.
        file.sync_data().map_err(&failed)?;
        // Opening may have put a snapshot in place.
        sync_directory(directory).map_err(failed)?;
        Ok(Self { place: place.to_owned(), db: Some(db), file, path, _lock: lock })
    }

    fn call<T>(
        &self,
        action: &str,
        act: impl FnOnce(&Db) -> sled::Result<T>,
    ) -> Result<T, StoreError> {
        match &self.db {
            Some(db) => call(&self.place, action, || act(db)),
            None => Err(StoreError::closed(&self.place)),
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        self.call("reading", |db| db.get(key))
    }

    /// The pairs of a range that starts with a key and ends before one.
    pub(crate) fn range(
        &self,
        start: Vec<u8>,
        end: Option<Vec<u8>>,
    ) -> Result<sled::Iter, StoreError> {
        self.call("reading", |db| {
            Ok(match end {
                Some(end) => db.range(start..end),
                None => db.range(start..),
            })
        })
    }

    /// The next pair, from either end.
    pub(crate) fn step(
        &self,
        pairs: &mut sled::Iter,
        forward: bool,
    ) -> Result<Option<(IVec, IVec)>, StoreError> {
        self.call("reading", |_| match forward {
            true => pairs.next().transpose(),
            false => pairs.next_back().transpose(),
        })
    }

    /// Whether there is no key but that of the top.
    pub(crate) fn is_empty(&self) -> Result<bool, StoreError> {
        self.call("looking for keys", |db| {
            for key in db.iter().keys() {
                if key? != TOP {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// What all keys come to.
    pub(crate) fn tally(&self) -> Result<Tally, StoreError> {
        self.call("counting the keys", |db| {
            let mut tally = Tally::default();
            for pair in db.iter() {
                let (key, stored) = pair?;
                if key != TOP {
                    tally.replace(None, Some(&stored));
                }
            }
            Ok(tally)
        })
    }

    /// Refuses another file under the name of the one that sled has open, or none: what is written to
    /// that one is gone when it is closed.
    pub(crate) fn check_in_place(&self) -> Result<(), StoreError> {
        match is_named(&self.file, &self.path) {
            Ok(true) => Ok(()),
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(file(&self.place, "looking at the file of sled")(error))
            }
            _ => {
                let why = "it was removed or replaced while it was open; close this handle and open the \
                           replica again";
                Err(StoreError::corrupt(&self.place, why))
            }
        }
    }

    /// Applies a batch, whole or, after a crash, perhaps not at all, and has it on the device.
    pub(crate) fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.call("writing a commit", |db| {
            db.apply_batch(batch)?;
            db.flush()
        })?;
        self.file.sync_data().map_err(file(&self.place, "syncing the file of sled"))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let db = self.db.take();
        // There is nobody to tell, and everything acknowledged is on the device.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(db)));
    }
}

/// sled writes a snapshot under a name that ends so, and then gives it its own. Where it was killed in
/// between, it takes what it finds for its newest snapshot, finds it damaged, and does not open; an older
/// one, or none, is all it needs.
const UNFINISHED: &str = ".generating";

fn remove_unfinished_snapshots(directory: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        // There is no tree yet; what else it is, sled says.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(UNFINISHED) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[allow(
    clippy::disallowed_methods,
    reason = "opening is not async, and what is waited for is over in no time"
)]
fn wait() {
    std::thread::sleep(BETWEEN);
}

/// Whether `path` is a name of `file`.
#[cfg(unix)]
fn is_named(file: &File, path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let (open, found) = (file.metadata()?, fs::metadata(path)?);
    Ok((open.dev(), open.ino()) == (found.dev(), found.ino()))
}

/// Elsewhere a file that is open keeps its name.
#[cfg(not(unix))]
fn is_named(_: &File, _: &Path) -> std::io::Result<bool> {
    Ok(true)
}

/// Whether the file system has anything there.
pub(crate) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::layout::Layout;

    #[test]
    fn a_lock_that_is_given_back_soon_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path());
        let other = sled::Config::new().path(layout.tree()).open().unwrap();
        let holds = thread::spawn(move || {
            (0..40).for_each(|_| wait());
            drop(other);
        });
        let lock = layout.lock().unwrap();
        drop(Engine::open("here", &layout.tree(), 1 << 20, lock).unwrap());
        holds.join().unwrap();
    }

    #[test]
    fn a_snapshot_that_was_not_finished_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path());
        let open = || Engine::open("here", &layout.tree(), 1 << 20, layout.lock().unwrap());
        let engine = open().unwrap();
        let mut batch = Batch::default();
        batch.insert(b"key", b"value");
        engine.apply(batch).unwrap();
        drop(engine);
        // As a process leaves it behind that is killed while sled opens: nothing of it, some, or most.
        for written in [0, 7, 100] {
            let unfinished = layout.tree().join("snap.7FFFFFFFFFFFFFFF.generating");
            fs::write(&unfinished, vec![1; written]).unwrap();
            let refused = sled::Config::new().path(layout.tree()).open().map(drop);
            assert!(matches!(refused, Err(sled::Error::Corruption { .. })), "{refused:?}");
            let value = open().unwrap().get(b"key").unwrap();
            assert_eq!(value.as_deref(), Some(&b"value"[..]), "{written}");
            assert!(!exists(&unfinished));
        }
    }

    #[test]
    fn what_else_keeps_sled_from_opening_is_not_taken_for_a_lock() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path());
        fs::write(layout.tree(), "a file and no directory").unwrap();
        let lock = layout.lock().unwrap();
        let refused = Engine::open("here", &layout.tree(), 1 << 20, lock).map(drop);
        assert!(matches!(refused, Err(StoreError::Io { .. })), "{refused:?}");
    }
}
