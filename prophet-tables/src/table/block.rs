//! A block: entries in order, keys without what they share with the one before.

use std::ops::Range;

use super::error::Fault;
use super::part::MOST;
use super::wire::{Reader, put_number};
use crate::range::KeyRange;

/// The longest key.
pub(crate) const MOST_KEY: usize = u16::MAX as usize;

/// Where an entry is in the block.
#[derive(Debug)]
struct Slot {
    /// Where the key ends; it starts where the one before ends.
    key_end: u32,
    value: Option<Range<u32>>,
}

/// An unpacked block.
#[derive(Debug)]
pub(crate) struct Block {
    /// As it was packed; the values are in it.
    raw: Vec<u8>,
    /// All keys in full, one after the other.
    keys: Vec<u8>,
    slots: Vec<Slot>,
}

/// Adds an entry to the bytes of a block; `shared` bytes of the key are those of the one before.
pub(crate) fn put(raw: &mut Vec<u8>, shared: usize, key: &[u8], value: Option<&[u8]>) {
    let rest = key.get(shared..).unwrap_or_default();
    put_number(raw, shared as u64);
    put_number(raw, rest.len() as u64);
    put_number(raw, value.map_or(0, |value| value.len() as u64 + 1));
    raw.extend_from_slice(rest);
    raw.extend_from_slice(value.unwrap_or_default());
}

impl Block {
    pub(crate) fn decode(raw: Vec<u8>) -> Result<Self, Fault> {
        const LONG: Fault = Fault::Damaged("the keys of a block are too long");
        let (mut keys, mut slots) = (Vec::new(), Vec::new());
        let mut before = 0..0;
        let mut reader = Reader(&raw);
        while !reader.is_empty() {
            let (shared, rest) = (reader.count()?, reader.count()?);
            let value = reader.count()?.checked_sub(1);
            let rest = reader.raw(rest)?;
            if shared > before.len() {
                return Err(Fault::Damaged("a key shares more than there is"));
            }
            // What is shared is the same, so the rests are ordered as the keys are.
            let old: &[u8] = keys.get(before.start + shared..before.end).unwrap_or_default();
            if rest <= old && !slots.is_empty() {
                return Err(Fault::Damaged("the keys of a block do not rise"));
            }
            let start = keys.len();
            // Keys that share much unpack to more than there is in the file.
            if shared + rest.len() > MOST_KEY || start + shared + rest.len() > MOST {
                return Err(LONG);
            }
            keys.extend_from_within(before.start..before.start + shared);
            keys.extend_from_slice(rest);
            before = start..keys.len();
            let value = match value {
                None => None,
                Some(len) => {
                    let start = raw.len() - reader.0.len();
                    reader.raw(len)?;
                    let at = |place| u32::try_from(place).map_err(|_| LONG);
                    Some(at(start)?..at(start + len)?)
                }
            };
            slots.push(Slot { key_end: u32::try_from(keys.len()).map_err(|_| LONG)?, value });
        }
        if slots.is_empty() {
            return Err(Fault::Damaged("a block is empty"));
        }
        keys.shrink_to_fit();
        slots.shrink_to_fit();
        Ok(Self { raw, keys, slots })
    }

    pub(crate) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// About how much memory it takes.
    pub(crate) const fn cost(&self) -> usize {
        self.raw.capacity() + self.keys.capacity() + self.slots.capacity() * size_of::<Slot>() + 128
    }

    pub(crate) fn key(&self, number: usize) -> &[u8] {
        let before = number.checked_sub(1).and_then(|before| self.slots.get(before));
        let start = before.map_or(0, |before| before.key_end as usize);
        let end = self.slots.get(number).map_or(start, |slot| slot.key_end as usize);
        self.keys.get(start..end).unwrap_or_default()
    }

    /// The value of an entry; `None` if it is a tombstone.
    pub(crate) fn value(&self, number: usize) -> Option<&[u8]> {
        let value = self.slots.get(number)?.value.as_ref()?;
        self.raw.get(value.start as usize..value.end as usize)
    }

    /// The number of the entry with this key.
    pub(crate) fn find(&self, key: &[u8]) -> Option<usize> {
        let number = self.partition(|at| at < key);
        (number < self.len() && self.key(number) == key).then_some(number)
    }

    /// The numbers of the entries within a range.
    pub(crate) fn within(&self, range: &KeyRange) -> Range<usize> {
        self.partition(|key| range.is_before(key))..self.partition(|key| !range.is_beyond(key))
    }

    /// How many of the first keys are as `first` says.
    fn partition(&self, first: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if first(self.key(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entries_come_back() {
        let mut raw = Vec::new();
        put(&mut raw, 0, b"", Some(b"nothing"));
        put(&mut raw, 0, b"abc", None);
        put(&mut raw, 2, b"abd", Some(b""));
        let block = Block::decode(raw).unwrap();
        assert_eq!(block.len(), 3);
        assert_eq!(block.find(b""), Some(0));
        assert_eq!(block.value(0), Some(&b"nothing"[..]));
        assert_eq!((block.find(b"abc"), block.value(1)), (Some(1), None));
        assert_eq!((block.find(b"abd"), block.value(2)), (Some(2), Some(&b""[..])));
        assert_eq!(block.find(b"ab"), None);
        assert_eq!(block.within(&KeyRange::prefix(b"ab")), 1..3);
    }

    #[test]
    fn what_no_writer_writes_is_refused() {
        let block = |entries: &[(usize, &[u8])]| {
            let mut raw = Vec::new();
            for (shared, rest) in entries {
                for number in [*shared, rest.len(), 0] {
                    put_number(&mut raw, number as u64);
                }
                raw.extend_from_slice(rest);
            }
            Block::decode(raw)
        };
        assert!(block(&[(0, b"a"), (1, b"b")]).is_ok());
        let wrong: [&[(usize, &[u8])]; 6] = [
            &[],
            &[(1, b"a")],
            &[(0, b"b"), (0, b"a")],
            &[(0, b"b"), (0, b"b")],
            &[(0, b"b"), (1, b"")],
            &[(0, b"b"), (2, b"c")],
        ];
        for wrong in wrong {
            assert!(block(wrong).is_err(), "{wrong:?}");
        }
        // The longest keys, whole and shared, and one byte more.
        let long = vec![b'k'; MOST_KEY];
        let with_end = |shared: usize, end: u8| block(&[(0, &long), (shared, &[end])]);
        assert_eq!(with_end(MOST_KEY - 1, b'l').unwrap().key(1).len(), MOST_KEY);
        assert!(with_end(MOST_KEY, b'a').is_err());
        assert!(block(&[(0, &[b'k'; MOST_KEY + 1])]).is_err());
        // The lengths of these go beyond the end.
        assert!(Block::decode(vec![0, 5, 0, 1]).is_err());
        assert!(Block::decode(vec![0, 1, 9, 1]).is_err());
        assert!(Block::decode(vec![0, 253, 255, 255, 255, 255, 255, 255, 255, 255, 0]).is_err());
    }

    #[test]
    fn what_it_takes_is_told() {
        let mut raw = Vec::new();
        for number in 0..1_000_u32 {
            put(&mut raw, 0, &number.to_be_bytes(), Some(b"value"));
        }
        raw.shrink_to_fit();
        let least = raw.len() + 1_000 * (4 + size_of::<Slot>());
        let cost = Block::decode(raw).unwrap().cost();
        assert!((least..least + 1_000).contains(&cost), "{cost} of at least {least}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(
            raw in prop::collection::vec(prop_oneof![3 => 0..4_u8, 1 => any::<u8>()], 0..60),
        ) {
            if let Ok(block) = Block::decode(raw) {
                for number in 0..block.len() {
                    prop_assert_eq!(block.find(block.key(number)), Some(number));
                    let _ = block.value(number);
                }
            }
        }
    }
}
