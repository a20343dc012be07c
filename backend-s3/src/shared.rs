//! What all that a handle does has in common: the state as it was found last, and how it comes to be
//! a later one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use prophet_store::{Identity, StoreError, Version};
use prophet_tables::BlockCache;

use crate::bucket::Bucket;
use crate::checkpoint::Failing;
use crate::derive::derive;
use crate::follow::{End, follow, follow_to};
use crate::heal::Trouble;
use crate::identity::Declared;
use crate::layout::{COMMITS, to_commit};
use crate::log::{ChunkCache, Log};
use crate::root::{FoundRoot, Root};
use crate::state::State;
use crate::view::View;

/// When something is to be derived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Once the tail has so many commits; 0 for never by itself.
    pub(crate) commits: usize,
    /// Or so many bytes.
    pub(crate) bytes: usize,
}

/// So many commits are read together at most.
const TOGETHER: u64 = 1_024;
/// How much of a tail is in memory at most while it is read: more than there is between two checkpoints, but
/// where nothing was derived for long.
const REBUILD_COMMITS: usize = 4_096;
const REBUILD_BYTES: usize = 8 << 20;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) bucket: Bucket,
    pub(crate) identity: Identity,
    pub(crate) trouble: Trouble,
    pub(crate) blocks: BlockCache,
    pub(crate) chunks: ChunkCache,
    pub(crate) pace: Pace,
    pub(crate) read_only: bool,
    state: RwLock<Arc<State>>,
    /// Whether the state is as a listing showed it, and there may be more since.
    unsure: AtomicBool,
    /// Held by whoever makes everything anew, so that it is not done twice at once.
    pub(crate) healing: async_lock::Mutex<()>,
    pub(crate) failing: Failing,
    /// Whether somebody derives something.
    pub(crate) deriving: AtomicBool,
}

/// What a bucket has of a replica.
pub(crate) struct Opening {
    pub(crate) bucket: Bucket,
    pub(crate) trouble: Trouble,
    pub(crate) pace: Pace,
    pub(crate) cache_bytes: usize,
    pub(crate) read_only: bool,
}

impl Opening {
    /// Finds out where the replica is: by the root, a listing of the commits after it, and few of these.
    /// Without a root, everything is derived anew.
    pub(crate) async fn open(self) -> Result<Shared, StoreError> {
        let place = Arc::clone(&self.bucket.place);
        let (state, rebuild) = match Root::fetch(&self.bucket, &[]).await? {
            FoundRoot::Root(root) => (State::of(Arc::new(*root)), false),
            FoundRoot::Damaged(error @ StoreError::NewerFormat { .. }) => return Err(error),
            found @ (FoundRoot::Missing | FoundRoot::Tree | FoundRoot::Damaged(..)) => {
                let declared = match (Declared::fetch(&self.bucket).await?, &found) {
                    (Some(declared), _) => declared,
                    (None, FoundRoot::Missing) => return Err(StoreError::not_found(&*place)),
                    (None, FoundRoot::Tree) => {
                        let why = "it is a published tree, to be pulled from";
                        return Err(StoreError::not_a_replica(&*place, why));
                    }
                    (None, _) => {
                        let why = "it has a manifest that cannot be read, and no prophet.json";
                        return Err(StoreError::not_a_replica(&*place, why));
                    }
                };
                let root = Root::nothing(declared.identity, declared.sharers);
                (State::of(Arc::new(root)), true)
            }
        };
        let shared = Shared {
            identity: state.root.identity,
            bucket: self.bucket,
            trouble: self.trouble,
            blocks: BlockCache::new(self.cache_bytes),
            chunks: ChunkCache::new(self.cache_bytes / 2),
            pace: self.pace,
            read_only: self.read_only,
            state: RwLock::new(Arc::new(state)),
            unsure: AtomicBool::new(false),
            healing: async_lock::Mutex::new(()),
            failing: Failing::default(),
            deriving: AtomicBool::new(false),
        };
        match rebuild {
            true => shared.rebuild(0, None).await?,
            false => {
                let root = Arc::clone(&shared.state().root);
                shared.advance(&shared.load(root, End::Listed).await?);
                shared.unsure.store(true, Ordering::Release);
            }
        }
        Ok(shared)
    }
}

/// The commits that a listing shows, each with its length. It may be behind, and in no order.
pub(crate) struct Listed {
    sizes: BTreeMap<Version, u64>,
    /// Whether it is all there was.
    whole: bool,
}

impl Listed {
    /// The last of the commits after a version that are to be read together. Those that are not listed
    /// are there, too, or what is there is damaged.
    fn piece_after(&self, version: Version) -> Option<Version> {
        let furthest = Version::new(version.get().saturating_add(TOGETHER));
        let (mut bytes, mut last) = (0, None);
        for (listed, size) in self.sizes.range(version.next()..) {
            bytes += size;
            if last.is_some() && (*listed > furthest || bytes > REBUILD_BYTES as u64) {
                break;
            }
            last = Some((*listed).min(furthest));
        }
        last
    }
}

impl Shared {
    /// The state as it was found last.
    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes on to a later state, or to one with more derived, and loses nothing of either: a commit and
    /// a checkpoint begin with the same state, and end in any order.
    pub(crate) fn advance(&self, state: &State) {
        self.change(|current| current.joined(state));
    }

    /// Goes on to what comes of the state that there is then. Whether anything does.
    pub(crate) fn change(&self, make: impl Fn(&State) -> Option<State>) -> bool {
        // It may take a while, and readers are not to wait for it, unless it never is in time.
        const TRIES: usize = 3;
        for _ in 0..TRIES {
            let before = self.state();
            let Some(made) = make(&before) else { return false };
            let mut current = self.state.write().unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(&current, &before) {
                *current = Arc::new(made);
                return true;
            }
        }
        let mut current = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let Some(made) = make(&current) else { return false };
        *current = Arc::new(made);
        true
    }

    /// Goes on to this state even if it has less derived, and to the commits after it that are known.
    /// Whether that is so: it is not if some of those in between are not known any more.
    pub(crate) fn replace(&self, state: &State) -> bool {
        self.change(|current| match state.head.version >= current.head.version {
            true => Some(state.clone()),
            false => current.onto(state),
        })
    }

    /// Goes on from another root: with the commits that are known, or those that are read after it.
    pub(crate) async fn go_on_from(&self, root: Root) -> Result<(), StoreError> {
        let root = Arc::new(root);
        if !self.change(|current| current.rebase(&root)) {
            self.replace(&self.load(root, End::Asked).await?);
        }
        Ok(())
    }

    pub(crate) fn view<'a>(&'a self, state: &'a State) -> View<'a> {
        let (bucket, trouble, cache) = (&self.bucket, &self.trouble, &self.blocks);
        View { bucket, trouble, cache, state }
    }

    pub(crate) fn log<'a>(&'a self, state: &'a State) -> Log<'a> {
        let (bucket, trouble, cache) = (&self.bucket, &self.trouble, &self.chunks);
        Log { bucket, trouble, cache, state }
    }

    /// The longest tail that is followed commit by commit.
    fn long(&self, state: &State) -> usize {
        match self.pace_after(&state.root) {
            0 => usize::MAX,
            commits => commits.saturating_mul(2),
        }
    }

    /// As [`refresh`](Self::refresh), but only where nobody has asked since the replica was opened.
    pub(crate) async fn make_sure(&self) -> Result<(), StoreError> {
        if self.unsure.load(Ordering::Acquire) {
            self.refresh().await?;
        }
        Ok(())
    }

    /// The state after all commits that were there when this began: one request if there is nothing
    /// new.
    pub(crate) async fn refresh(&self) -> Result<Arc<State>, StoreError> {
        let state = State::clone(&self.state());
        let most = self.long(&state);
        if state.tail.len() < most {
            let followed = follow(&self.bucket, state, most, usize::MAX).await?;
            self.advance(&followed.state);
            if followed.ended {
                self.unsure.store(false, Ordering::Release);
                return Ok(self.state());
            }
        }
        // Others have derived more meanwhile, most likely, and what is in memory can be left.
        self.sync_root().await?;
        let state = State::clone(&self.state());
        let followed = follow(&self.bucket, state, usize::MAX, usize::MAX).await?;
        self.advance(&followed.state);
        self.unsure.store(false, Ordering::Release);
        Ok(self.state())
    }

    /// The state after a root and all commits that follow it.
    pub(crate) async fn load(&self, root: Arc<Root>, end: End) -> Result<State, StoreError> {
        let version = root.head.version;
        let before = version.get().checked_sub(1).map(Version::new);
        let listed = self.listed(before).await?;
        if version > Version::ZERO && listed.whole && !listed.sizes.contains_key(&version) {
            let name = crate::layout::commit(version);
            // A listing may be behind.
            if self.bucket.get(&name).await?.is_none() {
                return Err(self.missing(version));
            }
        }
        self.catch_up(State::of(root), listed, end).await
    }

    /// Asks which commits there are after a version.
    pub(crate) async fn listed(&self, after: Option<Version>) -> Result<Listed, StoreError> {
        const MOST: usize = 1_000;
        let after = after.map(|after| format!("{:020}", after.get()));
        let objects = self.bucket.list(COMMITS, after.as_deref(), MOST).await?;
        let whole = objects.len() < MOST;
        let sizes = objects.iter().filter_map(|it| Some((to_commit(&it.name)?, it.size)));
        Ok(Listed { sizes: sizes.collect(), whole })
    }

    fn missing(&self, version: Version) -> StoreError {
        let place = self.bucket.place_of(&crate::layout::commit(version));
        StoreError::corrupt(place, "the commit is not there, but what came after it is")
    }

    /// Takes in all commits after a state: what was listed, and what came after that. Where there are
    /// very many, what is in memory is derived from now and then, unless the handle may not write.
    pub(crate) async fn catch_up(
        &self,
        mut state: State,
        mut listed: Listed,
        end: End,
    ) -> Result<State, StoreError> {
        let (mut commits, mut bytes) = match self.read_only {
            true => (usize::MAX, usize::MAX),
            false => (REBUILD_COMMITS, REBUILD_BYTES),
        };
        loop {
            let reached = state.head.version;
            if let Some(last) = listed.piece_after(reached) {
                state = follow_to(&self.bucket, state, last, end).await?;
                if state.head.version == reached {
                    return Err(self.missing(reached.next()));
                }
            } else if !listed.whole {
                listed = self.listed(Some(reached)).await?;
                // It may be full of what is no commit.
                listed.whole |= listed.piece_after(reached).is_none();
            } else if end == End::Listed {
                return Ok(state);
            } else {
                let followed = follow(&self.bucket, state, commits, bytes).await?;
                state = followed.state;
                if followed.ended {
                    return Ok(state);
                }
            }
            if state.tail.len() >= commits || state.tail_bytes() >= bytes {
                match derive(&self.bucket, &self.trouble, &state).await {
                    Ok(root) => state = State::of(Arc::new(root)),
                    // It may be that it may not write; or it can later on.
                    Err(_) => (commits, bytes) = (commits * 2, bytes * 2),
                }
            }
        }
    }
}
