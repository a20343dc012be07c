//! The command as people and scripts use it: the real program, in directories of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod bucket;
mod commands;
mod documents;
mod errors;
mod formats;
mod network;
mod portable;
mod served;
mod startup;
mod support;
mod sync;
#[cfg(unix)]
mod terminal;
mod transcript;
