//! A disk in memory that knows what of it is durable, and can fail at any operation, for tests:
//! those of this crate, and those of whoever has a replica on a [`Disk`](crate::Disk).
//!
//! ```
//! use std::sync::Arc;
//!
//! use backend_fs::FsOptions;
//! use backend_fs::simulated::{Loss, SimulatedDisk};
//! use futures_lite::future::block_on;
//! use prophet_store::{Commit, CommitId, Head, Identity, ReplicaStore as _};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let disk = SimulatedDisk::default();
//! let (options, identity) = (FsOptions::new(), Identity::new_database()?);
//! let store = options.create_on(Arc::new(disk.clone()), "a disk".to_owned(), identity)?;
//! let head = block_on(store.commit(&Commit::new(CommitId::from_bytes([7; 16]), Head::EMPTY)))?;
//!
//! // The power goes, and all goes that is not durable.
//! let disk = SimulatedDisk::new(disk.image().after_power_loss(Loss::Least));
//! let store = options.open_on(Arc::new(disk), "a disk".to_owned())?;
//! assert_eq!(block_on(store.head())?, head);
//! # Ok(())
//! # }
//! ```
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "this is test support: where it is used wrongly, a panic is the report"
)]

mod disk;
mod fault;
mod file;
mod image;
mod inode;
mod machine;
mod random;

pub use fault::{Fault, Kind};
pub use image::{Image, Loss};
pub use machine::{Moment, SimulatedDisk};
