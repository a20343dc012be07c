//! All benches, over the store in one file.

#![allow(clippy::expect_used, reason = "a bench stops at the first surprise")]

#[path = "../tests/harness/mod.rs"]
mod harness;

benches::suite!(file, harness::FileHarness);
