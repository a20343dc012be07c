//! What can go wrong with a replica.

use std::cmp::Ordering;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::changeset::InvalidChangeset;
use crate::id::{DatabaseId, Digest, Position, ReplicaId, Sequence};
use crate::limits::LimitExceeded;
use crate::name::{NameError, RecordKey, RecordType};
use crate::query::InvalidPattern;
use crate::register::RegisterName;
use crate::store::StoreError;
use crate::typed::TypedError;
use crate::vector::Tip;
use crate::visible::UncleanLog;

/// Why a source cannot be read, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreadable {
    /// There is nothing there.
    NotFound,
    /// It may not be read by whoever asks.
    Denied,
    /// It failed for now: later it may work.
    Temporary,
    /// What is there makes no sense.
    Invalid,
}

impl From<std::io::ErrorKind> for Unreadable {
    fn from(kind: std::io::ErrorKind) -> Self {
        use std::io::ErrorKind as K;
        match kind {
            K::NotFound => Self::NotFound,
            K::PermissionDenied => Self::Denied,
            K::InvalidData | K::IsADirectory | K::NotADirectory => Self::Invalid,
            _ => Self::Temporary,
        }
    }
}

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
    #[error("the record {key} is not deleted; {}", if *.contested { "its deletion is contested: vote for it to be alive" } else { "there is nothing to undelete" })]
    #[non_exhaustive]
    NotDeleted {
        /// The record.
        key: RecordKey,
        /// Whether somebody has deleted it, and it is alive until that is decided.
        contested: bool,
    },
    /// A cursor belongs to a query with another order.
    #[error("the cursor comes from a query in another order; take one from this query, or none")]
    CursorOfAnotherOrder,
    /// What was visible at an earlier position is kept, and not what was contested.
    #[error(
        "what was contested at an earlier position is not kept; ask for it in the present, or read the history"
    )]
    ContestedThen,
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
    /// The source has changesets of another database.
    #[error(
        "{place} belongs to database {theirs}, this replica to {ours}; pull from a replica of the \
         same database"
    )]
    #[non_exhaustive]
    OtherDatabase {
        /// The database of this replica.
        ours: DatabaseId,
        /// The database of the source.
        theirs: DatabaseId,
        /// Where the source is.
        place: String,
    },
    /// The source is the replica itself, or a copy of it that nobody has written to since.
    #[error("{place} is this very replica, or an untouched copy of it; pull from another one")]
    #[non_exhaustive]
    PullFromItself {
        /// Where the source is.
        place: String,
    },
    /// The source gave a changeset that cannot be.
    #[error(
        "{place} gave something that is refused, at changeset {changeset}: {why}; {}; pull from \
         another replica", if *.kept { "what came before it is kept" } else { "nothing was integrated" }
    )]
    #[non_exhaustive]
    BadChangeset {
        /// Where the source is.
        place: String,
        /// The changeset.
        changeset: Digest,
        /// What is wrong with it.
        why: String,
        /// Whether what came before it was integrated.
        kept: bool,
    },
    /// The source cannot be read, or not on.
    #[error("{place} cannot be read: {why}")]
    #[non_exhaustive]
    BadSource {
        /// Where the source is.
        place: String,
        /// What is wrong with it, and where.
        why: String,
        /// The same for programs.
        cause: Unreadable,
    },
    /// A bundle cannot be written.
    #[error("the bundle {place} cannot be written: {why}; what there is of it is no bundle")]
    #[non_exhaustive]
    CannotWrite {
        /// Where it was to be.
        place: String,
        /// What the system said.
        why: String,
    },
    /// The source leaves out what it takes for known, and it is not.
    #[error(
        "{place} builds on what this replica lacks: {}; pull from who has it, or get a bundle made \
         for this replica, or one of everything if it was", list(.missing)
    )]
    #[non_exhaustive]
    BasisMissing {
        /// Where the source is.
        place: String,
        /// What is missing.
        missing: Vec<MissingBasis>,
    },
    /// The pull would bring conflicts, and was to fail on them. Nothing was integrated.
    #[error(
        "nothing was integrated, because {place} disagrees about {}; pull without failing on \
         conflicts, and decide", list(&.conflicts.iter().map(|(record, register)| format!("{register} of {record}")).collect::<Vec<_>>())
    )]
    #[non_exhaustive]
    ConflictsFound {
        /// Where the source is.
        place: String,
        /// The registers that would be contested.
        conflicts: Vec<(RecordKey, RegisterName)>,
    },
    /// A conflict is not what it was when it was read.
    #[error("{register} of {record} is {}; look at it again", if *.over { "not contested any more" } else { "contested by other values by now" })]
    #[non_exhaustive]
    ConflictChanged {
        /// The record.
        record: RecordKey,
        /// The register.
        register: RegisterName,
        /// Whether it is over.
        over: bool,
    },
    /// Whether a record exists can only be decided as alive or deleted.
    #[error(
        "the existence of {record} cannot be {choice}; choose true for alive or false for deleted"
    )]
    #[non_exhaustive]
    NotAChoice {
        /// The record.
        record: RecordKey,
        /// What was chosen.
        choice: String,
    },
    /// A clone is made in an empty store.
    #[error(
        "{place} has a log of {position} entries already; pull into it, or clone into a new one"
    )]
    #[non_exhaustive]
    NotEmpty {
        /// Where the store is.
        place: String,
        /// The end of its log.
        position: Position,
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

    pub(crate) fn bad_changeset(place: &str, changeset: Digest, why: String) -> Self {
        Self::BadChangeset { place: place.to_owned(), changeset, why, kept: true }
    }

    /// Whether it is that something is larger than may be.
    pub(crate) fn is_limit(&self) -> bool {
        match self {
            Self::Invalid(InvalidChangeset::Limit(_)) => true,
            Self::Store(error) => matches!(**error, StoreError::Limit(_)),
            _ => false,
        }
    }

    /// The same error, of a pass that integrated nothing.
    pub(crate) fn and_nothing_is_kept(mut self) -> Self {
        if let Self::BadChangeset { kept, .. } = &mut self {
            *kept = false;
        }
        self
    }

    /// [`BadSource`](Self::BadSource), [`Invalid`](Unreadable::Invalid): for those who implement a
    /// [`ChangesetSource`](crate::ChangesetSource) that gives what makes no sense.
    pub fn bad_source(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self::unreadable(place, why, Unreadable::Invalid)
    }

    /// [`BadSource`](Self::BadSource): for those who implement a
    /// [`ChangesetSource`](crate::ChangesetSource) that cannot be read, or not on.
    pub fn unreadable(place: impl Into<String>, why: impl Into<String>, cause: Unreadable) -> Self {
        Self::BadSource { place: place.into(), why: why.into(), cause }
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

/// Changesets of one origin that a source takes for known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingBasis {
    /// The replica that authored them.
    pub origin: ReplicaId,
    /// The last of them that is here, of whichever branch; `None` if none is.
    pub here: Option<Sequence>,
    /// The last one that is needed.
    pub needed: Tip,
}

impl fmt::Display for MissingBasis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, here, needed } = self;
        let first = here.map_or(1, |here| here.get() + 1);
        let last = needed.sequence.get();
        match first.cmp(&last) {
            Ordering::Less => write!(f, "changesets {first} to {last} of replica {origin}")?,
            Ordering::Equal => write!(f, "changeset {last} of replica {origin}")?,
            // It has others: the origin was forked.
            Ordering::Greater => write!(f, "another branch, up to {last}, of replica {origin}")?,
        }
        write!(f, " (the last is {})", needed.digest)
    }
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
