//! Checkpoints: when something is derived, and the root that names it.

use std::sync::{Arc, Mutex, PoisonError};

use prophet_files::manifest::MANIFEST;
use prophet_store::{StoreError, Version};

use crate::bucket::Attempt;
use crate::derive::derive;
use crate::heal::Tries;
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

/// Once in so many checkpoints what nobody names is looked for.
const SWEPT: u64 = 64;

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

/// What a root may be put in the place of, besides the one that it was made from and what cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Nothing,
    /// One of an earlier generation, which names what is damaged or gone: by whoever has just made all that
    /// the new one names. Of that, nothing can be gone.
    Earlier,
}

impl Shared {
    /// Makes a checkpoint where one was due after a commit, of the state `after` it. Nobody waits for what comes
    /// of it: it is noted.
    pub(crate) async fn derive_by_itself(&self, after: &State) {
        let due = self.is_due_for_us(after).await;
        if let Ok(false) = due {
            return;
        }
        let _ = match due {
            Ok(_) => self.checkpoint_mended().await,
            Err(error) => self.noted(Err(error)),
        };
    }

    /// As [`checkpoint`](Self::checkpoint), and what is derived is mended if it has to be read and cannot
    /// be. What comes of it is noted.
    pub(crate) async fn checkpoint_mended(&self) -> Result<bool, StoreError> {
        let mut tries = Tries::default();
        loop {
            let (state, before) = (self.state(), self.trouble.count());
            match self.checkpoint().await {
                Err(error @ StoreError::Corrupt { .. }) => {
                    if let Err(error) = self.mend(&state, before, &mut tries, error).await {
                        return self.noted(Err(error));
                    }
                }
                result => return self.noted(result),
            }
        }
    }

    fn noted(&self, result: Result<bool, StoreError>) -> Result<bool, StoreError> {
        self.failing.note(self.state().head.version, &result);
        result
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
        match Root::fetch(&self.bucket, &known.tables).await? {
            FoundRoot::Root(root) if root.rank() > known.rank() => self.go_on_from(*root).await,
            _ => Ok(()),
        }
    }

    /// Where one was due after a commit, whether nobody has made it since.
    async fn is_due_for_us(&self, after: &State) -> Result<bool, StoreError> {
        // Whoever made a commit with a round number right after the last checkpoint need not look.
        let usual = after.alone() < self.pace.commits;
        let ours = usual && after.tail.len() == self.pace_after(&after.root);
        if !ours && !after.root.is_ahead() {
            self.sync_root().await?;
        }
        // Where there is no other root, it is due however many commits came meanwhile.
        let now = self.state();
        Ok(now.root.rank() == after.root.rank() || self.is_due(&now))
    }

    /// Derives what is in the tail, and names it in a new root. Whether that is the root now.
    ///
    /// # Errors
    /// What failed. Nothing that counts is lost by it, and the next one does it again.
    pub(crate) async fn checkpoint(&self) -> Result<bool, StoreError> {
        let state = self.state();
        let Some(mut root) = self.next_root(&state).await? else { return Ok(false) };
        // Handles go on to a new root once their tail has twice as many commits as there are in between.
        let pace = match self.pace_after(&state.root) {
            0 => CHECKPOINT_COMMITS as u64,
            commits => commits as u64,
        };
        let (head, grace) = (state.head.version, pace.saturating_mul(GRACE));
        let unneeded = root.let_go(|at| at.get().saturating_add(grace) <= head.get());
        if !self.put_root(root, Over::Nothing).await? {
            return Ok(false);
        }
        // An object that nobody names harms nobody: what fails here is left.
        for name in unneeded {
            let _ = self.bucket.delete(&name).await;
        }
        let round = |version: Version| version.get() / pace.saturating_mul(SWEPT);
        if round(state.root.head.version) != round(head) {
            let _ = self.sweep().await;
        }
        Ok(true)
    }

    /// The root that is to follow, if there is something that the one in the bucket does not name.
    async fn next_root(&self, state: &State) -> Result<Option<Root>, StoreError> {
        let mut root = match state.tail.is_empty() {
            _ if self.read_only => return Ok(None),
            false => derive(&self.bucket, &self.trouble, state).await?,
            true if state.root.is_ahead() => Root::clone(&state.root),
            true => return Ok(None),
        };
        if state.root.is_ahead() {
            // Others have needed it until now.
            root.retired.iter_mut().for_each(|retired| retired.at = state.head.version);
        }
        Ok(Some(root))
    }

    /// Puts a root in the place of the one that it was made from, unless somebody else did first.
    /// Whether that is the root now.
    pub(crate) async fn put_root(&self, mut root: Root, over: Over) -> Result<bool, StoreError> {
        const TRIES: usize = 3;
        root.published = true;
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
            match Root::decode(&place, &object, &root.tables) {
                FoundRoot::Root(theirs)
                    if over == Over::Earlier && theirs.generation < root.generation =>
                {
                    before = Some(object.version);
                }
                // Even if it goes less far: each root is made from the one before, so that what one of them
                // does not need any more none of them does.
                FoundRoot::Root(theirs) => {
                    self.go_on_from(*theirs).await?;
                    return Ok(false);
                }
                FoundRoot::Damaged(error @ StoreError::NewerFormat { .. }) => return Err(error),
                _ => before = Some(object.version),
            }
        }
        Err(StoreError::busy(place, "the root is another one each time, or is taken away"))
    }

    /// As [`put_root`](Self::put_root) where the service knows no conditions: the last one to write
    /// counts, and each root is whole by itself.
    async fn put_root_plainly(&self, root: Root, bytes: &[u8]) -> Result<bool, StoreError> {
        match Root::fetch(&self.bucket, &root.tables).await? {
            FoundRoot::Root(theirs)
                if theirs.version != root.version && theirs.rank() >= root.rank() =>
            {
                self.go_on_from(*theirs).await?;
                return Ok(false);
            }
            FoundRoot::Damaged(error @ StoreError::NewerFormat { .. }) => return Err(error),
            _ => {}
        }
        let version = self.bucket.put(MANIFEST, bytes.to_vec()).await?;
        self.adopt(Root { version, ..root });
        Ok(true)
    }

    /// Goes on from a root that is there now.
    pub(crate) fn adopt(&self, root: Root) {
        let root = Arc::new(root);
        self.change(|current| current.rebase(&root).filter(|_| root.rank() > current.root.rank()));
    }

    /// Whether whoever made this commit is to derive something now. Of many writers that is, as a
    /// rule, one: the one whose commit has a round number.
    pub(crate) fn is_due(&self, state: &State) -> bool {
        let commits = self.pace_after(&state.root);
        if commits == 0 || self.read_only || self.failing.waits(state.head.version) {
            return false;
        }
        if state.root.is_ahead() {
            return true;
        }
        let due = |len: usize, commits: usize| {
            let round = state.head.version.get().is_multiple_of(commits as u64);
            (len >= commits && round) || len >= commits.saturating_add(commits / 2)
        };
        // Each of those that no later one brings along is a request for whoever opens, however long the root is.
        due(state.tail.len(), commits)
            || due(state.alone(), self.pace.commits)
            || state.tail_bytes() >= self.pace.bytes
    }

    /// How many commits there are between the checkpoint that wrote this root and the next: more where
    /// the root is long, for each one writes it anew.
    pub(crate) fn pace_after(&self, root: &Root) -> usize {
        self.pace.commits.saturating_mul(1 + (root.bytes / ROOT_BYTES).min(SLOWEST))
    }
}
