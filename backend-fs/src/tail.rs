//! The open segment: the file that commits are appended to, read as far as it counts.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use prophet_files::line::{self, BadLine, Line, LineReader, Start};
use prophet_files::manifest::Holds;
use prophet_store::{DatabaseId, Head, LogEntry, Position, StoreError};

use crate::disk::{DiskFile, FileId};
use crate::error::{self, bad_line};
use crate::follow::{Committed, Follow, Step};

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
    /// Takes in a line: whether a frame begins with it, where it is, and the entry that it is.
    pub(crate) fn note(&mut self, begins: bool, offset: u64, entry: Option<&LogEntry>) {
        if begins {
            self.empty = Some(offset);
        }
        let Some(entry) = entry else { return };
        if let Some(offset) = self.empty.take() {
            let (first, holds) = (entry.position, Holds::default());
            self.all.push(OpenFrame { offset, first, holds });
        }
        if let Some(frame) = self.all.last_mut() {
            frame.holds.note(entry);
        }
    }
}

/// The open segment, up to the last whole commit in it.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) id: Option<FileId>,
    /// How many of its bytes count.
    pub(crate) len: u64,
    /// Where the last commit in it begins.
    pub(crate) last: u64,
    /// Where the replica was when it began.
    pub(crate) base: Head,
    /// Where it is after what counts.
    pub(crate) head: Head,
    pub(crate) frames: Frames,
    pub(crate) lines: LineReader,
    /// The last commit was read, and not written here: whoever wrote it may have failed to make it durable.
    pub(crate) foreign: bool,
    /// Nothing is to be appended to it any more.
    pub(crate) sealed: bool,
    /// Its name is known to be durable. Who put it there may have died, or failed, before that.
    pub(crate) named: bool,
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
    ) -> io::Result<Self> {
        let (number, base) = (start.segment, start.base);
        let id = file.id()?;
        let mut frames = Frames::default();
        frames.note(true, 0, None);
        Ok(Self {
            number,
            name: name.to_owned(),
            file,
            id,
            len,
            last: len,
            base,
            head: base,
            frames,
            lines,
            foreign: false,
            sealed: false,
            named: false,
        })
    }

    /// Reads the commits behind what counted so far. What is whole counts from now on.
    ///
    /// An append that was cut off leaves a tail without a line feed at its end, or with zeros, or
    /// with whole lines and no end of a commit; and nothing was ever written behind it. Anything
    /// else was written to the end once, and is damaged.
    pub(crate) fn read_on(&mut self, place: &str) -> Result<(Vec<Committed>, Rest), StoreError> {
        let end = self.file.len().map_err(error::io(place, "reading the log"))?;
        self.read_to(place, end)
    }

    /// As [`read_on`](Self::read_on), of a file that may have more.
    pub(crate) fn read_to(
        &mut self,
        place: &str,
        end: u64,
    ) -> Result<(Vec<Committed>, Rest), StoreError> {
        let failed = error::io(place, "reading the log");
        if end <= self.len || self.sealed {
            return Ok((Vec::new(), Rest::Nothing));
        }
        let bytes = self.file.read_at(self.len, to_usize(end - self.len)).map_err(&failed)?;
        let mut committed = Vec::new();
        // What is known of lines before the end of their commit; of each, all but the entry.
        let (mut lines, mut noted) = (self.lines.clone(), Vec::new());
        let mut follow = Follow::after(self.head, false);
        let (from, mut at) = (self.len, self.len);
        for text in line::lines(&bytes) {
            if text.last() != Some(&b'\n') {
                break;
            }
            let (begins, line) = match lines.read(text) {
                Ok(read) => read,
                Err(BadLine::Damaged { .. })
                    if is_torn(behind(&bytes, self.len - from), lines, self.head) =>
                {
                    break;
                }
                Err(error) => return Err(bad_line(place, &self.name, at, error)),
            };
            let step = follow.take(line).map_err(|why| {
                StoreError::corrupt(format!("{place}/{}, byte {at}", self.name), why.to_owned())
            })?;
            noted.push((begins, at, matches!(step, Step::Entry)));
            at += text.len() as u64;
            match step {
                Step::Entry => continue,
                Step::Start(_) => {
                    let why = "a segment begins within another";
                    return Err(StoreError::corrupt(format!("{place}/{}", self.name), why));
                }
                Step::Commit(commit) => {
                    (self.last, self.foreign) = (self.len, true);
                    let mut all = commit.entries.iter();
                    for (begins, at, is_entry) in noted.drain(..) {
                        self.frames.note(begins, at, if is_entry { all.next() } else { None });
                    }
                    committed.push(commit);
                }
                Step::Sealed => self.sealed = true,
            }
            (self.len, self.head) = (at, follow.head());
            self.lines = lines.clone();
        }
        let rest = if self.len == end { Rest::Nothing } else { Rest::Torn };
        Ok((committed, rest))
    }

    /// Makes what others appended durable.
    ///
    /// They may have failed to: the system then forgets that it should, and no sync says so again.
    /// With `again`, for which one has to hold the lock, the last commit is written once more;
    /// those before it were durable before it was appended.
    pub(crate) fn make_durable(&mut self, again: bool) -> io::Result<()> {
        if again && self.last < self.len {
            let bytes = self.file.read_at(self.last, to_usize(self.len - self.last))?;
            self.file.write_at(self.last, &bytes)?;
        }
        self.file.sync()?;
        self.foreign &= !again;
        Ok(())
    }

    /// What is appended to where there is no segment to append to.
    pub(crate) fn nowhere(database: DatabaseId, number: u64, head: Head) -> Self {
        Self {
            number,
            name: String::new(),
            file: Arc::new(NoFile),
            id: None,
            len: 0,
            last: 0,
            base: head,
            head,
            frames: Frames::default(),
            lines: LineReader::new(database),
            foreign: false,
            sealed: true,
            named: true,
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

    fn id(&self) -> io::Result<Option<FileId>> {
        Ok(None)
    }

    fn is_named(&self) -> io::Result<bool> {
        Ok(false)
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

/// Whether the bytes behind the last commit, among which is a line that cannot be read, are what is
/// left of an append that was cut off. Nothing is appended before the commit before it is durable,
/// so there is at most the end of one commit among them, which is the last of them.
fn is_torn(bytes: &[u8], mut lines: LineReader, head: Head) -> bool {
    if bytes.last() == Some(&b'\n') && !bytes.contains(&0) {
        return false;
    }
    let mut ended = false;
    for line in line::lines(bytes) {
        match lines.read(line) {
            Ok((_, Line::Commit(end))) if !ended && end.head.version == head.version.next() => {
                ended = true;
            }
            Ok((_, Line::Commit(_) | Line::Sealed(_) | Line::Start(_))) => return false,
            _ if ended => return false,
            _ => {}
        }
    }
    true
}

fn behind(bytes: &[u8], len: u64) -> &[u8] {
    bytes.get(to_usize(len)..).unwrap_or_default()
}

/// Nothing that is on a disk and is read as one piece is larger than memory can address.
pub(crate) fn to_usize(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}
