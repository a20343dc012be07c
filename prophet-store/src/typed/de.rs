//! From values and properties to serde's data model.

use std::collections::btree_map;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _,
    IntoDeserializer, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::TypedError;
use crate::name::PropertyName;
use crate::value::Value;
use crate::value_serde::{REFERENCE_NEWTYPE, is_tag};

type Result<T> = std::result::Result<T, TypedError>;

/// What `value` stands for, by the rules of [`Properties::to`](crate::Properties::to).
///
/// ```
/// use prophet_store::{Value, from_value};
///
/// assert_eq!(from_value::<u8>(&Value::Integer(7))?, 7);
/// assert!(from_value::<u8>(&Value::Integer(700)).is_err());
/// # Ok::<(), prophet_store::TypedError>(())
/// ```
///
/// # Errors
/// A value that does not fit `T` without loss.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T> {
    T::deserialize(ValueDeserializer(value))
}

/// The struct or map that the properties of a record stand for, by the rules of
/// [`Properties::to`](crate::Properties::to).
///
/// ```
/// use std::collections::BTreeMap;
///
/// use prophet_store::{PropertyName, Value, from_properties};
///
/// #[derive(serde::Deserialize)]
/// struct Person {
///     name: String,
///     age: Option<u8>,
/// }
///
/// let record = BTreeMap::from([(PropertyName::new("name")?, Value::from("Ada"))]);
/// let ada: Person = from_properties(record.iter())?;
/// assert_eq!((ada.name.as_str(), ada.age), ("Ada", None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A property that does not fit its field without loss; the error names the path to it.
pub fn from_properties<'a, T: DeserializeOwned>(
    properties: impl Iterator<Item = (&'a PropertyName, &'a Value)>,
) -> Result<T> {
    T::deserialize(RecordDeserializer(properties.map(|(name, value)| (name.as_str(), value))))
}

/// The record itself: a map from names to values.
struct RecordDeserializer<I>(I);

impl<'de, I: Iterator<Item = (&'de str, &'de Value)>> Deserializer<'de> for RecordDeserializer<I> {
    type Error = TypedError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_map(Entries { entries: self.0, value: None })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        if name == REFERENCE_NEWTYPE {
            return self.deserialize_any(visitor);
        }
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Entries<'de, I> {
    entries: I,
    value: Option<(&'de str, &'de Value)>,
}

impl<'de> Entries<'de, Iterated<'de>> {
    fn of(entries: &'de std::collections::BTreeMap<String, Value>) -> Self {
        let key: fn((&'de String, &'de Value)) -> (&'de str, &'de Value) =
            |(key, value)| (key.as_str(), value);
        Self { entries: entries.iter().map(key), value: None }
    }
}

type Iterated<'de> = std::iter::Map<
    btree_map::Iter<'de, String, Value>,
    fn((&'de String, &'de Value)) -> (&'de str, &'de Value),
>;

impl<'de, I: Iterator<Item = (&'de str, &'de Value)>> MapAccess<'de> for Entries<'de, I> {
    type Error = TypedError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some((key, value));
        seed.deserialize(KeyDeserializer(key)).map(Some).map_err(|error| error.under(key))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        match self.value.take() {
            Some((key, value)) => {
                seed.deserialize(ValueDeserializer(value)).map_err(|error| error.under(key))
            }
            None => Err(TypedError::new("a value was asked for before its key")),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        self.entries.size_hint().1
    }
}

struct Items<'de> {
    items: &'de [Value],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = TypedError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        let Some(item) = self.items.get(self.next) else {
            return Ok(None);
        };
        let index = self.next;
        self.next += 1;
        seed.deserialize(ValueDeserializer(item)).map(Some).map_err(|error| error.at(index))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len().saturating_sub(self.next))
    }
}

#[derive(Clone, Copy)]
struct ValueDeserializer<'de>(&'de Value);

impl<'de> ValueDeserializer<'de> {
    fn visit_list<V: Visitor<'de>>(items: &'de [Value], visitor: V) -> Result<V::Value> {
        let mut access = Items { items, next: 0 };
        let visited = visitor.visit_seq(&mut access)?;
        if access.next < items.len() {
            return Err(TypedError::new(format!(
                "found a list of {}, expected one of {}",
                items.len(),
                access.next
            )));
        }
        Ok(visited)
    }

    fn found(self) -> Unexpected<'de> {
        match self.0 {
            Value::Boolean(truth) => Unexpected::Bool(*truth),
            Value::Integer(number) => Unexpected::Signed(*number),
            Value::Real(number) => Unexpected::Float(number.get()),
            Value::Text(text) => Unexpected::Str(text),
            Value::Bytes(_) => Unexpected::Other("bytes"),
            Value::Reference(_) => Unexpected::Other("a reference"),
            Value::List(_) => Unexpected::Other("a list"),
            Value::Map(_) => Unexpected::Other("a map"),
        }
    }

    fn refuse<T>(self, expected: &dyn de::Expected) -> Result<T> {
        Err(TypedError::invalid_type(self.found(), expected))
    }
}

macro_rules! only {
    ($($method:ident($kind:pat);)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            match self.0 {
                $kind => self.deserialize_any(visitor),
                _ => self.refuse(&visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for ValueDeserializer<'de> {
    type Error = TypedError;

    /// What describes itself must survive being buffered, as `flatten` and `untagged` do: a
    /// reference is a newtype, which no other value is, and a key that could be taken for a tag
    /// is bytes.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            Value::Boolean(truth) => visitor.visit_bool(*truth),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Real(number) => visitor.visit_f64(number.get()),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            Value::Reference(key) => {
                visitor.visit_newtype_struct(key.to_string().into_deserializer())
            }
            Value::List(items) => Self::visit_list(items, visitor),
            Value::Map(entries) => visitor.visit_map(Entries::of(entries)),
        }
    }

    // A hint says what is expected, and a refusal then names what was found by its kind. Without
    // it, text would pass as bytes and a list as a struct, and change their kind when written.
    only! {
        deserialize_bool(Value::Boolean(_));
        deserialize_i8(Value::Integer(_));
        deserialize_i16(Value::Integer(_));
        deserialize_i32(Value::Integer(_));
        deserialize_i64(Value::Integer(_));
        deserialize_i128(Value::Integer(_));
        deserialize_u8(Value::Integer(_));
        deserialize_u16(Value::Integer(_));
        deserialize_u32(Value::Integer(_));
        deserialize_u64(Value::Integer(_));
        deserialize_u128(Value::Integer(_));
        deserialize_char(Value::Text(_));
        deserialize_str(Value::Text(_));
        deserialize_string(Value::Text(_));
        deserialize_identifier(Value::Text(_));
        deserialize_bytes(Value::Bytes(_));
        deserialize_byte_buf(Value::Bytes(_));
        deserialize_seq(Value::List(_));
        deserialize_map(Value::Map(_));
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match exact_real(self.0) {
            Some(number) if f64::from(number as f32).to_bits() == number.to_bits() => {
                visitor.visit_f32(number as f32)
            }
            _ => self.refuse(&"an f32 (what it cannot hold exactly would change)"),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match exact_real(self.0) {
            Some(number) => visitor.visit_f64(number),
            None => self.refuse(&"an f64 (what it cannot hold exactly would change)"),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.refuse(&visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        self.refuse(&visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        match self.0 {
            Value::Reference(_) if name == REFERENCE_NEWTYPE => self.deserialize_any(visitor),
            _ if name == REFERENCE_NEWTYPE => self.refuse(&visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.0 {
            Value::Text(variant) => visitor.visit_enum(Variant { variant, content: None }),
            Value::Map(entries) if entries.len() == 1 => match entries.first_key_value() {
                Some((variant, content)) => {
                    visitor.visit_enum(Variant { variant, content: Some(content) })
                }
                None => self.refuse(&visitor),
            },
            _ => self.refuse(&"the name of a variant, or a map from it to what it holds"),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }
}

/// The number, if it is one that an `f64` holds exactly.
fn exact_real(value: &Value) -> Option<f64> {
    match value {
        Value::Real(number) => Some(number.get()),
        Value::Integer(number) => {
            let real = *number as f64;
            // The largest integers round up to 2^63, which is none.
            (real as i128 == i128::from(*number)).then_some(real)
        }
        _ => None,
    }
}

struct Variant<'de> {
    variant: &'de str,
    content: Option<&'de Value>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = TypedError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self)> {
        Ok((seed.deserialize(BorrowedStrDeserializer::new(self.variant))?, self))
    }
}

impl<'de> Variant<'de> {
    fn content<T>(self, take: impl FnOnce(ValueDeserializer<'de>) -> Result<T>) -> Result<T> {
        match self.content {
            Some(content) => {
                take(ValueDeserializer(content)).map_err(|error| error.under(self.variant))
            }
            None => Err(TypedError::new(format!(
                "found only the variant {:?}, expected what it holds too",
                self.variant
            ))),
        }
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = TypedError;

    fn unit_variant(self) -> Result<()> {
        match self.content {
            None => Ok(()),
            Some(content) => Err(TypedError::invalid_type(
                ValueDeserializer(content).found(),
                &"a variant that holds nothing, given by its name alone",
            )
            .under(self.variant)),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value> {
        self.content(|content| seed.deserialize(content))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value> {
        self.content(|content| content.deserialize_seq(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.content(|content| content.deserialize_map(visitor))
    }
}

/// The key of a map: text, or what was made text of.
struct KeyDeserializer<'de>(&'de str);

macro_rules! parsed_key {
    ($($method:ident => $visit:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            match self.0.parse() {
                // What is not written as it would be is another key: "01" is not "1".
                Ok(key) if is_written(&key, self.0) => visitor.$visit(key),
                _ => Err(TypedError::invalid_type(Unexpected::Str(self.0), &visitor)),
            }
        }
    )*};
}

fn is_written(key: &impl ToString, text: &str) -> bool {
    key.to_string() == text
}

impl<'de> Deserializer<'de> for KeyDeserializer<'de> {
    type Error = TypedError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if is_tag(self.0) {
            visitor.visit_borrowed_bytes(self.0.as_bytes())
        } else {
            visitor.visit_borrowed_str(self.0)
        }
    }

    parsed_key! {
        deserialize_bool => visit_bool;
        deserialize_i8 => visit_i8;
        deserialize_i16 => visit_i16;
        deserialize_i32 => visit_i32;
        deserialize_i64 => visit_i64;
        deserialize_i128 => visit_i128;
        deserialize_u8 => visit_u8;
        deserialize_u16 => visit_u16;
        deserialize_u32 => visit_u32;
        deserialize_u64 => visit_u64;
        deserialize_u128 => visit_u128;
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_enum(Variant { variant: self.0, content: None })
    }

    forward_to_deserialize_any! {
        f32 f64 bytes byte_buf unit unit_struct seq tuple tuple_struct map struct ignored_any
    }
}
