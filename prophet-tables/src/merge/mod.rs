//! Several layers as one: the newest that knows a key tells what it is.

mod sources;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use prophet_store::Direction;

use sources::Merge;

use crate::range::KeyRange;
use crate::table::{BlockCache, ReadAt, Table, TableError, TableWriter};

/// A layer in memory: keys and their values, or `None` for a tombstone.
pub type Memory = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Layers, the newest first; they and the cache are borrowed.
///
/// The newest layer that knows a key tells what it is; if that has a tombstone, there is none.
#[derive(Debug)]
pub struct Layers<'a, R> {
    cache: &'a BlockCache,
    layers: Vec<Layer<'a, R>>,
}

#[derive(Debug)]
pub(crate) enum Layer<'a, R> {
    Memory(&'a Memory),
    Table(&'a Table<R>),
}

// Derived, they would ask for an `R` that can be copied.
impl<R> Clone for Layer<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Layer<'_, R> {}

/// A merge could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// A table cannot be read.
    #[error(transparent)]
    Read(#[from] TableError),
    /// The new table cannot be written.
    #[error("a merge of tables cannot be written: {0}")]
    Write(#[from] io::Error),
}

impl<'a, R: ReadAt> Layers<'a, R> {
    /// No layers yet; blocks are kept in `cache`.
    pub const fn new(cache: &'a BlockCache) -> Self {
        Self { cache, layers: Vec::new() }
    }

    /// With a layer in memory, older than those that are there.
    #[must_use]
    pub fn with_memory(mut self, memory: &'a Memory) -> Self {
        self.layers.push(Layer::Memory(memory));
        self
    }

    /// With a table, older than the layers that are there.
    #[must_use]
    pub fn with_table(mut self, table: &'a Table<R>) -> Self {
        self.layers.push(Layer::Table(table));
        self
    }

    /// With tables, the newest first, all older than the layers that are there.
    #[must_use]
    pub fn with_tables(mut self, tables: impl IntoIterator<Item = &'a Table<R>>) -> Self {
        self.layers.extend(tables.into_iter().map(Layer::Table));
        self
    }

    /// The value of a key.
    ///
    /// # Errors
    /// If a table cannot be read.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        for layer in &self.layers {
            let known = match layer {
                Layer::Memory(memory) => memory.get(key).cloned(),
                Layer::Table(table) => table.get(key, self.cache).await?,
            };
            if let Some(value) = known {
                return Ok(value);
            }
        }
        Ok(None)
    }

    /// The keys of a range that have values, in order. It borrows the layers, not this.
    pub fn scan(&self, range: KeyRange, direction: Direction) -> Scan<'a, R> {
        Scan { merge: Merge::new(&self.layers, range, direction, self.cache) }
    }

    /// Writes what the layers have together into one table, which can stand for all of them.
    ///
    /// Of each key the newest version remains, if `keep` wants the key. Tombstones remain as well,
    /// since they hide what is in older layers, unless there are none: that is what `bottom`
    /// says. A key that `keep` does not want leaves no tombstone: what older layers have of it shows
    /// again. The cache is not used, as what is merged is seldom read again.
    ///
    /// # Errors
    /// If a table cannot be read, or the new one cannot be written.
    pub async fn merge_into<W: Write>(
        &self,
        writer: &mut TableWriter<W>,
        bottom: bool,
        mut keep: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), MergeError> {
        let cache = BlockCache::new(0);
        let mut merge = Merge::new(&self.layers, KeyRange::all(), Direction::Forward, &cache);
        while merge.advance().await? {
            let Some((key, value)) = merge.current() else { break };
            if (value.is_some() || !bottom) && keep(key) {
                writer.add(key, value)?;
            }
        }
        Ok(())
    }
}

/// Writes what tables have together, the newest first, into one table:
/// [`merge_into`](Layers::merge_into) says how.
///
/// # Errors
/// If a table cannot be read, or the new one cannot be written.
pub async fn merge_tables<'a, R: ReadAt + 'a, W: Write>(
    tables: impl IntoIterator<Item = &'a Table<R>>,
    writer: &mut TableWriter<W>,
    bottom: bool,
    keep: impl FnMut(&[u8]) -> bool,
) -> Result<(), MergeError> {
    let cache = BlockCache::new(0);
    let mut layers = Layers::new(&cache);
    for table in tables {
        layers = layers.with_table(table);
    }
    layers.merge_into(writer, bottom, keep).await
}

/// Walks over the keys of a range that have values, in either direction.
///
/// A scan goes on after its last key with a new one over [`KeyRange::after`]. Dropping one of its
/// futures loses nothing; the next one goes on.
pub struct Scan<'a, R> {
    merge: Merge<'a, R>,
}

impl<R: ReadAt> Scan<'_, R> {
    /// The next key and its value; `None` at the end.
    ///
    /// # Errors
    /// If a table cannot be read; the next call tries again.
    pub async fn next(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>, TableError> {
        self.advance().await?;
        Ok(self.current().map(|(key, value)| (key.to_vec(), value.to_vec())))
    }

    /// Goes to the next key that has a value, and answers whether there is one.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub async fn advance(&mut self) -> Result<bool, TableError> {
        while self.merge.advance().await? {
            if self.current().is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The key that it is at, and its value; `None` before the first and at the end.
    pub fn current(&self) -> Option<(&[u8], &[u8])> {
        self.merge.current().and_then(|(key, value)| Some((key, value?)))
    }
}

impl<R> fmt::Debug for Scan<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").finish_non_exhaustive()
    }
}
