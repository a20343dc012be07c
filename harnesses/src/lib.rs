//! How a store is given to the conformance suite and to the benches: a [`Harness`] makes places, in each
//! of which a replica can be created and opened.
//!
//! `conformance` has all of this under the same names, and says what is made of it. Here are also the
//! harnesses of the stores of this project, each behind a feature of its name.
//!
//! For tests and benches alone: what goes wrong here panics.
//!
//! ```
//! use harnesses::{Harness, MemoryHarness};
//! use prophet_store::{Identity, ReplicaStore as _};
//!
//! let place = MemoryHarness::new().place();
//! let identity = Identity::new_database().unwrap();
//! assert_eq!(place.create(identity).unwrap().facts().identity, identity);
//! ```

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

#[cfg(feature = "fs")]
mod fs;
mod harness;
mod memory;
#[cfg(any(feature = "sled", feature = "sqlite"))]
mod parts;
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "servers")]
mod servers;
#[cfg(feature = "sled")]
mod sled;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "wire")]
mod wire;

#[cfg(feature = "fs")]
pub use fs::FsHarness;
#[doc(hidden)]
pub use harness::powers;
pub use harness::{
    DamagedPlace, Fault, FaultWay, FaultyPlace, Harness, Place, Power, Store, Unsynced,
};
pub use memory::MemoryHarness;
#[cfg(feature = "s3")]
pub use s3::{Quick, S3Harness, S3Place, on_one_thread};
#[cfg(feature = "servers")]
pub use servers::ServerHarness;
#[cfg(feature = "sled")]
pub use sled::SledHarness;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteHarness;
#[cfg(feature = "wire")]
pub use wire::{WireHarness, reaching};
