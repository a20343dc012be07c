//! The canonical encoding: one way to write each thing, no other way to read it, and nothing that
//! bytes can do to the reader.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "this is a test")]

use std::collections::BTreeMap;

use prophet_store::codec::{self, DecodeError};
use prophet_store::{
    Adjustment, Authored, Change, ChangeKind, Changeset, Creator, DatabaseId, Digest, Existence,
    Header, InvalidChangeset, Kind, Payload, Position, PropertyChange, PropertyName, Real,
    RecordKey, RecordState, RecordType, Register, RegisterName, ReplicaId, Rule, Sequence,
    Timestamp, Tip, Value, VersionVector, Vote, Write, limits,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

#[allow(dead_code, reason = "what the tests of the format share, not all of them use")]
mod support {
    pub(crate) mod models;
    pub(crate) mod sealing;
    pub(crate) mod values;
}
use support::models;
use support::sealing::{
    BUNDLE_END, BUNDLE_START, CHANGESET, EFFECTS, ENTRY, METADATA, RECORD, RESOLUTION, VECTOR,
    body, reseal, seal, varint,
};

const CONTENTS: [u8; 7] = [CHANGESET, EFFECTS, ENTRY, RECORD, RESOLUTION, METADATA, VECTOR];

/// Decodes bytes as this content and encodes what came out.
fn reencode(content: u8, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let position = Position::new(1);
    Ok(match content {
        CHANGESET => codec::encode_changeset(&codec::decode_changeset(bytes)?),
        EFFECTS => {
            let mut entry = entry_without_effects();
            (entry.nullify, entry.settle) = codec::decode_effects(bytes)?;
            codec::encode_effects(&entry)
        }
        ENTRY => codec::encode_entry(&codec::decode_entry(position, bytes)?),
        RECORD => codec::encode_record(&codec::decode_record(bytes)?),
        RESOLUTION => codec::encode_resolution(&codec::decode_resolution(bytes)?),
        METADATA => codec::encode_metadata(&codec::decode_metadata(bytes)?),
        _ => codec::encode_vector(&codec::decode_vector(bytes)?),
    })
}

fn entry_without_effects() -> prophet_store::LogEntry {
    let changeset = update(Some(Value::from(1))).unwrap();
    prophet_store::LogEntry {
        position: Position::new(1),
        changeset,
        nullify: Vec::new(),
        settle: Vec::new(),
    }
}

/// Some envelope, and the tag of its content.
fn envelope() -> impl Strategy<Value = (u8, Vec<u8>)> {
    prop_oneof![
        models::changeset().prop_map(|it| (CHANGESET, codec::encode_changeset(&it))),
        models::log_entry().prop_map(|it| (EFFECTS, codec::encode_effects(&it))),
        models::log_entry().prop_map(|it| (ENTRY, codec::encode_entry(&it))),
        models::record_state().prop_map(|it| (RECORD, codec::encode_record(&it))),
        models::resolution().prop_map(|it| (RESOLUTION, codec::encode_resolution(&it))),
        vec(any::<u8>(), 0..9).prop_map(|it| (METADATA, codec::encode_metadata(&it))),
        models::vector().prop_map(|it| (VECTOR, codec::encode_vector(&it))),
    ]
}

/// A way to damage bytes.
#[derive(Debug, Clone)]
enum Damage {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    Cut(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        (at(), prop_oneof![0_u8..8, any::<u8>()]).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (at(), 0_u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (at(), vec(prop_oneof![0_u8..8, any::<u8>()], 1..4))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (at(), 1_usize..40).prop_map(|(at, len)| Damage::Remove(at, len)),
        (at(), 1_usize..40).prop_map(|(at, len)| Damage::Repeat(at, len)),
        at().prop_map(Damage::Cut),
    ]
}

fn damaged(bytes: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for damage in damages {
        let len = bytes.len();
        let range = |at: &Index, size: usize| {
            let start = at.index(len + 1);
            start..(start + size).min(len)
        };
        match damage {
            Damage::Insert(at, inserted) => {
                bytes.splice(range(at, 0).start..range(at, 0).start, inserted.iter().copied());
            }
            Damage::Cut(at) => bytes.truncate(at.index(len + 1)),
            Damage::Remove(at, size) => drop(bytes.drain(range(at, *size))),
            Damage::Repeat(at, size) => {
                let range = range(at, *size);
                let repeated = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, repeated);
            }
            Damage::Set(at, byte) if len > 0 => bytes[at.index(len)] = *byte,
            Damage::Flip(at, bit) if len > 0 => bytes[at.index(len)] ^= 1 << bit,
            Damage::Set(..) | Damage::Flip(..) => {}
        }
    }
    bytes
}

/// What a reader that is too lenient might take for the same: numbers longer than they need to
/// be, and neighbours that changed places or are there twice.
fn other_ways(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut ways = Vec::new();
    for place in 0..bytes.len() {
        let (before, after) = bytes.split_at(place);
        ways.push([before, &[0xfb, after[0], 0], &after[1..]].concat());
        for size in [1, 2, 3, 4, 5, 6, 8, 16, 32, 34] {
            if let (Some(one), Some(other)) = (after.get(..size), after.get(size..2 * size)) {
                let rest = &after[2 * size..];
                ways.push([before, other, one, rest].concat());
                ways.push([before, one, one, rest].concat());
            }
        }
    }
    ways
}

/// If a body is accepted it is the canonical one.
fn check_body(content: u8, body: &[u8]) -> Result<(), TestCaseError> {
    let sealed = seal(content, body);
    if let Ok(again) = reencode(content, &sealed) {
        prop_assert_eq!(again, sealed);
    }
    Ok(())
}

/// If a payload is accepted it is the canonical one. The header is made to fit it, or none would
/// get far enough.
fn check_payload(header: &Header, payload: &[u8]) -> Result<(), TestCaseError> {
    let mut header = header.clone();
    header.payload_digest = Digest::from_bytes(*blake3::hash(payload).as_bytes());
    header.payload_len = payload.len() as u64;
    if let Ok(accepted) = Changeset::from_parts(header.clone(), payload.to_vec()) {
        let again = Changeset::author(Authored::from(&accepted));
        let again = again.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(again.payload_bytes(), payload);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_changeset_comes_back(changeset in models::changeset()) {
        let decoded = codec::decode_changeset(&codec::encode_changeset(&changeset)).unwrap();
        prop_assert_eq!(&decoded, &changeset);
        prop_assert_eq!(decoded.digest(), changeset.digest());
        let header = changeset.header().clone();
        let parts = Changeset::from_parts(header, changeset.payload_bytes().to_vec()).unwrap();
        prop_assert_eq!(&parts, &changeset);
    }

    #[test]
    fn a_log_entry_and_its_effects_come_back(entry in models::log_entry()) {
        let decoded = codec::decode_entry(entry.position, &codec::encode_entry(&entry)).unwrap();
        prop_assert_eq!(&decoded, &entry);
        let effects = codec::decode_effects(&codec::encode_effects(&entry)).unwrap();
        prop_assert_eq!(effects, (entry.nullify, entry.settle));
    }

    #[test]
    fn a_record_state_comes_back(state in models::record_state()) {
        prop_assert_eq!(codec::decode_record(&codec::encode_record(&state)).unwrap(), state);
    }

    #[test]
    fn a_resolution_comes_back(resolution in models::resolution()) {
        let decoded = codec::decode_resolution(&codec::encode_resolution(&resolution)).unwrap();
        prop_assert_eq!(decoded, resolution);
    }

    #[test]
    fn metadata_comes_back(value in vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(codec::decode_metadata(&codec::encode_metadata(&value)).unwrap(), value);
    }

    #[test]
    fn a_version_vector_comes_back(vector in models::vector()) {
        prop_assert_eq!(codec::decode_vector(&codec::encode_vector(&vector)).unwrap(), vector);
    }

    #[test]
    fn bytes_that_are_accepted_are_the_canonical_ones(
        (content, bytes) in envelope(),
        damages in vec(damage(), 1..4),
        also in envelope(),
    ) {
        prop_assert_eq!(reencode(content, &bytes).unwrap(), bytes.clone());
        let bodies = [
            damaged(body(&bytes), &damages),
            [body(&bytes), body(&also.1)].concat(),
        ];
        for body in bodies {
            check_body(content, &body)?;
        }
    }

    #[test]
    fn a_payload_that_is_accepted_is_the_canonical_one(
        changeset in models::changeset(),
        damages in vec(damage(), 1..4),
    ) {
        check_payload(changeset.header(), &damaged(changeset.payload_bytes(), &damages))?;
    }

    #[test]
    fn damage_that_the_checksum_shows_is_not_read(
        (content, bytes) in envelope(),
        damages in vec(damage(), 1..3),
    ) {
        let damaged = damaged(&bytes, &damages);
        prop_assume!(damaged != bytes);
        prop_assert!(matches!(reencode(content, &damaged), Err(DecodeError::Damaged(_))));
    }

    #[test]
    fn truncated_bytes_are_refused((content, bytes) in envelope(), cut in any::<Index>()) {
        let sealed = &bytes[..bytes.len() - 4];
        let cut = &sealed[..cut.index(sealed.len())];
        prop_assert!(matches!(reencode(content, cut), Err(DecodeError::Damaged(_))));
        prop_assert!(matches!(reencode(content, &reseal(cut)), Err(DecodeError::Damaged(_))));
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..200)) {
        for content in CONTENTS {
            prop_assert!(reencode(content, &bytes).is_err());
            check_body(content, &bytes)?;
        }
    }

    #[test]
    fn a_forged_number_anywhere_is_refused_or_harmless(
        (content, bytes) in envelope(),
        number in prop_oneof![Just(u64::MAX), Just(1 << 40), Just(1 << 63), 250_u64..70_000],
    ) {
        let body = body(&bytes);
        for place in 0..body.len() {
            let forged = [&body[..place], &varint(number), &body[place + 1..]].concat();
            check_body(content, &forged)?;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn other_ways_to_say_the_same_are_not_accepted((content, bytes) in envelope()) {
        for other in other_ways(body(&bytes)) {
            check_body(content, &other)?;
        }
    }

    #[test]
    fn other_ways_to_say_the_same_payload_are_not_accepted(changeset in models::changeset()) {
        for other in other_ways(changeset.payload_bytes()) {
            check_payload(changeset.header(), &other)?;
        }
    }
}

fn key() -> RecordKey {
    "bug/018f2d6e-7b1c-7000-8000-000000000001".parse().unwrap()
}

fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, DecodeError>, why: &str) {
    match result {
        Err(DecodeError::Damaged(malformed)) => {
            assert!(malformed.to_string().contains(why), "{malformed}");
        }
        other => panic!("not refused as damaged: {other:?}"),
    }
}

#[test]
fn an_envelope_is_what_the_format_says() {
    assert_eq!(codec::encode_metadata(b"hi"), seal(METADATA, b"hi"));
    let long = vec![7; 70_000];
    assert_eq!(codec::encode_metadata(&long), seal(METADATA, &long));
    assert_eq!(body(&codec::encode_metadata(&long)), long);
}

#[test]
fn a_newer_version_is_told_from_damage_by_its_checksum() {
    let bytes = codec::encode_metadata(b"hi");
    let newer = |version| [&[0xab, 0x50, version], &bytes[3..bytes.len() - 4]].concat();
    assert_eq!(
        codec::decode_metadata(&reseal(&newer(2))).unwrap_err().to_string(),
        "written by codec version 2, but this program reads up to 1; use a newer one"
    );
    let beyond = reseal(b"\xab\x50\xffwhatever a later version puts here");
    for content in CONTENTS {
        assert!(matches!(
            reencode(content, &beyond),
            Err(DecodeError::Newer { found: 255, supported: codec::VERSION, .. })
        ));
    }
    let mut damaged = bytes.clone();
    damaged[2] = 2;
    refused(codec::decode_metadata(&damaged), "checksum");
    refused(codec::decode_metadata(&reseal(&newer(0))), "version 0");
}

#[test]
fn a_checksum_is_never_taken_for_a_version() {
    refused(codec::decode_metadata(&reseal(b"\xab\x50")), "end too early");
    refused(codec::decode_metadata(&reseal(b"\xab")), "end too early");
    refused(codec::decode_metadata(&reseal(b"")), "end too early");
    refused(codec::decode_metadata(b"\xab\x50\x01"), "too early");
    refused(codec::decode_metadata(&reseal(b"\xab\x50\x01")), "end too early");
}

#[test]
fn other_content_and_other_lengths_are_refused() {
    let bytes = codec::encode_metadata(b"hi");
    refused(codec::decode_vector(&bytes), "content 6 where Vector was expected");
    refused(codec::decode_metadata(&seal(0, b"hi")), "content 0");
    for part in [BUNDLE_START, BUNDLE_END] {
        let why = format!("content {part} where");
        CONTENTS.iter().for_each(|content| refused(reencode(*content, &seal(part, b"hi")), &why));
    }
    refused(codec::decode_metadata(&reseal(b"\xab\x50\x01\x06\x02hi!")), "length");
    refused(codec::decode_metadata(&reseal(b"\xab\x50\x01\x06\x04hi!")), "announced");
    refused(codec::decode_metadata(&reseal(b"\xab\x51\x01\x06\x02hi")), "begin");
    refused(codec::decode_metadata(&reseal(b"\xab\x50\x01\x06\xfb\x02\x00hi")), "spread");
}

#[test]
fn bytes_after_the_end_are_refused() {
    let vector = VersionVector::new();
    let bytes = [body(&codec::encode_vector(&vector)), &[0]].concat();
    refused(codec::decode_vector(&seal(VECTOR, &bytes)), "1 bytes follow");
}

/// A record with one property of one write, whose value is encoded so.
fn record_with(value: &[u8]) -> Vec<u8> {
    let state = |value| {
        let write = Write::new(digest(1), Timestamp::new(1, 0), value);
        let name = PropertyName::new("p").unwrap();
        let properties = BTreeMap::from([(name, Register::new(vec![write]))]);
        RecordState::from_registers(key(), Position::new(1), Register::default(), properties)
    };
    let absent = codec::encode_record(&state(None).unwrap());
    // After the value comes only that there are no ballots.
    let [before @ .., absent, ballots] = body(&absent) else { panic!("a record is longer") };
    assert_eq!([*absent, *ballots], [0, 0]);
    seal(RECORD, &[before, &[1], value, &[0]].concat())
}

#[track_caller]
fn value_refused(value: &[u8], why: &str) {
    refused(codec::decode_record(&record_with(value)), why);
}

#[track_caller]
fn value_accepted(bytes: &[u8], value: &Value) {
    let state = codec::decode_record(&record_with(bytes)).unwrap();
    let name = PropertyName::new("p").unwrap();
    assert_eq!(state.properties()[&name].visible(), Some(value));
    assert_eq!(codec::encode_record(&state), record_with(bytes));
}

#[test]
fn an_integer_longer_than_it_needs_to_be_is_refused() {
    value_accepted(&[1, 250], &Value::Integer(125));
    value_accepted(&[1, 0xfb, 251, 0], &Value::Integer(-126));
    value_refused(&[1, 0xfb, 250, 0], "spread over 3 bytes");
    value_refused(&[1, 0xfc, 1, 0, 0, 0], "spread over 5 bytes");
    value_refused(&[1, 0xfd, 1, 0, 0, 0, 0, 0, 0, 0], "spread over 9 bytes");
    value_refused(&[[1, 0xfe].as_slice(), &[0; 16]].concat(), "integer");
    value_refused(&[1, 0xff], "integer");
    value_refused(&[3, 0xfb, 1, 0, b'a'], "spread over 3 bytes");
    value_refused(&[6, 0xfb, 0, 0], "spread over 3 bytes");
    value_refused(&[6, 0xfc, 0xff, 0, 0, 0], "spread over 5 bytes");
}

#[test]
fn a_real_that_is_not_finite_or_a_negative_zero_is_refused() {
    let real = |number: f64| [[2].as_slice(), &number.to_le_bytes()].concat();
    value_accepted(&real(-1.5), &Value::Real(Real::new(-1.5).unwrap()));
    value_accepted(&real(5e-324), &Value::Real(Real::new(5e-324).unwrap()));
    for number in [-0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        value_refused(&real(number), "is not a real");
    }
}

#[test]
fn what_is_no_boolean_text_option_or_kind_is_refused() {
    value_accepted(&[0, 1], &Value::Boolean(true));
    value_refused(&[0, 2], "not a boolean");
    value_refused(&[3, 2, 0xc3, 0x28], "utf-8");
    value_refused(&[3, 3, 0xed, 0xa0, 0x80], "utf-8");
    value_refused(&[8], "not a kind of value");
    let bytes = record_with(&[0, 0]);
    let body = body(&bytes);
    let forged = [&body[..body.len() - 4], &[2, 0, 0, 0]].concat();
    refused(codec::decode_record(&seal(RECORD, &forged)), "neither absent (0) nor present (1)");
}

#[test]
fn a_map_out_of_order_or_with_a_key_twice_is_refused() {
    let map = |keys: [u8; 2]| [7, 2, 1, keys[0], 0, 1, 1, keys[1], 0, 0];
    let entries = [("a".to_owned(), true.into()), ("b".to_owned(), false.into())];
    value_accepted(&map(*b"ab"), &Value::Map(BTreeMap::from(entries)));
    value_refused(&map(*b"ba"), "out of order");
    value_refused(&map(*b"aa"), "repeated");
}

#[test]
fn a_table_item_that_nothing_uses_or_that_is_out_of_order_is_refused() {
    let source = |byte: u8| [[byte; 32].as_slice(), &[1, 0]].concat();
    let head = [varint(3).as_slice(), b"bug", key().id().as_bytes(), &[1]].concat();
    let record = |sources: &[u8], existence: &[u8]| {
        let count = u8::try_from(sources.len()).unwrap();
        let table = sources.iter().flat_map(|byte| source(*byte)).collect::<Vec<_>>();
        seal(RECORD, &[head.as_slice(), &[count], &table, existence, &[0, 0]].concat())
    };
    assert!(codec::decode_record(&record(&[1, 2], &[2, 0, 1, 1, 0])).is_ok());
    refused(codec::decode_record(&record(&[1, 2], &[1, 0, 1])), "nothing uses");
    refused(codec::decode_record(&record(&[2, 1], &[2, 0, 1, 1, 0])), "out of order");
    refused(codec::decode_record(&record(&[1, 1], &[2, 0, 1, 1, 0])), "repeated");
    refused(codec::decode_record(&record(&[1, 2], &[2, 1, 1, 0, 0])), "out of order");
    refused(codec::decode_record(&record(&[1], &[2, 0, 1, 0, 0])), "repeated");
    refused(codec::decode_record(&record(&[1], &[1, 1, 1])), "not in a table of 1");
    refused(codec::decode_record(&record(&[1], &[1, 0, 2])), "neither deleted (0) nor alive (1)");
}

#[test]
fn adjustments_out_of_order_or_twice_on_one_register_are_refused() {
    let adjustment = |last: u8| {
        let mut id = [0; 16];
        id[15] = last;
        [[3].as_slice(), b"bug", &id, &[0, 0, 1, 0, 1, 0]].concat()
    };
    let effects = |one, other| {
        let both = [adjustment(one), adjustment(other)].concat();
        [
            seal(EFFECTS, &[&[2], both.as_slice(), &[0]].concat()),
            seal(EFFECTS, &[&[0, 2], both.as_slice()].concat()),
        ]
    };
    for bytes in effects(1, 2) {
        assert_eq!(reencode(EFFECTS, &bytes).unwrap(), bytes);
    }
    for bytes in effects(2, 1).into_iter().chain(effects(1, 1)) {
        refused(codec::decode_effects(&bytes), "repeated or out of order");
    }
}

#[test]
fn a_rule_is_one_of_those_listed_or_none() {
    let effects = |settle: &Adjustment| {
        let mut entry = entry_without_effects();
        entry.settle = vec![settle.clone()];
        codec::encode_effects(&entry)
    };
    // That it stays alive, as an adjustment that moves nothing.
    let settle = |rule| Adjustment {
        record: key(),
        register: RegisterName::Existence,
        old: Some(true.into()),
        new: Some(true.into()),
        rule,
    };
    let rules = [
        None,
        Some(Rule::Agreed),
        Some(Rule::Majority),
        Some(Rule::MostVotes),
        Some(Rule::MostRelatedVotes),
        Some(Rule::LatestWrite),
        Some(Rule::Alive),
    ];
    let bytes = effects(&settle(None));
    let (none, before) = body(&bytes).split_last().unwrap();
    assert_eq!(*none, 0);
    // Where nothing moves and no rule chose, there is nothing to say.
    refused(codec::decode_effects(&bytes), "says nothing");
    for (byte, rule) in (0..).zip(rules).skip(1) {
        let bytes = seal(EFFECTS, &[before, &[byte]].concat());
        assert_eq!(effects(&settle(rule)), bytes);
        assert_eq!(codec::decode_effects(&bytes).unwrap(), (Vec::new(), vec![settle(rule)]));
    }
    for byte in [7, 8, 0xff] {
        let bytes = seal(EFFECTS, &[before, &[byte]].concat());
        refused(codec::decode_effects(&bytes), &format!("{byte} is not a rule"));
    }
    refused(codec::decode_effects(&seal(EFFECTS, before)), "end too early");
}

/// A record without a write, with these ballots.
fn voted_on(ballots: &[&[u8]]) -> Vec<u8> {
    let head = [varint(3).as_slice(), b"bug", key().id().as_bytes(), &[1, 0, 0, 0]].concat();
    let count = u8::try_from(ballots.len()).unwrap();
    seal(RECORD, &[head, vec![count], ballots.concat()].concat())
}

/// The register of a property, the register of existence, and candidates for them.
const P: &[u8] = &[1, 1, b'p'];
const EXISTENCE: &[u8] = &[0];
const A_OR_B: &[u8] = &[2, 1, 3, 1, b'a', 1, 3, 1, b'b'];
const DELETED_OR_ALIVE: &[u8] = &[2, 1, 0, 0, 1, 0, 1];

/// A ballot of votes for a candidate each, by voters with such an id, who had seen such digests.
fn ballot(register: &[u8], candidates: &[u8], votes: &[(u8, u8, &[u8])]) -> Vec<u8> {
    let mut bytes = [register, candidates, &[u8::try_from(votes.len()).unwrap()]].concat();
    for (voter, choice, seen) in votes {
        bytes.extend([[*voter; 16].as_slice(), &[1], &[9; 32], &[*choice]].concat());
        bytes.push(u8::try_from(seen.len()).unwrap());
        seen.iter().for_each(|byte| bytes.extend([*byte; 32]));
        bytes.push(0);
    }
    bytes
}

#[track_caller]
fn ballots_accepted(ballots: &[&[u8]]) -> RecordState {
    let bytes = voted_on(ballots);
    let state = codec::decode_record(&bytes).unwrap();
    assert_eq!(codec::encode_record(&state), bytes);
    state
}

#[track_caller]
fn ballots_refused(ballots: &[&[u8]], why: &str) {
    refused(codec::decode_record(&voted_on(ballots)), why);
}

#[test]
fn ballots_come_in_one_order_and_each_once() {
    let existence = ballot(EXISTENCE, DELETED_OR_ALIVE, &[(1, 0, &[4, 5]), (2, 1, &[])]);
    let one = ballot(P, A_OR_B, &[(1, 0, &[])]);
    // Ordered by all their bytes: three come after two, and what is longer after what is shorter.
    let long = ballot(P, &[2, 1, 3, 1, b'a', 1, 3, 2, b'a', b'b'], &[(1, 0, &[])]);
    let three = ballot(P, &[3, 0, 1, 3, 1, b'a', 1, 3, 1, b'b'], &[(1, 2, &[])]);
    let next = ballot(&[1, 1, b'q'], A_OR_B, &[(1, 1, &[])]);
    let all = [&existence, &one, &long, &three, &next].map(Vec::as_slice);
    let state = ballots_accepted(&all);
    assert_eq!(state.existence_register().ballots().len(), 1);
    let counts: Vec<_> = state.properties().values().map(|it| it.ballots().len()).collect();
    assert_eq!(counts, [3, 1]);
    for place in 1..all.len() {
        let mut swapped = all;
        swapped.swap(place - 1, place);
        ballots_refused(&swapped, "ballots are repeated or out of order");
        ballots_refused(&[all[place], all[place]], "ballots are repeated or out of order");
    }
    let other_votes = ballot(P, A_OR_B, &[(2, 1, &[])]);
    ballots_refused(&[&one, &other_votes], "ballots are repeated or out of order");
}

#[test]
fn a_ballot_has_votes_for_its_candidates_in_the_order_of_the_voters() {
    let on = |votes: &[(u8, u8, &[u8])]| ballot(P, A_OR_B, votes);
    let state = ballots_accepted(&[&on(&[(1, 1, &[]), (2, 0, &[]), (3, 1, &[])])]);
    let votes = state.properties().values().flat_map(|it| it.ballots()).flat_map(|it| it.votes());
    let choices: Vec<_> = votes.map(|vote| vote.choice.clone()).collect();
    assert_eq!(choices, ["b", "a", "b"].map(|text| Some(Value::from(text))));
    ballots_refused(&[&on(&[])], "nobody can have cast");
    ballots_refused(&[&on(&[(2, 0, &[]), (1, 0, &[])])], "repeated or out of order");
    ballots_refused(&[&on(&[(1, 0, &[]), (1, 1, &[])])], "repeated or out of order");
    ballots_refused(&[&on(&[(1, 2, &[])])], "candidate 2, which it does not name");
    ballots_refused(&[&on(&[(1, 250, &[])])], "candidate 250, which it does not name");
    let candidates = |bytes: &[u8]| ballot(P, bytes, &[(1, 0, &[])]);
    ballots_refused(&[&candidates(&[2, 1, 0, 1, 0])], "out of order");
    ballots_refused(&[&candidates(&[2, 0, 0])], "repeated");
    ballots_refused(&[&candidates(&[0])], "which it does not name");
    ballots_refused(&[&ballot(&[2], A_OR_B, &[(1, 0, &[])])], "2 is not a kind of register");
}

#[test]
fn the_fields_of_a_vote_in_a_ballot_are_checked() {
    let on = |seen: &[u8]| ballot(EXISTENCE, DELETED_OR_ALIVE, &[(1, 0, seen)]);
    let state = ballots_accepted(&[&on(&[4, 5])]);
    let vote = &state.existence_register().ballots()[0].votes()[0];
    assert_eq!((vote.voter, vote.changeset), (ReplicaId::from_bytes([1; 16]), digest(9)));
    assert_eq!((vote.sequence, &vote.choice), (Sequence::FIRST, &Existence::Deleted.value()));
    assert_eq!((vote.seen.as_slice(), vote.superseded), ([digest(4), digest(5)].as_slice(), false));
    ballots_refused(&[&on(&[5, 4])], "repeated or out of order");
    ballots_refused(&[&on(&[4, 4])], "repeated or out of order");

    let bytes = on(&[]);
    let last = bytes.len() - 1;
    let superseded = ballots_accepted(&[&[&bytes[..last], &[1]].concat()]);
    assert!(superseded.existence_register().ballots()[0].votes()[0].superseded);
    ballots_refused(&[&[&bytes[..last], &[2]].concat()], "2 is not a boolean");
    let sequence = EXISTENCE.len() + DELETED_OR_ALIVE.len() + 1 + 16;
    assert_eq!(bytes[sequence], 1);
    let without = [&bytes[..sequence], &[0], &bytes[sequence + 1..]].concat();
    ballots_refused(&[&without], "no sequence number 0");
}

#[test]
fn a_property_that_was_only_voted_on_is_listed_by_its_ballot_alone() {
    let votes = ballot(P, A_OR_B, &[(1, 0, &[])]);
    let state = ballots_accepted(&[&votes]);
    let register = &state.properties()[&PropertyName::new("p").unwrap()];
    assert!(register.writes().is_empty());
    assert_eq!(register.visible(), None);
    let head = [varint(3).as_slice(), b"bug", key().id().as_bytes(), &[1, 0, 0]].concat();
    let listed = [head.as_slice(), &[1, 1, b'p', 0, 1], &votes].concat();
    refused(codec::decode_record(&seal(RECORD, &listed)), "without a write");
}

#[test]
fn an_origin_without_a_tip_and_a_sequence_of_zero_are_refused() {
    let origin = [7; 16];
    let vector = |tips: &[u8]| seal(VECTOR, &[&[1], origin.as_slice(), tips].concat());
    refused(codec::decode_vector(&vector(&[0])), "without a tip");
    let tip = [[1, 0].as_slice(), &[9; 32]].concat();
    refused(codec::decode_vector(&vector(&tip)), "no sequence number 0");
}

#[test]
fn a_forged_count_is_refused_before_anything_is_allocated_for_it() {
    for count in [300, 1 << 20, 1 << 32, 1 << 40, u64::MAX] {
        refused(codec::decode_vector(&seal(VECTOR, &varint(count))), "announced");
        for kind in [3, 4, 6, 7] {
            value_refused(&[vec![kind], varint(count)].concat(), "announced");
        }
    }
}

#[test]
fn three_megabytes_of_nesting_are_refused_before_the_stack_ends() {
    let lists = [6, 1].repeat(3 << 19);
    value_refused(&lists, "nested too deeply");
    let maps = [7, 1, 0].repeat(1 << 20);
    value_refused(&maps, "nested too deeply");
    value_refused(&[0].repeat(3 << 20), "follow");
}

fn nested_bytes(levels: u64) -> Vec<u8> {
    let lists = usize::try_from(levels - 1).unwrap();
    [[6, 1].repeat(lists), vec![0, 1]].concat()
}

fn nested(levels: u64) -> Value {
    (1..levels).fold(Value::from(true), |inner, _| Value::from(vec![inner]))
}

fn update(new: Option<Value>) -> Result<Changeset, InvalidChangeset> {
    author(Payload::Edit(vec![Change {
        record: key(),
        kind: ChangeKind::Update,
        supersedes: Vec::new(),
        properties: vec![PropertyChange {
            name: PropertyName::new("p").unwrap(),
            old: None,
            new,
            rank: None,
            supersedes: Vec::new(),
        }],
    }]))
}

fn author(payload: Payload) -> Result<Changeset, InvalidChangeset> {
    Changeset::author(Authored {
        database: DatabaseId::from_bytes([1; 16]),
        origin: ReplicaId::from_bytes([2; 16]),
        sequence: Sequence::FIRST,
        previous: None,
        parents: Vec::new(),
        creator: Creator::new("").unwrap(),
        time: Timestamp::new(1, 0),
        payload,
    })
}

fn p() -> RegisterName {
    RegisterName::Property(PropertyName::new("p").unwrap())
}

/// The first of a replica's changesets, made at 1 ms, with this payload of this kind.
fn with_payload(kind: Kind, payload: &[u8]) -> Result<Changeset, DecodeError> {
    let header = Header {
        kind,
        payload_digest: Digest::from_bytes(*blake3::hash(payload).as_bytes()),
        payload_len: payload.len() as u64,
        ..update(None).unwrap().header().clone()
    };
    let bytes = seal(CHANGESET, &[codec::encode_header(&header).as_slice(), payload].concat());
    let changeset = codec::decode_changeset(&bytes)?;
    assert_eq!(changeset.payload_bytes(), payload);
    assert_eq!(codec::encode_changeset(&changeset), bytes);
    Ok(changeset)
}

#[test]
fn a_rank_that_is_not_later_than_the_changeset_is_refused() {
    let ranked = |rank: Option<Timestamp>, kind| {
        let (old, new) = match kind {
            ChangeKind::Delete => (Some(1.into()), None),
            _ => (None, Some(1.into())),
        };
        let name = PropertyName::new("p").unwrap();
        let properties = vec![PropertyChange { name, old, new, rank, supersedes: Vec::new() }];
        let change = Change { record: key(), kind, supersedes: Vec::new(), properties };
        author(Payload::Edit(vec![change]))
    };
    let at = |millis, counter| Some(Timestamp::new(millis, counter));
    for rank in [None, at(1, 1), at(2, 0), at(u64::MAX, u32::MAX)] {
        let changeset = ranked(rank, ChangeKind::Create).unwrap();
        assert_eq!(changeset.changes()[0].properties[0].rank, rank);
    }
    for rank in [at(1, 0), at(0, 9), at(0, 0)] {
        let error = ranked(rank, ChangeKind::Create).unwrap_err().to_string();
        assert!(error.contains("\"p\" is not later than the changeset"), "{error}");
    }
    assert!(ranked(None, ChangeKind::Delete).is_ok());
    assert!(ranked(at(2, 0), ChangeKind::Delete).is_err(), "a delete writes to no property");

    // The same, as bytes: table, one change, one property with such a rank.
    let payload = |kind: u8, values: &[u8], rank: &[u8]| {
        let record = [[3].as_slice(), b"bug", key().id().as_bytes()].concat();
        [&[0, 1], record.as_slice(), &[kind, 0, 1, 1, b'p'], values, rank, &[0]].concat()
    };
    let edit =
        |kind, values: &[u8], rank: &[u8]| with_payload(Kind::Edit, &payload(kind, values, rank));
    let (write, hide) = ([0, 1, 1, 2].as_slice(), [1, 1, 2, 0].as_slice());
    for rank in [[0].as_slice(), &[1, 1, 1], &[1, 2, 0], &[1, 0xfb, 251, 0, 0]] {
        assert!(edit(0, write, rank).is_ok(), "{rank:?}");
    }
    for rank in [[1, 1, 0], [1, 0, 9], [1, 0, 0]] {
        refused(edit(0, write, &rank), "is not later than the changeset");
    }
    assert!(edit(3, hide, &[0]).is_ok());
    refused(edit(3, hide, &[1, 2, 0]), "deletes the record but writes to");
    refused(edit(0, write, &[2, 2, 0]), "neither absent (0) nor present (1)");
    refused(edit(0, write, &[1, 0xfb, 2, 0, 0]), "spread over 3 bytes");
    refused(edit(0, write, &[1, 2, 0xfd, 0, 0, 0, 0, 1, 0, 0, 0]), "above 32 bits");
}

#[test]
fn only_a_vote_for_a_deletion_says_what_it_has_seen() {
    let (alive, deleted) = (Existence::Alive.value(), Existence::Deleted.value());
    let vote = |register, candidates: [&Option<Value>; 2], choice: &Option<Value>| {
        let candidates = candidates.map(Clone::clone).to_vec();
        Vote::new(key(), register, candidates, choice.clone(), Vec::new()).unwrap()
    };
    let both = [&alive, &deleted];
    let for_deletion = vote(RegisterName::Existence, both, &deleted);
    let seeing = for_deletion.clone().with_seen(vec![digest(2), digest(1), digest(2)]).unwrap();
    assert_eq!(seeing.seen, [digest(1), digest(2)], "in order, and each once");
    assert!(for_deletion.with_seen(Vec::new()).is_ok(), "nobody need have said that it is alive");
    let others = [
        vote(RegisterName::Existence, both, &alive),
        vote(RegisterName::Existence, [&None, &deleted], &None),
        // A property whose value is false is not a record that is deleted.
        vote(p(), both, &deleted),
    ];
    for vote in others {
        assert!(vote.clone().with_seen(Vec::new()).is_ok());
        let error = vote.clone().with_seen(vec![digest(1)]).unwrap_err().to_string();
        assert!(error.contains("which only one for a deletion does"), "{error}");
        let mut changed = vote;
        changed.seen.push(digest(1));
        assert!(author(Payload::Resolution(vec![changed])).is_err());
    }

    // The same, as bytes: places in the table of a payload, and digests in a resolution.
    let of_record = [[3].as_slice(), b"bug", key().id().as_bytes()].concat();
    let vote = |register, candidates, choice| {
        [of_record.as_slice(), register, candidates, &[choice]].concat()
    };
    let payload = |vote: Vec<u8>, seen: &[u8], supersedes: &[u8]| {
        let table = [[2].as_slice(), &[1; 32], &[2; 32], &[1]].concat();
        with_payload(Kind::Resolution, &[table, vote, seen.to_vec(), supersedes.to_vec()].concat())
    };
    let stored = |vote: Vec<u8>, seen: &[u8]| {
        let head = [[9; 32].as_slice(), &[8; 16], &[1]].concat();
        let seen = [varint(seen.len() as u64), seen.iter().flat_map(|it| [*it; 32]).collect()];
        let bytes = seal(RESOLUTION, &[head, vote, seen.concat(), vec![0]].concat());
        let resolution = codec::decode_resolution(&bytes)?;
        assert_eq!(codec::encode_resolution(&resolution), bytes);
        Ok(resolution)
    };
    let for_deletion = || vote(EXISTENCE, DELETED_OR_ALIVE, 0);
    let read = payload(for_deletion(), &[2, 0, 1], &[1, 0]).unwrap();
    let [read] = read.payload().votes() else { panic!("there is one") };
    assert_eq!(read.seen, [digest(1), digest(2)]);
    assert_eq!(read.supersedes, [digest(1)]);
    assert_eq!(stored(for_deletion(), &[1, 2]).unwrap().vote.seen, [digest(1), digest(2)]);
    assert!(payload(for_deletion(), &[1, 0], &[1, 1]).is_ok(), "either may use the table");
    refused(payload(for_deletion(), &[1, 0], &[0]), "nothing uses");
    refused(payload(for_deletion(), &[1, 2], &[2, 0, 1]), "not in a table of 2");
    refused(payload(for_deletion(), &[2, 1, 0], &[0]), "out of order");
    refused(payload(for_deletion(), &[2, 1, 1], &[1, 0]), "repeated");
    refused(stored(for_deletion(), &[2, 1]), "out of order");
    refused(stored(for_deletion(), &[1, 1]), "repeated");
    let others = [
        (EXISTENCE, DELETED_OR_ALIVE, 1),
        (EXISTENCE, [2, 0, 1, 0, 0].as_slice(), 0),
        (P, DELETED_OR_ALIVE, 0),
        (P, A_OR_B, 0),
    ];
    for (register, candidates, choice) in others {
        let vote = || vote(register, candidates, choice);
        assert!(payload(vote(), &[0], &[2, 0, 1]).is_ok());
        assert!(stored(vote(), &[]).is_ok());
        refused(payload(vote(), &[1, 0], &[1, 1]), "which only one for a deletion does");
        refused(stored(vote(), &[1]), "which only one for a deletion does");
    }
}

#[test]
fn values_may_nest_as_deep_as_the_limit_and_no_deeper() {
    let depth = limits::VALUE_DEPTH;
    value_accepted(&nested_bytes(depth), &nested(depth));
    value_refused(&nested_bytes(depth + 1), "nested too deeply");
    assert!(update(Some(nested(depth))).is_ok());
    let error = update(Some(nested(depth + 1))).unwrap_err().to_string();
    assert!(error.contains("65 levels of nesting, but at most 64"), "{error}");
    let candidates = vec![None, Some(nested(depth + 1))];
    assert!(Vote::new(key(), p(), candidates, None, Vec::new()).is_err());
}

#[test]
fn values_may_have_as_many_parts_as_the_limit_and_no_more() {
    let list = |parts: u64| {
        let items = usize::try_from(parts - 1).unwrap();
        (
            [vec![6], varint(parts - 1), [0, 1].repeat(items)].concat(),
            vec![Value::from(true); items],
        )
    };
    let (bytes, items) = list(limits::VALUE_NODES);
    let value = Value::from(items);
    value_accepted(&bytes, &value);
    assert!(update(Some(value)).is_ok());
    let (bytes, items) = list(limits::VALUE_NODES + 1);
    value_refused(&bytes, "too many parts");
    assert!(update(Some(Value::from(items))).is_err());
}

#[test]
fn values_may_be_as_large_as_the_limit_and_no_larger() {
    let bytes = |extra: u64| {
        let len = limits::VALUE_BYTES - 6 + extra;
        let content = vec![b'x'; usize::try_from(len).unwrap()];
        ([vec![4], varint(len), content.clone()].concat(), Value::from(content))
    };
    let (encoded, value) = bytes(0);
    value_accepted(&encoded, &value);
    assert!(update(Some(value)).is_ok());
    let (encoded, value) = bytes(1);
    value_refused(&encoded, "above the limit");
    assert!(update(Some(value)).is_err());
}

#[test]
fn a_payload_above_the_limit_is_refused_unread() {
    let changeset = update(None).unwrap();
    let payload = vec![0; usize::try_from(limits::CHANGESET_BYTES).unwrap() + 1];
    let error = Changeset::from_parts(changeset.header().clone(), payload).unwrap_err();
    assert!(matches!(error, InvalidChangeset::Limit(_)), "{error}");
}

#[test]
fn names_may_be_as_long_as_the_limit_and_no_longer() {
    let text = |len: u64| "x".repeat(usize::try_from(len).unwrap());
    assert!(PropertyName::new(text(255)).is_ok() && RecordType::new(text(255)).is_ok());
    assert!(PropertyName::new(text(256)).is_err() && RecordType::new(text(256)).is_err());
    assert!(Creator::new(text(1_024)).is_ok() && Creator::new(text(1_025)).is_err());
    assert!(
        PropertyName::new("é".repeat(127)).is_ok() && PropertyName::new("é".repeat(128)).is_err()
    );

    let reference = |len: u64| {
        [vec![5], varint(len), text(len).into_bytes(), key().id().as_bytes().to_vec()].concat()
    };
    let long = RecordKey::new(RecordType::new(text(255)).unwrap(), key().id());
    value_accepted(&reference(255), &Value::Reference(long));
    value_refused(&reference(256), "256 bytes, but at most 255");
    value_refused(&reference(0), "must not be empty");
    let control = [[5, 1, 7].as_slice(), key().id().as_bytes()].concat();
    value_refused(&control, "control character");
}

#[test]
fn a_vote_that_was_changed_after_it_was_made_is_put_in_order_or_refused() {
    let values = ["a", "b", "c"].map(|text| Some(Value::from(text))).to_vec();
    let vote = Vote::new(key(), p(), values, Some("a".into()), vec![digest(9)]).unwrap();
    let authored = |vote| author(Payload::Resolution(vec![vote]));
    let with = |change: fn(&mut Vote)| {
        let mut vote = vote.clone();
        change(&mut vote);
        authored(vote)
    };
    let sorted = with(|vote| vote.supersedes.push(digest(1))).unwrap();
    assert_eq!(sorted.payload().votes()[0].supersedes, [digest(1), digest(9)]);
    assert_eq!(codec::decode_changeset(&codec::encode_changeset(&sorted)).unwrap(), sorted);
    assert!(with(|vote| vote.supersedes.push(digest(9))).is_err());
    assert!(with(|vote| vote.candidates.reverse()).is_err());
    assert!(with(|vote| vote.candidates.push(Some("c".into()))).is_err());
}

#[test]
fn rules_of_a_changeset_are_checked_when_it_is_authored() {
    let change =
        |kind, properties| Change { record: key(), kind, supersedes: Vec::new(), properties };
    let property = |old: Option<i64>, new: Option<i64>, supersedes| PropertyChange {
        name: PropertyName::new("p").unwrap(),
        old: old.map(Value::from),
        new: new.map(Value::from),
        rank: None,
        supersedes,
    };
    let edit = |change| author(Payload::Edit(vec![change]));
    let good = property(None, Some(1), Vec::new());
    assert!(edit(change(ChangeKind::Create, Vec::new())).is_ok());
    assert!(author(Payload::Edit(Vec::new())).is_err(), "it changes nothing");
    assert!(author(Payload::Resolution(Vec::new())).is_err(), "it changes nothing");
    assert!(edit(change(ChangeKind::Update, Vec::new())).is_err());
    assert!(edit(change(ChangeKind::Update, vec![good.clone(), good.clone()])).is_err());
    let bare = change(ChangeKind::Create, Vec::new());
    assert!(author(Payload::Edit(vec![bare.clone(), bare])).is_err(), "one record twice");
    let sees = property(Some(1), Some(2), Vec::new());
    assert!(edit(change(ChangeKind::Update, vec![sees.clone()])).is_ok());
    assert!(edit(change(ChangeKind::Create, vec![sees.clone()])).is_err());
    assert!(edit(change(ChangeKind::Delete, vec![sees])).is_err());
    assert!(edit(change(ChangeKind::Delete, vec![property(Some(1), None, Vec::new())])).is_ok());
    let twice = property(None, Some(1), vec![digest(1), digest(1)]);
    assert!(edit(change(ChangeKind::Update, vec![twice])).is_err());
}

#[test]
fn a_header_names_a_previous_changeset_exactly_if_it_is_not_the_first() {
    let changeset = update(None).unwrap();
    let parts = |header: Header| Changeset::from_parts(header, changeset.payload_bytes().to_vec());
    let header = |sequence, previous| Header {
        sequence: Sequence::new(sequence).unwrap(),
        previous,
        ..changeset.header().clone()
    };
    assert!(parts(header(1, None)).is_ok());
    assert!(parts(header(2, Some(digest(1)))).is_ok());
    assert!(parts(header(1, Some(digest(1)))).is_err());
    assert!(parts(header(2, None)).is_err());
    for parents in [vec![digest(2), digest(1)], vec![digest(1), digest(1)]] {
        assert!(parts(Header { parents, ..header(1, None) }).is_err());
    }
    assert!(parts(Header { kind: Kind::Resolution, ..header(1, None) }).is_err());
    assert!(parts(Header { payload_digest: digest(1), ..header(1, None) }).is_err());
    assert!(parts(Header { payload_len: 1, ..header(1, None) }).is_err());
}

#[test]
fn a_conflict_is_its_values_whatever_their_order() {
    let vote = |values: [&str; 3], choice: &str| {
        let candidates = values.map(|text| Some(Value::from(text))).to_vec();
        Vote::new(key(), p(), candidates, Some(choice.into()), Vec::new()).unwrap()
    };
    let id = vote(["a", "b", "a"], "a").conflict();
    assert_eq!(vote(["b", "a", "b"], "b").conflict(), id);
    assert_ne!(vote(["a", "b", "c"], "a").conflict(), id);
    let record = key().id();
    let bytes = [
        [3].as_slice(),
        b"bug",
        record.as_bytes(),
        &[1, 1, b'p'],
        &[2, 1, 3, 1, b'a', 1, 3, 1, b'b'],
    ];
    assert_eq!(id.as_bytes(), blake3::hash(&bytes.concat()).as_bytes());
}

#[test]
fn a_digest_is_of_the_canonical_header() {
    let changeset = update(None).unwrap();
    let header = codec::encode_header(changeset.header());
    assert_eq!(changeset.digest().as_bytes(), blake3::hash(&header).as_bytes());
    let payload = blake3::hash(changeset.payload_bytes());
    assert_eq!(changeset.header().payload_digest.as_bytes(), payload.as_bytes());
    let whole = [header.as_slice(), changeset.payload_bytes()].concat();
    assert_eq!(codec::encode_changeset(&changeset), seal(CHANGESET, &whole));
}

#[test]
fn a_vector_follows_chains_and_forks_and_refuses_gaps() {
    let origin = ReplicaId::from_bytes([1; 16]);
    let sequence = |number| Sequence::new(number).unwrap();
    let tip = |number, byte| Tip { sequence: sequence(number), digest: digest(byte) };
    let header = |number, previous: Option<u8>| {
        models::header(origin, sequence(number), previous.map(digest))
    };
    let mut vector = VersionVector::new();
    let gap = vector.advance(&header(2, Some(1)), digest(2)).unwrap_err();
    assert_eq!((gap.origin, gap.sequence), (origin, sequence(2)));
    assert_eq!(vector, VersionVector::new(), "a refused changeset leaves no trace");

    vector.advance(&header(1, None), digest(1)).unwrap();
    vector.advance(&header(2, Some(1)), digest(2)).unwrap();
    assert_eq!(vector.of(origin), [tip(2, 2)], "a tip gives way to what follows it");
    let before = vector.digest();

    vector.advance(&header(2, Some(1)), digest(3)).unwrap();
    assert_eq!(vector.of(origin), [tip(2, 2), tip(2, 3)], "a fork has two tips");
    assert_ne!(vector.digest(), before);
    vector.advance(&header(3, Some(2)), digest(4)).unwrap();
    assert_eq!(vector.of(origin), [tip(2, 3), tip(3, 4)], "each branch goes on by itself");
    vector.advance(&header(1, None), digest(5)).unwrap();
    assert_eq!(vector.of(origin).len(), 3, "a second first changeset is a fork as well");

    let before = vector.clone();
    assert!(vector.advance(&header(9, Some(8)), digest(9)).is_err());
    assert_eq!(vector, before);
    assert_eq!(vector.of(ReplicaId::from_bytes([2; 16])), []);
    assert_eq!(codec::decode_vector(&codec::encode_vector(&vector)).unwrap(), vector);
}
