//! Log entries: a changeset, and what integrating it did here.

use std::collections::BTreeSet;

use crate::changeset::Changeset;
use crate::id::Position;
use crate::name::RecordKey;
use crate::register::RegisterName;
use crate::value::Value;

/// A visible value that integrating a changeset set, beyond what the changeset itself says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the fields are fixed by the format")]
pub struct Adjustment {
    /// The record.
    pub record: RecordKey,
    /// The register whose visible value was set.
    pub register: RegisterName,
    /// What was visible just before; `None` is *absent*.
    pub old: Option<Value>,
    /// What was visible just after.
    pub new: Option<Value>,
}

/// An entry of a replica's own linear history: a changeset, its own or a foreign one, and what
/// integrating it did here, in three steps.
///
/// *Nullify* sets visible values back so that the change applies cleanly; the *change* applies;
/// *settle* leaves what is visible once conflicts were judged. Step by step, every `old` equals
/// the visible value just before, and every `new` the visible value just after: a log replays
/// cleanly in both directions. Nullification and settlement are local, derived, and not
/// replicated. An edit made here has neither, but for an undelete, which settles what reappears.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the fields of an entry are fixed by the format")]
pub struct LogEntry {
    /// Its place in this log.
    pub position: Position,
    /// What was integrated.
    pub changeset: Changeset,
    /// What was set back before, in rising order of record and register.
    pub nullify: Vec<Adjustment>,
    /// What was set after, in rising order of record and register.
    pub settle: Vec<Adjustment>,
}

impl LogEntry {
    /// The records that the entry touches, each once, in order: a store finds the entry by each.
    pub fn records(&self) -> BTreeSet<&RecordKey> {
        let adjusted = self.nullify.iter().chain(&self.settle).map(|adjustment| &adjustment.record);
        let payload = self.changeset.payload();
        let changed = payload.changes().iter().map(|change| &change.record);
        let voted = payload.votes().iter().map(|vote| &vote.record);
        adjusted.chain(changed).chain(voted).collect()
    }
}
