//! The whole suite from a program: runs every check over the filesystem store, and prints what came
//! of it. Some checks have this program started once more, as another process.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backend_fs::{FsOptions, FsStore};
use conformance::{Harness, Place, Store};
use prophet_store::{Identity, StoreError};
use tempfile::TempDir;

struct Files;

impl Harness for Files {
    fn place(&self) -> Box<dyn Place> {
        #[allow(clippy::expect_used, reason = "without a place there is nothing to check")]
        let directory = TempDir::new().expect("a temporary directory can be made");
        Box::new(FilesPlace { path: directory.path().join("replica"), _directory: directory })
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        Ok(Arc::new(FsStore::open(Path::new(address))?))
    }
}

struct FilesPlace {
    path: PathBuf,
    _directory: TempDir,
}

impl Place for FilesPlace {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        Ok(Arc::new(FsStore::create(&self.path, identity)?))
    }

    fn open(&self) -> Result<Store, StoreError> {
        Ok(Arc::new(FsStore::open(&self.path)?))
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        let opened = FsOptions::new().read_only(true).open(&self.path);
        Some(opened.map(|store| Arc::new(store) as Store))
    }

    fn address(&self) -> Option<String> {
        self.path.to_str().map(str::to_owned)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    conformance::serve(&Files);
    let report = conformance::run(&Files)?;
    println!("{report}");
    match report.is_sound() {
        true => Ok(()),
        false => Err("the store does not keep the contract".into()),
    }
}
