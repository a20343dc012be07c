//! Prophet databases over HTTP.
//!
//! [`HttpSource`] pulls from a published tree on any web server that serves files:
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
//! [`HttpPeer`] pulls from a replica that a server of Prophet serves, and pushes to it; [`HttpStore`]
//! is its store, for an engine here. All of these are behind the feature `client`. They need no runtime
//! of the caller's: requests run on one thread of this crate's own, which begins with the first of them,
//! and any executor can wait for what they bring. `docs/http-sync.md` specifies what they say.
//!
//! With the feature `server`: the HTTP API of a replica, on tokio; see the module `server`.

#[cfg(feature = "client")]
mod answer;
#[cfg(any(feature = "client", feature = "server"))]
mod basis;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod connection;
#[cfg(feature = "client")]
mod options;
#[cfg(feature = "client")]
mod peer;
#[cfg(any(feature = "client", feature = "server"))]
mod pipe;
#[cfg(any(feature = "client", feature = "server"))]
#[cfg_attr(
    not(all(feature = "client", feature = "server")),
    allow(dead_code, reason = "each side has use for a part of it")
)]
mod protocol;
#[cfg(feature = "client")]
mod push;
#[cfg(feature = "client")]
mod runtime;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "client")]
mod source;
#[cfg(feature = "client")]
mod store;

#[cfg(feature = "client")]
pub use client::{HttpFetch, Stats};
#[cfg(feature = "client")]
pub use options::HttpOptions;
#[cfg(feature = "client")]
pub use peer::HttpPeer;
#[cfg(feature = "client")]
pub use push::PushError;
#[cfg(feature = "client")]
pub use source::HttpSource;
#[cfg(feature = "client")]
pub use store::HttpStore;
