//! What a backend gives to be checked and measured.

use std::sync::Arc;

use prophet_store::{Identity, ReplicaStore, Sharing, StoreError};

/// An open handle, as the checks use it.
pub type Store = Arc<dyn ReplicaStore>;

/// Gives each check a place of its own to keep a replica in.
///
/// Checks run in parallel, each with its own harness and place.
pub trait Harness: Send + Sync {
    /// A fresh place with nothing in it: where a replica is a file or a directory, a path at which
    /// there is none yet. Dropping it removes what was made there.
    fn place(&self) -> Box<dyn Place>;

    /// Opens the place that [`Place::address`] named in another process. Without
    /// [`Power::Address`] this is never called.
    ///
    /// # Errors
    /// Those of opening.
    fn open_address(&self, address: &str) -> Result<Store, StoreError>;

    /// A fresh place whose input and output can be made to fail; `None` without [`Power::Faults`].
    fn faulty_place(&self) -> Option<Box<dyn FaultyPlace>> {
        None
    }

    /// A fresh place whose stored bytes can be changed; `None` without [`Power::Damage`].
    fn damaged_place(&self) -> Option<Box<dyn DamagedPlace>> {
        None
    }

    /// The most memory, in bytes, that this process has had in use so far; `None` without
    /// [`Power::PeakMemory`]. Linux says it; elsewhere the harness has to know.
    fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kilobytes: u64 = peak.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kilobytes << 10)
    }
}

/// A place for one replica. Whoever asks drops every handle before the place.
///
/// It is asked to create where something is, and to open where nothing is or what is open already:
/// what comes of that is the store's to say, so the place calls the store each time and keeps no
/// handle.
///
/// A backend whose `create` and `open` are async blocks on them here.
pub trait Place: Send + Sync {
    /// Creates the replica.
    ///
    /// # Errors
    /// What the store answers, as it is: the checks look at it.
    fn create(&self, identity: Identity) -> Result<Store, StoreError>;

    /// Opens the replica for reading and writing.
    ///
    /// # Errors
    /// What the store answers, as it is: the checks look at it.
    fn open(&self) -> Result<Store, StoreError>;

    /// Opens the replica for reading only; `None` without [`Power::ReadOnly`], whatever is there.
    fn open_read_only(&self) -> Option<Result<Store, StoreError>>;

    /// A text by which [`Harness::open_address`] opens this place in another process; `None`
    /// without [`Power::Address`].
    fn address(&self) -> Option<String>;
}

/// A place with a seam in the input and output of its stores, at which they are made to fail.
///
/// A *step* is one thing that a store asks of what is underneath: a write, a sync, a renaming, a
/// request. Steps are counted from when the place was made, across handles; what only reads may be
/// counted or not.
pub trait FaultyPlace: Place {
    /// How many steps there were so far.
    fn steps(&self) -> u64;

    /// What is to fail from now on; `None` for nothing. It replaces what was said before.
    fn fail(&self, fault: Option<Fault>);

    /// The step that failed, in words for people; `None` if none has since [`fail`](Self::fail).
    fn struck(&self) -> Option<String>;

    /// The place as it is found if every process that has it open dies now: a copy, which has no
    /// faults. It says nothing of what was synced: that is [`after_power_loss`](Self::after_power_loss).
    fn after_crash(&self) -> Box<dyn FaultyPlace>;

    /// The place as it is found if the power goes now: a copy, which has no faults. What was synced
    /// is there, and of the rest whatever `unsynced` says. `None` without [`Power::PowerLoss`].
    fn after_power_loss(&self, unsynced: Unsynced) -> Option<Box<dyn FaultyPlace>>;
}

/// One step that fails, or all from one on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "every harness has to do all of it")]
pub struct Fault {
    /// So many steps go well before it, from when it was said.
    pub after: u64,
    /// How the step fails.
    pub way: FaultWay,
    /// Whether all later steps fail as well, reads included, before they do anything.
    pub lasting: bool,
}

/// How a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "every harness has to do all of it")]
pub enum FaultWay {
    /// Nothing is done, and an error comes.
    Undone,
    /// A part of it is done, where it has parts, and an error comes. A sync that fails so gives up
    /// what was written: no later one has it.
    Half,
    /// It is done, and an error comes all the same.
    Done,
}

/// What of all that was not synced is still there when the power is back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "every harness has to do all of it")]
pub enum Unsynced {
    /// Nothing.
    Lost,
    /// All of it.
    Kept,
    /// Parts, in any order, as this seed has it: the same each time.
    Some(u64),
}

/// A place whose stored bytes can be read and changed while no handle is open.
pub trait DamagedPlace: Place {
    /// The names of what is stored: files, objects, rows.
    fn parts(&self) -> Vec<String>;

    /// The bytes of one.
    fn read(&self, part: &str) -> Vec<u8>;

    /// Puts other bytes there, or removes it. A name that is new makes a part.
    fn write(&self, part: &str, bytes: Option<&[u8]>);

    /// Changes what is stored as little as can be, into what a later version of this store's format
    /// would be known by.
    fn make_newer(&self);

    /// Puts something there that is stored alike and is not a replica, in a fresh place.
    fn put_foreign(&self);

    /// Whether damage may hide from a read what is stored, so that only verifying tells: a concession
    /// to engines that keep no checksums of their own. What a read does find is right all the same.
    fn hides(&self) -> bool {
        false
    }
}

/// What not every store or harness can do, in the order in which powers build on one another.
///
/// A suite names those that it does without; the check
/// `lifecycle::the_declared_powers_are_the_true_ones` compares that with what the harness gives
/// and the store declares, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Power {
    /// Another process can reach the place. Every store that claims to outlive its process has it.
    Address,
    /// Several handles, of one and of several processes, may be open at once. It goes with
    /// [`Sharing::Processes`](prophet_store::Sharing::Processes) and needs [`Power::Address`].
    SeveralProcesses,
    /// A handle may be opened for reading only.
    ReadOnly,
    /// Input and output can be made to fail, at any step: [`Harness::faulty_place`].
    Faults,
    /// What was not synced can be lost: [`FaultyPlace::after_power_loss`]. It needs
    /// [`Power::Faults`].
    PowerLoss,
    /// What is stored can be damaged: [`Harness::damaged_place`].
    Damage,
    /// The peak of the memory in use is known: [`Harness::peak_memory`].
    PeakMemory,
}

impl Power {
    /// Every power.
    pub const ALL: &[Self] = &[
        Self::Address,
        Self::SeveralProcesses,
        Self::ReadOnly,
        Self::Faults,
        Self::PowerLoss,
        Self::Damage,
        Self::PeakMemory,
    ];

    /// Whether a harness has it, of which this is a place, and whose stores are shared so.
    pub fn is_held(self, harness: &dyn Harness, place: &dyn Place, sharing: Sharing) -> bool {
        match self {
            Self::Address => place.address().is_some(),
            Self::SeveralProcesses => sharing >= Sharing::Processes,
            Self::ReadOnly => place.open_read_only().is_some(),
            Self::Faults => harness.faulty_place().is_some(),
            Self::PowerLoss => harness
                .faulty_place()
                .is_some_and(|faulty| faulty.after_power_loss(Unsynced::Lost).is_some()),
            Self::Damage => harness.damaged_place().is_some(),
            Self::PeakMemory => harness.peak_memory().is_some(),
        }
    }

    /// As `without = [...]` and the list of checks name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::SeveralProcesses => "several_processes",
            Self::ReadOnly => "read_only",
            Self::Faults => "faults",
            Self::PowerLoss => "power_loss",
            Self::Damage => "damage",
            Self::PeakMemory => "peak_memory",
        }
    }
}

/// The powers by the names that the macros use; a name that is none does not compile.
#[doc(hidden)]
#[allow(
    non_upper_case_globals,
    reason = "these are the names that `without = [...]` is written in"
)]
pub mod powers {
    use super::Power;

    pub const address: Power = Power::Address;
    pub const several_processes: Power = Power::SeveralProcesses;
    pub const read_only: Power = Power::ReadOnly;
    pub const faults: Power = Power::Faults;
    pub const power_loss: Power = Power::PowerLoss;
    pub const damage: Power = Power::Damage;
    pub const peak_memory: Power = Power::PeakMemory;
}
