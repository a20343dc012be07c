//! Keeps a Prophet replica in a [sled](https://docs.rs/sled) key-value store.
//!
//! ```
//! use backend_sled::SledStore;
//! use futures_lite::future::block_on;
//! use prophet_store::{Identity, Properties, Replica};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("bugs");
//! block_on(async {
//!     let store = SledStore::create(&path, Identity::new_database()?)?;
//!     let replica = Replica::open(store).await?;
//!     let bug = replica.create("bug", Properties::try_from([("title", "It fails")])?).await?;
//!     replica.close().await?;
//!
//!     let replica = Replica::open(SledStore::open(&path)?).await?;
//!     assert!(replica.get(&bug).await?.is_some());
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # What holds
//!
//! - A commit is one batch of one tree. It is on the device before it is acknowledged, and before
//!   anybody sees it: it survives the loss of power, as far as sled recovers what is on the device.
//! - One handle at a time: a second one, of this or another program, is answered with
//!   [`Locked`](prophet_store::StoreError::Locked). There are no handles that only read, for sled
//!   writes when it opens.
//! - Reads do not wait for a commit that is being written; while a commit waits for the end of a verify
//!   or of a count of records, reads wait with it. A page is of one head.
//! - Every value certifies itself, with its key. Damage that is read is answered with
//!   [`Corrupt`](prophet_store::StoreError::Corrupt), and so is whatever makes sled give up.
//! - A tree that is removed or replaced while it is open is not written to any more, on Unix; the answer
//!   is [`Corrupt`](prophet_store::StoreError::Corrupt) until the replica is opened again.
//!
//! # What sled does not promise, and what is done about it
//!
//! - *It does not flush the device* on Linux. The store does, after each commit.
//! - *It may open with data silently gone* when its file is damaged. The head says how many keys there
//!   are and what their checksums come to, and opening counts them all, unless
//!   [`SledOptions::count`] leaves that to [`verify`](prophet_store::ReplicaStore::verify). Where the end
//!   of it is gone altogether, the file `head` beside sled tells. What is missing is
//!   [`Corrupt`](prophet_store::StoreError::Corrupt), and not a shorter log.
//! - *It does not open* where a process was killed while it opened, if that was in the middle of a
//!   snapshot. What is left of such a snapshot is removed first.
//! - *It panics* on some damage. That is caught, so a program that has this backend in it must not be
//!   built with `panic = "abort"`; the message of the panic goes wherever those of the program go.
//! - *It cannot write again what a failed sync left*. After one the system may show what is not on the
//!   device, so a replica whose disk failed is to be opened again only when the machine was started anew.
//! - *It does not sync files of long values*. Values are cut into pieces so that it makes none.
//! - *It is unmaintained in this version*, and the next one has no release. A damaged replica is not
//!   repaired: make a new one, and pull from a peer.
//!
//! After a failure to write nothing more is committed by the handle. The commit that met it is answered
//! with [`OutcomeUnknown`](prophet_store::StoreError::OutcomeUnknown), those that follow with
//! [`Closed`](prophet_store::StoreError::Closed). Reads go on where sled has in memory what they need; what
//! it has to fetch it may refuse, and then the replica has to be opened again.
//!
//! `docs/format.md` describes the files and every key.

mod engine;
mod error;
mod layout;
mod options;
mod pieces;
mod shared;
mod store;
mod top;
mod verify;
mod view;
mod writer;

pub use options::SledOptions;
pub use store::SledStore;
