//! The suite over the reference store.

conformance::suite!(
    memory,
    conformance::MemoryHarness::new(),
    without = [address, several_processes, read_only, faults, power_loss, damage]
);

conformance::invariants!(invariants, conformance::MemoryHarness::new());
