//! sled itself: one tree in a directory, which one handle has to itself.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
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
        let file = File::options().write(true).open(directory.join("db")).map_err(&failed)?;
        // What a program that died had flushed, and had not synced, is found, and counts from now on.
        file.sync_data().map_err(&failed)?;
        // Opening may have put a snapshot in place.
        sync_directory(directory).map_err(failed)?;
        Ok(Self { place: place.to_owned(), db: Some(db), file, _lock: lock })
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

#[allow(
    clippy::disallowed_methods,
    reason = "opening is not async, and what is waited for is over in no time"
)]
fn wait() {
    std::thread::sleep(BETWEEN);
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
    fn what_else_keeps_sled_from_opening_is_not_taken_for_a_lock() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path());
        fs::write(layout.tree(), "a file and no directory").unwrap();
        let lock = layout.lock().unwrap();
        let refused = Engine::open("here", &layout.tree(), 1 << 20, lock).map(drop);
        assert!(matches!(refused, Err(StoreError::Io { .. })), "{refused:?}");
    }
}
