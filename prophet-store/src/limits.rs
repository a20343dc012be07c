//! The limits of the format: the same on every backend, refused with the limit and the size named.
//!
//! A limit belongs to the format and not to a store, because a changeset that one replica accepts
//! must be acceptable to all: otherwise one replica would block what another has.

/// Longest record type or property name, in bytes of UTF-8.
pub const NAME_BYTES: u64 = 255;
/// Longest creator, in bytes of UTF-8.
pub const CREATOR_BYTES: u64 = 1_024;
/// Largest single value, in bytes of its canonical encoding.
pub const VALUE_BYTES: u64 = 32 << 20;
/// Deepest nesting of lists and maps within one value; a plain value has depth 1.
pub const VALUE_DEPTH: u64 = 64;
/// Most values nested within one value, the outermost one counted.
pub const VALUE_NODES: u64 = 1 << 20;
/// Largest changeset, in bytes of its canonical payload.
pub const CHANGESET_BYTES: u64 = 128 << 20;
/// Largest commit, in bytes as [`Commit::size`](crate::Commit::size) counts them.
pub const COMMIT_BYTES: u64 = 512 << 20;
/// Most log entries in one commit.
pub const COMMIT_ENTRIES: u64 = 1 << 16;
/// Longest metadata key, in bytes.
pub const METADATA_KEY_BYTES: u64 = 255;
/// Largest metadata value, in bytes.
pub const METADATA_VALUE_BYTES: u64 = 1 << 20;

/// Something is larger than the format allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} has {actual} {unit}, but at most {allowed} are allowed; make it smaller or split it"
)]
#[non_exhaustive]
pub struct LimitExceeded {
    /// What is too large, for example `value of property "photo"`.
    pub what: String,
    /// What is counted, for example `bytes`.
    pub unit: &'static str,
    /// The most that is allowed.
    pub allowed: u64,
    /// What was given.
    pub actual: u64,
}

/// Refuses `actual` above `allowed`; `what` is only called to word the refusal.
pub(crate) fn check(
    what: impl FnOnce() -> String,
    unit: &'static str,
    allowed: u64,
    actual: u64,
) -> Result<(), LimitExceeded> {
    if actual <= allowed {
        Ok(())
    } else {
        Err(LimitExceeded { what: what(), unit, allowed, actual })
    }
}
