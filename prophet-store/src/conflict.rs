//! What identifies a conflict.

use crate::codec;
use crate::id::ConflictId;
use crate::name::RecordKey;
use crate::register::RegisterName;
use crate::value::Value;

/// The values without repetition, in the order of their canonical bytes.
pub(crate) fn distinct(values: Vec<Option<Value>>) -> Vec<Option<Value>> {
    distinct_by(values, Option::as_ref)
}

/// As [`distinct`], of values that stay where they are.
pub(crate) fn distinct_refs<'a>(
    values: impl Iterator<Item = Option<&'a Value>>,
) -> Vec<Option<&'a Value>> {
    distinct_by(values.collect(), |value| *value)
}

fn distinct_by<T>(values: Vec<T>, value: impl Fn(&T) -> Option<&Value>) -> Vec<T> {
    let mut keyed: Vec<_> =
        values.into_iter().map(|item| (codec::encode_candidate(value(&item)), item)).collect();
    keyed.sort_by(|(one, _), (other, _)| one.cmp(other));
    keyed.dedup_by(|(one, _), (other, _)| one == other);
    keyed.into_iter().map(|(_, item)| item).collect()
}

/// The identity of the disagreement of `candidates` (as [`distinct`] gives them).
pub(crate) fn identify(
    record: &RecordKey,
    register: &RegisterName,
    candidates: &[Option<Value>],
) -> ConflictId {
    ConflictId::of(&codec::encode_conflict(record, register, candidates))
}
