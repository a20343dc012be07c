//! Making what is derived from the commits of a tail: a segment of the log, a table of the index, and
//! the root that names them.

use std::collections::BTreeMap;
use std::sync::Arc;

use prophet_files::line::{Line, Start};
use prophet_files::segment::{SEGMENT_BYTES, SegmentWriter, published_head};
use prophet_store::{Digest, Head, LogEntry, Position, StoreError};
use prophet_tables::{BlockCache, Layers, Memory, Packing, Summary, TableWriter};

use crate::bucket::Bucket;
use crate::heal::Trouble;
use crate::index::{IndexTable, ObjectAt, TableAt, pack_for};
use crate::layout;
use crate::merge;
use crate::root::{Chunk, Retired, Root, SegmentAt};
use crate::state::State;
use crate::together::together;

/// So long a chunk is at least, where the segment goes on: a request costs about as much as so many
/// bytes do.
const CHUNK_BYTES: u64 = 64 << 10;

/// The ends of a table of level 0 are in the root up to so many bytes, which is written anew each time: those
/// of checkpoints of single changes are.
const INLINE_BYTES: u64 = 8 << 10;

/// An object that is to be written.
pub(crate) type NewObject = (String, Vec<u8>);

/// Derives everything from the tail of `state`, and writes it: all but the root, which this is. What
/// it names is there when this returns.
pub(crate) async fn derive(
    bucket: &Bucket,
    trouble: &Trouble,
    state: &State,
) -> Result<Root, StoreError> {
    let before = &state.root;
    let mut root = Root::clone(before);
    root.published = false;
    root.head = state.head;
    root.seen = state.seen.clone();
    let mut objects = Vec::new();

    let mut cutter = Cutter::new(before);
    for entry in state.entries() {
        cutter.push(entry)?;
    }
    let cut = cutter.finish()?;
    root.last = cut.last;
    for (at, bytes) in cut.segments {
        objects.push((at.segment.name.clone(), bytes));
        root.segments.push(at);
    }

    let (mut bytes, summary) = table_of(&state.layers, before.tables.is_empty()).await?;
    let ends = last_bytes(&bytes, summary.ends).to_vec();
    let inline = (summary.ends <= INLINE_BYTES).then(|| ends.clone());
    let pack = match &inline {
        Some(_) => Vec::new(),
        // There are many of these, so no more than half of it is what others have, too.
        None => pack_for(bucket, trouble, summary.bytes / 2, &before.tables).await?,
    };
    let packed = pack.len() as u64;
    bytes.extend(pack);
    let at = TableAt {
        name: layout::table(before.head.version, state.head.version, &bytes),
        level: 0,
        bytes: summary.bytes,
        ends: summary.ends,
        pack: packed,
        inline,
    };
    let table = IndexTable::new(at);
    table.open(bucket, trouble, &ends)?;
    objects.push((table.at.name.clone(), bytes));
    root.tables.insert(0, Arc::new(table));
    write_all(bucket, objects).await?;

    let mut retired = merge::tables(bucket, trouble, &mut root).await?;
    retired.extend(merge::segments(bucket, trouble, &mut root).await?);
    let at = state.head.version;
    root.retired.extend(retired.into_iter().map(|name| Retired { name, at }));
    Ok(root)
}

/// Writes objects, several at a time.
pub(crate) async fn write_all(bucket: &Bucket, objects: Vec<NewObject>) -> Result<(), StoreError> {
    let written = objects
        .into_iter()
        .map(|(name, bytes)| async move { bucket.put(&name, bytes).await.map(drop) });
    together(written).await.into_iter().collect()
}

pub(crate) fn last_bytes(bytes: &[u8], len: u64) -> &[u8] {
    let start = usize::try_from(len).ok().and_then(|len| bytes.len().checked_sub(len));
    bytes.get(start.unwrap_or_default()..).unwrap_or_default()
}

/// One table of layers in memory, the newest first.
async fn table_of(layers: &[Arc<Memory>], bottom: bool) -> Result<(Vec<u8>, Summary), StoreError> {
    let failed = |error: &dyn std::fmt::Display| {
        StoreError::io("memory", "writing a table", error.to_string())
    };
    let cache = BlockCache::new(0);
    let mut all: Layers<'_, ObjectAt> = Layers::new(&cache);
    for layer in layers {
        all = all.with_memory(layer);
    }
    let mut bytes = Vec::new();
    let mut writer =
        TableWriter::packed(&mut bytes, Packing::Dense).map_err(|error| failed(&error))?;
    all.merge_into(&mut writer, bottom, |_| true).await.map_err(|error| failed(&error))?;
    let summary = writer.finish().map_err(|error| failed(&error))?;
    Ok((bytes, summary))
}

/// What a [`Cutter`] made.
pub(crate) struct Cut {
    pub(crate) segments: Vec<(SegmentAt, Vec<u8>)>,
    /// The digest of the last entry.
    pub(crate) last: Option<Digest>,
}

/// Cuts entries into segments, as they are published.
pub(crate) struct Cutter {
    identity: prophet_store::Identity,
    number: u64,
    base: Head,
    last: Option<Digest>,
    open: Option<Open>,
    done: Vec<(SegmentAt, Vec<u8>)>,
}

struct Open {
    writer: SegmentWriter,
    /// The position of the first entry that begins in each frame, by the number of the frame.
    firsts: BTreeMap<usize, Position>,
}

fn failed(error: std::io::Error) -> StoreError {
    StoreError::io("memory", "compressing the log", error)
}

impl Cutter {
    /// Goes on where a root ends.
    pub(crate) fn new(root: &Root) -> Self {
        Self::after(root, root.segments.len(), root.head.position, root.last)
    }

    /// Goes on after so many segments, at a position whose entry has this digest.
    pub(crate) fn after(
        root: &Root,
        segments: usize,
        position: Position,
        last: Option<Digest>,
    ) -> Self {
        let base = last.map_or(Head::EMPTY, |digest| published_head(position, digest));
        let number = segments as u64;
        Self { identity: root.identity, number, base, last, open: None, done: Vec::new() }
    }

    pub(crate) fn push(&mut self, entry: &LogEntry) -> Result<(), StoreError> {
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                self.number += 1;
                let start =
                    Start { identity: self.identity, segment: self.number, base: self.base };
                let writer = SegmentWriter::begin(start).map_err(failed)?;
                self.open.insert(Open { writer, firsts: BTreeMap::new() })
            }
        };
        open.writer.push(&Line::Entry(entry.clone())).map_err(failed)?;
        let frame = open.writer.frames().saturating_sub(1);
        open.firsts.entry(frame).or_insert(entry.position);
        let digest = entry.changeset.digest();
        self.base = published_head(entry.position, digest);
        self.last = Some(digest);
        match open.writer.text_bytes() >= SEGMENT_BYTES {
            true => self.end(),
            false => Ok(()),
        }
    }

    fn end(&mut self) -> Result<(), StoreError> {
        let Some(Open { writer, firsts }) = self.open.take() else { return Ok(()) };
        let text = writer.text_bytes();
        let sealed = writer.commit_and_seal(self.base).map_err(failed)?;
        let mut chunks: Vec<Chunk> = Vec::new();
        for (number, frame) in sealed.segment.frames.iter().enumerate() {
            let far = chunks.last().is_none_or(|last| frame.offset - last.offset >= CHUNK_BYTES);
            if let Some(first) = firsts.get(&number)
                && far
            {
                let offset = if chunks.is_empty() { 0 } else { frame.offset };
                chunks.push(Chunk { offset, first: *first });
            }
        }
        self.done.push((SegmentAt { segment: sealed.segment, chunks, text }, sealed.bytes));
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Cut, StoreError> {
        self.end()?;
        Ok(Cut { segments: self.done, last: self.last })
    }
}
