//! The suite over SQLite.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backend_sqlite::{SqliteOptions, SqliteStore};
use conformance::{Harness, Place, Store};
use prophet_store::{Identity, StoreError};
use tempfile::TempDir;

struct SqliteHarness;

impl Harness for SqliteHarness {
    fn place(&self) -> Box<dyn Place> {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let path = directory.path().join("replica.sqlite");
        Box::new(SqlitePlace { path, _directory: directory })
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        Ok(Arc::new(SqliteStore::open(Path::new(address))?))
    }
}

struct SqlitePlace {
    path: PathBuf,
    _directory: TempDir,
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

conformance::suite!(sqlite, SqliteHarness, without = [faults, power_loss, damage]);
conformance::invariants!(invariants, SqliteHarness);
