//! All scans alike, so that what holds of every scan is checked of every scan.

use std::fmt::Debug;

use prophet_store::{
    Authorship, Direction, HistoryScan, LogEntry, LogScan, MetadataKey, MetadataScan, OriginCursor,
    OriginScan, Page, PageLimit, Position, RecordKey, RecordScan, RecordState, Resolution,
    ResolutionCursor, ResolutionScan, StoreError,
};

use crate::failure::{Outcome, ensure, ensure_eq};
use crate::fixtures::Model;
use harnesses::Store;

pub(crate) trait Scan: Clone + Debug {
    type Item: Clone + Debug + PartialEq;
    type Cursor: Clone + Debug + Ord;

    fn direction(&self) -> Direction {
        Direction::Forward
    }

    fn page_after(&self, after: Option<Self::Cursor>, limit: PageLimit) -> Self;

    async fn read(&self, store: &Store) -> Result<Page<Self::Item, Self::Cursor>, StoreError>;

    fn cursor(item: &Self::Item) -> Self::Cursor;

    /// All that the scan finds from its beginning.
    fn expected(&self, model: &Model) -> Vec<Self::Item>;

    /// Whether a scan goes from `one` towards `other`.
    fn is_before(&self, one: &Self::Cursor, other: &Self::Cursor) -> bool {
        match self.direction() {
            Direction::Forward => one < other,
            Direction::Backward => one > other,
        }
    }
}

fn directed<T>(mut items: Vec<T>, direction: Direction) -> Vec<T> {
    if direction == Direction::Backward {
        items.reverse();
    }
    items
}

impl Scan for RecordScan {
    type Item = RecordState;
    type Cursor = RecordKey;

    fn page_after(&self, after: Option<RecordKey>, limit: PageLimit) -> Self {
        Self { after, limit, ..self.clone() }
    }

    async fn read(&self, store: &Store) -> Result<Page<RecordState, RecordKey>, StoreError> {
        store.scan_records(self).await
    }

    fn cursor(item: &RecordState) -> RecordKey {
        item.key().clone()
    }

    fn expected(&self, model: &Model) -> Vec<RecordState> {
        let wanted = |key: &RecordKey| {
            self.record_type.as_ref().is_none_or(|wanted| key.record_type() == wanted)
        };
        model.records.values().filter(|state| wanted(state.key())).cloned().collect()
    }
}

impl Scan for LogScan {
    type Item = LogEntry;
    type Cursor = Position;

    fn direction(&self) -> Direction {
        self.direction
    }

    fn page_after(&self, after: Option<Position>, limit: PageLimit) -> Self {
        Self { after, limit, ..*self }
    }

    async fn read(&self, store: &Store) -> Result<Page<LogEntry, Position>, StoreError> {
        store.scan_log(self).await
    }

    fn cursor(item: &LogEntry) -> Position {
        item.position
    }

    fn expected(&self, model: &Model) -> Vec<LogEntry> {
        directed(model.log.clone(), self.direction)
    }
}

impl Scan for HistoryScan {
    type Item = LogEntry;
    type Cursor = Position;

    fn direction(&self) -> Direction {
        self.direction
    }

    fn page_after(&self, after: Option<Position>, limit: PageLimit) -> Self {
        Self { after, limit, ..self.clone() }
    }

    async fn read(&self, store: &Store) -> Result<Page<LogEntry, Position>, StoreError> {
        store.scan_history(self).await
    }

    fn cursor(item: &LogEntry) -> Position {
        item.position
    }

    fn expected(&self, model: &Model) -> Vec<LogEntry> {
        let touches = |entry: &&LogEntry| entry.records().contains(&self.record);
        directed(model.log.iter().filter(touches).cloned().collect(), self.direction)
    }
}

impl Scan for OriginScan {
    type Item = Authorship;
    type Cursor = OriginCursor;

    fn direction(&self) -> Direction {
        self.direction
    }

    fn page_after(&self, after: Option<OriginCursor>, limit: PageLimit) -> Self {
        Self { after, limit, ..*self }
    }

    async fn read(&self, store: &Store) -> Result<Page<Authorship, OriginCursor>, StoreError> {
        store.scan_origin(self).await
    }

    fn cursor(item: &Authorship) -> OriginCursor {
        (item.sequence, item.digest)
    }

    fn expected(&self, model: &Model) -> Vec<Authorship> {
        let mut authored: Vec<_> = model
            .log
            .iter()
            .filter(|entry| entry.changeset.header().origin == self.origin)
            .map(|entry| Authorship {
                sequence: entry.changeset.header().sequence,
                digest: entry.changeset.digest(),
                position: entry.position,
            })
            .collect();
        authored.sort_unstable_by_key(Self::cursor);
        directed(authored, self.direction)
    }
}

impl Scan for ResolutionScan {
    type Item = Resolution;
    type Cursor = ResolutionCursor;

    fn page_after(&self, after: Option<ResolutionCursor>, limit: PageLimit) -> Self {
        Self { after, limit, ..*self }
    }

    async fn read(&self, store: &Store) -> Result<Page<Resolution, ResolutionCursor>, StoreError> {
        store.scan_resolutions(self).await
    }

    fn cursor(item: &Resolution) -> ResolutionCursor {
        (item.conflict(), item.changeset)
    }

    fn expected(&self, model: &Model) -> Vec<Resolution> {
        let wanted =
            |vote: &&Resolution| self.conflict.is_none_or(|wanted| vote.conflict() == wanted);
        model.resolutions.values().filter(wanted).cloned().collect()
    }
}

impl Scan for MetadataScan {
    type Item = (MetadataKey, Vec<u8>);
    type Cursor = MetadataKey;

    fn page_after(&self, after: Option<MetadataKey>, limit: PageLimit) -> Self {
        Self { after, limit, ..self.clone() }
    }

    async fn read(
        &self,
        store: &Store,
    ) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError> {
        store.scan_metadata(self).await
    }

    fn cursor(item: &(MetadataKey, Vec<u8>)) -> MetadataKey {
        item.0.clone()
    }

    fn expected(&self, model: &Model) -> Vec<(MetadataKey, Vec<u8>)> {
        let pairs = model.metadata.iter();
        pairs
            .filter(|(key, _)| key.as_str().starts_with(&self.prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

/// One page, which has to be one: not too full, in order, beyond `after`, and with progress.
pub(crate) async fn page<S: Scan>(
    scan: &S,
    store: &Store,
    after: Option<S::Cursor>,
    limit: PageLimit,
) -> Outcome<Page<S::Item, S::Cursor>> {
    let scan = scan.page_after(after.clone(), limit);
    let page = scan.read(store).await?;
    let count = page.items.len();
    ensure!(R4, count <= limit.items, "a page of {scan:?} has {count} items");
    let cursors: Vec<_> = page.items.iter().map(S::cursor).collect();
    for (one, other) in cursors.iter().zip(cursors.iter().skip(1)) {
        ensure!(R3, scan.is_before(one, other), "{other:?} comes after {one:?} in {scan:?}");
    }
    if let (Some(after), Some(first)) = (&after, cursors.first()) {
        let beyond = scan.is_before(after, first);
        ensure!(R4, beyond, "{first:?} is shown beyond {after:?} in {scan:?}");
    }
    if let Some(more) = &page.more {
        let progress = after.as_ref().is_none_or(|after| scan.is_before(after, more));
        ensure!(R4, progress, "{scan:?} goes on at {more:?}, where it was already");
        let covered =
            cursors.last().or(after.as_ref()).is_none_or(|last| !scan.is_before(more, last));
        ensure!(R4, covered, "{scan:?} goes on at {more:?}, before items already shown");
    }
    Ok(page)
}

/// More items than any check makes.
const ENDLESS: usize = 1 << 20;

/// All items of a scan, page by page; every page has to be read at one and the same head. A scan
/// that takes more than `most` pages with nothing on them is taken to have no end.
pub(crate) async fn walk<S: Scan>(
    scan: &S,
    store: &Store,
    limit: PageLimit,
    most: usize,
) -> Outcome<Vec<S::Item>> {
    walk_from(scan, store, None, limit, most).await
}

/// As [`walk`], from a cursor on.
pub(crate) async fn walk_from<S: Scan>(
    scan: &S,
    store: &Store,
    mut after: Option<S::Cursor>,
    limit: PageLimit,
    most: usize,
) -> Outcome<Vec<S::Item>> {
    let mut items = Vec::new();
    let mut head = None;
    let mut empty = 0;
    while empty <= most && items.len() < ENDLESS {
        let page = page(scan, store, after, limit).await?;
        ensure_eq!(R1, page.at, *head.get_or_insert(page.at), "the head of a page of {scan:?}");
        empty += usize::from(page.items.is_empty());
        items.extend(page.items);
        after = page.more;
        if after.is_none() {
            return Ok(items);
        }
    }
    ensure!(R4, false, "{scan:?} has not ended after {empty} pages with nothing on them");
    Ok(items)
}

/// Runs a block for every scan of a model, of every kind and direction.
macro_rules! every_scan {
    ($model:expr, |$scan:ident| $body:block) => {{
        for $scan in &$model.record_scans() $body
        for $scan in &$crate::fixtures::Model::log_scans() $body
        for $scan in &$model.history_scans() $body
        for $scan in &$model.origin_scans() $body
        for $scan in &$model.resolution_scans() $body
        for $scan in &$model.metadata_scans() $body
    }};
}

pub(crate) use every_scan;
