//! How much a page holds, and how much it looks at.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;

use futures_lite::future::block_on;
use prophet_kv::{EntriesInMap, Reads, writes};
use prophet_store::{
    Commit, CommitId, Digest, Head, MetadataKey, MetadataScan, PageLimit, Position, RecordId,
    RecordKey, RecordScan, RecordState, RecordType, Register, Timestamp, Value, Write,
};

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

#[test]
fn a_page_that_leaves_out_many_records_ends_with_a_cursor() {
    let kind = RecordType::new("bug").unwrap();
    let record = |number: u128| {
        let write = |value: Value| {
            Register::new(vec![Write::new(Digest::of(b"1"), Timestamp::new(1, 0), Some(value))])
        };
        let key = RecordKey::new(kind.clone(), RecordId::from_bytes(number.to_be_bytes()));
        let value = Value::from(i32::from(number == 10_400));
        let properties = [("a".try_into().unwrap(), write(value))].into();
        let existence = write(Value::from(true));
        RecordState::from_registers(key, Position::new(1), existence, properties).unwrap()
    };
    let mut map: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut list = Vec::new();
    (0..10_500).for_each(|number| writes::record(&mut list, &record(number)));
    map.extend(list.into_iter().filter_map(|(key, value)| Some((key, value?))));
    let reads = Reads::new("a map", Head::EMPTY, &map, ());
    let hint = Some(prophet_store::property("a").unwrap().eq(1));
    let mut scan = RecordScan { hint, ..RecordScan::default() };
    let page = block_on(reads.scan_records(&scan)).unwrap();
    assert!(page.items.is_empty());
    scan.after = page.more;
    assert_eq!(scan.after, Some(record(9_999).key().clone()));
    let page = block_on(reads.scan_records(&scan)).unwrap();
    assert_eq!((page.items, page.more), (vec![record(10_400)], None));
}
