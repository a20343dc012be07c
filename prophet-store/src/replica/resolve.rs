//! Resolving: votes on conflicts, and values merged by hand.

use crate::changeset::Vote;
use crate::error::Error;
use crate::id::Digest;
use crate::judgement;
use crate::record::{Existence, RecordState};
use crate::register::{Register, RegisterName};
use crate::replica::conflicts::Conflict;
use crate::replica::lineage::Lineage;
use crate::replica::{Edit, Replica};
use crate::store::ReplicaStore;
use crate::typed::Properties;
use crate::value::Value;

impl Replica {
    /// Decides about a conflict, as this replica: for one of its values that is a vote, which
    /// travels to the peers and can be changed by voting again; any other value is written as an
    /// edit that settles the conflict, marked as a merge.
    ///
    /// The answer is the changeset; `None` if this replica has voted so already and that vote still
    /// counts.
    ///
    /// # Errors
    /// A conflict that is not the one it was when it was read; a value that existence cannot have;
    /// what breaks the rules of the record's type; what the store says.
    pub async fn resolve(
        &self,
        conflict: &Conflict,
        choice: Option<Value>,
    ) -> Result<Option<Digest>, Error> {
        let decisions = [(conflict.clone(), choice)];
        Ok(self.resolve_all(&decisions).await?.pop())
    }

    /// Decides about several conflicts as [`resolve`](Self::resolve) does about one, in one commit: about
    /// all of them, or none.
    ///
    /// The answer is the changesets that it took: the one with the merges, if there are any, and then
    /// the one with the votes, if there are any that did not count already.
    ///
    /// # Errors
    /// Those of `resolve`, whichever conflict they are about.
    pub async fn resolve_all(
        &self,
        decisions: &[(Conflict, Option<Value>)],
    ) -> Result<Vec<Digest>, Error> {
        let edited = self
            .edit(|edit| async move {
                let mut votes = Vec::new();
                for (conflict, choice) in decisions {
                    let state = edit.state(&conflict.record).await?;
                    let register = current(&state, conflict)?;
                    if conflict.values().any(|value| value == choice.as_ref()) {
                        let lineage = edit.front()?.lineage;
                        let store = &*self.inner.store;
                        votes.extend(vote(store, &lineage, conflict, register, choice).await?);
                    } else {
                        merge(&edit, conflict, choice.clone()).await?;
                    }
                }
                edit.vote(votes)
            })
            .await?;
        Ok(edited.changesets.into_iter().map(|(_, digest)| digest).collect())
    }
}

/// The register that `conflict` is about, as long as that is still the conflict it is in.
fn current<'a>(state: &'a RecordState, conflict: &Conflict) -> Result<&'a Register, Error> {
    let register = state.register(&conflict.register);
    let now = register.and_then(|register| register.conflict(state.key(), &conflict.register));
    match register {
        Some(register) if now == Some(conflict.id) => Ok(register),
        _ => Err(Error::ConflictChanged {
            record: conflict.record.clone(),
            register: conflict.register.clone(),
            over: now.is_none(),
        }),
    }
}

async fn vote(
    store: &dyn ReplicaStore,
    lineage: &Lineage,
    conflict: &Conflict,
    register: &Register,
    choice: &Option<Value>,
) -> Result<Option<Vote>, Error> {
    let name = &conflict.register;
    let counting = judgement::tally(register, *name == RegisterName::Existence);
    let counting = counting.iter().flat_map(|tally| &tally.votes);
    let counting: Vec<_> = counting.map(|vote| vote.changeset).collect();
    let (mut superseded, mut same) = (Vec::new(), false);
    for (ballot, vote) in register.live_votes() {
        if lineage.authored(store, vote.voter, vote.sequence, vote.changeset).await? {
            superseded.push(vote.changeset);
            same |= vote.choice == *choice
                && ballot.candidates() == register.candidates()
                && counting.contains(&vote.changeset);
        }
    }
    if same {
        return Ok(None);
    }
    let (record, candidates) = (conflict.record.clone(), register.candidates());
    let vote = Vote::new(record, name.clone(), candidates, choice.clone(), superseded)?;
    let deleted = *name == RegisterName::Existence && *choice == Existence::Deleted.value();
    if !deleted {
        return Ok(Some(vote));
    }
    let alive = register.writes().iter().filter(|write| write.value == Existence::Alive.value());
    Ok(Some(vote.with_seen(alive.map(|write| write.changeset).collect())?))
}

async fn merge(edit: &Edit, conflict: &Conflict, choice: Option<Value>) -> Result<(), Error> {
    match &conflict.register {
        RegisterName::Existence => Err(Error::NotAChoice {
            record: conflict.record.clone(),
            choice: choice.map_or_else(|| "absent".to_owned(), |value| value.to_string()),
        }),
        RegisterName::Property(name) => {
            edit.mark_merge()?;
            let properties = Properties::from_iter([(name.clone(), choice)]);
            edit.update(&conflict.record, properties).await
        }
    }
}

/// Whether a vote of this lineage counts on the conflict that a register is in.
pub(super) async fn has_voted(
    store: &dyn ReplicaStore,
    lineage: &Lineage,
    name: &RegisterName,
    register: &Register,
) -> Result<bool, Error> {
    for tally in judgement::tally(register, *name == RegisterName::Existence) {
        for vote in tally.votes {
            if lineage.authored(store, vote.voter, vote.sequence, vote.changeset).await? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The value that ranks highest among those that are to be considered: what a merger who prefers
/// that side chooses. As long as nobody voted, a record whose existence is contested is alive.
pub(super) fn best_of<'a>(
    name: &RegisterName,
    register: &'a Register,
    considered: impl Fn(Option<&Value>) -> bool,
) -> Option<Option<&'a Value>> {
    let existence = *name == RegisterName::Existence;
    let tallies = judgement::tally(register, existence);
    let considered = tallies.into_iter().filter(|tally| considered(tally.value));
    let alive = Existence::Alive.value();
    considered
        .max_by_key(|tally| {
            let alive = existence && tally.value == alive.as_ref();
            (tally.votes.len(), alive, tally.related.len(), tally.latest)
        })
        .map(|tally| tally.value)
}
