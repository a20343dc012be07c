//! Identifiers, digests and the numbers that order things.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// A text is not an identifier of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a {expected}: {why}")]
#[non_exhaustive]
pub struct ParseIdError {
    /// The kind of identifier expected.
    pub expected: &'static str,
    /// The text that was given.
    pub given: String,
    /// What is wrong with it.
    pub why: String,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(Uuid);

        /// Bytewise.
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                self.0.as_u128().cmp(&other.0.as_u128())
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $name {
            /// The identifier with exactly these 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes of the identifier.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The identifier as a UUID.
            pub const fn uuid(&self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self).map_err(|error| ParseIdError {
                    expected: $expected,
                    given: text.to_owned(),
                    why: error.to_string(),
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

uuid_id!(
    /// What all replicas of one database share.
    DatabaseId,
    "database id (a UUID)"
);
uuid_id!(
    /// One replica of a database: an instance with a log of its own.
    ReplicaId,
    "replica id (a UUID)"
);
uuid_id!(
    /// A record's identity within its type.
    RecordId,
    "record id (a UUID)"
);
uuid_id!(
    /// The identity of one [`Commit`](crate::Commit): sent twice, it is applied once.
    CommitId,
    "commit id (a UUID)"
);

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name([u8; 32]);

        /// By all its bytes: a reference to what was never made may have any.
        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                state.write(&self.0);
            }
        }

        impl $name {
            /// The digest with exactly these 32 bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes of the digest.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The BLAKE3 digest of `bytes`.
            pub fn of(bytes: &[u8]) -> Self {
                Self(*blake3::hash(bytes).as_bytes())
            }
        }

        /// Sixty-four lower-case hexadecimal digits; the alternate form `{:#}` gives the first 12.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // At once, for logs made of text are full of them.
                let mut digits = [0; 64];
                for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
                    *pair = [byte >> 4, byte & 0xF].map(|digit| match digit {
                        0..=9 => b'0' + digit,
                        _ => b'a' + digit - 10,
                    });
                }
                let shown = if f.alternate() { 12 } else { digits.len() };
                f.write_str(digits.get(..shown).map_or("", |digits| {
                    std::str::from_utf8(digits).unwrap_or_default()
                }))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self:#}")
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let fail = |why: &str| ParseIdError {
                    expected: $expected,
                    given: text.to_owned(),
                    why: why.to_owned(),
                };
                if text.len() != 64 {
                    return Err(fail("it does not have 64 digits"));
                }
                let mut bytes = [0; 32];
                let (pairs, _) = text.as_bytes().as_chunks::<2>();
                for (byte, pair) in bytes.iter_mut().zip(pairs) {
                    let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
                    let (Some(high), Some(low)) = (high, low) else {
                        return Err(fail("not all of it is hexadecimal"));
                    };
                    *byte = u8::try_from(high * 16 + low).unwrap_or_default();
                }
                Ok(Self(bytes))
            }
        }
    };
}

digest!(
    /// The identity of a changeset: BLAKE3 of its canonical header.
    ///
    /// Everything that refers to a changeset (parents, what a write supersedes, votes) refers to
    /// it by digest, so history is tamper-evident.
    Digest,
    "changeset digest"
);
digest!(
    /// The identity of a conflict: BLAKE3 of record type, record id, register and the distinct
    /// values that disagree.
    ///
    /// Values, not changesets: the same disagreement is the same conflict whoever had it and in
    /// whatever order it was met.
    ConflictId,
    "conflict id"
);

impl Digest {
    /// The first and the last 16 bytes.
    pub(crate) const fn halves(&self) -> [[u8; 16]; 2] {
        let (mut first, mut last) = ([0; 16], [0; 16]);
        first.copy_from_slice(self.0.split_at(16).0);
        last.copy_from_slice(self.0.split_at(16).1);
        [first, last]
    }
}

/// The place of a changeset among those that one replica authored: 1, 2, 3... without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(NonZeroU64);

impl Sequence {
    /// The first changeset of a replica.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// The sequence number `number`, or `None` for zero.
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number, at least 1.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The next sequence number.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(u64);

        impl $name {
            /// Before the first one.
            pub const ZERO: Self = Self(0);

            /// The one with this number.
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// Its number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The next one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter!(
    /// A place in a replica's own log: entries have positions 1, 2, 3...; [`Position::ZERO`] is
    /// the empty replica before the first of them.
    Position
);
counter!(
    /// How many commits a replica has seen: 0 when it was created, then 1, 2, 3...
    Version
);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::{BuildHasher as _, RandomState};

    use super::*;

    /// References to what was never made may be chosen so that they share whatever they like.
    #[test]
    fn digests_that_share_bytes_are_not_hashed_alike() {
        let state = RandomState::new();
        let of = |place: usize| {
            let mut bytes = [7; 32];
            bytes[place] = 8;
            state.hash_one(Digest::from_bytes(bytes))
        };
        assert_eq!((0..32).map(of).collect::<HashSet<_>>().len(), 32);
    }
}
