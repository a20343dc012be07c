//! The HTTP API, of a real server on loopback.

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
mod tree;
