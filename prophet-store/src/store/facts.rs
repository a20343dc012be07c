//! What a store says of itself.

use std::fmt;

use crate::id::{CommitId, DatabaseId, Position, ReplicaId, Version};

/// Which replica of which database a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "a replica is identified by exactly these two")]
pub struct Identity {
    /// The database.
    pub database: DatabaseId,
    /// The replica.
    pub replica: ReplicaId,
}

/// Whether a handle may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Access {
    /// `commit` answers `ReadOnly`.
    ReadOnly,
    /// `commit` commits.
    ReadWrite,
}

/// Who may have the replica open at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Sharing {
    /// One handle at a time; a second is refused as `Locked`.
    Exclusive,
    /// Any number of handles, in any number of processes.
    Processes,
}

/// What an acknowledged commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing beyond the process that holds it.
    Volatile,
    /// The crash of every process that uses it.
    ProcessCrash,
    /// The loss of power: it was on the device before it was acknowledged, and so was whatever leads
    /// to it, such as the directory that names a file.
    PowerLoss,
}

/// What a store can do; each is ordered, more is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a backend must decide on every capability")]
pub struct Capabilities {
    /// Whether this handle may write.
    pub access: Access,
    /// Who may have the replica open at once.
    pub sharing: Sharing,
    /// What an acknowledged commit survives.
    pub durability: Durability,
}

/// What a store says of itself, without any input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a backend must state every fact")]
pub struct Facts {
    /// Which replica of which database it holds.
    pub identity: Identity,
    /// Where it is, in words a person recognises: a path or URL. Errors name it so, too.
    pub place: String,
    /// The version of the store's own format.
    pub format: u64,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// Where a replica is: the state after a commit.
///
/// The id of that commit is part of it, so that a store restored from a backup and written to
/// again never looks as if nothing had happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "the fields of a head are fixed by the contract")]
pub struct Head {
    /// How many commits led here.
    pub version: Version,
    /// The position of the last log entry.
    pub position: Position,
    /// The last commit; all zeros before the first.
    pub commit: CommitId,
}

impl Head {
    /// The head of a replica just created.
    pub const EMPTY: Self = Self {
        version: Version::ZERO,
        position: Position::ZERO,
        commit: CommitId::from_bytes([0; 16]),
    };
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, position, commit } = self;
        write!(f, "version {version} (commit {commit}, position {position})")
    }
}
