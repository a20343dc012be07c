//! What a replica of any size is filled with: nothing of it has to be kept in memory.

use benches::content::{bug, change};
use futures_lite::future::block_on;
use prophet_store::{NameError, RecordId, RecordKey, RecordType, Replica};

/// So many changesets a commit has: a tenth creates records, the others change any of all there are.
pub(crate) const BLOCK: u64 = 1_000;
const CREATED: u64 = BLOCK / 10;

/// Spreads numbers, the same way each time.
const fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The record of a number: ids are as far from one another as random ones.
pub(crate) fn record(number: u64) -> Result<RecordKey, NameError> {
    let mut id = [0; 16];
    let (first, second) = id.split_at_mut(8);
    first.copy_from_slice(&mixed(number).to_be_bytes());
    second.copy_from_slice(&mixed(!number).to_be_bytes());
    Ok(RecordKey::new(RecordType::new("bug")?, RecordId::from_bytes(id)))
}

/// Records of a replica, one after the other, any of them.
#[derive(Debug, Clone)]
pub(crate) struct Any {
    records: u64,
    asked: u64,
}

impl Any {
    /// Of a replica of so many changesets.
    pub(crate) const fn of(changesets: u64) -> Self {
        Self { records: changesets / BLOCK * CREATED, asked: 0 }
    }

    pub(crate) fn next(&mut self) -> RecordKey {
        self.asked += 1;
        record(mixed(self.asked) % self.records).expect("it is a name")
    }
}

/// Fills a replica with so many changesets, in commits of [`BLOCK`].
pub(crate) fn fill(replica: &Replica, changesets: u64) {
    for block in 0..changesets / BLOCK {
        let filled = replica.edit(|edit| async move {
            let known = (block + 1) * CREATED;
            for number in block * CREATED..known {
                edit.begin_changeset("ada@example.org", None)?;
                edit.create_at(&record(number)?, bug(usize::try_from(number).unwrap_or(0))?)
                    .await?;
            }
            for number in block * BLOCK + CREATED..(block + 1) * BLOCK {
                edit.begin_changeset("ada@example.org", None)?;
                let changed = change(usize::try_from(number).unwrap_or(0))?;
                edit.update(&record(mixed(number) % known)?, changed).await?;
            }
            Ok(())
        });
        block_on(filled).expect("the replica is edited");
    }
}
