//! What was asked of a bucket, counted: numbers of requests are promises.

use std::collections::BTreeMap;

use crate::fault::Kind;

/// Requests of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Count {
    /// How many, refused ones included.
    pub requests: u64,
    /// How many keys they named, or listed.
    pub keys: u64,
    /// How many bytes of content came in.
    pub sent: u64,
    /// How many bytes of content went out, lost answers included.
    pub received: u64,
}

impl Count {
    fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            keys: self.keys.saturating_add(other.keys),
            sent: self.sent.saturating_add(other.sent),
            received: self.received.saturating_add(other.received),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(other.requests),
            keys: self.keys.saturating_sub(other.keys),
            sent: self.sent.saturating_sub(other.sent),
            received: self.received.saturating_sub(other.received),
        }
    }
}

/// Requests, counted by kind.
///
/// ```
/// # use futures_lite::future::block_on;
/// use object_store::{ObjectStoreExt as _, path::Path};
/// use prophet_bucket::{Bucket, Kind};
///
/// # block_on(async {
/// let bucket = Bucket::new(1);
/// let before = bucket.requests();
/// bucket.store().put(&Path::from("a"), "four".into()).await?;
/// let asked = bucket.requests().since(&before);
/// assert_eq!(asked.total().requests, 1);
/// assert_eq!(asked.of(Kind::Put).sent, 4);
/// # Ok::<_, object_store::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requests {
    counts: BTreeMap<Kind, Count>,
}

impl Requests {
    /// Those of one kind.
    pub fn of(&self, kind: Kind) -> Count {
        self.counts.get(&kind).copied().unwrap_or_default()
    }

    /// Those of all kinds.
    pub fn total(&self) -> Count {
        self.counts.values().fold(Count::default(), |total, count| total.plus(*count))
    }

    /// Those that came since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let counts =
            self.counts.iter().map(|(kind, count)| (*kind, count.minus(earlier.of(*kind))));
        Self { counts: counts.filter(|(_, count)| *count != Count::default()).collect() }
    }

    pub(crate) fn came(&mut self, kind: Kind, keys: u64, sent: u64) {
        self.add(kind, Count { requests: 1, keys, sent, received: 0 });
    }

    pub(crate) fn went(&mut self, kind: Kind, keys: u64, received: u64) {
        self.add(kind, Count { requests: 0, keys, sent: 0, received });
    }

    fn add(&mut self, kind: Kind, count: Count) {
        let known = self.counts.entry(kind).or_default();
        *known = known.plus(count);
    }
}

impl std::fmt::Display for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (kind, count) in &self.counts {
            let Count { requests, keys, sent, received } = count;
            writeln!(f, "{kind:?}: {requests} ({keys} keys, {sent} B in, {received} B out)")?;
        }
        Ok(())
    }
}
