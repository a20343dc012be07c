//! The contract of a replica store in executable form: one suite for every backend.
//!
//! The rules are numbered in `docs/contract.md`, which is what to read before writing a store;
//! `docs/writing-a-backend.md` leads through it, by the example of `external`, a crate outside the
//! workspace. Each check names the rules that it checks, and a failure says which one was broken,
//! what was expected and what came.
//!
//! # Checking a backend
//!
//! Write a [`Harness`], which gives each check a fresh place, and in a test file one line:
//!
//! ```
//! conformance::suite!(
//!     memory,
//!     conformance::MemoryHarness::new(),
//!     without = [address, several_processes, read_only, faults, power_loss, damage]
//! );
//! ```
//!
//! That makes a test of each check, named like `memory::commit::stale_base_is_refused`, so that
//! `cargo test`, editors and CI treat them as any others. [`MemoryHarness`] is the example of a
//! harness: it is some forty lines. `external/tests/conformance.rs` has one for a store in files.
//!
//! [`invariants!`] does the same for the engine over the store: the invariants of a replica, each
//! as a property test over random histories.
//!
//! One check is run again by its name, which is the path of its test; where to look is the last line
//! of the failure:
//!
//! ```text
//! cargo test --test conformance memory::commit::stale_base_is_refused -- --exact
//! ```
//!
//! # Powers
//!
//! Not every store can do everything, and not every harness can do everything to a store. What is
//! missing is said in `without = [...]`:
//!
//! - `address`: another process can reach the place. A store that claims to outlive its process
//!   has to have it.
//! - `several_processes`: several handles may be open at once, as
//!   [`Sharing::Processes`](prophet_store::Sharing::Processes) declares. A store without it is
//!   checked to refuse the second.
//! - `read_only`: a handle may be opened for reading only.
//! - `faults`: input and output can be made to fail, at any step.
//! - `power_loss`: what was not synced can be lost. It needs `faults`.
//! - `damage`: what is stored can be changed behind the store's back.
//! - `peak_memory`: how much memory the process used is known. On Linux it is, without any doing.
//!
//! Checks that need a missing power are shown as ignored, with the reason. The declaration itself
//! is checked against the store's declared capabilities, in both directions: a store that can do
//! more than its suite says fails as much as one that can do less.
//!
//! # Who checks the checks
//!
//! Every check is shown to fail, by a rule that it names, over a store that breaks the rule, in
//! `tests/broken`; and to pass over stores that do what the contract leaves to them, in
//! `tests/unusual.rs`.
//!
//! # Random cases
//!
//! Some checks try random sequences of operations, shorten one that fails, and say which seed it
//! came from: `PROPHET_SEED=8123` and the name of the test replay it. The tests that the macros make
//! also keep it in `conformance-regressions` beside the manifest of their crate, or in the directory
//! `PROPHET_SAVED`, and try it first from then on. `PROPHET_CASES` says how many cases there are, 48
//! unless given, and fewer in proportion where each takes long.
//!
//! # Failures, lost power and damage
//!
//! The checks of the groups `faults`, `power_loss` and `damage` try some of all that can go wrong, spread
//! over the whole. `PROPHET_CASES` says how many, up to all. A failure names its case, and
//! `PROPHET_ONLY=step:17:half:once`, with the name of the check, tries that one alone.
//!
//! # Running checks from a program
//!
//! [`run`] gives a [`Report`] of all of them, and [`checks`] is the list, which
//! `cargo run -p conformance -- --list` prints as a table.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is test support: what the checks themselves make is known to be good, and where \
              it is not, a panic is the report"
)]

mod cases;
mod checks;
mod child;
mod disaster;
mod failure;
mod fixtures;
mod invariants;
mod list;
mod oracle;
mod ordeal;
mod report;
mod scan;
mod suite;
mod sync;

pub use failure::{Failure, Outcome};
pub use harnesses::{
    DamagedPlace, Fault, FaultWay, FaultyPlace, Harness, MemoryHarness, Place, Power, Store,
    Unsynced,
};
pub use invariants::{Invariant, check_invariant};
pub use list::checks;
pub use oracle::{Broken, Oracle, Shown, ShownRecord, ShownRegister};
pub use report::{Report, run, serve, table};
pub use suite::{Check, Suite};
pub use sync::{Carrier, check_sync, check_sync_through};

/// What the macros expand to; no part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::cases::Site;
    pub use crate::child::{arguments, child, test};
    pub use crate::invariants::invariant_at;
    pub use crate::sync::sync_at;
    pub use harnesses::powers;
}
