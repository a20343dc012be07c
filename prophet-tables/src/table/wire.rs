//! Numbers as bytes: the varints of the canonical encoding.

use super::error::Fault;

pub(crate) fn put_number(bytes: &mut Vec<u8>, number: u64) {
    match number {
        0..=250 => bytes.push(number as u8),
        251..=0xFFFF => {
            bytes.push(251);
            bytes.extend_from_slice(&(number as u16).to_le_bytes());
        }
        0x1_0000..=0xFFFF_FFFF => {
            bytes.push(252);
            bytes.extend_from_slice(&(number as u32).to_le_bytes());
        }
        _ => {
            bytes.push(253);
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }
}

/// Reads from the front of bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

const SHORT: Fault = Fault::Damaged("something ends too early");

impl<'a> Reader<'a> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (array, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*array)
    }

    pub(crate) fn raw(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(SHORT)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Fault> {
        let [first] = self.array()?;
        let (number, least) = match first {
            0..=250 => (u64::from(first), 0),
            251 => (u64::from(u16::from_le_bytes(self.array()?)), 251),
            252 => (u64::from(u32::from_le_bytes(self.array()?)), 0x1_0000),
            253 => (u64::from_le_bytes(self.array()?), 0x1_0000_0000),
            _ => return Err(Fault::Damaged("a number begins with a byte that none begins with")),
        };
        if number < least {
            return Err(Fault::Damaged("a number is not in its shortest form"));
        }
        Ok(number)
    }

    /// A number that counts bytes.
    pub(crate) fn count(&mut self) -> Result<usize, Fault> {
        usize::try_from(self.number()?).map_err(|_| SHORT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_form() {
        for number in [0, 1, 250, 251, 252, 65535, 65536, u64::from(u32::MAX), 1 << 32, u64::MAX] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            let mut reader = Reader(&bytes);
            assert_eq!(reader.number(), Ok(number));
            assert!(reader.is_empty());
        }
        for wrong in [&[251, 250, 0][..], &[252, 255, 255, 0, 0], &[254], &[255], &[251, 1], &[]] {
            assert!(Reader(wrong).number().is_err(), "{wrong:?}");
        }
    }
}
