//! The suite over buckets in memory: with all in the tail, with a checkpoint after every commit, so that
//! everything is read from tables and segments, and with one that fails in every way that S3 may, and
//! whose listings are behind. And over the protocol of S3, by a client and connections on the loopback
//! address, where other processes have the same bucket open.

use harnesses::{S3Harness, WireHarness};

conformance::suite!(tail, S3Harness::checkpoint_every(0), without = [address, several_processes]);
conformance::suite!(
    derived,
    S3Harness::checkpoint_every(1).on_caller(),
    without = [address, several_processes]
);
conformance::suite!(
    threads,
    S3Harness::checkpoint_every(2),
    without = [address, several_processes]
);
conformance::suite!(rough, S3Harness::rough(), without = [address, several_processes]);
conformance::suite!(
    wire,
    WireHarness::checkpoint_every(64),
    without = [faults, power_loss, damage]
);
conformance::suite!(
    wire_derived,
    WireHarness::checkpoint_every(2),
    without = [faults, power_loss, damage]
);
conformance::invariants!(invariants, S3Harness::checkpoint_every(3).on_caller());
