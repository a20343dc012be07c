//! Reading a table.

mod block;
mod cache;
mod cursor;
mod error;
mod filter;
mod footer;
mod index;
mod part;
mod read_at;
mod wire;
mod write;

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prophet_store::Direction;

use block::Block;
use error::Fault;
use filter::Filter;
use footer::Footer;
use index::Index;

use crate::keys;
use crate::range::KeyRange;

pub use cache::BlockCache;
pub use cursor::{Cursor, Entry};
pub use error::TableError;
pub use read_at::ReadAt;
pub use write::{Packing, Summary, TableWriter};

/// How much of the end of a table is read at first. It holds the index and the filter of about
/// 40,000 keys; a larger table is read from once more.
const TAIL: u64 = 64 << 10;

/// A table to read: its index and its filter are in memory, its blocks are read when they are
/// asked for.
pub struct Table<R> {
    reader: R,
    /// Its name in every cache, unlike that of any other table of the process.
    id: u64,
    len: u64,
    place: String,
    footer: Footer,
    index: Index,
    filter: Filter,
}

impl<R: ReadAt> Table<R> {
    /// Opens the table of `len` bytes that `reader` reads; `place` is what errors call it.
    ///
    /// # Errors
    /// If it cannot be read, is damaged, or was written in a newer version of the format.
    pub async fn open(reader: R, len: u64, place: String) -> Result<Self, TableError> {
        let (footer, index, filter) = read_ends(&reader, len, &place).await?;
        Ok(Self { reader, id: new_id(), len, place, footer, index, filter })
    }

    /// Opens the table of `len` bytes that `reader` reads, without reading: `ends` are its last bytes,
    /// kept elsewhere, as many as [`Summary::ends`] says.
    ///
    /// # Errors
    /// If they are damaged, too few, or were written in a newer version of the format.
    pub fn with_ends(reader: R, len: u64, ends: &[u8], place: String) -> Result<Self, TableError> {
        let at = |fault: Fault| fault.at(&place);
        let footer = Footer::decode(ends, len).map_err(at)?;
        let known = footer.index.checked_add(footer.filter);
        let known = known.and_then(|known| usize::try_from(known).ok()?.checked_add(footer::LEN));
        let start = known.and_then(|known| ends.len().checked_sub(known));
        let start = start.ok_or_else(|| at(Fault::Damaged("its ends are not all there")))?;
        let (index, filter) = split_ends(ends.get(start..).unwrap_or_default(), &footer, &place)?;
        Ok(Self { reader, id: new_id(), len, place, footer, index, filter })
    }

    /// The value of a key: `None` if the table does not know the key, `Some(None)` if it has a
    /// tombstone for it.
    ///
    /// # Errors
    /// If the block cannot be read or is damaged.
    pub async fn get(
        &self,
        key: &[u8],
        cache: &BlockCache,
    ) -> Result<Option<Option<Vec<u8>>>, TableError> {
        if !self.may_have(key) {
            return Ok(None);
        }
        let Some(number) = self.index.find(key) else { return Ok(None) };
        let block = match cache.get(self.id, number) {
            Some(block) => block,
            None => {
                let mut blocks = self.read_blocks(number..number + 1, cache).await?;
                match blocks.pop() {
                    Some(block) => block,
                    None => return Ok(None),
                }
            }
        };
        Ok(block.find(key).map(|entry| block.value(entry).map(<[u8]>::to_vec)))
    }

    /// The entries of a range. Nothing is read before the first of them is asked for.
    pub fn seek<'a>(
        &'a self,
        range: KeyRange,
        direction: Direction,
        cache: &'a BlockCache,
    ) -> Cursor<'a, R> {
        Cursor::new(self, range, direction, cache)
    }

    /// Reads all of the table, past every cache.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn verify(&self) -> Result<(), TableError> {
        let cache = BlockCache::new(0);
        let mut cursor = self.seek(KeyRange::all(), Direction::Forward, &cache);
        let (mut entries, mut tombstones) = (0, 0);
        while cursor.advance().await? {
            let Some((key, value)) = cursor.current() else { break };
            entries += 1;
            tombstones += u64::from(value.is_none());
            if !self.may_have(key) {
                return Err(self.damaged("the filter does not know a key"));
            }
        }
        if (entries, tombstones) != (self.footer.entries, self.footer.tombstones) {
            return Err(self.damaged("there are not as many entries as the footer says"));
        }
        Ok(())
    }

    /// How many entries it has, tombstones too.
    pub const fn entries(&self) -> u64 {
        self.footer.entries
    }

    /// How many of its entries are tombstones.
    pub const fn tombstones(&self) -> u64 {
        self.footer.tombstones
    }

    /// How many bytes it has.
    pub const fn bytes(&self) -> u64 {
        self.len
    }

    /// The lowest and the highest key; `None` if the table is empty.
    pub fn ends(&self) -> Option<(&[u8], &[u8])> {
        self.index.ends()
    }

    /// What errors call it.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What it is read from.
    pub const fn reader(&self) -> &R {
        &self.reader
    }

    /// Whether a key can be in the table.
    fn may_have(&self, key: &[u8]) -> bool {
        self.filter.may_have(filter::hash(&keys::known_by(key)))
    }

    /// The blocks that can have keys of a range.
    fn within(&self, range: &KeyRange) -> Range<usize> {
        match keys::range_known_by(range) {
            Some(part) if !self.filter.may_have(filter::hash(&part)) => 0..0,
            _ => self.index.within(range),
        }
    }

    /// Reads blocks that follow each other, in one go.
    async fn read_blocks(
        &self,
        numbers: Range<usize>,
        cache: &BlockCache,
    ) -> Result<Vec<Arc<Block>>, TableError> {
        let mut places = numbers.clone().filter_map(|number| self.index.place(number));
        let Some(first) = places.next() else { return Ok(Vec::new()) };
        let len = places.fold(first.len, |len, place| len.saturating_add(place.len));
        let bytes = read(&self.reader, first.offset, len, &self.place).await?;
        let mut rest = bytes.as_slice();
        let mut blocks = Vec::with_capacity(numbers.len());
        for number in numbers {
            let len = self.index.place(number).map_or(0, |place| place.len);
            let (part, more) = rest.split_at_checked(len).unwrap_or_default();
            rest = more;
            let block = part::unpack(part).and_then(Block::decode);
            let block = block.map_err(|fault| fault.at(&self.place))?;
            let last = block.key(block.len().saturating_sub(1));
            if !self.index.agrees(number, block.key(0), last) {
                return Err(self.damaged("a block does not have the keys that the index says"));
            }
            let block = Arc::new(block);
            cache.put(self.id, number, &block);
            blocks.push(block);
        }
        Ok(blocks)
    }

    fn damaged(&self, what: &'static str) -> TableError {
        Fault::Damaged(what).at(&self.place)
    }
}

impl<R> fmt::Debug for Table<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("place", &self.place)
            .field("footer", &self.footer)
            .finish_non_exhaustive()
    }
}

fn new_id() -> u64 {
    static IDS: AtomicU64 = AtomicU64::new(0);
    IDS.fetch_add(1, Ordering::Relaxed)
}

/// Reads the footer, the index and the filter, which are at the end.
async fn read_ends<R: ReadAt>(
    reader: &R,
    len: u64,
    place: &str,
) -> Result<(Footer, Index, Filter), TableError> {
    let at = |fault: Fault| fault.at(place);
    let tail_at = len.saturating_sub(TAIL);
    // Below 64 KiB.
    let mut tail = read(reader, tail_at, (len - tail_at) as usize, place).await?;
    let footer = Footer::decode(&tail, len).map_err(at)?;
    let start = if footer.blocks < tail_at {
        let missing = usize::try_from(tail_at - footer.blocks).map_err(|_| at(LONG))?;
        let mut bytes = read(reader, footer.blocks, missing, place).await?;
        bytes.append(&mut tail);
        tail = bytes;
        0
    } else {
        // Not beyond the end of what was read, or the footer would not fit the length.
        (footer.blocks - tail_at) as usize
    };
    let (index, filter) = split_ends(tail.get(start..).unwrap_or_default(), &footer, place)?;
    Ok((footer, index, filter))
}

const LONG: Fault = Fault::Damaged("the index or the filter is longer than memory");

/// The index and the filter that `bytes` begin with.
fn split_ends(bytes: &[u8], footer: &Footer, place: &str) -> Result<(Index, Filter), TableError> {
    let at = |fault: Fault| fault.at(place);
    let index_len = usize::try_from(footer.index).map_err(|_| at(LONG))?;
    let filter_len = usize::try_from(footer.filter).map_err(|_| at(LONG))?;
    let (index, rest) = bytes.split_at_checked(index_len).ok_or_else(|| at(LONG))?;
    let filter = rest.get(..filter_len).ok_or_else(|| at(LONG))?;
    let index = part::unpack(index).and_then(|raw| Index::decode(&raw, footer.blocks));
    let filter = part::unpack(filter).and_then(|raw| Filter::decode(&raw));
    Ok((index.map_err(at)?, filter.map_err(at)?))
}

async fn read<R: ReadAt>(
    reader: &R,
    offset: u64,
    len: usize,
    place: &str,
) -> Result<Vec<u8>, TableError> {
    let bytes = reader.read_at(offset, len).await;
    let bytes = bytes.map_err(|source| TableError::Io { place: place.to_owned(), source })?;
    if bytes.len() == len {
        return Ok(bytes);
    }
    let source = io::Error::new(io::ErrorKind::UnexpectedEof, "fewer bytes than were asked for");
    Err(TableError::Io { place: place.to_owned(), source })
}
