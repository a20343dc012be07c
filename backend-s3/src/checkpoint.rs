//! Checkpoints: when something is derived, and the root that names it.

use std::sync::Arc;

use prophet_files::manifest::MANIFEST;
use prophet_store::StoreError;

use crate::bucket::Attempt;
use crate::derive::derive;
use crate::options::CHECKPOINT_COMMITS;
use crate::root::{FoundRoot, Root};
use crate::shared::{Pace, Shared};
use crate::state::State;

/// An object that no root names any more goes after so many commits, in checkpoints.
const GRACE: u64 = 4;

impl Shared {
    /// Goes on from the root that is there, if it has more derived: others may have been at it.
    pub(crate) async fn sync_root(&self) -> Result<(), StoreError> {
        let known = Arc::clone(&self.state().root);
        if let FoundRoot::Root(root) = Root::fetch(&self.bucket, &known.tables).await?
            && root.head.version > known.head.version
            && let Some(state) = self.state().rebase(&Arc::new(*root))
        {
            self.advance(&state);
        }
        Ok(())
    }

    /// As [`checkpoint`](Self::checkpoint), unless somebody else has made one meanwhile.
    pub(crate) async fn checkpoint_if_due(&self) -> Result<bool, StoreError> {
        // Whoever made a commit with a round number right after the last checkpoint need not look.
        if self.state().tail.len() != self.pace.commits {
            self.sync_root().await?;
            if !self.is_due(&self.state()) {
                return Ok(false);
            }
        }
        self.checkpoint().await
    }

    /// Derives what is in the tail, and names it in a new root. Whether that is the root now.
    ///
    /// # Errors
    /// What failed. Nothing that counts is lost by it, and the next one does it again.
    pub(crate) async fn checkpoint(&self) -> Result<bool, StoreError> {
        let state = self.state();
        if state.tail.is_empty() || self.read_only {
            return Ok(false);
        }
        let mut root = derive(&self.bucket, &self.trouble, &state).await?;
        let pace = if self.pace.commits == 0 { CHECKPOINT_COMMITS } else { self.pace.commits };
        let grace = (pace as u64).saturating_mul(GRACE);
        let (kept, removed) = root.retired.drain(..).partition::<Vec<_>, _>(|retired| {
            retired.at.get().saturating_add(grace) > state.head.version.get()
        });
        root.retired = kept;
        if !self.put_root(root).await? {
            return Ok(false);
        }
        // An object that nobody names harms nobody: what fails here is left.
        for retired in removed {
            let _ = self.bucket.delete(&retired.name).await;
        }
        Ok(true)
    }

    /// Puts a root in the place of the one that it was made from, unless somebody else did first.
    async fn put_root(&self, root: Root) -> Result<bool, StoreError> {
        let bytes = bytes::Bytes::from(root.encode());
        let attempt = match root.version.clone() {
            Some(version) => self.bucket.update(MANIFEST, bytes.clone(), version).await,
            None => self.bucket.create(MANIFEST, bytes.clone()).await,
        };
        let plain = match attempt {
            Attempt::Written(version) => {
                self.adopt(Root { version, ..root });
                return Ok(true);
            }
            Attempt::Refused(failed) => {
                return Err(failed.at(&self.bucket.place_of(MANIFEST), "writing the root"));
            }
            Attempt::Unsupported(_) => true,
            Attempt::NotMet(_) | Attempt::Unknown(_) => false,
        };
        let there = self.bucket.get(MANIFEST).await?;
        if let Some(object) = &there {
            if object.bytes == bytes {
                self.adopt(Root { version: Some(object.version.clone()), ..root });
                return Ok(true);
            }
            let place = self.bucket.place_of(MANIFEST);
            let found = Root::decode(&place, object, &self.state().root.tables);
            if let FoundRoot::Root(theirs) = found
                && (!plain || theirs.head.version >= root.head.version)
            {
                self.adopt(*theirs);
                return Ok(false);
            }
        }
        // There is none, or one that cannot be read, or the service knows no conditions: then the
        // last one to write counts, and each root is whole by itself.
        let version = self.bucket.put(MANIFEST, bytes.to_vec()).await?;
        self.adopt(Root { version, ..root });
        Ok(true)
    }

    /// Goes on from a root that is there now.
    pub(crate) fn adopt(&self, root: Root) {
        let root = Arc::new(root);
        self.change(|current| current.rebase(&root));
    }

    /// Whether whoever made this commit is to derive something now. Of many writers that is, as a
    /// rule, one: the one whose commit has a round number.
    pub(crate) fn is_due(&self, state: &State) -> bool {
        let Pace { commits, bytes } = self.pace;
        if commits == 0 || self.read_only {
            return false;
        }
        let len = state.tail.len();
        let round = state.head.version.get().is_multiple_of(commits as u64);
        (len >= commits && round) || len >= commits + commits / 2 || state.tail_bytes() >= bytes
    }
}
