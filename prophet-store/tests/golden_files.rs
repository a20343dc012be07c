//! The golden files: fixed content whose bytes must never change, read back, described in
//! `docs/format.md`, and understood by another implementation of bincode.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

use std::io::Cursor;
use std::path::Path;

use bincode_next::config::standard;
use bincode_next::{Decode, Encode};
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_store::{
    Adjustment, Bundle, ChangeKind, ChangesetSource as _, Digest, Payload, Query, RegisterName,
    Rule, VersionVector, codec,
};

#[allow(dead_code, reason = "what the tests of the format share, not all of them use")]
mod support {
    pub(crate) mod golden;
    pub(crate) mod sealing;
}
use support::golden::{Golden, Thing, goldens};
use support::sealing::{
    BUNDLE_END, BUNDLE_START, CHANGESET, EFFECTS, ENTRY, METADATA, RECORD, RESOLUTION, VECTOR,
    body, envelopes, seal,
};

fn directory() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

fn golden_file(name: &str) -> String {
    let path = directory().join(format!("{name}.hex"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The bytes of a golden file, or of a block of hex in the documentation.
fn unhex(text: &str) -> Vec<u8> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let digits: Vec<u32> = lines
        .flat_map(|line| line.chars().filter(|digit| !digit.is_whitespace()))
        .map(|digit| digit.to_digit(16).unwrap_or_else(|| panic!("{digit:?} is not hexadecimal")))
        .collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

#[test]
fn what_is_encoded_is_what_the_golden_files_hold() {
    for golden in goldens() {
        assert!(
            golden_file(golden.name) == golden.file(),
            "the encoding of {name} ({what}) changed: stored data and digests of it would no \
             longer be read. If that is meant, raise the version and add a file; \
             `cargo run --example golden -- {name}` prints\n{file}",
            name = golden.name,
            what = golden.what,
            file = golden.file(),
        );
    }
    let mut files: Vec<_> = std::fs::read_dir(directory())
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    files.sort();
    let mut names: Vec<_> = goldens().iter().map(|golden| golden.name.to_owned()).collect();
    names.sort();
    assert_eq!(files, names, "each golden file has its content, and the other way round");
}

#[test]
fn what_the_golden_files_hold_is_read() {
    for golden in goldens() {
        let bytes = unhex(&golden_file(golden.name));
        let name = golden.name;
        match golden.thing {
            Thing::Header(changeset) => {
                assert_eq!(
                    blake3::hash(&bytes).as_bytes(),
                    changeset.digest().as_bytes(),
                    "{name}"
                );
            }
            Thing::Changeset(changeset) => {
                assert_eq!(codec::decode_changeset(&bytes).unwrap(), changeset, "{name}");
            }
            Thing::Effects(entry) => {
                let effects = codec::decode_effects(&bytes).unwrap();
                assert_eq!(effects, (entry.nullify, entry.settle), "{name}");
            }
            Thing::Entry(entry) => {
                assert_eq!(codec::decode_entry(entry.position, &bytes).unwrap(), entry, "{name}");
            }
            Thing::Record(state) => {
                assert_eq!(codec::decode_record(&bytes).unwrap(), state, "{name}");
            }
            Thing::Resolution(resolution) => {
                assert_eq!(codec::decode_resolution(&bytes).unwrap(), resolution, "{name}");
            }
            Thing::Metadata(value) => {
                assert_eq!(codec::decode_metadata(&bytes).unwrap(), value, "{name}");
            }
            Thing::Vector(vector) => {
                assert_eq!(codec::decode_vector(&bytes).unwrap(), vector, "{name}");
            }
            Thing::Bundle(bundled) => {
                let size = bytes.len() as u64;
                let bundle = Bundle::read(Cursor::new(bytes), name).unwrap();
                let summary = bundle.summary();
                assert_eq!(summary.database, bundled.identity.database, "{name}");
                assert_eq!(summary.basis, bundled.basis(), "{name}");
                assert_eq!(summary.result, bundled.result(), "{name}");
                assert_eq!(summary.changesets, bundled.changesets.len() as u64, "{name}");
                assert_eq!(summary.bytes, size, "{name}");
                let nothing = VersionVector::new();
                let offer = block_on(bundle.offer(&nothing)).unwrap();
                let changesets = bundle.changesets(&offer, &nothing);
                let changesets: Vec<_> = block_on(changesets.try_collect()).unwrap();
                assert_eq!(changesets, bundled.changesets, "{name}");
            }
        }
    }
}

#[test]
fn the_envelope_of_each_golden_file_is_what_the_format_says() {
    for golden in goldens() {
        let bytes = golden.thing.encode();
        let contents = match &golden.thing {
            Thing::Header(_) => continue,
            Thing::Changeset(_) => vec![CHANGESET],
            Thing::Effects(_) => vec![EFFECTS],
            Thing::Entry(_) => vec![ENTRY],
            Thing::Record(_) => vec![RECORD],
            Thing::Resolution(_) => vec![RESOLUTION],
            Thing::Metadata(_) => vec![METADATA],
            Thing::Vector(_) => vec![VECTOR],
            Thing::Bundle(_) => vec![BUNDLE_START, CHANGESET, CHANGESET, BUNDLE_END],
        };
        let found = envelopes(&bytes);
        assert_eq!(found.len(), contents.len(), "{}", golden.name);
        for (content, envelope) in contents.into_iter().zip(found) {
            assert_eq!(seal(content, body(envelope)), envelope, "{}", golden.name);
        }
    }
}

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/format.md");
    std::fs::read_to_string(path).unwrap()
}

/// The first block of this language.
fn block<'a>(document: &'a str, language: &str) -> &'a str {
    let (_, after) = document.split_once(&format!("```{language}\n")).expect("such a block");
    after.split_once("```").expect("the end of the block").0
}

#[test]
fn the_query_in_the_document_is_one() {
    let text = document();
    let json: serde_json::Value = serde_json::from_str(block(&text, "json")).unwrap();
    let query: Query = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(&query).unwrap(), json);
}

#[test]
fn the_worked_example_of_the_format_is_its_golden_file() {
    let text = document();
    assert_eq!(unhex(block(&text, "hex")), unhex(&golden_file("changeset-first")));
    let first = |golden: &Golden| golden.name == "changeset-first";
    let Some(Thing::Changeset(first)) = goldens().into_iter().find(first).map(|it| it.thing) else {
        panic!("there is no golden file changeset-first");
    };
    let named = format!("digest of this changeset is `{}`", first.digest());
    assert!(text.contains(&named), "the document should say: {named}");
}

/// Reads bytes as another implementation does, which writes the same again.
fn mirrored<T: Encode + Decode<()>>(bytes: &[u8]) -> T {
    let (mirror, used) = bincode_next::decode_from_slice::<T, _>(bytes, standard()).unwrap();
    assert_eq!(used, bytes.len());
    assert_eq!(bincode_next::encode_to_vec(&mirror, standard()).unwrap(), bytes);
    mirror
}

// What is encoded, as a derive sees it. The tables of the format are these types in words.

type Uuid = [u8; 16];
type Hash = [u8; 32];
type Time = (u64, u32);
type Key = (String, Uuid);

#[derive(Debug, Encode, Decode)]
#[bincode(crate = "bincode_next")]
struct Header {
    version: u8,
    database: Uuid,
    origin: Uuid,
    sequence: u64,
    previous: Option<Hash>,
    parents: Vec<Hash>,
    creator: String,
    time: Time,
    kind: u8,
    payload_digest: Hash,
    payload_len: u64,
}

#[derive(Debug, PartialEq, Encode, Decode)]
#[bincode(crate = "bincode_next")]
enum Value {
    Boolean(bool),
    Integer(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
    Reference(String, Uuid),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
}

impl Value {
    fn of(value: &prophet_store::Value) -> Self {
        use prophet_store::Value as Real;
        match value {
            Real::Boolean(truth) => Self::Boolean(*truth),
            Real::Integer(number) => Self::Integer(*number),
            Real::Real(number) => Self::Real(number.get()),
            Real::Text(text) => Self::Text(text.clone()),
            Real::Bytes(bytes) => Self::Bytes(bytes.clone()),
            Real::Reference(key) => {
                Self::Reference(key.record_type().to_string(), *key.id().as_bytes())
            }
            Real::List(items) => Self::List(items.iter().map(Self::of).collect()),
            Real::Map(entries) => Self::Map(
                entries.iter().map(|(name, value)| (name.clone(), Self::of(value))).collect(),
            ),
        }
    }

    fn of_optional(value: &Option<prophet_store::Value>) -> Option<Self> {
        value.as_ref().map(Self::of)
    }
}

#[derive(Debug, PartialEq, Encode, Decode)]
#[bincode(crate = "bincode_next")]
enum Register {
    Existence,
    Property(String),
}

impl Register {
    fn of(register: &RegisterName) -> Self {
        match register {
            RegisterName::Existence => Self::Existence,
            RegisterName::Property(name) => Self::Property(name.to_string()),
        }
    }
}

#[derive(Debug, PartialEq, Encode, Decode)]
#[bincode(crate = "bincode_next")]
struct PropertyChange {
    name: String,
    old: Option<Value>,
    new: Option<Value>,
    rank: Option<Time>,
    supersedes: Vec<u64>,
}

#[derive(Debug, PartialEq, Encode, Decode)]
#[bincode(crate = "bincode_next")]
struct Change {
    record: Key,
    kind: u8,
    supersedes: Vec<u64>,
    properties: Vec<PropertyChange>,
}

#[derive(Debug, PartialEq, Encode, Decode)]
#[bincode(crate = "bincode_next")]
struct Vote {
    record: Key,
    register: Register,
    candidates: Vec<Option<Value>>,
    choice: u64,
}

/// Table and changes; table, what is undone, and changes; table, and votes with what they have
/// seen and supersede.
type Changes = (Vec<Hash>, Vec<Change>);
type Undo = (Vec<Hash>, Hash, Vec<Change>);
type Votes = (Vec<Hash>, Vec<(Vote, Vec<u64>, Vec<u64>)>);
type Continuation = (Vec<Hash>, Uuid, Hash);

/// Changeset, voter, sequence, vote, seen, supersedes.
type Resolution = (Hash, Uuid, u64, Vote, Vec<Hash>, Vec<Hash>);

/// Record, register, old, new, rule.
type Mirrored = (Key, Register, Option<Value>, Option<Value>, u8);

/// What a property is, and the places of the changesets that say so.
type Writes = Vec<(u64, Option<Value>)>;

/// Voter, sequence, changeset, choice, seen, superseded.
type Cast = (Uuid, u64, Hash, u64, Vec<Hash>, bool);

#[derive(Debug, Encode, Decode)]
#[bincode(crate = "bincode_next")]
struct Record {
    record: Key,
    changed: u64,
    table: Vec<(Hash, Time)>,
    existence: Vec<(u64, bool)>,
    properties: Vec<(String, Writes)>,
    ballots: Vec<(Register, Vec<Option<Value>>, Vec<Cast>)>,
}

type Vector = Vec<(Uuid, Vec<(u64, Hash)>)>;

/// Database, replica, basis, result.
type BundleStart = (Uuid, Uuid, Vector, Vector);

/// How many changesets, and the digest of what comes before.
type BundleEnd = (u64, Hash);

fn hashes(digests: &[Digest]) -> Vec<Hash> {
    digests.iter().map(|digest| *digest.as_bytes()).collect()
}

/// What the places in a table stand for.
fn named(table: &[Hash], places: &[u64]) -> Vec<Hash> {
    places.iter().map(|place| table[usize::try_from(*place).unwrap()]).collect()
}

fn key(record: &prophet_store::RecordKey) -> Key {
    (record.record_type().to_string(), *record.id().as_bytes())
}

fn time(time: prophet_store::Timestamp) -> Time {
    (time.millis(), time.counter())
}

fn candidates(candidates: &[Option<prophet_store::Value>]) -> Vec<Option<Value>> {
    candidates.iter().map(Value::of_optional).collect()
}

fn vector(vector: &VersionVector) -> Vector {
    let tip = |tip: &prophet_store::Tip| (tip.sequence.get(), *tip.digest.as_bytes());
    let tips = vector.tips();
    tips.map(|(origin, tips)| (*origin.as_bytes(), tips.iter().map(tip).collect())).collect()
}

#[test]
fn a_header_is_what_a_derive_of_another_implementation_reads_and_writes() {
    let mut seen = 0;
    for golden in goldens() {
        let Thing::Header(changeset) = golden.thing else { continue };
        let header: Header = mirrored(&codec::encode_header(changeset.header()));
        let expected = changeset.header();
        assert_eq!(header.version, 1);
        assert_eq!(header.database, *expected.database.as_bytes());
        assert_eq!(header.origin, *expected.origin.as_bytes());
        assert_eq!(header.sequence, expected.sequence.get());
        assert_eq!(header.previous, expected.previous.map(|digest| *digest.as_bytes()));
        assert_eq!(header.parents, hashes(&expected.parents));
        assert_eq!(header.creator, expected.creator.as_str());
        assert_eq!(header.time, time(expected.time));
        assert_eq!(header.kind, 0);
        assert_eq!(header.payload_digest, *expected.payload_digest.as_bytes());
        assert_eq!(header.payload_len, expected.payload_len);
        seen += 1;
    }
    assert_eq!(seen, 2);
}

fn check_changes(table: &[Hash], changes: &[Change], expected: &[prophet_store::Change]) {
    assert_eq!(changes.len(), expected.len());
    for (change, expected) in changes.iter().zip(expected) {
        assert_eq!(change.record, key(&expected.record));
        assert_eq!(change.kind, kind_byte(expected.kind));
        assert_eq!(named(table, &change.supersedes), hashes(&expected.supersedes));
        assert_eq!(change.properties.len(), expected.properties.len());
        for (property, expected) in change.properties.iter().zip(&expected.properties) {
            assert_eq!(property.name, expected.name.as_str());
            assert_eq!(property.old, Value::of_optional(&expected.old));
            assert_eq!(property.new, Value::of_optional(&expected.new));
            assert_eq!(property.rank, expected.rank.map(time));
            assert_eq!(named(table, &property.supersedes), hashes(&expected.supersedes));
        }
    }
}

fn kind_byte(kind: ChangeKind) -> u8 {
    match kind {
        ChangeKind::Create => 0,
        ChangeKind::Recreate => 1,
        ChangeKind::Update => 2,
        ChangeKind::Delete => 3,
        ChangeKind::Undelete => 4,
    }
}

fn check_vote(vote: &Vote, expected: &prophet_store::Vote) {
    assert_eq!(vote.record, key(&expected.record));
    assert_eq!(vote.register, Register::of(&expected.register));
    assert_eq!(vote.candidates, candidates(&expected.candidates));
    let choice = &vote.candidates[usize::try_from(vote.choice).unwrap()];
    assert_eq!(*choice, Value::of_optional(&expected.choice));
}

#[test]
fn a_payload_is_what_a_derive_of_another_implementation_reads_and_writes() {
    let (mut seen, mut ranks, mut seeing) = (0, 0, 0);
    for golden in goldens() {
        let changesets = match golden.thing {
            Thing::Changeset(changeset) => vec![changeset],
            Thing::Bundle(bundled) => bundled.changesets,
            _ => continue,
        };
        for changeset in changesets {
            let bytes = changeset.payload_bytes();
            match changeset.payload() {
                Payload::Edit(changes) | Payload::Merge(changes) => {
                    let (table, mirror): Changes = mirrored(bytes);
                    check_changes(&table, &mirror, changes);
                    let properties = changes.iter().flat_map(|change| &change.properties);
                    ranks += properties.filter(|property| property.rank.is_some()).count();
                }
                Payload::Undo { undone, changes } => {
                    let (table, mirror, rest): Undo = mirrored(bytes);
                    assert_eq!(mirror, *undone.as_bytes());
                    check_changes(&table, &rest, changes);
                }
                Payload::Resolution(votes) => {
                    let (table, mirror): Votes = mirrored(bytes);
                    assert_eq!(mirror.len(), votes.len());
                    for ((vote, saw, supersedes), expected) in mirror.iter().zip(votes) {
                        check_vote(vote, expected);
                        assert_eq!(named(&table, saw), hashes(&expected.seen));
                        assert_eq!(named(&table, supersedes), hashes(&expected.supersedes));
                        seeing += saw.len();
                    }
                }
                Payload::Continuation { replica, tip } => {
                    let (table, mirror, last): Continuation = mirrored(bytes);
                    assert!(table.is_empty());
                    assert_eq!((mirror, last), (*replica.as_bytes(), *tip.as_bytes()));
                }
                other => panic!("there is no mirror of {other:?}"),
            }
            seen += 1;
        }
    }
    assert_eq!((seen, ranks, seeing), (8, 2, 2), "with ranks, and votes that have seen something");
}

fn check_adjustments(mirror: &[Mirrored], expected: &[Adjustment]) {
    assert_eq!(mirror.len(), expected.len());
    for ((record, register, old, new, rule), expected) in mirror.iter().zip(expected) {
        assert_eq!(*record, key(&expected.record));
        assert_eq!(*register, Register::of(&expected.register));
        assert_eq!(*old, Value::of_optional(&expected.old));
        assert_eq!(*new, Value::of_optional(&expected.new));
        assert_eq!(*rule, rule_byte(expected.rule));
    }
}

fn rule_byte(rule: Option<Rule>) -> u8 {
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

#[test]
fn effects_are_what_a_derive_of_another_implementation_reads_and_writes() {
    let mut seen = 0;
    for golden in goldens() {
        let Thing::Effects(entry) = golden.thing else { continue };
        let effects = codec::encode_effects(&entry);
        let (nullify, settle): (Vec<Mirrored>, Vec<Mirrored>) = mirrored(body(&effects));
        check_adjustments(&nullify, &entry.nullify);
        check_adjustments(&settle, &entry.settle);
        let whole = codec::encode_entry(&entry);
        let changeset = codec::encode_changeset(&entry.changeset);
        assert_eq!(body(&whole), [body(&changeset), body(&effects)].concat());
        seen += 1;
    }
    assert_eq!(seen, 1);
}

#[test]
fn a_record_is_what_a_derive_of_another_implementation_reads_and_writes() {
    let mut seen = 0;
    for golden in goldens() {
        let Thing::Record(state) = golden.thing else { continue };
        let mirror: Record = mirrored(body(&codec::encode_record(&state)));
        assert_eq!(mirror.record, key(state.key()));
        assert_eq!(mirror.changed, state.changed().get());
        let source = |place: &u64| mirror.table[usize::try_from(*place).unwrap()];
        let write = |write: &prophet_store::Write| (*write.changeset.as_bytes(), time(write.rank));
        let existence = state.existence_register();
        assert_eq!(mirror.existence.len(), existence.writes().len());
        for ((place, alive), expected) in mirror.existence.iter().zip(existence.writes()) {
            assert_eq!(source(place), write(expected));
            assert_eq!(Some((*alive).into()), expected.value);
        }
        let written = state.properties().iter().filter(|(_, it)| !it.writes().is_empty());
        let written: Vec<_> = written.collect();
        assert_eq!(mirror.properties.len(), written.len());
        for ((name, writes), (expected, register)) in mirror.properties.iter().zip(written) {
            assert_eq!(name, expected.as_str());
            assert_eq!(writes.len(), register.writes().len());
            for ((place, value), expected) in writes.iter().zip(register.writes()) {
                assert_eq!(source(place), write(expected));
                assert_eq!(*value, Value::of_optional(&expected.value));
            }
        }
        let properties = state.properties().iter();
        let properties = properties.map(|(name, it)| (Register::Property(name.to_string()), it));
        let registers = std::iter::once((Register::Existence, existence)).chain(properties);
        let expected: Vec<_> = registers
            .flat_map(|(name, it)| it.ballots().iter().map(move |it| (format!("{name:?}"), it)))
            .collect();
        assert_eq!(mirror.ballots.len(), expected.len());
        for ((register, values, votes), (name, ballot)) in mirror.ballots.iter().zip(expected) {
            assert_eq!(format!("{register:?}"), name);
            assert_eq!(*values, candidates(ballot.candidates()));
            let votes = votes.iter().map(|(voter, sequence, changeset, choice, saw, gone)| {
                let choice = &values[usize::try_from(*choice).unwrap()];
                (*voter, *sequence, *changeset, choice, saw.clone(), *gone)
            });
            let choices: Vec<_> =
                ballot.votes().iter().map(|vote| Value::of_optional(&vote.choice)).collect();
            let expected = ballot.votes().iter().zip(&choices).map(|(vote, choice)| {
                let (voter, changeset) = (*vote.voter.as_bytes(), *vote.changeset.as_bytes());
                let saw = hashes(&vote.seen);
                (voter, vote.sequence.get(), changeset, choice, saw, vote.superseded)
            });
            assert_eq!(votes.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        }
        seen += 1;
    }
    assert_eq!(seen, 1);
}

#[test]
fn a_resolution_is_what_a_derive_of_another_implementation_reads_and_writes() {
    let mut seen = 0;
    for golden in goldens() {
        let Thing::Resolution(resolution) = golden.thing else { continue };
        let bytes = codec::encode_resolution(&resolution);
        let (changeset, voter, sequence, vote, saw, supersedes): Resolution =
            mirrored(body(&bytes));
        assert_eq!(changeset, *resolution.changeset.as_bytes());
        assert_eq!(voter, *resolution.voter.as_bytes());
        assert_eq!(sequence, resolution.sequence.get());
        check_vote(&vote, &resolution.vote);
        assert_eq!(saw, hashes(&resolution.vote.seen));
        assert_eq!(supersedes, hashes(&resolution.vote.supersedes));
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn a_vector_is_what_a_derive_of_another_implementation_reads_and_writes() {
    let mut seen = 0;
    for golden in goldens() {
        let Thing::Vector(expected) = golden.thing else { continue };
        let mirror: Vector = mirrored(body(&codec::encode_vector(&expected)));
        assert_eq!(mirror, vector(&expected));
        seen += 1;
    }
    assert_eq!(seen, 1);
}

#[test]
fn a_bundle_is_what_a_derive_of_another_implementation_reads_and_writes() {
    let mut seen = 0;
    for golden in goldens() {
        let Thing::Bundle(bundled) = &golden.thing else { continue };
        let bytes = golden.thing.encode();
        let envelopes = envelopes(&bytes);
        let [start, changesets @ .., end] = envelopes.as_slice() else {
            panic!("a bundle has a start and an end");
        };
        let (database, replica, basis, result): BundleStart = mirrored(body(start));
        assert_eq!(database, *bundled.identity.database.as_bytes());
        assert_eq!(replica, *bundled.identity.replica.as_bytes());
        assert_eq!(basis, vector(&bundled.basis()));
        assert_eq!(result, vector(&bundled.result()));
        let expected: Vec<_> = bundled.changesets.iter().map(codec::encode_changeset).collect();
        assert_eq!(changesets, expected);
        let (count, digest): BundleEnd = mirrored(body(end));
        assert_eq!(count, bundled.changesets.len() as u64);
        assert_eq!(digest, *blake3::hash(&bytes[..bytes.len() - end.len()]).as_bytes());
        seen += 1;
    }
    assert_eq!(seen, 1);
}
