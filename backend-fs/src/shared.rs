//! What the readers and the writer of one handle share: the state, and who may bring it up to date.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use prophet_store::StoreError;

use crate::layout::LOG;
use crate::load::Place;
use crate::log::Log;
use crate::state::State;
use crate::tail::Rest;

/// The state of one handle.
pub(crate) struct Shared {
    pub(crate) place: Place,
    state: RwLock<State>,
    /// A commit may be in the state in part, for it could not be taken in.
    partial: AtomicBool,
    /// Held while the log is read on.
    reading_on: Mutex<Reading>,
    /// What a commit of this handle that is durable makes of the state. Whoever comes first, the
    /// writer or a reader, sees to it.
    to_take_in: Mutex<Option<Change>>,
}

type Change = Box<dyn FnOnce(&mut State) + Send>;

#[derive(Default)]
struct Reading {
    /// This handle is appending: then nobody else is, and what is behind the end is no commit yet.
    appending: bool,
    /// Nothing is known any more of what is durable.
    stopped: bool,
}

impl Shared {
    pub(crate) fn new(place: Place, state: State) -> Self {
        Self {
            place,
            state: RwLock::new(state),
            partial: AtomicBool::new(false),
            reading_on: Mutex::default(),
            to_take_in: Mutex::default(),
        }
    }

    /// The state as it was found last.
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state; only for whoever holds the lock of the place.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whoever reads from now on finds the state changed. Only for whoever appends.
    pub(crate) fn will_take_in(&self, change: Change) {
        *self.to_take_in() = Some(change);
    }

    fn to_take_in(&self) -> MutexGuard<'_, Option<Change>> {
        self.to_take_in.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state as it is to be changed, unless somebody did so.
    pub(crate) fn take_in(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let Some(change) = self.to_take_in().take() else { return };
        // Should it not come to its end, the state is loaded anew.
        self.partial.store(true, Ordering::Release);
        change(&mut state);
        self.partial.store(false, Ordering::Release);
    }

    fn reading_on(&self) -> MutexGuard<'_, Reading> {
        self.reading_on.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in nothing any more: what a failed sync leaves may be read, and be gone after a loss
    /// of power.
    pub(crate) fn stop(&self) {
        self.reading_on().stopped = true;
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.reading_on().stopped
    }

    /// Reads at the present head.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(Log<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.to_take_in().is_some() {
            self.take_in();
        }
        {
            let reading = self.reading_on();
            if !reading.appending && !reading.stopped {
                self.read_on(&reading, false)?;
            }
        }
        self.on(&self.state(), read)
    }

    /// Reads at the head of `state`.
    pub(crate) fn on<T>(&self, state: &State, read: impl FnOnce(Log<'_>) -> T) -> T {
        read(Log { state, disk: &*self.place.disk })
    }

    /// Reads what others appended, and says that this handle is going to append, until the
    /// guard is dropped. Only for whoever holds the lock of the place. An append that was cut off
    /// is taken away, and the name of the segment is durable.
    pub(crate) fn begin_append(&self) -> Result<Appending<'_>, StoreError> {
        let mut reading = self.reading_on();
        let rest = self.read_on(&reading, true)?;
        {
            let state = self.state();
            if !state.tail.name.is_empty() {
                self.place.check_in_place(&state.tail)?;
            }
        }
        if rest == Rest::Torn {
            let state = self.state();
            let failed = self.place.io("taking away an append that was cut off");
            state.tail.file.truncate(state.tail.len).map_err(&failed)?;
            state.tail.file.sync().map_err(&failed)?;
        }
        if self.state().tail.foreign {
            let mut tail = self.state().tail.clone();
            self.place.make_durable(&mut tail, true)?;
            self.change(|state| state.tail = tail);
        }
        if !self.state().tail.named {
            let failed = self.place.io("syncing the names in the log");
            self.place.disk.sync_names(LOG).map_err(failed)?;
            self.change(|state| state.tail.named = true);
        }
        reading.appending = true;
        Ok(Appending(self))
    }

    /// Reads on in the log. `keep` says whether the lock is held.
    fn read_on(&self, _held: &Reading, keep: bool) -> Result<Rest, StoreError> {
        if self.place.published {
            let loaded = self.place.published_anew(&self.state())?;
            if let Some(loaded) = loaded {
                self.change(|state| *state = loaded);
            }
            return Ok(Rest::Nothing);
        }
        let (end, len, sealed) = {
            let state = self.state();
            let failed = self.place.io("looking at the log");
            (state.tail.file.len().map_err(failed)?, state.tail.len, state.tail.sealed)
        };
        if end < len {
            // Only commits that were durable count as its length.
            let name = self.state().tail.name.clone();
            return Err(StoreError::corrupt(
                format!("{}/{name}", self.place.name),
                "it is shorter than it was: it was cut off or replaced while it was open; close \
                 this handle and open the replica again",
            ));
        }
        if !self.partial.load(Ordering::Acquire) && !sealed {
            if end == len {
                return Ok(Rest::Nothing);
            }
            self.partial.store(true, Ordering::Release);
            match self.change(|state| self.follow(state, keep)) {
                Ok(rest) => {
                    self.partial.store(false, Ordering::Release);
                    if !self.state().tail.sealed {
                        return Ok(rest);
                    }
                }
                // Somebody may have cut it off and written on while it was read.
                Err(StoreError::Corrupt { .. } | StoreError::Io { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        // There are other segments now, or will be.
        if sealed
            && !self.partial.load(Ordering::Acquire)
            && !keep
            && !self.place.goes_on_behind(&self.state().tail)?
        {
            return Ok(Rest::Nothing);
        }
        let (loaded, torn) = match keep {
            true => self.place.load(true)?,
            false => self.place.load_beside_writers()?,
        };
        self.change(|state| {
            if self.partial.load(Ordering::Acquire) || loaded.head.version >= state.head.version {
                let cache = Arc::clone(&state.cache);
                *state = State { cache, ..loaded };
            }
        });
        self.partial.store(false, Ordering::Release);
        Ok(torn)
    }

    /// Takes in what was appended to the open segment.
    fn follow(&self, state: &mut State, keep: bool) -> Result<Rest, StoreError> {
        let mut tail = state.tail.clone();
        let (committed, rest) = tail.read_on(&self.place.name)?;
        if !committed.is_empty() || tail.sealed {
            // It counts once it is durable.
            self.place.make_durable(&mut tail, keep)?;
            state.tail = tail;
            state.replay(committed)?;
        }
        Ok(rest)
    }
}

/// While this is there, the handle appends to the log.
pub(crate) struct Appending<'a>(&'a Shared);

impl Drop for Appending<'_> {
    fn drop(&mut self) {
        self.0.reading_on().appending = false;
    }
}
