//! The manifest: the one small file by which a reader who can only fetch files finds all others.

use std::collections::BTreeMap;

use prophet_store::{
    Digest, Head, Identity, LogEntry, Position, ReplicaId, Sequence, Tip, VersionVector,
};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::fetch::check_name;
use crate::line::{self, BadLine, FORMAT};

/// The name of the manifest in a tree.
pub const MANIFEST: &str = "manifest.json";
/// So many of the last segments have their frames listed: who lacks little lacks the last of it.
pub const FRAMED_SEGMENTS: usize = 2;

/// What a tree of files holds: a replica's log up to one head.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the fields are fixed by the format")]
pub struct Manifest {
    /// Which replica it is.
    pub identity: Identity,
    /// Where it was.
    pub head: Head,
    /// What it had seen.
    pub seen: VersionVector,
    /// The segments of its log, in order.
    pub segments: Vec<Segment>,
    /// Files that the manifest before this one named, which a slow reader may still be reading:
    /// whoever writes the next one removes them.
    pub retired: Vec<String>,
}

/// A file with a part of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the fields are fixed by the format")]
pub struct Segment {
    /// Its name in the tree, with `/`. If that ends with `.zst` it is compressed.
    pub name: String,
    /// How many of its bytes count: one that is still written to may have more.
    pub bytes: u64,
    /// The position of the last log entry before it.
    pub after: Position,
    /// The position of the last log entry in it.
    pub last: Position,
    /// The changesets in it.
    pub holds: Holds,
    /// Where it can be read from, in order, the first at 0; empty if that is not said.
    pub frames: Vec<FrameAt>,
}

/// A part of a segment that can be read by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the fields are fixed by the format")]
pub struct FrameAt {
    /// Where it begins in the file.
    pub offset: u64,
    /// The changesets in it.
    pub holds: Holds,
}

/// Of each origin, the lowest and the highest sequence among some changesets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holds(BTreeMap<ReplicaId, (Sequence, Sequence)>);

impl Holds {
    /// Adds a changeset.
    pub fn note(&mut self, entry: &LogEntry) {
        let header = entry.changeset.header();
        self.put(header.origin, header.sequence, header.sequence);
    }

    /// Adds all that `other` has.
    pub fn merge(&mut self, other: &Self) {
        for (origin, low, high) in other.iter() {
            self.put(origin, low, high);
        }
    }

    /// Adds changesets of an origin.
    pub fn put(&mut self, origin: ReplicaId, low: Sequence, high: Sequence) {
        let held = self.0.entry(origin).or_insert((low, high));
        *held = (held.0.min(low), held.1.max(high));
    }

    /// The origins, each with its lowest and highest sequence.
    pub fn iter(&self) -> impl Iterator<Item = (ReplicaId, Sequence, Sequence)> {
        self.0.iter().map(|(origin, (low, high))| (*origin, *low, *high))
    }
}

/// As it is written: origins are named once, and meant by their place in that list. `I` is what becomes of
/// the member `index`.
#[derive(Serialize, Deserialize)]
struct Written<I> {
    prophet: String,
    format: u64,
    database: String,
    replica: String,
    commit: String,
    version: u64,
    position: u64,
    /// Each origin with its tips.
    origins: Vec<(String, Vec<(u64, String)>)>,
    segments: Vec<WrittenSegment>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retired: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<I>,
}

type WrittenHolds = Vec<(usize, u64, u64)>;

#[derive(Serialize, Deserialize)]
struct WrittenSegment {
    name: String,
    bytes: u64,
    after: u64,
    last: u64,
    holds: WrittenHolds,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    frames: Vec<(u64, WrittenHolds)>,
}

impl Manifest {
    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        self.encode_with(None)
    }

    /// The bytes of the file, with what a store that keeps the tree has to say beside it, as the
    /// member `index`. Who only reads the tree pays no heed to that.
    pub fn encode_with(&self, index: Option<serde_json::Value>) -> Vec<u8> {
        let places: BTreeMap<ReplicaId, usize> =
            self.seen.tips().enumerate().map(|(place, (origin, _))| (origin, place)).collect();
        let holds = |holds: &Holds| -> WrittenHolds {
            let known = holds.iter().filter_map(|(origin, low, high)| {
                Some((*places.get(&origin)?, low.get(), high.get()))
            });
            known.collect()
        };
        let tips = |tips: &[Tip]| {
            tips.iter().map(|tip| (tip.sequence.get(), tip.digest.to_string())).collect()
        };
        let segments = self.segments.iter().map(|segment| WrittenSegment {
            name: segment.name.clone(),
            bytes: segment.bytes,
            after: segment.after.get(),
            last: segment.last.get(),
            holds: holds(&segment.holds),
            frames: segment.frames.iter().map(|at| (at.offset, holds(&at.holds))).collect(),
        });
        let written = Written {
            prophet: "manifest".to_owned(),
            format: FORMAT,
            database: self.identity.database.to_string(),
            replica: self.identity.replica.to_string(),
            commit: self.head.commit.to_string(),
            version: self.head.version.get(),
            position: self.head.position.get(),
            origins: self.seen.tips().map(|(id, known)| (id.to_string(), tips(known))).collect(),
            segments: segments.collect(),
            retired: self.retired.clone(),
            index,
        };
        // A value of these types always is JSON; it ends with the brace that the tail has too.
        let mut out = serde_json::to_vec(&written).unwrap_or_default();
        out.pop();
        line::seal(&mut out, 0);
        out
    }

    /// Reads the bytes of the file.
    ///
    /// # Errors
    /// Bytes that are damaged or no manifest, names that lead out of the tree, and a newer format.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadLine> {
        Self::decode_as::<IgnoredAny>(bytes).map(|(manifest, _)| manifest)
    }

    /// Reads the bytes of the file, and what a store has [put beside](Self::encode_with) the tree.
    ///
    /// # Errors
    /// Those of [`decode`](Self::decode).
    pub fn decode_with(bytes: &[u8]) -> Result<(Self, Option<serde_json::Value>), BadLine> {
        Self::decode_as(bytes)
    }

    /// Who has no use for the member `index` builds nothing of it: as values it may be many times as
    /// large as in the file, of which nobody knows who wrote it.
    fn decode_as<I: DeserializeOwned + Default>(
        bytes: &[u8],
    ) -> Result<(Self, Option<I>), BadLine> {
        #[derive(Deserialize)]
        struct Format {
            prophet: String,
            format: u64,
        }
        if let Ok(Format { prophet, format }) = serde_json::from_slice(bytes)
            && prophet == "manifest"
            && format > FORMAT
        {
            return Err(BadLine::Newer { found: format });
        }
        line::check(bytes)?;
        let damaged = |error: &dyn std::fmt::Display| BadLine::damaged(error.to_string());
        let written: Written<I> = serde_json::from_slice(bytes).map_err(|e| damaged(&e))?;
        if written.prophet != "manifest" {
            return Err(BadLine::damaged("it is no manifest"));
        }
        let identity = Identity {
            database: written.database.parse().map_err(|e| damaged(&e))?,
            replica: written.replica.parse().map_err(|e| damaged(&e))?,
        };
        let commit = written.commit.parse().map_err(|e| damaged(&e))?;
        let sequence = |n: u64| Sequence::new(n).ok_or_else(|| BadLine::damaged("a sequence is 0"));
        let (mut seen, mut origins) = (VersionVector::new(), Vec::new());
        for (origin, tips) in &written.origins {
            let origin: ReplicaId = origin.parse().map_err(|e| damaged(&e))?;
            origins.push(origin);
            for (number, digest) in tips {
                let digest: Digest = digest.parse().map_err(|e| damaged(&e))?;
                seen.put(origin, Tip { sequence: sequence(*number)?, digest });
            }
        }
        let holds = |written: &WrittenHolds| -> Result<Holds, BadLine> {
            let mut holds = Holds::default();
            for (place, low, high) in written {
                let origin = origins.get(*place);
                let origin = origin.ok_or_else(|| BadLine::damaged("an origin is not named"))?;
                holds.put(*origin, sequence(*low)?, sequence(*high)?);
            }
            Ok(holds)
        };
        let mut segments = Vec::with_capacity(written.segments.len());
        for segment in &written.segments {
            let frames = segment.frames.iter();
            let frames = frames
                .map(|(offset, held)| Ok(FrameAt { offset: *offset, holds: holds(held)? }))
                .collect::<Result<_, BadLine>>()?;
            check_name(&segment.name).map_err(|e| damaged(&e))?;
            segments.push(Segment {
                name: segment.name.clone(),
                bytes: segment.bytes,
                after: Position::new(segment.after),
                last: Position::new(segment.last),
                holds: holds(&segment.holds)?,
                frames,
            });
        }
        for name in &written.retired {
            check_name(name).map_err(|e| damaged(&e))?;
        }
        let head = line::head(written.version, written.position, commit);
        let manifest = Self { identity, head, seen, segments, retired: written.retired };
        Ok((manifest, written.index))
    }
}

#[cfg(test)]
mod tests {
    use prophet_store::{CommitId, DatabaseId, Version};
    use serde_json::{Value, json};

    use super::*;

    /// Deeper than anything is built: who reads the tree neither builds it nor minds.
    #[test]
    fn an_index_that_nobody_asks_for_is_not_built() {
        let identity = Identity {
            database: DatabaseId::from_bytes([1; 16]),
            replica: ReplicaId::from_bytes([2; 16]),
        };
        let manifest = Manifest {
            identity,
            head: Head {
                version: Version::new(0),
                position: Position::new(0),
                commit: CommitId::from_bytes([3; 16]),
            },
            seen: VersionVector::new(),
            segments: Vec::new(),
            retired: Vec::new(),
        };
        let index = json!({"tables": [1, "two"]});
        let bytes = manifest.encode_with(Some(index.clone()));
        assert_eq!(Manifest::decode(&bytes), Ok(manifest.clone()));
        assert_eq!(Manifest::decode_with(&bytes), Ok((manifest.clone(), Some(index))));
        assert_eq!(Manifest::decode_with(&manifest.encode()), Ok((manifest.clone(), None)));

        let deep = (0..1_000).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        let bytes = manifest.encode_with(Some(deep));
        assert_eq!(Manifest::decode(&bytes), Ok(manifest));
        assert!(Manifest::decode_with(&bytes).is_err());
    }
}
