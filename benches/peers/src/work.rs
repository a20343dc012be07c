//! The work that all of them do.

use std::fmt;

use crate::Result;

/// How many edits share one commit where edits are brought in together.
pub(crate) const BATCH: usize = 1_000;

/// The properties of one record.
#[derive(Debug, Clone)]
pub(crate) struct Bug {
    pub(crate) title: String,
    pub(crate) status: &'static str,
    pub(crate) owner: String,
    pub(crate) severity: i64,
    pub(crate) component: String,
}

impl Bug {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            title: format!("bug number {number} that somebody has found"),
            status: "open",
            owner: format!("person-{:02}@example.org", number % 50),
            severity: number as i64 % 5 + 1,
            component: format!("component {}", number % 20),
        }
    }
}

/// What the one update of each record sets the status to.
pub(crate) fn new_status(number: usize) -> &'static str {
    if number % 4 == 1 { CLOSED } else { "assigned" }
}

/// What is listed: records with this status, and at least this severity.
pub(crate) const CLOSED: &str = "closed";
pub(crate) const SEVERE: i64 = 4;

/// How many of so many records are listed.
pub(crate) fn listed(records: usize) -> usize {
    (0..records)
        .filter(|number| new_status(*number) == CLOSED && *number as i64 % 5 + 1 >= SEVERE)
        .count()
}

/// Ends the run if a peer lists something else than the others.
pub(crate) fn check(what: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: {found} instead of {expected}").into())
}

/// How edits become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Each edit by itself.
    Each,
    /// [`BATCH`] edits together; they stay edits of their own in history.
    Batches,
}

impl Mode {
    /// How many edits go together.
    pub(crate) fn edits(self) -> usize {
        match self {
            Self::Each => 1,
            Self::Batches => BATCH,
        }
    }

    pub(crate) fn parse(word: &str) -> Result<Self> {
        match word {
            "each" => Ok(Self::Each),
            "batches" => Ok(Self::Batches),
            _ => Err(format!("{word:?} is neither each nor batches").into()),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Each => "each",
            Self::Batches => "batches",
        })
    }
}
