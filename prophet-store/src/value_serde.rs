//! Values in JSON and other self-describing formats.
//!
//! A human-readable format gets the natural form, and objects with one `$` key for what it cannot
//! say itself. See [`Value`].

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::value::{Real, Value};

const BYTES: &str = "$bytes";
const REFERENCE: &str = "$reference";
const MAP: &str = "$map";

fn tagged<S: Serializer>(
    serializer: S,
    tag: &'static str,
    value: &(impl Serialize + ?Sized),
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(tag, value)?;
    map.end()
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Boolean(truth) => serializer.serialize_bool(*truth),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Real(number) => serializer.serialize_f64(number.get()),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => tagged(serializer, BYTES, &BASE64.encode(bytes)),
            Self::Reference(key) => tagged(serializer, REFERENCE, &key.to_string()),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(entries) if entries.keys().any(|key| is_tag(key)) => {
                tagged(serializer, MAP, &Plain(entries))
            }
            Self::Map(entries) => serializer.collect_map(entries),
        }
    }
}

fn is_tag(key: &str) -> bool {
    key.starts_with('$')
}

/// A map as it stands, within `$map`.
struct Plain<'a>(&'a BTreeMap<String, Value>);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = deserializer.deserialize_any(ValueVisitor)?;
        value.check_limits(|| "a value".to_owned()).map_err(de::Error::custom)?;
        Ok(value)
    }
}

/// A nested value: the limits are checked once, of the outermost one.
struct Nested(Value);

impl<'de> Deserialize<'de> for Nested {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value: a boolean, number, text, list or map, but no null")
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Boolean(truth))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        i64::try_from(number).map(Value::Integer).map_err(|_| {
            E::custom(format!("{number} is above {}, the largest integer; use text", i64::MAX))
        })
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        Real::new(number)
            .map(Value::Real)
            .ok_or_else(|| E::custom(format!("{number} is not a finite number")))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(bytes.to_vec()))
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Value, E> {
        Ok(Value::Bytes(bytes))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Nested(item)) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let Some(first) = map.next_key::<String>()? else {
            return Ok(Value::Map(BTreeMap::new()));
        };
        let value = match first.as_str() {
            BYTES => BASE64
                .decode(map.next_value::<String>()?)
                .map(Value::Bytes)
                .map_err(de::Error::custom)?,
            REFERENCE => {
                map.next_value::<String>()?.parse().map(Value::Reference).map_err(de::Error::custom)?
            }
            MAP => {
                let PlainMap(entries) = map.next_value()?;
                Value::Map(entries)
            }
            _ => return Ok(Value::Map(take_entries(map, Some(first), |key| !is_tag(key))?)),
        };
        match map.next_key::<String>()? {
            None => Ok(value),
            Some(key) => Err(de::Error::custom(format!("{first:?} stands alone, but {key:?} follows"))),
        }
    }
}

/// The entries of a map whose first key may have been read; `accepts` refuses keys.
fn take_entries<'de, A: MapAccess<'de>>(
    mut map: A,
    first: Option<String>,
    accepts: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, Value>, A::Error> {
    let mut entries = BTreeMap::new();
    let mut next = match first {
        Some(key) => Some(key),
        None => map.next_key()?,
    };
    while let Some(key) = next {
        if !accepts(&key) {
            return Err(de::Error::custom(format!(
                "the key {key:?} begins with '$'; a map with such a key stands within {MAP:?}"
            )));
        }
        let Nested(value) = map.next_value()?;
        if entries.insert(key.clone(), value).is_some() {
            return Err(de::Error::custom(format!("the key {key:?} is there twice")));
        }
        next = map.next_key()?;
    }
    Ok(entries)
}

/// A map as it stands, within `$map`: its keys are no tags.
struct PlainMap(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for PlainMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PlainVisitor;

        impl<'de> Visitor<'de> for PlainVisitor {
            type Value = PlainMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PlainMap, A::Error> {
                take_entries(map, None, |_| true).map(PlainMap)
            }
        }

        deserializer.deserialize_map(PlainVisitor)
    }
}
