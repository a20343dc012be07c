//! The lines of a log: what each says, written and read.
//!
//! A line is a JSON object that ends with its own checksum. `docs/format.md` specifies them.

use std::collections::HashMap;

use prophet_store::{
    CommitId, DatabaseId, Digest, Head, Identity, LogEntry, MetadataKey, Position, RecordState,
    ReplicaId, Resolution, Sequence, Version,
};

use crate::json;

/// The version of the format of lines.
pub const FORMAT: u64 = 1;
/// A frame ends with the line that brings it to this many bytes.
pub const FRAME_BYTES: u64 = 32 << 10;
/// Most lines are shorter.
const USUAL_LINE_BYTES: usize = 1_024;
/// What every line ends with, but for the digits: a checksum of all that is before it.
const TAIL: &[u8] = b",\"crc\":\"00000000\"}\n";
const DIGITS: usize = 8;

/// A line of a log.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::exhaustive_enums, reason = "the lines are fixed by the format")]
pub enum Line {
    /// The first line of a segment.
    Start(Start),
    /// A log entry. It counts once the commit that it is part of ends.
    Entry(LogEntry),
    /// The end of a commit: it and all entries since the one before it are there.
    Commit(CommitEnd),
    /// The last line of a segment: nothing is ever appended to it again.
    Sealed(Head),
}

/// What the first line of a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the fields are fixed by the format")]
pub struct Start {
    /// Which replica's log it is.
    pub identity: Identity,
    /// Which segment, counted from 1.
    pub segment: u64,
    /// Where the replica was when the segment began.
    pub base: Head,
}

/// What the last line of a commit says: everything in the commit but its log entries and what
/// follows from them.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "the fields are fixed by the format")]
pub struct CommitEnd {
    /// Where the replica is after it.
    pub head: Head,
    /// The metadata keys that it sets, or removes.
    pub metadata: Vec<(MetadataKey, Option<Vec<u8>>)>,
    /// States of records that none of its entries touches.
    pub records: Vec<RecordState>,
    /// Votes that none of its entries carries.
    pub resolutions: Vec<Resolution>,
}

impl CommitEnd {
    /// The end of a commit that has nothing but its log entries.
    pub const fn at(head: Head) -> Self {
        Self { head, metadata: Vec::new(), records: Vec::new(), resolutions: Vec::new() }
    }
}

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadLine {
    /// It is cut off, or its bytes are not those that were written.
    #[error("a line is damaged: {why}")]
    #[non_exhaustive]
    Damaged {
        /// What shows it.
        why: String,
    },
    /// It was written in a newer format.
    #[error("the log has format {found}, but this program reads up to {FORMAT}")]
    #[non_exhaustive]
    Newer {
        /// Its format.
        found: u64,
    },
}

impl BadLine {
    pub(crate) fn damaged(why: impl Into<String>) -> Self {
        Self::Damaged { why: why.into() }
    }
}

/// What is known from the lines before one: where frames begin, and the last changeset of each
/// origin in the frame, which the next one of the origin need not name.
///
/// A frame is what can be read without anything before it. Its first line is the first of a
/// segment, or the one after the line that filled the frame before.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    bytes: u64,
    last: HashMap<ReplicaId, (Sequence, Digest)>,
}

impl Frame {
    /// A frame without a line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the next line begins a frame.
    pub const fn is_full(&self) -> bool {
        self.bytes >= FRAME_BYTES
    }

    /// Makes room for a line: whether it begins a frame.
    fn begin(&mut self) -> bool {
        if self.is_full() {
            *self = Self::new();
        }
        self.bytes == 0
    }

    pub(crate) fn previous(&self, origin: ReplicaId, sequence: Sequence) -> Option<Digest> {
        let (last, digest) = self.last.get(&origin)?;
        (last.next() == sequence).then_some(*digest)
    }

    fn note(&mut self, entry: &LogEntry) {
        let header = entry.changeset.header();
        self.last.insert(header.origin, (header.sequence, entry.changeset.digest()));
    }
}

/// The lines of a text, each with the line feed at its end, if it has one.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let len = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at_checked(len)?;
        rest = after;
        (len > 0).then_some(line)
    })
}

/// The frames of a text of whole lines that begins where a frame begins.
pub fn frames(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut len = 0;
        for line in lines(rest) {
            if len > 0 && (len as u64 >= FRAME_BYTES || json::is_start(line)) {
                break;
            }
            len += line.len();
        }
        let (frame, after) = rest.split_at_checked(len)?;
        rest = after;
        (len > 0).then_some(frame)
    })
}

/// Writes lines of one database's log, one after another.
#[derive(Debug, Clone)]
pub struct LineWriter {
    database: DatabaseId,
    frame: Frame,
}

impl LineWriter {
    /// Begins where a frame begins.
    pub fn new(database: DatabaseId) -> Self {
        Self::after(database, Frame::new())
    }

    /// Goes on after the lines that led to `frame`.
    pub const fn after(database: DatabaseId, frame: Frame) -> Self {
        Self { database, frame }
    }

    /// What is known from the lines written.
    pub const fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Appends a line to `out`. Whether it begins a frame.
    pub fn write(&mut self, line: &Line, out: &mut Vec<u8>) -> bool {
        match line {
            Line::Start(start) => {
                self.frame = Frame::new();
                self.line(out, |out| json::put_start(out, start))
            }
            Line::Entry(entry) => self.write_entry(entry, out),
            Line::Commit(end) => self.write_commit(end, out),
            Line::Sealed(head) => self.line(out, |out| json::put_sealed(out, *head)),
        }
    }

    /// Appends the line of a log entry, as [`write`](Self::write) does.
    pub fn write_entry(&mut self, entry: &LogEntry, out: &mut Vec<u8>) -> bool {
        let header = entry.changeset.header();
        if self.frame.is_full() {
            self.frame = Frame::new();
        }
        let derived = self.frame.previous(header.origin, header.sequence);
        let database = self.database;
        let begins = self.line(out, |out| json::put_entry(out, entry, database, derived));
        self.frame.note(entry);
        begins
    }

    /// Appends the line of the end of a commit, as [`write`](Self::write) does.
    pub fn write_commit(&mut self, end: &CommitEnd, out: &mut Vec<u8>) -> bool {
        self.line(out, |out| json::put_commit(out, end))
    }

    fn line(&mut self, out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) -> bool {
        let begins = self.frame.begin();
        let from = out.len();
        out.reserve(USUAL_LINE_BYTES);
        put(out);
        seal(out, from);
        self.frame.bytes += (out.len() - from) as u64;
        begins
    }
}

/// The line of a log entry that stands for itself, with all that lines before it would say.
pub fn line_of(entry: &LogEntry) -> Vec<u8> {
    let mut line = Vec::new();
    LineWriter::new(entry.changeset.header().database).write_entry(entry, &mut line);
    line
}

/// Appends the tail to the line that begins at `from`.
pub(crate) fn seal(out: &mut Vec<u8>, from: usize) {
    let crc = crc32fast::hash(out.get(from..).unwrap_or_default());
    json::put_crc(out, crc);
}

/// Reads lines, one after another.
#[derive(Debug, Clone)]
pub struct LineReader {
    database: DatabaseId,
    frame: Frame,
}

impl LineReader {
    /// Begins where a frame begins.
    pub fn new(database: DatabaseId) -> Self {
        Self::after(database, Frame::new())
    }

    /// Goes on after the lines that led to `frame`.
    pub const fn after(database: DatabaseId, frame: Frame) -> Self {
        Self { database, frame }
    }

    /// Reads a line with the line feed at its end. Whether it begins a frame, and what it says.
    ///
    /// # Errors
    /// A damaged line, and one of a newer format. The reader stays where it was.
    pub fn read(&mut self, line: &[u8]) -> Result<(bool, Line), BadLine> {
        check(line)?;
        let new = (json::is_start(line) || self.frame.is_full()).then(Frame::new);
        let known = new.as_ref().unwrap_or(&self.frame);
        let begins = known.bytes == 0;
        let previous = |origin, sequence| known.previous(origin, sequence);
        let read = json::read(line, self.database, previous)?;
        self.frame = new.unwrap_or_else(|| std::mem::take(&mut self.frame));
        if let Line::Entry(entry) = &read {
            self.frame.note(entry);
        }
        self.frame.bytes += line.len() as u64;
        Ok((begins, read))
    }

    /// What is known from the lines read.
    pub const fn frame(&self) -> &Frame {
        &self.frame
    }
}

/// Checks that a line ends as it should, with the right checksum.
pub(crate) fn check(line: &[u8]) -> Result<(), BadLine> {
    let len = line.len().checked_sub(TAIL.len());
    let (body, tail) = len
        .and_then(|len| line.split_at_checked(len))
        .ok_or_else(|| BadLine::damaged("it is too short"))?;
    let fits = |at: usize| {
        let digit = TAIL.len() - DIGITS - 3 <= at && at < TAIL.len() - 3;
        digit || tail.get(at) == TAIL.get(at)
    };
    let digits = tail
        .get(TAIL.len() - DIGITS - 3..TAIL.len() - 3)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .filter(|digits| digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')))
        .and_then(|digits| u32::from_str_radix(digits, 16).ok());
    match digits.filter(|_| (0..TAIL.len()).all(fits)) {
        None => Err(BadLine::damaged("it does not end as a line does")),
        Some(crc) if crc == crc32fast::hash(body) => Ok(()),
        Some(_) => Err(BadLine::damaged("its checksum is not that of its bytes")),
    }
}

/// Puts a head together from what lines say.
pub(crate) const fn head(version: u64, position: u64, commit: CommitId) -> Head {
    Head { version: Version::new(version), position: Position::new(position), commit }
}
