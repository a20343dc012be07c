//! Committing: one request where nobody else is at it.

use std::sync::Arc;

use prophet_store::{Commit, Head, StoreError};

use crate::carry::along;
use crate::follow::read_commit;
use crate::heal::Tries;
use crate::put::{Guard, Settled, put};
use crate::shared::Shared;
use crate::state::{Recent, State};

/// The head that a commit led to, and the state afterwards if it was applied just now.
pub(crate) type Committed = (Head, Option<Arc<State>>);

impl Shared {
    /// As [`commit`](Self::commit), and what is derived is mended if it has to be read and cannot be:
    /// it is read before anything is sent.
    pub(crate) async fn commit_mended(
        &self,
        guard: Guard,
        commit: &Commit,
    ) -> Result<Committed, StoreError> {
        let mut tries = Tries::default();
        loop {
            let (state, before) = (self.state(), self.trouble.count());
            match self.commit(guard, commit).await {
                Err(error @ StoreError::Corrupt { .. }) => {
                    self.mend(&state, before, &mut tries, error).await?;
                }
                result => return result,
            }
        }
    }

    /// As [`commit`](Self::commit), by the only writer that there is, where the service lets every
    /// write win. A commit whose outcome is not known, and which may arrive late and replace another
    /// one, is put in its place before any other.
    pub(crate) async fn commit_alone(
        &self,
        unsettled: &mut Option<Commit>,
        commit: &Commit,
    ) -> Result<Committed, StoreError> {
        if let Some(before) = unsettled.take_if(|before| before.id() != commit.id()) {
            match self.commit_mended(Guard::OneWriter, &before).await {
                Ok(_) | Err(StoreError::StaleBase { .. }) => {}
                // Whatever it is, it is about this attempt, and an earlier one may still land.
                Err(error) => {
                    *unsettled = Some(before);
                    let what = format!("what came of an earlier commit is still unknown: {error}");
                    return Err(StoreError::busy(&*self.bucket.place, what));
                }
            }
        }
        let committed = self.commit_mended(Guard::OneWriter, commit).await;
        match &committed {
            Ok(_) | Err(StoreError::StaleBase { .. }) => *unsettled = None,
            Err(StoreError::OutcomeUnknown { .. }) => *unsettled = Some(commit.clone()),
            // If it was sent before, that attempt is as unsettled as it was.
            Err(_) => {}
        }
        committed
    }

    /// Applies a commit. What comes of it is the state afterwards, of which this commit is the last,
    /// or the head that it led to when it was applied earlier.
    pub(crate) async fn commit(
        &self,
        guard: Guard,
        commit: &Commit,
    ) -> Result<Committed, StoreError> {
        let mut state = self.state();
        if commit.base() != state.head {
            state = self.refresh().await?;
        }
        if commit.base() != state.head {
            return match self.was_applied(&state, commit).await? {
                true => Ok((commit.head(), None)),
                false => Err(StoreError::stale_base(commit.base(), state.head)),
            };
        }
        commit.check_distinct()?;
        self.check_new(&state, commit).await?;
        match put(&self.bucket, self.identity, guard, commit, &along(&state)).await? {
            Settled::Ours(content) => {
                let applied = state.apply(Recent::new(commit.clone(), content));
                self.advance(&applied);
                Ok((commit.head(), Some(self.state())))
            }
            Settled::Theirs(theirs) => {
                let recent = Recent::new(theirs.commit, theirs.content);
                // Where it does not follow, nothing that is built on this head ever will.
                self.advance(&state.follow(&self.bucket.place, recent)?);
                // Others may have gone on; that this one lost is known without it.
                let head = match self.refresh().await {
                    Ok(state) => state.head,
                    Err(_) => self.state().head,
                };
                Err(StoreError::stale_base(commit.base(), head))
            }
        }
    }

    /// Whether a commit that is not based on the head was applied earlier. Commit objects are never
    /// removed, so the one in its place tells, however long ago that was.
    async fn was_applied(&self, state: &State, commit: &Commit) -> Result<bool, StoreError> {
        let version = commit.head().version;
        if version > state.head.version {
            return Ok(false);
        }
        if let Some(id) = state.id_at(version) {
            return Ok(id == commit.id());
        }
        let there = read_commit(&self.bucket, self.identity, version).await?;
        Ok(there.is_some_and(|there| there.commit.id() == commit.id()))
    }

    /// Refuses a changeset that is in the log. Of one that is beyond every tip of its origin, that is
    /// known without looking.
    async fn check_new(&self, state: &State, commit: &Commit) -> Result<(), StoreError> {
        for entry in commit.entries() {
            let (header, digest) = (entry.changeset.header(), entry.changeset.digest());
            let tips = state.seen.of(header.origin);
            if tips.last().is_none_or(|tip| tip.sequence < header.sequence) {
                continue;
            }
            if let Some(position) = self.find(state, digest).await? {
                return Err(StoreError::invalid_commit(format!(
                    "changeset {digest} is in the log already, at position {position}"
                )));
            }
        }
        Ok(())
    }
}
