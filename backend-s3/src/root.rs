//! The root: which derived objects there are, and up to which commit they go. It is the manifest of
//! the published tree, with a member of this store's own.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use object_store::UpdateVersion;
use prophet_files::line::BadLine;
use prophet_files::manifest::{FRAMED_SEGMENTS, MANIFEST, Manifest, Segment};
use prophet_store::{Digest, Head, Identity, Position, StoreError, Version, VersionVector};
use serde::{Deserialize, Serialize};

use crate::bucket::{Bucket, Object};
use crate::index::{IndexTable, TableAt};
use crate::layout::FORMAT;
use crate::options::Sharers;

/// A part of a segment that is read in one go: where it begins, and the position of the first entry
/// that begins in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) offset: u64,
    pub(crate) first: Position,
}

/// A segment of the log, and the parts in which it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentAt {
    pub(crate) segment: Segment,
    /// At least one, the first at 0.
    pub(crate) chunks: Vec<Chunk>,
    /// How many bytes of lines it has; as many as there can be, if that is not known.
    pub(crate) text: u64,
}

/// An object that no root names any more, and the version at which that began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Retired {
    pub(crate) name: String,
    pub(crate) at: Version,
}

/// What is derived from the commits up to a head.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    pub(crate) identity: Identity,
    pub(crate) sharers: Sharers,
    /// How often everything was derived anew. What is named by a root of an earlier generation may be
    /// damaged or gone.
    pub(crate) generation: u64,
    pub(crate) head: Head,
    pub(crate) seen: VersionVector,
    /// The digest of the last log entry.
    pub(crate) last: Option<Digest>,
    pub(crate) segments: Vec<SegmentAt>,
    /// The newest first.
    pub(crate) tables: Vec<Arc<IndexTable>>,
    pub(crate) retired: Vec<Retired>,
    /// How long the object is; 0 if it is not there.
    pub(crate) bytes: usize,
    /// How the object is named in a condition that is there, or from which this was made; `None` if there
    /// is none.
    pub(crate) version: Option<UpdateVersion>,
    /// Whether it is there for others, or has been: or else it was made here, and not put there yet.
    pub(crate) published: bool,
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u64,
    writers: Sharers,
    #[serde(default, skip_serializing_if = "is_zero")]
    generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tables: Vec<WrittenTable>,
    /// For each segment its chunks after the first, offset and position each, flat.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    chunks: Vec<Vec<u64>>,
    /// How many bytes of lines each segment has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    texts: Vec<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retired: Vec<(String, u64)>,
}

#[derive(Serialize, Deserialize)]
struct WrittenTable {
    name: String,
    level: u32,
    bytes: u64,
    ends: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pack: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inline: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What was found in the place of the root.
#[derive(Debug)]
pub(crate) enum FoundRoot {
    Root(Box<Root>),
    /// There is none.
    Missing,
    /// It is the manifest of a tree that somebody published.
    Tree,
    /// It cannot be read, and why.
    Damaged(StoreError),
}

impl Root {
    /// Nothing is derived yet.
    pub(crate) const fn nothing(identity: Identity, sharers: Sharers) -> Self {
        Self {
            identity,
            sharers,
            generation: 0,
            head: Head::EMPTY,
            seen: VersionVector::new(),
            last: None,
            segments: Vec::new(),
            tables: Vec::new(),
            retired: Vec::new(),
            bytes: 0,
            version: None,
            published: false,
        }
    }

    /// Of two roots, the one with more of this is to be gone on from: one that others have sooner than one
    /// that nobody may ever get to see.
    pub(crate) const fn rank(&self) -> (u64, bool, Version) {
        (self.generation, self.published, self.head.version)
    }

    /// Whether it has something that others do not know of.
    pub(crate) fn is_ahead(&self) -> bool {
        !self.published && self.head.version > Version::ZERO
    }

    /// The names of all objects that it needs.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let segments = self.segments.iter().map(|at| at.segment.name.as_str());
        segments.chain(self.tables.iter().map(|table| table.at.name.as_str()))
    }

    /// Names no longer what was retired at such versions. The names.
    pub(crate) fn let_go(&mut self, long_ago: impl Fn(Version) -> bool) -> Vec<String> {
        let gone = self.retired.extract_if(.., |retired| long_ago(retired.at));
        gone.map(|retired| retired.name).collect()
    }

    /// The bytes of the object.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut segments: Vec<_> = self.segments.iter().map(|at| at.segment.clone()).collect();
        let unframed = segments.len().saturating_sub(FRAMED_SEGMENTS);
        segments.iter_mut().take(unframed).for_each(|segment| segment.frames.clear());
        let manifest = Manifest {
            identity: self.identity,
            head: self.head,
            seen: self.seen.clone(),
            segments,
            retired: self.retired.iter().map(|retired| retired.name.clone()).collect(),
        };
        let table = |table: &Arc<IndexTable>| {
            let TableAt { name, level, bytes, ends, pack, inline } = &table.at;
            WrittenTable {
                name: name.clone(),
                level: *level,
                bytes: *bytes,
                ends: *ends,
                pack: *pack,
                inline: inline.as_ref().map(|ends| STANDARD.encode(ends)),
            }
        };
        let chunks = self.segments.iter().map(|at| {
            let after = at.chunks.iter().skip(1);
            after.flat_map(|chunk| [chunk.offset, chunk.first.get()]).collect()
        });
        let written = Written {
            format: FORMAT,
            writers: self.sharers,
            generation: self.generation,
            last: self.last.map(|digest| digest.to_string()),
            tables: self.tables.iter().map(table).collect(),
            chunks: chunks.collect(),
            texts: self.segments.iter().map(|at| at.text).collect(),
            retired: self.retired.iter().map(|it| (it.name.clone(), it.at.get())).collect(),
        };
        // A value of these types always is JSON.
        manifest.encode_with(serde_json::to_value(written).ok())
    }

    /// Reads the bytes of the object. `known` are tables that may be open already.
    pub(crate) fn decode(place: &str, object: &Object, known: &[Arc<IndexTable>]) -> FoundRoot {
        match Self::read(place, object, known) {
            Ok(Some(root)) => FoundRoot::Root(Box::new(root)),
            Ok(None) => FoundRoot::Tree,
            Err(error) => FoundRoot::Damaged(error),
        }
    }

    fn read(
        place: &str,
        object: &Object,
        known: &[Arc<IndexTable>],
    ) -> Result<Option<Self>, StoreError> {
        let damaged = |why: String| StoreError::corrupt(place, why);
        let (manifest, index) =
            Manifest::decode_with(&object.bytes).map_err(|error| match error {
                BadLine::Newer { found, .. } => StoreError::newer_format(place, found, FORMAT),
                other => damaged(other.to_string()),
            })?;
        let Some(index) = index else { return Ok(None) };
        if let Some(found) = index.get("format").and_then(serde_json::Value::as_u64)
            && found > FORMAT
        {
            return Err(StoreError::newer_format(place, found, FORMAT));
        }
        let written: Written =
            serde_json::from_value(index).map_err(|error| damaged(error.to_string()))?;
        let open: HashMap<&str, &Arc<IndexTable>> =
            known.iter().map(|table| (table.at.name.as_str(), table)).collect();
        let mut tables = Vec::with_capacity(written.tables.len());
        for WrittenTable { name, level, bytes, ends, pack, inline } in written.tables {
            let inline = inline.map(|text| STANDARD.decode(text)).transpose();
            let inline = inline.map_err(|error| damaged(error.to_string()))?;
            let at = TableAt { name, level, bytes, ends, pack, inline };
            tables.push(match open.get(at.name.as_str()) {
                Some(table) if table.at == at => Arc::clone(table),
                _ => Arc::new(IndexTable::new(at)),
            });
        }
        let mut segments = Vec::with_capacity(manifest.segments.len());
        let mut after = Position::ZERO;
        for (number, segment) in manifest.segments.into_iter().enumerate() {
            if segment.after != after || segment.last <= after {
                return Err(damaged("its segments do not follow one another".to_owned()));
            }
            after = segment.last;
            let mut chunks = vec![Chunk { offset: 0, first: segment.after.next() }];
            let more = written.chunks.get(number).map(Vec::as_slice).unwrap_or_default();
            for pair in more.as_chunks::<2>().0 {
                let [offset, first] = *pair;
                chunks.push(Chunk { offset, first: Position::new(first) });
            }
            let text = written.texts.get(number).copied().unwrap_or(u64::MAX);
            segments.push(SegmentAt { segment, chunks, text });
        }
        if after != manifest.head.position {
            return Err(damaged("its segments do not end where it does".to_owned()));
        }
        let last = written.last.map(|text| text.parse()).transpose();
        let retired = written.retired.into_iter();
        let retired = retired.map(|(name, at)| Retired { name, at: Version::new(at) });
        Ok(Some(Self {
            identity: manifest.identity,
            sharers: written.writers,
            generation: written.generation,
            head: manifest.head,
            seen: manifest.seen,
            last: last.map_err(|_| damaged("a digest cannot be read".to_owned()))?,
            segments,
            tables,
            retired: retired.collect(),
            bytes: object.bytes.len(),
            version: Some(object.version.clone()),
            published: true,
        }))
    }

    /// Reads the root of a bucket.
    pub(crate) async fn fetch(
        bucket: &Bucket,
        known: &[Arc<IndexTable>],
    ) -> Result<FoundRoot, StoreError> {
        match bucket.get(MANIFEST).await? {
            None => Ok(FoundRoot::Missing),
            Some(object) => Ok(Self::decode(&bucket.place_of(MANIFEST), &object, known)),
        }
    }
}
