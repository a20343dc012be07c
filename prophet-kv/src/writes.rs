//! What a commit writes.
//!
//! Each function adds keys and their new values to a list, `None` for a key that is to go. A list is
//! whatever can be extended: a `Vec`, or a map in which a later write replaces an earlier one. A vote that
//! a commit brings twice is written twice, and the last one counts.

use std::collections::BTreeMap;
use std::iter::once;

use prophet_store::{Commit, Head, LogEntry, MetadataKey, RecordState, Resolution, Version, codec};
use prophet_tables::keys;

/// A key, and the value that it is to have; `None` if it is to go.
pub type Write = (Vec<u8>, Option<Vec<u8>>);

/// Everything that a commit writes, its log entries included; for a store that keeps all in the map.
///
/// ```
/// use prophet_kv::writes;
/// use prophet_store::{Commit, CommitId, Head};
/// use prophet_tables::keys;
///
/// let commit = Commit::new(CommitId::from_bytes([7; 16]), Head::EMPTY);
/// let mut list = Vec::new();
/// writes::commit(&mut list, &commit);
/// assert_eq!(list, [(keys::commit(commit.head().version), Some(vec![7; 16]))]);
/// ```
pub fn commit(list: &mut impl Extend<Write>, commit: &Commit) {
    for one in commit.entries() {
        list.extend(once((keys::entry(one.position), Some(codec::encode_entry(one)))));
        entry(list, one);
    }
    for state in commit.records().values() {
        record(list, state);
    }
    for vote in commit.resolutions() {
        resolution(list, vote);
    }
    for (key, value) in commit.metadata() {
        metadata(list, key, value.clone());
    }
    commit_id(list, commit.head());
}

/// What a log entry is found by: its digest, its origin, and the records that it touches. Not the
/// votes that it carries, which a commit names by themselves.
pub fn entry(list: &mut impl Extend<Write>, entry: &LogEntry) {
    let (header, digest) = (entry.changeset.header(), entry.changeset.digest());
    let position = entry.position.get().to_le_bytes().to_vec();
    list.extend([
        (keys::changeset(digest), Some(position.clone())),
        (keys::origin(header.origin, header.sequence, digest), Some(position)),
    ]);
    let touched = entry.records();
    list.extend(
        touched.iter().map(|record| (keys::history(record, entry.position), Some(Vec::new()))),
    );
}

/// The state of a record.
pub fn record(list: &mut impl Extend<Write>, state: &RecordState) {
    list.extend(once((keys::record(state.key()), Some(codec::encode_record(state)))));
}

/// A vote in the resolution database.
pub fn resolution(list: &mut impl Extend<Write>, resolution: &Resolution) {
    let key = keys::resolution(resolution.conflict(), resolution.changeset);
    list.extend(once((key, Some(codec::encode_resolution(resolution)))));
}

/// A metadata value, or that there is none any more.
pub fn metadata(list: &mut impl Extend<Write>, key: &MetadataKey, value: Option<Vec<u8>>) {
    list.extend(once((keys::metadata(key), value)));
}

/// The id of the commit that led to `head`.
pub fn commit_id(list: &mut impl Extend<Write>, head: Head) {
    list.extend(once((keys::commit(head.version), Some(head.commit.as_bytes().to_vec()))));
}

/// How many commit ids are remembered at least, as rule C4 asks.
const REMEMBERED: u64 = 1_024;
/// Forgetting goes in steps of this many, so that an ordinary commit touches the youngest only.
const FORGET_EVERY: u64 = 256;

/// Forgets the ids of old commits, now and then: to be called for every commit, by a store that
/// does not keep them for ever. The last 1,024 remain.
pub fn forget(list: &mut impl Extend<Write>, version: Version) {
    let version = version.get();
    if version.is_multiple_of(FORGET_EVERY)
        && let Some(last) = version.checked_sub(REMEMBERED)
    {
        let first = last.saturating_sub(FORGET_EVERY) + 1;
        list.extend((first..=last).map(|old| (keys::commit(Version::new(old)), None)));
    }
}

/// Writes a list to a map in memory.
pub fn apply(map: &mut BTreeMap<Vec<u8>, Vec<u8>>, list: impl IntoIterator<Item = Write>) {
    for (key, value) in list {
        match value {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        };
    }
}
