//! Looking for damage: all of the log, and everything derived from it against what it is derived
//! from.

use std::io::ErrorKind;
use std::ops::ControlFlow;

use futures_lite::future::block_on;
use prophet_files::line::{self, LineReader};
use prophet_files::segment::{crc_of_name, unpack};
use prophet_kv::Report;
use prophet_store::{
    Direction, Head, LogEntry, MetadataKey, MetadataScan, Page, PageLimit, RecordScan, Resolution,
    ResolutionScan, StoreError, Verification, codec,
};
use prophet_tables::{KeyRange, keys};

use crate::error::{bad_line, table};
use crate::follow::{Committed, Follow, Step};
use crate::load::Place;
use crate::log::Log;
use crate::tail::to_usize;

/// Reads all of the replica at one head.
pub(crate) fn verify(log: &Log<'_>, place: &Place) -> Result<Verification, StoreError> {
    let follow = Follow::after(Head::EMPTY, place.published);
    let mut check = Check { log, place, report: Report::new(), follow, by_key: true, touches: 0 };
    check.everything()?;
    Ok(check.report.finish())
}

struct Check<'a> {
    log: &'a Log<'a>,
    place: &'a Place,
    report: Report,
    follow: Follow,
    /// What is found by a key can be looked at.
    by_key: bool,
    /// How often its entries touch a record.
    touches: u64,
}

impl Check<'_> {
    fn everything(&mut self) -> Result<(), StoreError> {
        for index in &self.log.state.index.tables {
            let looked = block_on(index.table.verify()).map_err(table(&self.place.name));
            // What is read through a damaged one would say the same again and again.
            self.by_key &= self.report.note(looked)?.is_some();
        }
        for segment in &self.log.state.sealed.segments {
            self.sealed(&segment.name)?;
        }
        let tail = &self.log.state.tail;
        if tail.len > 0 {
            let failed = self.place.io("reading the log");
            let text = tail.file.read_at(0, to_usize(tail.len)).map_err(failed)?;
            self.begin_segment();
            let _ = self.lines(&tail.name, None, &text)?;
        }
        if self.follow.head() != self.log.state.head && self.report.is_sound() {
            let (found, expected) = (self.follow.head(), self.log.state.head);
            self.report
                .problem(format!("{}: the log ends at {found}, not {expected}", self.place.name));
        }
        if self.by_key { self.derived() } else { Ok(()) }
    }

    /// What comes next is a segment. Behind a damaged one it says itself where it begins.
    fn begin_segment(&mut self) {
        self.follow.begin_segment(self.report.is_sound());
    }

    /// Looks at a sealed segment.
    fn sealed(&mut self, name: &str) -> Result<(), StoreError> {
        self.begin_segment();
        let failed = self.place.io("reading the log");
        let file = match self.place.disk.open(name) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.report.problem(format!("{}/{name}: it is missing", self.place.name));
                return Ok(());
            }
            opened => opened.map_err(&failed)?,
        };
        let len = file.len().map_err(&failed)?;
        let packed = file.read_at(0, to_usize(len)).map_err(&failed)?;
        if crc_of_name(name) != Some(crc32fast::hash(&packed)) {
            let why = "its bytes are not those that its name says";
            self.report.problem(format!("{}/{name}: {why}", self.place.name));
            return Ok(());
        }
        let (mut rest, mut at) = (&*packed, 0);
        while !rest.is_empty() {
            let size = zstd::zstd_safe::find_frame_compressed_size(rest).unwrap_or(rest.len());
            let (frame, after) = rest.split_at_checked(size).unwrap_or((rest, &[]));
            let text = unpack(frame).map_err(|error| {
                let place = format!("{}/{name}, byte {at}", self.place.name);
                StoreError::corrupt(place, error.to_string())
            });
            let Some(text) = self.report.note(text)? else { return Ok(()) };
            if self.lines(name, Some(at), &text)?.is_break() {
                return Ok(());
            }
            at += size as u64;
            rest = after;
        }
        if !self.follow.is_sealed() {
            self.report
                .problem(format!("{}/{name}: it does not end as a segment does", self.place.name));
        }
        Ok(())
    }

    /// Looks at lines that begin where a frame begins, at byte `packed_at` of a compressed file. It ends
    /// early where the rest does not follow.
    fn lines(
        &mut self,
        name: &str,
        packed_at: Option<u64>,
        text: &[u8],
    ) -> Result<ControlFlow<()>, StoreError> {
        let mut at = 0;
        for frame in line::frames(text) {
            let mut lines = LineReader::new(self.place.identity.database);
            for line in line::lines(frame) {
                let place = packed_at.unwrap_or(at);
                at += line.len() as u64;
                let read = lines.read(line);
                let read = read.map_err(|error| bad_line(&self.place.name, name, place, error));
                let Some((_, line)) = self.report.note(read)? else { continue };
                match self.follow.take(line) {
                    Ok(Step::Commit(commit)) => self.commit(&commit)?,
                    Ok(_) => {}
                    Err(why) => {
                        self.report
                            .problem(format!("{}/{name}, byte {place}: {why}", self.place.name));
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn commit(&mut self, commit: &Committed) -> Result<(), StoreError> {
        for entry in &commit.entries {
            self.report.counts().entries += 1;
            if self.by_key {
                let looked = self.entry(entry);
                self.report.note(looked)?;
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
                check.report.counts().records += states.len() as u64;
            },
        )?;
        let mut scan = ResolutionScan { limit, ..ResolutionScan::default() };
        self.pages(
            || next(log.scan_resolutions(&scan), &mut scan.after),
            |check, found| {
                check.report.counts().resolutions += found.len() as u64;
            },
        )?;
        let mut scan = MetadataScan { limit, ..MetadataScan::default() };
        self.pages(
            || next::<(MetadataKey, Vec<u8>), _>(log.scan_metadata(&scan), &mut scan.after),
            |check, found| check.report.counts().metadata += found.len() as u64,
        )?;
        let touched = self.count(keys::histories())?;
        let changesets = self.count(keys::changesets())?;
        let (touches, entries) = (self.touches, self.report.counts().entries);
        if (touched, changesets) != (touches, entries) && self.report.is_sound() {
            self.report.problem(format!(
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
            let Some((items, more)) = self.report.note(page)? else { return Ok(()) };
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
            match self.report.note(next)? {
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
