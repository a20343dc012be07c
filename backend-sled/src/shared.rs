//! What the readers and the writer of one handle share: the tree, and where the replica is in it.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use prophet_kv::{Certified, EntriesInMap, Reads};
use prophet_store::StoreError;

use crate::engine::Engine;
use crate::layout::Witness;
use crate::pieces::Whole;
use crate::top::Top;
use crate::view::{Before, View};

/// The values in the tree.
pub(crate) type Values<'a> = Whole<'a, Certified<'a, View<'a>>>;

/// Everything that is read, at one head.
pub(crate) type At<'a> = Reads<'a, Values<'a>, EntriesInMap<'a, Values<'a>>>;

/// The state of one handle.
pub(crate) struct Shared {
    pub(crate) place: String,
    /// `None` once it is closed. A read holds it throughout, so that its page is of one head; it is
    /// changed at the beginning and at the end of a commit, and not held while that is under way.
    state: RwLock<Option<State>>,
}

/// The replica at one head.
pub(crate) struct State {
    pub(crate) engine: Arc<Engine>,
    pub(crate) witness: Witness,
    pub(crate) top: Top,
    /// What the keys of the commit under way had before, in order. If it failed, for ever.
    pub(crate) before: Vec<Before>,
}

impl State {
    pub(crate) fn view(&self) -> View<'_> {
        View::new(&self.engine, &self.before)
    }

    pub(crate) fn reads<'a>(&'a self, place: &'a str) -> At<'a> {
        let values = Whole::new(place, Certified::new(place, self.view()));
        Reads::new(place, self.top.head, values, EntriesInMap::new(place, values))
    }
}

impl Shared {
    pub(crate) const fn new(place: String, state: State) -> Self {
        Self { place, state: RwLock::new(Some(state)) }
    }

    fn look(&self) -> RwLockReadGuard<'_, Option<State>> {
        // What a panic could leave behind is a state as it was, or as it was to be.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Option<State>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the state.
    pub(crate) fn on<T>(
        &self,
        read: impl FnOnce(&State) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &*self.look() {
            Some(state) => read(state),
            None => Err(StoreError::closed(&self.place)),
        }
    }

    /// Reads at the present head.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(At<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.on(|state| read(state.reads(&self.place)))
    }

    /// From now on, and until the commit is there, readers see what its keys had before.
    pub(crate) fn begin(&self, before: Vec<Before>) {
        if let Some(state) = &mut *self.change() {
            state.before = before;
        }
    }

    /// The commit is on the device, and may be seen.
    pub(crate) fn finish(&self, top: Top) {
        let done = match &mut *self.change() {
            Some(state) => {
                // It only serves to notice a loss; the next commit writes it again.
                let _ = state.witness.write(&top);
                state.top = top;
                std::mem::take(&mut state.before)
            }
            None => Vec::new(),
        };
        drop(done);
    }

    /// Lets go of the tree.
    pub(crate) fn close(&self) {
        let state = self.change().take();
        drop(state);
    }
}
