//! Integration: what a changeset does to the records of a replica that has just received it.
//!
//! One function for one's own changesets and foreign ones, so that there is one meaning.

use std::collections::BTreeMap;

use crate::changeset::{Change, ChangeKind, Changeset, PropertyChange, Vote};
use crate::id::Position;
use crate::judgement::{self, Rule};
use crate::log::{Adjustment, LogEntry};
use crate::name::RecordKey;
use crate::record::{Existence, RecordState};
use crate::register::{CastVote, Register, RegisterName, Write};
use crate::value::Value;
use crate::visible::Visible;

/// Integrates `changeset` as the log entry at `position`. `states` holds the states just before of
/// the records that it touches, as far as they exist, and the states just after when this returns.
pub(crate) fn integrate(
    position: Position,
    changeset: &Changeset,
    states: &mut BTreeMap<RecordKey, RecordState>,
) -> LogEntry {
    integrate_noting(position, changeset, states, |_, _| {})
}

/// As [`integrate`]; `note` is told of each record whether it was contested before, and its state
/// after.
pub(crate) fn integrate_noting(
    position: Position,
    changeset: &Changeset,
    states: &mut BTreeMap<RecordKey, RecordState>,
    mut note: impl FnMut(bool, &RecordState),
) -> LogEntry {
    let (mut nullify, mut settle) = (Vec::new(), Vec::new());
    let mut last = None;
    for key in changeset.payload().records() {
        // The votes on one record come one after another, and are integrated together.
        if last.replace(key) == Some(key) {
            continue;
        }
        let state = states.entry(key.clone()).or_insert_with(|| RecordState::new(key.clone()));
        let contested = state.is_contested();
        let (nullified, settled) = integrate_record(position, changeset, state);
        nullify.extend(nullified);
        settle.extend(settled);
        note(contested, state);
    }
    LogEntry { position, changeset: changeset.clone(), nullify, settle }
}

/// Integrates what `changeset` says of one record into its state, and gives what that nullified
/// and settled. The state is that of a record which the changeset changes or votes on.
pub(crate) fn integrate_record(
    position: Position,
    changeset: &Changeset,
    state: &mut RecordState,
) -> (Vec<Adjustment>, Vec<Adjustment>) {
    let payload = changeset.payload();
    state.set_changed(position);
    let key = state.key();
    if let Ok(place) = payload.changes().binary_search_by(|change| change.record.cmp(key)) {
        return payload
            .changes()
            .get(place)
            .map(|change| integrate_change(changeset, change, state))
            .unwrap_or_default();
    }
    let first = payload.votes().partition_point(|vote| vote.record < *key);
    let votes = payload.votes().get(first..).unwrap_or_default();
    let of_record = votes.partition_point(|vote| vote.record == *key);
    let votes = votes.get(..of_record).unwrap_or_default();
    (Vec::new(), integrate_votes(changeset, votes, state))
}

fn integrate_change(
    changeset: &Changeset,
    change: &Change,
    state: &mut RecordState,
) -> (Vec<Adjustment>, Vec<Adjustment>) {
    let existence = state.existence_register();
    let settled = !existence.is_contested();
    // What nothing else can be said of: nearly every change is one of these two.
    if change.kind == ChangeKind::Update && settled && state.existence() == Existence::Alive {
        return update(changeset, change, state);
    }
    if change.kind == ChangeKind::Create && existence.is_unknown() && state.properties().is_empty()
    {
        write(changeset, change, state);
        return (Vec::new(), Vec::new());
    }
    let before = Visible::of(state);
    let conflicts = Conflict::all(state);
    let seen = before.as_seen_by(change);
    let nullified = before.adjustments_to(&seen, &change.record);
    write(changeset, change, state);
    (nullified, settle(&seen.changed_by(change), &conflicts, state))
}

/// An update of a record that everybody agrees is alive touches the properties that it names, and
/// nothing else.
fn update(
    changeset: &Changeset,
    change: &Change,
    state: &mut RecordState,
) -> (Vec<Adjustment>, Vec<Adjustment>) {
    let (mut nullified, mut settled) = (Vec::new(), Vec::new());
    write_existence(changeset, change, state);
    for property in &change.properties {
        let name = RegisterName::Property(property.name.clone());
        let register = state.register_mut(&name);
        let adjustment = |old: Option<&Value>, new: Option<&Value>, rule| Adjustment {
            record: change.record.clone(),
            register: name.clone(),
            old: old.cloned(),
            new: new.cloned(),
            rule,
        };
        if register.visible() != property.old.as_ref() {
            nullified.push(adjustment(register.visible(), property.old.as_ref(), None));
        }
        let conflict = Conflict::of(&name, register);
        write_property(changeset, property, register);
        let written = property.new.as_ref();
        let judged = register.judge();
        if register.is_contested() {
            if judged.value != written || Conflict::of(&name, register) != conflict {
                settled.push(adjustment(written, judged.value, Some(judged.rule)));
            }
        } else if judged.value != written {
            settled.push(adjustment(written, judged.value, None));
        }
    }
    (nullified, settled)
}

fn integrate_votes(
    changeset: &Changeset,
    votes: &[Vote],
    state: &mut RecordState,
) -> Vec<Adjustment> {
    let before = Visible::of(state);
    let conflicts = Conflict::all(state);
    let header = changeset.header();
    for vote in votes {
        let cast = CastVote {
            changeset: changeset.digest(),
            voter: header.origin,
            sequence: header.sequence,
            choice: vote.choice.clone(),
            seen: vote.seen.clone(),
            superseded: false,
        };
        state.register_mut(&vote.register).vote(&vote.supersedes, &vote.candidates, cast);
    }
    settle(&before, &conflicts, state)
}

fn write(changeset: &Changeset, change: &Change, state: &mut RecordState) {
    write_existence(changeset, change, state);
    // A delete names the properties that it hides; it does not write to them.
    if change.kind != ChangeKind::Delete {
        for property in &change.properties {
            write_property(changeset, property, state.property_mut(&property.name));
        }
    }
}

fn write_existence(changeset: &Changeset, change: &Change, state: &mut RecordState) {
    let existence = change.kind.existence_after().value();
    let write = Write::new(changeset.digest(), changeset.header().time, existence);
    state.existence_register_mut().write(&change.supersedes, write);
}

fn write_property(changeset: &Changeset, property: &PropertyChange, register: &mut Register) {
    let rank = property.rank.unwrap_or(changeset.header().time);
    let write = Write::new(changeset.digest(), rank, property.new.clone());
    register.write(&property.supersedes, write);
}

/// What disagrees, and how that is judged.
#[derive(PartialEq)]
struct Conflict {
    candidates: Vec<Option<Value>>,
    value: Option<Value>,
    rule: Rule,
}

impl Conflict {
    fn of(name: &RegisterName, register: &Register) -> Option<Self> {
        register.is_contested().then(|| {
            let judged = judgement::of(name, register);
            let (value, rule) = (judged.value.cloned(), judged.rule);
            Self { candidates: register.candidates(), value, rule }
        })
    }

    fn all(state: &RecordState) -> BTreeMap<RegisterName, Self> {
        let contested = state.contested();
        contested
            .filter_map(|(name, register)| Some((name.clone(), Self::of(&name, register)?)))
            .collect()
    }
}

/// The settlement of a record: what leads from `expected` to what is visible now, and every
/// register whose conflict is not what it was in `before`.
fn settle(
    expected: &Visible,
    before: &BTreeMap<RegisterName, Conflict>,
    state: &RecordState,
) -> Vec<Adjustment> {
    let visible = Visible::of(state);
    let mut settled = expected.adjustments_to(&visible, state.key());
    let conflicts = Conflict::all(state);
    let hidden = |register: &RegisterName| {
        *register != RegisterName::Existence && visible.existence != Existence::Alive
    };
    for adjustment in settled.iter_mut().filter(|adjustment| !hidden(&adjustment.register)) {
        adjustment.rule = conflicts.get(&adjustment.register).map(|conflict| conflict.rule);
    }
    for (register, conflict) in conflicts {
        if hidden(&register) || before.get(&register) == Some(&conflict) {
            continue;
        }
        if let Err(place) =
            settled.binary_search_by(|adjustment| adjustment.register.cmp(&register))
        {
            settled.insert(
                place,
                Adjustment {
                    record: state.key().clone(),
                    register,
                    old: conflict.value.clone(),
                    new: conflict.value,
                    rule: Some(conflict.rule),
                },
            );
        }
    }
    settled
}
