//! The envelope around every stored value: magic, codec version, content, length, checksum.

use std::io::{self, Read};

use crate::codec::wire::{Malformed, Reader, Writer, malformed};

/// The two bytes every envelope begins with.
pub const MAGIC: [u8; 2] = [0xAB, b'P'];
/// The version of the codec that this library writes; it reads every version up to this one.
pub const VERSION: u8 = 1;

/// What is in an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// A changeset: header and payload.
    Changeset = 1,
    /// The effects of a log entry: nullification and settlement.
    Effects = 2,
    /// A log entry: changeset and effects.
    Entry = 3,
    /// The state of a record.
    Record = 4,
    /// A resolution.
    Resolution = 5,
    /// A metadata value.
    Metadata = 6,
    /// A version vector.
    Vector = 7,
    /// The beginning of a bundle.
    BundleStart = 8,
    /// The end of a bundle.
    BundleEnd = 9,
}

/// Stored bytes cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Written by a newer version of Prophet; to be left untouched.
    #[error(
        "written by codec version {found}, but this program reads up to {supported}; use a newer one"
    )]
    #[non_exhaustive]
    Newer {
        /// The version found.
        found: u8,
        /// The newest version this program reads.
        supported: u8,
    },
    /// Damaged: not what was once written.
    #[error("damaged: {0}")]
    Damaged(#[from] Malformed),
}

impl From<crate::changeset::InvalidChangeset> for DecodeError {
    fn from(error: crate::changeset::InvalidChangeset) -> Self {
        Self::Damaged(Malformed(error.to_string()))
    }
}

pub(crate) fn seal(content: Content, body: &[u8]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(body.len() + 17);
    writer.raw(&MAGIC);
    writer.byte(VERSION);
    writer.byte(content as u8);
    writer.counted(body);
    let mut bytes = writer.into_bytes();
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

pub(crate) fn open(content: Content, bytes: &[u8]) -> Result<&[u8], DecodeError> {
    // The checksum is looked at before the version is believed: a damaged byte is not a newer
    // format. It has been, and will be, the last four bytes in every version.
    let Some((sealed, checksum)) = bytes.split_last_chunk::<4>() else {
        return Ok(malformed("the envelope ends too early")?);
    };
    // Of what is sealed only: in an envelope cut short the checksum is not a version.
    let mut reader = Reader::new(sealed);
    if reader.array::<2>()? != MAGIC {
        malformed("the bytes do not begin as an envelope does")?;
    }
    let found = reader.byte()?;
    if crc32fast::hash(sealed) != u32::from_le_bytes(*checksum) {
        malformed("the checksum does not match")?;
    }
    match found {
        0 => malformed("there is no codec version 0")?,
        VERSION => {}
        found => return Err(DecodeError::Newer { found, supported: VERSION }),
    }
    let tag = reader.byte()?;
    if tag != content as u8 {
        malformed(format!("content {tag} where {content:?} was expected"))?;
    }
    let body = reader.counted()?;
    match reader.rest_len() {
        0 => Ok(body),
        _ => Ok(malformed("the length does not match")?),
    }
}

/// The content of the envelope that `bytes` begin with, as far as that can be told.
pub(crate) fn content(bytes: &[u8]) -> Option<u8> {
    bytes.get(3).copied()
}

/// Reads one envelope, still sealed, from a sequence of them; `None` at its end. No more is held
/// than was really there, and nothing longer than `most` bytes is read.
pub(crate) fn read_sealed(reader: &mut impl Read, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    if take(reader, 5, &mut bytes)? == 0 {
        return Ok(None);
    }
    let more = match bytes.get(4) {
        Some(251) => 2,
        Some(252) => 4,
        Some(253) => 8,
        _ => 0,
    };
    take(reader, more, &mut bytes)?;
    let mut length = Reader::new(bytes.get(4..).unwrap_or_default());
    let length = length.u64().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    if length > most {
        let why =
            format!("an envelope announces {length} bytes, and no more than {most} are allowed");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    // The body, and the checksum after it. What ends too early shows when it is opened.
    take(reader, length + 4, &mut bytes)?;
    Ok(Some(bytes))
}

fn take(reader: &mut impl Read, len: u64, bytes: &mut Vec<u8>) -> io::Result<usize> {
    reader.take(len).read_to_end(bytes)
}
