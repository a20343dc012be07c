//! Typed records: nothing is lost between an app's types and properties, and what would be lost
//! is refused by name.

#![allow(clippy::unwrap_used, reason = "this is a test")]
#![allow(clippy::exhaustive_structs, clippy::exhaustive_enums, reason = "this is a test")]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::net::IpAddr;

use prophet_store::{
    ConflictId, Digest, Properties, PropertyName, Real, RecordId, RecordKey, ReplicaId, Value,
    from_properties, from_value, limits, to_value,
};
use proptest::collection::{btree_map, hash_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

mod support {
    pub(crate) mod values;
}
use support::values::{real, record_id, record_key, value};

/// Bytes as serde has them, unlike `Vec<u8>`, which is a list of integers.
#[derive(Debug, Clone, PartialEq)]
struct Blob(Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BlobVisitor;
        impl serde::de::Visitor<'_> for BlobVisitor {
            type Value = Blob;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(BlobVisitor)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Numbers {
    i8: i8,
    u16: u16,
    i64: i64,
    u64: u64,
    i128: i128,
    f32: f32,
    f64: f64,
    counts: HashMap<u32, bool>,
    flags: BTreeMap<bool, char>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Meters(f64);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Shape {
    EmptySpace,
    Round(Meters),
    Pair(i32, String),
    Named { width: i32, note: Option<String> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    Link { to: RecordKey, label: Option<String> },
    Data { value: Value },
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Link(RecordKey),
    Pair(bool, Blob),
    Rest(BTreeMap<String, Value>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Nested {
    #[serde(rename = "$odd name")]
    odd: Option<Value>,
    shapes: Vec<Shape>,
    by_record: BTreeMap<RecordKey, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ids: Vec<RecordId>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Rich {
    title: String,
    #[serde(rename = "renamed")]
    initial: Option<char>,
    numbers: Numbers,
    nested: Option<Nested>,
    any: Value,
    anything: Vec<Value>,
    owner: RecordKey,
    host: IpAddr,
    tagged: Tagged,
    untagged: Vec<Untagged>,
    blob: Blob,
    #[serde(skip)]
    skipped: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

fn numbers() -> impl Strategy<Value = Numbers> {
    let int128 = any::<i64>().prop_map(i128::from);
    let single = any::<f32>().prop_filter("finite", |number| number.is_finite());
    let positive = 0..=i64::MAX.cast_unsigned();
    (
        (any::<i8>(), any::<u16>(), any::<i64>(), positive, int128),
        (single, real(), hash_map(any::<u32>(), any::<bool>(), 0..4)),
        btree_map(any::<bool>(), any::<char>(), 0..3),
    )
        .prop_map(|((i8, u16, i64, u64, i128), (f32, f64, counts), flags)| Numbers {
            i8,
            u16,
            i64,
            u64,
            i128,
            f32,
            f64: f64.get(),
            counts,
            flags,
        })
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::EmptySpace),
        real().prop_map(|number| Shape::Round(Meters(number.get()))),
        any::<(i32, String)>().prop_map(|(number, text)| Shape::Pair(number, text)),
        (any::<i32>(), of(any::<String>())).prop_map(|(width, note)| Shape::Named { width, note }),
    ]
}

fn tagged() -> impl Strategy<Value = Tagged> {
    prop_oneof![
        (record_key(), of(any::<String>())).prop_map(|(to, label)| Tagged::Link { to, label }),
        value().prop_map(|value| Tagged::Data { value }),
        Just(Tagged::Nothing),
    ]
}

fn blob() -> impl Strategy<Value = Blob> {
    vec(any::<u8>(), 0..9).prop_map(Blob)
}

fn untagged() -> impl Strategy<Value = Untagged> {
    prop_oneof![
        any::<i64>().prop_map(Untagged::Number),
        record_key().prop_map(Untagged::Link),
        (any::<bool>(), blob()).prop_map(|(truth, blob)| Untagged::Pair(truth, blob)),
        btree_map("[a-z$]{0,4}|\\$bytes", value(), 0..4).prop_map(Untagged::Rest),
    ]
}

fn nested() -> impl Strategy<Value = Nested> {
    (
        of(value()),
        vec(shape(), 0..4),
        btree_map(record_key(), any::<String>(), 0..3),
        vec(record_id(), 0..3),
    )
        .prop_map(|(odd, shapes, by_record, ids)| Nested { odd, shapes, by_record, ids })
}

fn rich() -> impl Strategy<Value = Rich> {
    (
        (any::<String>(), of(any::<char>()), numbers(), of(nested()), value()),
        (vec(value(), 0..3), record_key(), any::<IpAddr>(), tagged()),
        (vec(untagged(), 0..3), blob(), btree_map("x[a-z]{0,4}|\\$[a-z]{1,3}", value(), 0..3)),
    )
        .prop_map(|(one, two, three)| {
            let (title, initial, numbers, nested, any) = one;
            let (anything, owner, host, tagged) = two;
            let (untagged, blob, rest) = three;
            Rich {
                title,
                initial,
                numbers,
                nested,
                any,
                anything,
                owner,
                host,
                tagged,
                untagged,
                blob,
                skipped: 0,
                rest,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_rich_record_comes_back_as_it_was(record in rich()) {
        let properties = Properties::from_serialize(&record).unwrap();
        prop_assert_eq!(&properties.to::<Rich>().unwrap(), &record);
        let visible: BTreeMap<PropertyName, Value> = properties
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        prop_assert_eq!(&from_properties::<Rich>(visible.iter()).unwrap(), &record);
    }

    #[test]
    fn a_value_as_a_field_is_the_value_itself(value in value()) {
        prop_assert_eq!(&to_value(&value).unwrap(), &value);
        prop_assert_eq!(&from_value::<Value>(&value).unwrap(), &value);
        let wrapped = to_value(&(&value, Some(&value))).unwrap();
        prop_assert_eq!(wrapped, Value::from(vec![value.clone(), value.clone()]));
        if let Value::Map(entries) = &value {
            let named = |key: &String| PropertyName::new(key).is_ok();
            match Properties::from_serialize(&value) {
                Ok(properties) => {
                    prop_assert!(properties.iter().all(|(name, value)| value == entries.get(name.as_str())));
                    prop_assert_eq!(properties.to::<Value>().unwrap(), value);
                }
                Err(_) => prop_assert!(!entries.keys().all(named)),
            }
        }
    }

    #[test]
    fn a_value_comes_back_from_json(value in value()) {
        let text = serde_json::to_string(&value).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Value>(&text).unwrap(), &value);
        let tree = serde_json::to_value(&value).unwrap();
        prop_assert_eq!(&serde_json::from_value::<Value>(tree).unwrap(), &value);
    }

    #[test]
    fn a_record_key_is_text_in_json_and_a_reference_in_a_record(key in record_key()) {
        let json = serde_json::to_value(&key).unwrap();
        prop_assert_eq!(&json, &json!(key.to_string()));
        prop_assert_eq!(&serde_json::from_value::<RecordKey>(json).unwrap(), &key);
        prop_assert_eq!(to_value(&key).unwrap(), Value::Reference(key));
    }
}

fn key() -> RecordKey {
    "bug/018f2d6e-7b1c-7000-8000-000000000001".parse().unwrap()
}

#[track_caller]
fn refused<T: Serialize>(record: &T, path: &str, why: &str) {
    let error = Properties::from_serialize(record).unwrap_err();
    assert_eq!(error.path, path, "{error}");
    assert!(error.why.contains(why), "{error}");
    assert!(error.to_string().starts_with(path), "{error}");
}

#[track_caller]
fn not_read<T: DeserializeOwned + Debug>(properties: serde_json::Value, path: &str, why: &str) {
    let properties: BTreeMap<PropertyName, Value> = serde_json::from_value(properties).unwrap();
    let error = from_properties::<T>(properties.iter()).unwrap_err();
    assert_eq!(error.path, path, "{error}");
    assert!(error.why.contains(why), "{error}");
}

fn under<T>(name: &str, value: T) -> BTreeMap<&str, T> {
    BTreeMap::from([(name, value)])
}

#[test]
fn values_have_the_json_form_that_is_documented() {
    let value = Value::from(BTreeMap::from([
        ("$id".to_owned(), Value::from(1)),
        ("bytes".to_owned(), Value::from(b"hi".as_slice())),
        ("reference".to_owned(), Value::from(key())),
        ("whole".to_owned(), Value::from(Real::new(2.0).unwrap())),
    ]));
    let json = r#"{"$map":{"$id":1,"bytes":{"$bytes":"aGk="},"reference":{"$reference":"bug/018f2d6e-7b1c-7000-8000-000000000001"},"whole":2.0}}"#;
    assert_eq!(serde_json::to_string(&value).unwrap(), json);
    assert_eq!(serde_json::from_str::<Value>(json).unwrap(), value);
    for refused in [
        r#"{"$id":1}"#,
        r#"{"a":1,"$id":1}"#,
        r#"{"$bytes":"aGk=","a":1}"#,
        r#"{"$bytes":"?"}"#,
        r#"{"$reference":"bug"}"#,
        r#"{"a":1,"a":2}"#,
        "[null]",
        "9223372036854775808",
    ] {
        assert!(serde_json::from_str::<Value>(refused).is_err(), "{refused}");
    }
}

fn deep(levels: u64) -> Value {
    (1..levels).fold(Value::from(1), |inner, _| Value::from(vec![inner]))
}

fn deep_tagged(levels: u64) -> Value {
    let inner = Value::from(b"x".as_slice());
    (1..levels).fold(inner, |inner, _| Value::from(BTreeMap::from([("$".to_owned(), inner)])))
}

#[test]
fn the_deepest_value_passes_through_json_and_typed_records_and_a_deeper_one_does_not() {
    for value in [deep(limits::VALUE_DEPTH), deep_tagged(limits::VALUE_DEPTH)] {
        let json = serde_json::to_string(&value).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);
        assert_eq!(to_value(&value).unwrap(), value);
        assert_eq!(from_value::<Value>(&value).unwrap(), value);
        let properties = Properties::from_serialize(&under("$a", &value)).unwrap();
        assert_eq!(properties.get("$a"), Some(&value));
    }
    for value in [deep(limits::VALUE_DEPTH + 1), deep_tagged(limits::VALUE_DEPTH + 1)] {
        let json = serde_json::to_string(&value).unwrap();
        assert!(serde_json::from_str::<Value>(&json).is_err());
        assert!(to_value(&value).unwrap_err().why.contains("nesting"));
        assert!(Properties::from_serialize(&under("a", &value)).is_err());
        assert!(from_value::<Value>(&value).unwrap_err().why.contains("nesting"));
    }
}

#[test]
fn a_structure_of_any_depth_is_refused_before_the_stack_ends() {
    #[derive(Serialize)]
    struct Chain(Option<Box<Chain>>);
    #[derive(Serialize)]
    struct Links {
        next: Option<Box<Links>>,
    }
    #[derive(Serialize)]
    enum Variants {
        Next(Box<Variants>),
        End,
    }
    let chain = (0..2_000).fold(Chain(None), |chain, _| Chain(Some(Box::new(chain))));
    assert!(Properties::from_serialize(&chain).unwrap_err().why.contains("newtypes"));
    assert!(to_value(&chain).unwrap_err().why.contains("newtypes"));
    let links =
        (0..2_000).fold(Links { next: None }, |links, _| Links { next: Some(links.into()) });
    assert!(Properties::from_serialize(&links).unwrap_err().why.contains("nesting"));
    let variants = (0..2_000).fold(Variants::End, |inner, _| Variants::Next(inner.into()));
    assert!(to_value(&variants).unwrap_err().why.contains("nesting"));
}

#[test]
fn what_is_none_is_explicitly_absent_and_a_nested_field_is_left_out() {
    #[derive(Serialize)]
    struct Inner {
        some: Option<u8>,
        none: Option<u8>,
    }
    #[derive(Serialize)]
    struct Outer {
        none: Option<u8>,
        inner: Inner,
    }
    let outer = Outer { none: None, inner: Inner { some: Some(1), none: None } };
    let inner = BTreeMap::from([("some".to_owned(), Value::from(1))]);
    let expected = Properties::new().with("inner", inner).unwrap().absent("none").unwrap();
    assert_eq!(Properties::from_serialize(&outer).unwrap(), expected);
    let map = BTreeMap::from([("none", None), ("some", Some(1))]);
    let expected = Properties::new().with("some", 1).unwrap().absent("none").unwrap();
    assert_eq!(Properties::from_serialize(&map).unwrap(), expected);
    assert!(expected.names("none") && expected.get("none").is_none() && !expected.names("other"));
}

#[test]
fn only_a_struct_or_a_map_is_a_record() {
    refused(&5, "", "found an integer, expected a struct or a map");
    refused(&"text", "", "found a text");
    refused(&vec![under("a", 1)], "", "found a list");
    refused(&(1, 2), "", "found a tuple");
    refused(&None::<u8>, "", "found None");
    refused(&(), "", "found a unit");
    refused(&Shape::EmptySpace, "", "found a variant");
    refused(&Shape::Named { width: 1, note: None }, "", "found a variant");
    refused(&key(), "", "found a reference");
    refused(&Value::from(b"x".as_slice()), "", "found bytes");
    assert!(Properties::from_serialize(&Some(under("a", 1))).is_ok());
    assert!(Properties::from_serialize(&Tagged::Nothing).is_ok());
}

#[test]
fn an_integer_beyond_64_bits_with_sign_is_refused_with_its_path() {
    let most = i64::MAX.cast_unsigned();
    refused(&under("address", under("zip", most + 1)), "address.zip", "9223372036854775808");
    refused(&under("n", u128::MAX), "n", "expected an integer");
    refused(&under("n", i128::from(i64::MIN) - 1), "n", "expected an integer");
    refused(&under("tags", vec![under("n", 1), under("n", u64::MAX)]), "tags[1].n", "text");
    refused(&under("matrix", [[0, 1], [2, u64::MAX]]), "matrix[1][1]", "text");
    let edges = under("n", [i128::from(i64::MIN), i128::from(i64::MAX)]);
    assert!(Properties::from_serialize(&edges).is_ok());
}

#[test]
fn a_number_that_is_not_finite_is_refused() {
    refused(&under("n", f64::NAN), "n", "found NaN, expected a finite number");
    refused(&under("n", [f32::INFINITY]), "n[0]", "found inf");
}

#[test]
fn none_within_a_list_or_a_nested_map_is_refused() {
    refused(&under("list", vec![Some(1), None]), "list[1]", "found None");
    refused(&under("map", under("a", None::<u8>)), "map.a", "found None");
    refused(&under("pair", (1, None::<u8>)), "pair[1]", "found None");
    refused(&under("twice", Some(None::<u8>)), "twice", "found Some(None)");
    #[derive(Serialize)]
    enum Holds {
        One(Option<u8>),
    }
    refused(&under("variant", Holds::One(None)), "variant.One", "found None");
    assert!(to_value(&None::<u8>).is_err());
}

#[test]
fn a_unit_is_refused() {
    #[derive(Serialize)]
    struct Marker;
    refused(&under("a", ()), "a", "found a unit, expected a value");
    refused(&under("a", Marker), "a", "the unit struct Marker");
}

#[test]
fn a_name_that_is_no_property_name_is_refused() {
    refused(&under("", 1), "", "must not be empty");
    refused(&under("a\nb", 1), "a\nb", "control character");
    let long = "x".repeat(256);
    refused(&under(&long, 1), &long, "256 bytes");
    assert!(Properties::new().with("", 1).is_err());
    assert!(Properties::try_from([("", 1)]).is_err());
    assert!(Properties::from_serialize(&under("deep", under("", 1))).is_ok(), "not a property");
}

#[test]
fn a_key_that_is_not_text_is_refused() {
    let lists = BTreeMap::from([(vec![1], 1)]);
    refused(&lists, "", "found a list, expected a key");
    refused(&under("a", BTreeMap::from([(Some(None::<u8>), 1)])), "a", "found None");
    refused(&under("a", BTreeMap::from([((), 1)])), "a", "found a unit");
}

#[test]
fn a_name_given_twice_is_refused() {
    #[derive(Serialize)]
    struct Twice {
        name: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
    }
    let twice = Twice { name: 1, rest: BTreeMap::from([("name".to_owned(), 2)]) };
    refused(&twice, "name", "given twice");
    refused(&under("inner", &twice), "inner.name", "given twice");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Fields {
    int: u8,
    real: f64,
    #[serde(default)]
    text: String,
    list: Option<Vec<Fields>>,
}

#[test]
fn a_missing_field_is_named_unless_it_is_optional_or_has_a_default() {
    not_read::<Fields>(json!({"real": 1.0}), "int", "is absent");
    not_read::<Fields>(
        json!({"int": 1, "real": 1, "list": [{"int": 2}]}),
        "list[0].real",
        "absent",
    );
    let properties = Properties::new().with("int", 1).unwrap().with("real", 2).unwrap();
    let fields: Fields = properties.absent("text").unwrap().absent("list").unwrap().to().unwrap();
    assert_eq!(fields, Fields { int: 1, real: 2.0, text: String::new(), list: None });
}

#[test]
fn an_integer_is_read_as_any_type_that_it_fits() {
    let read = |number: i64| from_value::<u8>(&Value::Integer(number));
    assert_eq!(read(255).unwrap(), 255);
    assert!(read(256).unwrap_err().why.contains("found integer `256`, expected u8"));
    assert!(read(-1).is_err());
    assert_eq!(from_value::<i128>(&Value::Integer(-1)).unwrap(), -1);
    assert_eq!(from_value::<u128>(&Value::Integer(1)).unwrap(), 1);
    assert!(from_value::<u64>(&Value::Integer(-1)).is_err());
    not_read::<Fields>(json!({"int": 300, "real": 1}), "int", "found integer `300`, expected u8");
}

#[test]
fn a_number_is_read_as_another_type_only_if_it_is_the_same_number() {
    let real = |number: f64| Value::try_from(number).unwrap();
    assert_eq!(from_value::<f64>(&Value::Integer(1 << 53)).unwrap(), 2f64.powi(53));
    assert!(from_value::<f64>(&Value::Integer((1 << 53) + 1)).is_err());
    assert!(from_value::<f64>(&Value::Integer(i64::MAX)).is_err());
    assert_eq!(from_value::<f64>(&Value::Integer(i64::MIN)).unwrap(), -(2f64.powi(63)));
    assert_eq!(from_value::<f32>(&real(0.5)).unwrap(), 0.5);
    assert!(from_value::<f32>(&real(0.1)).unwrap_err().why.contains("found floating point `0.1`"));
    assert!(from_value::<f32>(&real(1e300)).is_err());
    not_read::<Fields>(json!({"int": 1.0, "real": 1}), "int", "found floating point `1.0`");
}

#[test]
fn a_value_of_another_kind_is_refused_by_what_was_found_and_what_was_expected() {
    not_read::<Fields>(json!({"int": "1", "real": 1}), "int", "found string \"1\", expected u8");
    not_read::<Fields>(json!({"int": 1, "real": true}), "real", "found boolean `true`, expected");
    not_read::<Fields>(json!({"int": 1, "real": 1, "list": {}}), "list", "found a map, expected");
    not_read::<Fields>(json!({"int": 1, "real": 1, "list": [[1, 1.0]]}), "list[0]", "a list");
    let reference = json!({"$reference": key().to_string()});
    not_read::<Fields>(json!({"int": reference, "real": 1}), "int", "found a reference");
    let text = json!({"int": 1, "real": 1, "text": {"$bytes": ""}});
    not_read::<Fields>(text, "text", "found bytes, expected a string");
    let error = from_value::<RecordKey>(&Value::from(key().to_string())).unwrap_err();
    assert!(error.why.contains("expected a reference to a record"), "{error}");
    assert!(from_value::<String>(&Value::from(key())).is_err());
    assert!(from_value::<(u8, u8)>(&to_value(&[1, 2, 3]).unwrap()).is_err());
    assert!(from_value::<()>(&Value::from(1)).is_err());
    assert!(from_value::<Shape>(&Value::from("round")).is_err());
    assert!(from_value::<Shape>(&to_value(&under("empty-space", 1)).unwrap()).is_err());
    assert!(from_value::<Shape>(&Value::from(1)).unwrap_err().why.contains("variant"));
    assert!(from_value::<Shape>(&Value::from("unknown")).is_err());
}

#[test]
fn a_property_that_no_field_names_is_passed_over_unless_the_type_refuses_it() {
    #[derive(Debug, Deserialize)]
    struct Loose {}
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {}
    let reference = json!({"other": {"$reference": key().to_string()}});
    let properties: BTreeMap<PropertyName, Value> = serde_json::from_value(reference).unwrap();
    assert!(from_properties::<Loose>(properties.iter()).is_ok());
    let error = from_properties::<Strict>(properties.iter()).unwrap_err();
    assert_eq!(error.path, "other");
    assert!(error.why.contains("unknown field"), "{error}");
}

#[test]
fn ids_and_digests_are_text() {
    let digest = Digest::from_bytes([0xab; 32]);
    let conflict = ConflictId::from_bytes([0xcd; 32]);
    let ids = (digest, conflict, key().id(), ReplicaId::from_bytes([7; 16]));
    let value = to_value(&ids).unwrap();
    assert_eq!(value.as_list().unwrap()[0], Value::from(digest.to_string()));
    assert_eq!(from_value::<(Digest, ConflictId, RecordId, ReplicaId)>(&value).unwrap(), ids);
    assert!(from_value::<Digest>(&Value::from("ab")).is_err());
}

#[test]
fn variants_of_every_tagging_come_back() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind", content = "with", rename_all = "snake_case")]
    enum Adjacent {
        Bare,
        One(RecordKey),
        Two(u8, Option<u8>),
    }
    let links = vec![Adjacent::Bare, Adjacent::One(key()), Adjacent::Two(1, Some(2))];
    let properties = Properties::from_serialize(&under("links", &links)).unwrap();
    assert_eq!(properties.to::<BTreeMap<String, Vec<Adjacent>>>().unwrap()["links"], links);
    let link = Tagged::Link { to: key(), label: None };
    let properties = Properties::from_serialize(&link).unwrap();
    assert_eq!(properties.get("type"), Some(&Value::from("Link")));
    assert_eq!(properties.get("to"), Some(&Value::from(key())));
    assert_eq!(properties.to::<Tagged>().unwrap(), link);
}

#[test]
fn a_key_is_read_as_an_integer_only_as_an_integer_is_written() {
    type Counts = BTreeMap<u8, bool>;
    assert!(from_value::<Counts>(&to_value(&under("7", true)).unwrap()).is_ok());
    for other in ["07", "+7", "x", "", "256"] {
        let counts = to_value(&under("counts", under(other, true))).unwrap();
        assert!(from_value::<BTreeMap<String, Counts>>(&counts).is_err(), "{other}");
    }
}

#[test]
fn json_values_can_be_fields_of_a_record() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Loose {
        json: serde_json::Value,
    }
    let loose = Loose { json: json!({"a": [1, 2.5, "x", true], "$b": {}}) };
    let properties = Properties::from_serialize(&loose).unwrap();
    assert_eq!(properties.to::<Loose>().unwrap(), loose);
    refused(&Loose { json: json!([null]) }, "json[0]", "found a unit");
}
