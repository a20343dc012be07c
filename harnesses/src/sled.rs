//! Directories of sled.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backend_sled::SledStore;
use prophet_store::{Identity, StoreError};
use tempfile::TempDir;

use crate::harness::{DamagedPlace, Harness, Place, Store};
use crate::parts;

/// Replicas in temporary directories.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct SledHarness;

impl SledHarness {
    /// As they are by default.
    pub const fn new() -> Self {
        Self
    }
}

impl Harness for SledHarness {
    fn place(&self) -> Box<dyn Place> {
        Box::new(SledPlace::new())
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        Ok(Arc::new(SledStore::open(Path::new(address))?))
    }

    fn damaged_place(&self) -> Option<Box<dyn DamagedPlace>> {
        Some(Box::new(SledPlace::new()))
    }
}

struct SledPlace {
    path: PathBuf,
    _directory: TempDir,
}

impl SledPlace {
    fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let path = directory.path().join("replica");
        Self { path, _directory: directory }
    }
}

/// The file that says which replica it is: eight bytes, the format, the identity, a checksum.
const IDENTITY: &str = "replica";
const FORMAT_AT: usize = 8;

impl DamagedPlace for SledPlace {
    fn parts(&self) -> Vec<String> {
        parts::parts(&self.path)
    }

    fn read(&self, part: &str) -> Vec<u8> {
        parts::read(&self.path, part)
    }

    fn write(&self, part: &str, bytes: Option<&[u8]>) {
        parts::write(&self.path, part, bytes);
    }

    fn make_newer(&self) {
        let mut bytes = self.read(IDENTITY);
        bytes.truncate(bytes.len() - 4);
        *bytes.get_mut(FORMAT_AT).expect("there is a format") += 1;
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        self.write(IDENTITY, Some(&bytes));
    }

    fn put_foreign(&self) {
        self.write("bugs.txt", Some(b"it fails\n"));
        self.write("sled/notes", Some(b"of winter\n"));
    }
}

impl Place for SledPlace {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        Ok(Arc::new(SledStore::create(&self.path, identity)?))
    }

    fn open(&self) -> Result<Store, StoreError> {
        Ok(Arc::new(SledStore::open(&self.path)?))
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        None
    }

    fn address(&self) -> Option<String> {
        self.path.to_str().map(str::to_owned)
    }
}
