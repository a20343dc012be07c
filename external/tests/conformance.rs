//! The whole contract, over the store in one file.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod harness;

use harness::FileHarness;

conformance::suite!(
    file,
    FileHarness,
    without = [several_processes, read_only, faults, power_loss]
);
conformance::invariants!(invariants, FileHarness);
