//! What has to be read of a store: an ordered map, and the entries of the log.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::future::{Future, ready};
use std::ops::{Bound, ControlFlow};

use prophet_store::{Direction, LogEntry, Position, StoreError, codec};
use prophet_tables::{KeyRange, keys};

/// A key and its value.
pub type Found = (Vec<u8>, Vec<u8>);

/// An ordered map of byte keys, to be read: as it was at one moment.
///
/// Implement it for what borrows the map (a view, a snapshot, `&Tree`), so that what a scan returns
/// can borrow from the same.
pub trait Map: Send + Sync {
    /// What goes through a range of keys.
    type Scan: Scan;

    /// The value of a key.
    ///
    /// # Errors
    /// What keeps from reading; [`StoreError::Corrupt`] for what is damaged.
    fn get(&self, key: &[u8]) -> impl Future<Output = Result<Option<Vec<u8>>, StoreError>> + Send;

    /// Goes through the keys of a range, bytewise rising or, backward, falling. Nothing is read
    /// before the first [`next`](Scan::next). The range may be empty, or end before it starts.
    fn scan(&self, range: KeyRange, direction: Direction) -> Self::Scan;
}

/// Goes through a range of keys of a [`Map`].
pub trait Scan: Send {
    /// The next key and its value; `None` at the end.
    ///
    /// # Errors
    /// As those of [`Map::get`].
    fn next(&mut self) -> impl Future<Output = Result<Option<Found>, StoreError>> + Send;
}

/// The entries of a log, to be read.
pub trait Entries: Send + Sync {
    /// The entry at a position that is in the log.
    ///
    /// # Errors
    /// [`missing_entry`] if it is not there, and what keeps from reading.
    fn entry_at(
        &self,
        position: Position,
    ) -> impl Future<Output = Result<LogEntry, StoreError>> + Send;

    /// Hands out the entries from the one at `from` on, in a direction, until `take` breaks off or
    /// there are no more. Entries that are not where they should be are handed out as they are
    /// found: who takes them looks at their positions.
    ///
    /// # Errors
    /// What keeps from reading.
    fn scan_entries(
        &self,
        from: Position,
        direction: Direction,
        take: impl FnMut(LogEntry) -> ControlFlow<()> + Send,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

impl<M: Map> Map for &M {
    type Scan = M::Scan;

    fn get(&self, key: &[u8]) -> impl Future<Output = Result<Option<Vec<u8>>, StoreError>> + Send {
        M::get(self, key)
    }

    fn scan(&self, range: KeyRange, direction: Direction) -> Self::Scan {
        M::scan(self, range, direction)
    }
}

impl<E: Entries> Entries for &E {
    fn entry_at(
        &self,
        position: Position,
    ) -> impl Future<Output = Result<LogEntry, StoreError>> + Send {
        E::entry_at(self, position)
    }

    fn scan_entries(
        &self,
        from: Position,
        direction: Direction,
        take: impl FnMut(LogEntry) -> ControlFlow<()> + Send,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        E::scan_entries(self, from, direction, take)
    }
}

/// A map in memory: for tests, and as an example.
impl<'a> Map for &'a BTreeMap<Vec<u8>, Vec<u8>> {
    type Scan = MemoryScan<'a>;

    fn get(&self, key: &[u8]) -> impl Future<Output = Result<Option<Vec<u8>>, StoreError>> + Send {
        ready(Ok(BTreeMap::get(self, key).cloned()))
    }

    fn scan(&self, range: KeyRange, direction: Direction) -> Self::Scan {
        // A `BTreeMap` panics where a range ends before it starts.
        let (start, end) = match range.is_empty() {
            true => (Bound::Excluded(Vec::new()), Bound::Included(Vec::new())),
            false => (range.start, range.end),
        };
        MemoryScan { found: self.range((start, end)), direction }
    }
}

/// Goes through a map in memory.
#[derive(Debug)]
pub struct MemoryScan<'a> {
    found: Range<'a, Vec<u8>, Vec<u8>>,
    direction: Direction,
}

impl Scan for MemoryScan<'_> {
    fn next(&mut self) -> impl Future<Output = Result<Option<Found>, StoreError>> + Send {
        let next = match self.direction {
            Direction::Forward => self.found.next(),
            Direction::Backward => self.found.next_back(),
        };
        ready(Ok(next.map(|(key, value)| (key.clone(), value.clone()))))
    }
}

/// The entries of a log that is in the map too, under [`keys::entry`].
#[derive(Debug, Clone, Copy)]
pub struct EntriesInMap<'p, M> {
    place: &'p str,
    map: M,
}

impl<'p, M: Map> EntriesInMap<'p, M> {
    /// The entries in a map; `place` names the store in errors.
    pub const fn new(place: &'p str, map: M) -> Self {
        Self { place, map }
    }

    fn decode(&self, position: Position, sealed: &[u8]) -> Result<LogEntry, StoreError> {
        let place = || format!("{}, log entry {position}", self.place);
        codec::decode_entry(position, sealed)
            .map_err(|error| StoreError::undecodable(place(), &error))
    }
}

impl<M: Map> Entries for EntriesInMap<'_, M> {
    async fn entry_at(&self, position: Position) -> Result<LogEntry, StoreError> {
        match self.map.get(&keys::entry(position)).await? {
            Some(sealed) => self.decode(position, &sealed),
            None => Err(missing_entry(self.place, position)),
        }
    }

    async fn scan_entries(
        &self,
        from: Position,
        direction: Direction,
        mut take: impl FnMut(LogEntry) -> ControlFlow<()> + Send,
    ) -> Result<(), StoreError> {
        let mut found = self.map.scan(keys::entries_from(from, direction), direction);
        while let Some((key, sealed)) = found.next().await? {
            let position = keys::to_entry(&key).ok_or_else(|| {
                StoreError::corrupt(self.place, "there is a log entry without a position")
            })?;
            if take(self.decode(position, &sealed)?).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The error for a log entry that is not found where it should be.
pub fn missing_entry(place: &str, position: Position) -> StoreError {
    let place = format!("{place}, log entry {position}");
    StoreError::corrupt(place, "it is not where the index says")
}
