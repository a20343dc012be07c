//! One record within a changeset in the making.

use std::collections::{BTreeMap, BTreeSet};

use crate::changeset::{Change, ChangeKind, PropertyChange};
use crate::id::Digest;
use crate::name::PropertyName;
use crate::record::{Existence, RecordState};
use crate::register::Register;
use crate::typed::Properties;
use crate::value::Value;

/// What an edit has made of a record so far. Only what it comes to in the end is written: a
/// changeset holds at most one change of a record.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    before: RecordState,
    now: Now,
    /// Whether the record was created within this changeset, from nothing.
    created: bool,
    /// What it was when it was deleted within this changeset, so that it can be undeleted.
    deleted: Option<(bool, Now)>,
}

/// What is visible of the record, as that which differs from before: to copy all of it would be most
/// of what a small edit of a large record takes.
#[derive(Debug, Clone)]
struct Now {
    existence: Existence,
    /// Whether the registers from before show where nothing was set.
    kept: bool,
    /// Properties that were set, be it to what they were: on a contested one that is a write.
    set: BTreeMap<PropertyName, Option<Value>>,
}

impl Now {
    const fn bare(existence: Existence) -> Self {
        Self { existence, kept: false, set: BTreeMap::new() }
    }
}

impl Pending {
    pub(super) fn new(before: RecordState) -> Self {
        let existence = before.existence();
        let now = Now { kept: existence == Existence::Alive, ..Now::bare(existence) };
        Self { before, now, created: false, deleted: None }
    }

    pub(super) const fn before(&self) -> &RecordState {
        &self.before
    }

    /// Whether the record exists as the edit leaves it.
    pub(super) const fn existence(&self) -> Existence {
        self.now.existence
    }

    /// The value of a property as the edit leaves it.
    pub(super) fn get(&self, name: &PropertyName) -> Option<&Value> {
        match self.now.set.get(name) {
            Some(value) => value.as_ref(),
            None if self.now.kept => self.before.properties().get(name)?.visible(),
            None => None,
        }
    }

    /// The properties as the edit leaves them.
    pub(super) fn properties(&self) -> BTreeMap<PropertyName, Value> {
        let names = self.names().into_iter();
        names.filter_map(|name| Some((name.clone(), self.get(name)?.clone()))).collect()
    }

    /// The names of all properties that there were before or are now.
    fn names(&self) -> BTreeSet<&PropertyName> {
        self.before.properties().keys().chain(self.now.set.keys()).collect()
    }

    pub(super) const fn is_created(&self) -> bool {
        self.created
    }

    pub(super) fn is_named(&self, name: &PropertyName) -> bool {
        self.now.set.contains_key(name)
    }

    pub(super) fn create(&mut self, properties: &Properties) {
        self.now = Now::bare(Existence::Alive);
        self.created = true;
        self.deleted = None;
        self.set(properties);
    }

    pub(super) fn set(&mut self, properties: &Properties) {
        for (name, value) in properties.iter() {
            self.now.set.insert(name.clone(), value.cloned());
        }
    }

    /// Puts a value in the place of one that was set, as its canonical form.
    pub(super) fn replace(&mut self, name: &PropertyName, value: Value) {
        self.now.set.insert(name.clone(), Some(value));
    }

    pub(super) fn delete(&mut self) {
        let existence = match self.before.existence() {
            Existence::Never => Existence::Never,
            Existence::Alive | Existence::Deleted => Existence::Deleted,
        };
        let gone = std::mem::replace(&mut self.now, Now::bare(existence));
        self.deleted = Some((self.created, gone));
        self.created = false;
    }

    /// Brings a deleted record back as it was; false if there never was one.
    pub(super) fn undelete(&mut self) -> bool {
        if let Some((created, gone)) = self.deleted.take() {
            (self.created, self.now) = (created, gone);
            return true;
        }
        if self.now.existence == Existence::Never {
            return false;
        }
        self.now = Now { kept: true, ..Now::bare(Existence::Alive) };
        true
    }

    /// What it comes to, if to anything. Ranks are those of what is superseded: whoever knows the
    /// time of the changeset leaves out those that are not later.
    pub(super) fn change(&self) -> Option<Change> {
        let kind = match (self.before.existence(), self.now.existence) {
            (Existence::Never, Existence::Alive) => ChangeKind::Create,
            (Existence::Deleted, Existence::Alive) if self.created => ChangeKind::Recreate,
            (Existence::Deleted, Existence::Alive) => ChangeKind::Undelete,
            (Existence::Alive, Existence::Alive) => ChangeKind::Update,
            (Existence::Alive, _) => ChangeKind::Delete,
            (Existence::Never | Existence::Deleted, _) => return None,
        };
        let properties = match kind {
            ChangeKind::Delete => self.hidden(),
            _ => self.written(kind),
        };
        if kind == ChangeKind::Update && properties.is_empty() {
            return None;
        }
        let record = self.before.key().clone();
        Some(Change { record, kind, supersedes: self.superseded_existence(kind), properties })
    }

    /// The writes and votes on existence that are superseded. An update or a delete leaves a
    /// concurrent deletion as it is: only bringing the record back overrules that. An update leaves
    /// the votes too: no later typo fix settles silently whether the record is to exist.
    fn superseded_existence(&self, kind: ChangeKind) -> Vec<Digest> {
        let register = self.before.existence_register();
        let alive = || {
            let alive = Existence::Alive.value();
            let writes = register.writes().iter().filter(move |write| write.value == alive);
            writes.map(|write| write.changeset)
        };
        let votes = || register.live_votes().map(|(_, vote)| vote.changeset);
        match kind {
            // Unless it was deleted and created anew within this changeset.
            ChangeKind::Update if !self.created => alive().collect(),
            ChangeKind::Delete => alive().chain(votes()).collect(),
            _ => register.frontier().into_iter().chain(votes()).collect(),
        }
    }

    fn hidden(&self) -> Vec<PropertyChange> {
        let hide = |(name, value): (PropertyName, Value)| PropertyChange {
            name,
            old: Some(value),
            new: None,
            rank: None,
            supersedes: Vec::new(),
        };
        self.before.visible().into_iter().map(hide).collect()
    }

    fn written(&self, kind: ChangeKind) -> Vec<PropertyChange> {
        let registers = self.before.properties();
        let empty = Register::default();
        let change = |name: &PropertyName| {
            let register = registers.get(name).unwrap_or(&empty);
            let new = self.get(name);
            let written = match kind {
                ChangeKind::Create | ChangeKind::Recreate => true,
                _ => {
                    register.visible() != new
                        || (register.is_contested() && (self.created || self.is_named(name)))
                }
            };
            written.then(|| PropertyChange {
                name: name.clone(),
                old: register.visible().filter(|_| kind == ChangeKind::Update).cloned(),
                new: new.cloned(),
                rank: register.writes().iter().map(|write| write.rank).max(),
                supersedes: superseded(register, new),
            })
        };
        if kind == ChangeKind::Update && !self.created {
            // All others are as they were.
            return self.now.set.keys().filter_map(change).collect();
        }
        self.names().into_iter().filter_map(change).collect()
    }
}

/// What a write of `new` supersedes: all writes, and the votes for other values. Votes for the
/// value it writes stay, for agreeing with a majority does not defeat it.
fn superseded(register: &Register, new: Option<&Value>) -> Vec<Digest> {
    let votes = register.live_votes().filter(|(_, vote)| vote.choice.as_ref() != new);
    register.frontier().into_iter().chain(votes.map(|(_, vote)| vote.changeset)).collect()
}
