//! Conflicts as state: what is contested, by which values, and who says so.

use std::collections::BTreeMap;
use std::fmt;

use futures_lite::{StreamExt as _, stream};

use crate::error::Error;
use crate::ext::{ReplicaStoreExt as _, entry_at};
use crate::id::{ConflictId, Digest, ReplicaId};
use crate::judgement::{self, Rule, Tally};
use crate::name::{Creator, RecordKey};
use crate::record::{Existence, RecordState};
use crate::register::{Register, RegisterName};
use crate::replica::metadata::{CONTESTED, parse};
use crate::replica::{Replica, Streamed};
use crate::store::{MetadataScan, ResolutionScan};
use crate::time::Timestamp;
use crate::value::Value;

/// A register of a record on which live writes disagree.
///
/// All of it follows from what the replica has seen: replicas that have seen the same show the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conflict {
    /// Its identity: the same for the same disagreement, whoever had it.
    pub id: ConflictId,
    /// The record.
    pub record: RecordKey,
    /// What of it is contested. The values of existence are booleans: true for alive, false for
    /// deleted.
    pub register: RegisterName,
    /// The values that disagree, in canonical order.
    pub candidates: Vec<Candidate>,
    /// What is visible as it stands.
    pub visible: Option<Value>,
    /// The rule by which that is visible; it says whether the conflict is decided or open.
    pub rule: Rule,
    /// All votes ever cast on this conflict, oldest first: also those that count no more.
    pub votes: Vec<RecordedVote>,
}

impl Conflict {
    /// The values that disagree.
    pub fn values(&self) -> impl Iterator<Item = Option<&Value>> {
        self.candidates.iter().map(|candidate| candidate.value.as_ref())
    }
}

/// A value that a register may have, and what speaks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// The value; `None` is *absent*.
    pub value: Option<Value>,
    /// The live writes of it, oldest first.
    pub writes: Vec<Attribution>,
    /// The votes for it that count, oldest first.
    pub votes: Vec<Attribution>,
    /// The votes for it that count on conflicts between some of the candidates, oldest first.
    pub related: Vec<Attribution>,
}

/// A vote that was once cast.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedVote {
    /// The value chosen; `None` is *absent*.
    pub choice: Option<Value>,
    /// Who chose it.
    pub by: Attribution,
}

/// Who made a changeset, where and when.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attribution {
    /// The changeset.
    pub changeset: Digest,
    /// The replica that authored it.
    pub replica: ReplicaId,
    /// Who made it; empty if nobody is named.
    pub creator: Creator,
    /// When, by the author's clock.
    pub time: Timestamp,
}

/// The creator, or the replica if none is named.
impl fmt::Display for Attribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.creator.as_str() {
            "" => write!(f, "replica {}", self.replica),
            creator => f.write_str(creator),
        }
    }
}

/// How many registers are contested, see [`Replica::conflict_counts`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConflictCounts {
    /// Not decided: what [`Replica::conflicts`] lists.
    pub open: u64,
    /// Decided by a majority of votes.
    pub decided: u64,
    /// On properties of records that are deleted: kept, but neither listed nor asked about.
    pub hidden: u64,
}

/// What [`Conflict`] and [`Why`](crate::Why) have in common.
pub(super) struct Explained {
    pub(super) candidates: Vec<Candidate>,
    pub(super) votes: Vec<RecordedVote>,
}

impl Replica {
    /// The conflicts that are open: those of one type together, by the id of the record, and then in
    /// the order of its registers.
    ///
    /// ```
    /// use futures_lite::{StreamExt, future::block_on};
    /// use prophet_store::{Identity, MemoryStore, Properties, PullOptions, Replica, Value};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// block_on(async {
    ///     let identity = Identity::new_database()?;
    ///     let ada = Replica::open(MemoryStore::new(identity)).await?;
    ///     let bug = ada.create("bug", Properties::try_from([("status", "new")])?).await?;
    ///     let store = MemoryStore::new(Identity::new_replica(identity.database)?);
    ///     let bob = Replica::clone_of(store, &ada).await?;
    ///
    ///     ada.update(&bug, Properties::try_from([("status", "fixed")])?).await?;
    ///     bob.update(&bug, Properties::try_from([("status", "invalid")])?).await?;
    ///     bob.pull(&ada, PullOptions::new()).await?;
    ///     let conflicts: Vec<_> = bob.conflicts().try_collect().await?;
    ///     assert_eq!(conflicts.len(), 1);
    ///
    ///     bob.resolve(&conflicts[0], Some(Value::from("fixed"))).await?;
    ///     assert_eq!(bob.conflicts().count().await, 0);
    ///     ada.pull(&bob, PullOptions::new()).await?;
    ///     let bug = ada.get(&bug).await?.ok_or("it is there")?;
    ///     assert_eq!(bug.get("status"), Some(&Value::from("fixed")));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn conflicts(&self) -> Streamed<'_, Conflict> {
        let states = self.contested_states(CONTESTED.to_owned());
        Box::pin(
            states.then(move |state| async move { self.open_conflicts(&state?).await }).flat_map(
                |conflicts| {
                    stream::iter(match conflicts {
                        Ok(conflicts) => conflicts.into_iter().map(Ok).collect(),
                        Err(error) => vec![Err(error)],
                    })
                },
            ),
        )
    }

    /// Every register of a record that is contested: open and decided, hidden ones too.
    ///
    /// # Errors
    /// What the store says.
    pub async fn conflicts_of(&self, record: &RecordKey) -> Result<Vec<Conflict>, Error> {
        let read = self.inner.store.get_records(std::slice::from_ref(record)).await?;
        let Some(state) = read.value.into_iter().next().flatten() else { return Ok(Vec::new()) };
        let mut conflicts = Vec::new();
        for (name, register) in state.contested() {
            conflicts.push(self.conflict(state.key(), name, register).await?);
        }
        Ok(conflicts)
    }

    /// How many conflicts there are, of each sort.
    ///
    /// # Errors
    /// What the store says.
    pub async fn conflict_counts(&self) -> Result<ConflictCounts, Error> {
        let mut counts = ConflictCounts::default();
        let mut states = self.contested_states(CONTESTED.to_owned());
        while let Some(state) = states.next().await {
            let state = state?;
            for (name, register) in state.contested() {
                if is_hidden(&state, &name) {
                    counts.hidden += 1;
                } else if judgement::of(&name, register).rule.decides() {
                    counts.decided += 1;
                } else {
                    counts.open += 1;
                }
            }
        }
        Ok(counts)
    }

    /// All votes ever cast on a conflict, oldest first: one's own and those of others, counting or
    /// not, and also when the conflict is long over.
    ///
    /// # Errors
    /// What the store says.
    pub async fn votes(&self, conflict: ConflictId) -> Result<Vec<RecordedVote>, Error> {
        let scan = ResolutionScan { conflict: Some(conflict), ..ResolutionScan::default() };
        let resolutions: Vec<_> = self.inner.store.stream_resolutions(scan).try_collect().await?;
        let digests = resolutions.iter().map(|resolution| resolution.changeset);
        let made = self.attributions(digests.collect()).await?;
        let votes = resolutions.into_iter().filter_map(|resolution| {
            let by = made.get(&resolution.changeset)?.clone();
            Some(RecordedVote { choice: resolution.vote.choice, by })
        });
        let mut votes: Vec<_> = votes.collect();
        votes.sort_by_key(|vote| (vote.by.time, vote.by.changeset));
        Ok(votes)
    }

    /// The states of the records that are contested, whose key of the list begins with `prefix`.
    pub(super) fn contested_states(&self, prefix: String) -> Streamed<'_, RecordState> {
        let store = &*self.inner.store;
        let scan = MetadataScan { prefix, ..MetadataScan::default() };
        let pages = stream::try_unfold(Some(scan), move |scan| async move {
            let Some(mut scan) = scan else { return Ok(None) };
            let page = store.scan_metadata(&scan).await?;
            let keys = page.items.iter().map(|(key, value)| parse(key, value));
            let keys = keys.collect::<Result<Vec<RecordKey>, Error>>()?;
            let states = store.get_records(&keys).await?.value.into_iter().flatten();
            let states: Vec<_> = states.filter(RecordState::is_contested).map(Ok).collect();
            let next = page.more.map(|more| {
                scan.after = Some(more);
                scan
            });
            Ok::<_, Error>(Some((states, next)))
        });
        Box::pin(pages.flat_map(|page| {
            stream::iter(match page {
                Ok(states) => states,
                Err(error) => vec![Err(error)],
            })
        }))
    }

    async fn open_conflicts(&self, state: &RecordState) -> Result<Vec<Conflict>, Error> {
        let mut open = Vec::new();
        for (name, register) in state.contested() {
            if is_open(state, &name, register) {
                open.push(self.conflict(state.key(), name, register).await?);
            }
        }
        Ok(open)
    }

    /// The conflict of a contested register.
    pub(super) async fn conflict(
        &self,
        record: &RecordKey,
        name: RegisterName,
        register: &Register,
    ) -> Result<Conflict, Error> {
        let id = crate::conflict::identify(record, &name, &register.candidates());
        let Explained { candidates, votes } = self.explain(Some(id), &name, register).await?;
        let judged = judgement::of(&name, register);
        let (visible, rule) = (judged.value.cloned(), judged.rule);
        Ok(Conflict {
            id,
            record: record.clone(),
            register: name,
            candidates,
            visible,
            rule,
            votes,
        })
    }

    /// What speaks for each value that a register may have.
    pub(super) async fn explain(
        &self,
        conflict: Option<ConflictId>,
        name: &RegisterName,
        register: &Register,
    ) -> Result<Explained, Error> {
        let tallies = judgement::tally(register, *name == RegisterName::Existence);
        let writes = register.frontier().into_iter();
        let votes = register.ballots().iter().flat_map(|ballot| ballot.votes());
        let digests = writes.chain(votes.map(|vote| vote.changeset)).collect();
        let made = self.attributions(digests).await?;
        let named = |digests: &mut dyn Iterator<Item = Digest>| {
            let mut named: Vec<_> =
                digests.filter_map(|digest| made.get(&digest).cloned()).collect();
            named.sort_by_key(|by| (by.time, by.changeset));
            named
        };
        let candidate = |tally: &Tally<'_>| {
            let writes = register.writes().iter();
            let writes = writes.filter(|write| write.value.as_ref() == tally.value);
            Candidate {
                value: tally.value.cloned(),
                writes: named(&mut writes.map(|write| write.changeset)),
                votes: named(&mut tally.votes.iter().map(|vote| vote.changeset)),
                related: named(&mut tally.related.iter().map(|vote| vote.changeset)),
            }
        };
        let candidates = tallies.iter().map(candidate).collect();
        let votes = match conflict {
            Some(conflict) => self.votes(conflict).await?,
            None => Vec::new(),
        };
        Ok(Explained { candidates, votes })
    }

    /// Who made these changesets.
    async fn attributions(
        &self,
        mut digests: Vec<Digest>,
    ) -> Result<BTreeMap<Digest, Attribution>, Error> {
        let store = &*self.inner.store;
        digests.sort_unstable();
        digests.dedup();
        let found = store.find_changesets(&digests).await?.value;
        let mut made = BTreeMap::new();
        for (digest, position) in digests.into_iter().zip(found) {
            let Some(position) = position else { continue };
            if let Some(entry) = entry_at(store, position).await? {
                let header = entry.changeset.header();
                let (replica, creator) = (header.origin, header.creator.clone());
                let by = Attribution { changeset: digest, replica, creator, time: header.time };
                made.insert(digest, by);
            }
        }
        Ok(made)
    }
}

/// Whether a conflict on this register is neither listed nor asked about.
pub(super) fn is_hidden(state: &RecordState, name: &RegisterName) -> bool {
    *name != RegisterName::Existence && state.existence() != Existence::Alive
}

/// Whether a contested register is one that somebody might decide.
pub(super) fn is_open(state: &RecordState, name: &RegisterName, register: &Register) -> bool {
    !is_hidden(state, name) && !judgement::of(name, register).rule.decides()
}
