//! What a backend gives to be checked.

use std::sync::Arc;

use prophet_store::{Identity, ReplicaStore, StoreError};

/// An open handle, as the checks use it.
pub type Store = Arc<dyn ReplicaStore>;

/// Gives each check a place of its own to keep a replica in.
///
/// Checks run in parallel, each with its own harness and place.
pub trait Harness: Send + Sync {
    /// A fresh place with nothing in it. Dropping it removes what was made there.
    fn place(&self) -> Box<dyn Place>;

    /// Opens the place that [`Place::address`] named in another process. Without
    /// [`Power::Address`] this is never called.
    ///
    /// # Errors
    /// Those of opening.
    fn open_address(&self, address: &str) -> Result<Store, StoreError>;
}

/// A place for one replica. Whoever asks drops every handle before the place.
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

    /// Opens the replica for reading only; `None` without [`Power::ReadOnly`].
    fn open_read_only(&self) -> Option<Result<Store, StoreError>>;

    /// A text by which [`Harness::open_address`] opens this place in another process; `None`
    /// without [`Power::Address`].
    fn address(&self) -> Option<String>;
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
}

impl Power {
    /// Every power.
    pub const ALL: &[Self] = &[Self::Address, Self::SeveralProcesses, Self::ReadOnly];

    /// As `without = [...]` and the list of checks name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::SeveralProcesses => "several_processes",
            Self::ReadOnly => "read_only",
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
}
