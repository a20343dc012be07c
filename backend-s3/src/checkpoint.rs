//! Checkpoints: when something is derived, and the root that names it.

use std::sync::{Arc, Mutex, PoisonError};

use prophet_files::manifest::MANIFEST;
use prophet_store::{StoreError, Version};

use crate::bucket::Attempt;
use crate::derive::derive;
use crate::options::CHECKPOINT_COMMITS;
use crate::root::{FoundRoot, Root};
use crate::shared::Shared;
use crate::state::State;

/// For each so many bytes of the root there are as many more commits between checkpoints, up to so often.
const ROOT_BYTES: usize = 8 << 10;
const SLOWEST: usize = 15;

const WRITING: &str = "writing the root";

/// An object that no root names any more goes after so many commits, in checkpoints.
const GRACE: u64 = 4;

/// A checkpoint that is missing after so many times as many commits as there should be in between is
/// worth a word.
const BEHIND: usize = 4;

/// What came of the last checkpoints, if they failed.
#[derive(Debug, Default)]
pub(crate) struct Failing(Mutex<Option<Failure>>);

#[derive(Debug)]
struct Failure {
    why: String,
    /// The head at which it failed.
    at: Version,
    times: u32,
    /// Before this version nobody tries again.
    next: Version,
}

/// After so many commits at most it is tried again, however often it failed.
const LONGEST: u64 = 1_024;

impl Failing {
    fn with<T>(&self, use_it: impl FnOnce(&mut Option<Failure>) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why, unless somebody else has derived as much by now.
    fn why(&self, derived: Version) -> Option<String> {
        self.with(|failure| {
            let failure = failure.as_ref().filter(|failure| failure.at > derived)?;
            Some(failure.why.clone())
        })
    }

    /// Whether it is too early to try again.
    fn waits(&self, version: Version) -> bool {
        self.with(|failure| failure.as_ref().is_some_and(|failure| version < failure.next))
    }

    fn note<T>(&self, version: Version, result: &Result<T, StoreError>) {
        self.with(|failure| match result {
            Ok(_) => *failure = None,
            Err(error) => {
                let times = failure.as_ref().map_or(1, |before| before.times.saturating_add(1));
                let pause = 1_u64.checked_shl(times).unwrap_or(LONGEST).min(LONGEST);
                let next = Version::new(version.get().saturating_add(pause));
                *failure = Some(Failure { why: error.to_string(), at: version, times, next });
            }
        });
    }
}

impl Shared {
    /// Makes a checkpoint if one is due. Nobody waits for what comes of it: it is noted.
    pub(crate) async fn derive_by_itself(&self) {
        let result = self.checkpoint_if_due().await;
        self.failing.note(self.state().head.version, &result);
    }

    /// Why checkpoints fail, if they do.
    pub(crate) fn checkpoint_failure(&self) -> Option<String> {
        self.failing.why(self.state().root.head.version)
    }

    /// After how many commits of the tail something should have been derived long ago, if so.
    pub(crate) fn behind(&self) -> Option<usize> {
        let state = self.state();
        let commits = state.tail.len();
        let long = self.pace_after(&state.root).checked_mul(BEHIND).filter(|long| *long > 0)?;
        (commits >= long).then_some(commits)
    }

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
        let state = self.state();
        if state.tail.len() != self.pace_after(&state.root) {
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
    /// Whether that is the root now.
    pub(crate) async fn put_root(&self, mut root: Root) -> Result<bool, StoreError> {
        const TRIES: usize = 3;
        let bytes = bytes::Bytes::from(root.encode());
        root.bytes = bytes.len();
        let place = self.bucket.place_of(MANIFEST);
        let mut before = root.version.clone();
        for _ in 0..TRIES {
            let attempt = match before.clone() {
                Some(before) => self.bucket.update(MANIFEST, bytes.clone(), before).await,
                None => self.bucket.create(MANIFEST, bytes.clone()).await,
            };
            let failed = match attempt {
                Attempt::Written(version) => {
                    self.adopt(Root { version, ..root });
                    return Ok(true);
                }
                Attempt::Refused(failed) => return Err(failed.at(&place, WRITING)),
                Attempt::Unsupported(_) => return self.put_root_plainly(root, &bytes).await,
                Attempt::NotMet(failed) | Attempt::Unknown(failed) => failed,
            };
            let there = self.bucket.get(MANIFEST).await?;
            let Some(object) = there else {
                before = None;
                continue;
            };
            if object.bytes == bytes {
                self.adopt(Root { version: Some(object.version), ..root });
                return Ok(true);
            }
            if before.as_ref() == Some(&object.version) {
                // It never arrived, and where it is late, its condition is still looked at.
                return Err(failed.at(&place, WRITING));
            }
            if let FoundRoot::Root(theirs) = Root::decode(&place, &object, &root.tables) {
                self.adopt(*theirs);
                return Ok(false);
            }
            before = Some(object.version);
        }
        Err(StoreError::busy(place, "others write the root all the time"))
    }

    /// As [`put_root`](Self::put_root) where the service knows no conditions: the last one to write
    /// counts, and each root is whole by itself.
    async fn put_root_plainly(&self, root: Root, bytes: &[u8]) -> Result<bool, StoreError> {
        if let FoundRoot::Root(theirs) = Root::fetch(&self.bucket, &root.tables).await?
            && theirs.version != root.version
            && theirs.head.version >= root.head.version
        {
            self.adopt(*theirs);
            return Ok(false);
        }
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
        let commits = self.pace_after(&state.root);
        if commits == 0 || self.read_only || self.failing.waits(state.head.version) {
            return false;
        }
        let len = state.tail.len();
        let round = state.head.version.get().is_multiple_of(commits as u64);
        let late = len >= commits + commits / 2;
        (len >= commits && round) || late || state.tail_bytes() >= self.pace.bytes
    }

    /// How many commits there are between the checkpoint that wrote this root and the next: more where
    /// the root is long, for each one writes it anew.
    pub(crate) fn pace_after(&self, root: &Root) -> usize {
        self.pace.commits * (1 + (root.bytes / ROOT_BYTES).min(SLOWEST))
    }
}
