//! What the system says, as errors of the store.

use std::io::{self, ErrorKind};

use prophet_files::line::BadLine;
use prophet_store::StoreError;
use prophet_tables::TableError;

use crate::layout::FORMAT;

/// Turns what the system says, while doing `action`, into an error of the store.
pub(crate) fn io(place: &str, action: &str) -> impl Fn(io::Error) -> StoreError {
    move |error| from_io(place, action, error)
}

pub(crate) fn from_io(place: &str, action: &str, error: io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            StoreError::full(place, Some(error.into()))
        }
        ErrorKind::ReadOnlyFilesystem => StoreError::read_only(place),
        ErrorKind::UnexpectedEof => {
            StoreError::corrupt(place, format!("{action}: a file is shorter than it should be"))
        }
        _ => StoreError::io(place, action, error),
    }
}

/// A bad line in a file.
pub(crate) fn bad_line(place: &str, file: &str, offset: u64, error: BadLine) -> StoreError {
    match error {
        BadLine::Newer { found, .. } => StoreError::newer_format(place, found, FORMAT),
        damaged => {
            StoreError::corrupt(format!("{place}/{file}, byte {offset}"), damaged.to_string())
        }
    }
}

/// A table that cannot be read.
pub(crate) fn table(place: &str) -> impl Fn(TableError) -> StoreError {
    move |error| match error {
        TableError::Io { source, .. } if source.kind() != ErrorKind::UnexpectedEof => {
            StoreError::io(place, "reading an index", source)
        }
        other => StoreError::corrupt(
            place,
            format!(
                "{other}; indexes are derived: remove the directory `index` to have them made anew"
            ),
        ),
    }
}
