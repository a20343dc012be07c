//! The disk as tests see it, and what each operation comes to.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prophet_store::Commit;

use super::fault::{Fault, Kind};
use super::file::SimulatedFile;
use super::image::Image;
use super::inode::Entry;
use crate::disk::DiskFile;

/// What was on the disk before an operation that changed something.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Moment {
    /// The number of the operation, counted from 1.
    pub step: u64,
    /// What the test had noted, see [`SimulatedDisk::settle`].
    pub noted: usize,
    /// What was there.
    pub image: Image,
    /// The operation, in words.
    pub op: String,
}

#[derive(Debug, Default)]
pub(super) struct Machine {
    pub(super) image: Image,
    pub(super) capacity: Option<usize>,
    steps: u64,
    fault: Option<Fault>,
    fired: Option<String>,
    dead: bool,
    pub(super) locks: HashMap<usize, u64>,
    handles: u64,
    recording: bool,
    moments: Vec<Moment>,
    noted: usize,
    /// A commit is under way, and its answer is to be noted before the disk goes on.
    pub(super) outstanding: Option<String>,
    pub(super) written: bool,
    pub(super) gated: bool,
    /// Operations are not counted, and do not fail.
    aside: bool,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    machine: Mutex<Machine>,
    pub(super) changed: Condvar,
}

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimulatedDisk(pub(super) Arc<Inner>);

impl SimulatedDisk {
    /// A disk with this on it.
    pub fn new(image: Image) -> Self {
        let disk = Self::default();
        disk.machine().image = image;
        disk
    }

    /// Changes a byte of a file where it is.
    ///
    /// # Panics
    /// If there is no such file or byte.
    pub fn flip(&self, name: &str, offset: usize) {
        let mut machine = self.machine();
        let Ok(Entry::File(file)) = machine.image.find(name) else { panic!("{name} is no file") };
        machine.image.file(file).now[offset] ^= 0x10;
    }

    /// Keeps what was there before each operation.
    #[must_use]
    pub fn record(self) -> Self {
        self.machine().recording = true;
        self
    }

    /// Has room for so many bytes in all files together, from now on; for any number with `None`.
    pub fn hold(&self, capacity: Option<usize>) {
        self.machine().capacity = capacity;
    }

    /// Fails so from now on; operations are counted on.
    #[must_use]
    pub fn with_fault(self, fault: Option<Fault>) -> Self {
        self.machine().fault = fault;
        self
    }

    /// Fails so from now on, and works again as far as this says otherwise.
    pub fn fail(&self, fault: Option<Fault>) {
        let mut machine = self.machine();
        (machine.fault, machine.fired, machine.dead) = (fault, None, false);
    }

    /// Counts from here on, up to this fault.
    #[must_use]
    pub fn with_fault_in(self, fault: Option<Fault>) -> Self {
        self.machine().steps = 0;
        self.with_fault(fault)
    }

    pub(super) fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is on it now, as a killed process leaves it: the system still has what is not durable.
    pub fn image(&self) -> Image {
        self.machine().image.clone()
    }

    /// How many operations there were.
    pub fn steps(&self) -> u64 {
        self.machine().steps
    }

    /// The operation that failed, if it came to that.
    pub fn fired(&self) -> Option<String> {
        self.machine().fired.clone()
    }

    /// What was there before each operation, and at the end.
    pub fn moments(&self) -> Vec<Moment> {
        let machine = self.machine();
        let mut moments = machine.moments.clone();
        let (step, noted) = (machine.steps + 1, machine.noted);
        moments.push(Moment { step, noted, image: machine.image.clone(), op: "the end".into() });
        moments
    }

    /// A commit is handed over: once it was written and the lock is given back, the disk waits for
    /// [`settle`](Self::settle), so that what is noted is what was answered.
    pub fn hand_over(&self, commit: &Commit) {
        self.machine().outstanding = Some(commit.id().to_string());
    }

    /// The commit was answered. `noted` is what moments remember from now on.
    pub fn settle(&self, noted: usize) {
        let mut machine = self.machine();
        machine.noted = noted;
        machine.outstanding = None;
        (machine.written, machine.gated) = (false, false);
        self.0.changed.notify_all();
    }

    /// What `look` does is not counted and does not fail, unless everything does.
    pub fn aside<T>(&self, look: impl FnOnce() -> T) -> T {
        self.machine().aside = true;
        let looked = look();
        self.machine().aside = false;
        looked
    }

    pub(super) fn op<T>(
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

    pub(super) fn handle(
        &self,
        machine: &mut Machine,
        file: usize,
        name: &str,
    ) -> Arc<dyn DiskFile> {
        machine.handles += 1;
        let (disk, name) = (self.clone(), name.to_owned());
        Arc::new(SimulatedFile { disk, file, name, handle: machine.handles })
    }
}
