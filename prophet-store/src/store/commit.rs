//! The one way to write.

use std::collections::{BTreeMap, HashSet};

use crate::codec;
use crate::id::{CommitId, Position};
use crate::limits::{self, LimitExceeded};
use crate::log::LogEntry;
use crate::name::{NameError, RecordKey};
use crate::record::RecordState;
use crate::resolution::Resolution;
use crate::store::{Head, StoreError};

/// A metadata key: UTF-8 of 1 to 255 bytes. Keys are ordered bytewise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetadataKey(Box<str>);

impl MetadataKey {
    /// The key `text`.
    ///
    /// # Errors
    /// An empty key, and one above the limit.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, NameError> {
        let text = text.into();
        if text.is_empty() {
            return Err(NameError::Empty { what: "metadata key" });
        }
        let actual = text.len() as u64;
        limits::check(|| "a metadata key".into(), "bytes", limits::METADATA_KEY_BYTES, actual)?;
        Ok(Self(text))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for MetadataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What [`ReplicaStore::commit`](crate::ReplicaStore::commit) applies, all of it or nothing.
///
/// Built by a chain of `with_` calls, each of which refuses what no store may accept:
///
/// ```
/// use prophet_store::{Commit, CommitId, Head, MetadataKey};
///
/// let commit = Commit::new(CommitId::from_bytes([7; 16]), Head::EMPTY)
///     .with_metadata(MetadataKey::new("peers/home")?, Some(b"192.0.2.1".to_vec()))?;
/// assert_eq!(commit.head().version.get(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    id: CommitId,
    base: Head,
    entries: Vec<LogEntry>,
    records: BTreeMap<RecordKey, RecordState>,
    resolutions: Vec<Resolution>,
    metadata: BTreeMap<MetadataKey, Option<Vec<u8>>>,
    size: u64,
}

impl Commit {
    /// A commit on `base` that changes nothing yet. Two commits must never share an id.
    pub const fn new(id: CommitId, base: Head) -> Self {
        Self {
            id,
            base,
            entries: Vec::new(),
            records: BTreeMap::new(),
            resolutions: Vec::new(),
            metadata: BTreeMap::new(),
            size: 0,
        }
    }

    /// Appends a log entry.
    ///
    /// # Errors
    /// An entry whose position is not the next one, and more than a commit may hold.
    pub fn with_entry(mut self, entry: LogEntry) -> Result<Self, StoreError> {
        let expected = self.head().position.next();
        if entry.position != expected {
            return Err(StoreError::invalid_commit(format!(
                "an entry has position {}, but the next one is {expected}",
                entry.position
            )));
        }
        let count = self.entries.len() as u64 + 1;
        limits::check(|| "a commit".into(), "log entries", limits::COMMIT_ENTRIES, count)?;
        self.grow(entry.changeset.payload_bytes().len() as u64 + 256)?;
        for adjustment in entry.nullify.iter().chain(&entry.settle) {
            let values = [&adjustment.old, &adjustment.new];
            self.grow(values.into_iter().flatten().map(codec::value_len).sum())?;
        }
        self.entries.push(entry);
        Ok(self)
    }

    /// Puts the state of a record in the place of what the store has of it.
    ///
    /// # Errors
    /// More than a commit may hold.
    pub fn with_record(mut self, state: RecordState) -> Result<Self, StoreError> {
        self.grow(state.approximate_size() as u64)?;
        self.records.insert(state.key().clone(), state);
        Ok(self)
    }

    /// As [`with_record`](Self::with_record) for each of these, of a commit that has none yet.
    pub(crate) fn with_records(
        mut self,
        records: BTreeMap<RecordKey, RecordState>,
    ) -> Result<Self, StoreError> {
        for state in records.values() {
            self.grow(state.approximate_size() as u64)?;
        }
        self.records = records;
        Ok(self)
    }

    /// Adds a vote to the resolution database.
    ///
    /// # Errors
    /// More than a commit may hold.
    pub fn with_resolution(mut self, resolution: Resolution) -> Result<Self, StoreError> {
        let candidates = resolution.vote.candidates.iter().flatten();
        self.grow(128 + candidates.map(codec::value_len).sum::<u64>())?;
        self.resolutions.push(resolution);
        Ok(self)
    }

    /// Sets a metadata key to a value, or removes it.
    ///
    /// # Errors
    /// A value above the limit, and more than a commit may hold.
    pub fn with_metadata(
        mut self,
        key: MetadataKey,
        value: Option<Vec<u8>>,
    ) -> Result<Self, StoreError> {
        let len = value.as_ref().map_or(0, Vec::len) as u64;
        let what = || format!("the value of metadata key {key}");
        limits::check(what, "bytes", limits::METADATA_VALUE_BYTES, len)?;
        self.grow(len + key.as_str().len() as u64)?;
        self.metadata.insert(key, value);
        Ok(self)
    }

    /// The same commit under another id, on the same position of another head.
    pub(crate) fn moved_to(self, id: CommitId, base: Head) -> Self {
        Self { id, base, ..self }
    }

    /// Takes in what `next`, built to follow this one, does. The caller has seen to the limits.
    pub(crate) fn absorb(&mut self, next: Self) {
        self.entries.extend(next.entries);
        self.records.extend(next.records);
        self.resolutions.extend(next.resolutions);
        self.metadata.extend(next.metadata);
        self.size = self.size.saturating_add(next.size);
    }

    fn grow(&mut self, by: u64) -> Result<(), LimitExceeded> {
        let size = self.size.saturating_add(by);
        limits::check(|| "a commit".into(), "bytes", limits::COMMIT_BYTES, size)?;
        self.size = size;
        Ok(())
    }

    /// Its identity.
    pub const fn id(&self) -> CommitId {
        self.id
    }

    /// The head it is to be applied to, and to no other.
    pub const fn base(&self) -> Head {
        self.base
    }

    /// The head after it was applied.
    pub fn head(&self) -> Head {
        let position = self.base.position.get().saturating_add(self.entries.len() as u64);
        Head {
            version: self.base.version.next(),
            position: Position::new(position),
            commit: self.id,
        }
    }

    /// The log entries, with the positions that follow the base.
    pub fn entries(&self) -> &[LogEntry] {
        &self.entries
    }

    /// The records, by key.
    pub const fn records(&self) -> &BTreeMap<RecordKey, RecordState> {
        &self.records
    }

    /// The resolutions.
    pub fn resolutions(&self) -> &[Resolution] {
        &self.resolutions
    }

    /// The metadata keys to set, or to remove.
    pub const fn metadata(&self) -> &BTreeMap<MetadataKey, Option<Vec<u8>>> {
        &self.metadata
    }

    /// Its size in bytes: an estimate, the same on every backend, that counts what grows.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Refuses a commit that has a changeset twice: for stores, once the base was found to be right.
    ///
    /// # Errors
    /// The first changeset met again.
    pub fn check_distinct(&self) -> Result<(), StoreError> {
        let mut seen = HashSet::with_capacity(self.entries.len());
        for entry in &self.entries {
            let digest = entry.changeset.digest();
            if !seen.insert(digest) {
                return Err(StoreError::invalid_commit(format!(
                    "changeset {digest} is in it twice"
                )));
            }
        }
        Ok(())
    }
}
