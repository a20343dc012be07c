//! A bucket to test against what is kept in buckets.
//!
//! A real one is too well-behaved on most days, and cannot be told to be otherwise: listings come
//! sorted, answers arrive, nobody races. This one is as unhelpful as S3 may be, and worse where it is
//! told to: see [`Settings`] for its manners and [`Fault`] for what goes wrong. It all follows from a
//! seed: one that made a test fail makes it fail again, as long as one executor on one thread drives
//! all callers.
//!
//! It has two doors, and the same faults behind both:
//!
//! - [`Bucket::store`] is an [`ObjectStore`](object_store::ObjectStore), whose errors are those that
//!   the crate's own client of S3 makes of the same answers;
//! - with the feature `wire`, `WireServer` speaks the protocol of S3 on the loopback address, for that
//!   client itself, and real connections that break.
//!
//! With the feature `servers`, real servers are started on the loopback address.

mod bucket;
mod clock;
#[cfg(any(feature = "wire", feature = "servers"))]
mod endpoint;
mod fault;
mod requests;
mod rng;
#[cfg(feature = "servers")]
mod servers;
mod state;
mod store;
#[cfg(feature = "wire")]
mod wire;

pub use bucket::{Bucket, Conditions, Event, Order, Outcome, Settings};
pub use clock::Time;
#[cfg(any(feature = "wire", feature = "servers"))]
pub use endpoint::Endpoint;
pub use fault::{Fault, Kind, Landing, Plan, Refusal, Rule};
pub use requests::{Count, Requests};
#[cfg(feature = "servers")]
pub use servers::{Program, RealServer, StartError};
pub use store::{BucketStore, fresh_seed};
#[cfg(feature = "wire")]
pub use wire::WireServer;
