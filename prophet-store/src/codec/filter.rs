//! Telling from the bytes of a record whether it exists, and that it does not satisfy a predicate.

use crate::codec::envelope::{self, Content, DecodeError};
use crate::codec::model::{pass_value, take_value};
use crate::codec::wire::{Reader, malformed};
use crate::name::{PropertyName, RecordKey};
use crate::query::Predicate;
use crate::record::Existence;
use crate::value::Value;

/// Tells which records need not be decoded, for stores that keep them as
/// [`encode_record`](crate::codec::encode_record) writes them: those that do not satisfy a predicate, such
/// as the hint of a [`RecordScan`](crate::RecordScan).
///
/// ```
/// use prophet_store::codec::{RecordFilter, encode_record};
/// use prophet_store::{RecordKey, RecordState, property};
///
/// let key: RecordKey = "bug/018f2d6e-7b1c-7000-8000-000000000001".parse()?;
/// let bytes = encode_record(&RecordState::new(key.clone()));
/// let open = property("status")?.eq("open");
/// assert!(!RecordFilter::new(&open).may_hold(&key, &bytes));
/// assert!(RecordFilter::new(&!open).may_hold(&key, &bytes));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RecordFilter<'p> {
    predicate: &'p Predicate,
    /// The properties that it looks at, in their order.
    names: Vec<&'p PropertyName>,
}

impl<'p> RecordFilter<'p> {
    /// A filter that lets pass what may satisfy `predicate`.
    pub fn new(predicate: &'p Predicate) -> Self {
        let mut names = Vec::new();
        predicate.for_each_property(&mut |name| names.push(name));
        names.sort_unstable();
        names.dedup();
        Self { predicate, names }
    }

    /// Whether the record `key` may satisfy the predicate, of which these are the bytes: false only if it
    /// does not. What is contested, damaged or of another record is for who decodes it.
    pub fn may_hold(&self, key: &RecordKey, bytes: &[u8]) -> bool {
        match self.visible(key, bytes) {
            Ok(Some(values)) => self.predicate.holds(&|name| {
                let place = values.binary_search_by_key(&name, |(known, _)| known).ok()?;
                values.get(place).map(|(_, value)| value)
            }),
            Ok(None) | Err(_) => true,
        }
    }

    /// What is visible of the properties, unless that takes more than a look.
    fn visible(
        &self,
        key: &RecordKey,
        bytes: &[u8],
    ) -> Result<Option<Vec<(&'p PropertyName, Value)>>, DecodeError> {
        let mut r = Reader::new(envelope::open(Content::Record, bytes)?);
        let mut found = Vec::new();
        match look(&mut r, key)? {
            Look::OfAnother | Look::Contested => return Ok(None),
            Look::Is(Existence::Never | Existence::Deleted) => return Ok(Some(found)),
            Look::Is(Existence::Alive) => {}
        }
        let mut wanted = self.names.iter().copied().peekable();
        for _ in 0..r.count()? {
            let name = r.counted()?;
            while wanted.next_if(|wanted| wanted.as_str().as_bytes() < name).is_some() {}
            let Some(next) = wanted.peek() else { break };
            let writes = r.count()?;
            if next.as_str().as_bytes() == name {
                if writes != 1 {
                    return Ok(None);
                }
                r.u64()?;
                if let Some(value) = r.option(take_value)? {
                    found.push((*next, value));
                }
            } else {
                for _ in 0..writes {
                    r.u64()?;
                    r.option(|r| pass_value(r, 1))?;
                }
            }
        }
        Ok(Some(found))
    }
}

/// What the bytes of a record have before its properties.
enum Look {
    /// They are of another record.
    OfAnother,
    /// More than one write says whether it exists; what they come to takes all of the record.
    Contested,
    Is(Existence),
}

fn look(r: &mut Reader<'_>, key: &RecordKey) -> Result<Look, DecodeError> {
    let record_type = r.counted()?;
    let id = r.array::<16>()?;
    if record_type != key.record_type().as_str().as_bytes() || id != *key.id().as_bytes() {
        return Ok(Look::OfAnother);
    }
    // The position.
    r.u64()?;
    // The changesets that wrote, and their ranks.
    for _ in 0..r.count()? {
        r.raw(32)?;
        r.u64()?;
        r.u64()?;
    }
    Ok(match r.count()? {
        0 => Look::Is(Existence::Never),
        1 => {
            r.u64()?;
            Look::Is(if r.boolean()? { Existence::Alive } else { Existence::Deleted })
        }
        _ => Look::Contested,
    })
}

/// Whether the record `key` exists, of which these are the bytes as
/// [`encode_record`](crate::codec::encode_record) writes them: for counting records, at a tenth of what
/// decoding them takes. The checksum is compared, and what follows the existence is not looked at.
///
/// ```
/// use prophet_store::codec::{encode_record, existence_of};
/// use prophet_store::{Existence, RecordKey, RecordState};
///
/// let key: RecordKey = "bug/018f2d6e-7b1c-7000-8000-000000000001".parse()?;
/// let bytes = encode_record(&RecordState::new(key.clone()));
/// assert_eq!(existence_of(&key, &bytes)?, Existence::Never);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Damaged bytes, bytes of another record, and versions newer than this library.
pub fn existence_of(key: &RecordKey, bytes: &[u8]) -> Result<Existence, DecodeError> {
    let mut r = Reader::new(envelope::open(Content::Record, bytes)?);
    match look(&mut r, key)? {
        Look::Is(existence) => Ok(existence),
        Look::Contested => Ok(super::decode_record(bytes)?.existence()),
        Look::OfAnother => Ok(malformed("it is the state of another record")?),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::codec::encode_record;
    use crate::id::{Digest, Position, ReplicaId, Sequence};
    use crate::query::property;
    use crate::record::RecordState;
    use crate::register::{Ballot, CastVote, Register, Write};
    use crate::time::Timestamp;

    fn key() -> RecordKey {
        "bug/018f2d6e-7b1c-7000-8000-000000000001".parse().unwrap()
    }

    fn write(by: u8, value: impl Into<Value>) -> Write {
        Write::new(Digest::of(&[by]), Timestamp::new(1, 0), Some(value.into()))
    }

    fn record(existence: Vec<Write>, properties: &[(&str, Vec<Write>)]) -> RecordState {
        let properties = properties.iter().map(|(name, writes)| {
            (PropertyName::new(name).unwrap(), Register::new(writes.clone()))
        });
        with_registers(Register::new(existence), properties.collect())
    }

    fn with_registers(
        existence: Register,
        properties: BTreeMap<PropertyName, Register>,
    ) -> RecordState {
        RecordState::from_registers(key(), Position::new(7), existence, properties).unwrap()
    }

    fn may_hold(predicate: &Predicate, state: &RecordState) -> bool {
        RecordFilter::new(predicate).may_hold(&key(), &encode_record(state))
    }

    #[test]
    fn what_is_certain_is_told_and_what_is_not_passes() {
        let real = Value::try_from(2.5).unwrap();
        let nested = Value::List(vec![Value::from("x"), Value::List(vec![real])]);
        let map = Value::Map([("k".to_owned(), nested)].into());
        let properties = [
            ("a", vec![write(1, map)]),
            ("b", vec![write(1, 7)]),
            ("c", vec![write(1, "one"), write(2, "two")]),
            ("d", vec![Write::new(Digest::of(&[3]), Timestamp::new(1, 0), None)]),
            ("e", vec![write(2, "end")]),
        ];
        let alive = record(vec![write(1, true)], &properties);
        let is = |name: &str, value: Value| property(name).unwrap().eq(value);
        let cases = [
            (is("b", 7.into()), true),
            (is("b", 8.into()), false),
            (is("e", "end".into()), true),
            (is("e", "begin".into()), false),
            (is("b", 7.into()).and(is("e", "begin".into())), false),
            (is("b", 8.into()).or(is("e", "end".into())), true),
            (property("d").unwrap().exists(), false),
            (!property("d").unwrap().exists(), true),
            (property("z").unwrap().exists(), false),
            (property("a").unwrap().contains("k"), true),
            (property("a").unwrap().contains("l"), false),
            // It is contested.
            (is("c", "three".into()), true),
            (is("c", "three".into()).and(is("b", 8.into())), true),
            (Predicate::All, true),
        ];
        for (predicate, expected) in &cases {
            assert_eq!(may_hold(predicate, &alive), *expected, "{predicate:?}");
        }
        let deleted = record(vec![write(1, false)], &properties);
        let never = record(Vec::new(), &properties);
        let disputed = record(vec![write(1, false), write(2, true)], &properties);
        let seven = is("b", 7.into());
        assert_eq!(
            [&deleted, &never, &disputed].map(|b| may_hold(&seven, b)),
            [false, false, true]
        );
        assert!(may_hold(&!seven, &deleted));
    }

    #[test]
    fn what_is_damaged_or_of_another_record_passes() {
        let bytes = encode_record(&record(vec![write(1, true)], &[("b", vec![write(1, 7)])]));
        let eight = property("b").unwrap().eq(8);
        let filter = RecordFilter::new(&eight);
        assert!(!filter.may_hold(&key(), &bytes));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(filter.may_hold(&key(), &damaged), "byte {at}");
            assert!(filter.may_hold(&key(), &bytes[..at]), "cut to {at}");
            assert!(existence_of(&key(), &damaged).is_err(), "byte {at}");
            assert!(existence_of(&key(), &bytes[..at]).is_err(), "cut to {at}");
        }
        for other in
            ["bug/018f2d6e-7b1c-7000-8000-000000000002", "but/018f2d6e-7b1c-7000-8000-000000000001"]
        {
            assert!(filter.may_hold(&other.parse().unwrap(), &bytes));
            let refused = existence_of(&other.parse().unwrap(), &bytes).unwrap_err();
            assert!(refused.to_string().contains("another record"), "{refused}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            (0..3_i64).prop_map(Value::from),
            Just(Value::from("text")),
            Just(Value::List(vec![1.into(), Value::Map([("k".to_owned(), 2.into())].into())])),
        ]
    }

    fn register() -> impl Strategy<Value = Register> {
        let write = (0..4_u8, proptest::option::weighted(0.8, value()))
            .prop_map(|(by, value)| Write::new(Digest::of(&[by]), Timestamp::new(1, 0), value));
        (prop::collection::vec(write, 1..3), any::<bool>()).prop_map(|(writes, voted)| {
            let vote = CastVote {
                changeset: Digest::of(b"vote"),
                voter: ReplicaId::from_bytes([7; 16]),
                sequence: Sequence::FIRST,
                choice: Some(2.into()),
                seen: Vec::new(),
                superseded: false,
            };
            let ballot = Ballot::new(vec![Some(1.into()), Some(2.into())], vec![vote]);
            Register::new(writes).with_ballots(ballot.into_iter().filter(|_| voted).collect())
        })
    }

    fn predicate() -> impl Strategy<Value = Predicate> {
        let leaf = (prop::sample::select(vec!["a", "b", "c", "d"]), value(), 0..4_u8);
        let leaf = leaf.prop_map(|(name, value, kind)| {
            let name = property(name).unwrap();
            match kind {
                0 => name.eq(value),
                1 => name.exists(),
                2 => name.contains(value),
                _ => name.le(value),
            }
        });
        leaf.prop_recursive(2, 6, 2, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(one, other)| one.and(other)),
                (inner.clone(), inner.clone()).prop_map(|(one, other)| one.or(other)),
                inner.prop_map(|inner| !inner),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_says_no_only_of_what_does_not_satisfy(
            existence in prop::collection::vec((0..3_u8, any::<bool>()), 0..3),
            properties in prop::collection::btree_map("[a-d]", register(), 0..4),
            predicate in predicate(),
        ) {
            let existence = existence.into_iter().map(|(by, alive)| write(by, alive)).collect();
            let properties = properties.into_iter();
            let properties = properties.map(|(name, of)| (PropertyName::new(name).unwrap(), of));
            let state = with_registers(Register::new(existence), properties.collect());
            prop_assert_eq!(existence_of(&key(), &encode_record(&state)).unwrap(), state.existence());
            let satisfied = predicate.holds(&|name| state.visible_property(name.as_str()));
            let passes = may_hold(&predicate, &state);
            prop_assert!(passes || !satisfied);
            let single = |register: &Register| register.writes().len() < 2;
            if single(state.existence_register()) && state.properties().values().all(single) {
                prop_assert_eq!(passes, satisfied);
            }
        }
    }
}
