//! All that is found by a key, at one head: the layers of the tail, and the tables below them.

use std::fmt;

use prophet_kv::{Found, Map, Scan};
use prophet_store::{Direction, StoreError};
use prophet_tables::{BlockCache, KeyRange, Layers};

use crate::bucket::Bucket;
use crate::heal::Trouble;
use crate::index::{ObjectAt, open_pack, pack_of, packs, table_error};
use crate::state::State;
use crate::together::together;

/// The layers, to be read.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) bucket: &'a Bucket,
    pub(crate) trouble: &'a Trouble,
    pub(crate) cache: &'a BlockCache,
    pub(crate) state: &'a State,
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("head", &self.state.head).finish_non_exhaustive()
    }
}

impl<'a> View<'a> {
    /// Opens all tables: one request for each pack whose ends are not known here yet, as a rule one in all.
    pub(crate) async fn open(&self) -> Result<(), StoreError> {
        let packs = packs(&self.state.root.tables);
        let open = packs.iter().map(|pack| open_pack(self.bucket, self.trouble, pack));
        together(open).await.into_iter().collect()
    }

    /// The layers, for which all tables have to be open.
    pub(crate) fn layers(&self) -> Layers<'a, ObjectAt> {
        let mut layers = Layers::new(self.cache);
        for memory in &self.state.layers {
            layers = layers.with_memory(memory);
        }
        layers.with_tables(self.state.root.tables.iter().filter_map(|table| table.get()))
    }
}

impl<'a> Map for View<'a> {
    type Scan = Walk<'a>;

    /// Looks at what is newest first, and opens a table only if no newer one has the key.
    async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        for memory in &self.state.layers {
            if let Some(known) = memory.get(key) {
                return Ok(known.clone());
            }
        }
        let tables = &self.state.root.tables;
        for table in tables {
            if table.get().is_none() {
                open_pack(self.bucket, self.trouble, &pack_of(tables, table)).await?;
            }
            let Some(table) = table.get() else { continue };
            let known = table.get(key, self.cache).await;
            let known = known.map_err(|error| table_error(table.place(), self.trouble, error))?;
            if let Some(value) = known {
                return Ok(value);
            }
        }
        Ok(None)
    }

    fn scan(&self, range: KeyRange, direction: Direction) -> Self::Scan {
        Walk { view: *self, range, direction, scan: None }
    }
}

/// Goes through a range of keys.
pub(crate) struct Walk<'a> {
    view: View<'a>,
    range: KeyRange,
    direction: Direction,
    scan: Option<prophet_tables::Scan<'a, ObjectAt>>,
}

impl fmt::Debug for Walk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk").field("range", &self.range).finish_non_exhaustive()
    }
}

impl Scan for Walk<'_> {
    async fn next(&mut self) -> Result<Option<Found>, StoreError> {
        if self.scan.is_none() {
            self.view.open().await?;
        }
        let view = self.view;
        let (range, direction) = (&self.range, self.direction);
        let scan = self.scan.get_or_insert_with(|| view.layers().scan(range.clone(), direction));
        let place = &*view.bucket.place;
        scan.next().await.map_err(|error| table_error(place, view.trouble, error))
    }
}
