//! Order-preserving keys: everything that a store finds things by, as bytes.
//!
//! The bytes of two keys are ordered as the keys are, so that a scan of a
//! [`ReplicaStore`](prophet_store::ReplicaStore) is a scan of a [`KeyRange`]. One byte in front of
//! each key names its space, so that all spaces fit into one table. Numbers are big-endian.
//!
//! For each space there is a function that makes a key, one (`to_`) that reads it back and answers
//! `None` to what is no such key, and ranges.
//!
//! ```
//! use prophet_store::{RecordKey, RecordType};
//! use prophet_tables::keys;
//!
//! let key: RecordKey = "bug/018f2d6e-7b1c-7000-8000-000000000001".parse()?;
//! let bytes = keys::record(&key);
//! assert_eq!(keys::to_record(&bytes), Some(key));
//! assert!(keys::records_of(&RecordType::new("bug")?).contains(&bytes));
//! assert!(!keys::records_of(&RecordType::new("bugs")?).contains(&bytes));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::borrow::Cow;
use std::ops::Bound;

use prophet_store::{
    ConflictId, Digest, Direction, MetadataKey, Position, RecordId, RecordKey, RecordType,
    ReplicaId, Sequence, Version,
};

use crate::range::KeyRange;

// Fixed by the format.
const RECORD: u8 = b'r';
const HISTORY: u8 = b'h';
const ORIGIN: u8 = b'o';
const CHANGESET: u8 = b'c';
const RESOLUTION: u8 = b'v';
const METADATA: u8 = b'm';
const COMMIT: u8 = b'k';
const ENTRY: u8 = b'e';

/// What ends a text within a key. A zero byte of the text is followed by [`ESCAPED`], so that the
/// end sorts before everything that a longer text can go on with.
const END: u8 = 0x01;
const ESCAPED: u8 = 0xFF;

/// The key of a record's state; ordered by type and then id, bytewise.
pub fn record(key: &RecordKey) -> Vec<u8> {
    record_in(RECORD, key)
}

/// The record of a key that [`record`] made.
pub fn to_record(bytes: &[u8]) -> Option<RecordKey> {
    let (key, rest) = take_record(space(RECORD, bytes)?)?;
    rest.is_empty().then_some(key)
}

/// All records of a type.
pub fn records_of(record_type: &RecordType) -> KeyRange {
    let mut bytes = vec![RECORD];
    put_text(&mut bytes, record_type.as_str().as_bytes());
    KeyRange::prefix(&bytes)
}

/// All records.
pub fn records() -> KeyRange {
    KeyRange::prefix(&[RECORD])
}

/// The key of a log entry that touches a record; ordered by record and then position.
pub fn history(record: &RecordKey, position: Position) -> Vec<u8> {
    let mut bytes = record_in(HISTORY, record);
    bytes.extend_from_slice(&position.get().to_be_bytes());
    bytes
}

/// The record and the position of a key that [`history`] made.
pub fn to_history(bytes: &[u8]) -> Option<(RecordKey, Position)> {
    let (key, rest) = take_record(space(HISTORY, bytes)?)?;
    Some((key, Position::new(number(rest)?)))
}

/// All log entries that touch a record.
pub fn history_of(record: &RecordKey) -> KeyRange {
    KeyRange::prefix(&record_in(HISTORY, record))
}

/// All log entries that touch any record.
pub fn histories() -> KeyRange {
    KeyRange::prefix(&[HISTORY])
}

/// The key of a changeset by its author; ordered by origin, sequence and digest.
pub fn origin(origin: ReplicaId, sequence: Sequence, digest: Digest) -> Vec<u8> {
    let sequence = sequence.get().to_be_bytes();
    joined(ORIGIN, &[origin.as_bytes(), &sequence, digest.as_bytes()])
}

/// What [`origin`] made a key of.
pub fn to_origin(bytes: &[u8]) -> Option<(ReplicaId, Sequence, Digest)> {
    let (origin, rest) = space(ORIGIN, bytes)?.split_first_chunk()?;
    let (sequence, digest) = rest.split_first_chunk()?;
    let sequence = Sequence::new(u64::from_be_bytes(*sequence))?;
    Some((ReplicaId::from_bytes(*origin), sequence, Digest::from_bytes(digest.try_into().ok()?)))
}

/// All changesets of an origin.
pub fn origin_of(origin: ReplicaId) -> KeyRange {
    KeyRange::prefix(&joined(ORIGIN, &[origin.as_bytes()]))
}

/// All changesets of all origins.
pub fn origins() -> KeyRange {
    KeyRange::prefix(&[ORIGIN])
}

/// The key of a changeset by its digest.
pub fn changeset(digest: Digest) -> Vec<u8> {
    joined(CHANGESET, &[digest.as_bytes()])
}

/// The digest of a key that [`changeset`] made.
pub fn to_changeset(bytes: &[u8]) -> Option<Digest> {
    Some(Digest::from_bytes(space(CHANGESET, bytes)?.try_into().ok()?))
}

/// All changesets, by digest.
pub fn changesets() -> KeyRange {
    KeyRange::prefix(&[CHANGESET])
}

/// The key of a resolution; ordered by conflict and then changeset.
pub fn resolution(conflict: ConflictId, changeset: Digest) -> Vec<u8> {
    joined(RESOLUTION, &[conflict.as_bytes(), changeset.as_bytes()])
}

/// The conflict and the changeset of a key that [`resolution`] made.
pub fn to_resolution(bytes: &[u8]) -> Option<(ConflictId, Digest)> {
    let (conflict, changeset) = space(RESOLUTION, bytes)?.split_first_chunk()?;
    Some((ConflictId::from_bytes(*conflict), Digest::from_bytes(changeset.try_into().ok()?)))
}

/// All resolutions of a conflict.
pub fn resolutions_of(conflict: ConflictId) -> KeyRange {
    KeyRange::prefix(&joined(RESOLUTION, &[conflict.as_bytes()]))
}

/// All resolutions.
pub fn resolutions() -> KeyRange {
    KeyRange::prefix(&[RESOLUTION])
}

/// The key of a metadata value; ordered bytewise.
pub fn metadata(key: &MetadataKey) -> Vec<u8> {
    joined(METADATA, &[key.as_str().as_bytes()])
}

/// The metadata key of a key that [`metadata`] made.
pub fn to_metadata(bytes: &[u8]) -> Option<MetadataKey> {
    MetadataKey::new(std::str::from_utf8(space(METADATA, bytes)?).ok()?).ok()
}

/// All metadata whose keys begin with `prefix`.
pub fn metadata_with(prefix: &str) -> KeyRange {
    KeyRange::prefix(&joined(METADATA, &[prefix.as_bytes()]))
}

/// The key of a commit by its version.
pub fn commit(version: Version) -> Vec<u8> {
    joined(COMMIT, &[&version.get().to_be_bytes()])
}

/// The version of a key that [`commit`] made.
pub fn to_commit(bytes: &[u8]) -> Option<Version> {
    Some(Version::new(number(space(COMMIT, bytes)?)?))
}

/// All commits.
pub fn commits() -> KeyRange {
    KeyRange::prefix(&[COMMIT])
}

/// The key of a log entry; ordered by position. For stores that keep the log among the rest.
pub fn entry(position: Position) -> Vec<u8> {
    joined(ENTRY, &[&position.get().to_be_bytes()])
}

/// The position of a key that [`entry`] made.
pub fn to_entry(bytes: &[u8]) -> Option<Position> {
    Some(Position::new(number(space(ENTRY, bytes)?)?))
}

/// All log entries.
pub fn entries() -> KeyRange {
    KeyRange::prefix(&[ENTRY])
}

/// All log entries from a position on, in a direction.
pub fn entries_from(position: Position, direction: Direction) -> KeyRange {
    let KeyRange { start, end } = entries();
    match direction {
        Direction::Forward => KeyRange { start: Bound::Included(entry(position)), end },
        Direction::Backward => KeyRange { start, end: Bound::Included(entry(position)) },
    }
}

/// What the filter of a table knows a key by. Keys that are read together are known by one thing: all log
/// entries that touch a record by the key of the record, which the table has as a rule; the changesets of an
/// origin by the origin; the resolutions of a conflict by the conflict. Any other key is known by itself.
pub(crate) fn known_by(key: &[u8]) -> Cow<'_, [u8]> {
    match shared_part(key) {
        Some(part) if part.first() == Some(&HISTORY) => {
            let mut record = part.to_vec();
            if let Some(first) = record.first_mut() {
                *first = RECORD;
            }
            Cow::Owned(record)
        }
        Some(part) => Cow::Borrowed(part),
        None => Cow::Borrowed(key),
    }
}

/// What all keys of a range are known by, if that is one thing.
pub(crate) fn range_known_by(range: &KeyRange) -> Option<Cow<'_, [u8]>> {
    let (Bound::Included(start) | Bound::Excluded(start)) = &range.start else { return None };
    let part = shared_part(start)?;
    let whole = KeyRange::prefix(part);
    let within = match &range.end {
        Bound::Included(end) => whole.contains(end),
        Bound::Excluded(end) => whole.contains(end) || range.end == whole.end,
        Bound::Unbounded => false,
    };
    within.then(|| known_by(part))
}

/// The part of a key that it shares with those that it is read together with, if there are such.
fn shared_part(key: &[u8]) -> Option<&[u8]> {
    let (first, rest) = key.split_first()?;
    let len = match *first {
        HISTORY => text_len(rest)? + 16,
        ORIGIN => 16,
        RESOLUTION => 32,
        _ => return None,
    };
    key.get(..=len)
}

fn joined(space: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    bytes.push(space);
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

fn space(space: u8, bytes: &[u8]) -> Option<&[u8]> {
    bytes.split_first().filter(|(first, _)| **first == space).map(|(_, rest)| rest)
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

fn record_in(space: u8, key: &RecordKey) -> Vec<u8> {
    let text = key.record_type().as_str().as_bytes();
    // Room for a position after it.
    let mut bytes = Vec::with_capacity(text.len() + 27);
    bytes.push(space);
    put_text(&mut bytes, text);
    bytes.extend_from_slice(key.id().as_bytes());
    bytes
}

fn take_record(bytes: &[u8]) -> Option<(RecordKey, &[u8])> {
    let (text, rest) = take_text(bytes)?;
    let record_type = RecordType::new(std::str::from_utf8(&text).ok()?).ok()?;
    let (id, rest) = rest.split_first_chunk()?;
    Some((RecordKey::new(record_type, RecordId::from_bytes(*id)), rest))
}

fn put_text(bytes: &mut Vec<u8>, text: &[u8]) {
    for (index, part) in text.split(|byte| *byte == 0).enumerate() {
        if index > 0 {
            bytes.extend_from_slice(&[0, ESCAPED]);
        }
        bytes.extend_from_slice(part);
    }
    bytes.extend_from_slice(&[0, END]);
}

/// How long the text is that these bytes begin with, up to its end.
fn text_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == 0)? + 2;
        match bytes.get(at - 1) {
            Some(&END) => return Some(at),
            Some(&ESCAPED) => {}
            _ => return None,
        }
    }
}

fn take_text(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut text = Vec::new();
    let mut rest = bytes;
    loop {
        let end = rest.iter().position(|byte| *byte == 0)?;
        let (plain, zero) = rest.split_at_checked(end)?;
        text.extend_from_slice(plain);
        match zero {
            [0, ESCAPED, more @ ..] => {
                text.push(0);
                rest = more;
            }
            [0, END, more @ ..] => return Some((text, more)),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// It is part of the format.
    #[test]
    fn what_keys_are_known_by_never_changes() {
        let text = |text: &str| text.as_bytes().to_vec();
        let id = "0123456789abcdef";
        for (key, known) in [
            (format!("hbug\0\u{1}{id}position"), format!("rbug\0\u{1}{id}")),
            (format!("hbug\0\u{1}{id}"), format!("rbug\0\u{1}{id}")),
            (format!("o{id}sequence and digest"), format!("o{id}")),
            (format!("v{id}{id}changeset"), format!("v{id}{id}")),
        ] {
            assert_eq!(*known_by(key.as_bytes()), *text(&known), "{key:?}");
        }
        for key in [
            format!("rbug\0\u{1}{id}"),
            format!("c{id}{id}"),
            "mpeers/home".to_owned(),
            "k\0\0\0\0\0\0\0\u{1}".to_owned(),
            // Not long enough, or no text that ends.
            format!("hbug\0\u{1}{}", &id[1..]),
            format!("hbug\0\u{2}{id}"),
            format!("hbug{id}"),
            format!("o{}", &id[1..]),
            format!("v{id}{}", &id[1..]),
            String::new(),
        ] {
            assert_eq!(*known_by(key.as_bytes()), *text(&key), "{key:?}");
        }
    }

    proptest! {
        // No record type has a control character today; the keys would bear it.
        #[test]
        fn texts_keep_their_order(
            a in prop::collection::vec(prop_oneof![Just(0), Just(1), Just(255), any::<u8>()], 0..6),
            b in prop::collection::vec(prop_oneof![Just(0), Just(1), Just(255), any::<u8>()], 0..6),
            after in any::<[u8; 2]>(),
        ) {
            let encode = |text: &[u8], after: u8| {
                let mut bytes = Vec::new();
                put_text(&mut bytes, text);
                bytes.push(after);
                bytes
            };
            let (x, y) = (encode(&a, after[0]), encode(&b, after[1]));
            prop_assert_eq!(x.cmp(&y), (&a, after[0]).cmp(&(&b, after[1])));
            prop_assert_eq!(text_len(&x), Some(x.len() - 1));
            prop_assert_eq!(take_text(&x), Some((a, &after[..1])));
        }
    }
}
