//! The primitives of the canonical encoding: bincode's standard configuration, read strictly.
//!
//! bincode is only ever asked for single integers. Its own collections take the word of whoever
//! wrote the bytes for how much to allocate and how deep to recurse, it accepts varints longer
//! than they need to be, and it ignores what follows a value; here none of that can happen.

use bincode::config::{Configuration, standard};
use smallvec::SmallVec;

const CONFIG: Configuration = standard();

/// Bytes are not the canonical encoding of what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(crate) String);

pub(crate) type Result<T> = std::result::Result<T, Malformed>;

pub(crate) fn malformed<T>(why: impl Into<String>) -> Result<T> {
    Err(Malformed(why.into()))
}

/// Appends the encoding of one thing after another.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn integer(&mut self, number: impl bincode::Encode) {
        let written = bincode::encode_into_std_write(number, &mut self.bytes, CONFIG);
        debug_assert!(written.is_ok(), "a vector accepts every integer");
    }

    pub(crate) fn u64(&mut self, number: u64) {
        // Most are small, and then one byte says it all.
        match u8::try_from(number) {
            Ok(small) if varint_len(number) == 1 => self.bytes.push(small),
            _ => self.integer(number),
        }
    }

    pub(crate) fn i64(&mut self, number: i64) {
        self.integer(number);
    }

    pub(crate) fn len(&mut self, len: usize) {
        self.u64(len as u64);
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// Bytes whose number the reader knows.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes after their number.
    pub(crate) fn counted(&mut self, bytes: &[u8]) {
        self.len(bytes.len());
        self.raw(bytes);
    }

    pub(crate) fn option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.byte(0),
            Some(value) => {
                self.byte(1);
                put(self, value);
            }
        }
    }

    pub(crate) fn list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut put: impl FnMut(&mut Self, T),
    ) {
        self.len(items.len());
        for item in items {
            put(self, item);
        }
    }
}

/// How many bytes the varint of `number` takes.
pub(crate) const fn varint_len(number: u64) -> u64 {
    match number {
        0..=250 => 1,
        251..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

pub(crate) const fn signed_varint_len(number: i64) -> u64 {
    varint_len(zigzag(number))
}

/// Reads the canonical encoding of one thing after another from bytes that nobody vouches for.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// How many parts of the value being read were met: bounded, so that few bytes cannot become
    /// much memory.
    pub(super) nodes: u64,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, nodes: 0 }
    }

    /// Succeeds only if everything was read.
    pub(crate) fn finish(self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            left => malformed(format!("{left} bytes follow where the end should be")),
        }
    }

    pub(crate) fn rest_len(&self) -> usize {
        self.rest.len()
    }

    fn integer<T: bincode::Decode<()>>(&mut self) -> Result<(T, u64)> {
        match bincode::decode_from_slice::<T, _>(self.rest, CONFIG) {
            Ok((number, used)) => {
                self.rest = self.rest.get(used..).unwrap_or_default();
                Ok((number, used as u64))
            }
            Err(error) => malformed(format!("an integer cannot be read: {error}")),
        }
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        // Most are small, and then one byte says it all.
        if let Some((&first, rest)) = self.rest.split_first()
            && varint_len(first.into()) == 1
        {
            self.rest = rest;
            return Ok(first.into());
        }
        match self.integer::<u64>()? {
            (number, used) if used == varint_len(number) => Ok(number),
            (number, used) => {
                malformed(format!("the integer {number} is spread over {used} bytes"))
            }
        }
    }

    pub(crate) fn i64(&mut self) -> Result<i64> {
        match self.integer::<i64>()? {
            (number, used) if used == signed_varint_len(number) => Ok(number),
            (number, used) => {
                malformed(format!("the integer {number} is spread over {used} bytes"))
            }
        }
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        let number = self.u64()?;
        u32::try_from(number).or_else(|_| malformed(format!("{number} is above 32 bits")))
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        match self.rest.split_first() {
            Some((&byte, rest)) => {
                self.rest = rest;
                Ok(byte)
            }
            None => malformed("the bytes end too early"),
        }
    }

    pub(crate) fn boolean(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => malformed(format!("{other} is not a boolean")),
        }
    }

    pub(crate) fn raw(&mut self, len: u64) -> Result<&'a [u8]> {
        match usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len)) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => malformed(format!(
                "{len} bytes are announced where only {} are left",
                self.rest.len()
            )),
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.rest.split_first_chunk::<N>() {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(*bytes)
            }
            None => malformed("the bytes end too early"),
        }
    }

    pub(crate) fn counted(&mut self) -> Result<&'a [u8]> {
        let len = self.u64()?;
        self.raw(len)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.counted()?).or_else(|error| malformed(error.to_string()))
    }

    pub(crate) fn option<T>(
        &mut self,
        take: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<Option<T>> {
        match self.byte()? {
            0 => Ok(None),
            1 => take(self).map(Some),
            other => malformed(format!("{other} is neither absent (0) nor present (1)")),
        }
    }

    /// The number of items to come. Each takes at least one byte, so a forged number cannot
    /// announce more than there are bytes left.
    pub(crate) fn count(&mut self) -> Result<usize> {
        let count = self.u64()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.rest.len() => Ok(count),
            _ => malformed(format!(
                "{count} items are announced where only {} bytes are left",
                self.rest.len()
            )),
        }
    }

    /// A list. Memory grows with what was really read, not with what was announced.
    pub(crate) fn list<T>(
        &mut self,
        mut take: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let count = self.count()?;
        let mut items = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            items.push(take(self)?);
        }
        Ok(items)
    }

    /// A [`rising`](Self::rising) list that nearly always has no more than `N` items.
    pub(crate) fn few<T, K: Ord + ?Sized, const N: usize>(
        &mut self,
        mut take: impl FnMut(&mut Self) -> Result<T>,
        key: impl Fn(&T) -> &K,
    ) -> Result<SmallVec<[T; N]>>
    where
        [T; N]: smallvec::Array<Item = T>,
    {
        let mut items = SmallVec::new();
        for _ in 0..self.count()? {
            items.push(take(self)?);
        }
        is_rising(&items, key)?;
        Ok(items)
    }

    /// A list in strictly rising order, as sets and maps are encoded.
    pub(crate) fn rising<T, K: Ord + ?Sized>(
        &mut self,
        take: impl FnMut(&mut Self) -> Result<T>,
        key: impl Fn(&T) -> &K,
    ) -> Result<Vec<T>> {
        let items = self.list(take)?;
        is_rising(&items, key)?;
        Ok(items)
    }
}

fn is_rising<T, K: Ord + ?Sized>(items: &[T], key: impl Fn(&T) -> &K) -> Result<()> {
    match items.is_sorted_by(|a, b| key(a) < key(b)) {
        true => Ok(()),
        false => malformed("items are repeated or out of order"),
    }
}
