//! The footer: where the parts of a table are.

use super::error::Fault;
use super::wire::Reader;

/// The eight bytes that a table ends with.
pub(crate) const MAGIC: [u8; 8] = [0xAB, b'P', b't', b'a', b'b', b'l', b'e', b'\n'];
/// The version of the format that this library writes; it reads every version up to this one.
pub(crate) const VERSION: u16 = 1;

/// What a footer ends with in every version: its length, the version, a checksum, the magic.
const TAIL: usize = 16;
/// What is before that in this version.
const FIELDS: usize = 40;
/// The length of the footer of this version.
pub(crate) const LEN: usize = FIELDS + TAIL;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    /// The length of all blocks; after them the index begins.
    pub(crate) blocks: u64,
    pub(crate) index: u64,
    pub(crate) filter: u64,
    pub(crate) entries: u64,
    /// How many of the entries are tombstones.
    pub(crate) tombstones: u64,
}

impl Footer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LEN);
        for number in [self.blocks, self.index, self.filter, self.entries, self.tombstones] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&(LEN as u16).to_le_bytes());
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes.extend_from_slice(&MAGIC);
        bytes
    }

    /// Reads the footer at the end of `bytes`, which is the end of a table of `len` bytes.
    pub(crate) fn decode(bytes: &[u8], len: u64) -> Result<Self, Fault> {
        const NONE: Fault = Fault::Damaged("it does not end as a table does");
        const WRONG: Fault = Fault::Damaged("the lengths in the footer are wrong");
        let (start, tail) = bytes.split_last_chunk::<TAIL>().ok_or(NONE)?;
        let mut reader = Reader(tail);
        let length = u16::from_le_bytes(reader.array()?);
        let version = u16::from_le_bytes(reader.array()?);
        let checksum = u32::from_le_bytes(reader.array()?);
        if reader.array()? != MAGIC {
            return Err(NONE);
        }
        // The checksum is looked at before the version is believed: a damaged byte is not a newer
        // format.
        let fields = usize::from(length).checked_sub(TAIL).ok_or(WRONG)?;
        let fields = start.len().checked_sub(fields).and_then(|at| start.get(at..)).ok_or(WRONG)?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(fields);
        hasher.update(tail.get(..4).unwrap_or_default());
        if hasher.finalize() != checksum {
            return Err(Fault::Damaged("the checksum of the footer does not match"));
        }
        match version {
            0 => return Err(Fault::Damaged("there is no version 0 of the format of tables")),
            VERSION => {}
            newer => return Err(Fault::Newer(newer)),
        }
        let mut reader = Reader(fields);
        let mut number = || reader.array().map(u64::from_le_bytes);
        let footer = Self {
            blocks: number()?,
            index: number()?,
            filter: number()?,
            entries: number()?,
            tombstones: number()?,
        };
        let whole = footer
            .blocks
            .checked_add(footer.index)
            .and_then(|sum| sum.checked_add(footer.filter))
            .and_then(|sum| sum.checked_add(LEN as u64));
        if usize::from(length) != LEN || whole != Some(len) || footer.tombstones > footer.entries {
            return Err(WRONG);
        }
        Ok(footer)
    }
}
