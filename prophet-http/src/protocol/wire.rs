//! The framing of what goes to a store and comes back: numbers of eight bytes, least byte first; bytes
//! and lists after their number; what may be absent after a 0 or a 1.

use std::fmt;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed(String);

impl Malformed {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

#[derive(Debug, Default)]
pub(crate) struct Out(Vec<u8>);

impl Out {
    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn counted(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    pub(crate) fn list<'a, T: Wire + 'a>(&mut self, items: impl ExactSizeIterator<Item = &'a T>) {
        self.number(items.len() as u64);
        items.for_each(|item| item.put(self));
    }
}

/// Reads from bytes that nobody vouches for.
#[derive(Debug)]
pub(crate) struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.0.split_first_chunk::<N>().ok_or_else(too_short)?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub(crate) fn counted(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| too_short())?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or_else(too_short)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.counted()?).map_err(|error| Malformed::new(error.to_string()))
    }

    /// A list. Memory grows with what is really there, not with what was announced.
    pub(crate) fn list<T: Wire>(&mut self) -> Result<Vec<T>, Malformed> {
        let count = self.number()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(T::take(self)?);
        }
        Ok(items)
    }
}

fn too_short() -> Malformed {
    Malformed::new("the bytes end too early")
}

/// What can be sent to a store, or comes from one. Each takes at least one byte.
pub(crate) trait Wire: Sized {
    fn put(&self, out: &mut Out);

    fn take(input: &mut In<'_>) -> Result<Self, Malformed>;
}

pub(crate) fn encode(value: &impl Wire) -> Vec<u8> {
    let mut out = Out::default();
    value.put(&mut out);
    out.0
}

pub(crate) fn decode<T: Wire>(bytes: &[u8]) -> Result<T, Malformed> {
    let mut input = In(bytes);
    let value = T::take(&mut input)?;
    match input.0.len() {
        0 => Ok(value),
        left => Err(Malformed::new(format!("{left} bytes follow where the end should be"))),
    }
}
