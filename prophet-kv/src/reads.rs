//! The reads of a store, each a page of one head.

use std::fmt::Display;
use std::ops::ControlFlow;

use prophet_store::{
    Authorship, Digest, Direction, Existence, Head, HistoryScan, LogEntry, LogScan, MetadataKey,
    MetadataScan, OriginCursor, OriginScan, Page, PageBuilder, PageLimit, Position, Read,
    RecordCounts, RecordKey, RecordScan, RecordState, RecordType, Resolution, ResolutionCursor,
    ResolutionScan, StoreError,
    codec::{self, RecordFilter},
};
use prophet_tables::{KeyRange, keys};

use crate::map::{Entries, Map, Scan as _, missing_entry};

/// However few records satisfy a hint, no page looks at many more than so many, of so many bytes.
const LEFT_OUT_OF_A_PAGE: (usize, usize) = (10_000, 16 << 20);

/// An item of a page, the cursor after it and about how many bytes it takes.
type Item<T, C> = (T, C, usize);

/// All that a [`ReplicaStore`](prophet_store::ReplicaStore) reads, of a replica at one head.
///
/// Each method answers what the method of the store of the same name has to, and fails with
/// [`StoreError::Corrupt`] for what is damaged and with what the map and the log fail with.
///
/// Where no log is at hand, `()` stands for it, and what is found by a key alone can be read.
#[derive(Debug, Clone, Copy)]
pub struct Reads<'p, M, E = ()> {
    place: &'p str,
    head: Head,
    map: M,
    entries: E,
}

impl<'p, M: Map, E> Reads<'p, M, E> {
    /// What is read at `head` from a map and a log that are at this very head. `place` names the
    /// store in errors.
    pub const fn new(place: &'p str, head: Head, map: M, entries: E) -> Self {
        Self { place, head, map, entries }
    }

    /// The head that all is read at.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// The map that is read from.
    pub const fn map(&self) -> &M {
        &self.map
    }

    /// The log that is read from.
    pub const fn entries(&self) -> &E {
        &self.entries
    }

    /// How errors name the store.
    pub const fn place(&self) -> &'p str {
        self.place
    }

    const fn answer<T>(&self, value: T) -> Read<T> {
        Read { value, at: self.head }
    }

    fn misplaced(&self, what: &str) -> StoreError {
        StoreError::corrupt(self.place, format!("the index has {what} that cannot be read"))
    }

    fn decode<T>(
        &self,
        what: impl Display,
        decoded: Result<T, codec::DecodeError>,
    ) -> Result<T, StoreError> {
        let place = || format!("{}, {what}", self.place);
        decoded.map_err(|error| StoreError::undecodable(place(), &error))
    }

    fn position(&self, bytes: &[u8]) -> Result<Position, StoreError> {
        match bytes.try_into() {
            Ok(bytes) => Ok(Position::new(u64::from_le_bytes(bytes))),
            Err(_) => Err(StoreError::corrupt(self.place, "a position in the index is cut off")),
        }
    }

    fn state(&self, key: &RecordKey, sealed: &[u8]) -> Result<RecordState, StoreError> {
        let state = self.decode(format_args!("record {key}"), codec::decode_record(sealed))?;
        match state.key() == key {
            true => Ok(state),
            false => Err(StoreError::corrupt(
                format!("{}, record {key}", self.place),
                format!("the state there is that of {}", state.key()),
            )),
        }
    }

    /// A page of what is in a range of keys.
    async fn page<T, C>(
        &self,
        range: KeyRange,
        direction: Direction,
        limit: PageLimit,
        mut read: impl FnMut(&[u8], &[u8]) -> Result<Item<T, C>, StoreError>,
    ) -> Result<Page<T, C>, StoreError> {
        let mut page = PageBuilder::new(limit, self.head);
        let mut found = self.map.scan(range, direction);
        while let Some((key, value)) = found.next().await? {
            if page.is_full() {
                return Ok(page.unfinished());
            }
            let (item, cursor, bytes) = read(&key, &value)?;
            page.push(item, cursor, bytes);
        }
        Ok(page.finished())
    }

    /// The state of a record.
    ///
    /// # Errors
    /// Damage, and what keeps from reading.
    pub async fn record(&self, key: &RecordKey) -> Result<Option<RecordState>, StoreError> {
        let sealed = self.map.get(&keys::record(key)).await?;
        sealed.map(|sealed| self.state(key, &sealed)).transpose()
    }

    /// Where a changeset is in the log.
    ///
    /// # Errors
    /// Damage, and what keeps from reading.
    pub async fn position_of(&self, digest: Digest) -> Result<Option<Position>, StoreError> {
        let found = self.map.get(&keys::changeset(digest)).await?;
        found.map(|bytes| self.position(&bytes)).transpose()
    }

    /// [`ReplicaStore::get_records`](prophet_store::ReplicaStore::get_records).
    ///
    /// # Errors
    /// Damage, and what keeps from reading.
    pub async fn get_records(
        &self,
        keys: &[RecordKey],
    ) -> Result<Read<Vec<Option<RecordState>>>, StoreError> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.push(self.record(key).await?);
        }
        Ok(self.answer(found))
    }

    /// [`ReplicaStore::scan_records`](prophet_store::ReplicaStore::scan_records). What does not satisfy
    /// the hint is left out without being decoded; where that cannot be told from its bytes, it comes.
    ///
    /// # Errors
    /// Damage, and what keeps from reading.
    pub async fn scan_records(
        &self,
        scan: &RecordScan,
    ) -> Result<Page<RecordState, RecordKey>, StoreError> {
        let range = scan.record_type.as_ref().map_or_else(keys::records, keys::records_of);
        let range = go_on(range, scan.after.as_ref().map(keys::record), Direction::Forward);
        let filter = scan.hint.as_ref().map(RecordFilter::new);
        let mut page = PageBuilder::new(scan.limit, self.head);
        let mut left_out = (0, 0);
        let mut found = self.map.scan(range, Direction::Forward);
        while let Some((key, sealed)) = found.next().await? {
            if page.is_full() {
                return Ok(page.unfinished());
            }
            let key = keys::to_record(&key).ok_or_else(|| self.misplaced("a record"))?;
            if filter.as_ref().is_none_or(|filter| filter.may_hold(&key, &sealed)) {
                let state = self.state(&key, &sealed)?;
                let bytes = state.approximate_size();
                page.push(state, key, bytes);
                continue;
            }
            left_out.0 += 1;
            left_out.1 += sealed.len();
            if left_out.0 >= LEFT_OUT_OF_A_PAGE.0 || left_out.1 >= LEFT_OUT_OF_A_PAGE.1 {
                return Ok(Page { more: Some(key), ..page.finished() });
            }
        }
        Ok(page.finished())
    }

    /// [`ReplicaStore::count_records`](prophet_store::ReplicaStore::count_records). It takes a look at
    /// every record of what is counted, and decodes none but those whose existence is contested.
    ///
    /// # Errors
    /// Damage, and what keeps from reading.
    pub async fn count_records(
        &self,
        record_type: Option<&RecordType>,
    ) -> Result<Read<RecordCounts>, StoreError> {
        let mut counts = RecordCounts::new();
        let range = record_type.map_or_else(keys::records, keys::records_of);
        let mut found = self.map.scan(range, Direction::Forward);
        while let Some((key, sealed)) = found.next().await? {
            let key = keys::to_record(&key).ok_or_else(|| self.misplaced("a record"))?;
            let existence = codec::existence_of(&key, &sealed);
            if self.decode(format_args!("record {key}"), existence)? == Existence::Alive {
                *counts.entry(key.record_type().clone()).or_default() += 1;
            }
        }
        Ok(self.answer(counts))
    }

    /// [`ReplicaStore::scan_origin`](prophet_store::ReplicaStore::scan_origin).
    ///
    /// # Errors
    /// Damage, and what keeps from reading.
    pub async fn scan_origin(
        &self,
        scan: &OriginScan,
    ) -> Result<Page<Authorship, OriginCursor>, StoreError> {
        let range = keys::origin_of(scan.origin);
        let key = |(sequence, digest)| keys::origin(scan.origin, sequence, digest);
        let range = go_on(range, scan.after.map(key), scan.direction);
        let read = |key: &[u8], position: &[u8]| {
            let (_, sequence, digest) =
                keys::to_origin(key).ok_or_else(|| self.misplaced("an origin"))?;
            let position = self.position(position)?;
            Ok((Authorship { sequence, digest, position }, (sequence, digest), 64))
        };
        self.page(range, scan.direction, scan.limit, read).await
    }

    /// [`ReplicaStore::find_changesets`](prophet_store::ReplicaStore::find_changesets).
    ///
    /// # Errors
    /// Damage, and what keeps from reading.
    pub async fn find_changesets(
        &self,
        digests: &[Digest],
    ) -> Result<Read<Vec<Option<Position>>>, StoreError> {
        let mut found = Vec::with_capacity(digests.len());
        for digest in digests {
            found.push(self.position_of(*digest).await?);
        }
        Ok(self.answer(found))
    }

    /// [`ReplicaStore::scan_resolutions`](prophet_store::ReplicaStore::scan_resolutions).
    ///
    /// # Errors
    /// Damage, and what keeps from reading.
    pub async fn scan_resolutions(
        &self,
        scan: &ResolutionScan,
    ) -> Result<Page<Resolution, ResolutionCursor>, StoreError> {
        let range = scan.conflict.map_or_else(keys::resolutions, keys::resolutions_of);
        let after = scan.after.map(|(conflict, changeset)| keys::resolution(conflict, changeset));
        let range = go_on(range, after, Direction::Forward);
        let read = |key: &[u8], sealed: &[u8]| {
            let cursor = keys::to_resolution(key).ok_or_else(|| self.misplaced("a resolution"))?;
            let what = format_args!("resolution of conflict {}", cursor.0);
            let resolution = self.decode(what, codec::decode_resolution(sealed))?;
            match (resolution.conflict(), resolution.changeset) == cursor {
                true => Ok((resolution, cursor, sealed.len() + 128)),
                false => Err(self.misplaced("a resolution")),
            }
        };
        self.page(range, Direction::Forward, scan.limit, read).await
    }

    /// [`ReplicaStore::get_metadata`](prophet_store::ReplicaStore::get_metadata).
    ///
    /// # Errors
    /// Damage, and what keeps from reading.
    pub async fn get_metadata(
        &self,
        keys: &[MetadataKey],
    ) -> Result<Read<Vec<Option<Vec<u8>>>>, StoreError> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.push(self.map.get(&keys::metadata(key)).await?);
        }
        Ok(self.answer(found))
    }

    /// [`ReplicaStore::scan_metadata`](prophet_store::ReplicaStore::scan_metadata).
    ///
    /// # Errors
    /// Damage, and what keeps from reading.
    pub async fn scan_metadata(
        &self,
        scan: &MetadataScan,
    ) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError> {
        let range = keys::metadata_with(&scan.prefix);
        let range = go_on(range, scan.after.as_ref().map(keys::metadata), Direction::Forward);
        let read = |key: &[u8], value: &[u8]| {
            let key = keys::to_metadata(key).ok_or_else(|| self.misplaced("a metadata key"))?;
            Ok(((key.clone(), value.to_vec()), key, value.len() + 64))
        };
        self.page(range, Direction::Forward, scan.limit, read).await
    }
}

impl<M: Map, E: Entries> Reads<'_, M, E> {
    /// [`ReplicaStore::scan_log`](prophet_store::ReplicaStore::scan_log).
    ///
    /// # Errors
    /// Damage, an entry that is missing included, and what keeps from reading.
    pub async fn scan_log(&self, scan: &LogScan) -> Result<Page<LogEntry, Position>, StoreError> {
        let last = self.head.position.get();
        let mut page = PageBuilder::new(scan.limit, self.head);
        let mut expected = match (scan.direction, scan.after) {
            (Direction::Forward, after) => after.unwrap_or(Position::ZERO).get().saturating_add(1),
            (Direction::Backward, None) => last,
            (Direction::Backward, Some(after)) => after.get().saturating_sub(1).min(last),
        };
        let at_end = |expected: u64| match scan.direction {
            Direction::Forward => expected > last,
            Direction::Backward => expected == 0,
        };
        if at_end(expected) {
            return Ok(page.finished());
        }
        let from = Position::new(expected);
        let take = |entry: LogEntry| {
            if entry.position.get() != expected {
                return ControlFlow::Break(());
            }
            let (position, bytes) = (entry.position, size_of(&entry));
            page.push(entry, position, bytes);
            match scan.direction {
                Direction::Forward => expected += 1,
                Direction::Backward => expected -= 1,
            }
            match at_end(expected) || page.is_full() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        self.entries.scan_entries(from, scan.direction, take).await?;
        if at_end(expected) {
            return Ok(page.finished());
        }
        match page.is_full() {
            true => Ok(page.unfinished()),
            false => Err(missing_entry(self.place, Position::new(expected))),
        }
    }

    /// [`ReplicaStore::scan_history`](prophet_store::ReplicaStore::scan_history).
    ///
    /// # Errors
    /// Damage, and what keeps from reading.
    pub async fn scan_history(
        &self,
        scan: &HistoryScan,
    ) -> Result<Page<LogEntry, Position>, StoreError> {
        let range = keys::history_of(&scan.record);
        let after = scan.after.map(|after| keys::history(&scan.record, after));
        let mut found = self.map.scan(go_on(range, after, scan.direction), scan.direction);
        let mut page = PageBuilder::new(scan.limit, self.head);
        while let Some((key, _)) = found.next().await? {
            if page.is_full() {
                return Ok(page.unfinished());
            }
            let (_, position) =
                keys::to_history(&key).ok_or_else(|| self.misplaced("a history"))?;
            let entry = self.entries.entry_at(position).await?;
            if !entry.records().contains(&scan.record) {
                let what = format!("{}, the history of {}", self.place, scan.record);
                return Err(StoreError::corrupt(what, format!("{position} does not touch it")));
            }
            let bytes = size_of(&entry);
            page.push(entry, position, bytes);
        }
        Ok(page.finished())
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
