//! Fixed content for the golden files: one of each thing that is encoded.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_lite::future::block_on;
use futures_lite::stream;
use prophet_store::{
    Adjustment, Authored, Ballot, CastVote, Change, ChangeKind, Changeset, ChangesetSource,
    Creator, DatabaseId, Digest, Error, Existence, Identity, LogEntry, MemoryStore, Offer, Payload,
    Position, PropertyChange, PropertyName, PullOptions, Real, RecordKey, RecordState, Register,
    RegisterName, Replica, ReplicaId, Resolution, Rule, Sequence, Streamed, Timestamp, Value,
    VersionVector, Vote, Write, codec,
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
    Bundle(Bundled),
}

/// What a bundle is made of: the changesets that it leaves out, and those that it has.
pub(crate) struct Bundled {
    pub(crate) identity: Identity,
    pub(crate) basis: Vec<Changeset>,
    pub(crate) changesets: Vec<Changeset>,
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
            Self::Bundle(bundled) => block_on(bundled.encode()).unwrap(),
        }
    }
}

impl Bundled {
    /// What whoever pulls from the bundle must have seen.
    pub(crate) fn basis(&self) -> VersionVector {
        vector_of(&self.basis)
    }

    /// What whoever has pulled from it will have seen.
    pub(crate) fn result(&self) -> VersionVector {
        vector_of(&self.all())
    }

    fn all(&self) -> Vec<Changeset> {
        [self.basis.as_slice(), &self.changesets].concat()
    }

    /// The bundle that a replica writes which has all of it.
    async fn encode(&self) -> Result<Vec<u8>, Error> {
        let replica = Replica::open(MemoryStore::new(self.identity)).await?;
        replica.pull(self, PullOptions::new()).await?;
        let mut bytes = Vec::new();
        replica.bundle(&self.basis(), &mut bytes).await?;
        Ok(bytes)
    }
}

/// Where the replica that writes the bundle has all of it from.
#[async_trait]
impl ChangesetSource for Bundled {
    async fn offer(&self, _: &VersionVector) -> Result<Offer, Error> {
        Ok(Offer {
            database: database(),
            replica: replica(0x0a),
            place: "the fixed content".to_owned(),
            seen: self.result(),
            basis: VersionVector::new(),
            head: None,
        })
    }

    fn changesets(&self, _: &Offer, _: &VersionVector) -> Streamed<'_, Changeset> {
        Box::pin(stream::iter(self.all().into_iter().map(Ok)))
    }
}

fn vector_of(changesets: &[Changeset]) -> VersionVector {
    let mut vector = VersionVector::new();
    for changeset in changesets {
        vector.advance(changeset.header(), changeset.digest()).unwrap();
    }
    vector
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

fn database() -> DatabaseId {
    DatabaseId::from_bytes([0xdb; 16])
}

fn replica(byte: u8) -> ReplicaId {
    ReplicaId::from_bytes([byte; 16])
}

fn name(text: &str) -> PropertyName {
    PropertyName::new(text).unwrap()
}

fn property(text: &str, old: Option<Value>, new: Option<Value>, seen: &[u8]) -> PropertyChange {
    let supersedes = seen.iter().copied().map(digest).collect();
    PropertyChange { name: name(text), old, new, rank: None, supersedes }
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
        database: database(),
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
                    PropertyChange {
                        rank: Some(Timestamp::new(1_700_000_000_000, 251)),
                        ..property("title", text("Crash"), text("Crash at start"), &[0x44, 0x55])
                    },
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
    .and_then(|vote| vote.with_seen(vec![digest(0x44), digest(0x99)]))
    .unwrap()
}

fn entry() -> LogEntry {
    let adjustment = |register, old: Option<Value>, new, rule| Adjustment {
        record: key("bug", 1),
        register,
        old,
        new,
        rule,
    };
    let (alive, deleted) = (Existence::Alive.value(), Existence::Deleted.value());
    let votes = || RegisterName::Property(name("votes"));
    LogEntry {
        position: Position::new(7),
        changeset: authored(2, Payload::Merge(one_change())),
        nullify: vec![
            adjustment(RegisterName::Existence, deleted, alive.clone(), None),
            adjustment(votes(), Some(9.into()), Some(2.into()), None),
        ],
        settle: vec![
            // Contested from now on, and what was written is visible.
            adjustment(RegisterName::Existence, alive.clone(), alive, Some(Rule::Alive)),
            adjustment(votes(), Some(1.into()), None, Some(Rule::Majority)),
        ],
    }
}

fn cast(byte: u8, sequence: u64, choice: Option<Value>) -> CastVote {
    CastVote {
        changeset: digest(byte),
        voter: replica(byte),
        sequence: Sequence::new(sequence).unwrap(),
        choice,
        seen: Vec::new(),
        superseded: false,
    }
}

fn record() -> RecordState {
    let write = |byte, millis, value| Write::new(digest(byte), Timestamp::new(millis, 0), value);
    let (alive, deleted) = (Existence::Alive.value(), Existence::Deleted.value());
    let text = |text: &str| Some(Value::from(text));
    let on_title = Ballot::new(
        vec![text("Crash at start"), text("Crash"), None],
        vec![
            cast(0x77, 3, text("Crash")),
            CastVote { superseded: true, ..cast(0x22, 300, text("Crash at start")) },
        ],
    )
    .unwrap();
    let earlier = Ballot::new(vec![text("Crash"), None], vec![cast(0x77, 2, None)]).unwrap();
    let on_existence = Ballot::new(
        vec![alive.clone(), deleted.clone()],
        vec![
            CastVote { seen: vec![digest(0x44)], ..cast(0x88, 1, deleted.clone()) },
            cast(0x99, 4, alive.clone()),
        ],
    )
    .unwrap();
    let unwritten = Ballot::new(vec![None, Some(1.into())], vec![cast(0x99, 5, None)]).unwrap();
    let properties = BTreeMap::from([
        (name("every kind"), Register::new(vec![write(0x44, 5, Some(every_kind()))])),
        (name("gone"), Register::new(vec![write(0x55, 6, None)])),
        (
            name("title"),
            Register::new(vec![
                write(0x55, 6, text("Crash")),
                write(0x44, 7, text("Crash at start")),
            ])
            .with_ballots(vec![on_title, earlier]),
        ),
        (name("unwritten"), Register::default().with_ballots(vec![unwritten])),
    ]);
    let existence = Register::new(vec![write(0x44, 5, alive), write(0x66, 8, deleted)])
        .with_ballots(vec![on_existence]);
    RecordState::from_registers(key("bug", 1), Position::new(300), existence, properties).unwrap()
}

/// What a replica has, which the receiver has seen the first changeset of: another one of that
/// origin, and one of an origin whose clock is behind.
fn bundled() -> Bundled {
    let first = first();
    let title = |new: &str, rank| Change {
        record: key("bug", 1),
        kind: ChangeKind::Update,
        supersedes: vec![first.digest()],
        properties: vec![PropertyChange {
            name: name("title"),
            old: Some("Crash".into()),
            new: Some(new.into()),
            rank,
            supersedes: vec![first.digest()],
        }],
    };
    let authored = |origin, sequence, previous, parents, millis, change| {
        Changeset::author(Authored {
            database: database(),
            origin: replica(origin),
            sequence: Sequence::new(sequence).unwrap(),
            previous,
            parents,
            creator: Creator::empty(),
            time: Timestamp::new(millis, 0),
            payload: Payload::Edit(vec![change]),
        })
        .unwrap()
    };
    let (time, start) = (first.header().time, title("Crash at start", None));
    let behind = title("Crash at the start", Some(time));
    let second = authored(0x0a, 2, Some(first.digest()), Vec::new(), time.millis() + 1, start);
    let other = authored(0x0b, 1, None, vec![first.digest()], time.millis() - 1, behind);
    Bundled {
        identity: Identity { database: database(), replica: replica(0x0c) },
        basis: vec![first],
        changesets: vec![second, other],
    }
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
        (
            "entry",
            "a log entry with nullification and settlement, one of a value that stays",
            Thing::Entry(entry()),
        ),
        (
            "record",
            "the state of a record whose title and existence are contested and voted on",
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
        (
            "bundle",
            "a bundle of two changesets for who has seen changeset-first",
            Thing::Bundle(bundled()),
        ),
    ];
    all.map(|(name, what, thing)| Golden { name, what, thing }).into()
}
