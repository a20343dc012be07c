//! Keeps a Prophet replica in one SQLite file: the embedded default.
//!
//! ```
//! use backend_sqlite::SqliteStore;
//! use futures_lite::future::block_on;
//! use prophet_store::{
//!     Commit, CommitId, DatabaseId, Identity, MetadataKey, ReplicaId, ReplicaStore,
//! };
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("bugs.replica");
//! let identity = Identity {
//!     database: DatabaseId::from_bytes([1; 16]),
//!     replica: ReplicaId::from_bytes([2; 16]),
//! };
//! let store = SqliteStore::create(&path, identity)?;
//! block_on(async {
//!     let key = MetadataKey::new("peers/home")?;
//!     let commit = Commit::new(CommitId::from_bytes([7; 16]), store.head().await?)
//!         .with_metadata(key.clone(), Some(b"192.0.2.1".to_vec()))?;
//!     store.commit(&commit).await?;
//!     store.close().await?;
//!
//!     let store = SqliteStore::open(&path)?;
//!     assert_eq!(store.get_metadata(&[key]).await?.value, [Some(b"192.0.2.1".to_vec())]);
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The file is meant to be looked at with the `sqlite3` command too: `SELECT * FROM changesets`
//! and `SELECT * FROM records` are views for people. `docs/format.md` describes every
//! table.
//!
//! # What holds
//!
//! - A commit is one transaction, synced before it is acknowledged (write-ahead log,
//!   `synchronous=FULL`): it survives the loss of power.
//! - Any number of handles and programs may read and write at once. Reads never wait; a write
//!   waits for the one before it, up to [`busy_timeout`](SqliteOptions::busy_timeout), and is
//!   then answered with [`Busy`](prophet_store::StoreError::Busy). All programs have to run on
//!   one machine: SQLite's locks do not work over a network file system.
//! - Log entries, record states, resolutions, metadata values, the head and the identity certify
//!   themselves: damaged bytes in them are answered with
//!   [`Corrupt`](prophet_store::StoreError::Corrupt). SQLite keeps no checksums of its own pages,
//!   so damage to an index can hide a row until
//!   [`verify`](prophet_store::ReplicaStore::verify) finds it.
//! - A file that is removed or replaced while it is open is not written to any more, on Unix: what
//!   is committed to a file without a name is gone when it is closed. The answer is
//!   [`Corrupt`](prophet_store::StoreError::Corrupt) until the replica is opened again.
//! - While a replica is open there are two more files beside it, with `-wal` and `-shm` added to
//!   its name. They belong to it: copy a replica when nobody has it open, or with the `.backup`
//!   command of `sqlite3`.

mod apply;
mod connection;
mod create;
mod entry;
mod error;
mod head;
mod identity;
mod log;
mod metadata;
mod options;
mod probe;
mod pushdown;
mod records;
mod resolutions;
mod rows;
mod schema;
mod store;
mod verify;
mod writer;

pub use options::SqliteOptions;
pub use store::SqliteStore;

/// The program in the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
