//! Directories of files; failing and damaged ones are on a disk in memory.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backend_fs::simulated::{Fault as DiskFault, Image, Kind, Loss, SimulatedDisk};
use backend_fs::{Disk, FsOptions};
use prophet_store::{Identity, StoreError};
use tempfile::TempDir;

use crate::harness::{DamagedPlace, Fault, FaultWay, FaultyPlace, Harness, Place, Store, Unsynced};

/// Replicas in temporary directories.
#[derive(Debug, Clone)]
pub struct FsHarness(FsOptions);

impl Default for FsHarness {
    fn default() -> Self {
        Self::new()
    }
}

impl FsHarness {
    /// As they are by default.
    pub fn new() -> Self {
        Self(FsOptions::new())
    }

    /// With segments so short that nearly every commit begins another one, so that everything is read
    /// from sealed segments and tables.
    pub fn sealed_at_once() -> Self {
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

    fn faulty_place(&self) -> Option<Box<dyn FaultyPlace>> {
        Some(SimulatedPlace::new(&self.0, Image::default()))
    }

    fn damaged_place(&self) -> Option<Box<dyn DamagedPlace>> {
        Some(SimulatedPlace::new(&self.0, Image::default()))
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

/// A place on a disk in memory.
struct SimulatedPlace {
    options: FsOptions,
    /// Damage makes another one of it.
    disk: Mutex<SimulatedDisk>,
}

impl SimulatedPlace {
    fn new(options: &FsOptions, image: Image) -> Box<Self> {
        let disk = Mutex::new(SimulatedDisk::new(image));
        Box::new(Self { options: options.clone(), disk })
    }

    fn locked(&self) -> MutexGuard<'_, SimulatedDisk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.locked().clone())
    }
}

impl Place for SimulatedPlace {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        Ok(Arc::new(self.options.create_on(self.disk(), "a disk".to_owned(), identity)?))
    }

    fn open(&self) -> Result<Store, StoreError> {
        Ok(Arc::new(self.options.open_on(self.disk(), "a disk".to_owned())?))
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        let opened = self.options.clone().read_only(true).open_on(self.disk(), "a disk".to_owned());
        Some(opened.map(|store| Arc::new(store) as Store))
    }

    fn address(&self) -> Option<String> {
        None
    }
}

impl FaultyPlace for SimulatedPlace {
    fn steps(&self) -> u64 {
        self.locked().steps()
    }

    fn fail(&self, fault: Option<Fault>) {
        let disk = self.locked();
        disk.fail(fault.map(|fault| DiskFault {
            at: disk.steps() + fault.after + 1,
            kind: match fault.way {
                FaultWay::Undone => Kind::Before,
                FaultWay::Half => Kind::Dropped,
                FaultWay::Done => Kind::After,
            },
            error: match fault.after.is_multiple_of(2) {
                true => ErrorKind::Other,
                false => ErrorKind::StorageFull,
            },
            forever: fault.lasting,
            and_after: None,
        }));
    }

    fn struck(&self) -> Option<String> {
        self.locked().fired()
    }

    fn after_crash(&self) -> Box<dyn FaultyPlace> {
        Self::new(&self.options, self.locked().image())
    }

    fn after_power_loss(&self, unsynced: Unsynced) -> Option<Box<dyn FaultyPlace>> {
        let loss = match unsynced {
            Unsynced::Lost => Loss::Least,
            Unsynced::Kept => Loss::Most,
            Unsynced::Some(seed) => Loss::Some(seed),
        };
        Some(Self::new(&self.options, self.locked().image().after_power_loss(loss)))
    }
}

impl DamagedPlace for SimulatedPlace {
    fn parts(&self) -> Vec<String> {
        self.locked().image().tree().into_keys().collect()
    }

    fn read(&self, part: &str) -> Vec<u8> {
        self.locked().image().tree().remove(part).expect("the part is there")
    }

    fn write(&self, part: &str, bytes: Option<&[u8]>) {
        let mut disk = self.locked();
        *disk = SimulatedDisk::new(disk.image().with(part, bytes.map(<[u8]>::to_vec)));
    }

    fn make_newer(&self) {
        let identity = String::from_utf8(self.read("prophet.json")).expect("it is JSON");
        let newer = identity.replace("\"format\":1", "\"format\":2");
        self.write("prophet.json", Some(newer.as_bytes()));
    }

    fn put_foreign(&self) {
        self.write("bugs.jsonl", Some(b"{\"title\":\"It fails\"}\n"));
        self.write("log/2026.log", Some(b"nothing happened\n"));
    }
}
