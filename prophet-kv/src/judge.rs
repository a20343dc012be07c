//! Whether a commit may be applied.

use prophet_store::{Commit, Head, LogEntry, StoreError};
use prophet_tables::keys;

use crate::map::Map;
use crate::reads::Reads;

impl<M: Map, E> Reads<'_, M, E> {
    /// Judges a commit before anything of it is written (rules C2, C4 and C8): `None` if it is to be
    /// applied, and the head that it led to if it was applied earlier.
    ///
    /// Each of its changesets is looked up, but for those of which `may_be_here` says that they
    /// cannot be in the log: a store that knows how far each origin got saves reading.
    ///
    /// # Errors
    /// [`StoreError::StaleBase`] if it is based on another head, [`StoreError::InvalidCommit`] if it
    /// brings a changeset that is in the log or one twice, and what keeps from reading.
    pub async fn judge(
        &self,
        commit: &Commit,
        may_be_here: impl Fn(&LogEntry) -> bool + Send,
    ) -> Result<Option<Head>, StoreError> {
        if commit.base() != self.head() {
            return match self.was_applied(commit).await? {
                true => Ok(Some(commit.head())),
                false => Err(StoreError::stale_base(commit.base(), self.head())),
            };
        }
        commit.check_distinct()?;
        for entry in commit.entries() {
            let digest = entry.changeset.digest();
            if may_be_here(entry)
                && let Some(position) = self.position_of(digest).await?
            {
                return Err(StoreError::invalid_commit(format!(
                    "changeset {digest} is in the log already, at position {position}"
                )));
            }
        }
        Ok(None)
    }

    /// By its id while that is remembered, and from then on by the changesets it carries.
    async fn was_applied(&self, commit: &Commit) -> Result<bool, StoreError> {
        if let Some(id) = self.map().get(&keys::commit(commit.head().version)).await? {
            return Ok(id == commit.id().as_bytes());
        }
        if commit.head().version > self.head().version {
            // The replica was restored from before it: its changesets came again in another commit.
            return Ok(false);
        }
        for entry in commit.entries() {
            if self.position_of(entry.changeset.digest()).await? != Some(entry.position) {
                return Ok(false);
            }
        }
        Ok(!commit.entries().is_empty())
    }
}
