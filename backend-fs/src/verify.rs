//! Looking for damage: all of the log, and everything derived from it against what it is derived
//! from.

use std::ops::ControlFlow;

use futures_lite::future::block_on;
use prophet_files::line::{self, Line, LineReader};
use prophet_files::segment::crc_of_name;
use prophet_store::{
    Direction, Head, LogEntry, MetadataKey, MetadataScan, Page, PageLimit, RecordScan, Resolution,
    ResolutionScan, StoreError, Verification, codec,
};
use prophet_tables::{KeyRange, keys};

use crate::error::{bad_line, table};
use crate::load::Place;
use crate::log::Log;
use crate::tail::to_usize;

/// Where everything is damage, the first of it says enough.
const MOST_PROBLEMS: usize = 1_000;

/// Reads all of the replica at one head.
pub(crate) fn verify(log: &Log<'_>, place: &Place) -> Result<Verification, StoreError> {
    let mut check =
        Check { log, place, found: Verification::default(), head: Head::EMPTY, touches: 0 };
    let _ = check.everything()?;
    Ok(check.found)
}

struct Check<'a> {
    log: &'a Log<'a>,
    place: &'a Place,
    found: Verification,
    /// Where the log is after what was read of it.
    head: Head,
    /// How often its entries touch a record.
    touches: u64,
}

/// Ends early where the rest cannot be looked at.
type Looked = Result<ControlFlow<()>, StoreError>;

impl Check<'_> {
    fn problem(&mut self, problem: String) {
        match self.found.problems.len() {
            ..MOST_PROBLEMS => self.found.problems.push(problem),
            MOST_PROBLEMS => self.found.problems.push("and more".to_owned()),
            _ => {}
        }
    }

    /// Puts damage into the report; what keeps from looking is an error.
    fn note<T>(&mut self, result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match result {
            Ok(fine) => Ok(Some(fine)),
            Err(error @ (StoreError::Corrupt { .. } | StoreError::NewerFormat { .. })) => {
                self.problem(error.to_string());
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    fn everything(&mut self) -> Looked {
        for index in &self.log.state.index.tables {
            let looked = block_on(index.table.verify()).map_err(table(&self.place.name));
            if self.note(looked)?.is_none() {
                // What is read through it would say the same again and again.
                return Ok(ControlFlow::Break(()));
            }
        }
        for segment in &self.log.state.sealed.segments {
            let text = self.sealed(&segment.name);
            if let Some(text) = self.note(text)? {
                self.segment(&segment.name, &text)?;
            }
        }
        let tail = &self.log.state.tail;
        if tail.len > 0 {
            let failed = self.place.io("reading the log");
            let text = tail.file.read_at(0, to_usize(tail.len)).map_err(failed)?;
            self.segment(&tail.name, &text)?;
        }
        if self.head != self.log.state.head && self.found.problems.is_empty() {
            let (found, expected) = (self.head, self.log.state.head);
            self.problem(format!("{}: the log ends at {found}, not {expected}", self.place.name));
        }
        self.derived()?;
        Ok(ControlFlow::Continue(()))
    }

    /// The text of a sealed segment.
    fn sealed(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let failed = self.place.io("reading the log");
        let file = self.place.disk.open(name).map_err(&failed)?;
        let len = file.len().map_err(&failed)?;
        let packed = file.read_at(0, to_usize(len)).map_err(&failed)?;
        let damaged =
            |what: String| StoreError::corrupt(format!("{}/{name}", self.place.name), what);
        if crc_of_name(name) != Some(crc32fast::hash(&packed)) {
            return Err(damaged("its bytes are not those that its name says".to_owned()));
        }
        zstd::decode_all(&*packed).map_err(|error| damaged(error.to_string()))
    }

    fn segment(&mut self, name: &str, text: &[u8]) -> Result<(), StoreError> {
        let mut at = 0;
        for frame in line::frames(text) {
            let mut lines = LineReader::new(self.place.identity.database);
            for line in frame.split_inclusive(|byte| *byte == b'\n') {
                let read = lines.read(line);
                let read = read.map_err(|error| bad_line(&self.place.name, name, at, error));
                at += line.len() as u64;
                match self.note(read)? {
                    Some((_, Line::Entry(entry))) => {
                        self.found.entries += 1;
                        let looked = self.entry(&entry);
                        self.note(looked)?;
                    }
                    Some((_, Line::Commit(end))) => self.head = end.head,
                    Some((_, Line::Start(start))) if start.base != self.head => {
                        let (base, head) = (start.base, self.head);
                        self.problem(format!(
                            "{}/{name}: it begins at {base}, and the one before it ends at {head}",
                            self.place.name
                        ));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Whether an entry is found by everything that it is to be found by.
    fn entry(&mut self, entry: &LogEntry) -> Result<(), StoreError> {
        let state = self.log.state;
        let (header, digest) = (entry.changeset.header(), entry.changeset.digest());
        let lacks = |what: &str| {
            let place = format!("{}, log entry {}", state.place, entry.position);
            Err(StoreError::corrupt(place, format!("it is not found by {what}")))
        };
        if state.position_of(digest)? != Some(entry.position) {
            return lacks("its digest");
        }
        let view = state.view();
        if view.get(&keys::origin(header.origin, header.sequence, digest))?.is_none() {
            return lacks("its origin");
        }
        if self.log.entry_at(entry.position)? != *entry {
            return lacks("its position");
        }
        for record in entry.records() {
            self.touches += 1;
            if view.get(&keys::history(record, entry.position))?.is_none() {
                return lacks(&format!("the history of {record}"));
            }
        }
        for resolution in Resolution::of(&entry.changeset) {
            let key = keys::resolution(resolution.conflict(), resolution.changeset);
            if view.get(&key)? != Some(codec::encode_resolution(&resolution)) {
                return lacks("the conflict that it votes on");
            }
        }
        Ok(())
    }

    /// Counts and decodes what is derived.
    fn derived(&mut self) -> Result<(), StoreError> {
        let limit = PageLimit::default();
        let mut scan = RecordScan { limit, ..RecordScan::default() };
        let log = self.log;
        self.pages(
            || next(log.scan_records(&scan), &mut scan.after),
            |check, states| {
                check.found.records += states.len() as u64;
            },
        )?;
        let mut scan = ResolutionScan { limit, ..ResolutionScan::default() };
        self.pages(
            || next(log.scan_resolutions(&scan), &mut scan.after),
            |check, found| {
                check.found.resolutions += found.len() as u64;
            },
        )?;
        let mut scan = MetadataScan { limit, ..MetadataScan::default() };
        self.pages(
            || next::<(MetadataKey, Vec<u8>), _>(log.scan_metadata(&scan), &mut scan.after),
            |check, found| check.found.metadata += found.len() as u64,
        )?;
        let touched = self.count(keys::histories())?;
        let changesets = self.count(keys::changesets())?;
        let (touches, entries) = (self.touches, self.found.entries);
        if (touched, changesets) != (touches, entries) && self.found.problems.is_empty() {
            self.problem(format!(
                "{}: the index has {changesets} changesets and {touched} entries of histories, \
                 where the log has {entries} and {touches}",
                self.place.name
            ));
        }
        Ok(())
    }

    fn pages<T>(
        &mut self,
        mut read: impl FnMut() -> Result<(Vec<T>, bool), StoreError>,
        mut look: impl FnMut(&mut Self, Vec<T>),
    ) -> Result<(), StoreError> {
        loop {
            let page = read();
            let Some((items, more)) = self.note(page)? else { return Ok(()) };
            look(self, items);
            if !more {
                return Ok(());
            }
        }
    }

    fn count(&mut self, range: KeyRange) -> Result<u64, StoreError> {
        let mut found = self.log.state.view().scan(range, Direction::Forward)?;
        let mut count = 0;
        loop {
            let next = found.next();
            match self.note(next)? {
                Some(Some(_)) => count += 1,
                _ => return Ok(count),
            }
        }
    }
}

fn next<T, C>(
    page: Result<Page<T, C>, StoreError>,
    after: &mut Option<C>,
) -> Result<(Vec<T>, bool), StoreError> {
    let Page { items, more, .. } = page?;
    *after = more;
    Ok((items, after.is_some()))
}
