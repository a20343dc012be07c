//! Immutable sorted tables, and keys whose bytes are ordered as what they stand for.
//!
//! A store that keeps its log in files or in objects needs indexes beside it: where a changeset
//! is, which entries touch a record, what the state of a record is. They are derived, so they can
//! be made again from the log, and they are kept here as layers: the newest in memory, the older
//! ones as tables that are written once and merged now and then. A table is read at any place, be
//! it a file or an object that answers to ranged reads.
//!
//! ```
//! use futures_lite::future::block_on;
//! use prophet_store::{Direction, MetadataKey};
//! use prophet_tables::{BlockCache, Layers, Memory, Table, TableWriter, keys};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (home, work) = (MetadataKey::new("peers/home")?, MetadataKey::new("peers/work")?);
//! let mut bytes = Vec::new();
//! let mut writer = TableWriter::new(&mut bytes)?;
//! writer.add(&keys::metadata(&home), Some(b"192.0.2.1"))?;
//! writer.add(&keys::metadata(&work), Some(b"192.0.2.2"))?;
//! writer.finish()?;
//!
//! // Newer than the table: one key is gone.
//! let memory = Memory::from([(keys::metadata(&work), None)]);
//!
//! block_on(async {
//!     let cache = BlockCache::new(8 << 20);
//!     let len = bytes.len() as u64;
//!     let table = Table::open(bytes, len, "0001.table".into()).await?;
//!     let layers = Layers::new(&cache).with_memory(&memory).with_table(&table);
//!     assert_eq!(layers.get(&keys::metadata(&work)).await?, None);
//!
//!     let mut scan = layers.scan(keys::metadata_with("peers/"), Direction::Forward);
//!     while let Some((key, value)) = scan.next().await? {
//!         assert_eq!(keys::to_metadata(&key), Some(home.clone()));
//!         assert_eq!(value, b"192.0.2.1");
//!     }
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # What holds
//!
//! - A table certifies itself: every byte of it is under a checksum, and what is read of it was
//!   once written, or the answer is [`TableError::Damaged`]. No bytes make reading panic. A length
//!   in the file is not believed before the bytes are there, and what is compressed unpacks to
//!   1 GiB at most.
//! - The format has a version; a newer one is answered with [`TableError::Newer`]. `docs/format.md`
//!   describes it byte by byte, in its part on sorted tables.
//! - Whether a table is complete and durable before anything refers to it is for the store to see
//!   to: [`TableWriter`] does not sync.
//! - The futures can be sent to other threads, and belong to no async runtime.
//!
//! # What it costs
//!
//! An open table keeps its index and its filter in memory: a key for every 8 KiB, and 10 bits for each key
//! and for each origin and conflict; log entries that touch a record are known by the record, and cost
//! nothing. A look-up of a key that the table does not have, or a scan of the history of such a record, asks
//! the filter, and is answered without reading in all but about one of 120 cases. Any other reads one block,
//! unless the [`BlockCache`] has it. [Dense](Packing::Dense) tables have a key for every 64 KiB and 16 bits,
//! and are read in vain once in 2,000 cases.

pub mod keys;
mod merge;
mod range;
mod table;

pub use merge::{Layers, Memory, MergeError, Scan, merge_tables};
pub use range::KeyRange;
pub use table::{
    BlockCache, Cursor, Entry, Packing, ReadAt, Summary, Table, TableError, TableWriter,
};
