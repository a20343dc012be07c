//! The files beside sled's own: which replica it is, who has it open, and how far it got.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prophet_store::{DatabaseId, Identity, ReplicaId, StoreError};

use crate::engine::exists;
use crate::error::file;
use crate::top::Top;

/// The version of the format.
pub(crate) const FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"PropSled";
/// No file that says which replica it is is longer, in whatever format.
const MOST_BYTES: u64 = 64 << 10;

/// Where things are in the directory of a replica.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) directory: PathBuf,
    /// As messages name the directory.
    pub(crate) place: String,
}

impl Layout {
    pub(crate) fn new(path: &Path) -> Self {
        let place = match path.as_os_str().is_empty() {
            true => "the empty path".to_owned(),
            false => path.display().to_string(),
        };
        Self { directory: path.to_owned(), place }
    }

    /// Which replica it is; the last file to be put in place when one is created.
    pub(crate) fn identity(&self) -> PathBuf {
        self.directory.join("replica")
    }

    fn unfinished_identity(&self) -> PathBuf {
        self.directory.join("replica.unfinished")
    }

    fn lock_file(&self) -> PathBuf {
        self.directory.join("lock")
    }

    /// What was acknowledged last, beside sled, which may forget it.
    pub(crate) fn witness(&self) -> PathBuf {
        self.directory.join("head")
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.directory.join("sled")
    }

    /// Locks the directory, for as long as what is returned is there.
    pub(crate) fn lock(&self) -> Result<Lock, StoreError> {
        let failed = file(&self.place, "opening the lock");
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.lock_file())
            .map_err(&failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Lock(lock)),
            Err(fs::TryLockError::WouldBlock) => {
                Err(StoreError::locked(&self.place, "another handle or program has it open"))
            }
            Err(fs::TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Whether there is nothing but what a creation that was cut off left behind: which takes the lock
    /// before it makes anything else.
    pub(crate) fn is_unfinished(&self) -> Result<bool, StoreError> {
        if exists(&self.tree()) && !exists(&self.lock_file()) {
            return Ok(false);
        }
        let failed = file(&self.place, "looking at the directory");
        let ours = [self.lock_file(), self.witness(), self.tree(), self.unfinished_identity()];
        for entry in fs::read_dir(&self.directory).map_err(&failed)? {
            if !ours.contains(&entry.map_err(&failed)?.path()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes the settings of a tree that sled has written nothing to yet: it puts them down first, and
    /// does not open where they were cut off.
    pub(crate) fn remove_unfinished_settings(&self) -> std::io::Result<()> {
        let missing = |error: &std::io::Error| error.kind() == ErrorKind::NotFound;
        match fs::metadata(self.tree().join("db")) {
            Ok(found) if found.len() > 0 => return Ok(()),
            Err(error) if !missing(&error) => return Err(error),
            _ => {}
        }
        match fs::remove_file(self.tree().join("conf")) {
            Err(error) if !missing(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads which replica it is.
    pub(crate) fn read_identity(&self) -> Result<Identity, StoreError> {
        let place = format!("{}/replica", self.place);
        let mut bytes = Vec::new();
        let read = File::open(self.identity())
            .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
        match read {
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Err(self.nothing());
            }
            Err(error) => return Err(file(&place, "reading the identity")(error)),
        }
        if !bytes.starts_with(MAGIC) {
            return Err(StoreError::not_a_replica(&self.place, "its file `replica` is another"));
        }
        let damaged = || StoreError::corrupt(&place, "its checksum is wrong");
        let body = unsealed(&bytes).ok_or_else(damaged)?;
        let (_, body) = body.split_at_checked(MAGIC.len()).ok_or_else(damaged)?;
        let (format, body) = body.split_first_chunk().ok_or_else(damaged)?;
        let format = u32::from_le_bytes(*format);
        if format > FORMAT {
            return Err(StoreError::newer_format(&self.place, format.into(), FORMAT.into()));
        }
        let (database, replica) = body.split_first_chunk().ok_or_else(damaged)?;
        Ok(Identity {
            database: DatabaseId::from_bytes(*database),
            replica: ReplicaId::from_bytes(replica.try_into().map_err(|_| damaged())?),
        })
    }

    /// The error for a directory without an identity.
    fn nothing(&self) -> StoreError {
        match fs::read_dir(&self.directory) {
            Ok(mut entries) => match entries.next() {
                None => StoreError::not_found(&self.place),
                Some(_) if self.is_unfinished().unwrap_or(false) => {
                    StoreError::not_found(&self.place)
                }
                Some(_) => StoreError::not_a_replica(&self.place, "it has no file `replica`"),
            },
            Err(error) if error.kind() == ErrorKind::NotADirectory => {
                StoreError::not_a_replica(&self.place, "it is no directory")
            }
            Err(error) if error.kind() == ErrorKind::NotFound => StoreError::not_found(&self.place),
            Err(error) => file(&self.place, "looking at the directory")(error),
        }
    }

    /// Puts the identity in place, whole and durable: from here on there is a replica.
    pub(crate) fn write_identity(&self, identity: &Identity) -> Result<(), StoreError> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(identity.database.as_bytes());
        bytes.extend_from_slice(identity.replica.as_bytes());
        let write = || {
            let unfinished = self.unfinished_identity();
            let mut file = File::create(&unfinished)?;
            file.write_all(&sealed(bytes))?;
            file.sync_all()?;
            fs::rename(unfinished, self.identity())?;
            sync_directory(&self.directory)
        };
        write().map_err(file(&self.place, "writing the identity"))
    }
}

/// What was acknowledged last. It is written after each commit and synced seldom: it may be older than
/// the tree, but where the tree is older, acknowledged commits are gone.
///
/// One at a time reads or writes it, for the place in the file is that of all who have it open.
#[derive(Debug)]
pub(crate) struct Witness(Mutex<File>);

impl Witness {
    const BYTES: u64 = Top::BYTES as u64 + 4;

    pub(crate) fn open(layout: &Layout) -> Result<Self, StoreError> {
        let failed = file(&layout.place, "opening the file `head`");
        let options = File::options().read(true).write(true).create(true).truncate(false).clone();
        let witness = options.open(layout.witness()).map_err(&failed)?;
        // What is behind it was never written by us, and it could not be read any more.
        if witness.metadata().map_err(&failed)?.len() > Self::BYTES {
            witness.set_len(Self::BYTES).map_err(failed)?;
        }
        Ok(Self(Mutex::new(witness)))
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it says, if it can be read.
    pub(crate) fn read(&self) -> Option<Top> {
        let mut bytes = Vec::new();
        let mut file = self.file();
        file.seek(SeekFrom::Start(0)).ok()?;
        (&*file).take(256).read_to_end(&mut bytes).ok()?;
        Top::from_bytes(unsealed(&bytes)?)
    }

    /// One write within a sector: after a crash it is there or not.
    pub(crate) fn write(&self, top: &Top) -> std::io::Result<()> {
        let mut file = self.file();
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&sealed(top.to_bytes().to_vec()))
    }

    pub(crate) fn sync(&self) -> std::io::Result<()> {
        self.file().sync_all()
    }
}

/// The bytes with their CRC-32 behind them.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

fn unsealed(bytes: &[u8]) -> Option<&[u8]> {
    let (body, checksum) = bytes.split_last_chunk()?;
    (crc32fast::hash(body) == u32::from_le_bytes(*checksum)).then_some(body)
}

#[cfg(unix)]
pub(crate) fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

/// Elsewhere a directory cannot be opened as a file, nor has it to be.
#[cfg(not(unix))]
pub(crate) fn sync_directory(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// The lock on a directory.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough where a process that is just being started has it too.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_given_back_although_another_process_has_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path());
        let lock = layout.lock().unwrap();
        // As a process has it that was started, and has not closed what is not for it.
        let inherited = lock.0.try_clone().unwrap();
        assert!(matches!(layout.lock(), Err(StoreError::Locked { .. })));
        drop(lock);
        layout.lock().unwrap();
        drop(inherited);
    }
}
