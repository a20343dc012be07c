//! What happened to a record, and to the replica.

use std::fmt;
use std::sync::Arc;

use futures_lite::{StreamExt as _, stream};

use crate::changeset::Kind;
use crate::error::Error;
use crate::ext::{ReplicaStoreExt as _, entry_of};
use crate::id::{Digest, Position, ReplicaId};
use crate::judgement::Rule;
use crate::log::{Adjustment, LogEntry};
use crate::name::{Creator, RecordKey};
use crate::register::RegisterName;
use crate::replica::lineage::lineage;
use crate::replica::why::shown;
use crate::replica::{Replica, Streamed};
use crate::store::{Direction, HistoryScan, LogScan, PageLimit};
use crate::time::Timestamp;
use crate::value::Value;
use crate::visible::{Step, steps};

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
    /// Whether it came from another replica.
    pub arrived: bool,
    /// What the changeset was for.
    pub kind: Kind,
    /// The votes that it cast on the record's registers.
    pub votes: Vec<HistoryVote>,
    /// What it changed of the record, in the order in which it happened.
    pub changes: Vec<HistoryChange>,
}

/// A vote on a register of a record.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HistoryVote {
    /// What was contested.
    pub register: RegisterName,
    /// The values that disagreed; `None` is *absent*.
    pub candidates: Vec<Option<Value>>,
    /// The one that was chosen.
    pub choice: Option<Value>,
}

/// One visible value of a record that changed, or that a conflict left as it was.
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
    /// If it is contested: the rule by which this value won.
    pub rule: Option<Rule>,
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
    fn of(entry: &LogEntry, record: &RecordKey, arrived: bool) -> Self {
        let header = entry.changeset.header();
        let touches = |adjustments: &[Adjustment]| {
            adjustments.iter().filter(|adjustment| adjustment.record == *record).count()
        };
        let steps = steps(entry, record);
        let (nullified, settled) = (touches(&entry.nullify), touches(&entry.settle));
        let changed = steps.len() - settled;
        let tells = |step: &Step<'_>| step.old != step.new || step.rule.is_some();
        let changes =
            steps.iter().enumerate().filter(|(_, step)| tells(step)).map(|(index, step)| {
                HistoryChange {
                    step: match index {
                        _ if index < nullified => StepKind::Nullify,
                        _ if index < changed => StepKind::Change,
                        _ => StepKind::Settle,
                    },
                    register: step.register.clone(),
                    old: step.old.cloned(),
                    new: step.new.cloned(),
                    rule: step.rule,
                }
            });
        let votes = entry.changeset.payload().votes().iter();
        let votes = votes.filter(|vote| vote.record == *record).map(|vote| HistoryVote {
            register: vote.register.clone(),
            candidates: vote.candidates.clone(),
            choice: vote.choice.clone(),
        });
        Self {
            position: entry.position,
            changeset: entry.changeset.digest(),
            origin: header.origin,
            creator: header.creator.clone(),
            time: header.time,
            arrived,
            kind: header.kind,
            votes: votes.collect(),
            changes: changes.collect(),
        }
    }
}

/// One line for the entry, and one for each vote and each change.
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
        if self.arrived {
            write!(f, "  from replica {}", self.origin)?;
        }
        for vote in &self.votes {
            write!(f, "\n         {vote}")?;
        }
        for change in &self.changes {
            write!(f, "\n         {change}")?;
        }
        Ok(())
    }
}

impl fmt::Display for HistoryVote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: &Option<Value>| shown(&self.register, value.as_ref());
        let others = self.candidates.iter().filter(|candidate| **candidate != self.choice);
        let others = others.map(value).collect::<Vec<_>>().join(", ");
        match &self.register {
            RegisterName::Existence => write!(f, "voted for {}", value(&self.choice))?,
            RegisterName::Property(name) => write!(f, "{name}: voted for {}", value(&self.choice))?,
        }
        write!(f, " over {others}")
    }
}

impl fmt::Display for HistoryChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let same = self.old == self.new;
        match self.step {
            StepKind::Nullify => f.write_str("(set back) ")?,
            StepKind::Change => {}
            StepKind::Settle if same => f.write_str("(conflict) ")?,
            StepKind::Settle => f.write_str("(settled) ")?,
        }
        let now = shown(&self.register, self.new.as_ref());
        match (&self.register, &self.old, &self.new) {
            (RegisterName::Existence, ..) if same => write!(f, "remains {now}")?,
            (RegisterName::Property(name), ..) if same => write!(f, "{name}: {now} wins")?,
            (RegisterName::Existence, None, Some(Value::Boolean(true))) => {
                f.write_str("created")?
            }
            (RegisterName::Existence, _, Some(Value::Boolean(true))) => f.write_str("undeleted")?,
            // As it has to be for a creation to apply.
            (RegisterName::Existence, _, None) => f.write_str("not there")?,
            (RegisterName::Existence, ..) => f.write_str("deleted")?,
            (RegisterName::Property(name), None, Some(new)) => write!(f, "{name}: {new}")?,
            (RegisterName::Property(name), Some(old), Some(new)) => {
                write!(f, "{name}: {old} -> {new}")?;
            }
            (RegisterName::Property(name), Some(old), None) => write!(f, "{name}: {old} removed")?,
            (RegisterName::Property(name), None, None) => write!(f, "{name}: absent")?,
        }
        match self.rule {
            Some(rule) => write!(f, ", {rule}"),
            None => Ok(()),
        }
    }
}

impl Replica {
    /// What happened to a record, also to a deleted one, oldest first or newest first: what was
    /// edited here, what arrived, what was set back for it, what won and by which rule, and the
    /// votes.
    pub fn history(&self, record: &RecordKey, direction: Direction) -> Streamed<'_, HistoryEntry> {
        let scan = HistoryScan {
            record: record.clone(),
            after: None,
            direction,
            limit: PageLimit::default(),
        };
        let record = record.clone();
        let store = &*self.inner.store;
        let begin = async move { Ok::<_, Error>(Arc::new(lineage(store).await?)) };
        Box::pin(stream::once_future(begin).flat_map(move |begun| match begun {
            Err(error) => Box::pin(stream::once(Err(error))) as Streamed<'_, HistoryEntry>,
            Ok(lineage) => {
                let record = record.clone();
                let entries = store.stream_history(scan.clone());
                Box::pin(entries.then(move |entry| {
                    let (record, lineage) = (record.clone(), Arc::clone(&lineage));
                    async move {
                        let entry = entry?;
                        let (header, digest) = (entry.changeset.header(), entry.changeset.digest());
                        let (origin, sequence) = (header.origin, header.sequence);
                        let own = lineage.authored(store, origin, sequence, digest).await?;
                        Ok(HistoryEntry::of(&entry, &record, !own))
                    }
                }))
            }
        }))
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
        let entry = entry_of(&*self.inner.store, digest).await?;
        entry.ok_or(Error::NoSuchChangeset { digest })
    }
}
