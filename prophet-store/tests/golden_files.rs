//! The golden files: fixed content whose bytes must never change, read back, described in
//! `docs/format.md`, and understood by another implementation of bincode.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

use std::path::Path;

use bincode_next::config::standard;
use bincode_next::{Decode, Encode};
use prophet_store::{PropertyName, Query, RegisterName, Value, codec};

mod support {
    pub(crate) mod golden;
    pub(crate) mod sealing;
}
use support::golden::{Golden, Thing, goldens};
use support::sealing::{
    CHANGESET, EFFECTS, ENTRY, METADATA, RECORD, RESOLUTION, VECTOR, body, seal,
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
        }
    }
}

#[test]
fn the_envelope_of_each_golden_file_is_what_the_format_says() {
    for golden in goldens() {
        let bytes = golden.thing.encode();
        let content = match &golden.thing {
            Thing::Header(_) => continue,
            Thing::Changeset(_) => CHANGESET,
            Thing::Effects(_) => EFFECTS,
            Thing::Entry(_) => ENTRY,
            Thing::Record(_) => RECORD,
            Thing::Resolution(_) => RESOLUTION,
            Thing::Metadata(_) => METADATA,
            Thing::Vector(_) => VECTOR,
        };
        assert_eq!(seal(content, body(&bytes)), bytes, "{}", golden.name);
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

/// The header as a derive sees it.
#[derive(Debug, Encode, Decode)]
#[bincode(crate = "bincode_next")]
struct Header {
    version: u8,
    database: [u8; 16],
    origin: [u8; 16],
    sequence: u64,
    previous: Option<[u8; 32]>,
    parents: Vec<[u8; 32]>,
    creator: String,
    millis: u64,
    counter: u32,
    kind: u8,
    payload_digest: [u8; 32],
    payload_len: u64,
}

/// A value as a derive sees it.
#[derive(Debug, Encode, Decode)]
#[bincode(crate = "bincode_next")]
enum Mirror {
    Boolean(bool),
    Integer(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
    Reference(String, [u8; 16]),
    List(Vec<Mirror>),
    Map(Vec<(String, Mirror)>),
}

impl Mirror {
    fn of(value: &Value) -> Self {
        match value {
            Value::Boolean(truth) => Self::Boolean(*truth),
            Value::Integer(number) => Self::Integer(*number),
            Value::Real(number) => Self::Real(number.get()),
            Value::Text(text) => Self::Text(text.clone()),
            Value::Bytes(bytes) => Self::Bytes(bytes.clone()),
            Value::Reference(key) => {
                Self::Reference(key.record_type().to_string(), *key.id().as_bytes())
            }
            Value::List(items) => Self::List(items.iter().map(Self::of).collect()),
            Value::Map(entries) => Self::Map(
                entries.iter().map(|(name, value)| (name.clone(), Self::of(value))).collect(),
            ),
        }
    }
}

type Resolution = ([u8; 32], [u8; 16], u64, Vote, Vec<[u8; 32]>);
type Vote = (String, [u8; 16], Register, Vec<Option<Mirror>>, u64);

#[derive(Debug, Encode, Decode)]
#[bincode(crate = "bincode_next")]
enum Register {
    Existence,
    Property(String),
}

#[test]
fn a_header_is_what_a_derive_of_another_implementation_reads_and_writes() {
    let mut seen = 0;
    for golden in goldens() {
        let Thing::Header(changeset) = golden.thing else { continue };
        let bytes = codec::encode_header(changeset.header());
        let (header, used): (Header, usize) =
            bincode_next::decode_from_slice(&bytes, standard()).unwrap();
        assert_eq!(used, bytes.len());
        assert_eq!(bincode_next::encode_to_vec(&header, standard()).unwrap(), bytes);
        let expected = changeset.header();
        assert_eq!(header.version, 1);
        assert_eq!(header.database, *expected.database.as_bytes());
        assert_eq!(header.origin, *expected.origin.as_bytes());
        assert_eq!(header.sequence, expected.sequence.get());
        assert_eq!(header.previous, expected.previous.map(|digest| *digest.as_bytes()));
        let parents: Vec<_> = expected.parents.iter().map(|digest| *digest.as_bytes()).collect();
        assert_eq!(header.parents, parents);
        assert_eq!(header.creator, expected.creator.as_str());
        assert_eq!(header.millis, expected.time.millis());
        assert_eq!(header.counter, expected.time.counter());
        assert_eq!(header.kind, 0);
        assert_eq!(header.payload_digest, *expected.payload_digest.as_bytes());
        assert_eq!(header.payload_len, expected.payload_len);
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn a_value_of_every_kind_is_what_a_derive_of_another_implementation_writes() {
    let mut seen = 0;
    for golden in goldens() {
        let Thing::Record(state) = golden.thing else { continue };
        let bytes = codec::encode_record(&state);
        let name = PropertyName::new("every kind").unwrap();
        let value = state.properties()[&name].visible().unwrap();
        let mirrored = bincode_next::encode_to_vec(Mirror::of(value), standard()).unwrap();
        let found = body(&bytes).windows(mirrored.len()).any(|window| window == mirrored);
        assert!(found, "{mirrored:02x?} is not in {bytes:02x?}");
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
        let (mirror, used): (Resolution, usize) =
            bincode_next::decode_from_slice(body(&bytes), standard()).unwrap();
        assert_eq!(used, body(&bytes).len());
        assert_eq!(bincode_next::encode_to_vec(&mirror, standard()).unwrap(), body(&bytes));
        let (_, _, sequence, (record_type, _, register, candidates, choice), _) = mirror;
        assert_eq!(sequence, resolution.sequence.get());
        assert_eq!(record_type, "bug");
        match (&resolution.vote.register, register) {
            (RegisterName::Existence, Register::Existence) => {}
            (RegisterName::Property(name), Register::Property(read)) => {
                assert_eq!(read, name.as_str());
            }
            (expected, found) => panic!("{found:?} is not {expected:?}"),
        }
        let candidates = candidates.len();
        assert_eq!(candidates, resolution.vote.candidates.len());
        assert!(usize::try_from(choice).unwrap() < candidates);
        seen += 1;
    }
    assert_eq!(seen, 2);
}
