//! The open segment: the file that commits are appended to, read as far as it counts.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use prophet_files::line::{CommitEnd, Line, LineReader, Start};
use prophet_files::manifest::Holds;
use prophet_store::{DatabaseId, Head, LogEntry, Position, StoreError};

use crate::disk::DiskFile;
use crate::error::{self, bad_line};

/// A part of the open segment that can be read by itself, with a log entry in it.
#[derive(Debug, Clone)]
pub(crate) struct OpenFrame {
    pub(crate) offset: u64,
    /// The position of the first entry that begins in it.
    pub(crate) first: Position,
    pub(crate) holds: Holds,
}

/// Frames of lines, as they come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frames {
    pub(crate) all: Vec<OpenFrame>,
    /// Where the frame began that has no entry yet.
    empty: Option<u64>,
}

impl Frames {
    pub(crate) fn note(&mut self, begins: bool, offset: u64, line: &Line) {
        if begins {
            self.empty = Some(offset);
        }
        let Line::Entry(entry) = line else { return };
        if let Some(offset) = self.empty.take() {
            let (first, holds) = (entry.position, Holds::default());
            self.all.push(OpenFrame { offset, first, holds });
        }
        if let Some(frame) = self.all.last_mut() {
            frame.holds.note(entry);
        }
    }
}

/// A commit as it stands in the log.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) entries: Vec<LogEntry>,
    pub(crate) end: CommitEnd,
}

/// The open segment, up to the last whole commit in it.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) file: Arc<dyn DiskFile>,
    /// How many of its bytes count.
    pub(crate) len: u64,
    /// Where the replica was when it began.
    pub(crate) base: Head,
    /// Where it is after what counts.
    pub(crate) head: Head,
    pub(crate) frames: Frames,
    pub(crate) lines: LineReader,
    /// Nothing is to be appended to it any more.
    pub(crate) sealed: bool,
}

/// What was found behind the bytes that count.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    Nothing,
    /// An append that did not come to its end.
    Torn,
}

impl Tail {
    /// The segment in `file`, as far as its first line.
    pub(crate) fn begin(
        name: &str,
        file: Arc<dyn DiskFile>,
        start: Start,
        len: u64,
        lines: LineReader,
    ) -> Self {
        let (number, base) = (start.segment, start.base);
        let mut frames = Frames::default();
        frames.note(true, 0, &Line::Start(start));
        Self {
            number,
            name: name.to_owned(),
            file,
            len,
            base,
            head: base,
            frames,
            lines,
            sealed: false,
        }
    }

    /// Reads the commits behind what counted so far. What is whole counts from now on.
    ///
    /// An append that was cut off leaves a tail without a line feed at its end, or with zeros, or
    /// with whole lines and no end of a commit. Anything else was written to the end once, and is
    /// damaged.
    pub(crate) fn read_on(&mut self, place: &str) -> Result<(Vec<Committed>, Rest), StoreError> {
        let failed = error::io(place, "reading the log");
        let end = self.file.len().map_err(&failed)?;
        if end <= self.len || self.sealed {
            return Ok((Vec::new(), Rest::Nothing));
        }
        let bytes = self.file.read_at(self.len, to_usize(end - self.len)).map_err(&failed)?;
        let (mut committed, mut entries) = (Vec::new(), Vec::new());
        let (mut lines, mut frames) = (self.lines.clone(), self.frames.clone());
        let mut head = self.head;
        let mut at = self.len;
        for text in bytes.split_inclusive(|byte| *byte == b'\n') {
            let whole = text.last() == Some(&b'\n');
            let read = match whole {
                true => lines.read(text),
                false => break,
            };
            let (begins, line) = match read {
                Ok(read) => read,
                Err(_) if is_torn(&bytes) => break,
                Err(error) => return Err(bad_line(place, &self.name, at, error)),
            };
            let file = |at: u64| format!("{place}/{}, before byte {at}", self.name);
            frames.note(begins, at, &line);
            at += text.len() as u64;
            let wrong = |what: &str| Err(StoreError::corrupt(file(at), what.to_owned()));
            match line {
                Line::Entry(entry) => {
                    let expected = head.position.get() + entries.len() as u64 + 1;
                    if entry.position.get() != expected {
                        return wrong("a log entry does not have the position that comes next");
                    }
                    entries.push(entry);
                    continue;
                }
                Line::Commit(end) => {
                    let position = head.position.get() + entries.len() as u64;
                    if end.head.version != head.version.next()
                        || end.head.position.get() != position
                    {
                        return wrong("a commit does not follow the one before it");
                    }
                    head = end.head;
                    committed.push(Committed { entries: std::mem::take(&mut entries), end });
                }
                Line::Sealed(sealed) => {
                    if sealed != head || !entries.is_empty() {
                        return wrong("it is sealed at another place than it ends");
                    }
                    self.sealed = true;
                }
                Line::Start(_) => return wrong("a segment begins within another"),
            }
            (self.len, self.head) = (at, head);
            (self.lines, self.frames) = (lines.clone(), frames.clone());
        }
        let rest = if self.len == end { Rest::Nothing } else { Rest::Torn };
        Ok((committed, rest))
    }

    /// What is appended to where there is no segment to append to.
    pub(crate) fn nowhere(database: DatabaseId, number: u64, head: Head) -> Self {
        Self {
            number,
            name: String::new(),
            file: Arc::new(NoFile),
            len: 0,
            base: head,
            head,
            frames: Frames::default(),
            lines: LineReader::new(database),
            sealed: true,
        }
    }

    /// Where a frame ends: where the next one begins, or what counts ends.
    pub(crate) fn end_of(&self, frame: usize) -> u64 {
        self.frames.all.get(frame + 1).map_or(self.len, |next| next.offset)
    }
}

/// In the place of a file that is not there.
#[derive(Debug)]
struct NoFile;

impl DiskFile for NoFile {
    fn len(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn read_at(&self, _: u64, len: usize) -> io::Result<Vec<u8>> {
        if len == 0 { Ok(Vec::new()) } else { Err(ErrorKind::NotFound.into()) }
    }

    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(ErrorKind::NotFound.into())
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> io::Result<()> {
        Err(ErrorKind::NotFound.into())
    }

    fn unlock(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether bytes at the end of the log are what is left of an append that was cut off.
fn is_torn(bytes: &[u8]) -> bool {
    bytes.last() != Some(&b'\n') || bytes.contains(&0)
}

/// Nothing that is on a disk and is read as one piece is larger than memory can address.
pub(crate) fn to_usize(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}
