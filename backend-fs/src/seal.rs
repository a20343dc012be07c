//! Sealing: what an open segment becomes when it is long enough, and what is derived from it.

use std::io::{self, BufWriter, Write};

use futures_lite::future::block_on;
use prophet_files::line::{self, Line, LineReader, LineWriter, Start};
use prophet_files::manifest::{FRAMED_SEGMENTS, FrameAt, Holds, MANIFEST, Manifest, Segment};
use prophet_files::segment::{crc_of_name, open_name, sealed_name, unpack};
use prophet_store::{Position, StoreError};
use prophet_tables::{TableWriter, keys, merge_tables};

use crate::disk::{Disk, DiskFile};
use crate::error::bad_line;
use crate::follow::{Follow, Step};
use crate::index::{self, SEALED};
use crate::layout::{INDEX, LOG, UNFINISHED, table};
use crate::load::Place;
use crate::log::FrameRef;
use crate::state::{Sealed, State};
use crate::tail::{Tail, to_usize};
use crate::view::{IndexTable, Layer};

/// Level 3 of zstd: its own default.
const LEVEL: i32 = 3;
/// So many tables of the same width become one.
const MERGED: usize = 4;
/// The ids of so many commits are kept in the index; a store must remember the last 1,024.
const REMEMBERED_COMMITS: u64 = 4_096;

/// Puts a file in its place, whole and durable, or leaves what was there.
pub(crate) fn put_file(
    disk: &dyn Disk,
    directory: &str,
    name: &str,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let unfinished = format!("{name}{UNFINISHED}");
    let put = || {
        let file = disk.create(&unfinished)?;
        let mut out = BufWriter::with_capacity(256 << 10, Appending { file: &*file, at: 0 });
        write(&mut out)?;
        out.flush()?;
        drop(out);
        file.sync()?;
        disk.rename(&unfinished, name)
    };
    if let Err(error) = put() {
        // The disk may be full of it.
        let _ = disk.remove(&unfinished);
        return Err(error);
    }
    disk.sync_names(directory)
}

struct Appending<'a> {
    file: &'a dyn DiskFile,
    at: u64,
}

impl Write for Appending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(self.at, bytes)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes the open segment that comes after what `state` knows.
pub(crate) fn begin_segment(place: &Place, state: &mut State) -> Result<(), StoreError> {
    let number = state.sealed.segments.len() as u64 + 1;
    let name = open_name(number);
    let start = Start { identity: place.identity, segment: number, base: state.head };
    let mut text = Vec::new();
    LineWriter::new(place.identity.database).write(&Line::Start(start), &mut text);
    put_file(&*place.disk, LOG, &name, |out| out.write_all(&text))
        .map_err(place.io("beginning a segment of the log"))?;
    state.tail = Tail { named: true, ..place.begin_tail(number)? };
    Ok(())
}

/// Makes a sealed segment, with its table, of the open one, which ends with the line that says so,
/// and begins the next one. Interrupted anywhere, it can be done again.
pub(crate) fn seal(place: &Place, state: &mut State) -> Result<(), StoreError> {
    let tail = state.tail.clone();
    let failed = place.io("sealing a segment of the log");
    let text = tail.file.read_at(0, to_usize(tail.len)).map_err(&failed)?;
    let (mut packed, mut frames, mut at) = (Vec::new(), Vec::new(), 0);
    for frame in line::frames(&text) {
        let bytes = zstd::bulk::compress(frame, LEVEL).map_err(&failed)?;
        frames.push((at, packed.len() as u64, bytes.len() as u64));
        at += frame.len() as u64;
        packed.extend_from_slice(&bytes);
    }
    let name = sealed_name(tail.number, crc32fast::hash(&packed));
    put_file(&*place.disk, LOG, &name, |out| out.write_all(&packed)).map_err(&failed)?;
    let mut segment = Sealing::new(tail.number, name, packed.len() as u64, &tail);
    for open in &tail.frames.all {
        let frame = frames.binary_search_by_key(&open.offset, |(plain, ..)| *plain);
        let Some((_, offset, len)) = frame.ok().and_then(|at| frames.get(at)) else {
            let what = format!("no frame begins at byte {}, where one did", open.offset);
            return Err(StoreError::corrupt(format!("{}/{}", place.name, tail.name), what));
        };
        segment.frame(&mut state.recent, *offset, *len, open.first, &open.holds);
    }
    segment.finish(state);
    unless_it_fails(keep_table(place, state))?;
    begin_segment(place, state)?;
    // Who can only fetch files is told before the one that they know is gone.
    put_manifest(place, state).map_err(&failed)?;
    // Whoever still reads it has it open.
    place.disk.remove(&tail.name).map_err(&failed)?;
    place.disk.sync_names(LOG).map_err(&failed)
}

/// Goes through a sealed segment that the index does not know. What is made of it stays in memory
/// unless it is to be kept.
pub(crate) fn replay(
    place: &Place,
    state: &mut State,
    name: &str,
    keep: bool,
) -> Result<(), StoreError> {
    let failed = place.io("reading the log");
    let file = place.disk.open(name).map_err(&failed)?;
    let len = file.len().map_err(&failed)?;
    let packed = file.read_at(0, to_usize(len)).map_err(&failed)?;
    let corrupt = |at: u64, what: String| {
        StoreError::corrupt(format!("{}/{name}, byte {at}", place.name), what)
    };
    let number = state.sealed.segments.len() as u64 + 1;
    if crc_of_name(name) != Some(crc32fast::hash(&packed)) {
        return Err(corrupt(0, "its bytes are not those that its name says".to_owned()));
    }
    let base = Tail::nowhere(place.identity.database, number, state.head);
    let mut segment = Sealing::new(number, name.to_owned(), len, &base);
    let mut follow = Follow::after(state.head, place.published);
    let mut at = 0;
    while let Some(rest) = packed.get(to_usize(at)..).filter(|rest| !rest.is_empty()) {
        let size = zstd::zstd_safe::find_frame_compressed_size(rest)
            .map_err(|code| corrupt(at, zstd::zstd_safe::get_error_name(code).to_owned()))?;
        let frame = rest.get(..size).unwrap_or_default();
        let text = unpack(frame).map_err(|error| corrupt(at, error.to_string()))?;
        let mut lines = LineReader::new(place.identity.database);
        let (mut first, mut holds) = (None, Holds::default());
        for line in line::lines(&text) {
            let (_, line) =
                lines.read(line).map_err(|error| bad_line(&place.name, name, at, error))?;
            match follow.take(line).map_err(|why| corrupt(at, why.to_owned()))? {
                Step::Start(start) => {
                    if start.identity != place.identity {
                        return Err(corrupt(at, "it is a segment of another log".to_owned()));
                    }
                }
                Step::Entry => {
                    if let Some(entry) = follow.open_entry() {
                        first.get_or_insert(entry.position);
                        holds.note(entry);
                    }
                }
                Step::Commit(commit) => state.replay(vec![commit])?,
                Step::Sealed => {}
            }
        }
        if let Some(first) = first {
            segment.frame(&mut state.recent, at, size as u64, first, &holds);
        }
        at += size as u64;
    }
    if !follow.is_sealed() {
        return Err(corrupt(at, "it does not end as a segment does".to_owned()));
    }
    segment.finish(state);
    match keep {
        true => unless_it_fails(keep_table(place, state)),
        false => Ok(()),
    }
}

/// A table is derived: where there is no room for it, what it would say stays in memory, or in those that it
/// was to be merged from, and the next one has it.
fn unless_it_fails(kept: Result<(), StoreError>) -> Result<(), StoreError> {
    kept.or_else(|error| match error {
        StoreError::Io { .. } | StoreError::Full { .. } | StoreError::ReadOnly { .. } => Ok(()),
        other => Err(other),
    })
}

/// A segment that is becoming a sealed one.
struct Sealing {
    number: u64,
    segment: Segment,
}

impl Sealing {
    fn new(number: u64, name: String, bytes: u64, tail: &Tail) -> Self {
        let (after, last) = (tail.base.position, tail.head.position);
        let (holds, frames) = (Holds::default(), Vec::new());
        Self { number, segment: Segment { name, bytes, after, last, holds, frames } }
    }

    fn frame(&mut self, recent: &mut Layer, offset: u64, len: u64, first: Position, holds: &Holds) {
        let at = FrameRef { segment: self.number, offset, len, sealed: true };
        recent.insert(index::frame(first), Some(index::from_frame(&at)));
        self.segment.holds.merge(holds);
        self.segment.frames.push(FrameAt { offset, holds: holds.clone() });
    }

    fn finish(mut self, state: &mut State) {
        self.segment.last = state.head.position;
        let mut segments = std::mem::take(&mut state.sealed.segments);
        segments.push(self.segment);
        let whole = segments.len().saturating_sub(FRAMED_SEGMENTS);
        segments.iter_mut().take(whole).for_each(|segment| segment.frames.clear());
        state.sealed = Sealed { head: state.head, seen: state.seen.clone(), segments };
        let manifest = state.sealed.manifest(state.identity).encode();
        state.recent.insert(SEALED.to_vec(), Some(manifest));
    }
}

/// Makes what is in memory a table, of the sealed segments that have none: the last one, as a rule.
fn keep_table(place: &Place, state: &mut State) -> Result<(), StoreError> {
    let failed = place.io("writing an index");
    let first = state.index.tables.first().map_or(1, |table| table.last + 1);
    let last = state.sealed.segments.len() as u64;
    place.disk.make_directory(INDEX).map_err(&failed)?;
    let recent = std::mem::take(&mut state.recent);
    let written = put_file(&*place.disk, INDEX, &table(first, last), |out| {
        let mut writer = TableWriter::new(out)?;
        for (key, value) in &recent {
            writer.add(key, value.as_deref())?;
        }
        writer.finish().map(drop)
    });
    let opened = written.map_err(&failed).and_then(|()| place.open_table(first, last));
    match opened {
        Ok(table) => state.index.tables.insert(0, table),
        Err(error) => {
            state.recent = recent;
            return Err(error);
        }
    }
    merge_index(place, state)
}

/// Keeps the number of tables logarithmic.
fn merge_index(place: &Place, state: &mut State) -> Result<(), StoreError> {
    let failed = place.io("merging indexes");
    let width = |table: &IndexTable| table.last - table.first;
    loop {
        let tables = &state.index.tables;
        let Some(newest) = tables.get(..MERGED) else { return Ok(()) };
        let (Some(new), Some(old)) = (newest.first(), newest.last()) else { return Ok(()) };
        if newest.iter().any(|table| width(table) != width(new)) {
            return Ok(());
        }
        let (first, last) = (old.first, new.last);
        let bottom = tables.len() == MERGED;
        let forgotten = state.head.version.get().saturating_sub(REMEMBERED_COMMITS);
        let keep =
            |key: &[u8]| keys::to_commit(key).is_none_or(|version| version.get() >= forgotten);
        put_file(&*place.disk, INDEX, &table(first, last), |out| {
            let mut writer = TableWriter::new(out)?;
            let merged = newest.iter().map(|table| &*table.table);
            block_on(merge_tables(merged, &mut writer, bottom, keep)).map_err(io::Error::other)?;
            writer.finish().map(drop)
        })
        .map_err(&failed)?;
        let merged = place.open_table(first, last)?;
        let parts: Vec<_> = state.index.tables.splice(..MERGED, [merged]).collect();
        for part in parts {
            // What stays is not looked at, for the merged one is wider.
            let _ = place.disk.remove(&table(part.first, part.last));
        }
    }
}

/// Tells readers who can only fetch files what there is.
pub(crate) fn put_manifest(place: &Place, state: &State) -> io::Result<()> {
    let manifest = state.manifest().encode();
    put_file(&*place.disk, "", MANIFEST, |out| out.write_all(&manifest))
}

/// Whether the manifest says that this is the head, and names the files that there are: who sealed the
/// last one may have died before it said so.
pub(crate) fn is_told(place: &Place, state: &State) -> bool {
    let read = || {
        let file = place.disk.open(MANIFEST)?;
        file.read_at(0, to_usize(file.len()?))
    };
    let manifest = read().ok().and_then(|bytes| Manifest::decode(&bytes).ok());
    let named = |manifest: Manifest| manifest.segments.into_iter().map(|segment| segment.name);
    manifest.is_some_and(|manifest| {
        manifest.identity == place.identity
            && manifest.head == state.head
            && named(manifest).eq(named(state.manifest()))
    })
}
