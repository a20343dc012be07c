//! What a replica store is on top of an ordered map of byte keys.
//!
//! A key-value store, a file of sorted tables and a bucket of them have one thing in common: keys in
//! bytewise order, which are read one by one or as a range. On such a [`Map`] this crate builds all
//! that a [`ReplicaStore`](prophet_store::ReplicaStore) reads, says what a commit writes, and judges
//! whether it may. What is left to a backend is to apply a list of [`Write`]s atomically and durably,
//! and to know its head.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use futures_lite::future::block_on;
//! use prophet_kv::{EntriesInMap, Reads, writes};
//! use prophet_store::{Commit, CommitId, Head, MetadataKey};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut map: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
//! let mut head = Head::EMPTY;
//!
//! let key = MetadataKey::new("peers/home")?;
//! let commit = Commit::new(CommitId::from_bytes([7; 16]), head)
//!     .with_metadata(key.clone(), Some(b"192.0.2.1".to_vec()))?;
//!
//! block_on(async {
//!     let reads = Reads::new("a map", head, &map, EntriesInMap::new("a map", &map));
//!     // Neither stale, nor applied already, nor wrong: it is to be applied.
//!     assert_eq!(reads.judge(&commit, |_| true).await?, None);
//!
//!     let mut list = Vec::new();
//!     writes::commit(&mut list, &commit);
//!     writes::apply(&mut map, list);
//!     head = commit.head();
//!
//!     let reads = Reads::new("a map", head, &map, EntriesInMap::new("a map", &map));
//!     assert_eq!(reads.get_metadata(&[key]).await?.value, [Some(b"192.0.2.1".to_vec())]);
//!     // Sent once more, it is not applied again.
//!     assert_eq!(reads.judge(&commit, |_| true).await?, Some(head));
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # A backend on it
//!
//! - Its reads answer from a [`Reads`]: a map and the head that it is at. Both have to be of the very
//!   same commit for as long as a read takes.
//! - Its log entries are in the map too, for which there is [`EntriesInMap`]; or in files or objects
//!   of their own, and then it says how they are read: [`Entries`].
//! - Where an engine may lose or change values without a word, they are [certified](certify), read
//!   through [`Certified`], and counted in a [`Tally`].
//! - Its commits are judged by [`Reads::judge`] and written as [`writes`] says.
//!
//! Everything is async and generic, and belongs to no runtime. An engine that answers at once returns
//! [`ready`](std::future::ready), and its futures are done when they are first polled.
//!
//! # What is under which key
//!
//! [`prophet_tables::keys`] has the keys. The values are these:
//!
//! | space | value |
//! |---|---|
//! | records | the state, in the envelope of the codec |
//! | log entries by record | empty |
//! | changesets by origin, changesets by digest | 8 bytes, little-endian: the position |
//! | resolutions | the resolution, in the envelope |
//! | metadata | the value as it is |
//! | commits | the 16 bytes of the commit's id |
//! | log entries, where they are in the map | the entry, in the envelope |

mod certify;
mod judge;
mod map;
mod reads;
mod report;
mod verify;
pub mod writes;

pub use certify::{Certified, CertifiedScan, Tally, certified, certify};
pub use map::{Entries, EntriesInMap, Found, Map, MemoryScan, Scan, missing_entry};
pub use reads::Reads;
pub use report::Report;
pub use verify::verify;
pub use writes::Write;
