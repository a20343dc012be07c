//! Values: what a property can hold.

use std::collections::BTreeMap;
use std::fmt;

use crate::codec;
use crate::limits::{self, LimitExceeded};
use crate::name::RecordKey;

/// What a property holds. There is no null: an absent property is absent.
///
/// Two values are equal when their canonical bytes are equal: `1` is not `1.0`. Lists and maps
/// may nest up to [`VALUE_DEPTH`](crate::limits::VALUE_DEPTH).
///
/// In JSON a value is what one expects; what JSON cannot say is an object with one key that
/// begins with `$`: `{"$bytes": "aGk="}`, `{"$reference": "bug/018f…"}`, and `{"$map": {…}}`
/// around a map with a key that begins with `$`. Nothing is lost either way, provided that the
/// JSON parser reads numbers exactly, as `serde_json` does with its feature `float_roundtrip`.
///
/// As a field of an app's struct a value stays what it is; see [`Properties`](crate::Properties).
///
/// ```
/// use prophet_store::Value;
///
/// let value = Value::from(vec![Value::from("draft"), Value::from(3)]);
/// let json = serde_json::to_string(&value)?;
/// assert_eq!(json, r#"["draft",3]"#);
/// assert_eq!(serde_json::from_str::<Value>(&json)?, value);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "the kinds of value are fixed by the format")]
pub enum Value {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A finite floating point number.
    Real(Real),
    /// Unicode text, kept exactly as given.
    Text(String),
    /// Any bytes.
    Bytes(Vec<u8>),
    /// A record, of this database, that may or may not exist.
    Reference(RecordKey),
    /// Values in order.
    List(Vec<Value>),
    /// Values by name; the names are ordered bytewise.
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// What kind of value this is, as people call it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "boolean",
            Self::Integer(_) => "integer",
            Self::Real(_) => "real",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Reference(_) => "reference",
            Self::List(_) => "list",
            Self::Map(_) => "map",
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number, if it is one.
    pub const fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The floating point number, if it is one.
    pub const fn as_real(&self) -> Option<f64> {
        match self {
            Self::Real(number) => Some(number.get()),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub const fn as_boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The bytes, if that is what it is.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The record referred to, if it is a reference.
    pub const fn as_reference(&self) -> Option<&RecordKey> {
        match self {
            Self::Reference(key) => Some(key),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The map, if it is one.
    pub const fn as_map(&self) -> Option<&BTreeMap<String, Value>> {
        match self {
            Self::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// Whether the value keeps the limits of the format; `what` names it in the refusal.
    pub(crate) fn check_limits(&self, what: impl Fn() -> String) -> Result<(), LimitExceeded> {
        let mut nodes = 0;
        // A stack of our own: the depth of what an app hands over is not known yet.
        let mut open = vec![(self, 1)];
        while let Some((value, depth)) = open.pop() {
            nodes += 1;
            limits::check(&what, "levels of nesting", limits::VALUE_DEPTH, depth)?;
            limits::check(&what, "nested values", limits::VALUE_NODES, nodes)?;
            match value {
                Self::List(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
                Self::Map(entries) => open.extend(entries.values().map(|item| (item, depth + 1))),
                _ => {}
            }
        }
        limits::check(what, "bytes", limits::VALUE_BYTES, codec::value_len(self))
    }
}

/// A finite floating point number; zero has no sign, so equal numbers have equal bytes.
///
/// ```
/// use prophet_store::Real;
///
/// assert!(Real::new(f64::NAN).is_none());
/// assert_eq!(Real::new(-0.0), Real::new(0.0));
/// ```
#[derive(Clone, Copy)]
pub struct Real(f64);

impl Real {
    /// The number, unless it is infinite or not a number.
    pub fn new(number: f64) -> Option<Self> {
        // Adding zero turns -0.0 into 0.0 and changes nothing else.
        number.is_finite().then_some(Self(number + 0.0))
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl PartialEq for Real {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Real {}

impl PartialOrd for Real {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Real {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl std::hash::Hash for Real {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl fmt::Debug for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// For people: text in quotes, bytes by their number, references as `type/id`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(truth) => truth.fmt(f),
            Self::Integer(number) => number.fmt(f),
            Self::Real(number) => fmt::Debug::fmt(number, f),
            Self::Text(text) => fmt::Debug::fmt(text, f),
            Self::Bytes(bytes) => write!(f, "<{} bytes>", bytes.len()),
            Self::Reference(key) => key.fmt(f),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    item.fmt(f)?;
                }
                f.write_str("]")
            }
            Self::Map(entries) => {
                f.write_str("{")?;
                for (index, (name, item)) in entries.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{name:?}: {item}")?;
                }
                f.write_str("}")
            }
        }
    }
}

macro_rules! value_from {
    ($($from:ty => |$given:ident| $value:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($given: $from) -> Self {
                $value
            }
        }
    )*};
}

value_from! {
    bool => |truth| Self::Boolean(truth);
    i64 => |number| Self::Integer(number);
    i32 => |number| Self::Integer(number.into());
    u32 => |number| Self::Integer(number.into());
    Real => |number| Self::Real(number);
    &str => |text| Self::Text(text.to_owned());
    String => |text| Self::Text(text);
    Vec<u8> => |bytes| Self::Bytes(bytes);
    &[u8] => |bytes| Self::Bytes(bytes.to_vec());
    RecordKey => |key| Self::Reference(key);
    &RecordKey => |key| Self::Reference(key.clone());
    Vec<Value> => |items| Self::List(items);
    BTreeMap<String, Value> => |entries| Self::Map(entries);
}

/// A floating point number is not finite, so it cannot be a value.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is not a finite number; leave the property out, or store it as text")]
pub struct NotFinite(f64);

impl TryFrom<f64> for Value {
    type Error = NotFinite;

    fn try_from(number: f64) -> Result<Self, Self::Error> {
        Real::new(number).map(Self::Real).ok_or(NotFinite(number))
    }
}
