//! The reads of a store, each a page of one head.

use prophet_store::{
    Authorship, Digest, Direction, HistoryScan, LogEntry, LogScan, MetadataKey, MetadataScan,
    OriginCursor, OriginScan, Page, PageBuilder, PageLimit, Position, Read, RecordKey, RecordScan,
    RecordState, Resolution, ResolutionCursor, ResolutionScan, StoreError, codec,
};
use prophet_tables::{KeyRange, keys};

use crate::log::Log;
use crate::state::{decode, to_position};

/// An item of a page, the cursor after it and about how many bytes it takes.
type Item<T, C> = (T, C, usize);

impl Log<'_> {
    fn answer<T>(&self, value: T) -> Read<T> {
        Read { value, at: self.state.head }
    }

    /// A page of what is in a range of keys.
    fn page<T, C>(
        &self,
        range: KeyRange,
        direction: Direction,
        limit: PageLimit,
        mut read: impl FnMut(&[u8], &[u8]) -> Result<Item<T, C>, StoreError>,
    ) -> Result<Page<T, C>, StoreError> {
        let mut page = PageBuilder::new(limit, self.state.head);
        let mut found = self.state.view().scan(range, direction)?;
        while let Some((key, value)) = found.next()? {
            if page.is_full() {
                return Ok(page.unfinished());
            }
            let (item, cursor, bytes) = read(&key, &value)?;
            page.push(item, cursor, bytes);
        }
        Ok(page.finished())
    }

    fn misplaced(&self, what: &str) -> StoreError {
        StoreError::corrupt(&*self.state.place, format!("the index has {what} that cannot be read"))
    }

    pub(crate) fn records(
        &self,
        keys: &[RecordKey],
    ) -> Result<Read<Vec<Option<RecordState>>>, StoreError> {
        let found = keys.iter().map(|key| self.state.record(key));
        Ok(self.answer(found.collect::<Result<_, _>>()?))
    }

    pub(crate) fn scan_records(
        &self,
        scan: &RecordScan,
    ) -> Result<Page<RecordState, RecordKey>, StoreError> {
        let range = scan.record_type.as_ref().map_or_else(keys::records, keys::records_of);
        let range = go_on(range, scan.after.as_ref().map(keys::record), Direction::Forward);
        self.page(range, Direction::Forward, scan.limit, |key, sealed| {
            let key = keys::to_record(key).ok_or_else(|| self.misplaced("a record"))?;
            let state = decode(&self.state.place, &key, codec::decode_record(sealed))?;
            let bytes = state.approximate_size();
            Ok((state, key, bytes))
        })
    }

    pub(crate) fn scan_log(&self, scan: &LogScan) -> Result<Page<LogEntry, Position>, StoreError> {
        let head = self.state.head;
        let mut page = PageBuilder::new(scan.limit, head);
        let mut expected = match (scan.direction, scan.after) {
            (Direction::Forward, after) => after.unwrap_or(Position::ZERO).get().saturating_add(1),
            (Direction::Backward, None) => head.position.get(),
            (Direction::Backward, Some(after)) => {
                after.get().saturating_sub(1).min(head.position.get())
            }
        };
        let at_end = |expected: u64| match scan.direction {
            Direction::Forward => expected > head.position.get(),
            Direction::Backward => expected == 0,
        };
        if at_end(expected) {
            return Ok(page.finished());
        }
        let mut frames = self.frames(Position::new(expected), scan.direction)?;
        while !at_end(expected) {
            let Some(frame) = frames.next()? else {
                return Err(self.missing(Position::new(expected)));
            };
            let entries = self.entries(&frame)?;
            let mut take = |entry: &LogEntry| {
                if entry.position.get() != expected {
                    return false;
                }
                let (position, bytes) = (entry.position, size_of(entry));
                page.push(entry.clone(), position, bytes);
                match scan.direction {
                    Direction::Forward => expected += 1,
                    Direction::Backward => expected -= 1,
                }
                page.is_full()
            };
            let full = match scan.direction {
                Direction::Forward => entries.iter().any(&mut take),
                Direction::Backward => entries.iter().rev().any(&mut take),
            };
            if full && !at_end(expected) {
                return Ok(page.unfinished());
            }
        }
        Ok(page.finished())
    }

    pub(crate) fn scan_history(
        &self,
        scan: &HistoryScan,
    ) -> Result<Page<LogEntry, Position>, StoreError> {
        let range = keys::history_of(&scan.record);
        let after = scan.after.map(|after| keys::history(&scan.record, after));
        let range = go_on(range, after, scan.direction);
        self.page(range, scan.direction, scan.limit, |key, _| {
            let (_, position) = keys::to_history(key).ok_or_else(|| self.misplaced("a history"))?;
            let entry = self.entry_at(position)?;
            if !entry.records().contains(&scan.record) {
                let what = format!("{}, the history of {}", self.state.place, scan.record);
                return Err(StoreError::corrupt(what, format!("{position} does not touch it")));
            }
            let bytes = size_of(&entry);
            Ok((entry, position, bytes))
        })
    }

    pub(crate) fn scan_origin(
        &self,
        scan: &OriginScan,
    ) -> Result<Page<Authorship, OriginCursor>, StoreError> {
        let range = keys::origin_of(scan.origin);
        let key = |(sequence, digest)| keys::origin(scan.origin, sequence, digest);
        let range = go_on(range, scan.after.map(key), scan.direction);
        self.page(range, scan.direction, scan.limit, |key, position| {
            let (_, sequence, digest) =
                keys::to_origin(key).ok_or_else(|| self.misplaced("an origin"))?;
            let position = to_position(&self.state.place, position)?;
            Ok((Authorship { sequence, digest, position }, (sequence, digest), 64))
        })
    }

    pub(crate) fn find_changesets(
        &self,
        digests: &[Digest],
    ) -> Result<Read<Vec<Option<Position>>>, StoreError> {
        let found = digests.iter().map(|digest| self.state.position_of(*digest));
        Ok(self.answer(found.collect::<Result<_, _>>()?))
    }

    pub(crate) fn scan_resolutions(
        &self,
        scan: &ResolutionScan,
    ) -> Result<Page<Resolution, ResolutionCursor>, StoreError> {
        let range = scan.conflict.map_or_else(keys::resolutions, keys::resolutions_of);
        let after = scan.after.map(|(conflict, changeset)| keys::resolution(conflict, changeset));
        let range = go_on(range, after, Direction::Forward);
        self.page(range, Direction::Forward, scan.limit, |key, sealed| {
            let cursor = keys::to_resolution(key).ok_or_else(|| self.misplaced("a resolution"))?;
            let what = format_args!("resolution of conflict {}", cursor.0);
            let resolution = decode(&self.state.place, what, codec::decode_resolution(sealed))?;
            Ok((resolution, cursor, sealed.len() + 128))
        })
    }

    pub(crate) fn metadata(
        &self,
        keys: &[MetadataKey],
    ) -> Result<Read<Vec<Option<Vec<u8>>>>, StoreError> {
        let found = keys.iter().map(|key| self.state.view().get(&keys::metadata(key)));
        Ok(self.answer(found.collect::<Result<_, _>>()?))
    }

    pub(crate) fn scan_metadata(
        &self,
        scan: &MetadataScan,
    ) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError> {
        let range = keys::metadata_with(&scan.prefix);
        let range = go_on(range, scan.after.as_ref().map(keys::metadata), Direction::Forward);
        self.page(range, Direction::Forward, scan.limit, |key, value| {
            let key = keys::to_metadata(key).ok_or_else(|| self.misplaced("a metadata key"))?;
            Ok(((key.clone(), value.to_vec()), key, value.len() + 64))
        })
    }
}

fn go_on(range: KeyRange, after: Option<Vec<u8>>, direction: Direction) -> KeyRange {
    match after {
        Some(after) => range.after(&after, direction),
        None => range,
    }
}

fn size_of(entry: &LogEntry) -> usize {
    entry.changeset.payload_bytes().len() + 256
}
