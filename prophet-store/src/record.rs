//! The state of a record: its registers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::id::{Digest, Position};
use crate::judgement::{self, Judgement};
use crate::name::{PropertyName, RecordKey};
use crate::register::{Register, RegisterName, Write};
use crate::value::Value;

/// Whether a record exists, as a replica sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "there is no fourth possibility")]
pub enum Existence {
    /// It was never created.
    Never,
    /// It exists.
    Alive,
    /// It was deleted; its properties are hidden, not lost.
    Deleted,
}

impl Existence {
    /// As the value of the register [`RegisterName::Existence`].
    pub const fn value(self) -> Option<Value> {
        match self {
            Self::Never => None,
            Self::Alive => Some(Value::Boolean(true)),
            Self::Deleted => Some(Value::Boolean(false)),
        }
    }

    pub(crate) const fn from_value(value: Option<&Value>) -> Option<Self> {
        match value {
            None => Some(Self::Never),
            Some(Value::Boolean(true)) => Some(Self::Alive),
            Some(Value::Boolean(false)) => Some(Self::Deleted),
            Some(_) => None,
        }
    }
}

/// All that a replica knows of one record: what a [`ReplicaStore`](crate::ReplicaStore) keeps
/// beside the log. It is the fold of the log over that record and nothing else.
///
/// A deleted record keeps its registers; [`RecordState::visible`] hides them. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordState(Arc<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    key: RecordKey,
    changed: Position,
    existence: Register,
    properties: BTreeMap<PropertyName, Register>,
    summary: Memo,
}

/// What takes a walk through all registers to find out.
#[derive(Debug, Clone, Copy)]
struct Summary {
    contested: bool,
    size: usize,
}

/// Worked out when first asked for, and forgotten when a register may change; no part of what a
/// record is.
#[derive(Clone, Default)]
struct Memo(OnceLock<Summary>);

impl PartialEq for Memo {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Memo {}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

impl RecordState {
    /// A record nobody has written to yet.
    pub fn new(key: RecordKey) -> Self {
        Self::from_parts(key, Position::ZERO, Register::default(), BTreeMap::new())
    }

    /// The state that these registers make up, or `None` if a value of the existence is not a
    /// boolean, or a vote is one that nobody can cast on its register. A property without a write or a vote is one that nobody knows, and is left out.
    pub fn from_registers(
        key: RecordKey,
        changed: Position,
        existence: Register,
        mut properties: BTreeMap<PropertyName, Register>,
    ) -> Option<Self> {
        properties.retain(|_, register| !register.is_unknown());
        let boolean = |write: &Write| matches!(write.value, Some(Value::Boolean(_)));
        let fits = |name: &RegisterName, register: &Register| {
            register.ballots().iter().all(|ballot| ballot.fits(name))
        };
        let valid = existence.writes().iter().all(boolean)
            && fits(&RegisterName::Existence, &existence)
            && properties
                .iter()
                .all(|(name, register)| fits(&RegisterName::Property(name.clone()), register));
        valid.then(|| Self::from_parts(key, changed, existence, properties))
    }

    pub(crate) fn from_parts(
        key: RecordKey,
        changed: Position,
        existence: Register,
        properties: BTreeMap<PropertyName, Register>,
    ) -> Self {
        Self(Arc::new(Parts { key, changed, existence, properties, summary: Memo::default() }))
    }

    /// For changing its registers.
    fn parts_mut(&mut self) -> &mut Parts {
        let parts = Arc::make_mut(&mut self.0);
        parts.summary = Memo::default();
        parts
    }

    fn summary(&self) -> Summary {
        *self.0.summary.0.get_or_init(|| {
            let Parts { existence, properties, .. } = &*self.0;
            let named = properties.iter().map(|(name, register)| (name.as_str(), register));
            let mut summary = Summary { contested: false, size: 128 };
            for (name, register) in std::iter::once(("", existence)).chain(named) {
                summary.contested |= register.is_contested();
                summary.size = summary
                    .size
                    .saturating_add(name.len())
                    .saturating_add(register.approximate_size());
            }
            summary
        })
    }

    /// The record's type and id.
    pub fn key(&self) -> &RecordKey {
        &self.0.key
    }

    /// The position of the last log entry that touched the record here. It is local: replicas
    /// that agree on the record may have met its changesets in other orders.
    pub fn changed(&self) -> Position {
        self.0.changed
    }

    pub(crate) fn set_changed(&mut self, position: Position) {
        Arc::make_mut(&mut self.0).changed = position;
    }

    /// The register of the record's existence; its values are booleans, true for alive.
    pub fn existence_register(&self) -> &Register {
        &self.0.existence
    }

    pub(crate) fn existence_register_mut(&mut self) -> &mut Register {
        &mut self.parts_mut().existence
    }

    /// The registers of all properties ever written or voted on, hidden and absent ones too.
    pub fn properties(&self) -> &BTreeMap<PropertyName, Register> {
        &self.0.properties
    }

    pub(crate) fn register_mut(&mut self, name: &RegisterName) -> &mut Register {
        match name {
            RegisterName::Existence => &mut self.parts_mut().existence,
            RegisterName::Property(name) => self.property_mut(name),
        }
    }

    pub(crate) fn property_mut(&mut self, name: &PropertyName) -> &mut Register {
        self.parts_mut().properties.entry(name.clone()).or_default()
    }

    /// The register of this name, if it was ever written.
    pub fn register(&self, name: &RegisterName) -> Option<&Register> {
        match name {
            RegisterName::Existence => Some(&self.0.existence),
            RegisterName::Property(name) => self.0.properties.get(name),
        }
    }

    /// Whether the record exists. While that is contested and undecided, it does.
    pub fn existence(&self) -> Existence {
        // Nothing but a boolean is ever written to it.
        Existence::from_value(judgement::of_existence(&self.0.existence).value)
            .unwrap_or(Existence::Never)
    }

    /// What is visible of a register while the record exists, and why; `None` if it was never
    /// written.
    pub fn judge(&self, name: &RegisterName) -> Option<Judgement<'_>> {
        let register = self.register(name).filter(|register| !register.writes().is_empty())?;
        Some(judgement::of(name, register))
    }

    /// Whether live writes disagree on any of its registers, decided or not, hidden or not.
    pub fn is_contested(&self) -> bool {
        self.summary().contested
    }

    /// Whether a changeset is one of those that a register knows: a live write, or a vote.
    pub(crate) fn mentions(&self, digest: &Digest) -> bool {
        let mut registers = std::iter::once(&self.0.existence).chain(self.0.properties.values());
        registers.any(|register| register.mentions(digest))
    }

    /// The registers on which live writes disagree, decided or not, hidden or not.
    pub fn contested(&self) -> impl Iterator<Item = (RegisterName, &Register)> {
        let existence = Some(&self.0.existence).filter(|register| register.is_contested());
        let properties = self.0.properties.iter().filter(|(_, register)| register.is_contested());
        let properties =
            properties.map(|(name, register)| (RegisterName::Property(name.clone()), register));
        existence.map(|register| (RegisterName::Existence, register)).into_iter().chain(properties)
    }

    /// What is visible of the record: the properties that are not absent, none if it is deleted.
    pub fn visible(&self) -> BTreeMap<PropertyName, Value> {
        let mut visible = BTreeMap::new();
        if self.existence() == Existence::Alive {
            // One by one: collecting would sort them first.
            for (name, register) in &self.0.properties {
                if let Some(value) = register.visible() {
                    visible.insert(name.clone(), value.clone());
                }
            }
        }
        visible
    }

    /// The visible value of one property.
    pub fn visible_property(&self, name: &str) -> Option<&Value> {
        match self.existence() {
            Existence::Alive => self.0.properties.get(name)?.visible(),
            Existence::Never | Existence::Deleted => None,
        }
    }

    /// Roughly how many bytes the state takes, for bounding pages and commits.
    pub fn approximate_size(&self) -> usize {
        self.summary().size
    }
}
