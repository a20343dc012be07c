//! The encoding of each type of the model, writer and reader side by side.

use std::collections::BTreeMap;

use smallvec::{SmallVec, smallvec};

use crate::changeset::{
    Change, ChangeKind, Changeset, Header, Kind, Payload, PropertyChange, Vote,
};
use crate::codec::envelope::DecodeError;
use crate::codec::wire::{
    Malformed, Reader, Result, Writer, malformed, signed_varint_len, varint_len,
};
use crate::codec::{BundleEnd, BundleStart};
use crate::conflict;
use crate::id::{DatabaseId, Digest, Position, RecordId, ReplicaId, Sequence};
use crate::judgement::Rule;
use crate::limits;
use crate::log::Adjustment;
use crate::name::{Creator, NameError, PropertyName, RecordKey, RecordType};
use crate::record::{Existence, RecordState};
use crate::register::{Ballot, CastVote, Register, RegisterName, Write};
use crate::resolution::Resolution;
use crate::time::Timestamp;
use crate::value::{Real, Value};
use crate::vector::{Tip, VersionVector};

impl From<NameError> for Malformed {
    fn from(error: NameError) -> Self {
        Self(error.to_string())
    }
}

/// The first byte of a header: the version of what is digested, which is not the envelope's.
const HEADER_VERSION: u8 = 1;

mod tag {
    pub(super) const BOOLEAN: u8 = 0;
    pub(super) const INTEGER: u8 = 1;
    pub(super) const REAL: u8 = 2;
    pub(super) const TEXT: u8 = 3;
    pub(super) const BYTES: u8 = 4;
    pub(super) const REFERENCE: u8 = 5;
    pub(super) const LIST: u8 = 6;
    pub(super) const MAP: u8 = 7;
}

pub(super) fn put_value(w: &mut Writer, value: &Value) {
    match value {
        Value::Boolean(truth) => {
            w.byte(tag::BOOLEAN);
            w.byte(u8::from(*truth));
        }
        Value::Integer(number) => {
            w.byte(tag::INTEGER);
            w.i64(*number);
        }
        Value::Real(number) => {
            w.byte(tag::REAL);
            w.raw(&number.get().to_le_bytes());
        }
        Value::Text(text) => {
            w.byte(tag::TEXT);
            w.counted(text.as_bytes());
        }
        Value::Bytes(bytes) => {
            w.byte(tag::BYTES);
            w.counted(bytes);
        }
        Value::Reference(key) => {
            w.byte(tag::REFERENCE);
            put_key(w, key);
        }
        Value::List(items) => {
            w.byte(tag::LIST);
            w.list(items.iter(), put_value);
        }
        Value::Map(entries) => {
            w.byte(tag::MAP);
            w.list(entries.iter(), |w, (name, value)| {
                w.counted(name.as_bytes());
                put_value(w, value);
            });
        }
    }
}

/// How many bytes [`put_value`] writes. Only for values whose depth was checked.
pub(super) fn value_len(value: &Value) -> u64 {
    let counted = |len: usize| varint_len(len as u64) + len as u64;
    1 + match value {
        Value::Boolean(_) => 1,
        Value::Integer(number) => signed_varint_len(*number),
        Value::Real(_) => 8,
        Value::Text(text) => counted(text.len()),
        Value::Bytes(bytes) => counted(bytes.len()),
        Value::Reference(key) => counted(key.record_type().as_str().len()) + 16,
        Value::List(items) => {
            varint_len(items.len() as u64) + items.iter().map(value_len).sum::<u64>()
        }
        Value::Map(entries) => {
            let each = |(name, value): (&String, &Value)| counted(name.len()) + value_len(value);
            varint_len(entries.len() as u64) + entries.iter().map(each).sum::<u64>()
        }
    }
}

pub(super) fn take_value(r: &mut Reader<'_>) -> Result<Value> {
    r.nodes = 0;
    let before = r.rest_len();
    let value = take_nested(r, 1)?;
    let len = (before - r.rest_len()) as u64;
    if len > limits::VALUE_BYTES {
        return malformed(format!("a value of {len} bytes is above the limit"));
    }
    Ok(value)
}

fn take_nested(r: &mut Reader<'_>, depth: u64) -> Result<Value> {
    r.nodes += 1;
    if depth > limits::VALUE_DEPTH || r.nodes > limits::VALUE_NODES {
        return malformed("a value is nested too deeply or has too many parts");
    }
    Ok(match r.byte()? {
        tag::BOOLEAN => Value::Boolean(r.boolean()?),
        tag::INTEGER => Value::Integer(r.i64()?),
        tag::REAL => {
            let number = f64::from_le_bytes(r.array()?);
            match Real::new(number) {
                Some(real) if real.get().to_bits() == number.to_bits() => Value::Real(real),
                _ => return malformed(format!("{number:?} is not a real")),
            }
        }
        tag::TEXT => Value::Text(r.text()?.to_owned()),
        tag::BYTES => Value::Bytes(r.counted()?.to_vec()),
        tag::REFERENCE => Value::Reference(take_key(r)?),
        tag::LIST => Value::List(r.list(|r| take_nested(r, depth + 1))?),
        tag::MAP => {
            let entries = r.rising(
                |r| Ok((r.text()?.to_owned(), take_nested(r, depth + 1)?)),
                |(name, _)| name.as_str(),
            )?;
            Value::Map(entries.into_iter().collect())
        }
        other => return malformed(format!("{other} is not a kind of value")),
    })
}

/// Goes on after a value that nobody wants.
pub(super) fn pass_value(r: &mut Reader<'_>, depth: u64) -> Result<()> {
    if depth > limits::VALUE_DEPTH {
        return malformed("a value is nested too deeply");
    }
    match r.byte()? {
        tag::BOOLEAN => r.byte().map(drop),
        tag::INTEGER => r.i64().map(drop),
        tag::REAL => r.raw(8).map(drop),
        tag::TEXT | tag::BYTES => r.counted().map(drop),
        tag::REFERENCE => r.counted().and_then(|_| r.raw(16)).map(drop),
        tag::LIST => (0..r.count()?).try_for_each(|_| pass_value(r, depth + 1)),
        tag::MAP => {
            (0..r.count()?).try_for_each(|_| r.counted().and_then(|_| pass_value(r, depth + 1)))
        }
        other => malformed(format!("{other} is not a kind of value")),
    }
}

fn put_optional_value(w: &mut Writer, value: Option<&Value>) {
    w.option(value, put_value);
}

fn take_optional_value(r: &mut Reader<'_>) -> Result<Option<Value>> {
    r.option(take_value)
}

pub(super) fn put_key(w: &mut Writer, key: &RecordKey) {
    w.counted(key.record_type().as_str().as_bytes());
    w.raw(key.id().as_bytes());
}

fn take_key(r: &mut Reader<'_>) -> Result<RecordKey> {
    let record_type = RecordType::new(r.text()?)?;
    Ok(RecordKey::new(record_type, RecordId::from_bytes(r.array()?)))
}

fn put_digest(w: &mut Writer, digest: &Digest) {
    w.raw(digest.as_bytes());
}

fn take_digest(r: &mut Reader<'_>) -> Result<Digest> {
    r.array().map(Digest::from_bytes)
}

fn take_sequence(r: &mut Reader<'_>) -> Result<Sequence> {
    Sequence::new(r.u64()?).map_or_else(|| malformed("there is no sequence number 0"), Ok)
}

fn put_time(w: &mut Writer, time: Timestamp) {
    w.u64(time.millis());
    w.u64(time.counter().into());
}

fn take_time(r: &mut Reader<'_>) -> Result<Timestamp> {
    Ok(Timestamp::new(r.u64()?, r.u32()?))
}

pub(super) fn put_register_name(w: &mut Writer, register: &RegisterName) {
    match register {
        RegisterName::Existence => w.byte(0),
        RegisterName::Property(name) => {
            w.byte(1);
            w.counted(name.as_str().as_bytes());
        }
    }
}

fn take_register_name(r: &mut Reader<'_>) -> Result<RegisterName> {
    match r.byte()? {
        0 => Ok(RegisterName::Existence),
        1 => Ok(RegisterName::Property(PropertyName::new(r.text()?)?)),
        other => malformed(format!("{other} is not a kind of register")),
    }
}

const fn kind_tag(kind: Kind) -> u8 {
    match kind {
        Kind::Edit => 0,
        Kind::Undo => 1,
        Kind::Merge => 2,
        Kind::Resolution => 3,
        Kind::Continuation => 4,
    }
}

pub(super) fn put_header(w: &mut Writer, header: &Header) {
    w.byte(HEADER_VERSION);
    w.raw(header.database.as_bytes());
    w.raw(header.origin.as_bytes());
    w.u64(header.sequence.get());
    w.option(header.previous.as_ref(), put_digest);
    w.list(header.parents.iter(), put_digest);
    w.counted(header.creator.as_str().as_bytes());
    put_time(w, header.time);
    w.byte(kind_tag(header.kind));
    put_digest(w, &header.payload_digest);
    w.u64(header.payload_len);
}

fn take_header(r: &mut Reader<'_>) -> Result<Header> {
    let version = r.byte()?;
    if version != HEADER_VERSION {
        return malformed(format!("header version {version} is unknown"));
    }
    Ok(Header {
        database: DatabaseId::from_bytes(r.array()?),
        origin: ReplicaId::from_bytes(r.array()?),
        sequence: take_sequence(r)?,
        previous: r.option(take_digest)?,
        parents: r.rising(take_digest, |digest| digest)?,
        creator: Creator::new(r.text()?)?,
        time: take_time(r)?,
        kind: match r.byte()? {
            0 => Kind::Edit,
            1 => Kind::Undo,
            2 => Kind::Merge,
            3 => Kind::Resolution,
            4 => Kind::Continuation,
            other => return malformed(format!("{other} is not a kind of changeset")),
        },
        payload_digest: take_digest(r)?,
        payload_len: r.u64()?,
    })
}

pub(super) fn put_changeset(w: &mut Writer, changeset: &Changeset) {
    put_header(w, changeset.header());
    w.raw(changeset.payload_bytes());
}

pub(super) fn take_changeset(r: &mut Reader<'_>) -> std::result::Result<Changeset, DecodeError> {
    let header = take_header(r)?;
    let payload = r.raw(header.payload_len)?.to_vec();
    Ok(Changeset::from_parts(header, payload)?)
}

/// Things named again and again within one encoding, such as digests: written once, in rising
/// order, and from then on by their index.
struct Table<T> {
    items: Vec<T>,
}

impl<T: Ord> Table<T> {
    fn new(mut items: Vec<T>) -> Self {
        items.sort_unstable();
        items.dedup();
        Self { items }
    }

    fn put_index(&self, w: &mut Writer, item: &T) {
        // Everything that is looked up was collected into the table.
        w.len(self.items.binary_search(item).unwrap_or_else(|place| place));
    }

    fn put_indexes(&self, w: &mut Writer, items: &[T]) {
        w.list(items.iter(), |w, item| self.put_index(w, item));
    }
}

/// A table being read; in the canonical encoding every item of it is used.
struct TableReader<T> {
    items: Few<T>,
    used: Few<bool>,
}

/// No more, nearly always.
type Few<T> = SmallVec<[T; 4]>;

impl<T: Copy> TableReader<T> {
    fn new(items: Few<T>) -> Self {
        Self { used: smallvec![false; items.len()], items }
    }

    fn take_index(&mut self, r: &mut Reader<'_>) -> Result<(u64, T)> {
        let index = r.u64()?;
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        match (self.items.get(place), self.used.get_mut(place)) {
            (Some(item), Some(used)) => {
                *used = true;
                Ok((index, *item))
            }
            _ => malformed(format!("{index} is not in a table of {}", self.items.len())),
        }
    }

    /// Items in the order of the table.
    fn take_indexes(&mut self, r: &mut Reader<'_>) -> Result<Vec<T>> {
        let items = r.rising(|r| self.take_index(r), |(index, _)| index)?;
        Ok(items.into_iter().map(|(_, item)| item).collect())
    }

    fn finish(self) -> Result<()> {
        if self.used.iter().all(|used| *used) {
            Ok(())
        } else {
            malformed("a table holds an item that nothing uses")
        }
    }
}

pub(super) fn put_payload(w: &mut Writer, payload: &Payload) {
    let mut digests: Vec<Digest> = Vec::new();
    for change in payload.changes() {
        digests.extend(&change.supersedes);
        digests.extend(change.properties.iter().flat_map(|property| &property.supersedes));
    }
    digests
        .extend(payload.votes().iter().flat_map(|vote| vote.supersedes.iter().chain(&vote.seen)));
    let table = Table::new(digests);
    w.list(table.items.iter(), put_digest);
    match payload {
        Payload::Edit(changes) | Payload::Merge(changes) => put_changes(w, changes, &table),
        Payload::Undo { undone, changes } => {
            put_digest(w, undone);
            put_changes(w, changes, &table);
        }
        Payload::Resolution(votes) => w.list(votes.iter(), |w, vote| {
            put_vote(w, vote);
            table.put_indexes(w, &vote.seen);
            table.put_indexes(w, &vote.supersedes);
        }),
        Payload::Continuation { replica, tip } => {
            w.raw(replica.as_bytes());
            put_digest(w, tip);
        }
    }
}

pub(super) fn take_payload(r: &mut Reader<'_>, kind: Kind) -> Result<Payload> {
    let mut table = TableReader::new(r.few(take_digest, |digest| digest)?);
    let payload = match kind {
        Kind::Edit => Payload::Edit(take_changes(r, &mut table)?),
        Kind::Merge => Payload::Merge(take_changes(r, &mut table)?),
        Kind::Undo => {
            Payload::Undo { undone: take_digest(r)?, changes: take_changes(r, &mut table)? }
        }
        Kind::Resolution => Payload::Resolution(r.list(|r| {
            let mut vote = take_vote(r)?;
            vote.seen = table.take_indexes(r)?;
            vote.supersedes = table.take_indexes(r)?;
            Ok(vote)
        })?),
        Kind::Continuation => Payload::Continuation {
            replica: ReplicaId::from_bytes(r.array()?),
            tip: take_digest(r)?,
        },
    };
    table.finish()?;
    Ok(payload)
}

fn put_changes(w: &mut Writer, changes: &[Change], table: &Table<Digest>) {
    w.list(changes.iter(), |w, change| {
        put_key(w, &change.record);
        w.byte(match change.kind {
            ChangeKind::Create => 0,
            ChangeKind::Recreate => 1,
            ChangeKind::Update => 2,
            ChangeKind::Delete => 3,
            ChangeKind::Undelete => 4,
        });
        table.put_indexes(w, &change.supersedes);
        w.list(change.properties.iter(), |w, property| {
            w.counted(property.name.as_str().as_bytes());
            put_optional_value(w, property.old.as_ref());
            put_optional_value(w, property.new.as_ref());
            w.option(property.rank, put_time);
            table.put_indexes(w, &property.supersedes);
        });
    });
}

fn take_changes(r: &mut Reader<'_>, table: &mut TableReader<Digest>) -> Result<Vec<Change>> {
    r.list(|r| {
        Ok(Change {
            record: take_key(r)?,
            kind: match r.byte()? {
                0 => ChangeKind::Create,
                1 => ChangeKind::Recreate,
                2 => ChangeKind::Update,
                3 => ChangeKind::Delete,
                4 => ChangeKind::Undelete,
                other => return malformed(format!("{other} is not a kind of change")),
            },
            supersedes: table.take_indexes(r)?,
            properties: r.list(|r| {
                Ok(PropertyChange {
                    name: PropertyName::new(r.text()?)?,
                    old: take_optional_value(r)?,
                    new: take_optional_value(r)?,
                    rank: r.option(take_time)?,
                    supersedes: table.take_indexes(r)?,
                })
            })?,
        })
    })
}

pub(super) fn put_candidates(w: &mut Writer, candidates: &[Option<Value>]) {
    w.list(candidates.iter(), |w, value| put_optional_value(w, value.as_ref()));
}

fn take_candidates(r: &mut Reader<'_>) -> Result<Vec<Option<Value>>> {
    let candidates = r.list(take_optional_value)?;
    if conflict::distinct_refs(candidates.iter().map(Option::as_ref))
        .into_iter()
        .ne(candidates.iter().map(Option::as_ref))
    {
        return malformed("candidates are repeated or out of order");
    }
    Ok(candidates)
}

fn take_choice(r: &mut Reader<'_>, candidates: &[Option<Value>]) -> Result<Option<Value>> {
    let choice = r.u64()?;
    match usize::try_from(choice).ok().and_then(|choice| candidates.get(choice).cloned()) {
        Some(choice) => Ok(choice),
        None => malformed(format!("a vote chooses candidate {choice}, which it does not name")),
    }
}

/// A vote without the digests it names.
fn put_vote(w: &mut Writer, vote: &Vote) {
    put_key(w, &vote.record);
    put_register_name(w, &vote.register);
    put_candidates(w, &vote.candidates);
    put_choice(w, &vote.candidates, &vote.choice);
}

fn put_choice(w: &mut Writer, candidates: &[Option<Value>], choice: &Option<Value>) {
    let place = candidates.iter().position(|candidate| candidate == choice);
    // A vote whose choice is not a candidate cannot be made.
    w.len(place.unwrap_or(candidates.len()));
}

fn take_vote(r: &mut Reader<'_>) -> Result<Vote> {
    let record = take_key(r)?;
    let register = take_register_name(r)?;
    let candidates = take_candidates(r)?;
    let choice = take_choice(r, &candidates)?;
    Vote::new(record, register, candidates, choice, Vec::new())
        .or_else(|error| malformed(error.to_string()))
}

const fn rule_tag(rule: Option<Rule>) -> u8 {
    match rule {
        None => 0,
        Some(Rule::Agreed) => 1,
        Some(Rule::Majority) => 2,
        Some(Rule::MostVotes) => 3,
        Some(Rule::MostRelatedVotes) => 4,
        Some(Rule::LatestWrite) => 5,
        Some(Rule::Alive) => 6,
    }
}

fn take_rule(r: &mut Reader<'_>) -> Result<Option<Rule>> {
    Ok(match r.byte()? {
        0 => None,
        1 => Some(Rule::Agreed),
        2 => Some(Rule::Majority),
        3 => Some(Rule::MostVotes),
        4 => Some(Rule::MostRelatedVotes),
        5 => Some(Rule::LatestWrite),
        6 => Some(Rule::Alive),
        other => return malformed(format!("{other} is not a rule")),
    })
}

fn put_adjustments(w: &mut Writer, adjustments: &[Adjustment]) {
    w.list(adjustments.iter(), |w, adjustment| {
        put_key(w, &adjustment.record);
        put_register_name(w, &adjustment.register);
        put_optional_value(w, adjustment.old.as_ref());
        put_optional_value(w, adjustment.new.as_ref());
        w.byte(rule_tag(adjustment.rule));
    });
}

fn take_adjustment(r: &mut Reader<'_>) -> Result<Adjustment> {
    let adjustment = Adjustment {
        record: take_key(r)?,
        register: take_register_name(r)?,
        old: take_optional_value(r)?,
        new: take_optional_value(r)?,
        rule: take_rule(r)?,
    };
    let values = [&adjustment.old, &adjustment.new];
    let boolean = values.into_iter().flatten().all(|value| value.as_boolean().is_some());
    if adjustment.register == RegisterName::Existence && !boolean {
        return malformed("an adjustment sets existence to what is no boolean");
    }
    if adjustment.old == adjustment.new && adjustment.rule.is_none() {
        return malformed("an adjustment says nothing");
    }
    Ok(adjustment)
}

fn take_adjustments(r: &mut Reader<'_>) -> Result<Vec<Adjustment>> {
    let adjustments = r.list(take_adjustment)?;
    let rising = |one: &Adjustment, other: &Adjustment| {
        (&one.record, &one.register) < (&other.record, &other.register)
    };
    if !adjustments.is_sorted_by(rising) {
        return malformed("adjustments are repeated or out of order");
    }
    Ok(adjustments)
}

pub(super) fn put_effects(w: &mut Writer, nullify: &[Adjustment], settle: &[Adjustment]) {
    put_adjustments(w, nullify);
    put_adjustments(w, settle);
}

pub(super) fn take_effects(r: &mut Reader<'_>) -> Result<(Vec<Adjustment>, Vec<Adjustment>)> {
    let (nullify, settle) = (take_adjustments(r)?, take_adjustments(r)?);
    if nullify.iter().any(|adjustment| adjustment.rule.is_some()) {
        return malformed("a nullification says by which rule, and there is none");
    }
    Ok((nullify, settle))
}

/// A write's changeset and rank: what a record's table holds.
type Source = (Digest, Timestamp);

const fn source(write: &Write) -> Source {
    (write.changeset, write.rank)
}

pub(super) fn put_record(w: &mut Writer, state: &RecordState) {
    let all = std::iter::once(state.existence_register()).chain(state.properties().values());
    let sources = all.flat_map(|register| register.writes().iter().map(source)).collect();
    let table = Table::new(sources);
    put_key(w, state.key());
    w.u64(state.changed().get());
    w.list(table.items.iter(), |w, (digest, time)| {
        put_digest(w, digest);
        put_time(w, *time);
    });
    w.list(state.existence_register().writes().iter(), |w, write| {
        table.put_index(w, &source(write));
        w.byte(u8::from(write.value == Existence::Alive.value()));
    });
    let written =
        || state.properties().iter().filter(|(_, register)| !register.writes().is_empty());
    w.len(written().count());
    for (name, register) in written() {
        w.counted(name.as_str().as_bytes());
        w.list(register.writes().iter(), |w, write| {
            table.put_index(w, &source(write));
            put_optional_value(w, write.value.as_ref());
        });
    }
    put_ballots(w, state);
}

fn put_ballots(w: &mut Writer, state: &RecordState) {
    let of_existence = state.existence_register().ballots();
    let of_properties =
        || state.properties().iter().map(|(name, register)| (name, register.ballots()));
    let count: usize = of_properties().map(|(_, ballots)| ballots.len()).sum();
    w.len(of_existence.len() + count);
    for ballot in of_existence {
        put_ballot(w, &RegisterName::Existence, ballot);
    }
    for (name, ballots) in of_properties().filter(|(_, ballots)| !ballots.is_empty()) {
        let name = RegisterName::Property(name.clone());
        ballots.iter().for_each(|ballot| put_ballot(w, &name, ballot));
    }
}

fn put_ballot(w: &mut Writer, name: &RegisterName, ballot: &Ballot) {
    put_register_name(w, name);
    put_candidates(w, ballot.candidates());
    w.list(ballot.votes().iter(), |w, vote| {
        w.raw(vote.voter.as_bytes());
        w.u64(vote.sequence.get());
        put_digest(w, &vote.changeset);
        put_choice(w, ballot.candidates(), &vote.choice);
        w.list(vote.seen.iter(), put_digest);
        w.byte(u8::from(vote.superseded));
    });
}

fn take_ballot(r: &mut Reader<'_>) -> Result<(RegisterName, Ballot)> {
    let name = take_register_name(r)?;
    let candidates = take_candidates(r)?;
    let votes = r.rising(
        |r| {
            let voter = ReplicaId::from_bytes(r.array()?);
            let sequence = take_sequence(r)?;
            let changeset = take_digest(r)?;
            let choice = take_choice(r, &candidates)?;
            let seen = r.rising(take_digest, |digest| digest)?;
            let superseded = r.boolean()?;
            Ok(CastVote { changeset, voter, sequence, choice, seen, superseded })
        },
        |vote| &vote.voter,
    )?;
    match Ballot::new(candidates, votes).filter(|ballot| ballot.fits(&name)) {
        Some(ballot) => Ok((name, ballot)),
        None => malformed(format!("a ballot on {name} is one that nobody can have cast")),
    }
}

/// Puts the ballots that a record's encoding ends with to the registers they are of.
fn take_ballots(
    r: &mut Reader<'_>,
    existence: &mut Register,
    properties: &mut BTreeMap<PropertyName, Register>,
) -> Result<()> {
    let ballots = r.list(take_ballot)?;
    let place = |(name, ballot): &(RegisterName, Ballot)| {
        (name.clone(), super::encode_candidates(ballot.candidates()))
    };
    if !ballots.is_sorted_by(|one, other| place(one) < place(other)) {
        return malformed("ballots are repeated or out of order");
    }
    let mut of_register: BTreeMap<RegisterName, Vec<Ballot>> = BTreeMap::new();
    for (name, ballot) in ballots {
        of_register.entry(name).or_default().push(ballot);
    }
    for (name, ballots) in of_register {
        let register = match name {
            RegisterName::Existence => &mut *existence,
            // It need not be written to: whoever votes on nothing is not refused.
            RegisterName::Property(name) => properties.entry(name).or_default(),
        };
        *register = std::mem::take(register).with_ballots(ballots);
    }
    Ok(())
}

pub(super) fn take_record(r: &mut Reader<'_>) -> Result<RecordState> {
    let key = take_key(r)?;
    let changed = Position::new(r.u64()?);
    let sources = r.few(|r| Ok((take_digest(r)?, take_time(r)?)), |source: &Source| source)?;
    let mut table = TableReader::new(sources);
    let mut existence = take_register(r, &mut table, |r| match r.byte()? {
        0 => Ok(Existence::Deleted.value()),
        1 => Ok(Existence::Alive.value()),
        other => malformed(format!("{other} is neither deleted (0) nor alive (1)")),
    })?;
    let mut properties = BTreeMap::new();
    for _ in 0..r.count()? {
        let name = PropertyName::new(r.text()?)?;
        let register = take_register(r, &mut table, take_optional_value)?;
        if register.writes().is_empty() {
            return malformed(format!("property {name:?} is listed without a write"));
        }
        if properties.last_key_value().is_some_and(|(last, _)| *last >= name) {
            return malformed("items are repeated or out of order");
        }
        properties.insert(name, register);
    }
    table.finish()?;
    take_ballots(r, &mut existence, &mut properties)?;
    Ok(RecordState::from_parts(key, changed, existence, properties))
}

fn take_register(
    r: &mut Reader<'_>,
    table: &mut TableReader<Source>,
    mut value: impl FnMut(&mut Reader<'_>) -> Result<Option<Value>>,
) -> Result<Register> {
    let writes = r.few(
        |r| {
            let (_, (changeset, rank)) = table.take_index(r)?;
            Ok(Write::new(changeset, rank, value(r)?))
        },
        |write| &write.changeset,
    )?;
    Ok(Register::of_rising(writes))
}

pub(super) fn put_resolution(w: &mut Writer, resolution: &Resolution) {
    put_digest(w, &resolution.changeset);
    w.raw(resolution.voter.as_bytes());
    w.u64(resolution.sequence.get());
    put_vote(w, &resolution.vote);
    w.list(resolution.vote.seen.iter(), put_digest);
    w.list(resolution.vote.supersedes.iter(), put_digest);
}

pub(super) fn take_resolution(r: &mut Reader<'_>) -> Result<Resolution> {
    let changeset = take_digest(r)?;
    let voter = ReplicaId::from_bytes(r.array()?);
    let sequence = take_sequence(r)?;
    let mut vote = take_vote(r)?;
    vote.seen = r.rising(take_digest, |digest| digest)?;
    vote.supersedes = r.rising(take_digest, |digest| digest)?;
    if let Err(error) = vote.check() {
        return malformed(error.to_string());
    }
    Ok(Resolution { changeset, voter, sequence, vote })
}

pub(super) fn put_vector(w: &mut Writer, vector: &VersionVector) {
    w.list(vector.tips(), |w, (origin, tips)| {
        w.raw(origin.as_bytes());
        w.list(tips.iter(), |w, tip| {
            w.u64(tip.sequence.get());
            put_digest(w, &tip.digest);
        });
    });
}

pub(super) fn take_vector(r: &mut Reader<'_>) -> Result<VersionVector> {
    let tips = r.rising(
        |r| {
            let origin = ReplicaId::from_bytes(r.array()?);
            let tips = r.rising(
                |r| Ok(Tip { sequence: take_sequence(r)?, digest: take_digest(r)? }),
                |tip| tip,
            )?;
            match tips.is_empty() {
                false => Ok((origin, tips)),
                true => malformed(format!("{origin} is listed without a tip")),
            }
        },
        |(origin, _)| origin,
    )?;
    Ok(VersionVector::from_tips(tips.into_iter().collect()))
}

pub(super) fn put_bundle_start(w: &mut Writer, start: &BundleStart) {
    w.raw(start.database.as_bytes());
    w.raw(start.replica.as_bytes());
    put_vector(w, &start.basis);
    put_vector(w, &start.result);
}

pub(super) fn take_bundle_start(r: &mut Reader<'_>) -> Result<BundleStart> {
    Ok(BundleStart {
        database: DatabaseId::from_bytes(r.array()?),
        replica: ReplicaId::from_bytes(r.array()?),
        basis: take_vector(r)?,
        result: take_vector(r)?,
    })
}

pub(super) fn put_bundle_end(w: &mut Writer, end: &BundleEnd) {
    w.u64(end.changesets);
    put_digest(w, &end.digest);
}

pub(super) fn take_bundle_end(r: &mut Reader<'_>) -> Result<BundleEnd> {
    Ok(BundleEnd { changesets: r.u64()?, digest: take_digest(r)? })
}
