//! Layers behave as one map does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::ops::Bound;

use futures_lite::future::block_on;
use prophet_store::Direction;
use prophet_tables::{BlockCache, KeyRange, Layers, Memory, Table, TableWriter, merge_tables};
use proptest::prelude::*;

type Items = Vec<(Vec<u8>, Vec<u8>)>;
type Bytes = Vec<u8>;

fn table_of(layer: &Memory) -> Table<Bytes> {
    let mut bytes = Bytes::new();
    let mut writer = TableWriter::new(&mut bytes).unwrap();
    for (key, value) in layer {
        writer.add(key, value.as_deref()).unwrap();
    }
    let summary = writer.finish().unwrap();
    assert_eq!(summary.bytes, bytes.len() as u64);
    assert_eq!(summary.entries, layer.len() as u64);
    open(bytes)
}

fn open(bytes: Bytes) -> Table<Bytes> {
    let len = bytes.len() as u64;
    let table = block_on(Table::open(bytes, len, "a table".into())).unwrap();
    block_on(table.verify()).unwrap();
    table
}

fn key() -> impl Strategy<Value = Bytes> {
    let byte = prop_oneof![Just(0), Just(b'a'), Just(0xFF)];
    let long = (any::<u8>(), any::<u8>()).prop_map(|(a, b)| {
        let mut key = vec![b'k'; 40];
        key.extend([a, b]);
        key
    });
    prop_oneof![3 => prop::collection::vec(byte, 0..4), 3 => long, 2 => together()]
}

/// Keys as those of histories, origins and votes, and of the records that histories are of: a filter knows
/// them by what is read together. Some end too early, or have an end of a text that is none.
fn together() -> impl Strategy<Value = Bytes> {
    let text = prop_oneof![
        6 => Just(&b"a\x00\x01"[..]),
        2 => Just(&b"a\x00\xFFb\x00\x01"[..]),
        1 => Just(&b"\x00\x01"[..]),
        1 => Just(&b"a\x00\x02"[..])
    ];
    let id = prop_oneof![4 => Just(16), 4 => Just(32), 1 => 0..20_usize];
    let space = prop::sample::select(&b"rhhhovv"[..]);
    let rest = prop::collection::vec(prop_oneof![Just(0), Just(1), Just(0xFF)], 0..3);
    (space, text, id, prop_oneof![Just(7), Just(0xFF)], rest).prop_map(
        |(space, text, id, byte, rest)| {
            let text = if matches!(space, b'r' | b'h') { text } else { &[] };
            [&[space], text, &vec![byte; id], &rest].concat()
        },
    )
}

/// Long enough, some of them, that a layer has several blocks.
fn value() -> impl Strategy<Value = Option<Bytes>> {
    let length = prop_oneof![8 => 0..10_usize, 2 => 500..3000_usize, 1 => 8000..20_000_usize];
    let value = (length, any::<u8>(), any::<bool>()).prop_map(|(length, seed, noise)| {
        let noise = usize::from(noise) * 0x9E37_79B1;
        (0..length).map(|n| seed ^ (n.wrapping_mul(noise) >> 13) as u8).collect::<Bytes>()
    });
    prop::option::weighted(0.75, value)
}

fn layers() -> impl Strategy<Value = Vec<Memory>> {
    prop::collection::vec(prop::collection::btree_map(key(), value(), 0..60), 0..5)
}

fn bound() -> impl Strategy<Value = Bound<Bytes>> {
    prop_oneof![
        Just(Bound::Unbounded),
        key().prop_map(Bound::Included),
        key().prop_map(Bound::Excluded),
    ]
}

fn range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        (bound(), bound()).prop_map(|(start, end)| KeyRange { start, end }),
        key().prop_map(|prefix| KeyRange::prefix(&prefix)),
    ]
}

fn expected(model: &BTreeMap<Bytes, Bytes>, range: &KeyRange, direction: Direction) -> Items {
    let inside = model.iter().filter(|(key, _)| range.contains(key));
    let mut found: Vec<_> = inside.map(|(key, value)| (key.clone(), value.clone())).collect();
    if direction == Direction::Backward {
        found.reverse();
    }
    found
}

fn scan(layers: &Layers<'_, Bytes>, range: KeyRange, direction: Direction, most: usize) -> Items {
    block_on(async {
        let mut scan = layers.scan(range, direction);
        let mut found = Vec::new();
        while found.len() < most
            && let Some(item) = scan.next().await.unwrap()
        {
            found.push(item);
        }
        found
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn layers_are_one_map(
        contents in layers(),
        in_memory in 0..3_usize,
        ranges in prop::collection::vec(range(), 1..6),
        keys in prop::collection::vec(key(), 0..20),
        page in 1..10_usize,
        limit in prop_oneof![Just(0), Just(20_000), Just(1 << 20)],
    ) {
        let mut model = BTreeMap::new();
        for layer in contents.iter().rev() {
            for (key, value) in layer {
                match value {
                    Some(value) => model.insert(key.clone(), value.clone()),
                    None => model.remove(key),
                };
            }
        }
        let cache = BlockCache::new(limit);
        let (memory, older) = contents.split_at(in_memory.min(contents.len()));
        let tables: Vec<_> = older.iter().map(table_of).collect();
        let mut layers = Layers::new(&cache).with_tables(&[]);
        for memory in memory {
            layers = layers.with_memory(memory);
        }
        let layers = layers.with_tables(&tables);

        for key in model.keys().chain(&keys).chain(contents.iter().flat_map(BTreeMap::keys)) {
            prop_assert_eq!(&block_on(layers.get(key)).unwrap(), &model.get(key).cloned());
        }
        for range in ranges {
            prop_assert!(!range.is_empty() || model.keys().all(|key| !range.contains(key)));
            for direction in [Direction::Forward, Direction::Backward] {
                let expected = expected(&model, &range, direction);
                prop_assert_eq!(&scan(&layers, range.clone(), direction, usize::MAX), &expected);
                let (mut pages, mut rest) = (Vec::new(), range.clone());
                loop {
                    let items = scan(&layers, rest.clone(), direction, page);
                    let Some((last, _)) = items.last() else { break };
                    rest = rest.after(last, direction);
                    pages.extend(items);
                }
                prop_assert_eq!(pages, expected);
            }
        }
        prop_assert!(cache.bytes() <= limit);
    }

    #[test]
    fn ranges_have_what_they_say(range in range(), key in key(), cursor in key()) {
        prop_assert_eq!(KeyRange::prefix(&cursor).contains(&key), key.starts_with(&cursor));
        prop_assert!(KeyRange::all().contains(&key));
        prop_assert!(!range.is_empty() || !range.contains(&key));
        let forward = range.clone().after(&cursor, Direction::Forward);
        prop_assert_eq!(forward.contains(&key), range.contains(&key) && key > cursor);
        let backward = range.clone().after(&cursor, Direction::Backward);
        prop_assert_eq!(backward.contains(&key), range.contains(&key) && key < cursor);
    }

    #[test]
    fn a_merge_stands_for_its_tables(
        contents in layers(),
        oldest in prop::collection::btree_map(key(), value(), 0..30),
        bottom in any::<bool>(),
        unwanted in any::<u8>(),
    ) {
        let tables: Vec<_> = contents.iter().map(table_of).collect();
        let keep = |key: &[u8]| key.last() != Some(&unwanted);
        let mut bytes = Bytes::new();
        let mut writer = TableWriter::new(&mut bytes).unwrap();
        block_on(merge_tables(&tables, &mut writer, bottom, keep)).unwrap();
        writer.finish().unwrap();
        let merged = open(bytes);

        let mut model = Memory::new();
        for layer in contents.iter().rev() {
            model.extend(layer.clone());
        }
        model.retain(|key, value| keep(key) && (value.is_some() || !bottom));
        prop_assert_eq!(merged.entries(), model.len() as u64);
        let cache = BlockCache::new(1 << 20);
        for (key, value) in &model {
            prop_assert_eq!(block_on(merged.get(key, &cache)).unwrap(), Some(value.clone()));
        }
        let mut cursor = merged.seek(KeyRange::all(), Direction::Forward, &cache);
        let mut entries = Memory::new();
        while let Some(entry) = block_on(cursor.next()).unwrap() {
            entries.insert(entry.key, entry.value);
        }
        prop_assert_eq!(&entries, &model);

        // Over an older layer the merge hides what its tables hid.
        if !bottom {
            let layers = Layers::new(&cache).with_table(&merged).with_memory(&oldest);
            let mut all = oldest.clone();
            all.extend(model);
            for (key, value) in &all {
                prop_assert_eq!(&block_on(layers.get(key)).unwrap(), value);
            }
        }
    }
}

#[test]
fn a_range_may_be_of_one_key() {
    let one = |start: Bound<Bytes>, end: Bound<Bytes>| KeyRange { start, end };
    let key = b"a".to_vec();
    let just = one(Bound::Included(key.clone()), Bound::Included(key.clone()));
    assert!(!just.is_empty() && just.contains(&key));
    for range in [
        one(Bound::Included(key.clone()), Bound::Excluded(key.clone())),
        one(Bound::Excluded(key.clone()), Bound::Included(key.clone())),
        one(Bound::Excluded(key.clone()), Bound::Excluded(key.clone())),
    ] {
        assert!(range.is_empty() && !range.contains(&key), "{range:?}");
    }
}
