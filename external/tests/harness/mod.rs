//! Places for the store in one file, for the suite and for the benches.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use conformance::{DamagedPlace, Harness, Place, Store};
use external::FileStore;
use prophet_store::{Identity, StoreError};
use tempfile::TempDir;

pub(crate) struct FileHarness;

impl FileHarness {
    fn file_place() -> FilePlace {
        let directory = TempDir::new().expect("a temporary directory can be made");
        FilePlace { path: directory.path().join("replica"), directory }
    }
}

impl Harness for FileHarness {
    fn place(&self) -> Box<dyn Place> {
        Box::new(Self::file_place())
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        Ok(Arc::new(FileStore::open(Path::new(address))?))
    }

    fn damaged_place(&self) -> Option<Box<dyn DamagedPlace>> {
        Some(Box::new(Self::file_place()))
    }
}

struct FilePlace {
    path: PathBuf,
    directory: TempDir,
}

impl Place for FilePlace {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        Ok(Arc::new(FileStore::create(&self.path, identity)?))
    }

    fn open(&self) -> Result<Store, StoreError> {
        Ok(Arc::new(FileStore::open(&self.path)?))
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        None
    }

    fn address(&self) -> Option<String> {
        self.path.to_str().map(str::to_owned)
    }
}

impl DamagedPlace for FilePlace {
    fn parts(&self) -> Vec<String> {
        let files = fs::read_dir(self.directory.path()).expect("the directory is there");
        let names = files.map(|file| file.expect("it can be read").file_name());
        names.filter_map(|name| name.into_string().ok()).collect()
    }

    fn read(&self, part: &str) -> Vec<u8> {
        fs::read(self.directory.path().join(part)).expect("a part can be read")
    }

    fn write(&self, part: &str, bytes: Option<&[u8]>) {
        let path = self.directory.path().join(part);
        let done = bytes.map_or_else(|| fs::remove_file(&path), |bytes| fs::write(&path, bytes));
        done.expect("a part can be changed");
    }

    fn make_newer(&self) {
        let mut bytes = fs::read(&self.path).expect("the replica is there");
        *bytes.get_mut(8).expect("it has a header") = 2;
        fs::write(&self.path, bytes).expect("the replica can be changed");
    }

    fn put_foreign(&self) {
        fs::write(&self.path, "Dear diary,\n").expect("a file can be written");
    }
}
