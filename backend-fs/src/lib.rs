//! Keeps a Prophet replica in a directory of files that people can read.
//!
//! ```
//! use backend_fs::FsStore;
//! use futures_lite::future::block_on;
//! use prophet_store::{Identity, Properties, Replica};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("bugs");
//! block_on(async {
//!     let store = FsStore::create(&path, Identity::new_database()?)?;
//!     let replica = Replica::open(store).await?;
//!     replica.create("bug", Properties::try_from([("title", "It fails")])?).await?;
//!     replica.close().await?;
//!
//!     // What any program that reads JSON Lines finds, `grep` and `jq` among them.
//!     let log = std::fs::read_to_string(path.join("log/00000001.jsonl"))?;
//!     assert!(log.contains(r#""title":{"new":"It fails"}"#));
//!     let bugs = std::fs::read_to_string(path.join("records/bug.jsonl"))?;
//!     assert!(bugs.contains(r#""title":"It fails""#));
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # The directory
//!
//! - `log/`: the log, the one thing that is not derived, a line of JSON for each changeset and each
//!   commit, each line with a checksum. The last file, `NNNNNNNN.jsonl`, is appended to; when it is
//!   long it is sealed and becomes `NNNNNNNN-XXXXXXXX.jsonl.zst`, which never changes: `zstdcat` shows
//!   it.
//! - `records/`: the records of each type as lines of JSON, as they were when the last handle that
//!   wrote was closed.
//! - `index/`: where things are in the log, and the states of records.
//! - `manifest.json`: what there is, for those who can only fetch files: the directory, served by any
//!   web server, is a replica that others pull from. It is a second behind the log at most while a
//!   handle is open. The log shows the replica's local metadata too; what is *published* does not.
//!
//! `records/`, `index/` and `manifest.json` are made anew when they are missing or of another commit,
//! at the latest when a handle that may write is closed. `docs/format.md` has every field.
//!
//! # What holds
//!
//! - A commit is one append and one `fdatasync`, and survives the loss of power. An append that was
//!   cut off is recognised by what is left of it, and taken away when the replica is opened or next
//!   written to.
//! - Any number of handles and programs may have the replica open. Writers take turns by a lock that
//!   the system drops when a program dies; readers take none. All of them have to run on one machine,
//!   for locks and appends are not reliable on network file systems.
//! - What another handle appended counts once this one has synced it, and nothing is written behind it before
//!   it was written once more, for a sync that fails may be told to one of them only. Where a sync fails, reads
//!   fail until somebody commits.
//! - A full disk stops commits, and not for what is derived: a table that has no room is left for later.
//! - A handle refuses to write once its files were replaced under it, as by a restored backup.
//! - Memory does not grow with the log, but for some hundred bytes for every 2 MiB of it. Opening reads
//!   the last file of the log, which is 2 MiB long at most, and the ends of some tables. Where there
//!   are no tables and none may be written, as in a published directory, the index is in memory.
//! - Every line, every sealed file and every part of a table certifies itself: damaged bytes are
//!   answered with [`Corrupt`](prophet_store::StoreError::Corrupt). One case looks like an append that
//!   was cut off: damage in the very last commit that leaves it without the line feed at its end, or
//!   with a zero byte in it.

mod disk;
mod error;
mod follow;
mod index;
mod layout;
mod load;
mod log;
mod options;
mod prepared;
mod reads;
mod seal;
mod shared;
#[cfg(feature = "simulated-disk")]
pub mod simulated;
mod state;
mod store;
mod tail;
mod verify;
mod view;
mod views;
mod writer;

pub use disk::{Disk, DiskFile, FileId};
pub use options::FsOptions;
pub use store::FsStore;
