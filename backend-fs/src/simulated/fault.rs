//! What can go wrong with an operation.

use std::io::ErrorKind;

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "tests name them all")]
pub enum Kind {
    /// Nothing happens.
    Before,
    /// It happens nevertheless.
    After,
    /// A part of it happens.
    Half,
    /// Of a sync: what was written is not made durable by any later one either.
    Dropped,
}

/// An operation that fails.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "tests make them")]
pub struct Fault {
    /// Which one, counted from 1.
    pub at: u64,
    /// How it fails.
    pub kind: Kind,
    /// What is said of it.
    pub error: ErrorKind,
    /// Everything after it fails too.
    pub forever: bool,
    /// One more that fails in the same way, so many operations later.
    pub and_after: Option<u64>,
}

impl Fault {
    pub(super) fn hits(&self, step: u64) -> bool {
        step == self.at || self.and_after.is_some_and(|after| step == self.at + after)
    }
}
