//! What an item weighs in a page: its bytes, and something for itself.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;

use futures_lite::future::block_on;
use prophet_kv::{EntriesInMap, Reads, writes};
use prophet_store::{Commit, CommitId, Head, MetadataKey, MetadataScan, PageLimit};

#[test]
fn short_values_fill_a_page_too_and_are_not_taken_for_long_ones() {
    let mut map: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut commit = Commit::new(CommitId::from_bytes([7; 16]), Head::EMPTY);
    for (number, len) in [0, 100].into_iter().cycle().take(200).enumerate() {
        let prefix = if len == 0 { "empty" } else { "short" };
        let key = MetadataKey::new(format!("{prefix}/{number:03}")).unwrap();
        commit = commit.with_metadata(key, Some(vec![1; len])).unwrap();
    }
    let mut list = Vec::new();
    writes::commit(&mut list, &commit);
    map.extend(list.into_iter().filter_map(|(key, value)| Some((key, value?))));
    let reads = Reads::new("a map", commit.head(), &map, EntriesInMap::new("a map", &map));
    let count = |prefix: &str| {
        let limit = PageLimit { items: 1_000, bytes: 4_000 };
        let scan = MetadataScan { prefix: prefix.to_owned(), after: None, limit };
        block_on(reads.scan_metadata(&scan)).unwrap().items.len()
    };
    let (empty, short) = (count("empty/"), count("short/"));
    assert!((10..100).contains(&empty), "{empty}");
    assert!((10..=40).contains(&short), "{short}");
}
