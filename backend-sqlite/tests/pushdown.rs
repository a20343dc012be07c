//! What SQLite leaves out of a scan: never a record that satisfies the hint.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod common;

use std::collections::BTreeMap;

use backend_sqlite::SqliteStore;
use common::{apply, commit_id, identity, key, place, record};
use futures_lite::future::block_on;
use prophet_store::{
    Commit, Comparison, Head, MemoryStore, PageLimit, Pattern, Predicate, PropertyName, Real,
    RecordKey, RecordScan, RecordState, ReplicaStore, Value,
};
use proptest::prelude::*;

fn name() -> impl Strategy<Value = PropertyName> {
    prop_oneof![
        4 => prop::sample::select(vec!["a", "b"]),
        1 => prop::sample::select(vec![
            "a.b", "$", "a[0]", "quo\"te", "back\\slash", "ünï", "a b", "'", "\\", "\"", "[0]", "#-1",
            "\u{2028}", "🦀"
        ]),
    ]
    .prop_map(|name| PropertyName::new(name).unwrap())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "",
            "a",
            "ab",
            "A",
            "b",
            "\0",
            "a\0",
            "a\0b",
            "\0a",
            "%",
            "_",
            "*",
            "\"",
            "\\",
            "\n",
            "ä",
            "äb",
            "🦀",
            "🦀b",
            "\u{FFFF}",
            "\u{10FFFF}",
            "\u{7F}",
            "1",
            "1.0",
            "true",
            "$a",
            "{}",
            "[1]",
            "null",
            "\u{FEFF}a",
            "a ",
            "\u{1F}",
            "/",
        ])
        .prop_map(str::to_owned),
        "[ab\0]{0,4}",
    ]
}

fn real() -> impl Strategy<Value = f64> {
    let two_63 = 9_223_372_036_854_775_808.0;
    prop_oneof![
        prop::sample::select(vec![
            0.0,
            1.0,
            -1.0,
            0.1,
            0.2,
            0.1 + 0.2,
            0.3,
            1.5,
            1e15,
            1e16,
            1e22,
            1e23,
            1e300,
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            5e-324,
            -5e-324,
            f64::EPSILON,
            two_63,
            -two_63,
            9_007_199_254_740_992.0,
            9_007_199_254_740_993.0,
            1.0 / 3.0,
            123_456.789e-200,
        ]),
        prop::num::f64::NORMAL,
        prop::num::f64::NORMAL.prop_map(|number| number % 4.0),
    ]
}

fn integer() -> impl Strategy<Value = i64> {
    prop_oneof![
        prop::sample::select(vec![
            0,
            1,
            -1,
            2,
            3,
            i64::MAX,
            i64::MIN,
            i64::MAX - 1,
            i64::MIN + 1,
            (1 << 53) + 1,
            1 << 53,
        ]),
        any::<i64>(),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        integer().prop_map(Value::Integer),
        real().prop_map(|number| Value::Real(Real::new(number).unwrap())),
        text().prop_map(Value::Text),
        prop::collection::vec(any::<u8>(), 0..3).prop_map(Value::Bytes),
        (0..2_u128).prop_map(|number| Value::Reference(key("bug", number))),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::List),
            prop::collection::btree_map(
                prop_oneof![text(), Just("$reference".to_owned()), Just("$bytes".to_owned())],
                inner,
                0..3
            )
            .prop_map(Value::Map),
        ]
    })
}

fn comparison() -> impl Strategy<Value = Comparison> {
    use Comparison::{Eq, Ge, Gt, Le, Lt, Ne};
    prop::sample::select(vec![Eq, Ne, Lt, Le, Gt, Ge])
}

/// A predicate that now and then speaks of values that are there.
fn predicate(present: Vec<Value>) -> impl Strategy<Value = Predicate> {
    let value = move || match present.is_empty() {
        true => value().boxed(),
        false => prop_oneof![value(), prop::sample::select(present.clone())].boxed(),
    };
    let leaf = prop_oneof![
        1 => Just(Predicate::All),
        6 => (name(), comparison(), value())
            .prop_map(|(property, is, value)| Predicate::Compare { property, is, value }),
        2 => (name(), prop::collection::vec(value(), 0..4))
            .prop_map(|(property, values)| Predicate::In { property, values }),
        1 => name().prop_map(Predicate::Exists),
        2 => (name(), value()).prop_map(|(property, value)| Predicate::Contains { property, value }),
        2 => (name(), text()).prop_map(|(property, prefix)| Predicate::StartsWith { property, prefix }),
        1 => name().prop_map(|property| {
            Predicate::Matches { property, pattern: Pattern::new("^a").unwrap() }
        }),
    ];
    leaf.prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Predicate::And),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Predicate::Or),
            inner.prop_map(|inner| Predicate::Not(Box::new(inner))),
        ]
    })
}

fn records() -> impl Strategy<Value = Vec<RecordState>> {
    let properties = prop::collection::btree_map(name(), value(), 0..4);
    let one =
        (prop::sample::select(vec!["bug", "a", "bug2"]), 0..9_u128, any::<bool>(), properties);
    prop::collection::vec(one, 1..12).prop_map(|records| {
        let by_key: BTreeMap<RecordKey, RecordState> = records
            .into_iter()
            .map(|(record_type, number, alive, properties)| {
                let key = key(record_type, number);
                (key.clone(), record(&key, alive || number.is_multiple_of(2), properties))
            })
            .collect();
        by_key.into_values().collect()
    })
}

fn records_and_predicates() -> impl Strategy<Value = (Vec<RecordState>, Vec<Predicate>)> {
    records().prop_flat_map(|records| {
        let present =
            records.iter().flat_map(|record| record.visible().into_values()).collect::<Vec<_>>();
        (Just(records), prop::collection::vec(predicate(present), 20))
    })
}

fn put(store: &dyn ReplicaStore, records: &[RecordState]) {
    let mut commit = Commit::new(commit_id(1), Head::EMPTY);
    for record in records {
        commit = commit.with_record(record.clone()).unwrap();
    }
    apply(store, &commit).unwrap();
}

/// Everything a scan gives, in pages of two.
fn scan(store: &dyn ReplicaStore, hint: Option<&Predicate>) -> Vec<RecordState> {
    let mut scan =
        RecordScan { hint: hint.cloned(), limit: PageLimit::items(2), ..RecordScan::default() };
    let mut found = Vec::new();
    loop {
        let page = block_on(store.scan_records(&scan)).unwrap();
        assert!(page.items.len() <= 2);
        found.extend(page.items);
        match page.more {
            Some(more) => scan.after = Some(more),
            None => return found,
        }
    }
}

fn satisfies(record: &RecordState, predicate: &Predicate) -> bool {
    predicate.holds(&|name| record.visible_property(name.as_str()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_hint_leaves_out_no_record_that_satisfies_it((records, predicates) in records_and_predicates()) {
        let (_directory, path) = place();
        let store = SqliteStore::create(&path, identity()).unwrap();
        let memory = MemoryStore::new(identity());
        put(&store, &records);
        put(&memory, &records);
        prop_assert_eq!(scan(&store, None), scan(&memory, None));
        for predicate in predicates {
            let matching = |store: &dyn ReplicaStore| -> Vec<RecordState> {
                let mut found = scan(store, Some(&predicate));
                found.retain(|record| satisfies(record, &predicate));
                found
            };
            prop_assert_eq!(matching(&store), matching(&memory), "{:?}", predicate);
        }
    }
}

fn store_of(records: &[RecordState]) -> (tempfile::TempDir, SqliteStore) {
    let (directory, path) = place();
    let store = SqliteStore::create(&path, identity()).unwrap();
    put(&store, records);
    (directory, store)
}

fn numbered(values: impl IntoIterator<Item = Value>) -> Vec<RecordState> {
    let name = PropertyName::new("a").unwrap();
    let records = values.into_iter().zip(0_u128..);
    records
        .map(|(value, number)| record(&key("bug", number), true, [(name.clone(), value)]))
        .collect()
}

#[test]
fn a_hint_does_leave_out_what_sqlite_can_judge() {
    let records = numbered((0..100).map(Value::from));
    let (_directory, store) = store_of(&records);
    let property = || prophet_store::property("a").unwrap();
    for (predicate, expected) in [
        (property().eq(7), 1),
        (property().lt(10), 10),
        (!property().lt(10), 90),
        (property().is_in([1, 2, 300]), 2),
        (property().eq(7).or(property().ge(98)), 3),
        (!property().exists(), 0),
        (property().starts_with("7"), 0),
        (property().eq(7).or(property().matches("x").unwrap()), 1),
    ] {
        assert_eq!(scan(&store, Some(&predicate)).len(), expected, "{predicate:?}");
    }
}

#[test]
fn predicates_too_large_for_sqlite_are_left_to_the_reader() {
    let records = numbered((0..20).map(Value::from));
    let (_directory, store) = store_of(&records);
    let property = || prophet_store::property("a").unwrap();
    let many = property().is_in(0..50_000);
    let deep = (0..200).fold(property().eq(7), |inner, _| !inner);
    let wide = Predicate::Or((0..5_000).map(|n| property().eq(n)).collect());
    let long = property().eq("x".repeat(10_000_000));
    for predicate in [many, deep, wide, !long] {
        let mut found = scan(&store, Some(&predicate));
        found.retain(|record| satisfies(record, &predicate));
        let expected: Vec<_> =
            records.iter().filter(|record| satisfies(record, &predicate)).cloned().collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn a_record_whose_json_is_too_long_to_keep_is_found_all_the_same() {
    let records = numbered([Value::from("x".repeat(2 << 20)), Value::from("y")]);
    let (_directory, store) = store_of(&records);
    let predicate = prophet_store::property("a").unwrap().starts_with("xx");
    assert_eq!(scan(&store, Some(&predicate)), records[..1]);
    assert!(block_on(store.verify()).unwrap().is_sound());
}

#[test]
fn a_page_that_looked_at_enough_rows_ends_with_a_cursor() {
    let records = numbered((0..10_500).map(|n| Value::from(i32::from(n == 10_400))));
    let (_directory, store) = store_of(&records);
    let hint = Some(prophet_store::property("a").unwrap().eq(1));
    let mut wanted = RecordScan { hint, ..RecordScan::default() };
    let page = block_on(store.scan_records(&wanted)).unwrap();
    assert!(page.items.is_empty());
    wanted.after = page.more;
    assert!(wanted.after.is_some());
    let page = block_on(store.scan_records(&wanted)).unwrap();
    assert_eq!((page.items, page.more), (records[10_400..=10_400].to_vec(), None));
}
