//! Reading the log: entries from the tail, and from the segments below it.

use std::collections::VecDeque;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use prophet_files::line::Line;
use prophet_files::segment::SegmentReader;
use prophet_kv::{Entries, missing_entry};
use prophet_store::{Direction, LogEntry, Position, StoreError};

use crate::bucket::Bucket;
use crate::heal::Trouble;
use crate::root::{Root, SegmentAt};
use crate::state::State;

/// Parts of segments that were read lately, up to a number of bytes.
pub(crate) struct ChunkCache {
    limit: usize,
    inner: Mutex<Cached>,
}

type Read = Arc<Vec<LogEntry>>;
/// Which segment, and where in it.
type Name = (String, u64);

#[derive(Default)]
struct Cached {
    /// The latest last.
    chunks: VecDeque<(Name, Read, usize)>,
    bytes: usize,
}

impl fmt::Debug for ChunkCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkCache").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl ChunkCache {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, inner: Mutex::default() }
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut Cached) -> T) -> T {
        use_it(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn get(&self, name: &str, offset: u64) -> Option<Read> {
        self.with(|cached| {
            let place = cached
                .chunks
                .iter()
                .rposition(|((known, at), ..)| *at == offset && known == name)?;
            let found = cached.chunks.remove(place)?;
            let entries = Arc::clone(&found.1);
            cached.chunks.push_back(found);
            Some(entries)
        })
    }

    fn put(&self, name: &str, offset: u64, entries: &Read) {
        let sizes = entries.iter().map(|e| e.changeset.payload_bytes().len() * 3 + 512);
        let bytes = sizes.sum();
        if bytes > self.limit {
            return;
        }
        self.with(|cached| {
            cached.bytes += bytes;
            cached.chunks.push_back(((name.to_owned(), offset), Arc::clone(entries), bytes));
            while cached.bytes > self.limit
                && let Some((_, _, bytes)) = cached.chunks.pop_front()
            {
                cached.bytes -= bytes;
            }
        });
    }
}

/// The log at one head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log<'a> {
    pub(crate) bucket: &'a Bucket,
    pub(crate) trouble: &'a Trouble,
    pub(crate) cache: &'a ChunkCache,
    pub(crate) state: &'a State,
}

/// Where a chunk is: the place of its segment among the segments, and its own in that.
type At = (usize, usize);

impl Log<'_> {
    /// The chunk that has the entry at a position, if a segment has it.
    fn find(&self, position: Position) -> Option<At> {
        let segments = &self.state.root.segments;
        let segment = segments.partition_point(|at| at.segment.last < position);
        let chunks = &segments.get(segment)?.chunks;
        let chunk = chunks.partition_point(|chunk| chunk.first <= position);
        Some((segment, chunk.checked_sub(1)?))
    }

    fn next(&self, (segment, chunk): At) -> Option<At> {
        let segments = &self.state.root.segments;
        match chunk + 1 < segments.get(segment)?.chunks.len() {
            true => Some((segment, chunk + 1)),
            false => (segment + 1 < segments.len()).then_some((segment + 1, 0)),
        }
    }

    fn previous(&self, (segment, chunk): At) -> Option<At> {
        if let Some(chunk) = chunk.checked_sub(1) {
            return Some((segment, chunk));
        }
        let segment = segment.checked_sub(1)?;
        let chunks = self.state.root.segments.get(segment)?.chunks.len();
        Some((segment, chunks.checked_sub(1)?))
    }

    /// The entries of a chunk.
    async fn chunk(&self, (segment, chunk): At) -> Result<Read, StoreError> {
        let missing = || StoreError::corrupt(&*self.bucket.place, "the root has no such segment");
        let at = self.state.root.segments.get(segment).ok_or_else(missing)?;
        let begins = at.chunks.get(chunk).ok_or_else(missing)?;
        let name = &at.segment.name;
        if let Some(entries) = self.cache.get(name, begins.offset) {
            return Ok(entries);
        }
        let end = at.chunks.get(chunk + 1).map_or(at.segment.bytes, |next| next.offset);
        let after = at.chunks.get(chunk + 1).map_or(at.segment.last.next(), |next| next.first);
        let root = &self.state.root;
        let part = begins.offset..end;
        let entries = read_part(self.bucket, self.trouble, root, at, part).await?;
        let mut expected = begins.first;
        for entry in &entries {
            if entry.position != expected {
                break;
            }
            expected = expected.next();
        }
        if expected != after {
            self.trouble.note(self.bucket.place_of(name));
            let what = format!("it does not have the log entries {} to {after}", begins.first);
            return Err(StoreError::corrupt(self.bucket.place_of(name), what));
        }
        let entries = Arc::new(entries);
        self.cache.put(name, begins.offset, &entries);
        Ok(entries)
    }
}

/// The entries in a part of a segment that begins where a frame does.
pub(crate) async fn read_part(
    bucket: &Bucket,
    trouble: &Trouble,
    root: &Root,
    at: &SegmentAt,
    range: std::ops::Range<u64>,
) -> Result<Vec<LogEntry>, StoreError> {
    let name = &at.segment.name;
    let corrupt = |what: String| {
        trouble.note(bucket.place_of(name));
        StoreError::corrupt(bucket.place_of(name), what)
    };
    let offset = range.start;
    let len = range.end.saturating_sub(offset);
    let Some(bytes) = bucket.get_range(name, range).await? else {
        return Err(corrupt("it is not there, but the root names it".to_owned()));
    };
    if bytes.len() as u64 != len {
        return Err(corrupt("it is shorter than the root says".to_owned()));
    }
    let mut reader = SegmentReader::new(name, root.identity.database, offset, bytes)
        .map_err(|error| corrupt(error.to_string()))?;
    let mut entries = Vec::new();
    while let Some(line) = reader.next_line().map_err(|error| corrupt(error.to_string()))? {
        if let Line::Entry(entry) = line {
            entries.push(entry);
        }
    }
    Ok(entries)
}

impl Entries for Log<'_> {
    async fn entry_at(&self, position: Position) -> Result<LogEntry, StoreError> {
        let missing = || missing_entry(&self.bucket.place, position);
        if position > self.state.root.head.position {
            return self.state.entry(position).cloned().ok_or_else(missing);
        }
        let at = self.find(position).ok_or_else(missing)?;
        let entries = self.chunk(at).await?;
        let found = entries.iter().find(|entry| entry.position == position);
        found.cloned().ok_or_else(missing)
    }

    async fn scan_entries(
        &self,
        from: Position,
        direction: Direction,
        mut take: impl FnMut(LogEntry) -> ControlFlow<()> + Send,
    ) -> Result<(), StoreError> {
        let derived = self.state.root.head.position;
        if direction == Direction::Backward {
            for entry in self.state.entries().rev().filter(|entry| entry.position <= from) {
                if take(entry.clone()).is_break() {
                    return Ok(());
                }
            }
        }
        let mut at = self.find(from.min(derived)).filter(|_| match direction {
            Direction::Forward => from <= derived,
            Direction::Backward => true,
        });
        while let Some(here) = at {
            let entries = self.chunk(here).await?;
            let mut hand_out = |entry: &LogEntry| match direction {
                Direction::Forward if entry.position < from => false,
                Direction::Backward if entry.position > from => false,
                _ => take(entry.clone()).is_break(),
            };
            let done = match direction {
                Direction::Forward => entries.iter().any(&mut hand_out),
                Direction::Backward => entries.iter().rev().any(&mut hand_out),
            };
            if done {
                return Ok(());
            }
            at = match direction {
                Direction::Forward => self.next(here),
                Direction::Backward => self.previous(here),
            };
        }
        if direction == Direction::Forward {
            for entry in self.state.entries().filter(|entry| entry.position >= from) {
                if take(entry.clone()).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use futures_lite::StreamExt as _;
    use futures_lite::future::block_on;
    use prophet_store::{Identity, MemoryStore, Properties, Replica};

    use super::*;

    fn entry() -> LogEntry {
        block_on(async {
            let store = MemoryStore::new(Identity::new_database().unwrap());
            let replica = Replica::open(store).await.unwrap();
            replica.create("bug", Properties::default()).await.unwrap();
            replica.log(None, Direction::Forward).next().await.unwrap().unwrap()
        })
    }

    #[test]
    fn the_chunks_used_last_are_kept_as_far_as_there_is_room() {
        let entry = entry();
        let chunk = |entries: usize| Arc::new(vec![entry.clone(); entries]);
        let one = entry.changeset.payload_bytes().len() * 3 + 512;
        let cache = ChunkCache::new(10 * one);
        let kept = || {
            cache.with(|cached| {
                let bytes: usize = cached.chunks.iter().map(|chunk| chunk.2).sum();
                assert_eq!(cached.bytes, bytes);
                let offsets: BTreeSet<u64> = cached.chunks.iter().map(|chunk| chunk.0.1).collect();
                Vec::from_iter(offsets)
            })
        };
        for (offset, entries) in [(0, 4), (1, 3), (2, 3)] {
            cache.put("log/1", offset, &chunk(entries));
        }
        assert_eq!(kept(), [0, 1, 2], "there is room for ten, and not only for less");
        assert_eq!(cache.get("log/1", 0).unwrap().len(), 4);
        assert!(cache.get("log/2", 0).is_none());
        cache.put("log/1", 3, &chunk(1));
        assert_eq!(kept(), [0, 2, 3], "the one that was used longest ago is gone");
        cache.put("log/1", 4, &chunk(11));
        assert_eq!(kept(), [0, 2, 3], "what would take more than all of it is not kept");
        cache.put("log/1", 5, &chunk(10));
        assert_eq!(kept(), [5]);
    }
}
