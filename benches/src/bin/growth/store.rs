//! The stores whose growth is measured.

use std::fs;
use std::path::Path;

use harnesses::{FsHarness, Harness, MemoryHarness, Place, S3Harness, SledHarness, SqliteHarness};
use prophet_bucket::Bucket;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Fs,
    Memory,
    S3,
    Sled,
    Sqlite,
}

impl Kind {
    pub(crate) const ALL: &[Self] = &[Self::Fs, Self::Memory, Self::S3, Self::Sled, Self::Sqlite];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fs => "fs",
            Self::Memory => "memory",
            Self::S3 => "s3",
            Self::Sled => "sled",
            Self::Sqlite => "sqlite",
        }
    }

    /// The most changesets, where there is a limit.
    pub(crate) const fn most(self) -> Option<u64> {
        match self {
            Self::S3 => Some(100_000),
            _ => None,
        }
    }

    /// Why there is a limit.
    pub(crate) const fn why(self) -> &'static str {
        match self {
            Self::S3 => "its bucket is in memory",
            _ => "no reason",
        }
    }

    pub(crate) fn subject(self) -> Subject {
        let on_disk = |harness: &dyn Harness| Subject { place: harness.place(), bucket: None };
        match self {
            Self::Fs => on_disk(&FsHarness::new()),
            Self::Memory => on_disk(&MemoryHarness::new()),
            Self::Sled => on_disk(&SledHarness::new()),
            Self::Sqlite => on_disk(&SqliteHarness::new()),
            Self::S3 => {
                let place = S3Harness::new().bucket_place();
                let bucket = Some(place.bucket().clone());
                Subject { place: Box::new(place), bucket }
            }
        }
    }
}

/// A place, and what can be known of it from outside.
pub(crate) struct Subject {
    pub(crate) place: Box<dyn Place>,
    bucket: Option<Bucket>,
}

impl Subject {
    /// The bytes of all files or objects; `None` in memory.
    pub(crate) fn stored(&self) -> Option<u64> {
        if let Some(bucket) = &self.bucket {
            return Some(bucket.contents().values().map(|bytes| bytes.len() as u64).sum());
        }
        // A place in a directory has the directory around it to itself.
        let address = self.place.address()?;
        Path::new(&address).parent().map(size)
    }

    /// How many requests were sent so far; `None` where there are none.
    pub(crate) fn requests(&self) -> Option<u64> {
        self.bucket.as_ref().map(|bucket| bucket.requests().total().requests)
    }

    /// Whether what is stored is in the memory of this process.
    pub(crate) const fn is_within(&self) -> bool {
        self.bucket.is_some()
    }
}

fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).expect("the directory can be read");
    let sizes = entries.map(|entry| {
        let entry = entry.expect("the directory can be read");
        let metadata = entry.metadata().expect("a file has a length");
        if metadata.is_dir() { size(&entry.path()) } else { metadata.len() }
    });
    sizes.sum()
}
