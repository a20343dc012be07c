//! What becomes of the conflicts that a pull brought: votes, sides and people decide.

use super::options::{Choice, PullOptions, Side};
use super::report::PullReport;
use crate::error::Error;
use crate::ext::entry_at;
use crate::id::{Digest, Position};
use crate::record::{Existence, RecordState};
use crate::register::{Register, RegisterName};
use crate::replica::conflicts::{Conflict, is_hidden, is_open};
use crate::replica::lineage::{Lineage, lineage};
use crate::replica::metadata::{CONTESTED, UNSETTLED};
use crate::replica::resolve::{best_of, has_voted};
use crate::replica::{AsOf, Replica};
use crate::store::{MetadataKey, ReplicaStore};
use crate::value::Value;
use futures_lite::StreamExt as _;

/// So many conflicts are decided in one commit at most.
const DECISIONS: usize = 256;
/// Answers that took so many milliseconds came from somebody who was asked: they are kept, for whoever gave
/// them may be gone before the next one.
const THOUGHT: u64 = 500;

impl Replica {
    /// Lets votes, sides and people decide about the conflicts that came after `start`.
    pub(super) async fn settle(
        &self,
        start: Position,
        mut options: PullOptions<'_>,
        report: &mut PullReport,
    ) -> Result<(), Error> {
        let mut decisions = Vec::new();
        let gone_through = self.go_through(start, &mut options, &mut decisions, report).await;
        // What was answered counts, whatever happened then.
        self.decide(&mut decisions, report).await?;
        gone_through?;
        self.edit(|edit| async move { edit.set_metadata(MetadataKey::new(UNSETTLED)?, None) })
            .await?;
        Ok(())
    }

    async fn go_through(
        &self,
        start: Position,
        options: &mut PullOptions<'_>,
        decisions: &mut Vec<(Conflict, Option<Value>)>,
        report: &mut PullReport,
    ) -> Result<(), Error> {
        let store = &*self.inner.store;
        let lineage = lineage(store).await?;
        let deleted = Existence::Deleted.value();
        let mut states = self.contested_states(CONTESTED.to_owned());
        let mut thought = 0;
        while let Some(state) = states.next().await {
            let state = state?;
            if state.changed() <= start {
                continue;
            }
            let mut to_be_deleted = false;
            for (name, register) in state.contested() {
                if is_hidden(&state, &name) {
                    continue;
                }
                let came = came_after(store, &lineage, register, start).await?;
                if came.is_empty() {
                    continue;
                }
                report.conflicts += 1;
                if !is_open(&state, &name, register) {
                    report.by_majority += 1;
                    continue;
                }
                let asks = options.side.is_some() || options.resolver.is_some();
                // Of what is to be deleted, nothing else is asked.
                let asks = asks && !to_be_deleted;
                if !asks || has_voted(store, &lineage, &name, register).await? {
                    report.open += 1;
                    continue;
                }
                let conflict = self.conflict(state.key(), name.clone(), register).await?;
                let mut choice = match options.side {
                    Some(side) => self.preferred(side, start, &state, &name, &came).await?,
                    None => Choice::LeaveOpen,
                };
                if let (Choice::LeaveOpen, Some(resolver)) = (&choice, &mut options.resolver) {
                    let asked = self.inner.environment.now();
                    choice = resolver.resolve(&conflict).await?;
                    thought += self.inner.environment.now().saturating_sub(asked);
                }
                match choice {
                    Choice::LeaveOpen => report.open += 1,
                    Choice::Value(value) => {
                        to_be_deleted = name == RegisterName::Existence && value == deleted;
                        decisions.push((conflict, value));
                    }
                }
                if thought >= THOUGHT || decisions.len() >= DECISIONS {
                    self.decide(decisions, report).await?;
                    thought = 0;
                }
            }
        }
        Ok(())
    }

    async fn decide(
        &self,
        decisions: &mut Vec<(Conflict, Option<Value>)>,
        report: &mut PullReport,
    ) -> Result<(), Error> {
        if decisions.is_empty() {
            return Ok(());
        }
        match self.resolve_all(decisions).await {
            Ok(_) => report.by_policy += decisions.len() as u64,
            // Somebody has edited in between: that answer is void, and no other. Or all of them are too much
            // for one changeset.
            Err(error) if error.is_limit() || matches!(error, Error::ConflictChanged { .. }) => {
                for (conflict, value) in decisions.iter() {
                    match self.resolve(conflict, value.clone()).await {
                        Ok(_) => report.by_policy += 1,
                        // No vote can have so much in it. Others can still be cast.
                        Err(error) if error.is_limit() => report.open += 1,
                        Err(Error::ConflictChanged { over, .. }) => {
                            report.open += u64::from(!over);
                            report.conflicts -= u64::from(over);
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
        decisions.clear();
        Ok(())
    }

    /// What a merger who prefers one side chooses; nothing if that side has none of the values.
    async fn preferred(
        &self,
        side: Side,
        start: Position,
        state: &RecordState,
        name: &RegisterName,
        came: &[Digest],
    ) -> Result<Choice, Error> {
        let Some(register) = state.register(name) else { return Ok(Choice::LeaveOpen) };
        match side {
            Side::Source => {
                let writes = |value: Option<&Value>| {
                    let mut writes = register.writes().iter();
                    writes.any(|write| {
                        write.value.as_ref() == value && came.contains(&write.changeset)
                    })
                };
                let best = best_of(name, register, writes);
                Ok(best.map_or(Choice::LeaveOpen, |value| Choice::Value(value.cloned())))
            }
            Side::Target => {
                let then = AsOf::new(self, start).visible(state).await?;
                // Of a record that was not there, nothing was preferred.
                if then.existence == Existence::Never {
                    return Ok(Choice::LeaveOpen);
                }
                let mine = best_of(name, register, |value| value == then.get(name));
                Ok(mine.map_or(Choice::LeaveOpen, |value| Choice::Value(value.cloned())))
            }
        }
    }
}

/// The live writes of a register that came from others, into the log after `start`.
async fn came_after(
    store: &dyn ReplicaStore,
    lineage: &Lineage,
    register: &Register,
    start: Position,
) -> Result<Vec<Digest>, Error> {
    let writes = register.frontier();
    let positions = store.find_changesets(&writes).await?.value;
    let mut came = Vec::new();
    for (digest, position) in writes.into_iter().zip(positions) {
        let Some(position) = position.filter(|position| *position > start) else { continue };
        let Some(entry) = entry_at(store, position).await? else { continue };
        let header = entry.changeset.header();
        if !lineage.authored(store, header.origin, header.sequence, digest).await? {
            came.push(digest);
        }
    }
    Ok(came)
}
