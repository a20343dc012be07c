//! Values in JSON and other self-describing formats.
//!
//! A human-readable format gets the natural form, and objects with one `$` key for what it cannot
//! say itself. See [`Value`].
//!
//! The tags stand within newtype structs whose names the [typed](crate::typed) serializer knows,
//! so that it takes what is meant and never sees a tag. Formats do not show the names.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::limits;
use crate::name::RecordKey;
use crate::value::{Real, Value};

const BYTES: &str = "$bytes";
const REFERENCE: &str = "$reference";
const MAP: &str = "$map";

/// Names the newtype struct around bytes: as they are, or tagged where the format is for people.
pub(crate) const BYTES_NEWTYPE: &str = "$prophet::Bytes";
/// Names the newtype struct around a record's key as text, bare or tagged.
pub(crate) const REFERENCE_NEWTYPE: &str = "$prophet::Reference";
/// Names the newtype struct around a tagged map with keys that begin with `$`.
pub(crate) const MAP_NEWTYPE: &str = "$prophet::Map";

struct TaggedBytes<'a>(&'a [u8]);

impl Serialize for TaggedBytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            Tagged(BYTES, BASE64.encode(self.0)).serialize(serializer)
        } else {
            serializer.serialize_bytes(self.0)
        }
    }
}

/// A map of one entry, whose key says what its value is.
struct Tagged<T>(&'static str, T);

impl<T: Serialize> Serialize for Tagged<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, &self.1)?;
        map.end()
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Boolean(truth) => serializer.serialize_bool(*truth),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Real(number) => serializer.serialize_f64(number.get()),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => {
                serializer.serialize_newtype_struct(BYTES_NEWTYPE, &TaggedBytes(bytes))
            }
            Self::Reference(key) => {
                let tagged = Tagged(REFERENCE, key.to_string());
                serializer.serialize_newtype_struct(REFERENCE_NEWTYPE, &tagged)
            }
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(entries) if entries.keys().any(|key| is_tag(key)) => {
                serializer.serialize_newtype_struct(MAP_NEWTYPE, &Tagged(MAP, entries))
            }
            Self::Map(entries) => serializer.collect_map(entries),
        }
    }
}

pub(crate) fn is_tag(key: &str) -> bool {
    key.starts_with('$')
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = ValueSeed { depth: 1 }.deserialize(deserializer)?;
        value.check_limits(|| "a value".to_owned()).map_err(de::Error::custom)?;
        Ok(value)
    }
}

/// Reads a value at this depth, so that a format without a limit of its own cannot make the
/// stack overflow. The other limits are checked once, of the outermost value.
#[derive(Clone, Copy)]
struct ValueSeed {
    depth: u64,
}

impl ValueSeed {
    const fn nested(self) -> Self {
        Self { depth: self.depth + 1 }
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        limits::check(
            || "a value".to_owned(),
            "levels of nesting",
            limits::VALUE_DEPTH,
            self.depth,
        )
        .map_err(de::Error::custom)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed {
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

    /// What the deserializer of typed records makes of a reference.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        RecordKey::deserialize(inner).map(Value::Reference)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element_seed(self.nested())? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let Some(first) = map.next_key::<Key>()? else {
            return Ok(Value::Map(BTreeMap::new()));
        };
        let value = match first.tag() {
            Some(BYTES) => BASE64
                .decode(map.next_value::<String>()?)
                .map(Value::Bytes)
                .map_err(|why| de::Error::custom(format!("{BYTES:?} is not base64: {why}")))?,
            Some(REFERENCE) => map
                .next_value::<String>()?
                .parse()
                .map(Value::Reference)
                .map_err(de::Error::custom)?,
            Some(MAP) => Value::Map(map.next_value_seed(PlainMap(self))?),
            _ => return take_entries(map, Some(first), self, Key::is_plain).map(Value::Map),
        };
        match map.next_key::<Key>()? {
            None => Ok(value),
            Some(key) => Err(de::Error::custom(format!(
                "{:?} stands alone, but {:?} follows",
                first.text, key.text
            ))),
        }
    }
}

/// The key of a map. Typed records give keys that begin with `$` as bytes: those are no tags.
struct Key {
    text: String,
    exact: bool,
}

impl Key {
    fn tag(&self) -> Option<&str> {
        (!self.is_plain()).then_some(self.text.as_str())
    }

    fn is_plain(&self) -> bool {
        self.exact || !is_tag(&self.text)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key: a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Key, E> {
                Ok(Key { text: text.to_owned(), exact: false })
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Key, E> {
                Ok(Key { text, exact: false })
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Key, E> {
                let text = std::str::from_utf8(bytes).map_err(E::custom)?.to_owned();
                Ok(Key { text, exact: true })
            }
        }

        deserializer.deserialize_any(KeyVisitor)
    }
}

/// The entries of a map whose first key may have been read; `accepts` refuses keys.
fn take_entries<'de, A: MapAccess<'de>>(
    mut map: A,
    first: Option<Key>,
    seed: ValueSeed,
    accepts: impl Fn(&Key) -> bool,
) -> Result<BTreeMap<String, Value>, A::Error> {
    let mut entries = BTreeMap::new();
    let mut next = match first {
        Some(key) => Some(key),
        None => map.next_key()?,
    };
    while let Some(key) = next {
        if !accepts(&key) {
            return Err(de::Error::custom(format!(
                "the key {:?} begins with '$'; a map with such a key stands within {MAP:?}",
                key.text
            )));
        }
        let value = map.next_value_seed(seed.nested())?;
        let text = key.text;
        if entries.contains_key(&text) {
            return Err(de::Error::custom(format!("the key {text:?} is there twice")));
        }
        entries.insert(text, value);
        next = map.next_key()?;
    }
    Ok(entries)
}

/// A map as it stands, within `$map`: its keys are no tags.
struct PlainMap(ValueSeed);

impl<'de> DeserializeSeed<'de> for PlainMap {
    type Value = BTreeMap<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PlainMap {
    type Value = BTreeMap<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        take_entries(map, None, self.0, |_| true)
    }
}
