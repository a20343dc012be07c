//! What sled says, in the words of the store: its errors have no types, and what is damaged may make it
//! panic.

use std::any::Any;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};

use prophet_store::StoreError;

/// Calls sled. A panic in it is damage that it met.
pub(crate) fn call<T>(
    place: &str,
    action: &str,
    call: impl FnOnce() -> sled::Result<T>,
) -> Result<T, StoreError> {
    // What a panic leaves half done is sled's own. A write that ends so is the last one.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(translate(place, action, error)),
        Err(panic) => {
            Err(StoreError::corrupt(place, format!("{action}: sled gave up: {}", said(&*panic))))
        }
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given")
}

fn translate(place: &str, action: &str, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) => match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                StoreError::full(place, Some(error.into()))
            }
            // Where something should be that sled wrote.
            ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::NotFound => {
                StoreError::corrupt(place, format!("{action}: {error}"))
            }
            // sled's own words: no error of the system is of this kind.
            ErrorKind::Other => StoreError::corrupt(place, format!("{action}: {error}")),
            _ => StoreError::io(place, action, error),
        },
        error => StoreError::corrupt(place, format!("{action}: {error}")),
    }
}

/// Whether sled could not open because somebody has its file locked.
pub(crate) fn is_lock(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

/// An error of a file of our own.
pub(crate) fn file<'p>(
    place: &'p str,
    action: &'static str,
) -> impl Fn(std::io::Error) -> StoreError + 'p {
    move |error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            StoreError::full(place, Some(error.into()))
        }
        _ => StoreError::io(place, action, error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use super::*;

    fn said(error: Error) -> StoreError {
        translate("here", "trying", sled::Error::Io(error))
    }

    #[test]
    fn each_error_of_sled_says_what_to_do() {
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            assert!(matches!(said(kind.into()), StoreError::Full { .. }), "{kind}");
        }
        for kind in [ErrorKind::UnexpectedEof, ErrorKind::InvalidData, ErrorKind::NotFound] {
            assert!(matches!(said(kind.into()), StoreError::Corrupt { .. }), "{kind}");
        }
        // sled's own words are damage, those of the system are not.
        assert!(matches!(said(Error::other("odd bytes")), StoreError::Corrupt { .. }));
        let of_system = Error::from_raw_os_error(i32::MAX);
        assert!(matches!(said(of_system), StoreError::Io { .. }));
        assert!(matches!(said(ErrorKind::PermissionDenied.into()), StoreError::Io { .. }));
        let other = translate("here", "trying", sled::Error::Unsupported("it".to_owned()));
        assert!(matches!(other, StoreError::Corrupt { .. }), "{other}");
    }

    #[test]
    fn a_panic_of_sled_is_damage_with_its_words() {
        for text in ["plain", "formatted 7"] {
            let failed = call::<()>("here", "trying", || match text {
                "plain" => panic!("plain"),
                _ => panic!("formatted {}", 7),
            });
            let Err(error @ StoreError::Corrupt { .. }) = failed else { panic!("{failed:?}") };
            assert!(error.to_string().contains(text), "{error}");
        }
        assert_eq!(call("here", "trying", || Ok(7)).unwrap(), 7);
    }

    #[test]
    fn the_lock_of_sled_is_told_from_other_errors() {
        let directory = tempfile::tempdir().unwrap();
        let config = sled::Config::new().path(directory.path());
        let open = config.open().unwrap();
        assert!(is_lock(&config.open().unwrap_err()));
        drop(open);
        assert!(!is_lock(&sled::Error::Io(Error::other("odd bytes"))));
        assert!(!is_lock(&sled::Error::Unsupported("could not acquire lock".to_owned())));
    }

    #[test]
    fn a_full_disk_is_told_from_other_errors_of_files() {
        let said = |kind: ErrorKind| file("here", "writing")(Error::from(kind));
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            assert!(matches!(said(kind), StoreError::Full { .. }), "{kind}");
        }
        assert!(matches!(said(ErrorKind::PermissionDenied), StoreError::Io { .. }));
    }
}
