//! The index: everything that is found by a key, in layers, the newest first.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;

use futures_lite::future::block_on;
use prophet_kv::{Found, Map};
use prophet_store::{Direction, StoreError};
use prophet_tables::{BlockCache, KeyRange, Layers, ReadAt, Scan, Table};

use crate::disk::DiskFile;
use crate::error;

/// Keys with their values; `None` for one that is gone.
pub(crate) type Layer = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Blocks of tables are kept at hand up to so many bytes.
const CACHE_BYTES: usize = 8 << 20;

/// An open file, as tables are read from it.
#[derive(Debug, Clone)]
pub(crate) struct FileAt(pub(crate) Arc<dyn DiskFile>);

impl ReadAt for FileAt {
    fn read_at(&self, offset: u64, len: usize) -> impl Future<Output = io::Result<Vec<u8>>> + Send {
        std::future::ready(self.0.read_at(offset, len))
    }
}

/// The tables, the newest first.
#[derive(Clone)]
pub(crate) struct Index {
    pub(crate) tables: Vec<IndexTable>,
    pub(crate) cache: Arc<BlockCache>,
}

/// The table of some sealed segments.
#[derive(Clone)]
pub(crate) struct IndexTable {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) table: Arc<Table<FileAt>>,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.tables.iter().map(|table| (table.first, table.last))).finish()
    }
}

impl Index {
    pub(crate) fn new() -> Self {
        Self { tables: Vec::new(), cache: Arc::new(BlockCache::new(CACHE_BYTES)) }
    }
}

/// The layers, to be read.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    place: &'a str,
    recent: Option<&'a Layer>,
    index: &'a Index,
}

impl<'a> View<'a> {
    pub(crate) const fn new(place: &'a str, recent: Option<&'a Layer>, index: &'a Index) -> Self {
        Self { place, recent, index }
    }

    fn layers(&self) -> Layers<'a, FileAt> {
        let mut layers = Layers::new(&self.index.cache);
        if let Some(recent) = self.recent {
            layers = layers.with_memory(recent);
        }
        layers.with_tables(self.index.tables.iter().map(|table| &*table.table))
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        // Reading a file is ready at once.
        block_on(Map::get(self, key))
    }

    pub(crate) fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
    ) -> Result<Cursor<'a>, StoreError> {
        Ok(Map::scan(self, range, direction))
    }
}

impl<'a> Map for View<'a> {
    type Scan = Cursor<'a>;

    async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.layers().get(key).await.map_err(error::table(self.place))
    }

    fn scan(&self, range: KeyRange, direction: Direction) -> Cursor<'a> {
        Cursor { place: self.place, scan: self.layers().scan(range, direction) }
    }
}

/// Goes through a range of keys.
pub(crate) struct Cursor<'a> {
    place: &'a str,
    scan: Scan<'a, FileAt>,
}

impl Cursor<'_> {
    pub(crate) fn next(&mut self) -> Result<Option<Found>, StoreError> {
        block_on(prophet_kv::Scan::next(self))
    }
}

impl prophet_kv::Scan for Cursor<'_> {
    async fn next(&mut self) -> Result<Option<Found>, StoreError> {
        self.scan.next().await.map_err(error::table(self.place))
    }
}
