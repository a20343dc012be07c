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
            // sled's own words, and not those of the system.
            ErrorKind::Other if error.raw_os_error().is_none() => {
                StoreError::corrupt(place, format!("{action}: {error}"))
            }
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
