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
