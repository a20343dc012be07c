//! A part of a table, compressed and with its checksum: a block, the index, the filter.

use std::cell::RefCell;
use std::io::{self, Read};

use zstd::bulk::{Compressor, Decompressor};

use super::error::Fault;
use super::wire::Reader;

/// The longest that a part may be once it is unpacked.
pub(crate) const MOST: usize = 1 << 30;

const RAW: u8 = 0;
const ZSTD: u8 = 1;
/// The form and the unpacked length before what is stored.
const HEADER: usize = 5;

/// Up to this length a part is unpacked into memory that is taken at once.
const AT_ONCE: usize = 1 << 20;

/// Packs parts; keeps what the compressor needs from one to the next.
pub(crate) struct Packer {
    compressor: Compressor<'static>,
    packed: Vec<u8>,
}

impl Packer {
    pub(crate) fn new(level: i32) -> io::Result<Self> {
        Ok(Self { compressor: Compressor::new(level)?, packed: Vec::new() })
    }

    /// The bytes to write for a part.
    pub(crate) fn pack(&mut self, raw: &[u8]) -> io::Result<&[u8]> {
        let length = u32::try_from(raw.len()).ok().filter(|_| raw.len() <= MOST);
        let length = length.ok_or_else(|| {
            let why = format!("a part of a table of {} bytes is too long", raw.len());
            io::Error::new(io::ErrorKind::InvalidInput, why)
        })?;
        let compressed = self.compressor.compress(raw)?;
        let (form, stored) =
            if compressed.len() < raw.len() { (ZSTD, &*compressed) } else { (RAW, raw) };
        self.packed.clear();
        self.packed.push(form);
        self.packed.extend_from_slice(&length.to_le_bytes());
        self.packed.extend_from_slice(stored);
        let checksum = crc32fast::hash(&self.packed);
        self.packed.extend_from_slice(&checksum.to_le_bytes());
        Ok(&self.packed)
    }
}

/// What was packed into `part`.
pub(crate) fn unpack(part: &[u8]) -> Result<Vec<u8>, Fault> {
    const SHORT: Fault = Fault::Damaged("a part is too short");
    let (packed, checksum) = part.split_last_chunk().ok_or(SHORT)?;
    if crc32fast::hash(packed) != u32::from_le_bytes(*checksum) {
        return Err(Fault::Damaged("a checksum does not match"));
    }
    let mut reader = Reader(packed.get(..HEADER).ok_or(SHORT)?);
    let [form] = reader.array()?;
    let length = usize::try_from(u32::from_le_bytes(reader.array()?)).map_err(|_| SHORT)?;
    if length > MOST {
        return Err(Fault::Damaged("a part says that it is longer than any can be"));
    }
    let stored = packed.get(HEADER..).unwrap_or_default();
    let raw = match form {
        RAW => stored.to_vec(),
        ZSTD => decompress(stored, length).map_err(|_| Fault::Damaged("a part does not unpack"))?,
        _ => return Err(Fault::Damaged("a part is packed in a way that is not known")),
    };
    if raw.len() != length {
        return Err(Fault::Damaged("a part does not have the length that it says it has"));
    }
    Ok(raw)
}

fn decompress(stored: &[u8], length: usize) -> io::Result<Vec<u8>> {
    // Making one takes as long as unpacking a block with it.
    thread_local! {
        static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    if length <= AT_ONCE {
        return DECOMPRESSOR.with_borrow_mut(|kept| {
            let decompressor = match kept {
                Some(decompressor) => decompressor,
                None => kept.insert(Decompressor::new()?),
            };
            decompressor.decompress(stored, length)
        });
    }
    // The length is not believed before the bytes are there.
    let mut raw = Vec::new();
    let decoder = zstd::stream::read::Decoder::with_buffer(stored)?;
    decoder.take(length as u64 + 1).read_to_end(&mut raw)?;
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back() -> io::Result<()> {
        let mut packer = Packer::new(1)?;
        let noise: Vec<u8> = (0..3_000_000_u64)
            .map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
            .collect();
        for raw in [&[][..], &[7], &[0; 10_000], &[1; 5_000_000], &noise] {
            let packed = packer.pack(raw)?.to_vec();
            assert!(packed.len() <= raw.len() + HEADER + 4);
            assert_eq!(unpack(&packed).as_deref(), Ok(raw));
        }
        Ok(())
    }

    #[test]
    fn a_length_is_not_believed() {
        for (form, length, stored) in [
            (RAW, 3, &[0][..]),
            (ZSTD, 8, &[0]),
            (ZSTD, MOST as u32, &[1, 2, 3]),
            (ZSTD, u32::MAX, &[]),
            (2, 0, &[]),
        ] {
            let mut part = vec![form];
            part.extend_from_slice(&u32::to_le_bytes(length));
            part.extend_from_slice(stored);
            part.extend_from_slice(&crc32fast::hash(&part).to_le_bytes());
            assert!(unpack(&part).is_err());
        }
        assert!(unpack(&[]).is_err());
        assert!(unpack(&[0; 4]).is_err());
    }
}
