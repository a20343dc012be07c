//! Stores that differ from a sound one in what was done to them on purpose: to break a rule, or to
//! be unusual and break none.

#![allow(dead_code, reason = "each test program uses a part of it")]

mod encoding;
pub(crate) mod file;
pub(crate) mod hooks;
mod store;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conformance::{Harness, Place, Store};
use prophet_store::{Commit, CommitId, Digest, Head, Identity, StoreError};

pub(crate) use hooks::Hooks;

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is done to a store.
#[derive(Clone, Copy)]
pub(crate) struct Change {
    pub(crate) create: fn(&Kept, Identity) -> Result<Store, StoreError>,
    pub(crate) open: fn(&Kept) -> Result<Store, StoreError>,
    pub(crate) open_read_only: fn(&Kept) -> Option<Result<Store, StoreError>>,
    /// Made for each handle.
    pub(crate) hooks: fn(&Handle, Hooks) -> Hooks,
    /// Whether all places are one.
    pub(crate) one_place: bool,
}

impl Change {
    pub(crate) const NONE: Self = Self {
        create: |kept, identity| kept.place().create(identity),
        open: |kept| kept.place().open(),
        open_read_only: |kept| kept.place().open_read_only(),
        hooks: |_, hooks| hooks,
        one_place: false,
    };
}

/// What hooks may want to know of the handle that they are made for.
pub(crate) struct Handle {
    pub(crate) inner: Store,
    /// How many handles of this place there were before, in this process.
    pub(crate) number: usize,
    pub(crate) kept: Arc<Kept>,
}

/// What a place keeps beside what the sound store keeps: for the hooks to use as they like.
pub(crate) struct Kept {
    place: Mutex<Arc<dyn Place>>,
    harness: Arc<dyn Harness>,
    handles: AtomicUsize,
    pub(crate) flag: AtomicBool,
    pub(crate) count: AtomicUsize,
    pub(crate) head: Mutex<Head>,
    pub(crate) ids: Mutex<BTreeSet<CommitId>>,
    pub(crate) commits: Mutex<Vec<Commit>>,
    pub(crate) digests: Mutex<BTreeSet<Digest>>,
    pub(crate) names: Mutex<BTreeSet<String>>,
    pub(crate) stores: Mutex<Vec<Store>>,
}

impl Kept {
    fn new(harness: &Arc<dyn Harness>) -> Arc<Self> {
        Arc::new(Self {
            place: Mutex::new(harness.place().into()),
            harness: harness.clone(),
            handles: AtomicUsize::new(0),
            flag: AtomicBool::new(false),
            count: AtomicUsize::new(0),
            head: Mutex::new(Head::EMPTY),
            ids: Mutex::default(),
            commits: Mutex::default(),
            digests: Mutex::default(),
            names: Mutex::default(),
            stores: Mutex::default(),
        })
    }

    /// The place of the sound store.
    pub(crate) fn place(&self) -> Arc<dyn Place> {
        locked(&self.place).clone()
    }

    /// Another place, with nothing in it, from now on.
    pub(crate) fn renew(&self) -> Arc<dyn Place> {
        let fresh: Arc<dyn Place> = self.harness.place().into();
        *locked(&self.place) = fresh.clone();
        fresh
    }
}

/// The harness of a store that something was done to.
pub(crate) struct Wrapping {
    inner: Arc<dyn Harness>,
    /// Begins the addresses, so that another process does the same to its handle.
    name: &'static str,
    change: Change,
    one: Mutex<Option<Arc<Kept>>>,
}

impl Wrapping {
    pub(crate) fn new(inner: Arc<dyn Harness>, name: &'static str, change: Change) -> Self {
        Self { inner, name, change, one: Mutex::new(None) }
    }
}

/// Between the name and the address of the sound store.
const SEPARATOR: char = '|';

/// The name that an address begins with.
pub(crate) fn name_in(address: &str) -> Option<&str> {
    address.split_once(SEPARATOR).map(|(name, _)| name)
}

fn wrapped(kept: &Arc<Kept>, change: Change, inner: Store) -> Store {
    let number = kept.handles.fetch_add(1, Ordering::AcqRel);
    let handle = Handle { inner: inner.clone(), number, kept: kept.clone() };
    let hooks = (change.hooks)(&handle, Hooks::default());
    Arc::new(store::Wrapped::new(inner, hooks))
}

impl Harness for Wrapping {
    fn place(&self) -> Box<dyn Place> {
        let fresh = || Kept::new(&self.inner);
        let kept = match self.change.one_place {
            true => locked(&self.one).get_or_insert_with(fresh).clone(),
            false => fresh(),
        };
        Box::new(WrappedPlace { kept, name: self.name, change: self.change })
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        let inner = address.split_once(SEPARATOR).map_or(address, |(_, inner)| inner);
        let kept = Kept::new(&self.inner);
        let opened = self.inner.open_address(inner)?;
        Ok(wrapped(&kept, self.change, opened))
    }
}

struct WrappedPlace {
    kept: Arc<Kept>,
    name: &'static str,
    change: Change,
}

impl WrappedPlace {
    fn wrapped(&self, inner: Result<Store, StoreError>) -> Result<Store, StoreError> {
        inner.map(|inner| wrapped(&self.kept, self.change, inner))
    }
}

impl Place for WrappedPlace {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        self.wrapped((self.change.create)(&self.kept, identity))
    }

    fn open(&self) -> Result<Store, StoreError> {
        self.wrapped((self.change.open)(&self.kept))
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        (self.change.open_read_only)(&self.kept).map(|opened| self.wrapped(opened))
    }

    fn address(&self) -> Option<String> {
        let inner = self.kept.place().address()?;
        Some(format!("{}{SEPARATOR}{inner}", self.name))
    }
}
