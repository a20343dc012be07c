//! All that the backend asks of a file system: the seam at which tests make it fail, crash and lose
//! power.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory with files and one level of directories, named relative to it, with `/`.
///
/// What is written to a file counts as lost with the power until [`DiskFile::sync`] returns; what
/// is done to names, until [`sync_names`](Self::sync_names) of their directory returns.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Makes the directory itself, if it is not there; its name is then durable.
    ///
    /// # Errors
    /// What the system says.
    fn make_root(&self) -> io::Result<()>;

    /// Makes a directory, if it is not there.
    ///
    /// # Errors
    /// What the system says.
    fn make_directory(&self, name: &str) -> io::Result<()>;

    /// The names in a directory, `""` for the root, in any order.
    ///
    /// # Errors
    /// What the system says: `NotFound` if it is not there.
    fn list(&self, directory: &str) -> io::Result<Vec<String>>;

    /// Opens a file.
    ///
    /// # Errors
    /// What the system says: `NotFound` if it is not there.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes an empty file, in the place of what has this name.
    ///
    /// # Errors
    /// What the system says.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, in the place of what has that name: a reader finds the one or
    /// the other.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Whoever has it open still reads it.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes what was done to the names in a directory durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_names(&self, directory: &str) -> io::Result<()>;

    /// Which file has this name now; `None` where that cannot be said.
    ///
    /// # Errors
    /// What the system says: `NotFound` if there is none.
    fn id_of(&self, name: &str) -> io::Result<Option<FileId>>;
}

/// What tells a file from all others that are there, whatever their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "it is made by whoever implements a disk")]
pub struct FileId {
    /// The file system that it is on.
    pub device: u64,
    /// Its number there.
    pub number: u64,
}

/// An open file.
pub trait DiskFile: Debug + Send + Sync {
    /// Its length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    ///
    /// # Errors
    /// What the system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Which file it is; `None` where that cannot be said.
    ///
    /// # Errors
    /// What the system says.
    fn id(&self) -> io::Result<Option<FileId>>;

    /// Whether it has a name, as far as that can be said.
    ///
    /// # Errors
    /// What the system says.
    fn is_named(&self) -> io::Result<bool>;

    /// Reads exactly this many bytes.
    ///
    /// # Errors
    /// What the system says: `UnexpectedEof` if there are fewer.
    fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>>;

    /// Writes all of these bytes.
    ///
    /// # Errors
    /// What the system says; any part of them may be written then.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts it off.
    ///
    /// # Errors
    /// What the system says.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Makes its bytes and its length durable.
    ///
    /// # Errors
    /// What the system says. What is durable is unknown then.
    fn sync(&self) -> io::Result<()>;

    /// Waits until nobody else holds the lock, and takes it. The system drops it when the process
    /// dies or the file is closed.
    ///
    /// # Errors
    /// What the system says.
    fn lock(&self) -> io::Result<()>;

    /// Gives the lock back.
    ///
    /// # Errors
    /// What the system says.
    fn unlock(&self) -> io::Result<()>;
}

/// A directory of the system's own file system.
#[derive(Debug)]
pub(crate) struct SystemDisk {
    root: PathBuf,
    write: bool,
}

impl SystemDisk {
    pub(crate) const fn new(root: PathBuf, write: bool) -> Self {
        Self { root, write }
    }

    fn path(&self, name: &str) -> PathBuf {
        let mut path = PathBuf::with_capacity(self.root.as_os_str().len() + name.len() + 1);
        path.push(&self.root);
        path.extend(name.split('/').filter(|part| !part.is_empty()));
        path
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    // Elsewhere a directory cannot be opened, and the file system sees to its names.
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

impl Disk for SystemDisk {
    fn make_root(&self) -> io::Result<()> {
        let missing = self.root.ancestors().take_while(|path| !path.exists()).count();
        fs::create_dir_all(&self.root)?;
        for path in self.root.ancestors().take(missing.max(1)) {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            sync_directory(parent.unwrap_or(Path::new(".")))?;
        }
        Ok(())
    }

    fn make_directory(&self, name: &str) -> io::Result<()> {
        match fs::create_dir(self.path(name)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path(directory))? {
            // A name that is not UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = File::options().read(true).write(self.write).open(self.path(name))?;
        Ok(Arc::new(file))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        Ok(Arc::new(options.open(self.path(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_names(&self, directory: &str) -> io::Result<()> {
        sync_directory(&self.path(directory))
    }

    fn id_of(&self, name: &str) -> io::Result<Option<FileId>> {
        Ok(file_id(&fs::metadata(self.path(name))?))
    }
}

#[cfg(unix)]
#[allow(clippy::unnecessary_wraps, reason = "other systems do not say")]
fn file_id(found: &fs::Metadata) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt as _;
    Some(FileId { device: found.dev(), number: found.ino() })
}

#[cfg(unix)]
fn is_named(found: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    found.nlink() > 0
}

/// Windows does not let an open file be replaced.
#[cfg(not(unix))]
fn is_named(_: &fs::Metadata) -> bool {
    true
}

#[cfg(not(unix))]
fn file_id(_: &fs::Metadata) -> Option<FileId> {
    None
}

impl DiskFile for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn id(&self) -> io::Result<Option<FileId>> {
        Ok(file_id(&self.metadata()?))
    }

    fn is_named(&self) -> io::Result<bool> {
        Ok(is_named(&self.metadata()?))
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        positioned::read_exact(self, offset, &mut bytes)?;
        Ok(bytes)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        positioned::write_all(self, offset, bytes)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn lock(&self) -> io::Result<()> {
        Self::lock(self)
    }

    fn unlock(&self) -> io::Result<()> {
        Self::unlock(self)
    }
}

#[cfg(unix)]
mod positioned {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt as _;

    pub(super) fn read_exact(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        file.read_exact_at(bytes, offset)
    }

    pub(super) fn write_all(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }
}

#[cfg(windows)]
mod positioned {
    use std::fs::File;
    use std::io::{self, ErrorKind};
    use std::os::windows::fs::FileExt as _;

    pub(super) fn read_exact(file: &File, mut offset: u64, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match file.seek_read(bytes, offset)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => {
                    bytes = bytes.get_mut(read..).unwrap_or_default();
                    offset += read as u64;
                }
            }
        }
        Ok(())
    }

    pub(super) fn write_all(file: &File, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match file.seek_write(bytes, offset)? {
                0 => return Err(ErrorKind::WriteZero.into()),
                written => {
                    bytes = bytes.get(written..).unwrap_or_default();
                    offset += written as u64;
                }
            }
        }
        Ok(())
    }
}
