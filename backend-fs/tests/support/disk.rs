//! A disk in memory that knows what of it is durable, and can fail at any operation.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backend_fs::{Disk, DiskFile, FileId};
use prophet_store::Commit;

use super::Random;

/// What is lost or kept by itself.
const SECTOR: usize = 512;

#[derive(Debug, Clone, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// What was done since it was synced.
    pending: Vec<DataOp>,
}

#[derive(Debug, Clone)]
enum DataOp {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl DataOp {
    fn apply(&self, bytes: &mut Vec<u8>, most: usize) -> usize {
        match self {
            Self::Write(offset, written) => {
                let written = &written[..written.len().min(most)];
                if bytes.len() < offset + written.len() {
                    bytes.resize(offset + written.len(), 0);
                }
                bytes[*offset..offset + written.len()].copy_from_slice(written);
                written.len()
            }
            Self::Truncate(len) => {
                bytes.resize(*len, 0);
                1
            }
        }
    }
}

impl Inode {
    fn apply(&mut self, op: DataOp) {
        op.apply(&mut self.now, usize::MAX);
        self.pending.push(op);
    }

    fn sync(&mut self) {
        for op in self.pending.drain(..) {
            op.apply(&mut self.durable, usize::MAX);
        }
    }

    /// What was written cannot be put on the disk, and the system forgets that it should: it is
    /// read until the power is lost, and no later sync has it.
    fn drop_written(&mut self) {
        self.pending.retain(|op| matches!(op, DataOp::Truncate(_)));
    }

    /// What there may be of it after the power was lost.
    fn after(&self, loss: &mut Loss) -> Vec<u8> {
        let Loss::Some(random) = loss else {
            return if matches!(loss, Loss::Least) { &self.durable } else { &self.now }.clone();
        };
        if self.pending.is_empty() {
            return self.durable.clone();
        }
        match random.below(5) {
            0 => self.durable.clone(),
            1 => self.now.clone(),
            2 => {
                // As it was done, up to some operation, or some byte.
                if random.below(2) == 0 {
                    let mut bytes = self.durable.clone();
                    for op in self.pending.iter().take(random.below(self.pending.len() + 1)) {
                        op.apply(&mut bytes, usize::MAX);
                    }
                    return bytes;
                }
                let size = |op: &DataOp| match op {
                    DataOp::Write(_, bytes) => bytes.len(),
                    DataOp::Truncate(_) => 1,
                };
                let mut left = random.below(self.pending.iter().map(size).sum::<usize>() + 1);
                let mut bytes = self.durable.clone();
                for op in &self.pending {
                    if left == 0 {
                        break;
                    }
                    left -= op.apply(&mut bytes, left);
                }
                bytes
            }
            way => {
                // Any sectors, and any length.
                let (old, new) = (self.durable.len(), self.now.len());
                let len = match random.below(3) {
                    0 => old,
                    1 => new,
                    _ => old.min(new) + random.below(old.abs_diff(new) + 1),
                };
                let mut bytes = vec![0; len];
                let lost = random.below(len / SECTOR + 1);
                for (sector, bytes) in bytes.chunks_mut(SECTOR).enumerate() {
                    // All but one, or each as it comes.
                    let keep = if way == 3 { sector != lost } else { random.below(2) == 0 };
                    let from = if keep { &self.now } else { &self.durable };
                    let from = from.get(sector * SECTOR..).unwrap_or_default();
                    let there = from.len().min(bytes.len());
                    bytes[..there].copy_from_slice(&from[..there]);
                }
                bytes
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    File(usize),
    Directory,
}

#[derive(Debug, Clone)]
enum NameOp {
    Put(String, Entry),
    Rename(String, String),
    Remove(String),
}

type Listed = BTreeMap<String, Entry>;

impl NameOp {
    fn apply(&self, names: &mut Listed) {
        match self {
            Self::Put(name, entry) => {
                names.insert(name.clone(), *entry);
            }
            Self::Rename(from, to) => {
                if let Some(entry) = names.remove(from) {
                    names.insert(to.clone(), entry);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Names {
    now: Listed,
    durable: Listed,
    pending: Vec<NameOp>,
}

impl Names {
    fn apply(&mut self, op: NameOp) {
        op.apply(&mut self.now);
        self.pending.push(op);
    }

    fn after(&self, loss: &mut Loss) -> Listed {
        let Loss::Some(random) = loss else {
            return if matches!(loss, Loss::Least) { &self.durable } else { &self.now }.clone();
        };
        let mut names = self.durable.clone();
        let kept = random.below(self.pending.len() + 1);
        self.pending.iter().take(kept).for_each(|op| op.apply(&mut names));
        names
    }
}

/// What of that which is not durable survives.
#[derive(Debug, Clone)]
pub(crate) enum Loss {
    Least,
    Most,
    Some(Random),
}

/// All that is on a disk, and what of it is durable.
#[derive(Debug, Clone, Default)]
pub(crate) struct Image {
    files: Vec<Arc<Inode>>,
    directories: BTreeMap<String, Names>,
}

fn split(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or(("", name))
}

fn not_found<T>() -> io::Result<T> {
    Err(ErrorKind::NotFound.into())
}

impl Image {
    /// What may be found once the power is back.
    pub(crate) fn after_power_loss(&self, mut loss: Loss) -> Self {
        let files = self.files.iter().map(|file| {
            let bytes = file.after(&mut loss);
            Arc::new(Inode { now: bytes.clone(), durable: bytes, pending: Vec::new() })
        });
        let files = files.collect();
        let mut directories = BTreeMap::new();
        for (name, names) in &self.directories {
            let names = names.after(&mut loss);
            let names = Names { now: names.clone(), durable: names, pending: Vec::new() };
            directories.insert(name.clone(), names);
        }
        let root: Listed = directories.get("").map(|root| root.now.clone()).unwrap_or_default();
        directories.retain(|name, _| name.is_empty() || root.contains_key(name));
        for name in root.iter().filter(|(_, entry)| **entry == Entry::Directory).map(|(n, _)| n) {
            directories.entry(name.clone()).or_default();
        }
        Self { files, directories }
    }

    /// The files, with their bytes.
    pub(crate) fn tree(&self) -> BTreeMap<String, Vec<u8>> {
        let mut tree = BTreeMap::new();
        for (directory, names) in &self.directories {
            for (name, entry) in &names.now {
                let name =
                    if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
                if let Entry::File(file) = entry {
                    tree.insert(name, self.files[*file].now.clone());
                }
            }
        }
        tree
    }

    /// The same for images that nothing tells apart once the power was lost.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (directory, names) in &self.directories {
            directory.hash(&mut hasher);
            for (name, entry) in &names.now {
                name.hash(&mut hasher);
                if let Entry::File(file) = entry {
                    self.files[*file].now.hash(&mut hasher);
                }
            }
        }
        hasher.finish()
    }

    /// With other bytes in a file, or without it. All of it durable.
    pub(crate) fn with(&self, name: &str, bytes: Option<Vec<u8>>) -> Self {
        let mut image = self.clone();
        let (directory, file) = split(name);
        let number = image.files.len();
        let names = image.directories.entry(directory.to_owned()).or_default();
        match bytes {
            Some(now) => {
                names.apply(NameOp::Put(file.to_owned(), Entry::File(number)));
                image.files.push(Arc::new(Inode { now, ..Inode::default() }));
            }
            None => names.apply(NameOp::Remove(file.to_owned())),
        }
        image.after_power_loss(Loss::Most)
    }

    /// Without a directory and all in it.
    pub(crate) fn without_directory(&self, name: &str) -> Self {
        let mut image = self.clone();
        image.directories.get_mut("").unwrap().apply(NameOp::Remove(name.to_owned()));
        image.directories.remove(name);
        image.after_power_loss(Loss::Most)
    }

    fn find(&self, name: &str) -> io::Result<Entry> {
        let (directory, file) = split(name);
        let found = self.directories.get(directory).and_then(|names| names.now.get(file));
        found.copied().map_or_else(not_found, Ok)
    }

    fn names(&mut self, directory: &str) -> io::Result<&mut Names> {
        self.directories.get_mut(directory).map_or_else(not_found, Ok)
    }

    fn file(&mut self, number: usize) -> &mut Inode {
        Arc::make_mut(&mut self.files[number])
    }
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing happens.
    Before,
    /// It happens nevertheless.
    After,
    /// A part of it happens.
    Half,
    /// Of a sync: what was written is not made durable by any later one either.
    Dropped,
}

/// An operation that fails.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    /// Which one, counted from 1.
    pub(crate) at: u64,
    pub(crate) kind: Kind,
    pub(crate) error: ErrorKind,
    /// Everything after it fails too.
    pub(crate) forever: bool,
    /// One more that fails in the same way, so many operations later.
    pub(crate) and_after: Option<u64>,
}

impl Fault {
    fn hits(&self, step: u64) -> bool {
        step == self.at || self.and_after.is_some_and(|after| step == self.at + after)
    }
}

/// What was on the disk before an operation that changed something.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    pub(crate) step: u64,
    /// What the test had noted, see [`SimulatedDisk::settle`].
    pub(crate) noted: usize,
    pub(crate) image: Image,
    pub(crate) op: String,
}

#[derive(Debug, Default)]
struct Machine {
    image: Image,
    steps: u64,
    fault: Option<Fault>,
    fired: Option<String>,
    dead: bool,
    locks: HashMap<usize, u64>,
    handles: u64,
    recording: bool,
    moments: Vec<Moment>,
    noted: usize,
    /// A commit is under way, and its answer is to be noted before the disk goes on.
    outstanding: Option<String>,
    written: bool,
    gated: bool,
    /// Operations are not counted, and do not fail.
    aside: bool,
}

#[derive(Debug, Default)]
struct Inner {
    machine: Mutex<Machine>,
    changed: Condvar,
}

/// A disk in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimulatedDisk(Arc<Inner>);

impl SimulatedDisk {
    pub(crate) fn new(image: Image) -> Self {
        let disk = Self::default();
        disk.machine().image = image;
        disk
    }

    /// Changes a byte of a file where it is.
    pub(crate) fn flip(&self, name: &str, offset: usize) {
        let mut machine = self.machine();
        let Ok(Entry::File(file)) = machine.image.find(name) else { panic!("{name} is no file") };
        machine.image.file(file).now[offset] ^= 0x10;
    }

    /// Keeps what was there before each operation.
    pub(crate) fn record(self) -> Self {
        self.machine().recording = true;
        self
    }

    pub(crate) fn with_fault(self, fault: Option<Fault>) -> Self {
        self.machine().fault = fault;
        self
    }

    /// Counts from here on, up to this fault.
    pub(crate) fn with_fault_in(self, fault: Option<Fault>) -> Self {
        self.machine().steps = 0;
        self.with_fault(fault)
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is on it now, as a killed process leaves it: the system still has what is not durable.
    pub(crate) fn image(&self) -> Image {
        self.machine().image.clone()
    }

    pub(crate) fn steps(&self) -> u64 {
        self.machine().steps
    }

    /// The operation that failed, if it came to that.
    pub(crate) fn fired(&self) -> Option<String> {
        self.machine().fired.clone()
    }

    /// What was there before each operation, and at the end.
    pub(crate) fn moments(&self) -> Vec<Moment> {
        let machine = self.machine();
        let mut moments = machine.moments.clone();
        let (step, noted) = (machine.steps + 1, machine.noted);
        moments.push(Moment { step, noted, image: machine.image.clone(), op: "the end".into() });
        moments
    }

    /// A commit is handed over: once it was written and the lock is given back, the disk waits for
    /// [`settle`](Self::settle), so that what is noted is what was answered.
    pub(crate) fn hand_over(&self, commit: &Commit) {
        self.machine().outstanding = Some(commit.id().to_string());
    }

    /// The commit was answered. `noted` is what moments remember from now on.
    pub(crate) fn settle(&self, noted: usize) {
        let mut machine = self.machine();
        machine.noted = noted;
        machine.outstanding = None;
        (machine.written, machine.gated) = (false, false);
        self.0.changed.notify_all();
    }

    /// What `look` does is not counted and does not fail, unless everything does.
    pub(crate) fn aside<T>(&self, look: impl FnOnce() -> T) -> T {
        self.machine().aside = true;
        let looked = look();
        self.machine().aside = false;
        looked
    }

    fn op<T>(
        &self,
        changes: bool,
        what: impl FnOnce() -> String,
        part: impl FnOnce(&mut Machine, Kind),
        act: impl FnOnce(&mut Machine) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut machine = self.machine();
        while machine.gated {
            let waited = self.0.changed.wait_timeout(machine, Duration::from_secs(10));
            let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            assert!(!timeout.timed_out(), "nobody took the answer to a commit");
            machine = woken;
        }
        if machine.aside && !machine.dead {
            return act(&mut machine);
        }
        machine.steps += 1;
        if machine.dead {
            return Err(machine.fault.map_or(ErrorKind::Other, |fault| fault.error).into());
        }
        let what = what();
        if changes && machine.recording {
            let (step, noted) = (machine.steps, machine.noted);
            let image = machine.image.clone();
            machine.moments.push(Moment { step, noted, image, op: what.clone() });
        }
        match machine.fault.filter(|fault| fault.hits(machine.steps)) {
            None => act(&mut machine),
            Some(fault) => {
                machine.fired = Some(what);
                machine.dead = fault.forever;
                let done = match fault.kind {
                    Kind::Before => None,
                    Kind::After => Some(act(&mut machine)),
                    kind @ (Kind::Half | Kind::Dropped) => {
                        part(&mut machine, kind);
                        None
                    }
                };
                // A file that is closed asks for the machine.
                drop(machine);
                done.transpose()?;
                Err(fault.error.into())
            }
        }
    }

    fn handle(&self, machine: &mut Machine, file: usize, name: &str) -> Arc<dyn DiskFile> {
        machine.handles += 1;
        let (disk, name) = (self.clone(), name.to_owned());
        Arc::new(SimulatedFile { disk, file, name, handle: machine.handles })
    }
}

impl Disk for SimulatedDisk {
    fn make_root(&self) -> io::Result<()> {
        self.op(
            true,
            || "make_root".into(),
            |_, _| (),
            |machine| {
                machine.image.directories.entry(String::new()).or_default();
                Ok(())
            },
        )
    }

    fn make_directory(&self, name: &str) -> io::Result<()> {
        self.op(
            true,
            || format!("make_directory {name}"),
            |_, _| (),
            |machine| {
                let root = machine.image.names("")?;
                if !root.now.contains_key(name) {
                    root.apply(NameOp::Put(name.to_owned(), Entry::Directory));
                    machine.image.directories.insert(name.to_owned(), Names::default());
                }
                Ok(())
            },
        )
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        self.op(
            false,
            || format!("list {directory}"),
            |_, _| (),
            |machine| Ok(machine.image.names(directory)?.now.keys().cloned().collect()),
        )
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.op(
            false,
            || format!("open {name}"),
            |_, _| (),
            |machine| match machine.image.find(name)? {
                Entry::File(file) => Ok(self.handle(machine, file, name)),
                Entry::Directory => Err(ErrorKind::IsADirectory.into()),
            },
        )
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.op(
            true,
            || format!("create {name}"),
            |_, _| (),
            |machine| {
                let (directory, file) = split(name);
                let number = machine.image.files.len();
                let number = match machine.image.find(name) {
                    Ok(Entry::Directory) => return Err(ErrorKind::IsADirectory.into()),
                    Ok(Entry::File(number)) => {
                        machine.image.file(number).apply(DataOp::Truncate(0));
                        number
                    }
                    Err(_) => {
                        let names = machine.image.names(directory)?;
                        names.apply(NameOp::Put(file.to_owned(), Entry::File(number)));
                        machine.image.files.push(Arc::default());
                        number
                    }
                };
                Ok(self.handle(machine, number, name))
            },
        )
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.op(
            true,
            || format!("rename {from} {to}"),
            |_, _| (),
            |machine| {
                machine.image.find(from)?;
                let ((directory, from), (other, to)) = (split(from), split(to));
                assert_eq!(directory, other, "files are renamed where they are");
                let op = NameOp::Rename(from.to_owned(), to.to_owned());
                machine.image.names(directory)?.apply(op);
                Ok(())
            },
        )
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.op(
            true,
            || format!("remove {name}"),
            |_, _| (),
            |machine| {
                machine.image.find(name)?;
                let (directory, file) = split(name);
                machine.image.names(directory)?.apply(NameOp::Remove(file.to_owned()));
                Ok(())
            },
        )
    }

    fn sync_names(&self, directory: &str) -> io::Result<()> {
        let part = |machine: &mut Machine, _| {
            if let Ok(names) = machine.image.names(directory) {
                let done: Vec<_> = names.pending.drain(..names.pending.len() / 2).collect();
                done.iter().for_each(|op| op.apply(&mut names.durable));
            }
        };
        self.op(
            true,
            || format!("sync_names {directory:?}"),
            part,
            |machine| {
                let names = machine.image.names(directory)?;
                names.durable.clone_from(&names.now);
                names.pending.clear();
                Ok(())
            },
        )
    }

    fn id_of(&self, name: &str) -> io::Result<Option<FileId>> {
        self.op(
            false,
            || format!("id_of {name}"),
            |_, _| (),
            |machine| match machine.image.find(name)? {
                Entry::File(file) => Ok(Self::file_id(file)),
                Entry::Directory => Err(ErrorKind::IsADirectory.into()),
            },
        )
    }
}

impl SimulatedDisk {
    fn file_id(file: usize) -> Option<FileId> {
        Some(FileId { device: 1, number: file as u64 })
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    file: usize,
    /// What it was called when it was opened.
    name: String,
    handle: u64,
}

impl SimulatedFile {
    fn release(&self, machine: &mut Machine) {
        if machine.locks.get(&self.file) == Some(&self.handle) {
            machine.locks.remove(&self.file);
            self.disk.0.changed.notify_all();
        }
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        self.release(&mut self.disk.machine());
    }
}

impl DiskFile for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        self.disk.op(
            false,
            || format!("len {}", self.name),
            |_, _| (),
            |machine| Ok(machine.image.files[self.file].now.len() as u64),
        )
    }

    fn id(&self) -> io::Result<Option<FileId>> {
        self.disk.op(
            false,
            || format!("id {}", self.name),
            |_, _| (),
            |_| Ok(SimulatedDisk::file_id(self.file)),
        )
    }

    fn is_named(&self) -> io::Result<bool> {
        self.disk.op(
            false,
            || format!("is_named {}", self.name),
            |_, _| (),
            |machine| {
                let ours = Entry::File(self.file);
                let mut directories = machine.image.directories.values();
                Ok(directories.any(|names| names.now.values().any(|entry| *entry == ours)))
            },
        )
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.disk.op(
            false,
            || format!("read_at {}", self.name),
            |_, _| (),
            |machine| {
                let bytes = &machine.image.files[self.file].now;
                let from = usize::try_from(offset).unwrap();
                let to = from.checked_add(len).ok_or(ErrorKind::UnexpectedEof)?;
                let found = bytes.get(from..to).ok_or(ErrorKind::UnexpectedEof)?;
                Ok(found.to_vec())
            },
        )
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        {
            let mut machine = self.disk.machine();
            let ours = |id: &String| bytes.windows(id.len()).any(|found| found == id.as_bytes());
            machine.written |= machine.outstanding.as_ref().is_some_and(ours);
        }
        let part = |machine: &mut Machine, _| {
            let written = bytes[..bytes.len() / 2].to_vec();
            machine.image.file(self.file).apply(DataOp::Write(offset, written));
        };
        self.disk.op(
            true,
            || format!("write_at {} {offset}", self.name),
            part,
            |machine| {
                machine.image.file(self.file).apply(DataOp::Write(offset, bytes.to_vec()));
                Ok(())
            },
        )
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).unwrap();
        self.disk.op(
            true,
            || format!("truncate {} {len}", self.name),
            |_, _| (),
            |machine| {
                machine.image.file(self.file).apply(DataOp::Truncate(len));
                Ok(())
            },
        )
    }

    fn sync(&self) -> io::Result<()> {
        let part = |machine: &mut Machine, kind| {
            let file = machine.image.file(self.file);
            if kind == Kind::Dropped {
                return file.drop_written();
            }
            let done: Vec<_> = file.pending.drain(..file.pending.len().div_ceil(2)).collect();
            for op in done {
                op.apply(&mut file.durable, usize::MAX);
            }
        };
        self.disk.op(
            true,
            || format!("sync {}", self.name),
            part,
            |machine| {
                machine.image.file(self.file).sync();
                Ok(())
            },
        )
    }

    fn lock(&self) -> io::Result<()> {
        self.disk.op(false, || format!("lock {}", self.name), |_, _| (), |_| Ok(()))?;
        let mut machine = self.disk.machine();
        while machine.locks.get(&self.file).is_some_and(|holder| *holder != self.handle) {
            let waited = self.disk.0.changed.wait_timeout(machine, Duration::from_secs(30));
            let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            assert!(!timeout.timed_out(), "a lock is never given back");
            machine = woken;
        }
        machine.locks.insert(self.file, self.handle);
        Ok(())
    }

    fn unlock(&self) -> io::Result<()> {
        let unlocked = self.disk.op(
            false,
            || format!("unlock {}", self.name),
            |_, _| (),
            |machine| {
                self.release(machine);
                Ok(())
            },
        );
        let mut machine = self.disk.machine();
        machine.gated = machine.written;
        unlocked
    }
}
