//! What differs between two positions of the log.

use std::collections::BTreeMap;

use futures_lite::StreamExt as _;

use crate::error::Error;
use crate::id::Position;
use crate::name::RecordKey;
use crate::register::RegisterName;
use crate::replica::Replica;
use crate::store::Direction;
use crate::value::Value;
use crate::visible::steps;

/// What differs of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordDiff {
    /// The record.
    pub record: RecordKey,
    /// Its registers that differ, in order.
    pub registers: Vec<RegisterDiff>,
}

/// What differs of one register.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegisterDiff {
    /// The register.
    pub register: RegisterName,
    /// What was visible at the first position; `None` is *absent*.
    pub old: Option<Value>,
    /// What was visible at the second.
    pub new: Option<Value>,
}

type Span = (Option<Value>, Option<Value>);

impl Replica {
    /// What is visible at `to` and was not at `from`, by record; either may be the earlier one.
    /// Memory grows with what was touched in between.
    ///
    /// # Errors
    /// A position beyond the end of the log; what the store says.
    pub async fn diff(&self, from: Position, to: Position) -> Result<Vec<RecordDiff>, Error> {
        let last = self.head().await?.position;
        let (first, end) = (from.min(to), from.max(to));
        if end > last {
            return Err(Error::NoSuchPosition { position: end, last });
        }
        // For each register what was visible before its first step, and after its last.
        let mut spans: BTreeMap<RecordKey, BTreeMap<RegisterName, Span>> = BTreeMap::new();
        let mut entries = self.log(Some(first), Direction::Forward);
        while let Some(entry) = entries.next().await {
            let entry = entry?;
            if entry.position > end {
                break;
            }
            for record in entry.records() {
                let registers = spans.entry(record.clone()).or_default();
                for step in steps(&entry, record) {
                    let new = step.new.cloned();
                    registers
                        .entry(step.register)
                        .and_modify(|(_, last)| last.clone_from(&new))
                        .or_insert_with(|| (step.old.cloned(), new));
                }
            }
        }
        let differing = spans.into_iter().map(|(record, registers)| {
            let registers = registers.into_iter().filter(|(_, (old, new))| old != new);
            let registers = registers.map(|(register, (old, new))| match from <= to {
                true => RegisterDiff { register, old, new },
                false => RegisterDiff { register, old: new, new: old },
            });
            RecordDiff { record, registers: registers.collect() }
        });
        Ok(differing.filter(|diff| !diff.registers.is_empty()).collect())
    }
}
