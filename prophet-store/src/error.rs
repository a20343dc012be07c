//! What can go wrong with a replica.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::changeset::InvalidChangeset;
use crate::id::{Digest, Position};
use crate::limits::LimitExceeded;
use crate::name::{NameError, RecordKey, RecordType};
use crate::query::InvalidPattern;
use crate::register::RegisterName;
use crate::store::StoreError;
use crate::typed::TypedError;
use crate::visible::UncleanLog;

/// A replica could not do what it was asked. Whatever was asked was not done, unless the store
/// says that the [outcome is unknown](StoreError::OutcomeUnknown).
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed. One failure may be the answer to several edits that shared a commit.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// There is no such record, or it was deleted.
    #[error("there is no record {key}: it was {}", if *.deleted { "deleted; undelete it first, or create it anew" } else { "never created here; check the id, or pull from who has it" })]
    #[non_exhaustive]
    NoSuchRecord {
        /// The record.
        key: RecordKey,
        /// Whether there was one.
        deleted: bool,
    },
    /// There is such a record already.
    #[error("the record {key} exists already; update it, or delete it first")]
    #[non_exhaustive]
    RecordExists {
        /// The record.
        key: RecordKey,
    },
    /// The record is there, so there is nothing to bring back.
    #[error("the record {key} is not deleted; there is nothing to undelete")]
    #[non_exhaustive]
    NotDeleted {
        /// The record.
        key: RecordKey,
    },
    /// A cursor belongs to a query with another order.
    #[error("the cursor comes from a query in another order; take one from this query, or none")]
    CursorOfAnotherOrder,
    /// Only Prophet itself makes records of this type.
    #[error(
        "records of type {record_type:?} belong to Prophet; choose a type that does not begin with '_'"
    )]
    #[non_exhaustive]
    ReservedType {
        /// The type.
        record_type: RecordType,
    },
    /// Records break the rules of their types. All that is wrong is listed.
    #[error("nothing was written, because {}", list(.0))]
    Rejected(Vec<Problem>),
    /// Taking back a changeset would lose what was done later. All that stands in the way is listed.
    #[error("changeset {changeset} cannot be undone, because {}; undo what came later first, or edit instead", list(.obstacles))]
    #[non_exhaustive]
    CannotUndo {
        /// The changeset.
        changeset: Digest,
        /// What stands in the way.
        obstacles: Vec<Obstacle>,
    },
    /// There is no such changeset in the log.
    #[error("there is no changeset {digest} in this replica; check it, or pull from who has it")]
    #[non_exhaustive]
    NoSuchChangeset {
        /// Its digest.
        digest: Digest,
    },
    /// There is no such position in the log.
    #[error(
        "there is no position {position} in this log, which ends at {last}; choose one up to that"
    )]
    #[non_exhaustive]
    NoSuchPosition {
        /// The position asked for.
        position: Position,
        /// The last one there is.
        last: Position,
    },
    /// There is no record with this luid here.
    #[error(
        "no record of this replica has the luid {luid}; luids are local, other replicas have others"
    )]
    #[non_exhaustive]
    NoSuchLuid {
        /// The luid.
        luid: u64,
    },
    /// What was written breaks a rule or a limit of the format.
    #[error(transparent)]
    Invalid(#[from] InvalidChangeset),
    /// A name is not acceptable.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A regular expression is not usable.
    #[error(transparent)]
    Pattern(#[from] InvalidPattern),
    /// A Rust value is not a record, or a value not that Rust type.
    #[error(transparent)]
    Typed(#[from] TypedError),
    /// A record is not what it was to be read as.
    #[error("record {key} does not fit: {misfit}")]
    #[non_exhaustive]
    Misfit {
        /// The record.
        key: RecordKey,
        /// What does not fit, and where in the record.
        misfit: TypedError,
    },
    /// The log does not fit the records: the store is damaged, or somebody else wrote to it.
    #[error("{0}; run verify and audit, and restore the replica from a peer or a backup")]
    UncleanLog(#[from] Box<UncleanLog>),
    /// Prophet's own metadata is not what it wrote.
    #[error("the metadata key {key} is damaged: {why}; run verify")]
    #[non_exhaustive]
    Metadata {
        /// The key.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// An [`Edit`](crate::Edit) was used after the closure it was handed to had returned.
    #[error("this edit is over; use it only within the closure that it was handed to")]
    EditOver,
    /// The operating system has no random numbers.
    #[error("no random numbers are to be had: {0}")]
    Random(Arc<std::io::Error>),
    /// The app itself gave up an edit.
    #[error(transparent)]
    App(Arc<dyn StdError + Send + Sync>),
}

impl Error {
    /// The app's own reason to give up an edit: returned from the closure, it undoes all that
    /// the closure did.
    pub fn app(reason: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::App(Arc::from(reason.into()))
    }

    /// Not a conversion: an I/O error of the app's own is not about random numbers.
    pub(crate) fn random(error: std::io::Error) -> Self {
        Self::Random(Arc::new(error))
    }

    /// The store's error, if it was the store that failed.
    pub fn as_store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<LimitExceeded> for Error {
    fn from(error: LimitExceeded) -> Self {
        Self::Invalid(error.into())
    }
}

fn list(items: &[impl fmt::Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// One thing wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{record}: {message}", .property.as_ref().map(|name| format!("property {name:?} of ")).unwrap_or_default())]
#[non_exhaustive]
pub struct Problem {
    /// The record.
    pub record: RecordKey,
    /// The property, if it is about one.
    pub property: Option<crate::name::PropertyName>,
    /// What the rule says.
    pub message: String,
}

/// One later edit that undoing a changeset would lose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{register} of {record} {why}")]
#[non_exhaustive]
pub struct Obstacle {
    /// The record.
    pub record: RecordKey,
    /// The register that was written since.
    pub register: RegisterName,
    /// What happened to it.
    pub why: &'static str,
}
