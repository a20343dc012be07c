//! What can be wrong with a table.

use std::io;

/// A table cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The bytes could not be read.
    #[error("{place}: {source}")]
    #[non_exhaustive]
    Io {
        /// Where the table is.
        place: String,
        /// What went wrong.
        source: io::Error,
    },
    /// The bytes are not those that were once written.
    #[error("{place} is damaged: {what}")]
    #[non_exhaustive]
    Damaged {
        /// Where the table is.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// Written by a newer version of Prophet; to be left untouched.
    #[error(
        "{place} was written in version {found} of the format of tables, but this program reads \
         up to {supported}; use a newer one"
    )]
    #[non_exhaustive]
    Newer {
        /// Where the table is.
        place: String,
        /// The version found.
        found: u16,
        /// The newest version this program reads.
        supported: u16,
    },
}

/// What is wrong with bytes whose place is not known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    Damaged(&'static str),
    Newer(u16),
}

impl Fault {
    pub(crate) fn at(self, place: &str) -> TableError {
        let place = place.to_owned();
        match self {
            Self::Damaged(what) => TableError::Damaged { place, what: what.to_owned() },
            Self::Newer(found) => {
                TableError::Newer { place, found, supported: super::footer::VERSION }
            }
        }
    }
}
