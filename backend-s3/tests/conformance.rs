//! The suite over a bucket in memory: once with all in the tail, and once with a checkpoint after
//! every commit, so that everything is read from tables and segments. And over one that fails in every
//! way that S3 may.

use harnesses::S3Harness;

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
conformance::invariants!(invariants, S3Harness::checkpoint_every(3).on_caller());
