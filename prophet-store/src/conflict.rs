//! What identifies a conflict.

use crate::codec;
use crate::id::ConflictId;
use crate::name::RecordKey;
use crate::register::RegisterName;
use crate::value::Value;

/// The values without repetition, in the order of their canonical bytes.
pub(crate) fn distinct(values: Vec<Option<Value>>) -> Vec<Option<Value>> {
    let mut keyed: Vec<_> =
        values.into_iter().map(|value| (codec::encode_candidate(value.as_ref()), value)).collect();
    keyed.sort_by(|(one, _), (other, _)| one.cmp(other));
    keyed.dedup_by(|(one, _), (other, _)| one == other);
    keyed.into_iter().map(|(_, value)| value).collect()
}

/// The identity of the disagreement of `candidates` (as [`distinct`] gives them).
pub(crate) fn identify(
    record: &RecordKey,
    register: &RegisterName,
    candidates: &[Option<Value>],
) -> ConflictId {
    ConflictId::of(&codec::encode_conflict(record, register, candidates))
}
