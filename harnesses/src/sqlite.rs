//! Files of SQLite.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backend_sqlite::{SqliteOptions, SqliteStore};
use prophet_store::{DatabaseId, Identity, ReplicaId, StoreError};
use tempfile::TempDir;

use crate::harness::{DamagedPlace, Harness, Place, Store};
use crate::parts;

/// Replicas in temporary files.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct SqliteHarness;

impl SqliteHarness {
    /// As they are by default.
    pub const fn new() -> Self {
        Self
    }
}

impl Harness for SqliteHarness {
    fn place(&self) -> Box<dyn Place> {
        Box::new(SqlitePlace::new())
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        Ok(Arc::new(SqliteStore::open(Path::new(address))?))
    }

    fn damaged_place(&self) -> Option<Box<dyn DamagedPlace>> {
        Some(Box::new(SqlitePlace::new()))
    }
}

struct SqlitePlace {
    path: PathBuf,
    directory: TempDir,
}

impl SqlitePlace {
    fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let path = directory.path().join("replica.sqlite");
        Self { path, directory }
    }

    /// Changes the number of 32 bits at this place of the header.
    fn set_header(&self, at: usize, change: impl FnOnce(u32) -> u32) {
        let mut bytes = self.read(FILE);
        let number = bytes.get_mut(at..at + 4).expect("there is a header");
        let changed = change(u32::from_be_bytes(number.try_into().expect("they are four")));
        number.copy_from_slice(&changed.to_be_bytes());
        self.write(FILE, Some(&bytes));
    }
}

const FILE: &str = "replica.sqlite";
/// Where the header of a SQLite database has its `user_version` and its `application_id`.
const USER_VERSION_AT: usize = 60;
const APPLICATION_ID_AT: usize = 68;

impl DamagedPlace for SqlitePlace {
    fn parts(&self) -> Vec<String> {
        parts::parts(self.directory.path())
    }

    fn read(&self, part: &str) -> Vec<u8> {
        parts::read(self.directory.path(), part)
    }

    fn write(&self, part: &str, bytes: Option<&[u8]>) {
        parts::write(self.directory.path(), part, bytes);
    }

    fn make_newer(&self) {
        self.set_header(USER_VERSION_AT, |version| version + 1);
    }

    /// SQLite keeps no checksums of its pages, so a damaged index can hide a row.
    fn hides(&self) -> bool {
        true
    }

    /// A database of another application.
    fn put_foreign(&self) {
        let identity = Identity {
            database: DatabaseId::from_bytes([1; 16]),
            replica: ReplicaId::from_bytes([2; 16]),
        };
        drop(SqliteStore::create(&self.path, identity).expect("a file can be made"));
        self.set_header(APPLICATION_ID_AT, |id| id ^ 1);
    }
}

impl Place for SqlitePlace {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        Ok(Arc::new(SqliteStore::create(&self.path, identity)?))
    }

    fn open(&self) -> Result<Store, StoreError> {
        Ok(Arc::new(SqliteStore::open(&self.path)?))
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        let opened = SqliteOptions::new().read_only(true).open(&self.path);
        Some(opened.map(|store| Arc::new(store) as Store))
    }

    fn address(&self) -> Option<String> {
        self.path.to_str().map(str::to_owned)
    }
}
