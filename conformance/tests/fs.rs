//! The suite over directories of files.
//!
//! Once as they are, and once with segments so short that nearly every commit begins another one,
//! so that everything is read from sealed segments and tables.

use harnesses::FsHarness;

conformance::suite!(fs, FsHarness::new(), without = []);
conformance::suite!(fs_sealed_at_once, FsHarness::sealed_at_once(), without = []);
conformance::invariants!(invariants, FsHarness::new());
