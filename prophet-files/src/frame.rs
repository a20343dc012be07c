//! The entries of a frame, of which often one is wanted.

use std::ops::Range;
use std::sync::OnceLock;

use prophet_store::{DatabaseId, Digest, LogEntry, Position, Sequence};

use crate::json;
use crate::line::{BadLine, Line, check, lines};

/// The text of a frame, with its entries: each is read when it is first asked for, and then kept.
///
/// Reading an entry takes ten times as long as finding out where the next one begins.
///
/// ```
/// use prophet_files::frame::FrameEntries;
/// use prophet_files::line::{Line, LineWriter};
/// use prophet_store::{DatabaseId, Head};
///
/// let database = DatabaseId::from_bytes([7; 16]);
/// let mut text = Vec::new();
/// LineWriter::new(database).write(&Line::Sealed(Head::EMPTY), &mut text);
/// assert_eq!(FrameEntries::new(database, text)?.positions().count(), 0);
/// # Ok::<(), prophet_files::line::BadLine>(())
/// ```
#[derive(Debug)]
pub struct FrameEntries {
    database: DatabaseId,
    text: Vec<u8>,
    entries: Vec<EntryLine>,
}

#[derive(Debug)]
struct EntryLine {
    position: Position,
    bytes: Range<usize>,
    /// Which entry is the one before it of the same origin.
    follows: Option<usize>,
    read: OnceLock<LogEntry>,
}

impl FrameEntries {
    /// The entries of a frame with this text: whole lines, of which no more is read than where entries
    /// are, and every checksum.
    ///
    /// # Errors
    /// The first line that is damaged.
    pub fn new(database: DatabaseId, text: Vec<u8>) -> Result<Self, BadLine> {
        let mut entries: Vec<EntryLine> = Vec::new();
        let mut origins: Vec<(&str, usize)> = Vec::new();
        let mut end = 0;
        for line in lines(&text) {
            let bytes = end..end + line.len();
            end = bytes.end;
            check(line)?;
            let Some(outline) = json::outline(line)? else { continue };
            let known = origins.iter_mut().find(|(origin, _)| *origin == outline.origin);
            let follows = match known {
                Some((_, last)) => Some(std::mem::replace(last, entries.len())),
                None => {
                    origins.push((outline.origin, entries.len()));
                    None
                }
            };
            let (position, read) = (outline.position, OnceLock::new());
            entries.push(EntryLine { position, bytes, follows, read });
        }
        Ok(Self { database, text, entries })
    }

    /// The positions of its entries, in their order.
    pub fn positions(&self) -> impl DoubleEndedIterator<Item = Position> {
        self.entries.iter().map(|entry| entry.position)
    }

    /// The entry at a position of the log, if it is in this frame.
    ///
    /// # Errors
    /// A line that says nothing that an entry could be.
    pub fn entry_at(&self, position: Position) -> Result<Option<&LogEntry>, BadLine> {
        let place = self.entries.binary_search_by_key(&position, |entry| entry.position);
        let Some(line) = place.ok().and_then(|place| self.entries.get(place)) else {
            return Ok(None);
        };
        if let Some(entry) = line.read.get() {
            return Ok(Some(entry));
        }
        let before = line.follows.map(|place| self.authorship(place)).transpose()?.flatten();
        let previous = |_, sequence| {
            let (last, digest): (Sequence, Digest) = before?;
            (last.next() == sequence).then_some(digest)
        };
        match json::read(self.bytes(line), self.database, previous)? {
            Line::Entry(entry) => Ok(Some(line.read.get_or_init(|| entry))),
            _ => Err(BadLine::damaged("an entry is expected, and it is none")),
        }
    }

    /// Roughly how many bytes it takes once all of its entries are read.
    pub fn approximate_size(&self) -> usize {
        4 * self.text.len() + 512 * self.entries.len()
    }

    fn bytes(&self, line: &EntryLine) -> &[u8] {
        self.text.get(line.bytes.clone()).unwrap_or_default()
    }

    fn authorship(&self, place: usize) -> Result<Option<(Sequence, Digest)>, BadLine> {
        let Some(line) = self.entries.get(place) else { return Ok(None) };
        if let Some(entry) = line.read.get() {
            return Ok(Some((entry.changeset.header().sequence, entry.changeset.digest())));
        }
        json::outline(self.bytes(line))?.map(|outline| outline.authorship()).transpose()
    }
}
