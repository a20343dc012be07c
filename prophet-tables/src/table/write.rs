//! Writing a table.

use std::fmt;
use std::io::{self, Write};

use super::block::{self, MOST_KEY};
use super::filter::{self, Exactness, Filter};
use super::footer::{self, Footer};
use super::index::IndexWriter;
use super::part::{MOST, Packer};
use crate::keys;

/// How the blocks of a table are packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packing {
    /// Blocks of 8 KiB, packed fast: a look-up unpacks little. The filter answers wrongly once in about
    /// 120 times. For a disk.
    #[default]
    Quick,
    /// Blocks of 64 KiB, packed well: the index has an eighth of the keys, and the table is shorter. The
    /// filter is longer and answers wrongly once in about 2,000 times. For objects, of which a short part
    /// takes as long to read as a longer one, and each read in vain is a request.
    Dense,
}

impl Packing {
    /// How long a block gets before it is packed.
    const fn block(self) -> usize {
        match self {
            Self::Quick => 8 << 10,
            Self::Dense => 64 << 10,
        }
    }

    /// How exact the filter is.
    pub(super) const fn exactness(self) -> Exactness {
        match self {
            Self::Quick => Exactness { bits: 10, probes: 7 },
            Self::Dense => Exactness { bits: 16, probes: 11 },
        }
    }

    /// The level of zstd: the fastest that is no experiment, or one that still packs 50 MB a second.
    const fn level(self) -> i32 {
        match self {
            Self::Quick => 1,
            Self::Dense => 7,
        }
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// How many entries there are, tombstones too.
    pub entries: u64,
    /// How many of them are tombstones.
    pub tombstones: u64,
    /// How long the table is.
    pub bytes: u64,
    /// How many of its last bytes are enough to open it: [`Table::with_ends`](crate::Table::with_ends).
    pub ends: u64,
}

/// Writes a table, from the lowest key to the highest.
///
/// What it writes to need not be buffered: every write is a block or more. Syncing is for whoever
/// owns it; a `&File` can be written to as well. A table that was not
/// [finished](Self::finish) cannot be read.
pub struct TableWriter<W> {
    out: W,
    packing: Packing,
    packer: Packer,
    /// The block that is being filled.
    raw: Vec<u8>,
    first: Vec<u8>,
    last: Vec<u8>,
    index: IndexWriter,
    hashes: Vec<u64>,
    footer: Footer,
}

impl<W: Write> TableWriter<W> {
    /// Writes to `out`, [quickly packed](Packing::Quick).
    ///
    /// # Errors
    /// If there is no memory to compress with.
    pub fn new(out: W) -> io::Result<Self> {
        Self::packed(out, Packing::default())
    }

    /// Writes to `out`, packed so.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn packed(out: W, packing: Packing) -> io::Result<Self> {
        let footer = Footer { blocks: 0, index: 0, filter: 0, entries: 0, tombstones: 0 };
        Ok(Self {
            out,
            packing,
            packer: Packer::new(packing.level())?,
            raw: Vec::new(),
            first: Vec::new(),
            last: Vec::new(),
            index: IndexWriter::default(),
            hashes: Vec::new(),
            footer,
        })
    }

    /// Adds an entry; without a value it is a tombstone.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a key that is not above the one before or
    /// has more than 65,535 bytes, and for a value of about 1 GiB; nothing was added then. After
    /// any other error the table is of no use.
    pub fn add(&mut self, key: &[u8], value: Option<&[u8]>) -> io::Result<()> {
        if self.footer.entries > 0 && key <= self.last.as_slice() {
            return Err(invalid("the keys of a table have to rise"));
        }
        if key.len() > MOST_KEY {
            return Err(invalid("a key of a table is too long"));
        }
        let length = key.len() + value.map_or(0, <[u8]>::len);
        // Three numbers are before the key.
        if length > MOST - 27 {
            return Err(invalid("a value of a table is too long"));
        }
        if !self.raw.is_empty() && self.raw.len() + length > self.packing.block() {
            self.end_block()?;
        }
        let shared = if self.raw.is_empty() {
            self.first.clear();
            self.first.extend_from_slice(key);
            0
        } else {
            self.last.iter().zip(key).take_while(|(a, b)| a == b).count()
        };
        block::put(&mut self.raw, shared, key, value);
        self.last.truncate(shared);
        self.last.extend_from_slice(key.get(shared..).unwrap_or_default());
        let hash = filter::hash(&keys::known_by(key));
        if self.hashes.last() != Some(&hash) {
            self.hashes.push(hash);
        }
        self.footer.entries += 1;
        self.footer.tombstones += u64::from(value.is_none());
        if self.raw.len() >= self.packing.block() { self.end_block() } else { Ok(()) }
    }

    /// How many entries were added.
    pub const fn entries(&self) -> u64 {
        self.footer.entries
    }

    /// How many bytes were written. What was added last is not among them yet.
    pub const fn bytes(&self) -> u64 {
        self.footer.blocks
    }

    /// Writes what remains, and flushes.
    ///
    /// # Errors
    /// Then the table is of no use.
    pub fn finish(mut self) -> io::Result<Summary> {
        if !self.raw.is_empty() {
            self.end_block()?;
        }
        let index = self.packer.pack(self.index.bytes())?;
        self.footer.index = index.len() as u64;
        self.out.write_all(index)?;
        self.hashes.sort_unstable();
        self.hashes.dedup();
        let filter = Filter::of(&self.hashes, self.packing.exactness());
        let filter = self.packer.pack(&filter.encode())?;
        self.footer.filter = filter.len() as u64;
        self.out.write_all(filter)?;
        self.out.write_all(&self.footer.encode())?;
        self.out.flush()?;
        let Footer { blocks, index, filter, entries, tombstones } = self.footer;
        let ends = index + filter + footer::LEN as u64;
        Ok(Summary { entries, tombstones, bytes: blocks + ends, ends })
    }

    fn end_block(&mut self) -> io::Result<()> {
        let packed = self.packer.pack(&self.raw)?;
        self.out.write_all(packed)?;
        let length = packed.len() as u64;
        self.index.add(&self.first, &self.last, length);
        self.footer.blocks += length;
        self.raw.clear();
        Ok(())
    }
}

impl<W> fmt::Debug for TableWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableWriter").field("footer", &self.footer).finish_non_exhaustive()
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
