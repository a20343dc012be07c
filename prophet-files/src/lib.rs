//! Replicas as files that people can read, and trees of such files that anybody can pull from.
//!
//! A *tree* is a set of files under relative names: a [`manifest`], and the segments of a log, made
//! of [lines](mod@line). Whatever serves files serves it: a directory, a web server, a bucket.
//! [`publish()`] writes one from any replica, [`PublishedSource`] pulls from one.
//! `docs/format.md` specifies the files.
//!
//! ```
//! use futures_lite::future::block_on;
//! use prophet_files::{DirectoryFetch, DirectoryTree, PublishOptions, PublishedSource, publish};
//! use prophet_store::{Identity, MemoryStore, Properties, Replica};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path();
//! block_on(async {
//!     let identity = Identity::new_database()?;
//!     let ada = Replica::open(MemoryStore::new(identity)).await?;
//!     let bug = ada.create("bug", Properties::try_from([("title", "It fails")])?).await?;
//!     publish(&ada, &DirectoryTree::new(path), PublishOptions::new()).await?;
//!
//!     let source = PublishedSource::open(DirectoryFetch::new(path)).await?;
//!     let other = Identity::new_replica(source.manifest().identity.database)?;
//!     let bob = Replica::clone_of(MemoryStore::new(other), &source).await?;
//!     assert!(bob.get(&bug).await?.is_some());
//!     Ok(())
//! })
//! # }
//! ```

mod ahead;
pub mod fetch;
pub mod frame;
mod json;
pub mod line;
pub mod manifest;
#[cfg(feature = "object_store")]
mod object;
mod publish;
pub mod segment;
#[cfg(feature = "site")]
mod site;
mod source;
pub mod tree;
mod walk;

pub use fetch::{DirectoryFetch, Fetch, FetchError, Request, Response};
pub use json::exact_json;
#[cfg(feature = "object_store")]
pub use object::ObjectTree;
pub use publish::{PublishError, PublishOptions, PublishReport, publish};
#[cfg(feature = "site")]
pub use site::{check_site, has_site, publish_site};
pub use source::PublishedSource;
pub use tree::{DirectoryTree, Tree};
