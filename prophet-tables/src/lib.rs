//! Immutable sorted tables, and keys whose bytes are ordered as what they stand for: the derived
//! indexes of stores that keep files or objects.

pub mod keys;
mod merge;
mod range;
mod table;

pub use merge::{Layers, Memory, MergeError, Scan, merge_tables};
pub use range::KeyRange;
pub use table::{BlockCache, Cursor, Entry, ReadAt, Summary, Table, TableError, TableWriter};
