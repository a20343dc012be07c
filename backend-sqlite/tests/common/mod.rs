//! What the tests build commits from.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures_lite::future::block_on;
use prophet_store::{
    Authored, Change, ChangeKind, Changeset, Commit, CommitId, Creator, DatabaseId, Digest, Head,
    Identity, LogEntry, MetadataKey, Payload, Position, PropertyChange, PropertyName, RecordId,
    RecordKey, RecordState, RecordType, Register, ReplicaId, ReplicaStore, Sequence, StoreError,
    Timestamp, Value, Write,
};

pub(crate) const DATABASE: DatabaseId = DatabaseId::from_bytes([0xDA; 16]);

pub(crate) fn identity() -> Identity {
    Identity { database: DATABASE, replica: ReplicaId::from_bytes([0xAA; 16]) }
}

/// A directory of its own and the path of a replica in it, which is not there yet.
pub(crate) fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.replica");
    (directory, path)
}

pub(crate) fn key(record_type: &str, number: u128) -> RecordKey {
    RecordKey::new(
        RecordType::new(record_type).unwrap(),
        RecordId::from_bytes(number.to_be_bytes()),
    )
}

pub(crate) fn commit_id(number: u64) -> CommitId {
    CommitId::from_bytes(u128::from(number).to_be_bytes())
}

/// Authors changesets of one origin, each after the one before.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    pub(crate) origin: ReplicaId,
    pub(crate) sequence: Sequence,
    pub(crate) previous: Option<Digest>,
    pub(crate) time: Timestamp,
}

impl Author {
    pub(crate) fn new(origin: u8) -> Self {
        Self {
            origin: ReplicaId::from_bytes([origin; 16]),
            sequence: Sequence::FIRST,
            previous: None,
            time: Timestamp::new(1_700_000_000_000, 0),
        }
    }

    pub(crate) fn author(&mut self, payload: Payload) -> Changeset {
        self.author_with(payload, |_| ())
    }

    pub(crate) fn author_with(
        &mut self,
        payload: Payload,
        adjust: impl FnOnce(&mut Authored),
    ) -> Changeset {
        let mut authored = Authored {
            database: DATABASE,
            origin: self.origin,
            sequence: self.sequence,
            previous: self.previous,
            parents: Vec::new(),
            creator: Creator::new("ada@example.org").unwrap(),
            time: self.time,
            payload,
        };
        adjust(&mut authored);
        let changeset = Changeset::author(authored).unwrap();
        self.sequence = changeset.header().sequence.next();
        self.previous = Some(changeset.digest());
        self.time = Timestamp::new(self.time.millis().saturating_add(1_000), 0);
        changeset
    }

    /// An update of one property.
    pub(crate) fn update(
        &mut self,
        record: &RecordKey,
        name: &str,
        value: impl Into<Value>,
    ) -> Changeset {
        self.author(update(record, name, None, value.into(), &[]))
    }
}

pub(crate) fn update(
    record: &RecordKey,
    name: &str,
    old: Option<Value>,
    new: Value,
    supersedes: &[Digest],
) -> Payload {
    let property = PropertyChange {
        name: PropertyName::new(name).unwrap(),
        old,
        new: Some(new),
        rank: None,
        supersedes: supersedes.to_vec(),
    };
    Payload::Edit(vec![Change {
        record: record.clone(),
        kind: ChangeKind::Update,
        supersedes: supersedes.to_vec(),
        properties: vec![property],
    }])
}

pub(crate) fn entry(position: u64, changeset: &Changeset) -> LogEntry {
    LogEntry {
        position: Position::new(position),
        changeset: changeset.clone(),
        nullify: Vec::new(),
        settle: Vec::new(),
    }
}

/// A record with these properties, alive, each written by a changeset that is not in any log.
pub(crate) fn record(
    key: &RecordKey,
    alive: bool,
    properties: impl IntoIterator<Item = (PropertyName, Value)>,
) -> RecordState {
    let write = |value| Write::new(Digest::from_bytes([7; 32]), Timestamp::new(5, 6), Some(value));
    let properties: BTreeMap<_, _> = properties
        .into_iter()
        .map(|(name, value)| (name, Register::new(vec![write(value)])))
        .collect();
    let existence = Register::new(vec![write(Value::Boolean(alive))]);
    RecordState::from_registers(key.clone(), Position::new(1), existence, properties).unwrap()
}

/// A commit of these changesets on `base`, with metadata that counts them.
pub(crate) fn commit(id: u64, base: Head, changesets: &[Changeset]) -> Commit {
    let mut commit = Commit::new(commit_id(id), base);
    for changeset in changesets {
        let position = commit.head().position.next().get();
        commit = commit.with_entry(entry(position, changeset)).unwrap();
    }
    commit
}

pub(crate) fn metadata(id: u64, base: Head, key: &str, value: &[u8]) -> Commit {
    let key = MetadataKey::new(key).unwrap();
    Commit::new(commit_id(id), base).with_metadata(key, Some(value.to_vec())).unwrap()
}

pub(crate) fn head(store: &dyn ReplicaStore) -> Head {
    block_on(store.head()).unwrap()
}

pub(crate) fn apply(store: &dyn ReplicaStore, commit: &Commit) -> Result<Head, StoreError> {
    block_on(store.commit(commit))
}
