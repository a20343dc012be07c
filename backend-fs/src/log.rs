//! Reading the log: which frame an entry is in, and the entries of a frame.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use prophet_files::frame::FrameEntries;
use prophet_files::segment::unpack;
use prophet_store::{Direction, LogEntry, Position, StoreError};

use crate::disk::{Disk, DiskFile};
use crate::error::{bad_line, io};
use crate::index;
use crate::state::State;
use crate::tail::to_usize;

/// Where a frame is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrameRef {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) sealed: bool,
}

/// Frames of one log that were read lately, and the files they are in.
#[derive(Debug, Default)]
pub(crate) struct LogCache {
    inner: Mutex<Cached>,
}

type Entries = Arc<FrameEntries>;

#[derive(Debug, Default)]
struct Cached {
    files: HashMap<u64, Arc<dyn DiskFile>>,
    /// The latest last.
    frames: VecDeque<(FrameRef, Entries, usize)>,
    bytes: usize,
}

const CACHED_FILES: usize = 64;
const CACHED_BYTES: usize = 8 << 20;

impl LogCache {
    fn with<T>(&self, use_it: impl FnOnce(&mut Cached) -> T) -> T {
        use_it(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn get(&self, frame: &FrameRef) -> Option<Entries> {
        self.with(|cached| {
            let place = cached.frames.iter().rposition(|(known, ..)| known == frame)?;
            let found = cached.frames.remove(place)?;
            let entries = Arc::clone(&found.1);
            cached.frames.push_back(found);
            Some(entries)
        })
    }

    fn put(&self, frame: FrameRef, entries: &Entries) {
        let bytes = entries.approximate_size();
        if bytes > CACHED_BYTES {
            return;
        }
        self.with(|cached| {
            cached.bytes += bytes;
            cached.frames.push_back((frame, Arc::clone(entries), bytes));
            while cached.bytes > CACHED_BYTES
                && let Some((_, _, bytes)) = cached.frames.pop_front()
            {
                cached.bytes -= bytes;
            }
        });
    }

    fn file(
        &self,
        number: u64,
        open: impl FnOnce() -> std::io::Result<Arc<dyn DiskFile>>,
    ) -> std::io::Result<Arc<dyn DiskFile>> {
        if let Some(file) = self.with(|cached| cached.files.get(&number).cloned()) {
            return Ok(file);
        }
        let file = open()?;
        self.with(|cached| {
            if cached.files.len() >= CACHED_FILES {
                cached.files.clear();
            }
            cached.files.insert(number, Arc::clone(&file));
        });
        Ok(file)
    }
}

/// A state with what reading the log takes.
#[derive(Clone, Copy)]
pub(crate) struct Log<'a> {
    pub(crate) state: &'a State,
    pub(crate) disk: &'a dyn Disk,
}

impl Log<'_> {
    /// The entry at a position that is in the log.
    pub(crate) fn entry_at(&self, position: Position) -> Result<LogEntry, StoreError> {
        let mut frames = self.frames(position, Direction::Backward)?;
        if let Some(frame) = frames.next()? {
            let entries = self.entries(&frame)?;
            return self.entry_in(&frame, &entries, position);
        }
        Err(self.missing(position))
    }

    pub(crate) fn missing(&self, position: Position) -> StoreError {
        let place = format!("{}, log entry {position}", self.state.place);
        StoreError::corrupt(place, "it is not where the index says")
    }

    /// The frames from the one on that has the entry at `position`, or would have it.
    pub(crate) fn frames(
        &self,
        position: Position,
        direction: Direction,
    ) -> Result<FrameCursor<'_>, StoreError> {
        let tail = &self.state.tail;
        let open = tail.frames.all.partition_point(|frame| frame.first <= position);
        let in_tail = position > tail.base.position && open > 0;
        let view = self.state.view();
        let sealed = match (direction, in_tail) {
            (Direction::Forward, true) => None,
            (Direction::Forward, false) => {
                // The frame that has the position begins at it or before.
                let mut before = view.scan(index::frames_to(position), Direction::Backward)?;
                let first = before.next()?.map(|(key, _)| key);
                Some(view.scan(index::frames_from(first), direction)?)
            }
            (Direction::Backward, _) => {
                let last = position.min(tail.base.position);
                Some(view.scan(index::frames_to(last), direction)?)
            }
        };
        let open = match (direction, in_tail) {
            (Direction::Forward, false) => 0,
            (Direction::Backward, false) => 0,
            (Direction::Forward, true) => open - 1,
            (Direction::Backward, true) => open,
        };
        Ok(FrameCursor { state: self.state, direction, sealed, open })
    }

    /// The entries that begin in a frame.
    pub(crate) fn entries(&self, frame: &FrameRef) -> Result<Entries, StoreError> {
        if let Some(entries) = self.state.cache.get(frame) {
            return Ok(entries);
        }
        let (name, text) = self.text(frame)?;
        let entries = FrameEntries::new(self.state.identity.database, text)
            .map_err(|error| bad_line(&self.state.place, name, frame.offset, error))?;
        let entries = Arc::new(entries);
        self.state.cache.put(frame.clone(), &entries);
        Ok(entries)
    }

    /// The entry at a position that is in a frame with these entries.
    pub(crate) fn entry_in(
        &self,
        frame: &FrameRef,
        entries: &FrameEntries,
        position: Position,
    ) -> Result<LogEntry, StoreError> {
        match entries.entry_at(position) {
            Ok(entry) => entry.cloned().ok_or_else(|| self.missing(position)),
            Err(error) => Err(bad_line(&self.state.place, self.name(frame)?, frame.offset, error)),
        }
    }

    /// The name of the file that a frame is in.
    fn name(&self, frame: &FrameRef) -> Result<&str, StoreError> {
        if !frame.sealed {
            return Ok(&self.state.tail.name);
        }
        let number = frame.segment;
        let at = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
        match self.state.sealed.segments.get(at) {
            Some(segment) => Ok(&segment.name),
            None => {
                let why = format!("segment {number} is missing");
                Err(StoreError::corrupt(&*self.state.place, why))
            }
        }
    }

    fn text(&self, frame: &FrameRef) -> Result<(&str, Vec<u8>), StoreError> {
        let (state, name) = (self.state, self.name(frame)?);
        let failed = io(&state.place, "reading the log");
        if !frame.sealed {
            let file = &state.tail.file;
            let text = file.read_at(frame.offset, to_usize(frame.len)).map_err(failed)?;
            return Ok((name, text));
        }
        let file =
            self.state.cache.file(frame.segment, || self.disk.open(name)).map_err(&failed)?;
        let packed = file.read_at(frame.offset, to_usize(frame.len)).map_err(&failed)?;
        let text = unpack(&packed).map_err(|error| {
            let place = format!("{}/{name}, byte {}", state.place, frame.offset);
            StoreError::corrupt(place, error.to_string())
        })?;
        Ok((name, text))
    }
}

/// Frames one after another, in one direction.
pub(crate) struct FrameCursor<'a> {
    state: &'a State,
    direction: Direction,
    sealed: Option<crate::view::Cursor<'a>>,
    /// Forward: the next open frame. Backward: one more than the next one.
    open: usize,
}

impl FrameCursor<'_> {
    pub(crate) fn next(&mut self) -> Result<Option<FrameRef>, StoreError> {
        match self.direction {
            Direction::Forward => {
                if let Some(sealed) = self.next_sealed()? {
                    return Ok(Some(sealed));
                }
                self.open += 1;
                Ok(self.open_frame(self.open - 1))
            }
            Direction::Backward => {
                if let Some(place) = self.open.checked_sub(1) {
                    self.open = place;
                    return Ok(self.open_frame(place));
                }
                self.next_sealed()
            }
        }
    }

    fn next_sealed(&mut self) -> Result<Option<FrameRef>, StoreError> {
        let Some(sealed) = &mut self.sealed else { return Ok(None) };
        let Some((_, value)) = sealed.next()? else { return Ok(None) };
        index::to_frame(&self.state.place, &value).map(Some)
    }

    fn open_frame(&self, place: usize) -> Option<FrameRef> {
        let tail = &self.state.tail;
        let frame = tail.frames.all.get(place)?;
        Some(FrameRef {
            segment: tail.number,
            offset: frame.offset,
            len: tail.end_of(place) - frame.offset,
            sealed: false,
        })
    }
}
