//! What SQLite says, in the terms of the contract.

use std::fmt::Display;

use prophet_store::StoreError;
use prophet_store::codec::DecodeError;
use rusqlite::{Error, ErrorCode};

/// Turns an error of SQLite, met while doing `action` at `place`, into what to do about it.
pub(crate) fn translate(place: &str, action: &str, error: Error) -> StoreError {
    let Some(code) = error.sqlite_error_code() else {
        // Only values of the wrong type, range or number get here: the SQL itself is fixed.
        return StoreError::corrupt(place, format!("{action} met an unexpected value: {error}"));
    };
    match code {
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed => {
            StoreError::busy(place, format!("{action} waited for another program that is writing"))
        }
        ErrorCode::DiskFull => StoreError::full(place, Some(error.into())),
        ErrorCode::ReadOnly => StoreError::read_only(place),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            StoreError::corrupt(place, format!("{action} failed: {error}"))
        }
        // The SQL is fixed, so a table, column or JSON that does not fit it was tampered with.
        ErrorCode::Unknown
        | ErrorCode::SchemaChanged
        | ErrorCode::ConstraintViolation
        | ErrorCode::TypeMismatch => {
            StoreError::corrupt(place, format!("{action} met an unexpected schema: {error}"))
        }
        ErrorCode::TooBig => {
            StoreError::invalid_commit("a row is above the gigabyte that SQLite can hold")
        }
        _ => StoreError::io(place, action, error),
    }
}

/// `translate`, for `map_err`.
pub(crate) fn sql<'a>(place: &'a str, action: &'a str) -> impl Fn(Error) -> StoreError + 'a {
    move |error| translate(place, action, error)
}

/// For an envelope at `what` in `place` that cannot be decoded.
pub(crate) fn decoding<'a>(
    place: &'a str,
    what: impl Display + 'a,
) -> impl Fn(DecodeError) -> StoreError + 'a {
    move |error| StoreError::undecodable(within(place, &what), &error)
}

/// For an operation on the file system.
pub(crate) fn file<'a>(
    place: &'a str,
    action: &'a str,
) -> impl Fn(std::io::Error) -> StoreError + 'a {
    move |error| match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            StoreError::full(place, Some(error.into()))
        }
        _ => StoreError::io(place, action, error),
    }
}

/// Damage at `what` in `place`.
pub(crate) fn damaged(place: &str, what: impl Display, why: impl Display) -> StoreError {
    StoreError::corrupt(within(place, what), why.to_string())
}

fn within(place: &str, what: impl Display) -> String {
    format!("{what} in {place}")
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind};

    use rusqlite::ffi;

    use super::*;

    fn said(code: i32) -> StoreError {
        translate("here", "trying", Error::SqliteFailure(ffi::Error::new(code), None))
    }

    #[test]
    fn each_error_of_sqlite_says_what_to_do() {
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_LOCKED, ffi::SQLITE_PROTOCOL] {
            assert!(matches!(said(code), StoreError::Busy { .. }), "{code}");
        }
        assert!(matches!(said(ffi::SQLITE_FULL), StoreError::Full { .. }));
        assert!(matches!(said(ffi::SQLITE_READONLY), StoreError::ReadOnly { .. }));
        for code in [
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_NOTADB,
            ffi::SQLITE_ERROR,
            ffi::SQLITE_SCHEMA,
            ffi::SQLITE_CONSTRAINT,
            ffi::SQLITE_MISMATCH,
        ] {
            assert!(matches!(said(code), StoreError::Corrupt { .. }), "{code}");
        }
        assert!(matches!(said(ffi::SQLITE_TOOBIG), StoreError::InvalidCommit { .. }));
        for code in [ffi::SQLITE_IOERR, ffi::SQLITE_CANTOPEN, ffi::SQLITE_NOMEM] {
            assert!(matches!(said(code), StoreError::Io { .. }), "{code}");
        }
        let odd = translate("here", "trying", Error::InvalidColumnIndex(3));
        assert!(matches!(odd, StoreError::Corrupt { .. }), "{odd}");
    }

    #[test]
    fn a_full_disk_is_told_from_other_errors_of_files() {
        let said = |kind: ErrorKind| file("here", "writing")(io::Error::from(kind));
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            assert!(matches!(said(kind), StoreError::Full { .. }), "{kind}");
        }
        assert!(matches!(said(ErrorKind::PermissionDenied), StoreError::Io { .. }));
    }

    #[test]
    fn damage_is_said_with_its_place() {
        let text = damaged("a.sqlite", "log entry 7", "bits").to_string();
        assert!(text.contains("log entry 7 in a.sqlite"), "{text}");
    }
}
