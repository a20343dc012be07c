//! Errors of a store, as they come over.

use prophet_store::{CommitId, Head, StoreError};
use serde::{Deserialize, Serialize};

use super::HeadFields;

/// An error of a store. The place is not sent: at the other end it is another one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum StoreFailure {
    StaleBase { base: HeadFields, head: HeadFields },
    OutcomeUnknown { commit: CommitId, why: String },
    Busy { what: String },
    Locked { what: String },
    NotFound,
    AlreadyExists,
    NotAReplica { why: String },
    NewerFormat { found: u64, supported: u64 },
    Corrupt { what: String },
    ReadOnly,
    Full { why: String },
    InvalidCommit { why: String },
    Io { action: String, why: String },
    Closed,
}

impl StoreFailure {
    pub(crate) fn of(error: &StoreError) -> Self {
        let why = |source: &Option<prophet_store::Source>| {
            source.as_ref().map_or_else(String::new, ToString::to_string)
        };
        match error {
            StoreError::StaleBase { base, head, .. } => {
                Self::StaleBase { base: (*base).into(), head: (*head).into() }
            }
            StoreError::OutcomeUnknown { commit, source, .. } => {
                Self::OutcomeUnknown { commit: *commit, why: why(source) }
            }
            StoreError::Busy { what, .. } => Self::Busy { what: what.clone() },
            StoreError::Locked { what, .. } => Self::Locked { what: what.clone() },
            StoreError::NotFound { .. } => Self::NotFound,
            StoreError::AlreadyExists { .. } => Self::AlreadyExists,
            StoreError::NotAReplica { why, .. } => Self::NotAReplica { why: why.clone() },
            StoreError::NewerFormat { found, supported, .. } => {
                Self::NewerFormat { found: *found, supported: *supported }
            }
            StoreError::Corrupt { place, what, .. } => {
                Self::Corrupt { what: format!("{what} (in {place})") }
            }
            StoreError::ReadOnly { .. } => Self::ReadOnly,
            StoreError::Full { source, .. } => Self::Full { why: why(source) },
            StoreError::InvalidCommit { why, .. } => Self::InvalidCommit { why: why.clone() },
            StoreError::Limit(exceeded) => Self::InvalidCommit { why: exceeded.to_string() },
            StoreError::Io { place, action, source, .. } => {
                Self::Io { action: format!("{action} (at {place})"), why: source.to_string() }
            }
            StoreError::Closed { .. } => Self::Closed,
            other => Self::Io { action: "an operation".to_owned(), why: other.to_string() },
        }
    }

    /// The error of a handle whose store is at this place.
    pub(crate) fn at(self, place: &str) -> StoreError {
        match self {
            Self::StaleBase { base, head } => {
                StoreError::stale_base(Head::from(base), Head::from(head))
            }
            Self::OutcomeUnknown { commit, why } => {
                StoreError::outcome_unknown(commit, place, said(why))
            }
            Self::Busy { what } => StoreError::busy(place, what),
            Self::Locked { what } => StoreError::locked(place, what),
            Self::NotFound => StoreError::not_found(place),
            Self::AlreadyExists => StoreError::already_exists(place),
            Self::NotAReplica { why } => StoreError::not_a_replica(place, why),
            Self::NewerFormat { found, supported } => {
                StoreError::newer_format(place, found, supported)
            }
            Self::Corrupt { what } => StoreError::corrupt(place, what),
            Self::ReadOnly => StoreError::read_only(place),
            Self::Full { why } => StoreError::full(place, said(why)),
            Self::InvalidCommit { why } => StoreError::invalid_commit(why),
            Self::Io { action, why } => StoreError::io(place, action, why),
            Self::Closed => StoreError::closed(place),
        }
    }

    /// Whether it passes by itself.
    pub(crate) const fn passes(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Locked { .. } | Self::Closed)
    }

    /// The status that a server answers it with.
    #[cfg(feature = "server")]
    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::StaleBase { .. } | Self::AlreadyExists => 409,
            Self::InvalidCommit { .. } => 422,
            Self::ReadOnly => 403,
            Self::NotFound => 404,
            Self::Locked { .. } => 423,
            Self::Full { .. } => 507,
            Self::Busy { .. } | Self::OutcomeUnknown { .. } | Self::Closed => 503,
            Self::NotAReplica { .. }
            | Self::NewerFormat { .. }
            | Self::Corrupt { .. }
            | Self::Io { .. } => 500,
        }
    }
}

fn said(why: String) -> Option<prophet_store::Source> {
    (!why.is_empty()).then(|| why.into())
}
