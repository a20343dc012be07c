//! The one error of stores, whose kinds say what to do.

use std::error::Error as StdError;

use crate::codec::DecodeError;
use crate::id::CommitId;
use crate::limits::LimitExceeded;
use crate::store::Head;

/// The source of an error, whatever it was.
pub type Source = Box<dyn StdError + Send + Sync>;

/// What to do about a [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Try the same call again, a little later.
    Retry,
    /// Read again, and build the commit anew on the head that the error names.
    Rebase,
    /// Send the very same commit again: it is applied at most once, and the answer says which.
    Reconcile,
    /// Open the replica again.
    Reopen,
    /// Nothing that the program does will help; a person has to look at the message.
    Stop,
}

/// A store could not do what it was asked.
///
/// Any error of [`commit`](crate::ReplicaStore::commit) other than
/// [`OutcomeUnknown`](Self::OutcomeUnknown) means: not applied, and never will be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody else committed first. Nothing was applied.
    #[error(
        "the commit is based on {base}, but the replica is at {head}; read again and commit on that"
    )]
    #[non_exhaustive]
    StaleBase {
        /// What the commit was based on.
        base: Head,
        /// Where the replica is.
        head: Head,
    },
    /// The commit may or may not have been applied.
    #[error("whether commit {commit} reached {place} is unknown; send it again to find out")]
    #[non_exhaustive]
    OutcomeUnknown {
        /// The commit in question.
        commit: CommitId,
        /// The store.
        place: String,
        /// Why nobody knows.
        source: Option<Source>,
    },
    /// Something that passes by itself stands in the way.
    #[error("{place} is busy: {what}; try again")]
    #[non_exhaustive]
    Busy {
        /// The store.
        place: String,
        /// What stands in the way.
        what: String,
    },
    /// The replica is held by another handle or program, which has to let go of it first.
    #[error("{place} is locked: {what}; close the other program and open it again")]
    #[non_exhaustive]
    Locked {
        /// The store.
        place: String,
        /// What is known of who holds it.
        what: String,
    },
    /// There is nothing to open.
    #[error("there is no replica at {place}; create one, or check the name")]
    #[non_exhaustive]
    NotFound {
        /// Where one was looked for.
        place: String,
    },
    /// There is something already where a replica was to be created.
    #[error("{place} exists already; open it, or choose another name")]
    #[non_exhaustive]
    AlreadyExists {
        /// Where one was to be made.
        place: String,
    },
    /// What is there is something else. It was left untouched.
    #[error("{place} is not a Prophet replica: {why}; it was left untouched")]
    #[non_exhaustive]
    NotAReplica {
        /// What was opened.
        place: String,
        /// What shows it.
        why: String,
    },
    /// Written in a newer format. It was left untouched.
    #[error(
        "{place} has format {found}, but this program reads up to {supported}; use a newer one"
    )]
    #[non_exhaustive]
    NewerFormat {
        /// What was opened.
        place: String,
        /// Its format.
        found: u64,
        /// The newest format known here.
        supported: u64,
    },
    /// Stored bytes are damaged.
    #[error(
        "{place} is damaged: {what}; verify says more if it opens; restore it from a peer or a backup"
    )]
    #[non_exhaustive]
    Corrupt {
        /// The store, and the place in it.
        place: String,
        /// What was found.
        what: String,
    },
    /// The store may only be read.
    #[error(
        "{place} may only be read: it was opened so, or published, or its permissions say so; write \
         to the replica itself"
    )]
    #[non_exhaustive]
    ReadOnly {
        /// The store.
        place: String,
    },
    /// There is no room. Nothing was applied.
    #[error("there is no room left for {place}; free some and try again")]
    #[non_exhaustive]
    Full {
        /// The store.
        place: String,
        /// What the system said.
        source: Option<Source>,
    },
    /// Something is larger than the format allows. Nothing was applied.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// The caller broke a rule of the contract. Nothing was applied.
    #[error("a commit is refused: {why}")]
    #[non_exhaustive]
    InvalidCommit {
        /// Which rule, and where.
        why: String,
    },
    /// The system failed to read or write. From a commit it says, as all but
    /// [`OutcomeUnknown`](Self::OutcomeUnknown) do, that nothing was applied and never will be: where a
    /// store cannot be sure of that, a sync that failed above all, the outcome is unknown.
    #[error("{action} failed at {place}: {source}")]
    #[non_exhaustive]
    Io {
        /// The store, or the file.
        place: String,
        /// What was being done.
        action: String,
        /// What the system said.
        source: Source,
    },
    /// The handle was closed, or closed itself after a failure.
    #[error("this handle of {place} is closed; open the replica again")]
    #[non_exhaustive]
    Closed {
        /// The store.
        place: String,
    },
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $variant:ident { $($field:ident: $type:ty),* };)*) => {$(
        $(#[$doc])*
        pub fn $name($($field: $type),*) -> Self {
            Self::$variant { $($field: $field.into()),* }
        }
    )*};
}

impl StoreError {
    constructors! {
        /// [`StaleBase`](Self::StaleBase).
        stale_base => StaleBase { base: Head, head: Head };
        /// [`OutcomeUnknown`](Self::OutcomeUnknown).
        outcome_unknown => OutcomeUnknown { commit: CommitId, place: impl Into<String>, source: Option<Source> };
        /// [`Busy`](Self::Busy).
        busy => Busy { place: impl Into<String>, what: impl Into<String> };
        /// [`Locked`](Self::Locked).
        locked => Locked { place: impl Into<String>, what: impl Into<String> };
        /// [`NotFound`](Self::NotFound).
        not_found => NotFound { place: impl Into<String> };
        /// [`AlreadyExists`](Self::AlreadyExists).
        already_exists => AlreadyExists { place: impl Into<String> };
        /// [`NotAReplica`](Self::NotAReplica).
        not_a_replica => NotAReplica { place: impl Into<String>, why: impl Into<String> };
        /// [`NewerFormat`](Self::NewerFormat).
        newer_format => NewerFormat { place: impl Into<String>, found: u64, supported: u64 };
        /// [`Corrupt`](Self::Corrupt).
        corrupt => Corrupt { place: impl Into<String>, what: impl Into<String> };
        /// [`ReadOnly`](Self::ReadOnly).
        read_only => ReadOnly { place: impl Into<String> };
        /// [`Full`](Self::Full).
        full => Full { place: impl Into<String>, source: Option<Source> };
        /// [`InvalidCommit`](Self::InvalidCommit).
        invalid_commit => InvalidCommit { why: impl Into<String> };
        /// [`Io`](Self::Io).
        io => Io { place: impl Into<String>, action: impl Into<String>, source: impl Into<Source> };
        /// [`Closed`](Self::Closed).
        closed => Closed { place: impl Into<String> };
    }

    /// The error for stored bytes at `place` that could not be decoded.
    pub fn undecodable(place: impl Into<String>, error: &DecodeError) -> Self {
        match error {
            DecodeError::Newer { found, supported } => {
                Self::newer_format(place, (*found).into(), (*supported).into())
            }
            damaged => Self::corrupt(place, damaged.to_string()),
        }
    }

    /// What to do about it.
    pub const fn action(&self) -> Action {
        match self {
            Self::StaleBase { .. } => Action::Rebase,
            Self::OutcomeUnknown { .. } => Action::Reconcile,
            Self::Busy { .. } => Action::Retry,
            Self::Closed { .. } | Self::Locked { .. } => Action::Reopen,
            Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::NotAReplica { .. }
            | Self::NewerFormat { .. }
            | Self::Corrupt { .. }
            | Self::ReadOnly { .. }
            | Self::Full { .. }
            | Self::Limit(_)
            | Self::InvalidCommit { .. }
            | Self::Io { .. } => Action::Stop,
        }
    }
}
