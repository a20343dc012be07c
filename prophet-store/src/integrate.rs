//! Integration: what a changeset does to the records of a replica that has just received it.
//!
//! One function for one's own changesets and foreign ones, so that there is one meaning.

use std::collections::BTreeMap;

use crate::changeset::{Change, ChangeKind, Changeset};
use crate::id::Position;
use crate::log::{Adjustment, LogEntry};
use crate::name::RecordKey;
use crate::record::RecordState;
use crate::register::Write;
use crate::visible::Visible;

/// Integrates `changeset` as the log entry at `position`. `states` holds the states just before of
/// the records that it changes, as far as they exist, and the states just after when this returns.
pub(crate) fn integrate(
    position: Position,
    changeset: &Changeset,
    states: &mut BTreeMap<RecordKey, RecordState>,
) -> LogEntry {
    let (mut nullify, mut settle) = (Vec::new(), Vec::new());
    for change in changeset.changes() {
        let state = states
            .entry(change.record.clone())
            .or_insert_with(|| RecordState::new(change.record.clone()));
        let (nullified, settled) = integrate_change(position, changeset, change, state);
        nullify.extend(nullified);
        settle.extend(settled);
    }
    LogEntry { position, changeset: changeset.clone(), nullify, settle }
}

/// Integrates one change of `changeset` into the state of its record, and gives what that
/// nullified and settled.
pub(crate) fn integrate_change(
    position: Position,
    changeset: &Changeset,
    change: &Change,
    state: &mut RecordState,
) -> (Vec<Adjustment>, Vec<Adjustment>) {
    let before = Visible::of(state);
    let seen = before.as_seen_by(change);
    let nullified = before.adjustments_to(&seen, &change.record);
    write(state, change, changeset);
    state.set_changed(position);
    let settled = seen.changed_by(change).adjustments_to(&Visible::of(state), &change.record);
    (nullified, settled)
}

fn write(state: &mut RecordState, change: &Change, changeset: &Changeset) {
    let (digest, time) = (changeset.digest(), changeset.header().time);
    let existence = change.kind.existence_after().value();
    state.existence_register_mut().write(&change.supersedes, Write::new(digest, time, existence));
    // A delete names the properties that it hides; it does not write to them.
    if change.kind == ChangeKind::Delete {
        return;
    }
    for property in &change.properties {
        state
            .property_mut(&property.name)
            .write(&property.supersedes, Write::new(digest, time, property.new.clone()));
    }
}
