//! Regular expressions as plain values.

use std::fmt;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A regular expression that compiled; it compares and serialises by its text.
#[derive(Clone)]
pub struct Pattern(Regex);

/// A text is not a regular expression, or one too large.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a usable regular expression: {why}")]
#[non_exhaustive]
pub struct InvalidPattern {
    /// The text that was given.
    pub given: String,
    /// What is wrong with it.
    pub why: String,
}

impl Pattern {
    /// Compiles `text`, in the syntax of the `regex` crate. Matching takes linear time.
    ///
    /// # Errors
    /// What is not a regular expression, or would take more than a mebibyte compiled.
    pub fn new(text: &str) -> Result<Self, InvalidPattern> {
        RegexBuilder::new(text)
            .size_limit(1 << 20)
            .build()
            .map(Self)
            .map_err(|error| InvalidPattern { given: text.to_owned(), why: error.to_string() })
    }

    /// The text it was compiled from.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it matches somewhere in `text`.
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}
