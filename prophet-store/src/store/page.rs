//! Reads: what is asked for, and the pages that answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{ConflictId, Digest, Position, ReplicaId, Sequence};
use crate::name::{RecordKey, RecordType};
use crate::query::Predicate;
use crate::store::{Head, MetadataKey};

/// One page of a scan, all of it read at one head.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "the fields of a page are fixed by the contract")]
pub struct Page<T, C> {
    /// What was found, in the order of the scan.
    pub items: Vec<T>,
    /// Where the scan goes on: the cursor to put into `after`. `None` ends the scan; an empty page
    /// need not. A cursor is a plain value that works on any handle of the replica, and later.
    pub more: Option<C>,
    /// The head that the page was read at.
    pub at: Head,
}

/// Fills a [`Page`] up to its limit: for those who implement a store.
///
/// Whether it is full is asked when there is one item more, so that a page that ends where the scan
/// does says so.
///
/// ```
/// use prophet_store::{Head, Page, PageBuilder, PageLimit};
///
/// fn scan(numbers: &[u64], after: u64) -> Page<u64, u64> {
///     let mut page = PageBuilder::new(PageLimit::items(2), Head::EMPTY);
///     for &number in numbers.iter().filter(|number| **number > after) {
///         if page.is_full() {
///             return page.unfinished();
///         }
///         page.push(number * 10, number, size_of::<u64>());
///     }
///     page.finished()
/// }
/// let page = scan(&[1, 2, 3, 4], 0);
/// assert_eq!((page.items, page.more), (vec![10, 20], Some(2)));
/// let page = scan(&[1, 2, 3, 4], 2);
/// assert_eq!((page.items, page.more), (vec![30, 40], None));
/// ```
#[derive(Debug)]
pub struct PageBuilder<T, C> {
    limit: PageLimit,
    at: Head,
    items: Vec<T>,
    last: Option<C>,
    bytes: usize,
}

impl<T, C> PageBuilder<T, C> {
    /// An empty page that is read at `at`.
    pub const fn new(limit: PageLimit, at: Head) -> Self {
        Self { limit, at, items: Vec::new(), last: None, bytes: 0 }
    }

    /// Whether nothing more fits.
    pub const fn is_full(&self) -> bool {
        let (items, bytes) = (self.items.len(), self.bytes);
        items > 0 && (items >= self.limit.items || bytes >= self.limit.bytes)
    }

    /// Adds an item of about this many bytes; `cursor` is where the scan would go on after it. What
    /// counts is what grows: a state's
    /// [`approximate_size`](crate::RecordState::approximate_size), the payload of an entry, the
    /// length of a value, and a constant for the rest.
    pub fn push(&mut self, item: T, cursor: C, bytes: usize) {
        self.items.push(item);
        self.last = Some(cursor);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// The page of a scan that has come to its end.
    pub fn finished(self) -> Page<T, C> {
        Page { items: self.items, more: None, at: self.at }
    }

    /// The page of a scan that goes on after the last item.
    pub fn unfinished(self) -> Page<T, C> {
        Page { items: self.items, more: self.last, at: self.at }
    }
}

/// The answer to a read of named things, all of it read at one head.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "the fields are fixed by the contract")]
pub struct Read<T> {
    /// What was found.
    pub value: T,
    /// The head that it was read at.
    pub at: Head,
}

/// How many records exist, of each type that has any.
pub type RecordCounts = BTreeMap<RecordType, u64>;

/// Which way a scan goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums, reason = "there is no third direction")]
pub enum Direction {
    /// From low to high.
    #[default]
    Forward,
    /// From high to low.
    Backward,
}

/// How much one page may hold. A page ends when either is reached, but holds at least one item
/// where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the bounds of a page are fixed by the contract")]
pub struct PageLimit {
    /// Most items, at least 1; [`PageBuilder`] takes 0 for 1.
    pub items: usize,
    /// Roughly how many bytes: the item that reaches it is the last one.
    pub bytes: usize,
}

impl PageLimit {
    /// At most this many items, and about a mebibyte.
    pub const fn items(items: usize) -> Self {
        Self { items: if items == 0 { 1 } else { items }, bytes: 1 << 20 }
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        Self::items(256)
    }
}

/// A scan of records, by type and then id, bytewise.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "built with `..Default::default()`")]
pub struct RecordScan {
    /// Only records of this type.
    pub record_type: Option<RecordType>,
    /// Only records after this one.
    pub after: Option<RecordKey>,
    /// A hint: the store may leave out records that do not satisfy this, must give every one that
    /// does, and need not look at it at all. Whoever asks tests what comes.
    pub hint: Option<Predicate>,
    /// How much a page may hold.
    pub limit: PageLimit,
}

/// A scan of the log, by position.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "built with `..Default::default()`")]
pub struct LogScan {
    /// Only entries beyond this position, in the direction of the scan.
    pub after: Option<Position>,
    /// Which way.
    pub direction: Direction,
    /// How much a page may hold.
    pub limit: PageLimit,
}

/// A scan of the entries that touch one record, by position.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "the fields are fixed by the contract")]
pub struct HistoryScan {
    /// The record.
    pub record: RecordKey,
    /// Only entries beyond this position, in the direction of the scan.
    pub after: Option<Position>,
    /// Which way.
    pub direction: Direction,
    /// How much a page may hold.
    pub limit: PageLimit,
}

/// A scan of the changesets of one origin, by sequence and then digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the fields are fixed by the contract")]
pub struct OriginScan {
    /// The origin.
    pub origin: ReplicaId,
    /// Only changesets beyond this one, in the direction of the scan.
    pub after: Option<OriginCursor>,
    /// Which way.
    pub direction: Direction,
    /// How much a page may hold.
    pub limit: PageLimit,
}

/// Orders the changesets of one origin; the digest tells the branches of a forked one apart.
pub type OriginCursor = (Sequence, Digest);

/// Where a changeset of an origin is in this log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the fields are fixed by the contract")]
pub struct Authorship {
    /// Its place among what the origin authored.
    pub sequence: Sequence,
    /// Its identity.
    pub digest: Digest,
    /// Its place here.
    pub position: Position,
}

/// A scan of the resolution database, by conflict and then changeset, bytewise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "built with `..Default::default()`")]
pub struct ResolutionScan {
    /// Only votes on this conflict.
    pub conflict: Option<ConflictId>,
    /// Only votes after this one.
    pub after: Option<ResolutionCursor>,
    /// How much a page may hold.
    pub limit: PageLimit,
}

/// Orders resolutions. One changeset can vote on many conflicts, and on one conflict but once.
pub type ResolutionCursor = (ConflictId, Digest);

/// A scan of metadata, by key, bytewise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "built with `..Default::default()`")]
pub struct MetadataScan {
    /// Only keys that begin with this.
    pub prefix: String,
    /// Only keys after this one.
    pub after: Option<MetadataKey>,
    /// How much a page may hold.
    pub limit: PageLimit,
}
