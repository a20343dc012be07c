//! Log entries: a changeset, and what integrating it did here.

use std::collections::{BTreeMap, BTreeSet};

use crate::changeset::Changeset;
use crate::id::Position;
use crate::integrate::integrate;
use crate::judgement::Rule;
use crate::name::RecordKey;
use crate::record::RecordState;
use crate::register::RegisterName;
use crate::value::Value;

/// A visible value that integrating a changeset set, beyond what the changeset itself says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the fields are fixed by the format")]
pub struct Adjustment {
    /// The record.
    pub record: RecordKey,
    /// The register whose visible value was set.
    pub register: RegisterName,
    /// What was visible just before; `None` is *absent*.
    pub old: Option<Value>,
    /// What was visible just after. Where a conflict was judged and nothing moved, the same.
    pub new: Option<Value>,
    /// In a settlement of a register that is contested: the rule by which what is visible now was
    /// chosen.
    pub rule: Option<Rule>,
}

/// An entry of a replica's own linear history: a changeset, its own or a foreign one, and what
/// integrating it did here, in three steps.
///
/// *Nullify* sets visible values back so that the change applies cleanly; the *change* applies;
/// *settle* leaves what is visible once conflicts were judged. Step by step, every `old` equals
/// the visible value just before, and every `new` the visible value just after: a log replays
/// cleanly in both directions. Nullification and settlement are local, derived, and not
/// replicated. An edit made here nullifies nothing, and settles only what an undelete brings back.
///
/// Wherever the changeset made or changed a conflict, *settle* names the register and the rule by
/// which its visible value was chosen, also where that value is the one just written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the fields of an entry are fixed by the format")]
pub struct LogEntry {
    /// Its place in this log.
    pub position: Position,
    /// What was integrated.
    pub changeset: Changeset,
    /// What was set back before, in rising order of record and register.
    pub nullify: Vec<Adjustment>,
    /// What was set after, in rising order of record and register.
    pub settle: Vec<Adjustment>,
}

impl LogEntry {
    /// Integrates a changeset as the entry at `position`: what the engine does, for those who fold
    /// a log themselves. `states` holds the states just before of the records that the changeset
    /// touches, as far as they exist, and the states just after when this returns.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    ///
    /// use futures_lite::{StreamExt, future::block_on};
    /// use prophet_store::{
    ///     Direction, Identity, LogEntry, MemoryStore, Properties, Replica, ReplicaStore,
    /// };
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// block_on(async {
    ///     let replica = Replica::open(MemoryStore::new(Identity::new_database()?)).await?;
    ///     let bug = replica.create("bug", Properties::try_from([("status", "new")])?).await?;
    ///     replica.update(&bug, Properties::try_from([("status", "fixed")])?).await?;
    ///
    ///     let mut states = BTreeMap::new();
    ///     let mut log = replica.log(None, Direction::Forward);
    ///     while let Some(entry) = log.next().await {
    ///         let entry = entry?;
    ///         assert_eq!(LogEntry::integrate(entry.position, &entry.changeset, &mut states), entry);
    ///     }
    ///     let stored = replica.store().get_records(&[bug.clone()]).await?.value;
    ///     assert_eq!(stored, [states.remove(&bug)]);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn integrate(
        position: Position,
        changeset: &Changeset,
        states: &mut BTreeMap<RecordKey, RecordState>,
    ) -> Self {
        integrate(position, changeset, states)
    }

    /// The records that the entry touches, each once, in order: a store finds the entry by each.
    pub fn records(&self) -> BTreeSet<&RecordKey> {
        let adjusted = self.nullify.iter().chain(&self.settle).map(|adjustment| &adjustment.record);
        adjusted.chain(self.changeset.payload().records()).collect()
    }
}
