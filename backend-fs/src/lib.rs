//! Keeps a replica in a directory of files that people can read.

mod disk;
mod error;
mod index;
mod layout;
mod load;
mod log;
mod options;
mod reads;
mod seal;
mod shared;
mod state;
mod store;
mod tail;
mod verify;
mod view;
mod views;
mod writer;

pub use disk::{Disk, DiskFile};
pub use options::FsOptions;
pub use store::FsStore;
