//! What a handle knows of the replica: where it is, and where everything else is found.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_lite::future::block_on;
use prophet_files::line::CommitEnd;
use prophet_files::manifest::{FRAMED_SEGMENTS, FrameAt, Holds, Manifest, Segment};
use prophet_kv::Reads;
use prophet_kv::writes::{self, Write};
use prophet_store::{
    Digest, Head, Header, Identity, LogEntry, Position, RecordKey, RecordState, Resolution,
    StoreError, VersionVector, codec,
};

use crate::follow::Committed;
use crate::load::Found;
use crate::log::LogCache;
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
    pub(crate) cache: Arc<LogCache>,
    /// Of a published replica.
    pub(crate) published: Option<Arc<Found>>,
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
            index_commit(&mut self.recent, &entries, &end, states.values());
            self.move_on(&entries, end.head);
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
        block_on(self.reads().record(key))
    }

    /// Moves on past a commit that is in the index.
    pub(crate) fn move_on(&mut self, entries: &[LogEntry], head: Head) {
        for entry in entries {
            self.seen.note(entry.changeset.header(), entry.changeset.digest());
        }
        self.head = head;
    }

    /// Whether a changeset may be in the log already: one that is beyond every tip of its origin is
    /// not, without looking.
    pub(crate) fn may_have(&self, header: &Header) -> bool {
        let tips = self.seen.of(header.origin);
        tips.last().is_some_and(|tip| tip.sequence >= header.sequence)
    }

    pub(crate) fn position_of(&self, digest: Digest) -> Result<Option<Position>, StoreError> {
        block_on(self.reads().position_of(digest))
    }

    /// What is found by a key: the log is not at hand here.
    pub(crate) fn reads(&self) -> Reads<'_, View<'_>> {
        Reads::new(&self.place, self.head, self.view(), ())
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

/// What was decoded, or where it is damaged.
pub(crate) fn decode<T>(
    place: &str,
    what: impl std::fmt::Display,
    decoded: Result<T, codec::DecodeError>,
) -> Result<T, StoreError> {
    decoded.map_err(|error| StoreError::undecodable(format!("{place}, {what}"), &error))
}

/// What a commit writes to the index: its entries, what its end says, and at least the states of the
/// records that the entries touch.
pub(crate) fn index_commit<'s>(
    list: &mut impl Extend<Write>,
    entries: &[LogEntry],
    end: &'s CommitEnd,
    states: impl IntoIterator<Item = &'s RecordState>,
) {
    for entry in entries {
        writes::entry(list, entry);
        for resolution in Resolution::of(&entry.changeset) {
            writes::resolution(list, &resolution);
        }
    }
    for state in states.into_iter().chain(&end.records) {
        writes::record(list, state);
    }
    for resolution in &end.resolutions {
        writes::resolution(list, resolution);
    }
    for (key, value) in &end.metadata {
        writes::metadata(list, key, value.clone());
    }
    writes::commit_id(list, end.head);
}
