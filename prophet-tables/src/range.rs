//! Ranges of keys.

use std::ops::Bound;

use prophet_store::Direction;

/// A range of keys, in bytewise order.
///
/// ```
/// use prophet_store::Direction;
/// use prophet_tables::KeyRange;
///
/// let range = KeyRange::prefix(b"a");
/// assert!(range.contains(b"ab") && !range.contains(b"b"));
/// assert!(!range.after(b"ab", Direction::Forward).contains(b"ab"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a range has two ends")]
pub struct KeyRange {
    /// Where it starts.
    pub start: Bound<Vec<u8>>,
    /// Where it ends.
    pub end: Bound<Vec<u8>>,
}

impl KeyRange {
    /// All keys.
    pub const fn all() -> Self {
        Self { start: Bound::Unbounded, end: Bound::Unbounded }
    }

    /// The keys that begin with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        let mut end = prefix.to_vec();
        // What follows all keys with the prefix: the prefix with its last byte raised, where a
        // byte that cannot be raised is left out.
        while end.pop_if(|byte| *byte == u8::MAX).is_some() {}
        let end = match end.last_mut() {
            Some(last) => {
                *last += 1;
                Bound::Excluded(end)
            }
            None => Bound::Unbounded,
        };
        Self { start: Bound::Included(prefix.to_vec()), end }
    }

    /// The part of the range beyond `cursor` in a direction: where a scan goes on.
    #[must_use]
    pub fn after(mut self, cursor: &[u8], direction: Direction) -> Self {
        // A cursor outside of the range does not widen it.
        match direction {
            Direction::Forward => {
                if let Bound::Included(start) | Bound::Excluded(start) = &self.start
                    && cursor < start.as_slice()
                {
                    return self;
                }
                self.start = Bound::Excluded(cursor.to_vec());
            }
            Direction::Backward => {
                if let Bound::Included(end) | Bound::Excluded(end) = &self.end
                    && cursor > end.as_slice()
                {
                    return self;
                }
                self.end = Bound::Excluded(cursor.to_vec());
            }
        }
        self
    }

    /// Whether a key is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        !self.is_before(key) && !self.is_beyond(key)
    }

    /// Whether no key can be in the range.
    pub fn is_empty(&self) -> bool {
        match (&self.start, &self.end) {
            (Bound::Unbounded, Bound::Excluded(end)) => end.is_empty(),
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
            (Bound::Included(start), Bound::Included(end)) => start > end,
            (Bound::Included(start), Bound::Excluded(end)) => start >= end,
            (Bound::Excluded(start), Bound::Included(end)) => start >= end,
            // Between a key and the same with a zero byte there is none.
            (Bound::Excluded(start), Bound::Excluded(end)) => match end.strip_suffix(&[0]) {
                Some(before) => start.as_slice() >= before,
                None => start >= end,
            },
        }
    }

    /// The bounds, borrowed.
    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (self.start.as_ref().map(Vec::as_slice), self.end.as_ref().map(Vec::as_slice))
    }

    /// Whether a key is before the start of the range.
    pub(crate) fn is_before(&self, key: &[u8]) -> bool {
        match &self.start {
            Bound::Included(start) => key < start.as_slice(),
            Bound::Excluded(start) => key <= start.as_slice(),
            Bound::Unbounded => false,
        }
    }

    /// Whether a key is beyond the end of the range.
    pub(crate) fn is_beyond(&self, key: &[u8]) -> bool {
        match &self.end {
            Bound::Included(end) => key > end.as_slice(),
            Bound::Excluded(end) => key >= end.as_slice(),
            Bound::Unbounded => false,
        }
    }
}
