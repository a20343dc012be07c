//! The suite over sled.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backend_sled::SledStore;
use conformance::{Harness, Place, Store};
use prophet_store::{Identity, StoreError};
use tempfile::TempDir;

struct SledHarness;

impl Harness for SledHarness {
    fn place(&self) -> Box<dyn Place> {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let path = directory.path().join("replica");
        Box::new(SledPlace { path, _directory: directory })
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        Ok(Arc::new(SledStore::open(Path::new(address))?))
    }
}

struct SledPlace {
    path: PathBuf,
    _directory: TempDir,
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

conformance::suite!(
    sled,
    SledHarness,
    without = [several_processes, read_only, faults, power_loss, damage]
);
conformance::invariants!(invariants, SledHarness);
