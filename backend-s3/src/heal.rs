//! Mending what is derived, when it is found missing or damaged: others may have gone on, and taken away
//! what an old root named; or it has to be derived anew.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use object_store::UpdateVersion;
use prophet_store::StoreError;

use crate::checkpoint::Over;
use crate::follow::End;
use crate::identity::Declared;
use crate::root::{FoundRoot, Root};
use crate::shared::Shared;
use crate::state::State;

/// What was derived and found missing or damaged, and how often that was.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trouble(Arc<Mutex<Found>>);

#[derive(Debug, Default)]
struct Found {
    times: u64,
    places: BTreeSet<String>,
}

impl Trouble {
    fn with<T>(&self, use_it: impl FnOnce(&mut Found) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn note(&self, place: String) {
        self.with(|found| {
            found.times += 1;
            found.places.insert(place);
        });
    }

    pub(crate) fn count(&self) -> u64 {
        self.with(|found| found.times)
    }

    /// All places that were noted since the last time.
    fn take(&self) -> BTreeSet<String> {
        self.with(|found| std::mem::take(&mut found.places))
    }
}

/// So often what is derived is mended for one read.
const MENDED: u32 = 3;

/// What came of mending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Healed {
    /// There is another root, and it names nothing of what was found amiss.
    GoneOn,
    /// Everything is derived anew.
    Anew,
}

/// Tries that failed for the sake of what is derived.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    count: u32,
    last: Option<Healed>,
}

impl Shared {
    /// After something failed that read `state`, when there had been so much trouble `before`: mends what
    /// is derived, so that it can be tried again.
    ///
    /// # Errors
    /// The one that it failed with, if that is not for the sake of what is derived, or was mended in vain.
    pub(crate) async fn mend(
        &self,
        state: &Arc<State>,
        before: u64,
        tries: &mut Tries,
        error: StoreError,
    ) -> Result<(), StoreError> {
        if self.trouble.count() == before {
            return Err(error);
        }
        if tries.count == MENDED {
            return Err(match (error, tries.last) {
                (StoreError::Corrupt { .. }, Some(Healed::GoneOn)) => {
                    let what = "others take away what is read faster than it is read";
                    StoreError::busy(&*self.bucket.place, what)
                }
                (error, _) => error,
            });
        }
        tries.count += 1;
        tries.last = Some(self.heal(state).await?);
        Ok(())
    }

    /// After something derived was found missing or damaged while `read` was read: a state that has
    /// what it names, as far as can be told.
    async fn heal(&self, read: &State) -> Result<Healed, StoreError> {
        let _healing = self.healing.lock().await;
        if !Arc::ptr_eq(&self.state().root, &read.root) {
            return Ok(Healed::GoneOn);
        }
        let amiss = self.trouble.take();
        let found = match Root::fetch(&self.bucket, &[]).await? {
            FoundRoot::Damaged(error @ StoreError::NewerFormat { .. }) => return Err(error),
            found => found,
        };
        let (generation, there) = match &found {
            FoundRoot::Root(root) => {
                (root.generation.max(read.root.generation), root.version.clone())
            }
            _ => (read.root.generation, None),
        };
        if let FoundRoot::Root(root) = found
            && !root.names().any(|name| amiss.contains(&self.bucket.place_of(name)))
        {
            let state = self.load(Arc::new(*root), End::Asked).await?;
            // Or else a checkpoint of this handle has gone on meanwhile.
            if self.replace(&state) || !Arc::ptr_eq(&self.state().root, &read.root) {
                return Ok(Healed::GoneOn);
            }
        }
        self.rebuild(generation, there).await?;
        // What others found amiss before they waited for this. It may be there again, under the same name.
        self.trouble.take();
        Ok(Healed::Anew)
    }

    /// Goes on to the root that is there now, if it is another one than that of `state`, whose tables
    /// may be gone. Whether it is.
    pub(crate) async fn renew(&self, state: &State) -> Result<bool, StoreError> {
        match Root::fetch(&self.bucket, &[]).await? {
            FoundRoot::Root(root) if root.version != state.root.version => {
                Ok(self.replace(&self.load(Arc::new(*root), End::Asked).await?))
            }
            FoundRoot::Damaged(error @ StoreError::NewerFormat { .. }) => Err(error),
            _ => Ok(false),
        }
    }

    /// Derives everything anew from the commits. A handle that may not write has all of it in memory.
    /// `generation` and `there` are of the root that is there, as far as that is known.
    pub(crate) async fn rebuild(
        &self,
        generation: u64,
        there: Option<UpdateVersion>,
    ) -> Result<(), StoreError> {
        let declared = Declared::fetch(&self.bucket).await?;
        let sharers = declared.map_or(self.state().root.sharers, |declared| declared.sharers);
        let mut nothing = Root::nothing(self.identity, sharers);
        (nothing.generation, nothing.version) = (generation, there);
        let listed = self.listed(None).await?;
        let state = self.catch_up(State::of(Arc::new(nothing)), listed, End::Asked).await?;
        if self.read_only {
            // It is never put there, and stays until others have more.
            let root = Arc::new(Root { published: true, ..Root::clone(&state.root) });
            self.replace(&State { root, ..state });
            return Ok(());
        }
        if self.replace(&state) {
            // What is there counts for less, so this is put in its place, unless others have made everything
            // anew meanwhile. Where that fails, the next checkpoint does it, if nobody else made one.
            let generation = generation.saturating_add(1);
            let _ =
                self.put_root(Root { generation, ..Root::clone(&state.root) }, Over::Earlier).await;
        }
        Ok(())
    }
}
