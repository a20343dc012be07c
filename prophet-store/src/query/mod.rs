//! Queries: plain values that say which records, in what order and how many.

mod compare;
mod condition;
mod pattern;
mod predicate;

pub use condition::InvalidCondition;
pub use pattern::{InvalidPattern, Pattern};
pub use predicate::{Comparison, Predicate, Property, property};

pub(crate) use compare::compare_for_order;

use serde::{Deserialize, Serialize};

use crate::name::{NameError, PropertyName, RecordKey, RecordType};
use crate::store::Direction;
use crate::value::Value;

/// Which records to find: of one type, satisfying a predicate, in an order, so many at most.
///
/// A query is a plain value: it can be kept, sent and compared, and read from JSON.
///
/// ```
/// use prophet_store::{Query, property};
///
/// let query = Query::of("bug")?
///     .filter(property("status")?.eq("open").and(property("title")?.starts_with("CLI")))
///     .order_by("created", Default::default())?
///     .limit(10);
/// let json = serde_json::to_string(&query)?;
/// assert_eq!(serde_json::from_str::<Query>(&json)?, query);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    #[serde(rename = "type")]
    record_type: RecordType,
    #[serde(default)]
    filter: Predicate,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    contested: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    order: Vec<Order>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<Cursor>,
}

/// One step of an order: by this property, in this direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::exhaustive_structs, reason = "an order is a property and a direction")]
pub struct Order {
    /// The property. Records without it come after all others, before them when backward.
    pub property: PropertyName,
    /// From low to high, or from high to low.
    #[serde(default)]
    pub direction: Direction,
}

/// A place in the results of a query, after which another query can go on. It stays right while
/// records come and go: it names values, not a count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The order of the query that it comes from; it means nothing in another.
    order: Vec<Order>,
    /// What the record has under each property of the order.
    values: Vec<Option<Value>>,
    id: crate::id::RecordId,
}

impl Query {
    /// All records of one type.
    ///
    /// # Errors
    /// What is not a record type.
    pub fn of<T>(record_type: T) -> Result<Self, NameError>
    where
        T: TryInto<RecordType, Error: Into<NameError>>,
    {
        Ok(Self {
            record_type: record_type.try_into().map_err(Into::into)?,
            filter: Predicate::All,
            contested: false,
            order: Vec::new(),
            limit: None,
            after: None,
        })
    }

    /// Only those that satisfy this too.
    #[must_use]
    pub fn filter(mut self, predicate: Predicate) -> Self {
        self.filter = std::mem::take(&mut self.filter).and(predicate);
        self
    }

    /// Only records on which live writes disagree, decided or not: on a property, or on whether
    /// the record is to exist.
    #[must_use]
    pub const fn contested(mut self) -> Self {
        self.contested = true;
        self
    }

    /// Ordered by this property; where it is equal, by the next one asked for, and last by id.
    ///
    /// # Errors
    /// What is not a property name.
    pub fn order_by<N>(mut self, name: N, direction: Direction) -> Result<Self, NameError>
    where
        N: TryInto<PropertyName, Error: Into<NameError>>,
    {
        let property = name.try_into().map_err(Into::into)?;
        self.order.push(Order { property, direction });
        Ok(self)
    }

    /// At most this many.
    #[must_use]
    pub const fn limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Only what comes after this place, which a query with the same order gave.
    #[must_use]
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// The type of the records.
    pub const fn record_type(&self) -> &RecordType {
        &self.record_type
    }

    /// What they satisfy.
    pub const fn predicate(&self) -> &Predicate {
        &self.filter
    }

    /// The same records without an order, a limit or a place to begin: what a count counts.
    pub(crate) fn all(&self) -> Self {
        Self { order: Vec::new(), limit: None, after: None, ..self.clone() }
    }

    pub(crate) const fn is_of_contested(&self) -> bool {
        self.contested
    }

    pub(crate) fn order(&self) -> &[Order] {
        &self.order
    }

    pub(crate) const fn most(&self) -> Option<u64> {
        self.limit
    }

    pub(crate) const fn start(&self) -> Option<&Cursor> {
        self.after.as_ref()
    }

    /// The place of a record in the order of this query.
    pub(crate) fn cursor<'a>(
        &self,
        key: &RecordKey,
        value: impl Fn(&PropertyName) -> Option<&'a Value>,
    ) -> Cursor {
        let values = self.order.iter().map(|order| value(&order.property).cloned()).collect();
        Cursor { order: self.order.clone(), values, id: key.id() }
    }

    /// Whether where it starts is a place in its own order.
    pub(crate) fn has_its_own_cursor(&self) -> bool {
        self.after.as_ref().is_none_or(|cursor| {
            cursor.order == self.order && cursor.values.len() == self.order.len()
        })
    }

    /// The record after which the results begin, where they come in the order of their ids.
    pub(crate) fn first_after(&self) -> Option<RecordKey> {
        let start = self.after.as_ref().filter(|_| self.order.is_empty())?;
        Some(RecordKey::new(self.record_type.clone(), start.id))
    }

    /// Orders two places in the results.
    pub(crate) fn compare(&self, one: &Cursor, other: &Cursor) -> std::cmp::Ordering {
        let places = one.values.iter().zip(&other.values).zip(&self.order);
        for ((one, other), order) in places {
            let ordering = compare_for_order(one.as_ref(), other.as_ref());
            let ordering = match order.direction {
                Direction::Forward => ordering,
                Direction::Backward => ordering.reverse(),
            };
            if ordering.is_ne() {
                return ordering;
            }
        }
        one.id.cmp(&other.id)
    }
}
