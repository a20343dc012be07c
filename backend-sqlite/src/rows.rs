//! A commit as rows: all the encoding, which the caller's thread does before the writer's turn.

use std::io;

use prophet_store::{
    Changeset, Commit, CommitId, Digest, Existence, Head, Kind, MetadataKey, Position, RecordKey,
    RecordState, StoreError, codec,
};
use serde::Serializer as _;

use crate::metadata;

/// Longer JSON is left out: it serves search and people, and both can do without.
const PROPERTIES_BYTES: usize = 1 << 20;

/// A commit, ready to be written.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) id: CommitId,
    pub(crate) base: Head,
    pub(crate) head: Head,
    /// Whether no changeset is in it twice; what matters only if it was not applied earlier.
    pub(crate) distinct: Result<(), StoreError>,
    pub(crate) entries: Vec<EntryRow>,
    pub(crate) records: Vec<RecordRow>,
    pub(crate) resolutions: Vec<ResolutionRow>,
    pub(crate) metadata: Vec<(MetadataKey, Option<Vec<u8>>)>,
}

#[derive(Debug)]
pub(crate) struct EntryRow {
    pub(crate) position: Position,
    pub(crate) changeset: Changeset,
    pub(crate) effects: Option<Vec<u8>>,
    pub(crate) kind: i64,
    pub(crate) records: Vec<RecordKey>,
}

#[derive(Debug)]
pub(crate) struct RecordRow {
    pub(crate) key: RecordKey,
    pub(crate) columns: RecordColumns,
    pub(crate) state: Vec<u8>,
}

/// The columns that repeat a part of the state.
#[derive(Debug, PartialEq)]
pub(crate) struct RecordColumns {
    pub(crate) changed: i64,
    pub(crate) existence: i64,
    pub(crate) properties: Option<String>,
}

#[derive(Debug)]
pub(crate) struct ResolutionRow {
    pub(crate) conflict: [u8; 32],
    pub(crate) changeset: Digest,
    pub(crate) vote: Vec<u8>,
}

impl Batch {
    pub(crate) fn encode(commit: &Commit) -> Result<Self, StoreError> {
        let entries = commit.entries().iter().map(|entry| {
            let changeset = entry.changeset.clone();
            let touched = !entry.nullify.is_empty() || !entry.settle.is_empty();
            Ok(EntryRow {
                position: entry.position,
                effects: touched.then(|| codec::encode_effects(entry)),
                kind: kind_number(changeset.header().kind)?,
                records: entry.records().into_iter().cloned().collect(),
                changeset,
            })
        });
        let records = commit.records().iter().map(|(key, state)| RecordRow {
            key: key.clone(),
            columns: RecordColumns::of(state),
            state: codec::encode_record(state),
        });
        let resolutions = commit.resolutions().iter().map(|resolution| ResolutionRow {
            conflict: *resolution.conflict().as_bytes(),
            changeset: resolution.changeset,
            vote: codec::encode_resolution(resolution),
        });
        let metadata = commit.metadata().iter().map(|(key, value)| {
            (key.clone(), value.as_ref().map(|value| metadata::encode(key, value)))
        });
        Ok(Self {
            id: commit.id(),
            base: commit.base(),
            head: commit.head(),
            distinct: commit.check_distinct(),
            entries: entries.collect::<Result<_, StoreError>>()?,
            records: records.collect(),
            resolutions: resolutions.collect(),
            metadata: metadata.collect(),
        })
    }
}

impl RecordColumns {
    pub(crate) fn of(state: &RecordState) -> Self {
        let existence = state.existence();
        let json = || {
            let mut json = Bounded(Vec::new());
            let properties = state.properties().iter();
            // Not of what is visible as a map, which would be a copy of all of it.
            let visible = properties.filter_map(|(name, of)| Some((name, of.visible()?)));
            serde_json::Serializer::new(&mut json).collect_map(visible).ok()?;
            String::from_utf8(json.0).ok()
        };
        Self {
            changed: state.changed().get().cast_signed(),
            existence: match existence {
                Existence::Never => 0,
                Existence::Alive => 1,
                Existence::Deleted => 2,
            },
            properties: (existence == Existence::Alive).then(json).flatten(),
        }
    }
}

/// Refuses to grow above the limit, so that no time goes into JSON that is not kept.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > PROPERTIES_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The numbers are part of the format, and those of the canonical encoding.
fn kind_number(kind: Kind) -> Result<i64, StoreError> {
    match kind {
        Kind::Edit => Ok(0),
        Kind::Undo => Ok(1),
        Kind::Merge => Ok(2),
        Kind::Resolution => Ok(3),
        Kind::Continuation => Ok(4),
        other => Err(StoreError::invalid_commit(format!(
            "this store cannot hold a changeset of kind {other}"
        ))),
    }
}

pub(crate) fn kind_of(number: i64) -> Option<Kind> {
    Some(match number {
        0 => Kind::Edit,
        1 => Kind::Undo,
        2 => Kind::Merge,
        3 => Kind::Resolution,
        4 => Kind::Continuation,
        _ => return None,
    })
}
