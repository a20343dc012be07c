//! Values in pieces.
//!
//! What sled calls a blob, anything that makes a page longer than a quarter of a segment, it puts into
//! a file of its own that it never syncs. A page has some twenty keys at most, so no value is stored
//! that is longer than [`PIECE`] bytes: a longer one is cut, and what is beyond its first piece is
//! under keys of their own.

use prophet_kv::{Found, Map, Scan, certify};
use prophet_store::{Direction, StoreError};
use prophet_tables::KeyRange;

/// No value is stored that is longer.
const PIECE: usize = 4_096;

/// The space of the further pieces.
const SPACE: u8 = b'p';

/// What ends a value that is whole, and one that goes on in further pieces.
const WHOLE: u8 = 0;
const FIRST: u8 = 1;

/// The key of a further piece, from 1.
fn piece(key: &[u8], number: u32) -> Vec<u8> {
    [&[SPACE], key, &number.to_be_bytes()].concat()
}

/// What is stored for a value, each with its certificate: under its key, and under those of further
/// pieces.
pub(crate) fn cut(key: Vec<u8>, mut value: Vec<u8>, mut put: impl FnMut(Vec<u8>, Vec<u8>)) {
    if value.len() <= PIECE {
        value.push(WHOLE);
        let stored = certify(&key, value);
        return put(key, stored);
    }
    let checksum = crc32fast::hash(&value);
    let mut pieces = value.chunks(PIECE);
    let mut first = pieces.next().unwrap_or_default().to_vec();
    let mut count: u32 = 0;
    for more in pieces {
        count += 1;
        let key = piece(&key, count);
        let stored = certify(&key, more.to_vec());
        put(key, stored);
    }
    first.extend_from_slice(&count.to_le_bytes());
    first.extend_from_slice(&checksum.to_le_bytes());
    first.push(FIRST);
    let stored = certify(&key, first);
    put(key, stored);
}

/// The keys of the further pieces of a value, of which this is what [`certify`] was given under its own
/// key.
pub(crate) fn further(key: &[u8], stored: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let count = match stored.split_last() {
        Some((&FIRST, rest)) => ends(rest).map_or(0, |(_, count, _)| count),
        _ => 0,
    };
    (1..=count).map(move |number| piece(key, number))
}

/// The bytes of the first piece, how many there are further, and the checksum of all.
fn ends(first: &[u8]) -> Option<(&[u8], u32, u32)> {
    let (rest, checksum) = first.split_last_chunk()?;
    let (bytes, count) = rest.split_last_chunk()?;
    Some((bytes, u32::from_le_bytes(*count), u32::from_le_bytes(*checksum)))
}

/// A certified map of pieces, read as values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whole<'p, M> {
    place: &'p str,
    map: M,
}

impl<'p, M: Map> Whole<'p, M> {
    pub(crate) const fn new(place: &'p str, map: M) -> Self {
        Self { place, map }
    }

    async fn join(&self, key: &[u8], mut stored: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let damaged = |what: &str| {
            StoreError::corrupt(format!("{}, key {}", self.place, key.escape_ascii()), what)
        };
        match stored.pop() {
            Some(WHOLE) => return Ok(stored),
            Some(FIRST) => {}
            _ => return Err(damaged("its value has no end")),
        }
        let (bytes, count, checksum) =
            ends(&stored).ok_or_else(|| damaged("its first piece is cut off"))?;
        let mut value = bytes.to_vec();
        for number in 1..=count {
            let more = self.map.get(&piece(key, number)).await?;
            value.extend(more.ok_or_else(|| damaged("a piece of its value is missing"))?);
        }
        match crc32fast::hash(&value) == checksum {
            true => Ok(value),
            false => Err(damaged("the pieces of its value do not fit together")),
        }
    }
}

impl<'p, M: Map + Copy> Map for Whole<'p, M> {
    type Scan = WholeScan<'p, M>;

    async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.map.get(key).await? {
            Some(stored) => self.join(key, stored).await.map(Some),
            None => Ok(None),
        }
    }

    fn scan(&self, range: KeyRange, direction: Direction) -> Self::Scan {
        WholeScan { whole: *self, scan: self.map.scan(range, direction) }
    }
}

/// Goes through the values of a range.
pub(crate) struct WholeScan<'p, M: Map> {
    whole: Whole<'p, M>,
    scan: M::Scan,
}

impl<M: Map + Copy> Scan for WholeScan<'_, M> {
    async fn next(&mut self) -> Result<Option<Found>, StoreError> {
        let Some((key, stored)) = self.scan.next().await? else { return Ok(None) };
        let value = self.whole.join(&key, stored).await?;
        Ok(Some((key, value)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_lite::future::block_on;
    use prophet_kv::{Certified, certified};

    use super::*;

    fn stored(len: usize) -> (Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>) {
        let value: Vec<u8> = (0..len).map(|at| (at * 31 % 251) as u8).collect();
        let mut map = BTreeMap::new();
        cut(b"key".to_vec(), value.clone(), |key, stored| {
            assert!(stored.len() <= PIECE + 13);
            assert_eq!(map.insert(key, stored), None);
        });
        (value, map)
    }

    fn read(map: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<Option<Vec<u8>>, StoreError> {
        block_on(Whole::new("a map", Certified::new("a map", map)).get(b"key"))
    }

    #[test]
    fn values_of_any_length_come_back() {
        for len in [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 1, 1_000_000] {
            let (value, map) = stored(len);
            assert_eq!(map.len(), len.max(1).div_ceil(PIECE), "{len}");
            assert_eq!(read(&map).unwrap(), Some(value), "{len}");
            let first = certified(b"key", &map[b"key".as_slice()]).unwrap();
            let keys: Vec<_> = further(b"key", first).collect();
            assert!(keys.iter().eq(map.keys().filter(|key| key[0] == SPACE)), "{len}");
        }
    }

    #[test]
    fn a_piece_that_is_missing_or_old_is_damage() {
        let (_, map) = stored(3 * PIECE);
        for key in map.keys().filter(|key| key[0] == SPACE) {
            let mut lost = map.clone();
            lost.remove(key);
            assert!(matches!(read(&lost), Err(StoreError::Corrupt { .. })));
            lost.insert(key.clone(), certify(key, vec![7; PIECE]));
            assert!(matches!(read(&lost), Err(StoreError::Corrupt { .. })));
        }
    }
}
