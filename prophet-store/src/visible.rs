//! What can be seen of a record, and how log entries move it forwards and backwards.

use std::collections::BTreeMap;

use crate::changeset::{Change, ChangeKind};
use crate::judgement::Rule;
use crate::log::{Adjustment, LogEntry};
use crate::name::{PropertyName, RecordKey};
use crate::record::{Existence, RecordState};
use crate::register::RegisterName;
use crate::value::Value;

/// The visible state of one record. Properties are listed only while it is alive, but for the
/// steps within a log entry, which may set them in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visible {
    pub(crate) existence: Existence,
    pub(crate) properties: BTreeMap<PropertyName, Value>,
}

/// A log entry that does not fit the state it is applied to: the log is not clean.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the log entry at position {position} does not fit: {register} of {record} should be \
     {expected:?} there, but is {found:?}"
)]
#[non_exhaustive]
pub struct UncleanLog {
    /// The position of the entry.
    pub position: crate::id::Position,
    /// The record.
    pub record: RecordKey,
    /// Which of its registers.
    pub register: RegisterName,
    /// What the entry says is visible there.
    pub expected: Option<Value>,
    /// What is.
    pub found: Option<Value>,
}

/// One visible value that changes: the smallest step of a log.
pub(crate) struct Step<'a> {
    pub(crate) register: RegisterName,
    pub(crate) old: Option<&'a Value>,
    pub(crate) new: Option<&'a Value>,
    pub(crate) rule: Option<Rule>,
}

const ALIVE: Value = Value::Boolean(true);
const DELETED: Value = Value::Boolean(false);

const fn existence_value(existence: Existence) -> Option<&'static Value> {
    match existence {
        Existence::Never => None,
        Existence::Alive => Some(&ALIVE),
        Existence::Deleted => Some(&DELETED),
    }
}

fn adjustment_step(adjustment: &Adjustment) -> Step<'_> {
    Step {
        register: adjustment.register.clone(),
        old: adjustment.old.as_ref(),
        new: adjustment.new.as_ref(),
        rule: adjustment.rule,
    }
}

fn change_steps(change: &Change) -> impl Iterator<Item = Step<'_>> {
    let existence = Step {
        register: RegisterName::Existence,
        old: existence_value(change.kind.existence_before()),
        new: existence_value(change.kind.existence_after()),
        rule: None,
    };
    let properties = change.properties.iter().map(|property| Step {
        register: RegisterName::Property(property.name.clone()),
        old: property.old.as_ref(),
        new: property.new.as_ref(),
        rule: None,
    });
    std::iter::once(existence).chain(properties)
}

/// The steps of `entry` that touch `record`: nullify, change, settle.
pub(crate) fn steps<'a>(entry: &'a LogEntry, record: &RecordKey) -> Vec<Step<'a>> {
    let of_record = |adjustment: &&Adjustment| adjustment.record == *record;
    let mut steps: Vec<_> = entry.nullify.iter().filter(of_record).map(adjustment_step).collect();
    let changes = entry.changeset.changes().iter().filter(|change| change.record == *record);
    steps.extend(changes.flat_map(change_steps));
    steps.extend(entry.settle.iter().filter(of_record).map(adjustment_step));
    steps
}

impl Visible {
    /// A record that was never created.
    pub(crate) const NEVER: Self =
        Self { existence: Existence::Never, properties: BTreeMap::new() };

    pub(crate) fn of(state: &RecordState) -> Self {
        Self { existence: state.existence(), properties: state.visible() }
    }

    pub(crate) fn get(&self, register: &RegisterName) -> Option<&Value> {
        match register {
            RegisterName::Existence => existence_value(self.existence),
            RegisterName::Property(name) => self.properties.get(name),
        }
    }

    fn set(&mut self, register: &RegisterName, value: Option<&Value>) {
        match (register, value) {
            // A value that is no boolean was refused where the entry was decoded or made.
            (RegisterName::Existence, value) => {
                self.existence = Existence::from_value(value).unwrap_or(self.existence);
            }
            (RegisterName::Property(name), Some(value)) => {
                self.properties.insert(name.clone(), value.clone());
            }
            (RegisterName::Property(name), None) => {
                self.properties.remove(name);
            }
        }
    }

    fn step(
        &mut self,
        entry: &LogEntry,
        record: &RecordKey,
        register: &RegisterName,
        (before, after): (Option<&Value>, Option<&Value>),
    ) -> Result<(), Box<UncleanLog>> {
        let found = self.get(register);
        if found != before {
            return Err(Box::new(UncleanLog {
                position: entry.position,
                record: record.clone(),
                register: register.clone(),
                expected: before.cloned(),
                found: found.cloned(),
            }));
        }
        self.set(register, after);
        Ok(())
    }

    /// Moves `record` from just before `entry` to just after it.
    pub(crate) fn forward(
        &mut self,
        entry: &LogEntry,
        record: &RecordKey,
    ) -> Result<(), Box<UncleanLog>> {
        steps(entry, record)
            .into_iter()
            .try_for_each(|step| self.step(entry, record, &step.register, (step.old, step.new)))
    }

    /// Moves `record` from just after `entry` to just before it.
    pub(crate) fn backward(
        &mut self,
        entry: &LogEntry,
        record: &RecordKey,
    ) -> Result<(), Box<UncleanLog>> {
        steps(entry, record)
            .into_iter()
            .rev()
            .try_for_each(|step| self.step(entry, record, &step.register, (step.new, step.old)))
    }

    /// What the author of `change` saw of the record just before, as far as the change says: an
    /// update keeps here what it does not name, every other kind speaks for the whole record.
    pub(crate) fn as_seen_by(&self, change: &Change) -> Self {
        let mut seen = match change.kind {
            ChangeKind::Update => self.clone(),
            _ => Self::NEVER,
        };
        seen.existence = change.kind.existence_before();
        for property in &change.properties {
            let register = RegisterName::Property(property.name.clone());
            seen.set(&register, property.old.as_ref());
        }
        seen
    }

    /// The visible state after `change` alone.
    pub(crate) fn changed_by(mut self, change: &Change) -> Self {
        for step in change_steps(change) {
            self.set(&step.register, step.new);
        }
        self
    }

    /// The adjustments that lead from here to `target`, in rising order of the registers.
    pub(crate) fn adjustments_to(&self, target: &Self, record: &RecordKey) -> Vec<Adjustment> {
        let mut registers: Vec<_> =
            self.properties.keys().chain(target.properties.keys()).collect();
        registers.sort_unstable();
        registers.dedup();
        let properties = registers.into_iter().cloned().map(RegisterName::Property);
        std::iter::once(RegisterName::Existence)
            .chain(properties)
            .filter(|register| self.get(register) != target.get(register))
            .map(|register| Adjustment {
                record: record.clone(),
                old: self.get(&register).cloned(),
                new: target.get(&register).cloned(),
                register,
                rule: None,
            })
            .collect()
    }
}
