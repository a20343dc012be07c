//! Where the service does not keep writers apart, this program does at least among its own handles.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// The places that are open for one writer in this process.
static OPEN: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// That a place is open, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held(String);

impl Held {
    /// Takes a place; `None` if it is taken.
    pub(crate) fn take(place: String) -> Option<Self> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.get_or_insert_default().insert(place.clone()).then(|| Self(place))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.get_or_insert_default().remove(&self.0);
    }
}
