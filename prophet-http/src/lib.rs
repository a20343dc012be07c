//! Prophet over HTTP.
//!
//! With the feature `client`: pulling from trees of files over HTTP and HTTPS, from any web server
//! that serves files.
//!
//! ```no_run
//! # #[cfg(feature = "client")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use prophet_http::HttpSource;
//! use prophet_store::{Identity, MemoryStore, Replica};
//!
//! let source = HttpSource::open("https://example.org/bugs/").await?;
//! let identity = Identity::new_replica(source.manifest().identity.database)?;
//! let replica = Replica::clone_of(MemoryStore::new(identity), &source).await?;
//! # Ok(())
//! # }
//! ```
//!
//! It needs no runtime of the caller's: requests run on one thread of this crate's own, which begins
//! with the first of them, and any executor can wait for what they bring.
//!
//! With the feature `server`: the HTTP API of a replica, on tokio; see the module `server`.

#[cfg(feature = "client")]
mod answer;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod options;
#[cfg(feature = "client")]
mod runtime;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "client")]
mod source;

#[cfg(feature = "client")]
pub use client::{HttpFetch, Stats};
#[cfg(feature = "client")]
pub use options::HttpOptions;
#[cfg(feature = "client")]
pub use source::HttpSource;
