//! Envelopes and integers as `docs/format.md` describes them, written apart from the codec.

pub(crate) const CHANGESET: u8 = 1;
pub(crate) const EFFECTS: u8 = 2;
pub(crate) const ENTRY: u8 = 3;
pub(crate) const RECORD: u8 = 4;
pub(crate) const RESOLUTION: u8 = 5;
pub(crate) const METADATA: u8 = 6;
pub(crate) const VECTOR: u8 = 7;
pub(crate) const BUNDLE_START: u8 = 8;
pub(crate) const BUNDLE_END: u8 = 9;

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
    &envelope[head_len(envelope)..envelope.len() - 4]
}

/// How many bytes of an envelope come before its body.
fn head_len(envelope: &[u8]) -> usize {
    match envelope[4] {
        0xfb => 7,
        0xfc => 9,
        0xfd => 13,
        _ => 5,
    }
}

/// The envelopes of a bundle that is known to be good.
pub(crate) fn envelopes(mut bundle: &[u8]) -> Vec<&[u8]> {
    let mut envelopes = Vec::new();
    while !bundle.is_empty() {
        let head = head_len(bundle);
        let mut length = [0; 8];
        match &bundle[4..head] {
            [short] => length[0] = *short,
            [_, long @ ..] => length[..long.len()].copy_from_slice(long),
            [] => {}
        }
        let body = usize::try_from(u64::from_le_bytes(length)).unwrap();
        let (envelope, rest) = bundle.split_at(head + body + 4);
        envelopes.push(envelope);
        bundle = rest;
    }
    envelopes
}
