//! The head, with what all the keys come to: one value in the tree, and in the witness.

use prophet_kv::Tally;
use prophet_store::{CommitId, Head, Position, Version};

/// The key of the top, which is not counted in its tally.
pub(crate) const TOP: &[u8] = b"t";

/// Where the replica is, and the tally of all the other keys there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Top {
    pub(crate) head: Head,
    pub(crate) tally: Tally,
}

impl Top {
    pub(crate) const BYTES: usize = 48;

    pub(crate) fn empty() -> Self {
        Self { head: Head::EMPTY, tally: Tally::default() }
    }

    /// Version and position, 8 bytes each, little-endian; the commit's id; the tally.
    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let Head { version, position, commit } = self.head;
        let mut bytes = [0; Self::BYTES];
        let parts = [
            &version.get().to_le_bytes()[..],
            &position.get().to_le_bytes(),
            commit.as_bytes(),
            &self.tally.to_bytes(),
        ];
        for (byte, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *byte = *from;
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first_chunk()?;
        let (position, rest) = rest.split_first_chunk()?;
        let (commit, tally) = rest.split_first_chunk()?;
        Some(Self {
            head: Head {
                version: Version::new(u64::from_le_bytes(*version)),
                position: Position::new(u64::from_le_bytes(*position)),
                commit: CommitId::from_bytes(*commit),
            },
            tally: Tally::from_bytes(tally.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_bytes_are_read_back() {
        let mut tally = Tally::default();
        tally.replace(None, Some(&[9; 8]));
        let head = Head {
            version: Version::new(1 << 40),
            position: Position::new(1 << 50),
            commit: CommitId::from_bytes([3; 16]),
        };
        let top = Top { head, tally };
        assert_eq!(Top::from_bytes(&top.to_bytes()), Some(top));
        assert_eq!(Top::from_bytes(&top.to_bytes()[1..]), None);
    }
}
