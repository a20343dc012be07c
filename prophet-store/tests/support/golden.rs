//! Fixed content for the golden files: one of each thing that is encoded.

use std::collections::BTreeMap;

use prophet_store::{
    Adjustment, Authored, Change, ChangeKind, Changeset, Creator, DatabaseId, Digest, Existence,
    LogEntry, Payload, Position, PropertyChange, PropertyName, Real, RecordKey, RecordState,
    Register, RegisterName, ReplicaId, Resolution, Sequence, Timestamp, Value, VersionVector, Vote,
    Write, codec,
};

/// One golden file.
pub(crate) struct Golden {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) thing: Thing,
}

/// What the bytes stand for.
pub(crate) enum Thing {
    Header(Changeset),
    Changeset(Changeset),
    Effects(LogEntry),
    Entry(LogEntry),
    Record(RecordState),
    Resolution(Resolution),
    Metadata(Vec<u8>),
    Vector(VersionVector),
}

impl Thing {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Header(changeset) => codec::encode_header(changeset.header()),
            Self::Changeset(changeset) => codec::encode_changeset(changeset),
            Self::Effects(entry) => codec::encode_effects(entry),
            Self::Entry(entry) => codec::encode_entry(entry),
            Self::Record(state) => codec::encode_record(state),
            Self::Resolution(resolution) => codec::encode_resolution(resolution),
            Self::Metadata(value) => codec::encode_metadata(value),
            Self::Vector(vector) => codec::encode_vector(vector),
        }
    }
}

impl Golden {
    /// The file as it should be: a line that says what it is, and the bytes in hex.
    pub(crate) fn file(&self) -> String {
        let mut text = format!("# {}\n", self.what);
        for line in self.thing.encode().chunks(32) {
            text.extend(line.iter().map(|byte| format!("{byte:02x}")));
            text.push('\n');
        }
        text
    }
}

fn key(record_type: &str, last: u8) -> RecordKey {
    format!("{record_type}/018f2d6e-7b1c-7000-8000-0000000000{last:02x}").parse().unwrap()
}

fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

fn replica(byte: u8) -> ReplicaId {
    ReplicaId::from_bytes([byte; 16])
}

fn name(text: &str) -> PropertyName {
    PropertyName::new(text).unwrap()
}

fn property(text: &str, old: Option<Value>, new: Option<Value>, seen: &[u8]) -> PropertyChange {
    let supersedes = seen.iter().copied().map(digest).collect();
    PropertyChange { name: name(text), old, new, supersedes }
}

/// A value of every kind, one within the other.
fn every_kind() -> Value {
    Value::from(BTreeMap::from([
        ("$".to_owned(), Value::from(false)),
        ("bytes".to_owned(), Value::from([0_u8, 0xff].as_slice())),
        (
            "integers".to_owned(),
            Value::from(
                [0, -1, 1, 125, -126, 32_767, 1 << 40, i64::MIN, i64::MAX]
                    .map(Value::Integer)
                    .to_vec(),
            ),
        ),
        ("real".to_owned(), Value::from(Real::new(-1.5).unwrap())),
        ("reference".to_owned(), Value::from(key("person", 2))),
        ("text".to_owned(), Value::from("naïve ✓")),
    ]))
}

fn authored(number: u64, payload: Payload) -> Changeset {
    let sequence = Sequence::new(number).unwrap();
    Changeset::author(Authored {
        database: DatabaseId::from_bytes([0xdb; 16]),
        origin: replica(0x0a),
        sequence,
        previous: (sequence != Sequence::FIRST).then(|| digest(0x11)),
        parents: if number == 1 { Vec::new() } else { vec![digest(0x33), digest(0x22)] },
        creator: Creator::new("ada@example.com").unwrap(),
        time: Timestamp::new(1_700_000_000_000, 3),
        payload,
    })
    .unwrap()
}

/// The smallest: one record with one property, made by a replica's first changeset.
fn first() -> Changeset {
    authored(
        1,
        Payload::Edit(vec![Change {
            record: key("bug", 1),
            kind: ChangeKind::Create,
            supersedes: Vec::new(),
            properties: vec![property("title", None, Some(Value::from("Crash")), &[])],
        }]),
    )
}

fn edit() -> Changeset {
    let change = |record, kind, seen: &[u8], properties| {
        let supersedes = seen.iter().copied().map(digest).collect();
        Change { record, kind, supersedes, properties }
    };
    let text = |text: &str| Some(Value::from(text));
    authored(
        300,
        Payload::Edit(vec![
            change(
                key("bug", 1),
                ChangeKind::Update,
                &[0x44],
                vec![
                    property("every kind", None, Some(every_kind()), &[]),
                    property("owner", text("ada"), None, &[0x44]),
                    property("title", text("Crash"), text("Crash at start"), &[0x44, 0x55]),
                ],
            ),
            change(
                key("bug", 2),
                ChangeKind::Delete,
                &[0x66],
                vec![property("title", text("Spam"), None, &[])],
            ),
            change(key("bug", 3), ChangeKind::Undelete, &[0x66], Vec::new()),
            change(
                key("person", 1),
                ChangeKind::Create,
                &[],
                vec![property("name", None, text("Ada"), &[])],
            ),
            change(
                key("person", 2),
                ChangeKind::Recreate,
                &[0x77],
                vec![property("name", None, None, &[0x55])],
            ),
        ]),
    )
}

fn one_change() -> Vec<Change> {
    vec![Change {
        record: key("bug", 1),
        kind: ChangeKind::Update,
        supersedes: Vec::new(),
        properties: vec![property("votes", Some(2.into()), Some(1.into()), &[0x44])],
    }]
}

fn vote_on_property() -> Vote {
    Vote::new(
        key("bug", 1),
        RegisterName::Property(name("status")),
        vec![Some(Value::from("open")), None, Some(Value::from("fixed"))],
        Some(Value::from("open")),
        vec![digest(0x88)],
    )
    .unwrap()
}

fn vote_on_existence() -> Vote {
    Vote::new(
        key("bug", 1),
        RegisterName::Existence,
        vec![Existence::Alive.value(), Existence::Deleted.value()],
        Existence::Deleted.value(),
        Vec::new(),
    )
    .unwrap()
}

fn entry() -> LogEntry {
    let adjustment = |register, old: Option<Value>, new| Adjustment {
        record: key("bug", 1),
        register,
        old,
        new,
    };
    let votes = || RegisterName::Property(name("votes"));
    LogEntry {
        position: Position::new(7),
        changeset: authored(2, Payload::Merge(one_change())),
        nullify: vec![
            adjustment(RegisterName::Existence, Some(false.into()), Some(true.into())),
            adjustment(votes(), Some(9.into()), Some(2.into())),
        ],
        settle: vec![adjustment(votes(), Some(1.into()), None)],
    }
}

fn record() -> RecordState {
    let write = |byte, millis, value| Write::new(digest(byte), Timestamp::new(millis, 0), value);
    let properties = BTreeMap::from([
        (name("every kind"), Register::new(vec![write(0x44, 5, Some(every_kind()))])),
        (name("gone"), Register::new(vec![write(0x55, 6, None)])),
        (
            name("title"),
            Register::new(vec![
                write(0x55, 6, Some("Crash".into())),
                write(0x44, 7, Some("Crash at start".into())),
            ]),
        ),
    ]);
    let existence = Register::new(vec![
        write(0x44, 5, Existence::Alive.value()),
        write(0x66, 8, Existence::Deleted.value()),
    ]);
    RecordState::from_registers(key("bug", 1), Position::new(300), existence, properties).unwrap()
}

fn vector() -> VersionVector {
    let mut vector = VersionVector::new();
    let mut first = first().header().clone();
    for (origin, byte) in [(replica(0x0b), 2), (replica(0x0a), 1), (replica(0x0b), 3)] {
        first.origin = origin;
        vector.advance(&first, digest(byte)).unwrap();
    }
    vector
}

/// All golden files.
pub(crate) fn goldens() -> Vec<Golden> {
    let resolution = |changeset, vote| Resolution {
        changeset: digest(changeset),
        voter: replica(0x0c),
        sequence: Sequence::new(251).unwrap(),
        vote,
    };
    let undo = Payload::Undo { undone: digest(0x99), changes: one_change() };
    let votes = Payload::Resolution(vec![vote_on_property(), vote_on_existence()]);
    let continuation = Payload::Continuation { replica: replica(0x0e), tip: digest(0xee) };
    let all = [
        (
            "header-first",
            "the header of changeset-first: what its digest is of",
            Thing::Header(first()),
        ),
        (
            "header-edit",
            "the header of changeset-edit: what its digest is of",
            Thing::Header(edit()),
        ),
        (
            "changeset-first",
            "a replica's first changeset: one record is created",
            Thing::Changeset(first()),
        ),
        ("changeset-edit", "a changeset with changes of every kind", Thing::Changeset(edit())),
        (
            "changeset-undo",
            "a changeset that takes another back",
            Thing::Changeset(authored(2, undo)),
        ),
        (
            "changeset-merge",
            "a changeset that settles by hand",
            Thing::Changeset(authored(2, Payload::Merge(one_change()))),
        ),
        (
            "changeset-resolution",
            "a changeset with two votes",
            Thing::Changeset(authored(2, votes)),
        ),
        (
            "changeset-continuation",
            "the first changeset of a fork's new identity",
            Thing::Changeset(authored(1, continuation)),
        ),
        ("effects", "the effects of the log entry in entry", Thing::Effects(entry())),
        ("entry", "a log entry with nullification and settlement", Thing::Entry(entry())),
        (
            "record",
            "the state of a record whose title and existence are contested",
            Thing::Record(record()),
        ),
        (
            "resolution-property",
            "a vote on a property",
            Thing::Resolution(resolution(0xaa, vote_on_property())),
        ),
        (
            "resolution-existence",
            "a vote on existence",
            Thing::Resolution(resolution(0xbb, vote_on_existence())),
        ),
        ("metadata", "a metadata value", Thing::Metadata(b"cursor 42".to_vec())),
        ("vector", "a version vector of two origins, one of them forked", Thing::Vector(vector())),
    ];
    all.map(|(name, what, thing)| Golden { name, what, thing }).into()
}
