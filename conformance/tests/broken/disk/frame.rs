//! Commits as bytes, each in a frame with its length and a checksum.

use prophet_store::{Commit, CommitId, Head, MetadataKey, Position, Version, codec};

pub(crate) const HEAD: usize = 12;

/// Any one byte that changes changes it.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, mix)
}

pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).expect("it is short").to_le_bytes().to_vec();
    bytes.extend(checksum(body).to_le_bytes());
    bytes.extend(body);
    bytes
}

/// What the bytes from `at` on are.
pub(crate) enum Framed<'a> {
    Whole(&'a [u8]),
    /// The end of it is missing.
    Torn,
    /// Its checksum is wrong. Whether it is the last.
    Wrong(&'a [u8], bool),
}

pub(crate) fn read(bytes: &[u8], at: usize) -> Framed<'_> {
    let rest = &bytes[at..];
    let Some((head, rest)) = rest.split_at_checked(HEAD) else { return Framed::Torn };
    let len = u32::from_le_bytes(head[..4].try_into().expect("they are four")) as usize;
    let sum = u64::from_le_bytes(head[4..].try_into().expect("they are eight"));
    match rest.get(..len) {
        None => Framed::Torn,
        Some(body) if checksum(body) == sum => Framed::Whole(body),
        Some(body) => Framed::Wrong(body, rest.len() == len),
    }
}

/// The parts of a commit that are in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parts {
    All,
    Entries,
    Others,
}

pub(crate) fn encode(commit: &Commit, parts: Parts) -> Vec<u8> {
    let base = commit.base();
    let mut bytes = commit.id().as_bytes().to_vec();
    bytes.extend(base.version.get().to_le_bytes());
    bytes.extend(base.position.get().to_le_bytes());
    bytes.extend(base.commit.as_bytes());
    let mut put = |kind: u8, value: &[u8]| {
        bytes.push(kind);
        bytes.extend(u32::try_from(value.len()).expect("it is short").to_le_bytes());
        bytes.extend(value);
    };
    if parts != Parts::Others {
        commit.entries().iter().for_each(|entry| put(0, &codec::encode_entry(entry)));
    }
    if parts != Parts::Entries {
        commit.records().values().for_each(|state| put(1, &codec::encode_record(state)));
        commit.resolutions().iter().for_each(|it| put(2, &codec::encode_resolution(it)));
        for (key, value) in commit.metadata() {
            put(3, key.as_str().as_bytes());
            match value {
                Some(value) => put(4, value),
                None => put(5, &[]),
            }
        }
    }
    bytes
}

/// The commit in a body. Whether records that cannot be read are left out.
pub(crate) fn decode(body: &[u8], lenient: bool) -> Option<Commit> {
    let (head, mut rest) = body.split_at_checked(48)?;
    let number = |at: usize| head[at..at + 8].try_into().ok().map(u64::from_le_bytes);
    let id = |at: usize| head[at..at + 16].try_into().ok().map(CommitId::from_bytes);
    let (version, position) = (Version::new(number(16)?), Position::new(number(24)?));
    let base = Head { version, position, commit: id(32)? };
    let mut commit = Commit::new(id(0)?, base);
    let mut key = None;
    while !rest.is_empty() {
        let (head, after) = rest.split_at_checked(5)?;
        let len = u32::from_le_bytes(head[1..].try_into().ok()?) as usize;
        let (value, after) = after.split_at_checked(len)?;
        rest = after;
        commit = match head[0] {
            0 => {
                let position = commit.head().position.next();
                commit.with_entry(codec::decode_entry(position, value).ok()?).ok()?
            }
            1 => match codec::decode_record(value) {
                Ok(state) => commit.with_record(state).ok()?,
                Err(_) if lenient => commit,
                Err(_) => return None,
            },
            2 => commit.with_resolution(codec::decode_resolution(value).ok()?).ok()?,
            3 => {
                key = Some(MetadataKey::new(str::from_utf8(value).ok()?).ok()?);
                commit
            }
            4 => commit.with_metadata(key.take()?, Some(value.to_vec())).ok()?,
            5 => commit.with_metadata(key.take()?, None).ok()?,
            _ => return None,
        };
    }
    Some(commit)
}
