//! Walking over the entries of a table.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use prophet_store::Direction;

use super::block::Block;
use super::{BlockCache, ReadAt, Table, TableError};
use crate::range::KeyRange;

/// How much is read in one go at most, unless a single block is longer.
const RUN: usize = 256 << 10;

/// An entry of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "an entry is a key and what is known of it")]
pub struct Entry {
    /// The key.
    pub key: Vec<u8>,
    /// The value; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
}

/// Walks over the entries of a range of a table, in either direction.
///
/// The longer it walks, the more blocks it reads in one go, up to 256 KiB: what is far away is
/// asked for seldom. Dropping one of its futures loses nothing; the next one goes on.
pub struct Cursor<'a, R> {
    table: &'a Table<R>,
    cache: &'a BlockCache,
    range: KeyRange,
    direction: Direction,
    /// The blocks to go to.
    blocks: Range<usize>,
    /// The next of them, read already.
    ahead: VecDeque<Arc<Block>>,
    /// How many blocks to read next time.
    run: usize,
    block: Option<Arc<Block>>,
    /// The entries of the block to go to.
    entries: Range<usize>,
    /// The entry of the block that it is at.
    at: usize,
}

impl<'a, R: ReadAt> Cursor<'a, R> {
    pub(super) fn new(
        table: &'a Table<R>,
        range: KeyRange,
        direction: Direction,
        cache: &'a BlockCache,
    ) -> Self {
        let blocks = table.within(&range);
        Self {
            table,
            cache,
            range,
            direction,
            blocks,
            ahead: VecDeque::new(),
            run: 1,
            block: None,
            entries: 0..0,
            at: 0,
        }
    }

    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// If a block cannot be read or is damaged; the next call tries again.
    pub async fn next(&mut self) -> Result<Option<Entry>, TableError> {
        self.advance().await?;
        Ok(self
            .current()
            .map(|(key, value)| Entry { key: key.to_vec(), value: value.map(<[u8]>::to_vec) }))
    }

    /// Goes to the next entry, and answers whether there is one.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub async fn advance(&mut self) -> Result<bool, TableError> {
        loop {
            if let Some(entry) = step(&mut self.entries, self.direction) {
                self.at = entry;
                return Ok(true);
            }
            if self.blocks.is_empty() {
                self.block = None;
                return Ok(false);
            }
            let block = self.fetch().await?;
            step(&mut self.blocks, self.direction);
            self.entries = block.within(&self.range);
            self.block = Some(block);
        }
    }

    /// The key and the value of the entry that it is at; `None` before the first and at the end.
    pub fn current(&self) -> Option<(&[u8], Option<&[u8]>)> {
        self.block.as_ref().map(|block| (block.key(self.at), block.value(self.at)))
    }

    /// The next block to go to.
    async fn fetch(&mut self) -> Result<Arc<Block>, TableError> {
        if let Some(block) = self.ahead.pop_front() {
            return Ok(block);
        }
        let number = step(&mut self.blocks.clone(), self.direction).unwrap_or_default();
        if let Some(block) = self.cache.get(self.table.id, number) {
            return Ok(block);
        }
        let numbers = self.run();
        let mut blocks = self.table.read_blocks(numbers, self.cache).await?;
        self.run = self.run.saturating_mul(2);
        if self.direction == Direction::Backward {
            blocks.reverse();
        }
        self.ahead = blocks.into();
        let missing = || self.table.damaged("the index does not name a block");
        self.ahead.pop_front().ok_or_else(missing)
    }

    /// The blocks to read in one go.
    fn run(&self) -> Range<usize> {
        let mut left = self.blocks.clone();
        let (mut count, mut bytes) = (0, 0_usize);
        while count < self.run
            && let Some(number) = step(&mut left, self.direction)
        {
            bytes = bytes.saturating_add(self.table.index.place(number).map_or(0, |at| at.len));
            if count > 0 && bytes > RUN {
                break;
            }
            count += 1;
        }
        match self.direction {
            Direction::Forward => self.blocks.start..self.blocks.start + count,
            Direction::Backward => self.blocks.end - count..self.blocks.end,
        }
    }
}

impl<R> fmt::Debug for Cursor<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor")
            .field("range", &self.range)
            .field("direction", &self.direction)
            .finish_non_exhaustive()
    }
}

fn step(range: &mut Range<usize>, direction: Direction) -> Option<usize> {
    match direction {
        Direction::Forward => range.next(),
        Direction::Backward => range.next_back(),
    }
}
