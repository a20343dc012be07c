//! Envelopes and integers as `docs/format.md` describes them, written apart from the codec.

pub(crate) const CHANGESET: u8 = 1;
pub(crate) const EFFECTS: u8 = 2;
pub(crate) const ENTRY: u8 = 3;
pub(crate) const RECORD: u8 = 4;
pub(crate) const RESOLUTION: u8 = 5;
pub(crate) const METADATA: u8 = 6;
pub(crate) const VECTOR: u8 = 7;

/// The varint of `number`.
pub(crate) fn varint(number: u64) -> Vec<u8> {
    let bytes = number.to_le_bytes();
    match number {
        0..=250 => vec![bytes[0]],
        251..=0xffff => [&[0xfb], &bytes[..2]].concat(),
        0x1_0000..=0xffff_ffff => [&[0xfc], &bytes[..4]].concat(),
        _ => [&[0xfd], &bytes[..]].concat(),
    }
}

/// `body` in an envelope.
pub(crate) fn seal(content: u8, body: &[u8]) -> Vec<u8> {
    let head = [&[0xab, 0x50, 1, content], varint(body.len() as u64).as_slice()].concat();
    reseal(&[head.as_slice(), body].concat())
}

/// Bytes that should be an envelope but for the checksum, with the right one.
pub(crate) fn reseal(sealed: &[u8]) -> Vec<u8> {
    [sealed, &crc32fast::hash(sealed).to_le_bytes()].concat()
}

/// The body of an envelope that is known to be good.
pub(crate) fn body(envelope: &[u8]) -> &[u8] {
    let skipped = match envelope[4] {
        0xfb => 7,
        0xfc => 9,
        0xfd => 13,
        _ => 5,
    };
    &envelope[skipped..envelope.len() - 4]
}
