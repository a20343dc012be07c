//! Names that people choose: record types, property names, creators.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{ParseIdError, RecordId};
use crate::limits::{self, LimitExceeded};

/// A name is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The empty name.
    #[error("a {what} must not be empty; give it at least one character")]
    #[non_exhaustive]
    Empty {
        /// What was named.
        what: &'static str,
    },
    /// A control character, which neither a terminal nor a file name can show.
    #[error("{what} {given:?} has the control character {character:?}; leave it out")]
    #[non_exhaustive]
    ControlCharacter {
        /// What was named.
        what: &'static str,
        /// The name as given.
        given: String,
        /// The first offending character.
        character: char,
    },
    /// The name is too long.
    #[error(transparent)]
    TooLong(#[from] LimitExceeded),
}

impl From<std::convert::Infallible> for NameError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $limit:path, empty: $empty:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Accepts `text` as it stands: no case folding, no Unicode normalisation.
            ///
            /// # Errors
            /// Control characters and names above the limit are refused, and so is an empty name
            /// where it would mean nothing.
            pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
                let text = text.as_ref();
                if text.is_empty() && !$empty {
                    return Err(NameError::Empty { what: $what });
                }
                let actual = text.len() as u64;
                limits::check(|| format!("a {}", $what), "bytes", $limit, actual)?;
                // Of ASCII that shows there is nothing to find out.
                let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
                if !plain && let Some(character) = text.chars().find(|c| c.is_control()) {
                    let given = text.to_owned();
                    return Err(NameError::ControlCharacter { what: $what, given, character });
                }
                Ok(Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NameError;

            fn try_from(text: &str) -> Result<Self, Self::Error> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::new(text)
            }
        }

        impl TryFrom<&$name> for $name {
            type Error = NameError;

            fn try_from(name: &$name) -> Result<Self, Self::Error> {
                Ok(name.clone())
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// The type of a record, such as `bug` or `person`.
    ///
    /// Types that begin with `_` belong to Prophet itself; the engine refuses to let an app
    /// create records of them.
    ///
    /// ```
    /// use prophet_store::RecordType;
    ///
    /// assert_eq!(RecordType::new("bug")?.as_str(), "bug");
    /// assert!(RecordType::new("").is_err());
    /// assert!(RecordType::new("a\nb").is_err());
    /// # Ok::<(), prophet_store::NameError>(())
    /// ```
    RecordType,
    "record type",
    limits::NAME_BYTES,
    empty: false
);
name!(
    /// The name of a property.
    PropertyName,
    "property name",
    limits::NAME_BYTES,
    empty: false
);
name!(
    /// Who made a changeset, as they call themselves; it may be empty.
    Creator,
    "creator",
    limits::CREATOR_BYTES,
    empty: true
);

impl Creator {
    /// Nobody in particular.
    pub fn empty() -> Self {
        Self("".into())
    }
}

impl RecordType {
    /// Whether the type belongs to Prophet itself.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('_')
    }
}

/// A record's full identity: its type and its id, ordered by type and then id, bytewise.
///
/// As text it is `type/id`.
///
/// ```
/// use prophet_store::RecordKey;
///
/// let key: RecordKey = "bug/018f2d6e-7b1c-7000-8000-000000000001".parse()?;
/// assert_eq!(key.record_type().as_str(), "bug");
/// assert_eq!(key.to_string(), "bug/018f2d6e-7b1c-7000-8000-000000000001");
/// # Ok::<(), prophet_store::ParseIdError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    record_type: RecordType,
    id: RecordId,
}

impl RecordKey {
    /// The record of this type with this id.
    pub const fn new(record_type: RecordType, id: RecordId) -> Self {
        Self { record_type, id }
    }

    /// The record's type.
    pub const fn record_type(&self) -> &RecordType {
        &self.record_type
    }

    /// The record's id within its type.
    pub const fn id(&self) -> RecordId {
        self.id
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.record_type, self.id)
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RecordKey {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |why: String| ParseIdError {
            expected: "record (type/UUID)",
            given: text.to_owned(),
            why,
        };
        let (record_type, id) =
            text.rsplit_once('/').ok_or_else(|| fail("it has no '/'".to_owned()))?;
        Ok(Self {
            record_type: RecordType::new(record_type).map_err(|error| fail(error.to_string()))?,
            id: id.parse().map_err(|error: ParseIdError| fail(error.why))?,
        })
    }
}
