//! How the parts of questions and answers are framed.

use std::collections::BTreeMap;

use prophet_store::{
    Authorship, CommitId, ConflictId, DatabaseId, Digest, Direction, Head, LogEntry, MetadataKey,
    Page, PageLimit, Position, Read, RecordId, RecordKey, RecordState, RecordType, ReplicaId,
    Resolution, Sequence, Version, codec,
};

use super::wire::{In, Malformed, Out, Wire};

fn malformed(error: impl ToString) -> Malformed {
    Malformed::new(error.to_string())
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Out) {
        out.byte(u8::from(self.is_some()));
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        match input.byte()? {
            0 => Ok(None),
            1 => T::take(input).map(Some),
            other => Err(malformed(format!("{other} is neither absent (0) nor present (1)"))),
        }
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Out) {
        out.list(self.iter());
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        input.list()
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut Out) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        Ok((A::take(input)?, B::take(input)?))
    }
}

/// Each key once, in rising order.
impl<K: Wire + Ord, V: Wire> Wire for BTreeMap<K, V> {
    fn put(&self, out: &mut Out) {
        out.number(self.len() as u64);
        for (key, value) in self {
            key.put(out);
            value.put(out);
        }
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        let pairs: Vec<(K, V)> = input.list()?;
        match pairs.is_sorted_by(|(one, _), (other, _)| one < other) {
            true => Ok(pairs.into_iter().collect()),
            false => Err(malformed("keys are repeated or out of order")),
        }
    }
}

/// Plain bytes.
impl Wire for Vec<u8> {
    fn put(&self, out: &mut Out) {
        out.counted(self);
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        input.counted().map(<[u8]>::to_vec)
    }
}

impl Wire for String {
    fn put(&self, out: &mut Out) {
        out.counted(self.as_bytes());
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        input.text().map(str::to_owned)
    }
}

impl Wire for u64 {
    fn put(&self, out: &mut Out) {
        out.number(*self);
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        input.number()
    }
}

macro_rules! bytes {
    ($($type:ident)*) => {$(
        impl Wire for $type {
            fn put(&self, out: &mut Out) {
                out.raw(self.as_bytes());
            }

            fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
                input.array().map(Self::from_bytes)
            }
        }
    )*};
}

bytes!(DatabaseId ReplicaId RecordId CommitId Digest ConflictId);

macro_rules! counters {
    ($($type:ident)*) => {$(
        impl Wire for $type {
            fn put(&self, out: &mut Out) {
                out.number(self.get());
            }

            fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
                input.number().map(Self::new)
            }
        }
    )*};
}

counters!(Version Position);

impl Wire for Sequence {
    fn put(&self, out: &mut Out) {
        out.number(self.get());
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        Self::new(input.number()?).ok_or_else(|| malformed("there is no sequence 0"))
    }
}

impl Wire for Direction {
    fn put(&self, out: &mut Out) {
        out.byte(u8::from(*self == Self::Backward));
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        match input.byte()? {
            0 => Ok(Self::Forward),
            1 => Ok(Self::Backward),
            other => Err(malformed(format!("{other} is no direction"))),
        }
    }
}

impl Wire for PageLimit {
    fn put(&self, out: &mut Out) {
        out.number(self.items as u64);
        out.number(self.bytes as u64);
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        let mut number = || Ok(usize::try_from(input.number()?).unwrap_or(usize::MAX));
        Ok(Self { items: number()?, bytes: number()? })
    }
}

impl Wire for Head {
    fn put(&self, out: &mut Out) {
        self.version.put(out);
        self.position.put(out);
        self.commit.put(out);
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        let (version, position) = Wire::take(input)?;
        Ok(Self { version, position, commit: Wire::take(input)? })
    }
}

impl Wire for RecordType {
    fn put(&self, out: &mut Out) {
        out.counted(self.as_str().as_bytes());
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        Self::new(input.text()?).map_err(malformed)
    }
}

impl Wire for RecordKey {
    fn put(&self, out: &mut Out) {
        self.record_type().put(out);
        self.id().put(out);
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        Ok(Self::new(Wire::take(input)?, Wire::take(input)?))
    }
}

impl Wire for MetadataKey {
    fn put(&self, out: &mut Out) {
        out.counted(self.as_str().as_bytes());
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        Self::new(input.text()?).map_err(malformed)
    }
}

/// Its position, and the rest in its envelope.
impl Wire for LogEntry {
    fn put(&self, out: &mut Out) {
        self.position.put(out);
        out.counted(&codec::encode_entry(self));
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        let position = Wire::take(input)?;
        codec::decode_entry(position, input.counted()?).map_err(malformed)
    }
}

impl Wire for RecordState {
    fn put(&self, out: &mut Out) {
        out.counted(&codec::encode_record(self));
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        codec::decode_record(input.counted()?).map_err(malformed)
    }
}

impl Wire for Resolution {
    fn put(&self, out: &mut Out) {
        out.counted(&codec::encode_resolution(self));
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        codec::decode_resolution(input.counted()?).map_err(malformed)
    }
}

impl Wire for Authorship {
    fn put(&self, out: &mut Out) {
        self.sequence.put(out);
        self.digest.put(out);
        self.position.put(out);
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        let (sequence, digest) = Wire::take(input)?;
        Ok(Self { sequence, digest, position: Wire::take(input)? })
    }
}

impl<T: Wire, C: Wire> Wire for Page<T, C>
where
    Vec<T>: Wire,
{
    fn put(&self, out: &mut Out) {
        self.at.put(out);
        self.more.put(out);
        self.items.put(out);
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        let (at, more) = Wire::take(input)?;
        Ok(Self { at, more, items: Wire::take(input)? })
    }
}

impl<T: Wire> Wire for Read<T> {
    fn put(&self, out: &mut Out) {
        self.at.put(out);
        self.value.put(out);
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        let (at, value) = Wire::take(input)?;
        Ok(Self { value, at })
    }
}
