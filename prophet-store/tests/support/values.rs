//! Strategies for names and values.

use prophet_store::{Real, RecordId, RecordKey, RecordType, Value};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

pub(crate) fn record_id() -> impl Strategy<Value = RecordId> {
    any::<[u8; 16]>().prop_map(RecordId::from_bytes)
}

pub(crate) fn record_key() -> impl Strategy<Value = RecordKey> {
    ("[a-z_/$é]{1,4}", record_id())
        .prop_map(|(record_type, id)| RecordKey::new(RecordType::new(record_type).unwrap(), id))
}

pub(crate) fn real() -> impl Strategy<Value = Real> {
    any::<f64>().prop_filter_map("finite", Real::new)
}

fn map_key() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,3}",
        any::<String>(),
        Just("$bytes".to_owned()),
        Just("$reference".to_owned()),
        Just("$map".to_owned()),
        "\\$[a-z]{0,2}",
    ]
}

pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-300_i64..300).prop_map(Value::from),
        real().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        vec(any::<u8>(), 0..20).prop_map(Value::from),
        record_key().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(map_key(), inner, 0..4).prop_map(Value::from),
        ]
    })
}
