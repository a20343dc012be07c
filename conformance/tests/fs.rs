//! The suite over directories of files.
//!
//! Once as they are, and once with segments so short that nearly every commit begins another one,
//! so that everything is read from sealed segments and tables.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backend_fs::FsOptions;
use conformance::{Harness, Place, Store};
use prophet_store::{Identity, StoreError};
use tempfile::TempDir;

#[derive(Clone)]
struct FsHarness(FsOptions);

impl FsHarness {
    fn new() -> Self {
        Self(FsOptions::new())
    }

    fn sealed_at_once() -> Self {
        Self(FsOptions::new().segment_bytes(1))
    }
}

impl Harness for FsHarness {
    fn place(&self) -> Box<dyn Place> {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let path = directory.path().join("replica");
        Box::new(FsPlace { options: self.0.clone(), path, _directory: directory })
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        Ok(Arc::new(self.0.open(Path::new(address))?))
    }
}

struct FsPlace {
    options: FsOptions,
    path: PathBuf,
    _directory: TempDir,
}

impl Place for FsPlace {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        Ok(Arc::new(self.options.create(&self.path, identity)?))
    }

    fn open(&self) -> Result<Store, StoreError> {
        Ok(Arc::new(self.options.open(&self.path)?))
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        let opened = self.options.clone().read_only(true).open(&self.path);
        Some(opened.map(|store| Arc::new(store) as Store))
    }

    fn address(&self) -> Option<String> {
        self.path.to_str().map(str::to_owned)
    }
}

conformance::suite!(fs, FsHarness::new(), without = [faults, power_loss, damage]);
conformance::suite!(
    fs_sealed_at_once,
    FsHarness::sealed_at_once(),
    without = [faults, power_loss, damage]
);
conformance::invariants!(invariants, FsHarness::new());
