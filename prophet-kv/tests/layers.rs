//! Sorted tables whose reads take their time, as those of a bucket do, are a map too, and what reads
//! them can be sent to other threads.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::future::Future;
use std::io;
use std::pin::Pin;

use futures_lite::future::{block_on, yield_now};
use prophet_kv::{Found, Map, Reads, Scan, writes};
use prophet_store::{
    Commit, CommitId, Direction, Head, MetadataKey, MetadataScan, Page, StoreError,
};
use prophet_tables::{BlockCache, KeyRange, Layers, ReadAt, Table, TableWriter};

/// Bytes that are somewhere else.
#[derive(Debug)]
struct Far(Vec<u8>);

impl ReadAt for Far {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        yield_now().await;
        let from = usize::try_from(offset).unwrap();
        Ok(self.0.get(from..from + len).unwrap().to_vec())
    }
}

#[derive(Clone, Copy)]
struct View<'a> {
    cache: &'a BlockCache,
    table: &'a Table<Far>,
}

struct Cursor<'a>(prophet_tables::Scan<'a, Far>);

fn damaged(error: prophet_tables::TableError) -> StoreError {
    StoreError::corrupt("a table", error.to_string())
}

impl<'a> Map for View<'a> {
    type Scan = Cursor<'a>;

    async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Layers::new(self.cache).with_table(self.table).get(key).await.map_err(damaged)
    }

    fn scan(&self, range: KeyRange, direction: Direction) -> Cursor<'a> {
        Cursor(Layers::new(self.cache).with_table(self.table).scan(range, direction))
    }
}

impl Scan for Cursor<'_> {
    async fn next(&mut self) -> Result<Option<Found>, StoreError> {
        self.0.next().await.map_err(damaged)
    }
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// As a method of a store answers.
fn scan<'a>(
    reads: &'a Reads<'_, View<'_>>,
    scan: &'a MetadataScan,
) -> Answer<'a, Page<(MetadataKey, Vec<u8>), MetadataKey>> {
    Box::pin(async move { reads.scan_metadata(scan).await })
}

#[test]
fn a_page_of_far_tables() {
    let (one, two) = (MetadataKey::new("one").unwrap(), MetadataKey::new("two").unwrap());
    let commit = Commit::new(CommitId::from_bytes([7; 16]), Head::EMPTY)
        .with_metadata(one.clone(), Some(vec![1]))
        .unwrap()
        .with_metadata(two.clone(), Some(vec![2]))
        .unwrap();
    let mut list = Vec::new();
    writes::commit(&mut list, &commit);
    list.sort();
    let mut bytes = Vec::new();
    let mut writer = TableWriter::new(&mut bytes).unwrap();
    for (key, value) in &list {
        writer.add(key, value.as_deref()).unwrap();
    }
    writer.finish().unwrap();
    block_on(async {
        let len = bytes.len() as u64;
        let table = Table::open(Far(bytes), len, "a table".into()).await.unwrap();
        let cache = BlockCache::new(0);
        let view = View { cache: &cache, table: &table };
        let reads = Reads::new("a table", commit.head(), view, ());
        let page = scan(&reads, &MetadataScan::default()).await.unwrap();
        assert_eq!(page.items, [(one, vec![1]), (two, vec![2])]);
        assert_eq!(page.at, commit.head());
        assert_eq!(reads.judge(&commit, |_| true).await.unwrap(), Some(commit.head()));
    });
}
