//! Replicas as files that people can read.

mod json;
pub mod line;
pub mod manifest;
