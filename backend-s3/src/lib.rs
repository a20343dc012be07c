//! Keeps a Prophet replica in a bucket.

mod bucket;
#[cfg(feature = "cloud")]
mod cloud;
mod commit;
mod commit_object;
mod derive;
mod error;
mod exclusive;
mod follow;
mod identity;
mod index;
mod layout;
mod log;
mod merge;
mod options;
mod probe;
mod put;
mod root;
mod runtime;
mod shared;
mod state;
mod store;
mod together;
mod verify;
mod view;

pub use options::{S3Options, Writers};
pub use store::S3Store;
