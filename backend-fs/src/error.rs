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

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;
    use prophet_tables::{ReadAt, Table};

    use super::*;

    struct Failing(ErrorKind);

    impl ReadAt for Failing {
        async fn read_at(&self, _: u64, _: usize) -> io::Result<Vec<u8>> {
            Err(self.0.into())
        }
    }

    #[test]
    fn what_the_system_says_is_told_apart() {
        let of = |kind: ErrorKind| from_io("here", "writing", kind.into());
        assert!(matches!(of(ErrorKind::StorageFull), StoreError::Full { .. }));
        assert!(matches!(of(ErrorKind::QuotaExceeded), StoreError::Full { .. }));
        assert!(matches!(of(ErrorKind::ReadOnlyFilesystem), StoreError::ReadOnly { .. }));
        assert!(matches!(of(ErrorKind::UnexpectedEof), StoreError::Corrupt { .. }));
        assert!(matches!(of(ErrorKind::PermissionDenied), StoreError::Io { .. }));
        let index = |kind| {
            let opened = block_on(Table::open(Failing(kind), 1_000, "index/1".to_owned()));
            table("here")(opened.map(drop).unwrap_err())
        };
        // What is cut off is damaged; a disk that does not answer is not.
        assert!(matches!(index(ErrorKind::UnexpectedEof), StoreError::Corrupt { .. }));
        assert!(matches!(index(ErrorKind::TimedOut), StoreError::Io { .. }));
    }
}
