//! What happened to a record, and to the replica.

use std::fmt;

use futures_lite::StreamExt as _;

use crate::changeset::Kind;
use crate::error::Error;
use crate::ext::ReplicaStoreExt as _;
use crate::id::{Digest, Position, ReplicaId};
use crate::log::{Adjustment, LogEntry};
use crate::name::{Creator, RecordKey};
use crate::register::RegisterName;
use crate::replica::{Replica, Streamed};
use crate::store::{Direction, HistoryScan, LogScan, PageLimit};
use crate::time::Timestamp;
use crate::value::Value;
use crate::visible::steps;

/// One entry of the history of a record: who did what, when, and what that did here.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HistoryEntry {
    /// Its place in the log of this replica.
    pub position: Position,
    /// The changeset.
    pub changeset: Digest,
    /// The replica that authored it.
    pub origin: ReplicaId,
    /// Who made it.
    pub creator: Creator,
    /// When, by the author's clock.
    pub time: Timestamp,
    /// What the changeset was for.
    pub kind: Kind,
    /// What it changed of the record, in the order in which it happened.
    pub changes: Vec<HistoryChange>,
}

/// One visible value of a record that changed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HistoryChange {
    /// In which step of the integration.
    pub step: StepKind,
    /// What changed.
    pub register: RegisterName,
    /// What it was; `None` is *absent*. Of the existence, true is alive and false is deleted.
    pub old: Option<Value>,
    /// What it is.
    pub new: Option<Value>,
}

/// The steps in which a changeset is integrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "there are three steps")]
pub enum StepKind {
    /// A value was set back, so that the change applied cleanly.
    Nullify,
    /// The change itself.
    Change,
    /// A value was set once conflicts were judged.
    Settle,
}

impl HistoryEntry {
    fn of(entry: &LogEntry, record: &RecordKey) -> Self {
        let header = entry.changeset.header();
        let touches = |adjustments: &[Adjustment]| {
            adjustments.iter().filter(|adjustment| adjustment.record == *record).count()
        };
        let steps = steps(entry, record);
        let (nullified, settled) = (touches(&entry.nullify), touches(&entry.settle));
        let changed = steps.len() - settled;
        let changes = steps.iter().enumerate().filter(|(_, step)| step.old != step.new).map(
            |(index, step)| HistoryChange {
                step: match index {
                    _ if index < nullified => StepKind::Nullify,
                    _ if index < changed => StepKind::Change,
                    _ => StepKind::Settle,
                },
                register: step.register.clone(),
                old: step.old.cloned(),
                new: step.new.cloned(),
            },
        );
        Self {
            position: entry.position,
            changeset: entry.changeset.digest(),
            origin: header.origin,
            creator: header.creator.clone(),
            time: header.time,
            kind: header.kind,
            changes: changes.collect(),
        }
    }
}

/// One line for the entry, and one for each change.
impl fmt::Display for HistoryEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let creator = match self.creator.as_str() {
            "" => "nobody",
            creator => creator,
        };
        write!(f, "{:>5}  {}  {creator}", self.position.get(), self.time)?;
        if self.kind != Kind::Edit {
            write!(f, "  ({})", self.kind)?;
        }
        for change in &self.changes {
            write!(f, "\n         {change}")?;
        }
        Ok(())
    }
}

impl fmt::Display for HistoryChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            StepKind::Nullify => f.write_str("(set back) ")?,
            StepKind::Change => {}
            StepKind::Settle => f.write_str("(settled) ")?,
        }
        match (&self.register, &self.old, &self.new) {
            (RegisterName::Existence, None, Some(Value::Boolean(true))) => f.write_str("created"),
            (RegisterName::Existence, _, Some(Value::Boolean(true))) => f.write_str("undeleted"),
            (RegisterName::Existence, ..) => f.write_str("deleted"),
            (RegisterName::Property(name), None, Some(new)) => write!(f, "{name}: {new}"),
            (RegisterName::Property(name), Some(old), Some(new)) => {
                write!(f, "{name}: {old} -> {new}")
            }
            (RegisterName::Property(name), Some(old), None) => write!(f, "{name}: {old} removed"),
            (RegisterName::Property(name), None, None) => write!(f, "{name}: absent"),
        }
    }
}

impl Replica {
    /// What happened to a record, also to a deleted one, oldest first or newest first.
    pub fn history(&self, record: &RecordKey, direction: Direction) -> Streamed<'_, HistoryEntry> {
        let scan = HistoryScan {
            record: record.clone(),
            after: None,
            direction,
            limit: PageLimit::default(),
        };
        let record = record.clone();
        let entries = self.inner.store.stream_history(scan);
        Box::pin(entries.map(move |entry| Ok(HistoryEntry::of(&entry?, &record))))
    }

    /// The log from beyond `after`, forwards or backwards; all of it if `after` is `None`.
    pub fn log(&self, after: Option<Position>, direction: Direction) -> Streamed<'_, LogEntry> {
        let scan = LogScan { after, direction, limit: PageLimit::default() };
        Box::pin(self.inner.store.stream_log(scan).map(|entry| Ok(entry?)))
    }

    /// The log entry of a changeset.
    ///
    /// # Errors
    /// A changeset that is not in the log; what the store says.
    pub async fn changeset(&self, digest: Digest) -> Result<LogEntry, Error> {
        let store = &self.inner.store;
        let found = store.find_changesets(&[digest]).await?;
        let missing = Error::NoSuchChangeset { digest };
        let Some(position) = found.value.into_iter().next().flatten() else {
            return Err(missing);
        };
        let scan = LogScan {
            after: Some(Position::new(position.get() - 1)),
            direction: Direction::Forward,
            limit: PageLimit::items(1),
        };
        store.scan_log(&scan).await?.items.into_iter().next().ok_or(missing)
    }
}
