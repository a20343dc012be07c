//! Strategies for everything that is encoded.

use std::collections::{BTreeMap, BTreeSet};

use prophet_store::{
    Adjustment, Authored, Ballot, CastVote, Change, ChangeKind, Changeset, Creator, DatabaseId,
    Digest, Existence, Header, Kind, LogEntry, Payload, Position, PropertyChange, PropertyName,
    RecordState, Register, RegisterName, ReplicaId, Resolution, Rule, Sequence, Timestamp, Value,
    VersionVector, Vote, Write,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::Index;

use super::values::{record_key, value};

/// Few enough that the same one is met again, and some that are like no other.
pub(crate) fn digest() -> impl Strategy<Value = Digest> {
    prop_oneof![
        3 => (0_u8..5).prop_map(|byte| Digest::from_bytes([byte; 32])),
        1 => any::<[u8; 32]>().prop_map(Digest::from_bytes),
    ]
}

fn digests() -> impl Strategy<Value = Vec<Digest>> {
    btree_set(digest(), 0..3).prop_map(Vec::from_iter)
}

pub(crate) fn property_name() -> impl Strategy<Value = PropertyName> {
    prop_oneof!["[a-c]{1,2}", "[a-z$./ é]{1,9}"].prop_map(|text| PropertyName::new(text).unwrap())
}

fn replica() -> impl Strategy<Value = ReplicaId> {
    prop_oneof![
        (0_u8..3).prop_map(|byte| ReplicaId::from_bytes([byte; 16])),
        any::<[u8; 16]>().prop_map(ReplicaId::from_bytes),
    ]
}

fn sequence() -> impl Strategy<Value = Sequence> {
    prop_oneof![Just(1), 1_u64..300, 1..=u64::MAX].prop_map(|number| Sequence::new(number).unwrap())
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    prop_oneof![any::<(u64, u32)>(), (1_700_000_000_000_u64..1_800_000_000_000, 0_u32..3)]
        .prop_map(|(millis, counter)| Timestamp::new(millis, counter))
}

type Property = (PropertyName, (Option<Value>, Option<Value>, Option<Timestamp>, Vec<Digest>));

fn property_change(kind: ChangeKind, (name, parts): Property) -> PropertyChange {
    let (old, new, rank, supersedes) = parts;
    match kind {
        ChangeKind::Delete => {
            let old = old.or(Some(Value::from(true)));
            PropertyChange { name, old, new: None, rank: None, supersedes: Vec::new() }
        }
        kind if kind.existence_before() == Existence::Alive => {
            PropertyChange { name, old, new, rank, supersedes }
        }
        _ => PropertyChange { name, old: None, new, rank, supersedes },
    }
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let kinds = [
        ChangeKind::Create,
        ChangeKind::Recreate,
        ChangeKind::Update,
        ChangeKind::Delete,
        ChangeKind::Undelete,
    ];
    let property = (of(value()), of(value()), of(timestamp()), digests());
    let properties = btree_map(property_name(), property, 1..4);
    let change = (proptest::sample::select(kinds.to_vec()), digests(), properties, any::<bool>());
    btree_map(record_key(), change, 1..4).prop_map(|changes| {
        let change = |(record, (kind, supersedes, properties, bare))| {
            let bare = bare && kind != ChangeKind::Update;
            let properties = if bare { BTreeMap::new() } else { properties };
            let properties = properties.into_iter().map(|part| property_change(kind, part));
            Change { record, kind, supersedes, properties: properties.collect() }
        };
        changes.into_iter().map(change).collect()
    })
}

pub(crate) fn register_name() -> impl Strategy<Value = RegisterName> {
    prop_oneof![
        1 => Just(RegisterName::Existence),
        3 => property_name().prop_map(RegisterName::Property),
    ]
}

pub(crate) fn vote() -> impl Strategy<Value = Vote> {
    let digests = (digests(), digests());
    (record_key(), register_name(), vec(of(value()), 2..5), any::<Index>(), digests)
        .prop_filter_map("distinct", |(record, register, mut candidates, choice, digests)| {
            let (supersedes, seen) = digests;
            if register == RegisterName::Existence {
                candidates = vec![Existence::Deleted.value(), Existence::Alive.value()];
            }
            let choice = choice.get(&candidates).clone();
            let vote = Vote::new(record, register, candidates, choice, supersedes).ok()?;
            Some(vote.clone().with_seen(seen).unwrap_or(vote))
        })
}

fn votes() -> impl Strategy<Value = Vec<Vote>> {
    vec(vote(), 1..4).prop_map(|votes| {
        let by_register = votes
            .into_iter()
            .map(|vote| ((vote.record.clone(), vote.register.clone()), vote))
            .collect::<BTreeMap<_, _>>();
        by_register.into_values().collect()
    })
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        3 => changes().prop_map(Payload::Edit),
        1 => (digest(), changes()).prop_map(|(undone, changes)| Payload::Undo { undone, changes }),
        1 => changes().prop_map(Payload::Merge),
        2 => votes().prop_map(Payload::Resolution),
        1 => (replica(), digest()).prop_map(|(replica, tip)| Payload::Continuation { replica, tip }),
    ]
}

pub(crate) fn changeset() -> impl Strategy<Value = Changeset> {
    let ids = (any::<[u8; 16]>().prop_map(DatabaseId::from_bytes), replica());
    (ids, sequence(), digest(), digests(), "\\PC{0,6}", timestamp(), payload()).prop_map(
        |((database, origin), sequence, previous, parents, creator, time, mut payload)| {
            later_ranks(&mut payload, time);
            let previous = (sequence != Sequence::FIRST).then_some(previous);
            let creator = Creator::new(creator).unwrap();
            Changeset::author(Authored {
                database,
                origin,
                sequence,
                previous,
                parents,
                creator,
                time,
                payload,
            })
            .unwrap()
        },
    )
}

/// Ranks are only said where they are later than the changeset.
fn later_ranks(payload: &mut Payload, time: Timestamp) {
    let (Payload::Edit(changes) | Payload::Merge(changes) | Payload::Undo { changes, .. }) =
        payload
    else {
        return;
    };
    for property in changes.iter_mut().flat_map(|change| &mut change.properties) {
        property.rank = property.rank.filter(|rank| *rank > time);
    }
}

fn rule() -> impl Strategy<Value = Rule> {
    proptest::sample::select(vec![
        Rule::Agreed,
        Rule::Majority,
        Rule::MostVotes,
        Rule::MostRelatedVotes,
        Rule::LatestWrite,
        Rule::Alive,
    ])
}

/// Adjustments by these rules: each sets something, or says by which rule it stays as it is.
fn adjustments(
    rule: impl Strategy<Value = Option<Rule>>,
) -> impl Strategy<Value = Vec<Adjustment>> {
    let values = prop_oneof![
        (of(value()), of(value())),
        of(value()).prop_map(|value| (value.clone(), value)),
    ];
    let existence = (of(any::<bool>()), of(any::<bool>()));
    btree_map((record_key(), register_name()), (values, existence, rule), 0..3).prop_map(|all| {
        let adjustment = |((record, register), ((old, new), existence, rule))| {
            let (old, new) = match register {
                RegisterName::Existence => {
                    let (old, new): (Option<bool>, Option<bool>) = existence;
                    (old.map(Value::from), new.map(Value::from))
                }
                RegisterName::Property(_) => (old, new),
            };
            Adjustment { record, register, old, new, rule }
        };
        let adjustments = all.into_iter().map(adjustment);
        adjustments.filter(|it| it.old != it.new || it.rule.is_some()).collect()
    })
}

pub(crate) fn log_entry() -> impl Strategy<Value = LogEntry> {
    (any::<u64>(), changeset(), adjustments(Just(None)), adjustments(of(rule()))).prop_map(
        |(position, changeset, nullify, settle)| LogEntry {
            position: Position::new(position),
            changeset,
            nullify,
            settle,
        },
    )
}

fn register(
    value: impl Strategy<Value = Option<Value>>,
    ballot: impl Strategy<Value = Ballot>,
) -> impl Strategy<Value = Register> {
    let write = (digest(), timestamp(), value)
        .prop_map(|(changeset, rank, value)| Write::new(changeset, rank, value));
    (vec(write, 0..4), vec(ballot, 0..3))
        .prop_map(|(writes, ballots)| Register::new(writes).with_ballots(ballots))
}

/// A ballot on some of these values. Only votes for a deletion say what was seen.
fn ballot(
    existence: bool,
    candidates: impl Strategy<Value = Vec<Option<Value>>>,
) -> impl Strategy<Value = Ballot> {
    let cast = (digest(), replica(), sequence(), any::<Index>(), digests(), any::<bool>());
    (candidates, vec(cast, 1..4)).prop_map(move |(candidates, cast)| {
        let vote = |(changeset, voter, sequence, choice, mut seen, superseded): Cast| {
            let choice = choice.get(&candidates).clone();
            if !existence || choice != Existence::Deleted.value() {
                seen.clear();
            }
            CastVote { changeset, voter, sequence, choice, seen, superseded }
        };
        let votes = cast.into_iter().map(vote).collect();
        Ballot::new(candidates, votes).unwrap()
    })
}

type Cast = (Digest, ReplicaId, Sequence, Index, Vec<Digest>, bool);

fn ballot_on_existence() -> impl Strategy<Value = Ballot> {
    let all = [Existence::Never, Existence::Alive, Existence::Deleted].map(Existence::value);
    ballot(true, proptest::sample::subsequence(all.to_vec(), 2..=3))
}

fn ballot_on_property() -> impl Strategy<Value = Ballot> {
    let texts = btree_set(of("[a-e]{0,2}"), 2..4);
    let few = texts.prop_map(|texts| texts.into_iter().map(|text| text.map(Value::from)).collect());
    let mixed = vec(of(value()), 2..4)
        .prop_filter("two values", |values: &Vec<_>| values.iter().any(|it| *it != values[0]));
    ballot(false, prop_oneof![3 => few, 1 => mixed])
}

pub(crate) fn record_state() -> impl Strategy<Value = RecordState> {
    let alive = any::<bool>().prop_map(|alive| Some(Value::from(alive)));
    let existence = register(alive, ballot_on_existence());
    let properties = register(of(value()), ballot_on_property());
    let properties = btree_map(property_name(), properties, 0..4);
    (record_key(), any::<u64>(), existence, properties).prop_map(
        |(key, changed, existence, properties)| {
            RecordState::from_registers(key, Position::new(changed), existence, properties).unwrap()
        },
    )
}

pub(crate) fn resolution() -> impl Strategy<Value = Resolution> {
    (digest(), replica(), sequence(), vote()).prop_map(|(changeset, voter, sequence, vote)| {
        Resolution { changeset, voter, sequence, vote }
    })
}

/// The header of a changeset that only has to have a place.
pub(crate) fn header(origin: ReplicaId, sequence: Sequence, previous: Option<Digest>) -> Header {
    Header {
        database: DatabaseId::from_bytes([1; 16]),
        origin,
        sequence,
        previous,
        parents: Vec::new(),
        creator: Creator::new("").unwrap(),
        time: Timestamp::default(),
        kind: Kind::Edit,
        payload_digest: Digest::from_bytes([0; 32]),
        payload_len: 0,
    }
}

/// Origins that go on, and some that are forked.
pub(crate) fn vector() -> impl Strategy<Value = VersionVector> {
    let step = (0u8..4, any::<bool>(), any::<[u8; 32]>());
    vec(step, 0..12).prop_map(|steps| {
        let mut vector = VersionVector::new();
        let mut seen = BTreeSet::new();
        for (origin, forks, digest) in steps {
            if !seen.insert(digest) {
                continue;
            }
            let origin = ReplicaId::from_bytes([origin; 16]);
            let last = vector.of(origin).last().copied();
            let header = match last {
                None => header(origin, Sequence::FIRST, None),
                Some(last) if forks => {
                    header(origin, last.sequence, Some(Digest::from_bytes([0; 32])))
                }
                Some(last) => header(origin, last.sequence.next(), Some(last.digest)),
            };
            vector.advance(&header, Digest::from_bytes(digest)).unwrap();
        }
        vector
    })
}
