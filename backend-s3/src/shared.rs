//! What all that a handle does has in common: the state as it was found last, and how it comes to be
//! a later one.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};

use prophet_files::manifest::MANIFEST;
use prophet_store::{Identity, StoreError, Version};
use prophet_tables::BlockCache;

use crate::bucket::Bucket;
use crate::checkpoint::Failing;
use crate::derive::derive;
use crate::follow::{follow, follow_to};
use crate::identity::Declared;
use crate::index::Trouble;
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

/// How much of a tail is in memory at most while everything is derived anew.
const REBUILD_COMMITS: usize = 1_024;
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
    /// Held by whoever makes everything anew, so that it is not done twice at once.
    healing: async_lock::Mutex<()>,
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
    /// Finds out where the replica is: by the root and the commits after it, in three requests and one
    /// for each of these commits. Without a root, everything is derived anew.
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
            healing: async_lock::Mutex::new(()),
            failing: Failing::default(),
            deriving: AtomicBool::new(false),
        };
        match rebuild {
            true => shared.rebuild().await?,
            false => {
                let state = shared.load(Arc::clone(&shared.state().root)).await?;
                shared.advance(&state);
            }
        }
        Ok(shared)
    }
}

/// The commits that a listing shows, each with its length. It may be behind, and in no order.
struct Listed {
    sizes: BTreeMap<Version, u64>,
    /// Whether it is all there was.
    whole: bool,
}

impl Listed {
    /// The last of the commits after a version that are to be read together.
    fn piece_after(&self, version: Version) -> Option<Version> {
        let (mut count, mut bytes, mut last) = (0, 0, None);
        for (listed, size) in self.sizes.range(version.next()..) {
            count += 1;
            bytes += size;
            if last.is_some() && (count > REBUILD_COMMITS || bytes > REBUILD_BYTES as u64) {
                break;
            }
            last = Some(*listed);
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

    /// Goes on to what comes of the state that there is then.
    pub(crate) fn change(&self, make: impl Fn(&State) -> Option<State>) {
        // It may take a while, and readers are not to wait for it, unless it never is in time.
        const TRIES: usize = 3;
        for _ in 0..TRIES {
            let before = self.state();
            let Some(made) = make(&before) else { return };
            let mut current = self.state.write().unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(&current, &before) {
                *current = Arc::new(made);
                return;
            }
        }
        let mut current = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = make(&current) {
            *current = Arc::new(made);
        }
    }

    /// Goes on to this state even if it has less derived, as long as it is not an earlier one.
    pub(crate) fn replace(&self, state: State) {
        let mut current = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.head.version >= current.head.version {
            *current = Arc::new(state);
        }
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

    /// The state after all commits that were there when this began: one request if there is nothing
    /// new.
    pub(crate) async fn refresh(&self) -> Result<Arc<State>, StoreError> {
        let state = State::clone(&self.state());
        let most = self.long(&state);
        if state.tail.len() < most {
            let followed = follow(&self.bucket, state, most, usize::MAX).await?;
            self.advance(&followed.state);
            if followed.ended {
                return Ok(self.state());
            }
        }
        // Others have derived more meanwhile, most likely, and what is in memory can be left.
        let state = self.state();
        if let FoundRoot::Root(root) = Root::fetch(&self.bucket, &state.root.tables).await?
            && root.head.version > state.root.head.version
        {
            let root = Arc::new(*root);
            match state.rebase(&root) {
                Some(state) => self.advance(&state),
                None => self.advance(&self.load(root).await?),
            }
        }
        let state = State::clone(&self.state());
        let followed = follow(&self.bucket, state, usize::MAX, usize::MAX).await?;
        self.advance(&followed.state);
        Ok(self.state())
    }

    /// The state after a root and all commits that follow it.
    async fn load(&self, root: Arc<Root>) -> Result<State, StoreError> {
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
        self.catch_up(State::of(root), listed).await
    }

    /// Asks which commits there are after a version.
    async fn listed(&self, after: Option<Version>) -> Result<Listed, StoreError> {
        const MOST: usize = 1_000;
        let after = after.map(|after| format!("{:020}", after.get()));
        let objects = self.bucket.list_objects(COMMITS, after.as_deref(), MOST).await?;
        let whole = objects.len() < MOST;
        let sizes = objects.iter().filter_map(|(name, size)| Some((to_commit(name)?, *size)));
        Ok(Listed { sizes: sizes.collect(), whole })
    }

    fn missing(&self, version: Version) -> StoreError {
        let place = self.bucket.place_of(&crate::layout::commit(version));
        StoreError::corrupt(place, "the commit is not there, but what came after it is")
    }

    /// Takes in all commits after a state: what was listed, and what came after that. Where there are
    /// very many, what is in memory is derived from now and then, unless the handle may not write.
    async fn catch_up(&self, mut state: State, mut listed: Listed) -> Result<State, StoreError> {
        let mut derives = !self.read_only;
        loop {
            let reached = state.head.version;
            let followed = match listed.piece_after(reached) {
                Some(last) => {
                    let followed = follow_to(&self.bucket, state, last).await?;
                    if followed.state.head.version == reached {
                        return Err(self.missing(reached.next()));
                    }
                    followed
                }
                None => {
                    let most = if derives { REBUILD_COMMITS } else { usize::MAX };
                    let bytes = if derives { REBUILD_BYTES } else { usize::MAX };
                    follow(&self.bucket, state, most, bytes).await?
                }
            };
            state = followed.state;
            let ended = followed.ended && listed.piece_after(state.head.version).is_none();
            if ended && listed.whole {
                return Ok(state);
            }
            if ended {
                listed = self.listed(Some(state.head.version)).await?;
            }
            let long = state.tail.len() >= REBUILD_COMMITS || state.tail_bytes() >= REBUILD_BYTES;
            if derives && long {
                match derive(&self.bucket, &self.trouble, &state).await {
                    Ok(root) => state = State::of(Arc::new(root)),
                    // It may be that it may not write.
                    Err(_) => derives = false,
                }
            }
        }
    }

    /// Derives everything anew from the commits. A handle that may not write has all of it in memory.
    async fn rebuild(&self) -> Result<(), StoreError> {
        let there = self.bucket.get(MANIFEST).await?.map(|object| object.version);
        let declared = Declared::fetch(&self.bucket).await?;
        let sharers = declared.map_or(self.state().root.sharers, |declared| declared.sharers);
        let nothing = State::of(Arc::new(Root::nothing(self.identity, sharers)));
        let state = self.catch_up(nothing, self.listed(None).await?).await?;
        self.replace(state);
        if !self.read_only {
            // What is there, if anything, is damaged or names what is not there; or somebody else has
            // mended it meanwhile, and that is as good.
            let root = Root { version: there, ..Root::clone(&self.state().root) };
            if self.put_root(root.clone()).await.is_err() {
                // The next checkpoint puts it in the place of what was found.
                self.adopt(root);
            }
        }
        Ok(())
    }

    /// After something derived was found missing or damaged while `state` was read: a state that has
    /// what it names, as far as can be told. First the root is read again, for others may have gone on
    /// and taken away what the old one named; if that does not help, everything is derived anew.
    pub(crate) async fn heal(&self, state: &Arc<State>) -> Result<(), StoreError> {
        let _healing = self.healing.lock().await;
        if !Arc::ptr_eq(&self.state().root, &state.root) {
            return Ok(());
        }
        match self.renew(state).await? {
            true => Ok(()),
            false => self.rebuild().await,
        }
    }

    /// Goes on to the root that is there now, if it is another one than that of `state`, whose tables
    /// may be gone. Whether it is.
    pub(crate) async fn renew(&self, state: &State) -> Result<bool, StoreError> {
        if let FoundRoot::Root(root) = Root::fetch(&self.bucket, &[]).await?
            && root.version != state.root.version
        {
            let state = self.load(Arc::new(*root)).await?;
            if state.head.version >= self.state().head.version {
                self.replace(state);
                return Ok(true);
            }
        }
        Ok(false)
    }
}
