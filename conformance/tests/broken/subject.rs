//! Broken stores of every make, as the matrix has them.

use conformance::{Harness, Power};

use crate::disk::{Broken, BrokenHarness, POWERS};
use crate::fault::{Fault, Inner};
use crate::files::{FileBug, FileHarness};
use crate::steps::{DiskBug, DiskHarness};
use crate::wrapped::Change;

/// A store that breaks one rule.
pub(crate) struct Subject {
    /// What it does wrong.
    pub(crate) name: String,
    /// The checks that have to notice.
    pub(crate) killers: &'static [&'static str],
    /// How often a killer may try, where threads or processes have to get in each other's way.
    pub(crate) tries: usize,
    /// The powers that it lacks.
    pub(crate) without: Vec<Power>,
    /// What it is when nothing is broken, by name; all of one name are the same then.
    pub(crate) sound: &'static str,
    make: Make,
}

enum Make {
    Wrapped(&'static Fault),
    Steps(DiskBug),
    Files(FileBug),
    Disk(Broken),
}

impl Subject {
    /// Over the stores that are wrapped.
    pub(crate) fn of_fault(fault: &'static Fault) -> Self {
        let sound = match fault.inner.sound() {
            Inner::Memory => "memory",
            inner => inner.name(),
        };
        Self {
            name: fault.name.to_owned(),
            killers: fault.killers,
            tries: fault.tries,
            without: fault.inner.without(),
            sound,
            make: Make::Wrapped(fault),
        }
    }

    /// Over a disk in memory whose steps can be made to fail.
    pub(crate) fn of_steps(bug: DiskBug, killers: &'static [&'static str]) -> Self {
        let without = [
            Power::Address,
            Power::SeveralProcesses,
            Power::ReadOnly,
            Power::PowerLoss,
            Power::Damage,
        ];
        let name = format!("steps: {bug:?}");
        let without = without.to_vec();
        Self { name, killers, tries: 3, without, sound: "steps", make: Make::Steps(bug) }
    }

    /// Over files that other processes reach.
    pub(crate) fn of_files(bug: FileBug, killers: &'static [&'static str]) -> Self {
        let without = vec![Power::ReadOnly, Power::Faults, Power::PowerLoss, Power::Damage];
        let name = format!("files: {bug:?}");
        Self { name, killers, tries: 3, without, sound: "files", make: Make::Files(bug) }
    }

    /// Over a disk in memory that loses what was not synced, and that can be damaged.
    pub(crate) fn of_disk(broken: Broken, killers: &'static [&'static str]) -> Self {
        let without = Power::ALL.iter().filter(|power| !POWERS.contains(power)).copied().collect();
        let name = format!("disk: {broken:?}");
        Self { name, killers, tries: 1, without, sound: "disk", make: Make::Disk(broken) }
    }

    pub(crate) fn broken(&self) -> Box<dyn Harness> {
        match self.make {
            Make::Wrapped(fault) => Box::new(fault.harness()),
            Make::Steps(bug) => Box::new(DiskHarness(bug)),
            Make::Files(bug) => Box::new(FileHarness(bug)),
            Make::Disk(broken) => Box::new(BrokenHarness(broken)),
        }
    }

    /// The same, and nothing is broken.
    pub(crate) fn mended(&self) -> Box<dyn Harness> {
        match self.make {
            Make::Wrapped(fault) => {
                let inner = fault.inner.sound();
                Box::new(inner.harness(inner.name(), Change::NONE))
            }
            Make::Steps(_) => Box::new(DiskHarness(DiskBug::None)),
            Make::Files(_) => Box::new(FileHarness(FileBug::None)),
            Make::Disk(_) => Box::new(BrokenHarness(Broken::Nothing)),
        }
    }
}
