//! What an operation costs on a store, beside the floor that the bare engine sets; `benches/README.md`
//! says how to run it and what each number means.
//!
//! # Measuring a backend
//!
//! Whoever has a [`Harness`](harnesses::Harness) for the conformance suite has all benches with one
//! line, in a bench file with `harness = false` in the manifest:
//!
//! ```no_run
//! benches::suite!(memory, harnesses::MemoryHarness::new());
//! ```
//!
//! Each figure is measured in turns with its floors, in one run, so that a noisy machine slows all of
//! them; only ratios within one run mean anything. Unless others are named, the floor is a bare file to
//! which the same bytes are appended and synced. A store over an engine names that engine, for which
//! [`Engine`] is to be implemented: what a commit is to it, ready to be written, and how it is written.
//!
//! ```no_run
//! # #[cfg(feature = "engines")]
//! benches::suite!(
//!     sqlite,
//!     harnesses::SqliteHarness::new(),
//!     floors = [benches::floors::sqlite()],
//!     beside = [benches::floors::redb(), benches::floors::fjall()]
//! );
//! # #[cfg(not(feature = "engines"))]
//! # fn main() {}
//! ```

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a bench measures time and stops at the first surprise"
)]

pub mod content;
mod crash;
pub mod floor;
pub mod floors;
mod operations;
pub mod report;
#[cfg(feature = "http")]
pub mod server;
mod sizes;
mod suite;
mod turns;
mod worlds;

pub use floor::{Engine, Floor};
pub use sizes::Sizes;
pub use suite::run;

/// Makes the `main` of a bench file: every bench over a store.
///
/// - the name, which figures are shown under;
/// - an expression that gives its [`Harness`](harnesses::Harness);
/// - `floors = [...]`: what it stands on, bare; a file, if nothing is named;
/// - `beside = [...]`: what somebody might pick instead, bare, for single writes, bulk and point reads.
#[macro_export]
macro_rules! suite {
    ($name:ident, $harness:expr $(,)?) => {
        $crate::suite!($name, $harness, floors = [$crate::floors::file()]);
    };
    ($name:ident, $harness:expr, floors = [$($floor:expr),* $(,)?] $(,)?) => {
        $crate::suite!($name, $harness, floors = [$($floor),*], beside = []);
    };
    (
        $name:ident, $harness:expr, floors = [$($floor:expr),* $(,)?],
        beside = [$($beside:expr),* $(,)?] $(,)?
    ) => {
        fn main() {
            $crate::run(stringify!($name), &$harness, &[$($floor),*], &[$($beside),*]);
        }
    };
}
