//! The index: the last key and the place of each block.

use std::ops::{Bound, Range};

use super::block::MOST_KEY;
use super::error::Fault;
use super::wire::{Reader, put_number};
use crate::range::KeyRange;

/// Where a block is.
#[derive(Debug)]
pub(crate) struct Place {
    last: Box<[u8]>,
    pub(crate) offset: u64,
    pub(crate) len: usize,
}

/// Which block has which keys.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// The first key of all.
    first: Box<[u8]>,
    places: Vec<Place>,
}

/// The bytes of an index, as it grows.
#[derive(Debug, Default)]
pub(crate) struct IndexWriter {
    raw: Vec<u8>,
}

impl IndexWriter {
    /// Adds a block of `len` bytes; `first` is its first key.
    pub(crate) fn add(&mut self, first: &[u8], last: &[u8], len: u64) {
        if self.raw.is_empty() {
            put_number(&mut self.raw, first.len() as u64);
            self.raw.extend_from_slice(first);
        }
        put_number(&mut self.raw, len);
        put_number(&mut self.raw, last.len() as u64);
        self.raw.extend_from_slice(last);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.raw
    }
}

impl Index {
    /// Reads an index; the blocks that it names have `blocks` bytes together.
    pub(crate) fn decode(raw: &[u8], blocks: u64) -> Result<Self, Fault> {
        const WRONG: Fault = Fault::Damaged("the lengths in the index are wrong");
        let mut index = Self::default();
        let mut reader = Reader(raw);
        let mut offset = 0_u64;
        if !reader.is_empty() {
            index.first = key(&mut reader)?.into();
            let mut before = None;
            while !reader.is_empty() || before.is_none() {
                let len = reader.count()?;
                let last = key(&mut reader)?;
                if last < &*index.first || before.is_some_and(|before| last <= before) {
                    return Err(Fault::Damaged("the keys of the index do not rise"));
                }
                before = Some(last);
                index.places.push(Place { last: last.into(), offset, len });
                offset = offset.checked_add(len as u64).ok_or(WRONG)?;
            }
        }
        if offset == blocks { Ok(index) } else { Err(WRONG) }
    }

    pub(crate) const fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn place(&self, number: usize) -> Option<&Place> {
        self.places.get(number)
    }

    /// The first and the last key of all.
    pub(crate) fn ends(&self) -> Option<(&[u8], &[u8])> {
        self.places.last().map(|place| (&*self.first, &*place.last))
    }

    /// The block that has a key if any has.
    pub(crate) fn find(&self, key: &[u8]) -> Option<usize> {
        let number = self.places.partition_point(|place| &*place.last < key);
        (number < self.len() && key >= &*self.first).then_some(number)
    }

    /// The blocks that can have keys of a range.
    pub(crate) fn within(&self, range: &KeyRange) -> Range<usize> {
        if range.is_empty() || range.is_beyond(&self.first) {
            return 0..0;
        }
        let start = self.places.partition_point(|place| range.is_before(&place.last));
        let end = match &range.end {
            Bound::Unbounded => self.len(),
            // The first block whose last key is not before the end still has some.
            Bound::Included(end) | Bound::Excluded(end) => {
                let end = self.places.partition_point(|place| &*place.last < end.as_slice());
                self.len().min(end + 1)
            }
        };
        start..end.max(start)
    }

    /// Whether a block from `first` to `last` is the one that the index names.
    pub(crate) fn agrees(&self, number: usize, first: &[u8], last: &[u8]) -> bool {
        let after = match number.checked_sub(1).and_then(|before| self.place(before)) {
            None => first == &*self.first,
            Some(before) => first > &*before.last,
        };
        after && self.place(number).is_some_and(|place| &*place.last == last)
    }
}

fn key<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Fault> {
    let len = reader.count()?;
    if len > MOST_KEY {
        return Err(Fault::Damaged("a key of the index is too long"));
    }
    reader.raw(len)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn index() -> Vec<u8> {
        let mut writer = IndexWriter::default();
        writer.add(b"b", b"d", 10);
        writer.add(b"e", b"e", 300);
        writer.add(b"f", b"h", 5);
        writer.bytes().to_vec()
    }

    #[test]
    fn it_knows_which_block() {
        let index = Index::decode(&index(), 315).unwrap();
        assert_eq!(index.ends(), Some((&b"b"[..], &b"h"[..])));
        for (key, block) in [("a", None), ("b", Some(0)), ("dd", Some(1)), ("i", None)] {
            assert_eq!(index.find(key.as_bytes()), block, "{key}");
        }
        assert_eq!(index.place(2).map(|place| (place.offset, place.len)), Some((310, 5)));
        // That the last block begins at "f" is not in the index.
        for (prefix, blocks) in [("a", 0..0), ("c", 0..1), ("e", 1..3), ("", 0..3), ("i", 3..3)] {
            assert_eq!(index.within(&KeyRange::prefix(prefix.as_bytes())), blocks, "{prefix}");
        }
        assert!(index.agrees(1, b"e", b"e") && !index.agrees(1, b"d", b"e"));
        assert!(!index.agrees(0, b"a", b"d") && !index.agrees(2, b"f", b"g"));
    }

    #[test]
    fn lengths_have_to_fit() {
        assert!(Index::decode(&index(), 314).is_err());
        assert!(Index::decode(&[], 1).is_err());
        assert!(Index::decode(&[], 0).is_ok());
        assert!(Index::decode(&[0], 0).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(
            raw in prop::collection::vec(prop_oneof![3 => 0..4_u8, 1 => any::<u8>()], 0..60),
            blocks in 0..20_u64,
        ) {
            let _ = Index::decode(&raw, blocks);
        }
    }
}
