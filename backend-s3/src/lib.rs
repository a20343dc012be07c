//! Keeps a Prophet replica in a bucket: S3, or any service that speaks like it.
//!
//! Any number of programs on any number of machines may write to it at once, without a server of their
//! own. The bucket, if others may read it, is a published replica too, which they pull from over HTTPS.
//!
//! ```
//! use std::sync::Arc;
//!
//! use backend_s3::S3Options;
//! use futures_lite::future::block_on;
//! use object_store::memory::InMemory;
//! use prophet_store::{Identity, Properties, Replica};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! block_on(async {
//!     // An app says `S3Store::create("s3://bucket/bugs", identity)`; any that keeps attributes will do.
//!     let bucket = Arc::new(InMemory::new());
//!     let options = S3Options::new();
//!     let identity = Identity::new_database()?;
//!     let ada = Replica::open(options.create_in(bucket.clone(), "bugs", identity).await?).await?;
//!     let bob = Replica::open(options.open_in(bucket, "bugs").await?).await?;
//!
//!     let bug = ada.create("bug", Properties::try_from([("title", "It fails")])?).await?;
//!     bob.update(&bug, Properties::try_from([("status", "fixed")])?).await?;
//!     // What others committed is seen from the next `head` on.
//!     ada.head().await?;
//!     let seen = ada.get(&bug).await?.ok_or("it is gone")?;
//!     assert_eq!(seen.properties().len(), 2);
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # Where it is
//!
//! [`S3Store::open`] takes a URL, `s3://bucket/prefix`, and finds credentials, endpoint and region as
//! every program does that uses `object_store`: in the environment (`AWS_ACCESS_KEY_ID`,
//! `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT`, `AWS_REGION`, `AWS_VIRTUAL_HOSTED_STYLE_REQUEST`,
//! `AWS_ALLOW_HTTP` and so on), in what the machine was given, or in `S3Options::config`.
//! [`S3Options::open_in`] takes an object store that the app built. The features `azure` and `gcp` add
//! `az://` and `gs://`, of which the tests here know nothing: the first was tried with Azure's emulator, the
//! second never. Without any feature, what the app built is all there is, and no HTTP or TLS is in
//! the program.
//!
//! It needs no runtime of the caller's: requests run on one thread of this crate's own, which begins
//! with the first of them, and any executor can wait for what they bring.
//!
//! # What holds
//!
//! - A commit is one PUT on the condition that its object is not there (`If-None-Match: *`). When it is
//!   acknowledged the object is there, and nobody removes or replaces it. A PUT whose answer is lost is
//!   settled by reading what is there; while that is nothing, the answer is
//!   [`OutcomeUnknown`](prophet_store::StoreError::OutcomeUnknown), and sending the same commit again
//!   settles it.
//! - Everything else is derived from the commits, and made anew where it is missing or damaged.
//! - Every object certifies itself: damaged bytes of a commit are answered with
//!   [`Corrupt`](prophet_store::StoreError::Corrupt).
//! - Memory is the commits since the last checkpoint, a cache, and about six bytes of filters for each
//!   commit once something cold was read. Large commits are read together up to 8 MiB, or one by one. A
//!   merge of tables has the new one in memory, up to 43 MB where there are a million small commits.
//!
//! # What the service has to do
//!
//! It has to let one of several conditional PUTs of one object win. Some services let all of them win,
//! and some do when they race. So creating a replica *probes* the service, in sequence and in races. What
//! was found is written down in the bucket. Where the service does not keep writers apart, the replica is
//! for one writer at a time: [`S3Store::warning`] says so, the store's
//! [`Sharing`](prophet_store::Sharing) is `Exclusive`, handles of the same process are kept apart, and
//! the app has to see to it that no second program writes. There a PUT that a program left on its way when
//! it died may still arrive, and replace what the next one wrote in its place: closing the store waits for
//! what is on its way, and so does dropping it. With [`Writers::Several`] such a service is
//! refused.
//!
//! **A probe is no proof.** It finds what a service does now, on one machine, in a few races. What it
//! found goes with the bucket: one that is copied to another service is to be opened with
//! [`Writers::One`] there.

mod bucket;
mod carry;
mod checkpoint;
#[cfg(feature = "cloud")]
mod cloud;
mod commit;
mod commit_object;
mod derive;
mod error;
mod exclusive;
mod follow;
mod heal;
mod identity;
mod index;
mod layout;
mod log;
mod merge;
mod options;
mod patience;
mod probe;
mod put;
mod root;
mod runtime;
mod shared;
mod state;
mod store;
mod sweep;
mod together;
#[cfg(feature = "cloud")]
mod tree;
mod verify;
mod view;

pub use options::{S3Options, Writers};
pub use store::S3Store;
#[cfg(feature = "cloud")]
pub use tree::BucketTree;
