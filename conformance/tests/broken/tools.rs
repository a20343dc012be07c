//! What broken stores are made with.

use std::collections::BTreeMap;

use conformance::Store;
use futures_lite::future::block_on;
use prophet_store::{
    Authored, Changeset, Commit, CommitId, Head, LogEntry, MetadataKey, PropertyName, RecordState,
    Register, Resolution, StoreError, Value, Write,
};

use crate::wrapped::{Handle, Hooks};

pub(crate) fn head_of(store: &Store) -> Result<Head, StoreError> {
    block_on(store.head())
}

pub(crate) fn send(store: &Store, commit: &Commit) -> Result<Head, StoreError> {
    block_on(store.commit(commit))
}

/// The answer to a commit whose base is not the head.
pub(crate) fn refused(commit: &Commit, head: Head) -> Result<Head, StoreError> {
    Err(StoreError::stale_base(commit.base(), head))
}

/// A commit taken apart.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) id: CommitId,
    pub(crate) base: Head,
    pub(crate) entries: Vec<LogEntry>,
    pub(crate) records: Vec<RecordState>,
    pub(crate) resolutions: Vec<Resolution>,
    pub(crate) metadata: Vec<(MetadataKey, Option<Vec<u8>>)>,
}

impl Parts {
    pub(crate) fn of(commit: &Commit) -> Self {
        let metadata = commit.metadata().iter();
        Self {
            id: commit.id(),
            base: commit.base(),
            entries: commit.entries().to_vec(),
            records: commit.records().values().cloned().collect(),
            resolutions: commit.resolutions().to_vec(),
            metadata: metadata.map(|(key, value)| (key.clone(), value.clone())).collect(),
        }
    }

    /// Put together again, the entries at the positions that follow the base.
    pub(crate) fn commit(self) -> Result<Commit, StoreError> {
        let mut commit = Commit::new(self.id, self.base);
        for entry in self.entries {
            let position = commit.head().position.next();
            commit = commit.with_entry(LogEntry { position, ..entry })?;
        }
        for state in self.records {
            commit = commit.with_record(state)?;
        }
        for resolution in self.resolutions {
            commit = commit.with_resolution(resolution)?;
        }
        for (key, value) in self.metadata {
            commit = commit.with_metadata(key, value)?;
        }
        Ok(commit)
    }

    pub(crate) fn sent_to(self, store: &Store) -> Result<Head, StoreError> {
        send(store, &self.commit()?)
    }

    /// The commit on another base than its own.
    pub(crate) fn on(self, base: Head) -> Self {
        Self { base, ..self }
    }
}

/// Changes every commit on its way in.
pub(crate) fn rewrites(handle: &Handle, hooks: Hooks, rewrite: fn(&mut Parts)) -> Hooks {
    let inner = handle.inner.clone();
    hooks.send(move |commit| {
        let mut parts = Parts::of(commit);
        rewrite(&mut parts);
        parts.sent_to(&inner)
    })
}

/// Answers commits by itself where it has an answer; it is told the head.
pub(crate) fn answers(
    handle: &Handle,
    hooks: Hooks,
    answer: impl Fn(&Commit, Head) -> Option<Result<Head, StoreError>> + Send + Sync + 'static,
) -> Hooks {
    let inner = handle.inner.clone();
    hooks.send(move |commit| {
        let own = answer(commit, head_of(&inner)?);
        own.unwrap_or_else(|| send(&inner, commit))
    })
}

/// The state with each live write of its properties made anew.
pub(crate) fn rewritten(
    state: &RecordState,
    name: impl Fn(&PropertyName) -> PropertyName,
    write: impl Fn(&Write) -> Option<Write>,
) -> RecordState {
    let mut properties = BTreeMap::new();
    for (old, register) in state.properties() {
        let writes: Vec<_> = register.writes().iter().filter_map(&write).collect();
        if !writes.is_empty() {
            let ballots = register.ballots().to_vec();
            properties.insert(name(old), Register::new(writes).with_ballots(ballots));
        }
    }
    with_properties(state, properties)
}

pub(crate) fn with_properties(
    state: &RecordState,
    properties: BTreeMap<PropertyName, Register>,
) -> RecordState {
    let existence = state.existence_register().clone();
    RecordState::from_registers(state.key().clone(), state.changed(), existence, properties)
        .expect("the existence is as it was")
}

/// The state with each value made anew, or left out.
pub(crate) fn with_values(
    state: &RecordState,
    change: impl Fn(&Value) -> Option<Value>,
) -> RecordState {
    rewritten(state, PropertyName::clone, |write| {
        let value = match &write.value {
            Some(value) => Some(change(value)?),
            None => None,
        };
        Some(Write::new(write.changeset, write.rank, value))
    })
}

/// Every value that is read is made anew, or left out.
pub(crate) fn reads_values(hooks: Hooks, change: fn(&Value) -> Option<Value>) -> Hooks {
    hooks.state(move |state| Some(with_values(&state, change)))
}

/// The entry with its changeset authored anew.
pub(crate) fn reauthored(entry: LogEntry, change: impl Fn(&mut Authored)) -> LogEntry {
    let mut authored = Authored::from(&entry.changeset);
    change(&mut authored);
    LogEntry { changeset: Changeset::author(authored).expect("it was good before"), ..entry }
}
