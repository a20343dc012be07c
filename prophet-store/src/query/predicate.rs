//! Predicates over the visible properties of a record.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::name::{NameError, PropertyName};
use crate::query::compare::compare;
use crate::query::pattern::{InvalidPattern, Pattern};
use crate::value::Value;

/// How a property compares with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums, reason = "there are no other comparisons")]
pub enum Comparison {
    /// Equal.
    Eq,
    /// Not equal, or not of a kind that compares with it; but present.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

/// A condition on the visible properties of a record.
///
/// Every condition on a property is false of a record that does not have it; only
/// [`Not`](Self::Not) can make that true. Values of different kinds neither equal nor order one
/// another, but integers and reals are all numbers. Text compares bytewise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Predicate {
    /// True of every record.
    #[default]
    All,
    /// The property compares so with the value.
    Compare {
        /// The property.
        property: PropertyName,
        /// How it compares.
        is: Comparison,
        /// With what.
        value: Value,
    },
    /// The property equals one of the values.
    In {
        /// The property.
        property: PropertyName,
        /// The values.
        values: Vec<Value>,
    },
    /// The record has the property.
    Exists(PropertyName),
    /// The property is a text with this text in it, a list with this item, or a map with this key.
    Contains {
        /// The property.
        property: PropertyName,
        /// The text, item or key.
        value: Value,
    },
    /// The property is a text that begins so.
    StartsWith {
        /// The property.
        property: PropertyName,
        /// Its beginning.
        prefix: String,
    },
    /// The property is a text that the pattern matches somewhere.
    Matches {
        /// The property.
        property: PropertyName,
        /// The pattern.
        pattern: Pattern,
    },
    /// All of these are true.
    And(Vec<Predicate>),
    /// At least one of these is true.
    Or(Vec<Predicate>),
    /// This is not true.
    Not(Box<Predicate>),
}

impl Predicate {
    /// Both are true.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, only) | (only, Self::All) => only,
            (Self::And(mut all), other) => {
                all.push(other);
                Self::And(all)
            }
            (one, other) => Self::And(vec![one, other]),
        }
    }

    /// At least one is true.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Or(mut any), other) => {
                any.push(other);
                Self::Or(any)
            }
            (one, other) => Self::Or(vec![one, other]),
        }
    }

    /// Every property that it is about.
    pub(crate) fn for_each_property<'a>(&'a self, act: &mut impl FnMut(&'a PropertyName)) {
        match self {
            Self::All => {}
            Self::Compare { property, .. }
            | Self::In { property, .. }
            | Self::Exists(property)
            | Self::Contains { property, .. }
            | Self::StartsWith { property, .. }
            | Self::Matches { property, .. } => act(property),
            Self::And(parts) | Self::Or(parts) => {
                parts.iter().for_each(|part| part.for_each_property(act));
            }
            Self::Not(inner) => inner.for_each_property(act),
        }
    }

    /// Whether it is true of the record whose visible properties `value` gives.
    pub fn holds<'a>(&self, value: &impl Fn(&PropertyName) -> Option<&'a Value>) -> bool {
        match self {
            Self::All => true,
            Self::Compare { property, is, value: wanted } => value(property).is_some_and(|found| {
                let ordering = compare(found, wanted);
                match is {
                    Comparison::Eq => ordering == Some(Ordering::Equal),
                    Comparison::Ne => ordering != Some(Ordering::Equal),
                    Comparison::Lt => ordering == Some(Ordering::Less),
                    Comparison::Le => ordering.is_some_and(Ordering::is_le),
                    Comparison::Gt => ordering == Some(Ordering::Greater),
                    Comparison::Ge => ordering.is_some_and(Ordering::is_ge),
                }
            }),
            Self::In { property, values } => value(property).is_some_and(|found| {
                values.iter().any(|wanted| compare(found, wanted) == Some(Ordering::Equal))
            }),
            Self::Exists(property) => value(property).is_some(),
            Self::Contains { property, value: wanted } => match (value(property), wanted) {
                (Some(Value::Text(text)), Value::Text(part)) => text.contains(part.as_str()),
                (Some(Value::Map(entries)), Value::Text(key)) => entries.contains_key(key),
                (Some(Value::List(items)), item) => {
                    items.iter().any(|found| compare(found, item) == Some(Ordering::Equal))
                }
                _ => false,
            },
            Self::StartsWith { property, prefix } => value(property)
                .and_then(Value::as_text)
                .is_some_and(|text| text.starts_with(prefix.as_str())),
            Self::Matches { property, pattern } => {
                value(property).and_then(Value::as_text).is_some_and(|text| pattern.is_match(text))
            }
            Self::And(all) => all.iter().all(|predicate| predicate.holds(value)),
            Self::Or(any) => any.iter().any(|predicate| predicate.holds(value)),
            Self::Not(predicate) => !predicate.holds(value),
        }
    }
}

impl std::ops::Not for Predicate {
    type Output = Self;

    fn not(self) -> Self {
        Self::Not(Box::new(self))
    }
}

/// A property to put a condition on; see [`property`].
#[derive(Debug, Clone)]
pub struct Property(PropertyName);

/// Begins a condition on the property `name`.
///
/// ```
/// use prophet_store::{Predicate, property};
///
/// let adult = property("age")?.ge(18);
/// let open = property("status")?.is_in(["new", "open"]);
/// assert_eq!(adult.clone().and(open.clone()), Predicate::And(vec![adult, open]));
/// # Ok::<(), prophet_store::NameError>(())
/// ```
///
/// # Errors
/// What is not a property name.
pub fn property<N>(name: N) -> Result<Property, NameError>
where
    N: TryInto<PropertyName, Error: Into<NameError>>,
{
    Ok(Property(name.try_into().map_err(Into::into)?))
}

#[allow(
    clippy::should_implement_trait,
    reason = "these build predicates as query builders do; they do not compare properties"
)]
impl Property {
    fn compare(self, is: Comparison, value: impl Into<Value>) -> Predicate {
        Predicate::Compare { property: self.0, is, value: value.into() }
    }

    /// It equals `value`.
    #[must_use]
    pub fn eq(self, value: impl Into<Value>) -> Predicate {
        self.compare(Comparison::Eq, value)
    }

    /// It is there and does not equal `value`.
    #[must_use]
    pub fn ne(self, value: impl Into<Value>) -> Predicate {
        self.compare(Comparison::Ne, value)
    }

    /// It is less than `value`.
    #[must_use]
    pub fn lt(self, value: impl Into<Value>) -> Predicate {
        self.compare(Comparison::Lt, value)
    }

    /// It is at most `value`.
    #[must_use]
    pub fn le(self, value: impl Into<Value>) -> Predicate {
        self.compare(Comparison::Le, value)
    }

    /// It is greater than `value`.
    #[must_use]
    pub fn gt(self, value: impl Into<Value>) -> Predicate {
        self.compare(Comparison::Gt, value)
    }

    /// It is at least `value`.
    #[must_use]
    pub fn ge(self, value: impl Into<Value>) -> Predicate {
        self.compare(Comparison::Ge, value)
    }

    /// It equals one of `values`.
    #[must_use]
    pub fn is_in<V: Into<Value>>(self, values: impl IntoIterator<Item = V>) -> Predicate {
        Predicate::In { property: self.0, values: values.into_iter().map(Into::into).collect() }
    }

    /// The record has it.
    #[must_use]
    pub fn exists(self) -> Predicate {
        Predicate::Exists(self.0)
    }

    /// It is a text with this text in it, a list with this item, or a map with this key.
    #[must_use]
    pub fn contains(self, value: impl Into<Value>) -> Predicate {
        Predicate::Contains { property: self.0, value: value.into() }
    }

    /// It is a text that begins with `prefix`.
    #[must_use]
    pub fn starts_with(self, prefix: impl Into<String>) -> Predicate {
        Predicate::StartsWith { property: self.0, prefix: prefix.into() }
    }

    /// It is a text that the regular expression `pattern` matches somewhere.
    ///
    /// # Errors
    /// What is not a regular expression.
    pub fn matches(self, pattern: &str) -> Result<Predicate, InvalidPattern> {
        Ok(Predicate::Matches { property: self.0, pattern: Pattern::new(pattern)? })
    }
}
