//! The suite over SQLite.

use harnesses::SqliteHarness;

conformance::suite!(sqlite, SqliteHarness::new(), without = [faults, power_loss]);
conformance::invariants!(invariants, SqliteHarness::new());
