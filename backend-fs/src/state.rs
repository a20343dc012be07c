//! What a handle knows of the replica: where it is, and where everything else is found.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use prophet_files::line::CommitEnd;
use prophet_files::manifest::{FRAMED_SEGMENTS, FrameAt, Holds, Manifest, Segment};
use prophet_store::{
    Digest, Head, Header, Identity, LogEntry, Position, RecordKey, RecordState, Resolution,
    StoreError, VersionVector, codec,
};
use prophet_tables::keys;

use crate::follow::Committed;
use crate::tail::Tail;
use crate::view::{Index, Layer, View};

/// The part of the replica that is in sealed segments, as the index says.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) head: Head,
    pub(crate) seen: VersionVector,
    pub(crate) segments: Vec<Segment>,
}

impl Sealed {
    pub(crate) const NOTHING: Self =
        Self { head: Head::EMPTY, seen: VersionVector::new(), segments: Vec::new() };

    pub(crate) fn manifest(&self, identity: Identity) -> Manifest {
        Manifest {
            identity,
            head: self.head,
            seen: self.seen.clone(),
            segments: self.segments.clone(),
            retired: Vec::new(),
        }
    }
}

impl From<Manifest> for Sealed {
    fn from(Manifest { head, seen, segments, .. }: Manifest) -> Self {
        Self { head, seen, segments }
    }
}

/// The replica at one head.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) place: Arc<str>,
    pub(crate) identity: Identity,
    pub(crate) head: Head,
    pub(crate) seen: VersionVector,
    pub(crate) sealed: Sealed,
    /// What the open segment made of all that is found by a key.
    pub(crate) recent: Layer,
    pub(crate) index: Index,
    pub(crate) tail: Tail,
}

impl State {
    pub(crate) fn view(&self) -> View<'_> {
        View::new(&self.place, Some(&self.recent), &self.index)
    }

    /// Takes in commits that were read from the log, folding their entries.
    pub(crate) fn replay(&mut self, committed: Vec<Committed>) -> Result<(), StoreError> {
        for Committed { entries, end } in committed {
            let mut states = BTreeMap::new();
            for entry in &entries {
                self.load(entry, &mut states)?;
                LogEntry::integrate(entry.position, &entry.changeset, &mut states);
            }
            self.apply(&entries, &end, states.values());
        }
        Ok(())
    }

    /// Puts the states of the records that an entry changes into `states`.
    fn load(
        &self,
        entry: &LogEntry,
        states: &mut BTreeMap<RecordKey, RecordState>,
    ) -> Result<(), StoreError> {
        for key in entry.changeset.payload().records() {
            if !states.contains_key(key)
                && let Some(state) = self.record(key)?
            {
                states.insert(key.clone(), state);
            }
        }
        Ok(())
    }

    /// The state of a record.
    pub(crate) fn record(&self, key: &RecordKey) -> Result<Option<RecordState>, StoreError> {
        let sealed = self.view().get(&keys::record(key))?;
        sealed.map(|sealed| decode(&self.place, key, codec::decode_record(&sealed))).transpose()
    }

    /// Takes in a commit: its entries, what its end says, and the states of the records that the
    /// entries touch.
    pub(crate) fn apply<'s>(
        &mut self,
        entries: &[LogEntry],
        end: &'s CommitEnd,
        states: impl IntoIterator<Item = &'s RecordState>,
    ) {
        let mut put = |key: Vec<u8>, value: Option<Vec<u8>>| self.recent.insert(key, value);
        for entry in entries {
            let (header, digest) = (entry.changeset.header(), entry.changeset.digest());
            let position = entry.position.get().to_le_bytes().to_vec();
            put(keys::changeset(digest), Some(position.clone()));
            put(keys::origin(header.origin, header.sequence, digest), Some(position));
            for record in entry.records() {
                put(keys::history(record, entry.position), Some(Vec::new()));
            }
            for resolution in Resolution::of(&entry.changeset) {
                put_resolution(&mut put, &resolution);
            }
            self.seen.note(header, digest);
        }
        for state in states.into_iter().chain(&end.records) {
            put(keys::record(state.key()), Some(codec::encode_record(state)));
        }
        for resolution in &end.resolutions {
            put_resolution(&mut put, resolution);
        }
        for (key, value) in &end.metadata {
            put(keys::metadata(key), value.clone());
        }
        put(keys::commit(end.head.version), Some(end.head.commit.as_bytes().to_vec()));
        self.head = end.head;
    }

    /// Whether a changeset is in the log already. Of one that is beyond every tip of its origin,
    /// that is known without looking.
    pub(crate) fn has(&self, header: &Header, digest: Digest) -> Result<bool, StoreError> {
        let tips = self.seen.of(header.origin);
        if tips.last().is_none_or(|tip| tip.sequence < header.sequence) {
            return Ok(false);
        }
        Ok(self.position_of(digest)?.is_some())
    }

    pub(crate) fn position_of(&self, digest: Digest) -> Result<Option<Position>, StoreError> {
        let found = self.view().get(&keys::changeset(digest))?;
        found.map(|bytes| to_position(&self.place, &bytes)).transpose()
    }

    /// What readers who can only fetch files are told.
    pub(crate) fn manifest(&self) -> Manifest {
        let mut manifest = self.sealed.manifest(self.identity);
        manifest.head = self.head;
        manifest.seen = self.seen.clone();
        if self.tail.head.position > self.tail.base.position {
            let mut holds = Holds::default();
            let frames = self.tail.frames.all.iter().map(|frame| {
                holds.merge(&frame.holds);
                FrameAt { offset: frame.offset, holds: frame.holds.clone() }
            });
            let frames = frames.collect();
            manifest.segments.push(Segment {
                name: self.tail.name.clone(),
                bytes: self.tail.len,
                after: self.tail.base.position,
                last: self.tail.head.position,
                holds,
                frames,
            });
        }
        let all = manifest.segments.len();
        for segment in manifest.segments.iter_mut().take(all.saturating_sub(FRAMED_SEGMENTS)) {
            segment.frames.clear();
        }
        manifest
    }
}

fn put_resolution(
    put: &mut impl FnMut(Vec<u8>, Option<Vec<u8>>) -> Option<Option<Vec<u8>>>,
    resolution: &Resolution,
) {
    let key = keys::resolution(resolution.conflict(), resolution.changeset);
    put(key, Some(codec::encode_resolution(resolution)));
}

/// What was decoded, or where it is damaged.
pub(crate) fn decode<T>(
    place: &str,
    what: impl std::fmt::Display,
    decoded: Result<T, codec::DecodeError>,
) -> Result<T, StoreError> {
    decoded.map_err(|error| StoreError::undecodable(format!("{place}, {what}"), &error))
}

pub(crate) fn to_position(place: &str, bytes: &[u8]) -> Result<Position, StoreError> {
    match bytes.try_into() {
        Ok(bytes) => Ok(Position::new(u64::from_le_bytes(bytes))),
        Err(_) => Err(StoreError::corrupt(place, "a position in the index is cut off")),
    }
}

/// The states that `states` has of the records that `entries` touch, and the others.
pub(crate) fn split<'s>(
    entries: &[LogEntry],
    states: &'s BTreeMap<RecordKey, RecordState>,
) -> (Vec<&'s RecordState>, Vec<RecordState>) {
    let touched: HashSet<_> =
        entries.iter().flat_map(|entry| entry.changeset.payload().records()).collect();
    let (of_entries, others): (Vec<_>, Vec<_>) =
        states.values().partition(|state| touched.contains(state.key()));
    (of_entries, others.into_iter().cloned().collect())
}
