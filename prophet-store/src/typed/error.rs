//! What is wrong with a typed record, and where.

use std::fmt::Display;

use serde::de::{Expected, Unexpected};

/// A typed value and properties do not fit one another.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use prophet_store::Properties;
///
/// let page = BTreeMap::from([("clicks", [7, u64::MAX])]);
/// let error = Properties::from_serialize(&page).unwrap_err();
/// assert_eq!(error.path, "clicks[1]");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{why}", Self::place(path))]
#[non_exhaustive]
pub struct TypedError {
    /// Where, from the record inwards: `address.zip`, `tags[2]`; empty for the record itself.
    pub path: String,
    /// What was found there and what was expected.
    pub why: String,
}

impl TypedError {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { path: String::new(), why: why.into() }
    }

    fn place(path: &str) -> String {
        if path.is_empty() { String::new() } else { format!("{path}: ") }
    }

    /// The same error, seen from the map around it.
    pub(super) fn under(mut self, key: &str) -> Self {
        self.path = match self.path.as_str() {
            "" => key.to_owned(),
            path if path.starts_with('[') => format!("{key}{path}"),
            path => format!("{key}.{path}"),
        };
        self
    }

    /// The same error, seen from the list around it.
    pub(super) fn at(self, index: usize) -> Self {
        self.under(&format!("[{index}]"))
    }
}

impl serde::ser::Error for TypedError {
    fn custom<T: Display>(why: T) -> Self {
        Self::new(why.to_string())
    }
}

impl serde::de::Error for TypedError {
    fn custom<T: Display>(why: T) -> Self {
        Self::new(why.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("found {found}, expected {expected}"))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("found {found}, expected {expected}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new("is absent, but it is needed").under(field)
    }
}
