//! The HTTP API, of a real server on loopback.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod access;
mod conditions;
mod conflicts;
mod described;
mod feeds;
mod history;
mod hostile;
mod listings;
mod mounted;
mod random;
mod records;
mod shutdown;
mod support;
mod transfers;
mod tree;
