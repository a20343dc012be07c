//! The suite over sled.

use harnesses::SledHarness;

conformance::suite!(
    sled,
    SledHarness::new(),
    without = [several_processes, read_only, faults, power_loss]
);
conformance::invariants!(invariants, SledHarness::new());
