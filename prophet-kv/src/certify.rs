//! Values that certify themselves, and the sum of all of them: for maps that may lose or change what
//! is in them without a word.

use prophet_store::{Direction, StoreError};
use prophet_tables::KeyRange;

use crate::map::{Found, Map, Scan};

const CHECKSUM: usize = 4;

/// What is stored for a value under a key: the value, and the CRC-32 of key and value.
///
/// ```
/// use prophet_kv::{certified, certify};
///
/// let stored = certify(b"key", b"value".to_vec());
/// assert_eq!(certified(b"key", &stored), Some(&b"value"[..]));
/// assert_eq!(certified(b"another key", &stored), None);
/// ```
pub fn certify(key: &[u8], mut value: Vec<u8>) -> Vec<u8> {
    let checksum = checksum(key, &value);
    value.extend_from_slice(&checksum.to_le_bytes());
    value
}

/// The value in what is stored under a key, or `None` if it is not what was once stored there.
pub fn certified<'s>(key: &[u8], stored: &'s [u8]) -> Option<&'s [u8]> {
    let (value, expected) = stored.split_last_chunk::<CHECKSUM>()?;
    (checksum(key, value) == u32::from_le_bytes(*expected)).then_some(value)
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

/// How many keys there are, and the sum of the checksums of their values: what a store keeps at its
/// head, so that a key that vanished, or an older value that came back, shows when all are counted.
///
/// ```
/// use prophet_kv::{Tally, certify};
///
/// let (old, new) = (certify(b"key", vec![1]), certify(b"key", vec![2]));
/// let mut tally = Tally::default();
/// tally.replace(None, Some(&old));
/// tally.replace(Some(&old), Some(&new));
/// let mut counted = Tally::default();
/// counted.replace(None, Some(&new));
/// assert_eq!(tally, counted);
/// assert_eq!(Tally::from_bytes(tally.to_bytes()), tally);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    keys: u64,
    sum: u64,
}

impl Tally {
    /// Puts what is stored under a key now in the place of what was stored there before.
    pub fn replace(&mut self, before: Option<&[u8]>, now: Option<&[u8]>) {
        if let Some(before) = before {
            self.keys = self.keys.wrapping_sub(1);
            self.sum = self.sum.wrapping_sub(last(before));
        }
        if let Some(now) = now {
            self.keys = self.keys.wrapping_add(1);
            self.sum = self.sum.wrapping_add(last(now));
        }
    }

    /// How many keys there are.
    pub const fn keys(&self) -> u64 {
        self.keys
    }

    /// The count and the sum, 8 bytes each, little-endian.
    pub fn to_bytes(&self) -> [u8; 16] {
        (u128::from(self.keys) | u128::from(self.sum) << 64).to_le_bytes()
    }

    /// What [`to_bytes`](Self::to_bytes) made.
    #[allow(clippy::cast_possible_truncation, reason = "each half is taken by itself")]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_le_bytes(bytes);
        Self { keys: both as u64, sum: (both >> 64) as u64 }
    }
}

/// The checksum at the end of what is stored.
fn last(stored: &[u8]) -> u64 {
    stored.last_chunk::<CHECKSUM>().map_or(0, |checksum| u32::from_le_bytes(*checksum).into())
}

/// A map whose values were [certified](certify), read as what was certified. A value that is not what
/// was stored is answered with [`StoreError::Corrupt`].
#[derive(Debug, Clone, Copy)]
pub struct Certified<'p, M> {
    place: &'p str,
    map: M,
}

impl<'p, M: Map> Certified<'p, M> {
    /// The values of a map; `place` names the store in errors.
    pub const fn new(place: &'p str, map: M) -> Self {
        Self { place, map }
    }
}

impl<'p, M: Map> Map for Certified<'p, M> {
    type Scan = CertifiedScan<'p, M::Scan>;

    async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let stored = self.map.get(key).await?;
        stored.map(|stored| value(self.place, key, stored)).transpose()
    }

    fn scan(&self, range: KeyRange, direction: Direction) -> Self::Scan {
        CertifiedScan { place: self.place, scan: self.map.scan(range, direction) }
    }
}

/// Goes through a [`Certified`] map.
#[derive(Debug)]
pub struct CertifiedScan<'p, S> {
    place: &'p str,
    scan: S,
}

impl<S: Scan> Scan for CertifiedScan<'_, S> {
    async fn next(&mut self) -> Result<Option<Found>, StoreError> {
        let Some((key, stored)) = self.scan.next().await? else { return Ok(None) };
        let value = value(self.place, &key, stored)?;
        Ok(Some((key, value)))
    }
}

fn value(place: &str, key: &[u8], mut stored: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    match certified(key, &stored).map(<[u8]>::len) {
        Some(len) => {
            stored.truncate(len);
            Ok(stored)
        }
        None => Err(StoreError::corrupt(
            format!("{place}, key {}", key.escape_ascii()),
            "its value is not what was stored there",
        )),
    }
}
