//! Segments: writing sealed ones, and reading what was fetched of one.

use std::fmt;
use std::io::{BufRead, BufReader, Cursor, Read as _};

use prophet_store::{CommitId, DatabaseId, Digest, Head, Position, Version};
use zstd::bulk::Compressor;
use zstd::stream::read::Decoder;

use crate::line::{BadLine, CommitEnd, FRAME_BYTES, Line, LineReader, LineWriter, Start};
use crate::manifest::{FrameAt, Holds, Segment};

/// A segment is sealed with the line that brings it to about this many bytes, uncompressed.
pub const SEGMENT_BYTES: u64 = 2 << 20;
/// What the name of a compressed segment ends with.
pub const COMPRESSED: &str = ".zst";
/// No line is longer: as text, the largest changeset can be six times as long as its payload.
const LINE_BYTES: u64 = 1 << 30;
/// Frames are small; a decoder takes no more than 2 to this many bytes for what one refers back to.
const WINDOW_LOG: u32 = 24;
/// The fastest of the levels of zstd that are not experiments. Most of a log is digests and ids, which do
/// not shrink: level 9 takes ten times as long, for 7 % more bytes of short properties and 10 % fewer of
/// prose.
const LEVEL: i32 = 1;

/// Whether a segment of this name is compressed.
pub fn is_compressed(name: &str) -> bool {
    name.ends_with(COMPRESSED)
}

/// The name of the last segment of a live replica, which is appended to.
pub fn open_name(number: u64) -> String {
    format!("log/{number:08}.jsonl")
}

/// The name of a sealed segment whose bytes have this CRC-32.
pub fn sealed_name(number: u64, crc: u32) -> String {
    format!("log/{number:08}-{crc:08x}.jsonl{COMPRESSED}")
}

/// What the name of a sealed segment says that the CRC-32 of its bytes is.
pub fn crc_of_name(name: &str) -> Option<u32> {
    let name = name.strip_suffix(COMPRESSED)?.strip_suffix(".jsonl")?;
    let (_, crc) = name.rsplit_once('-')?;
    (crc.len() == 8).then(|| u32::from_str_radix(crc, 16).ok())?
}

/// The head that a published segment names at a position. Which commits led there is not published:
/// there is one to each position, named after the changeset.
pub fn published_head(position: Position, last: Digest) -> Head {
    let mut id = [0; 16];
    last.as_bytes().iter().zip(&mut id).for_each(|(from, to)| *to = *from);
    Head { version: Version::new(position.get()), position, commit: CommitId::from_bytes(id) }
}

/// Unpacks a compressed part of a segment, as far as it is no longer than one can be.
///
/// # Errors
/// What is wrong with it.
pub fn unpack(packed: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut decoder = Decoder::with_buffer(packed)?;
    decoder.window_log_max(WINDOW_LOG)?;
    let mut text = Vec::new();
    let most = LINE_BYTES + FRAME_BYTES;
    match decoder.take(most + 1).read_to_end(&mut text)? as u64 > most {
        true => Err(std::io::Error::other(format!("it unpacks to more than {most} bytes"))),
        false => Ok(text),
    }
}

/// Writes one sealed segment, in memory.
pub struct SegmentWriter {
    start: Start,
    lines: LineWriter,
    compressor: Compressor<'static>,
    /// The frame that is being filled.
    frame: Vec<u8>,
    file: Vec<u8>,
    text_bytes: u64,
    last: Position,
    frames: Vec<FrameAt>,
}

impl fmt::Debug for SegmentWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentWriter").field("start", &self.start).finish_non_exhaustive()
    }
}

/// A segment that is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a file, and what the manifest says of it")]
pub struct Sealed {
    /// What the manifest says of it.
    pub segment: Segment,
    /// The file.
    pub bytes: Vec<u8>,
}

impl SegmentWriter {
    /// Begins a segment.
    ///
    /// # Errors
    /// What the compressor says.
    pub fn begin(start: Start) -> std::io::Result<Self> {
        let mut writer = Self {
            start,
            lines: LineWriter::new(start.identity.database),
            compressor: Compressor::new(LEVEL)?,
            frame: Vec::new(),
            file: Vec::new(),
            text_bytes: 0,
            last: start.base.position,
            frames: Vec::new(),
        };
        writer.push(&Line::Start(start))?;
        Ok(writer)
    }

    /// Appends a line, of which the writer itself writes the first and the last.
    ///
    /// # Errors
    /// What the compressor says.
    pub fn push(&mut self, line: &Line) -> std::io::Result<()> {
        let mut text = Vec::new();
        if self.lines.write(line, &mut text) {
            self.end_frame()?;
            let offset = self.file.len() as u64;
            self.frames.push(FrameAt { offset, holds: Holds::default() });
        }
        if let Line::Entry(entry) = line {
            self.last = entry.position;
            if let Some(frame) = self.frames.last_mut() {
                frame.holds.note(entry);
            }
        }
        self.text_bytes += text.len() as u64;
        self.frame.append(&mut text);
        Ok(())
    }

    fn end_frame(&mut self) -> std::io::Result<()> {
        if !self.frame.is_empty() {
            self.file.append(&mut self.compressor.compress(&self.frame)?);
            self.frame.clear();
        }
        Ok(())
    }

    /// How many frames there are by now, the one that is being filled among them: where that is one
    /// more than before, the line just appended began a frame.
    pub const fn frames(&self) -> usize {
        self.frames.len()
    }

    /// How long its lines are by now.
    pub const fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// Ends the only commit of a segment that was [published](published_head), and seals it.
    ///
    /// # Errors
    /// What the compressor says.
    pub fn commit_and_seal(mut self, head: Head) -> std::io::Result<Sealed> {
        self.push(&Line::Commit(CommitEnd::at(head)))?;
        self.seal(head)
    }

    /// Writes the last line.
    ///
    /// # Errors
    /// What the compressor says.
    pub fn seal(mut self, head: Head) -> std::io::Result<Sealed> {
        self.push(&Line::Sealed(head))?;
        self.end_frame()?;
        let mut holds = Holds::default();
        self.frames.iter().for_each(|frame| holds.merge(&frame.holds));
        let segment = Segment {
            name: sealed_name(self.start.segment, crc32fast::hash(&self.file)),
            bytes: self.file.len() as u64,
            after: self.start.base.position,
            last: self.last,
            holds,
            frames: self.frames,
        };
        Ok(Sealed { segment, bytes: self.file })
    }
}

/// Something in a segment that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}, {place}: {why}")]
#[non_exhaustive]
pub struct BadSegment {
    /// The name of the segment.
    pub name: String,
    /// Where in it.
    pub place: String,
    /// What is wrong.
    pub why: String,
}

enum Text {
    Plain(Cursor<Vec<u8>>),
    Compressed(BufReader<Decoder<'static, Cursor<Vec<u8>>>>),
}

/// Reads the lines in bytes of a segment, which begin where a frame begins. No more than a line
/// and what the decompressor needs is in memory beside the bytes.
pub struct SegmentReader {
    name: String,
    from: u64,
    text: Text,
    lines: LineReader,
    line: Vec<u8>,
    number: u64,
}

impl fmt::Debug for SegmentReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentReader").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SegmentReader {
    /// Reads `bytes`, those of the segment `name` from the offset `from` on.
    ///
    /// # Errors
    /// What the decompressor says.
    pub fn new(
        name: &str,
        database: DatabaseId,
        from: u64,
        bytes: Vec<u8>,
    ) -> Result<Self, BadSegment> {
        let bytes = Cursor::new(bytes);
        let text = match is_compressed(name) {
            false => Ok(Text::Plain(bytes)),
            true => Decoder::with_buffer(bytes).and_then(|mut decoder| {
                decoder.window_log_max(WINDOW_LOG)?;
                Ok(Text::Compressed(BufReader::new(decoder)))
            }),
        };
        let text = text.map_err(|error| BadSegment {
            name: name.to_owned(),
            place: "at its beginning".to_owned(),
            why: error.to_string(),
        })?;
        let lines = LineReader::new(database);
        Ok(Self { name: name.to_owned(), from, text, lines, line: Vec::new(), number: 0 })
    }

    /// The next line, unless there is none.
    ///
    /// # Errors
    /// What is damaged, and where. After that there is nothing to be read.
    pub fn next_line(&mut self) -> Result<Option<Line>, BadSegment> {
        self.line.clear();
        self.number += 1;
        let read = match &mut self.text {
            Text::Plain(text) => text.take(LINE_BYTES).read_until(b'\n', &mut self.line),
            Text::Compressed(text) => text.take(LINE_BYTES).read_until(b'\n', &mut self.line),
        };
        match read {
            Err(error) => return Err(self.bad(format!("it cannot be decompressed: {error}"))),
            Ok(0) => return Ok(None),
            Ok(_) => {}
        }
        match self.lines.read(&self.line) {
            Ok((_, line)) => Ok(Some(line)),
            Err(BadLine::Damaged { why }) => Err(self.bad(why)),
            Err(newer) => Err(self.bad(newer.to_string())),
        }
    }

    /// That what the last line says does not fit.
    pub fn bad(&self, why: impl Into<String>) -> BadSegment {
        let after = match self.from {
            0 => String::new(),
            from => format!(" from byte {from} on"),
        };
        let place = format!("line {}{after}", self.number);
        BadSegment { name: self.name.clone(), place, why: why.into() }
    }
}
