//! From serde's data model to values and properties.

use std::collections::BTreeMap;

use serde::ser::{self, Impossible, Serialize, Serializer};

use super::TypedError;
use crate::limits;
use crate::name::PropertyName;
use crate::value::{Real, Value};
use crate::value_serde::{BYTES_NEWTYPE, MAP_NEWTYPE, REFERENCE_NEWTYPE};

type Result<T> = std::result::Result<T, TypedError>;

/// The value that `given` stands for, by the rules of
/// [`Properties::from_serialize`](crate::Properties::from_serialize).
///
/// ```
/// use prophet_store::{Value, to_value};
///
/// assert_eq!(to_value(&("a", 1))?, Value::from(vec![Value::from("a"), Value::from(1)]));
/// assert!(to_value(&None::<bool>).is_err());
/// # Ok::<(), prophet_store::TypedError>(())
/// ```
///
/// # Errors
/// What cannot be stored without loss; `None` is not a value.
pub fn to_value<T: Serialize + ?Sized>(given: &T) -> Result<Value> {
    present(given.serialize(ValueSerializer::OUTERMOST)?)
}

pub(super) fn to_properties<T: Serialize + ?Sized>(
    record: &T,
) -> Result<BTreeMap<PropertyName, Option<Value>>> {
    record.serialize(RecordSerializer { level: Level::RECORD, tagged: false })
}

fn present(value: Option<Value>) -> Result<Value> {
    value.ok_or_else(|| {
        TypedError::new("found None, expected a value: only a property or a field can be absent")
    })
}

/// How deep a value is nested, and in how many wrappers that leave no trace in it. Both are
/// bounded, so that no structure makes the stack overflow.
#[derive(Clone, Copy)]
struct Level {
    depth: u64,
    wrappers: u64,
}

impl Level {
    /// The record itself; its properties have depth 1.
    const RECORD: Self = Self { depth: 0, wrappers: 0 };
    const MAX_WRAPPERS: u64 = 256;

    fn nested(self) -> Result<Self> {
        let depth = self.depth + 1;
        limits::check(|| "a value".to_owned(), "levels of nesting", limits::VALUE_DEPTH, depth)
            .map_err(|error| TypedError::new(error.to_string()))?;
        Ok(Self { depth, ..self })
    }

    fn wrapped(self) -> Result<Self> {
        let wrappers = self.wrappers + 1;
        let what = || "a value".to_owned();
        limits::check(what, "newtypes and options around it", Self::MAX_WRAPPERS, wrappers)
            .map_err(|error| TypedError::new(error.to_string()))?;
        Ok(Self { wrappers, ..self })
    }
}

/// Gives the value, or `None` for what is absent.
struct ValueSerializer {
    level: Level,
    readable: bool,
}

impl ValueSerializer {
    const OUTERMOST: Self = Self { level: Level { depth: 1, wrappers: 0 }, readable: true };

    const fn at(level: Level) -> Self {
        Self { level, readable: true }
    }

    fn list(self, len: usize) -> ListSerializer {
        // The length is a claim of the type's, not a promise.
        ListSerializer { level: self.level, items: Vec::with_capacity(len.min(1024)) }
    }

    /// What `inner` serialises as, without the tag that may be around it.
    fn untag<T: Serialize + ?Sized>(&self, inner: &T) -> Result<Value> {
        // The tag leaves no trace, so it is no level of nesting.
        let depth = self.level.depth.saturating_sub(1);
        let around = Level { depth, ..self.level.wrapped()? };
        Ok(match present(inner.serialize(Self::at(around))?)? {
            Value::Map(tagged) => match tagged.into_values().next() {
                Some(value) => value,
                None => return Err(TypedError::new("a tag stands around nothing")),
            },
            value => value,
        })
    }

    const fn map(self, none_is: NoneIs) -> MapSerializer {
        MapSerializer { level: self.level, entries: BTreeMap::new(), key: None, none_is }
    }
}

fn integer<T: TryInto<i64> + ToString + Copy>(number: T) -> Result<Option<Value>> {
    match number.try_into() {
        Ok(number) => Ok(Some(Value::Integer(number))),
        Err(_) => Err(TypedError::new(format!(
            "found {}, expected an integer from {} to {}; use text",
            number.to_string(),
            i64::MIN,
            i64::MAX
        ))),
    }
}

fn unit<T>(found: &str) -> Result<T> {
    Err(TypedError::new(format!("found {found}, expected a value: there is no stored null")))
}

impl Serializer for ValueSerializer {
    type Ok = Option<Value>;
    type Error = TypedError;
    type SerializeSeq = ListSerializer;
    type SerializeTuple = ListSerializer;
    type SerializeTupleStruct = ListSerializer;
    type SerializeTupleVariant = VariantSerializer<ListSerializer>;
    type SerializeMap = MapSerializer;
    type SerializeStruct = MapSerializer;
    type SerializeStructVariant = VariantSerializer<MapSerializer>;

    fn is_human_readable(&self) -> bool {
        // Types that ask, such as addresses, become texts: people can read those, and serde reads
        // what it buffers for `flatten` and `untagged` as if the format were for people.
        self.readable
    }

    fn serialize_bool(self, truth: bool) -> Result<Self::Ok> {
        Ok(Some(Value::Boolean(truth)))
    }

    fn serialize_i8(self, number: i8) -> Result<Self::Ok> {
        integer(number)
    }

    fn serialize_i16(self, number: i16) -> Result<Self::Ok> {
        integer(number)
    }

    fn serialize_i32(self, number: i32) -> Result<Self::Ok> {
        integer(number)
    }

    fn serialize_i64(self, number: i64) -> Result<Self::Ok> {
        integer(number)
    }

    fn serialize_i128(self, number: i128) -> Result<Self::Ok> {
        integer(number)
    }

    fn serialize_u8(self, number: u8) -> Result<Self::Ok> {
        integer(number)
    }

    fn serialize_u16(self, number: u16) -> Result<Self::Ok> {
        integer(number)
    }

    fn serialize_u32(self, number: u32) -> Result<Self::Ok> {
        integer(number)
    }

    fn serialize_u64(self, number: u64) -> Result<Self::Ok> {
        integer(number)
    }

    fn serialize_u128(self, number: u128) -> Result<Self::Ok> {
        integer(number)
    }

    fn serialize_f32(self, number: f32) -> Result<Self::Ok> {
        self.serialize_f64(number.into())
    }

    fn serialize_f64(self, number: f64) -> Result<Self::Ok> {
        match Real::new(number) {
            Some(real) => Ok(Some(Value::Real(real))),
            None => Err(TypedError::new(format!("found {number}, expected a finite number"))),
        }
    }

    fn serialize_char(self, character: char) -> Result<Self::Ok> {
        Ok(Some(Value::Text(character.into())))
    }

    fn serialize_str(self, text: &str) -> Result<Self::Ok> {
        Ok(Some(Value::from(text)))
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Self::Ok> {
        Ok(Some(Value::from(bytes)))
    }

    fn serialize_none(self) -> Result<Self::Ok> {
        Ok(None)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Self::Ok> {
        match value.serialize(Self::at(self.level.wrapped()?))? {
            Some(value) => Ok(Some(value)),
            None => Err(TypedError::new(
                "found Some(None), expected a value: only one kind of absent can be told",
            )),
        }
    }

    fn serialize_unit(self) -> Result<Self::Ok> {
        unit("a unit")
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<Self::Ok> {
        unit(&format!("the unit struct {name}"))
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Self::Ok> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        inner: &T,
    ) -> Result<Self::Ok> {
        match name {
            BYTES_NEWTYPE => {
                inner.serialize(Self { level: self.level.wrapped()?, readable: false })
            }
            REFERENCE_NEWTYPE => self
                .untag(inner)?
                .as_text()
                .ok_or_else(|| TypedError::new("a reference is not a text"))?
                .parse()
                .map(|key| Some(Value::Reference(key)))
                .map_err(ser::Error::custom),
            MAP_NEWTYPE => self.untag(inner).map(Some),
            _ => inner.serialize(Self::at(self.level.wrapped()?)),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        inner: &T,
    ) -> Result<Self::Ok> {
        let mut map = self.map(NoneIs::Refused);
        map.insert(variant, inner)?;
        Ok(Some(Value::Map(map.entries)))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<ListSerializer> {
        Ok(self.list(len.unwrap_or(0)))
    }

    fn serialize_tuple(self, len: usize) -> Result<ListSerializer> {
        Ok(self.list(len))
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<ListSerializer> {
        Ok(self.list(len))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant> {
        let level = self.level.nested().map_err(|error| error.under(variant))?;
        Ok(VariantSerializer { variant, content: Self::at(level).list(len) })
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<MapSerializer> {
        Ok(self.map(NoneIs::Refused))
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<MapSerializer> {
        Ok(self.map(NoneIs::LeftOut))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeStructVariant> {
        let level = self.level.nested().map_err(|error| error.under(variant))?;
        Ok(VariantSerializer { variant, content: Self::at(level).map(NoneIs::LeftOut) })
    }
}

struct ListSerializer {
    level: Level,
    items: Vec<Value>,
}

impl ListSerializer {
    fn push<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<()> {
        let item = self
            .level
            .nested()
            .and_then(|level| item.serialize(ValueSerializer::at(level)))
            .and_then(present)
            .map_err(|error| error.at(self.items.len()))?;
        self.items.push(item);
        Ok(())
    }
}

impl ser::SerializeSeq for ListSerializer {
    type Ok = Option<Value>;
    type Error = TypedError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<()> {
        self.push(item)
    }

    fn end(self) -> Result<Self::Ok> {
        Ok(Some(Value::List(self.items)))
    }
}

impl ser::SerializeTuple for ListSerializer {
    type Ok = Option<Value>;
    type Error = TypedError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<()> {
        self.push(item)
    }

    fn end(self) -> Result<Self::Ok> {
        Ok(Some(Value::List(self.items)))
    }
}

impl ser::SerializeTupleStruct for ListSerializer {
    type Ok = Option<Value>;
    type Error = TypedError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<()> {
        self.push(item)
    }

    fn end(self) -> Result<Self::Ok> {
        Ok(Some(Value::List(self.items)))
    }
}

#[derive(Clone, Copy)]
enum NoneIs {
    LeftOut,
    Refused,
}

struct MapSerializer {
    level: Level,
    entries: BTreeMap<String, Value>,
    key: Option<String>,
    none_is: NoneIs,
}

impl MapSerializer {
    fn insert<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<()> {
        self.try_insert(key, value).map_err(|error| error.under(key))
    }

    fn try_insert<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<()> {
        let value = value.serialize(ValueSerializer::at(self.level.nested()?))?;
        let value = match self.none_is {
            NoneIs::LeftOut => value,
            NoneIs::Refused => Some(present(value)?),
        };
        match value {
            Some(_) if self.entries.contains_key(key) => repeated(),
            Some(value) => {
                self.entries.insert(key.to_owned(), value);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn repeated<T>() -> Result<T> {
    Err(TypedError::new("is given twice"))
}

/// A map whose key and value come one after the other must give them in turn.
fn take_key(key: &mut Option<String>) -> Result<String> {
    key.take().ok_or_else(|| TypedError::new("a map gives a value before its key"))
}

impl ser::SerializeMap for MapSerializer {
    type Ok = Option<Value>;
    type Error = TypedError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.key = Some(key.serialize(KeySerializer { level: self.level })?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let key = take_key(&mut self.key)?;
        self.insert(&key, value)
    }

    fn end(self) -> Result<Self::Ok> {
        Ok(Some(Value::Map(self.entries)))
    }
}

impl ser::SerializeStruct for MapSerializer {
    type Ok = Option<Value>;
    type Error = TypedError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<()> {
        self.insert(key, value)
    }

    fn end(self) -> Result<Self::Ok> {
        Ok(Some(Value::Map(self.entries)))
    }
}

/// What a variant holds, to be put under its name.
struct VariantSerializer<C> {
    variant: &'static str,
    content: C,
}

impl<C> VariantSerializer<C> {
    fn named(variant: &'static str, content: Value) -> Option<Value> {
        Some(Value::Map(BTreeMap::from([(variant.to_owned(), content)])))
    }
}

impl ser::SerializeTupleVariant for VariantSerializer<ListSerializer> {
    type Ok = Option<Value>;
    type Error = TypedError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<()> {
        self.content.push(item).map_err(|error| error.under(self.variant))
    }

    fn end(self) -> Result<Self::Ok> {
        Ok(Self::named(self.variant, Value::List(self.content.items)))
    }
}

impl ser::SerializeStructVariant for VariantSerializer<MapSerializer> {
    type Ok = Option<Value>;
    type Error = TypedError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<()> {
        self.content.insert(key, value).map_err(|error| error.under(self.variant))
    }

    fn end(self) -> Result<Self::Ok> {
        Ok(Self::named(self.variant, Value::Map(self.content.entries)))
    }
}

/// The record itself: a struct or a map, whose entries are its properties.
struct RecordSerializer {
    level: Level,
    /// Whether the properties stand within a tagged map.
    tagged: bool,
}

struct PropertiesSerializer {
    level: Level,
    tagged: bool,
    properties: BTreeMap<PropertyName, Option<Value>>,
    key: Option<String>,
}

impl RecordSerializer {
    const fn open(self) -> PropertiesSerializer {
        let Self { level, tagged } = self;
        PropertiesSerializer { level, tagged, properties: BTreeMap::new(), key: None }
    }
}

impl PropertiesSerializer {
    fn insert<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<()> {
        self.try_insert(key, value).map_err(|error| error.under(key))
    }

    fn try_insert<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<()> {
        let name = PropertyName::new(key).map_err(|error| TypedError::new(error.to_string()))?;
        let value = value.serialize(ValueSerializer::at(self.level.nested()?))?;
        if self.properties.contains_key(&name) {
            return repeated();
        }
        self.properties.insert(name, value);
        Ok(())
    }
}

impl ser::SerializeMap for PropertiesSerializer {
    type Ok = BTreeMap<PropertyName, Option<Value>>;
    type Error = TypedError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.key = Some(key.serialize(KeySerializer { level: self.level })?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let key = take_key(&mut self.key)?;
        if self.tagged {
            let level = self.level.wrapped()?;
            self.properties = value.serialize(RecordSerializer { level, tagged: false })?;
            return Ok(());
        }
        self.insert(&key, value)
    }

    fn end(self) -> Result<Self::Ok> {
        Ok(self.properties)
    }
}

impl ser::SerializeStruct for PropertiesSerializer {
    type Ok = BTreeMap<PropertyName, Option<Value>>;
    type Error = TypedError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<()> {
        self.insert(key, value)
    }

    fn end(self) -> Result<Self::Ok> {
        Ok(self.properties)
    }
}

/// The key of a map, as text.
struct KeySerializer {
    level: Level,
}

macro_rules! refuse {
    ($expected:literal; $($method:ident($($argument:ty),*) $found:literal;)*) => {$(
        fn $method(self, $(_: $argument),*) -> Result<Self::Ok> {
            Err(TypedError::new(concat!("found ", $found, ", expected ", $expected)))
        }
    )*};
}

macro_rules! refuse_compound {
    (
        $expected:literal;
        $($method:ident($($argument:ty),*) -> $compound:ident, $found:literal;)*
    ) => {$(
        fn $method(self, $(_: $argument),*) -> Result<Self::$compound> {
            Err(TypedError::new(concat!("found ", $found, ", expected ", $expected)))
        }
    )*};
}

impl Serializer for RecordSerializer {
    type Ok = BTreeMap<PropertyName, Option<Value>>;
    type Error = TypedError;
    type SerializeSeq = Impossible<Self::Ok, TypedError>;
    type SerializeTuple = Impossible<Self::Ok, TypedError>;
    type SerializeTupleStruct = Impossible<Self::Ok, TypedError>;
    type SerializeTupleVariant = Impossible<Self::Ok, TypedError>;
    type SerializeMap = PropertiesSerializer;
    type SerializeStruct = PropertiesSerializer;
    type SerializeStructVariant = Impossible<Self::Ok, TypedError>;

    refuse! {
        "a struct or a map, whose fields become properties";
        serialize_bool(bool) "a boolean";
        serialize_i8(i8) "an integer";
        serialize_i16(i16) "an integer";
        serialize_i32(i32) "an integer";
        serialize_i64(i64) "an integer";
        serialize_i128(i128) "an integer";
        serialize_u8(u8) "an integer";
        serialize_u16(u16) "an integer";
        serialize_u32(u32) "an integer";
        serialize_u64(u64) "an integer";
        serialize_u128(u128) "an integer";
        serialize_f32(f32) "a number";
        serialize_f64(f64) "a number";
        serialize_char(char) "a character";
        serialize_str(&str) "a text";
        serialize_bytes(&[u8]) "bytes";
        serialize_none() "None";
        serialize_unit() "a unit";
        serialize_unit_struct(&'static str) "a unit struct";
        serialize_unit_variant(&'static str, u32, &'static str) "a variant";
    }

    refuse_compound! {
        "a struct or a map, whose fields become properties";
        serialize_seq(Option<usize>) -> SerializeSeq, "a list";
        serialize_tuple(usize) -> SerializeTuple, "a tuple";
        serialize_tuple_struct(&'static str, usize) -> SerializeTupleStruct, "a tuple struct";
        serialize_tuple_variant(&'static str, u32, &'static str, usize)
            -> SerializeTupleVariant, "a variant";
        serialize_struct_variant(&'static str, u32, &'static str, usize)
            -> SerializeStructVariant, "a variant (an internally tagged enum would do)";
    }

    fn serialize_some<T: Serialize + ?Sized>(self, record: &T) -> Result<Self::Ok> {
        record.serialize(Self { level: self.level.wrapped()?, ..self })
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        record: &T,
    ) -> Result<Self::Ok> {
        match name {
            BYTES_NEWTYPE => self.serialize_bytes(&[]),
            REFERENCE_NEWTYPE => Err(TypedError::new(
                "found a reference, expected a struct or a map, whose fields become properties",
            )),
            MAP_NEWTYPE => record.serialize(Self { level: self.level.wrapped()?, tagged: true }),
            _ => record.serialize(Self { level: self.level.wrapped()?, ..self }),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        _inner: &T,
    ) -> Result<Self::Ok> {
        self.serialize_unit_variant(name, index, variant)
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<PropertiesSerializer> {
        Ok(self.open())
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<PropertiesSerializer> {
        Ok(self.open())
    }
}

macro_rules! key_as_text {
    ($($method:ident($from:ty);)*) => {$(
        fn $method(self, key: $from) -> Result<String> {
            Ok(key.to_string())
        }
    )*};
}

impl Serializer for KeySerializer {
    type Ok = String;
    type Error = TypedError;
    type SerializeSeq = Impossible<String, TypedError>;
    type SerializeTuple = Impossible<String, TypedError>;
    type SerializeTupleStruct = Impossible<String, TypedError>;
    type SerializeTupleVariant = Impossible<String, TypedError>;
    type SerializeMap = Impossible<String, TypedError>;
    type SerializeStruct = Impossible<String, TypedError>;
    type SerializeStructVariant = Impossible<String, TypedError>;

    key_as_text! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_char(char);
        serialize_str(&str);
    }

    refuse! {
        "a key: a text, an integer, a boolean or a character";
        serialize_f32(f32) "a number";
        serialize_f64(f64) "a number";
        serialize_bytes(&[u8]) "bytes";
        serialize_none() "None";
        serialize_unit() "a unit";
        serialize_unit_struct(&'static str) "a unit struct";
    }

    refuse_compound! {
        "a key: a text, an integer, a boolean or a character";
        serialize_seq(Option<usize>) -> SerializeSeq, "a list";
        serialize_tuple(usize) -> SerializeTuple, "a tuple";
        serialize_tuple_struct(&'static str, usize) -> SerializeTupleStruct, "a tuple struct";
        serialize_tuple_variant(&'static str, u32, &'static str, usize)
            -> SerializeTupleVariant, "a variant that holds something";
        serialize_map(Option<usize>) -> SerializeMap, "a map";
        serialize_struct(&'static str, usize) -> SerializeStruct, "a struct";
        serialize_struct_variant(&'static str, u32, &'static str, usize)
            -> SerializeStructVariant, "a variant that holds something";
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<String> {
        Ok(variant.to_owned())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, key: &T) -> Result<String> {
        key.serialize(Self { level: self.level.wrapped()? })
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        key: &T,
    ) -> Result<String> {
        key.serialize(Self { level: self.level.wrapped()? })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        _inner: &T,
    ) -> Result<String> {
        let refused = self.serialize_tuple_variant(name, index, variant, 1);
        refused.and_then(ser::SerializeTupleVariant::end)
    }
}
