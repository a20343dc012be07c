//! The properties that an edit gives a record.

use std::collections::{BTreeMap, btree_map};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{TypedError, de, ser};
use crate::name::{NameError, PropertyName};
use crate::value::Value;

/// The properties that an edit gives a record, by name: a value, or explicitly *absent*. What is
/// not named is left as it is.
///
/// Names are checked here; the limits of values are checked when the edit becomes a changeset.
///
/// ```
/// use prophet_store::{Properties, Value};
///
/// let properties = Properties::new().with("title", "Crash")?.with("votes", 3)?.absent("owner")?;
/// assert_eq!(properties.get("title"), Some(&Value::from("Crash")));
/// assert_eq!(properties.get("owner"), None);
/// assert_eq!(properties.len(), 3);
/// # Ok::<(), prophet_store::NameError>(())
/// ```
///
/// A struct of one's own becomes properties and is read from them:
///
/// ```
/// use prophet_store::{Properties, Value};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, PartialEq, Debug)]
/// struct Person {
///     name: String,
///     age: Option<u8>,
/// }
///
/// let ada = Person { name: "Ada".to_owned(), age: None };
/// let properties = Properties::from_serialize(&ada)?;
/// assert_eq!(properties, Properties::new().with("name", "Ada")?.absent("age")?);
/// assert_eq!(properties.to::<Person>()?, ada);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<PropertyName, Option<Value>>);

impl Properties {
    /// No properties.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// With `value` under `name`.
    ///
    /// # Errors
    /// What is not a property name.
    pub fn with<N>(mut self, name: N, value: impl Into<Value>) -> Result<Self, NameError>
    where
        N: TryInto<PropertyName, Error: Into<NameError>>,
    {
        self.set(name, Some(value.into()))?;
        Ok(self)
    }

    /// With `name` explicitly *absent*: an edit removes it.
    ///
    /// # Errors
    /// What is not a property name.
    pub fn absent<N>(mut self, name: N) -> Result<Self, NameError>
    where
        N: TryInto<PropertyName, Error: Into<NameError>>,
    {
        self.set(name, None)?;
        Ok(self)
    }

    /// Puts a value under `name`, or makes it explicitly *absent* if it is `None`.
    ///
    /// # Errors
    /// What is not a property name.
    pub fn set<N>(&mut self, name: N, value: Option<Value>) -> Result<(), NameError>
    where
        N: TryInto<PropertyName, Error: Into<NameError>>,
    {
        self.0.insert(name.try_into().map_err(Into::into)?, value);
        Ok(())
    }

    /// The value under `name`; `None` if it is *absent* or not named.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)?.as_ref()
    }

    /// Whether `name` is named, be it as *absent*.
    pub fn names(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// How many properties are named, those that are *absent* too.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no property is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The properties in order of their names; `None` is *absent*.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&PropertyName, Option<&Value>)> {
        self.0.iter().map(|(name, value)| (name, value.as_ref()))
    }

    /// The properties that a struct or a map stands for: one for each field, *absent* where it is
    /// `None`.
    ///
    /// Integers, floating point numbers, booleans, text and bytes become values of these kinds; a
    /// [`RecordKey`](crate::RecordKey) becomes a reference and a [`Value`] itself. Sequences and
    /// tuples become lists, nested structs and maps become maps (without the fields that are
    /// `None`), and a variant becomes its name, or a map from its name to what it holds. Zero
    /// loses its sign.
    ///
    /// # Errors
    /// What cannot be stored without loss is refused, and the error names the path to it:
    /// integers beyond `i64`, numbers that are not finite, units, and `None` within a list or a
    /// nested map (a nested struct with `#[serde(flatten)]` is one). So are names that are no
    /// property names, repeated names, and nesting beyond
    /// [`VALUE_DEPTH`](crate::limits::VALUE_DEPTH).
    pub fn from_serialize<T: Serialize + ?Sized>(record: &T) -> Result<Self, TypedError> {
        ser::to_properties(record).map(Self)
    }

    /// The struct or map that these properties stand for. A field whose property is *absent* is
    /// `None`, or its default; an error if it has neither.
    ///
    /// # Errors
    /// A property that does not fit its field without loss; the error names the path to it.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, TypedError> {
        de::from_properties(self.0.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))))
    }
}

impl FromIterator<(PropertyName, Option<Value>)> for Properties {
    fn from_iter<I: IntoIterator<Item = (PropertyName, Option<Value>)>>(properties: I) -> Self {
        Self(properties.into_iter().collect())
    }
}

impl FromIterator<(PropertyName, Value)> for Properties {
    fn from_iter<I: IntoIterator<Item = (PropertyName, Value)>>(properties: I) -> Self {
        properties.into_iter().map(|(name, value)| (name, Some(value))).collect()
    }
}

impl Extend<(PropertyName, Option<Value>)> for Properties {
    fn extend<I: IntoIterator<Item = (PropertyName, Option<Value>)>>(&mut self, properties: I) {
        self.0.extend(properties);
    }
}

impl IntoIterator for Properties {
    type Item = (PropertyName, Option<Value>);
    type IntoIter = btree_map::IntoIter<PropertyName, Option<Value>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// ```
/// use prophet_store::{Properties, Value};
///
/// let properties = Properties::try_from([("name", Value::from("Ada")), ("born", 1815.into())])?;
/// assert_eq!(properties.get("born"), Some(&Value::Integer(1815)));
/// # Ok::<(), prophet_store::NameError>(())
/// ```
impl<N, V, const COUNT: usize> TryFrom<[(N, V); COUNT]> for Properties
where
    N: TryInto<PropertyName, Error: Into<NameError>>,
    V: Into<Value>,
{
    type Error = NameError;

    fn try_from(properties: [(N, V); COUNT]) -> Result<Self, NameError> {
        properties.into_iter().try_fold(Self::new(), |all, (name, value)| all.with(name, value))
    }
}
