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

/// How long the envelope is that `bytes` begin with, all of it; `None` while there are too few of them
/// to tell. One with a body of more than `most` bytes is refused.
pub(crate) fn sealed_len(bytes: &[u8], most: u64) -> Result<Option<u64>, Malformed> {
    let Some(first) = bytes.get(LENGTH_AT) else { return Ok(None) };
    let body_at = LENGTH_AT + 1 + length_follows(*first);
    let Some(length) = bytes.get(LENGTH_AT..body_at) else { return Ok(None) };
    let length = Reader::new(length).u64()?;
    if length > most {
        return malformed(format!(
            "an envelope announces {length} bytes, and no more than {most} are allowed"
        ));
    }
    Ok(Some(body_at as u64 + length + 4))
}

/// Where the length of the body is.
const LENGTH_AT: usize = 4;

/// How many bytes of a length follow its first.
const fn length_follows(first: u8) -> usize {
    match first {
        251 => 2,
        252 => 4,
        253 => 8,
        _ => 0,
    }
}

/// Reads one envelope, still sealed, from a sequence of them; `None` at its end. No more is held
/// than was really there, and nothing longer than `most` bytes is read.
pub(crate) fn read_sealed(reader: &mut impl Read, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    if take(reader, LENGTH_AT as u64 + 1, &mut bytes)? == 0 {
        return Ok(None);
    }
    let follows = bytes.get(LENGTH_AT).map_or(0, |first| length_follows(*first));
    take(reader, follows as u64, &mut bytes)?;
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    if let Some(length) = sealed_len(&bytes, most).map_err(invalid)? {
        // What ends too early shows when it is opened, here and below.
        take(reader, length - bytes.len() as u64, &mut bytes)?;
    }
    Ok(Some(bytes))
}

fn take(reader: &mut impl Read, len: u64, bytes: &mut Vec<u8>) -> io::Result<usize> {
    reader.take(len).read_to_end(bytes)
}
