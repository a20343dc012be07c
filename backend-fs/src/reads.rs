//! The reads of a store, each a page of one head: those of `prophet-kv`, over the layers of the index
//! and the frames of the log.

use std::future::{Future, ready};
use std::ops::ControlFlow;

use futures_lite::future::block_on;
use prophet_kv::{Entries, Reads};
use prophet_store::{
    Authorship, Digest, Direction, HistoryScan, LogEntry, LogScan, MetadataKey, MetadataScan,
    OriginCursor, OriginScan, Page, Position, Read, RecordCounts, RecordKey, RecordScan,
    RecordState, RecordType, Resolution, ResolutionCursor, ResolutionScan, StoreError,
};

use crate::log::Log;
use crate::view::View;

impl Entries for Log<'_> {
    fn entry_at(
        &self,
        position: Position,
    ) -> impl Future<Output = Result<LogEntry, StoreError>> + Send {
        ready(Log::entry_at(self, position))
    }

    fn scan_entries(
        &self,
        from: Position,
        direction: Direction,
        take: impl FnMut(LogEntry) -> ControlFlow<()> + Send,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        ready(self.hand_out(from, direction, take))
    }
}

impl<'a> Log<'a> {
    // Files are ready at once, so nothing here waits.
    fn reads(&self) -> Reads<'a, View<'a>, &Self> {
        Reads::new(&self.state.place, self.state.head, self.state.view(), self)
    }

    fn hand_out(
        &self,
        from: Position,
        direction: Direction,
        mut take: impl FnMut(LogEntry) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut frames = self.frames(from, direction)?;
        while let Some(frame) = frames.next()? {
            let entries = self.entries(&frame)?;
            // The frame that has the first one may begin before it, or go on after it.
            let mut hand_out = |position| match direction {
                Direction::Forward if position < from => Ok(false),
                Direction::Backward if position > from => Ok(false),
                _ => self.entry_in(&frame, &entries, position).map(|entry| take(entry).is_break()),
            };
            let mut positions = entries.positions();
            while let Some(position) = match direction {
                Direction::Forward => positions.next(),
                Direction::Backward => positions.next_back(),
            } {
                if hand_out(position)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    pub(crate) fn records(
        &self,
        keys: &[RecordKey],
    ) -> Result<Read<Vec<Option<RecordState>>>, StoreError> {
        block_on(self.reads().get_records(keys))
    }

    pub(crate) fn scan_records(
        &self,
        scan: &RecordScan,
    ) -> Result<Page<RecordState, RecordKey>, StoreError> {
        block_on(self.reads().scan_records(scan))
    }

    pub(crate) fn count_records(
        &self,
        record_type: Option<&RecordType>,
    ) -> Result<Read<RecordCounts>, StoreError> {
        block_on(self.reads().count_records(record_type))
    }

    pub(crate) fn scan_log(&self, scan: &LogScan) -> Result<Page<LogEntry, Position>, StoreError> {
        block_on(self.reads().scan_log(scan))
    }

    pub(crate) fn scan_history(
        &self,
        scan: &HistoryScan,
    ) -> Result<Page<LogEntry, Position>, StoreError> {
        block_on(self.reads().scan_history(scan))
    }

    pub(crate) fn scan_origin(
        &self,
        scan: &OriginScan,
    ) -> Result<Page<Authorship, OriginCursor>, StoreError> {
        block_on(self.reads().scan_origin(scan))
    }

    pub(crate) fn find_changesets(
        &self,
        digests: &[Digest],
    ) -> Result<Read<Vec<Option<Position>>>, StoreError> {
        block_on(self.reads().find_changesets(digests))
    }

    pub(crate) fn scan_resolutions(
        &self,
        scan: &ResolutionScan,
    ) -> Result<Page<Resolution, ResolutionCursor>, StoreError> {
        block_on(self.reads().scan_resolutions(scan))
    }

    pub(crate) fn metadata(
        &self,
        keys: &[MetadataKey],
    ) -> Result<Read<Vec<Option<Vec<u8>>>>, StoreError> {
        block_on(self.reads().get_metadata(keys))
    }

    pub(crate) fn scan_metadata(
        &self,
        scan: &MetadataScan,
    ) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError> {
        block_on(self.reads().scan_metadata(scan))
    }
}
