//! The Bloom filter: whether a key can be in a table.

use super::error::Fault;

/// How exact a filter is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exactness {
    /// About how many bits there are for each key.
    pub(crate) bits: u64,
    /// How often each key is looked for.
    pub(crate) probes: u8,
}

/// The most probes that are believed; more would only cost time.
const MOST_PROBES: u8 = 30;

const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// The hash of a key. It is part of the format: it never changes.
pub(crate) fn hash(key: &[u8]) -> u64 {
    let mut hash = (key.len() as u64).wrapping_mul(MULTIPLIER);
    let (words, rest) = key.as_chunks();
    let mut last = [0; 8];
    for (byte, rest) in last.iter_mut().zip(rest) {
        *byte = *rest;
    }
    for word in words.iter().chain([&last]) {
        hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(MULTIPLIER);
        hash ^= hash >> 32;
    }
    // The end of MurmurHash3: every bit of the input turns each bit of the output about half of
    // the time.
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    hash ^ (hash >> 33)
}

#[derive(Debug)]
pub(crate) struct Filter {
    probes: u8,
    bits: Vec<u8>,
}

impl Filter {
    /// The filter that knows these hashes, each of which is there once.
    pub(crate) fn of(hashes: &[u64], exactness: Exactness) -> Self {
        let bytes = (hashes.len() as u64).saturating_mul(exactness.bits).div_ceil(8);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut filter = Self { probes: exactness.probes, bits: vec![0; bytes] };
        for hash in hashes {
            for bit in probes(exactness.probes, filter.bits.len(), *hash) {
                if let Some(byte) = filter.bits.get_mut(bit / 8) {
                    *byte |= 1 << (bit % 8);
                }
            }
        }
        filter
    }

    /// The number of probes, and then the bits.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.bits.len());
        bytes.push(self.probes);
        bytes.extend_from_slice(&self.bits);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        match bytes.split_first() {
            Some((probes, bits)) if (1..=MOST_PROBES).contains(probes) => {
                Ok(Self { probes: *probes, bits: bits.to_vec() })
            }
            _ => Err(Fault::Damaged("the filter does not say how often to look")),
        }
    }

    /// Whether a key with this hash can be in the table.
    pub(crate) fn may_have(&self, hash: u64) -> bool {
        // Without keys there are no bits.
        !self.bits.is_empty()
            && probes(self.probes, self.bits.len(), hash)
                .all(|bit| self.bits.get(bit / 8).is_some_and(|byte| byte & (1 << (bit % 8)) != 0))
    }
}

/// The bits to look at: the high halves of products, which spread as evenly as remainders do and
/// cost no division.
fn probes(probes: u8, bytes: usize, hash: u64) -> impl Iterator<Item = usize> {
    let bits = bytes as u128 * 8;
    let step = hash.rotate_left(32) | 1;
    (0..u64::from(probes)).map(move |probe| {
        let at = hash.wrapping_add(probe.wrapping_mul(step));
        usize::try_from((u128::from(at) * bits) >> 64).unwrap_or(usize::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Packing;

    #[test]
    fn the_hash_never_changes() {
        for (key, expected) in [
            (&b""[..], 0),
            (b"a", 0x1AB7_D1D0_779D_AD0D),
            (b"abcdefgh", 0xE3A1_2F7B_91F6_AD0A),
            (b"abcdefghi", 0x8A82_0371_CBC0_CF00),
            (&[0; 8], 0xB9A9_080B_0222_51A4),
        ] {
            assert_eq!(hash(key), expected, "{key:?}");
        }
    }

    #[test]
    fn it_is_seldom_wrong_and_only_one_way() {
        let key = |n: u64| hash(format!("bug/{n}").as_bytes());
        for (packing, most) in [(Packing::Quick, 1_200), (Packing::Dense, 120)] {
            let keys: Vec<_> = (0..20_000).map(key).collect();
            let filter = Filter::of(&keys, packing.exactness());
            assert!((0..20_000).all(|n| filter.may_have(key(n))));
            let wrong = (20_000..120_000).filter(|n| filter.may_have(key(*n))).count();
            assert!(wrong < most, "{packing:?}: {wrong} of 100000");
        }
    }

    #[test]
    fn without_keys_it_knows_none() {
        let filter = Filter::of(&[], Packing::Quick.exactness());
        assert!(!filter.may_have(hash(b"a")));
        assert!(!Filter::decode(&filter.encode()).unwrap().may_have(0));
        assert!(Filter::decode(&[]).is_err());
    }
}
