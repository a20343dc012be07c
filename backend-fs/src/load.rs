//! Finding out what a directory holds: segments, tables, and what of it has to be made anew.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};

use futures_lite::future::block_on;
use prophet_files::line::{self, Line, LineReader, Start};
use prophet_files::manifest::{MANIFEST, Manifest};
use prophet_files::segment::open_name;
use prophet_store::{Head, Identity, StoreError};
use prophet_tables::Table;

use crate::disk::{Disk, DiskFile, FileId};
use crate::error::{self, bad_line};
use crate::index::SEALED;
use crate::layout::{INDEX, LOG, SegmentName, parse_segment, parse_table};
use crate::seal;
use crate::state::{Sealed, State};
use crate::tail::{Rest, Tail, to_usize};
use crate::view::{FileAt, Index, IndexTable, Layer, View};

/// What of a directory is to be looked at.
pub(crate) struct Place {
    /// In words that a person recognises.
    pub(crate) name: Arc<str>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) identity: Identity,
    /// Whether a replica was published here. Then the manifest says which files count, and nobody
    /// appends to them.
    pub(crate) published: bool,
    /// Segment and length of an open one that a reader failed to sync.
    unsynced: Mutex<Option<(u64, u64)>>,
}

/// The manifest that says what a published replica is.
#[derive(Debug)]
pub(crate) struct Found {
    id: Option<FileId>,
    /// Nobody else gets its number while it is open.
    _file: Arc<dyn DiskFile>,
}

impl Place {
    pub(crate) fn new(
        name: Arc<str>,
        disk: Arc<dyn Disk>,
        identity: Identity,
        published: bool,
    ) -> Self {
        Self { name, disk, identity, published, unsynced: Mutex::default() }
    }

    /// Whether a replica was published here anew since `state` was loaded, as far as the system tells.
    pub(crate) fn is_published_anew(&self, state: &State) -> Result<bool, StoreError> {
        let Some(known) = &state.published else { return Ok(false) };
        match self.disk.id_of(MANIFEST) {
            Ok(id) => Ok(known.id != id),
            // What was loaded stays what it was.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.io("looking at the manifest")(error)),
        }
    }

    /// What was published here since `state` was loaded. While not all of that is here, as where it is being
    /// copied, `state` stays what there is.
    ///
    /// # Errors
    /// What was published is of another replica, or not what `state` came to.
    pub(crate) fn published_anew(&self, state: &State) -> Result<Option<State>, StoreError> {
        if !self.is_published_anew(state)? {
            return Ok(None);
        }
        let manifest = self.disk.open(MANIFEST).map_err(self.io("reading the manifest"));
        let manifest = manifest.and_then(|file| manifest_in(&*file, &self.name));
        if manifest.is_ok_and(|manifest| manifest.identity != self.identity) {
            return Err(self.replaced(MANIFEST));
        }
        let Ok((loaded, _)) = self.load_beside_writers() else { return Ok(None) };
        let end = state.head.position;
        for tip in state.seen.tips().flat_map(|(_, tips)| tips) {
            if loaded.position_of(tip.digest)?.is_none_or(|position| position > end) {
                return Err(self.replaced(MANIFEST));
            }
        }
        Ok(Some(loaded))
    }

    pub(crate) fn io(&self, action: &'static str) -> impl Fn(std::io::Error) -> StoreError + use<> {
        let name = Arc::clone(&self.name);
        move |error| error::from_io(&name, action, error)
    }

    /// Refuses an open segment that was removed, or replaced by another file of its name: what is
    /// written to it is nobody else's.
    pub(crate) fn check_in_place(&self, tail: &Tail) -> Result<(), StoreError> {
        match self.disk.id_of(&tail.name) {
            Ok(named) if named == tail.id => Ok(()),
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(self.io("looking at the log")(error))
            }
            _ => Err(self.replaced(&tail.name)),
        }
    }

    /// Makes what others appended durable, before it counts. With `again`, for which one has to hold the lock, the
    /// last commit is written once more.
    ///
    /// After a sync that failed, the system may have forgotten what it did not put on the disk, and the next sync
    /// says nothing of it. So what one failed to sync is not read before it was written again, or somebody wrote
    /// more, who then has done that.
    pub(crate) fn make_durable(&self, tail: &mut Tail, again: bool) -> Result<(), StoreError> {
        let end = (tail.number, tail.len);
        let mut unsynced = self.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
        let failed_before = !again && *unsynced == Some(end);
        let synced = match failed_before {
            true => Err(io::Error::other("it failed before")),
            false => tail.make_durable(again),
        };
        *unsynced = synced.is_err().then_some(end);
        synced.map_err(self.io("syncing the log"))
    }

    pub(crate) fn replaced(&self, file: &str) -> StoreError {
        let why = "it was removed or replaced while it was open; close this handle and open the \
                   replica again";
        self.corrupt(file, why)
    }

    fn corrupt(&self, file: &str, what: impl Into<String>) -> StoreError {
        StoreError::corrupt(format!("{}/{file}", self.name), what)
    }

    /// The segments of the log that is written here, in order.
    pub(crate) fn segments(&self) -> Result<Segments, StoreError> {
        let files = self.disk.list(LOG).map_err(self.io("listing the log"))?;
        let mut found: BTreeMap<u64, Vec<SegmentName>> = BTreeMap::new();
        for segment in files.iter().filter_map(|file| parse_segment(file)) {
            found.entry(segment.number).or_default().push(segment);
        }
        let mut segments = Segments::default();
        let last = found.keys().next_back().copied().unwrap_or(0);
        for (expected, (number, names)) in (1..).zip(found) {
            if number != expected {
                let name = open_name(expected);
                return Err(self.corrupt(&name, "this segment of the log is missing"));
            }
            let sealed = names.iter().find(|name| name.sealed);
            if names.iter().filter(|name| name.sealed).count() > 1 {
                let why = "there are two sealed segments of this number; keep the one that belongs";
                return Err(self.corrupt(&open_name(number), why));
            }
            match sealed {
                // The open file that it was made from may still be there.
                Some(sealed) => {
                    segments.sealed.push(sealed.name.clone());
                    let leftovers = names.iter().filter(|name| *name != sealed);
                    segments.leftovers.extend(leftovers.map(|name| name.name.clone()));
                }
                None if number == last => segments.open = Some(number),
                None => {
                    let name = open_name(number);
                    return Err(self.corrupt(&name, "it is not sealed, and another one follows"));
                }
            }
        }
        Ok(segments)
    }

    /// Whether there is a segment behind one that was sealed. Whoever seals one dies now and then
    /// before there is.
    pub(crate) fn goes_on_behind(&self, sealed: &Tail) -> Result<bool, StoreError> {
        let known = if sealed.name.is_empty() { sealed.number - 1 } else { sealed.number };
        let files = self.disk.list(LOG).map_err(self.io("listing the log"))?;
        let mut segments = files.iter().filter_map(|file| parse_segment(file));
        Ok(segments.any(|segment| segment.number > known))
    }

    /// The first line of a segment that is not compressed.
    pub(crate) fn begin_tail(&self, number: u64) -> Result<Tail, StoreError> {
        let name = open_name(number);
        let file = self.disk.open(&name).map_err(self.io("opening the log"))?;
        let (start, len, lines) = self.first_line(&name, &*file)?;
        if start.segment != number || start.identity != self.identity {
            return Err(self.corrupt(&name, "it is a segment of another log"));
        }
        Tail::begin(&name, file, start, len, lines).map_err(self.io("opening the log"))
    }

    fn first_line(
        &self,
        name: &str,
        file: &dyn DiskFile,
    ) -> Result<(Start, u64, LineReader), StoreError> {
        const LONGEST: u64 = 1_024;
        let failed = self.io("reading the log");
        let len = file.len().map_err(&failed)?.min(LONGEST);
        let bytes = file.read_at(0, len as usize).map_err(&failed)?;
        let mut lines = LineReader::new(self.identity.database);
        let line = line::lines(&bytes).next().unwrap_or_default();
        match lines.read(line).map_err(|error| bad_line(&self.name, name, 0, error))? {
            (_, Line::Start(start)) => Ok((start, line.len() as u64, lines)),
            _ => Err(self.corrupt(name, "it does not begin as a segment does")),
        }
    }

    /// The tables that together are of all segments from the first on, as far as there are any,
    /// and what they are of. Tables of segments that are not there are not looked at.
    pub(crate) fn index(&self, segments: &[String]) -> Result<(Index, Sealed), StoreError> {
        let files = match self.disk.list(INDEX) {
            Ok(files) => files,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(self.io("listing the index")(error)),
        };
        let mut ranges: Vec<_> = files.iter().filter_map(|file| parse_table(file)).collect();
        ranges.sort_unstable();
        let (mut index, mut sealed) = (Index::new(), Sealed::NOTHING);
        let mut covered = 0;
        loop {
            // The widest of those that go on where the last one ends.
            let next = ranges.iter().filter(|(first, _)| *first == covered + 1);
            let mut next: Vec<_> =
                next.filter(|(_, last)| *last <= segments.len() as u64).collect();
            next.sort_unstable_by_key(|(_, last)| std::cmp::Reverse(*last));
            let Some((table, holds)) =
                next.into_iter().find_map(|(first, last)| self.table(*first, *last, segments))
            else {
                break;
            };
            covered = table.last;
            sealed = holds;
            index.tables.insert(0, table);
        }
        Ok((index, sealed))
    }

    /// A table, unless it is damaged or not of these segments: then it is made anew.
    fn table(&self, first: u64, last: u64, segments: &[String]) -> Option<(IndexTable, Sealed)> {
        let table = self.open_table(first, last).ok()?;
        let index = Index { tables: vec![table], ..Index::new() };
        let manifest = View::new(&self.name, None, &index).get(SEALED).ok()??;
        let manifest = Manifest::decode(&manifest).ok()?;
        let names = manifest.segments.iter().map(|segment| &segment.name);
        let fits = manifest.identity == self.identity
            && manifest.segments.len() as u64 == last
            && names.zip(segments).all(|(named, found)| named == found);
        let table = index.tables.into_iter().next()?;
        fits.then(|| (table, Sealed::from(manifest)))
    }

    pub(crate) fn open_table(&self, first: u64, last: u64) -> Result<IndexTable, StoreError> {
        let name = crate::layout::table(first, last);
        let failed = self.io("opening an index");
        let file = self.disk.open(&name).map_err(&failed)?;
        let len = file.len().map_err(&failed)?;
        let place = format!("{}/{name}", self.name);
        let table = block_on(Table::open(FileAt(file), len, place));
        Ok(IndexTable { first, last, table: Arc::new(table.map_err(error::table(&self.name))?) })
    }

    /// The replica as it is now, as [`load`](Self::load) finds it, while others go on writing: what
    /// looks wrong because files came and went meanwhile, or it was published anew, looks right the next
    /// time.
    pub(crate) fn load_beside_writers(&self) -> Result<(State, Rest), StoreError> {
        const TRIES: usize = 20;
        let (mut tries, mut before) = (0, <[Vec<String>; 2]>::default());
        loop {
            let files = [LOG, INDEX].map(|name| self.disk.list(name).unwrap_or_default());
            let loaded = match self.published {
                true => self.load_published().map(|state| (state, Rest::Nothing)),
                false => self.load(false),
            };
            match loaded {
                // Where no file came or went since the last time, nobody is at it.
                Err(StoreError::Corrupt { .. } | StoreError::Io { .. })
                    if tries < TRIES && (tries == 0 || files != before) =>
                {
                    std::thread::yield_now();
                    (tries, before) = (tries + 1, files);
                }
                loaded => return loaded,
            }
        }
    }

    /// The replica as it is now. Whether it ends with an append that was cut off.
    ///
    /// Sealed segments that the index lacks are gone through; what is made of them is kept with
    /// `keep`, for which one has to hold the lock.
    pub(crate) fn load(&self, keep: bool) -> Result<(State, Rest), StoreError> {
        let segments = self.segments()?;
        let mut state = self.load_sealed(&segments, keep)?;
        let Some(number) = segments.open else {
            // What was sealed last stays as it was until the next one is there.
            if !segments.leftovers.contains(&open_name(state.tail.number - 1)) {
                let name = open_name(state.tail.number);
                return Err(self.corrupt(&name, "the last segment of the log is missing"));
            }
            return Ok((state, Rest::Nothing));
        };
        let mut tail = self.tail_behind(&state, number)?;
        let (committed, rest) = tail.read_on(&self.name)?;
        // What others appended counts once it is durable.
        if !committed.is_empty() || rest == Rest::Torn {
            self.make_durable(&mut tail, keep)?;
        }
        state.tail = tail;
        state.replay(committed)?;
        Ok((state, rest))
    }

    /// The replica that was published here last.
    fn load_published(&self) -> Result<State, StoreError> {
        let failed = self.io("reading the manifest");
        let file = self.disk.open(MANIFEST).map_err(&failed)?;
        let manifest = manifest_in(&*file, &self.name)?;
        let segments = Segments::of(&manifest);
        let mut state = self.load_sealed(&segments, false)?;
        if let Some(number) = segments.open {
            let mut tail = self.tail_behind(&state, number)?;
            // Of a replica that was copied while it was written to there may be more.
            let counted = manifest.segments.last().map_or(0, |segment| segment.bytes);
            let (committed, _) = tail.read_to(&self.name, counted)?;
            state.tail = tail;
            state.replay(committed)?;
        }
        if (manifest.head.position, &manifest.seen) != (state.head.position, &state.seen) {
            let why = "it does not end where the log does; copy all of the files again";
            return Err(self.corrupt(MANIFEST, why));
        }
        state.published = Some(Arc::new(Found { id: file.id().map_err(failed)?, _file: file }));
        Ok(state)
    }

    /// The open segment that goes on behind what is loaded.
    fn tail_behind(&self, state: &State, number: u64) -> Result<Tail, StoreError> {
        let tail = self.begin_tail(number)?;
        match tail.base == state.head {
            true => Ok(tail),
            false => {
                Err(self.corrupt(&tail.name, "it does not begin where the one before it ends"))
            }
        }
    }

    /// What is in sealed segments.
    fn load_sealed(&self, segments: &Segments, keep: bool) -> Result<State, StoreError> {
        let (index, sealed) = self.index(&segments.sealed)?;
        let behind = segments.sealed.len() - sealed.segments.len();
        if !keep
            && behind > 1
            && self.index(&segments.sealed)?.1.segments.len() > sealed.segments.len()
        {
            // They were merged while they were looked for. It would take long to do without, and much memory.
            return Err(self.corrupt(INDEX, "it is another one each time"));
        }
        let mut state = State {
            place: Arc::clone(&self.name),
            identity: self.identity,
            head: sealed.head,
            seen: sealed.seen.clone(),
            recent: Layer::new(),
            index,
            sealed,
            tail: Tail::nowhere(self.identity.database, 1, Head::EMPTY),
            cache: Arc::default(),
            published: None,
        };
        let indexed = state.sealed.segments.len();
        for name in segments.sealed.iter().skip(indexed) {
            seal::replay(self, &mut state, name, keep)?;
        }
        let number = state.sealed.segments.len() as u64 + 1;
        state.tail = Tail::nowhere(self.identity.database, number, state.head);
        Ok(state)
    }
}

/// What the manifest of a place says.
pub(crate) fn manifest_in(file: &dyn DiskFile, place: &str) -> Result<Manifest, StoreError> {
    let failed = error::io(place, "reading the manifest");
    let bytes = file.read_at(0, to_usize(file.len().map_err(&failed)?)).map_err(&failed)?;
    Manifest::decode(&bytes).map_err(|error| bad_line(place, MANIFEST, 0, error))
}

impl Segments {
    /// Those that a manifest names. The last one of a replica that is written to is an open one.
    fn of(manifest: &Manifest) -> Self {
        let mut segments = Self::default();
        for (number, segment) in (1..).zip(&manifest.segments) {
            match segment.name == open_name(number) {
                true => segments.open = Some(number),
                false => segments.sealed.push(segment.name.clone()),
            }
        }
        segments
    }
}

/// The files of the log.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    /// The names of the sealed ones, from the first on.
    pub(crate) sealed: Vec<String>,
    /// The number of the open one, if it is there.
    pub(crate) open: Option<u64>,
    /// Open ones that were sealed, and not removed.
    pub(crate) leftovers: Vec<String>,
}
