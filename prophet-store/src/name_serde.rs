//! Record keys and digests in serde's data model: text, keys in the form `type/id`.
//!
//! A key's text stands within a newtype struct whose name the [typed](crate::typed) serializer knows,
//! so that the key of a record in a field of an app's struct becomes a reference and not a text.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::id::{ConflictId, Digest};
use crate::name::RecordKey;
use crate::value_serde::REFERENCE_NEWTYPE;

impl Serialize for RecordKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(REFERENCE_NEWTYPE, &self.to_string())
    }
}

impl<'de> Deserialize<'de> for RecordKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(REFERENCE_NEWTYPE, KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = RecordKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reference to a record")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RecordKey, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<RecordKey, D::Error> {
        inner.deserialize_str(self)
    }
}

macro_rules! as_text {
    ($($digest:ty)*) => {$(
        impl Serialize for $digest {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $digest {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

as_text! { Digest ConflictId }
