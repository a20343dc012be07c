//! Records as an app sees them.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::id::{Position, RecordId};
use crate::name::{PropertyName, RecordKey, RecordType};
use crate::record::{Existence, RecordState};
use crate::register::RegisterName;
use crate::typed::{self, Properties};
use crate::value::Value;

/// What is visible of a record that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    key: RecordKey,
    changed: Position,
    properties: BTreeMap<PropertyName, Value>,
    contested: BTreeMap<RegisterName, Vec<Option<Value>>>,
}

impl Record {
    pub(crate) fn of(state: &RecordState) -> Option<Self> {
        (state.existence() == Existence::Alive).then(|| Self {
            key: state.key().clone(),
            changed: state.changed(),
            properties: state.visible(),
            contested: state
                .contested()
                .map(|(name, register)| (name, register.candidates()))
                .collect(),
        })
    }

    pub(super) const fn new(
        key: RecordKey,
        changed: Position,
        properties: BTreeMap<PropertyName, Value>,
    ) -> Self {
        Self { key, changed, properties, contested: BTreeMap::new() }
    }

    /// Its type and id.
    pub const fn key(&self) -> &RecordKey {
        &self.key
    }

    /// Its type.
    pub const fn record_type(&self) -> &RecordType {
        self.key.record_type()
    }

    /// Its id within its type.
    pub const fn id(&self) -> RecordId {
        self.key.id()
    }

    /// The position of the last log entry that touched it here.
    pub const fn changed(&self) -> Position {
        self.changed
    }

    /// The value of a property; `None` if it does not have it.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.properties.get(name)
    }

    /// Its properties, in order of their names.
    pub const fn properties(&self) -> &BTreeMap<PropertyName, Value> {
        &self.properties
    }

    /// The registers on which live writes disagree, decided or not, each with the values that do,
    /// in canonical order: who wrote them and who voted, [`Replica::conflicts_of`] says. Empty for
    /// a record of an earlier position, or one that is being edited.
    ///
    /// [`Replica::conflicts_of`]: crate::Replica::conflicts_of
    pub const fn contested(&self) -> &BTreeMap<RegisterName, Vec<Option<Value>>> {
        &self.contested
    }

    /// The record as any deserialisable struct or map.
    ///
    /// # Errors
    /// [`Error::Misfit`]: what does not fit, with the record and the path to it.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, Error> {
        typed::from_properties(self.properties.iter())
            .map_err(|misfit| Error::Misfit { key: self.key.clone(), misfit })
    }
}

/// A copy to change and to write back.
impl From<&Record> for Properties {
    fn from(record: &Record) -> Self {
        record.properties().iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}
