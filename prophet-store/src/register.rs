//! Multi-value registers: what a record's existence and each of its properties are.

use std::fmt;

use crate::conflict;
use crate::id::{ConflictId, Digest};
use crate::name::{PropertyName, RecordKey};
use crate::time::Timestamp;
use crate::value::Value;

/// Names one register of a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_enums, reason = "the registers of a record are fixed by the format")]
pub enum RegisterName {
    /// Whether the record exists: its values are [`Value::Boolean`], true for alive.
    Existence,
    /// One of its properties.
    Property(PropertyName),
}

impl fmt::Display for RegisterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Existence => f.write_str("existence"),
            Self::Property(name) => write!(f, "property {name:?}"),
        }
    }
}

/// One write that no known changeset supersedes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Write {
    /// The changeset that wrote.
    pub changeset: Digest,
    /// The time by which writes are ranked: that of the changeset, or of the latest write that it
    /// supersedes if that is later.
    pub rank: Timestamp,
    /// What was written; `None` is *absent*.
    pub value: Option<Value>,
}

impl Write {
    /// A write of `value` by `changeset`.
    pub const fn new(changeset: Digest, rank: Timestamp, value: Option<Value>) -> Self {
        Self { changeset, rank, value }
    }
}

/// A multi-value register: the writes that no known changeset supersedes, ordered by the digest of
/// their changesets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Register {
    writes: Vec<Write>,
}

impl Register {
    pub(crate) const fn new_empty() -> Self {
        Self { writes: Vec::new() }
    }

    /// The register of these live writes.
    pub fn new(mut writes: Vec<Write>) -> Self {
        writes.sort_by_key(|write| write.changeset);
        writes.dedup_by_key(|write| write.changeset);
        Self { writes }
    }

    /// The live writes, ordered by the digest of their changesets.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// The digests of the live writes: what a new write that saw them supersedes.
    pub fn frontier(&self) -> Vec<Digest> {
        self.writes.iter().map(|write| write.changeset).collect()
    }

    /// Whether live writes disagree.
    pub fn is_contested(&self) -> bool {
        self.writes.windows(2).any(|pair| match pair {
            [one, other] => one.value != other.value,
            _ => false,
        })
    }

    /// The visible value: what the live writes agree on, or else the value of the write that
    /// ranks highest by time and then digest.
    pub fn visible(&self) -> Option<&Value> {
        self.writes
            .iter()
            .max_by_key(|write| (write.rank, write.changeset))
            .and_then(|write| write.value.as_ref())
    }

    /// The distinct values that disagree, in their canonical order; empty unless contested.
    pub fn candidates(&self) -> Vec<Option<Value>> {
        if !self.is_contested() {
            return Vec::new();
        }
        conflict::distinct(self.writes.iter().map(|write| write.value.clone()).collect())
    }

    /// The conflict that this register of `record` is in, if it is contested.
    pub fn conflict(&self, record: &RecordKey, register: &RegisterName) -> Option<ConflictId> {
        self.is_contested().then(|| conflict::identify(record, register, &self.candidates()))
    }

    /// Takes out the writes that `superseded` names and puts in the new one. Its rank becomes at
    /// least that of each write it took out.
    pub(crate) fn write(&mut self, superseded: &[Digest], mut write: Write) {
        self.writes.retain(|old| {
            let dead = superseded.binary_search(&old.changeset).is_ok();
            if dead {
                write.rank = write.rank.max(old.rank);
            }
            !dead
        });
        if let Err(place) = self.writes.binary_search_by_key(&write.changeset, |old| old.changeset)
        {
            self.writes.insert(place, write);
        }
    }
}
