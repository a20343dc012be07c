//! What a broken store is.

use std::sync::Arc;

use conformance::{Harness, MemoryHarness, Power, Store};
use prophet_store::{Identity, StoreError};

use crate::wrapped::file::{FileHarness, FileOptions};
use crate::wrapped::{Change, Handle, Hooks, Kept, Wrapping};

/// The store that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Inner {
    /// The reference store.
    Memory,
    /// A file that several processes share, or a file that is locked.
    File(FileOptions),
}

/// A file that several processes share.
pub(crate) const SHARED: Inner = Inner::File(FileOptions::SHARED);
/// A file that one handle has open at a time.
pub(crate) const EXCLUSIVE: Inner = Inner::File(FileOptions::EXCLUSIVE);

impl Inner {
    /// Without what breaks it.
    pub(crate) fn sound(self) -> Self {
        match self {
            Self::Memory => Self::Memory,
            Self::File(options) if options.exclusive => EXCLUSIVE,
            Self::File(_) => SHARED,
        }
    }

    /// As the addresses of sound stores call it.
    pub(crate) fn name(self) -> &'static str {
        match self.sound() {
            EXCLUSIVE => "exclusive",
            _ => "shared",
        }
    }

    pub(crate) fn named(name: &str) -> Self {
        if name == EXCLUSIVE.name() { EXCLUSIVE } else { SHARED }
    }

    pub(crate) fn without(self) -> Vec<Power> {
        let has: &[Power] = match self.sound() {
            Self::Memory => &[],
            EXCLUSIVE => &[Power::Address],
            _ => &[Power::Address, Power::SeveralProcesses, Power::ReadOnly],
        };
        Power::ALL.iter().filter(|power| !has.contains(power)).copied().collect()
    }

    pub(crate) fn harness(self, name: &'static str, change: Change) -> Wrapping {
        let inner: Arc<dyn Harness> = match self {
            Self::Memory => Arc::new(MemoryHarness::new()),
            Self::File(options) => Arc::new(FileHarness(options)),
        };
        Wrapping::new(inner, name, change)
    }
}

/// A store that breaks one rule.
pub(crate) struct Fault {
    /// What it does wrong.
    pub(crate) name: &'static str,
    /// The checks that have to notice.
    pub(crate) killers: &'static [&'static str],
    pub(crate) inner: Inner,
    /// How often a killer may try, where threads or processes have to get in each other's way.
    pub(crate) tries: usize,
    change: Change,
}

/// Over the reference store, until it is said otherwise.
pub(crate) fn fault(name: &'static str, killers: &'static [&'static str]) -> Fault {
    Fault { name, killers, inner: Inner::Memory, tries: 1, change: Change::NONE }
}

impl Fault {
    pub(crate) fn over(self, inner: Inner) -> Self {
        Self { inner, ..self }
    }

    pub(crate) fn tries(self, tries: usize) -> Self {
        Self { tries, ..self }
    }

    pub(crate) fn hooks(mut self, hooks: fn(&Handle, Hooks) -> Hooks) -> Self {
        self.change.hooks = hooks;
        self
    }

    pub(crate) fn create(
        mut self,
        create: fn(&Kept, Identity) -> Result<Store, StoreError>,
    ) -> Self {
        self.change.create = create;
        self
    }

    pub(crate) fn open(mut self, open: fn(&Kept) -> Result<Store, StoreError>) -> Self {
        self.change.open = open;
        self
    }

    pub(crate) fn open_read_only(
        mut self,
        open: fn(&Kept) -> Option<Result<Store, StoreError>>,
    ) -> Self {
        self.change.open_read_only = open;
        self
    }

    pub(crate) fn one_place(mut self) -> Self {
        self.change.one_place = true;
        self
    }

    pub(crate) fn harness(&self) -> Wrapping {
        self.inner.harness(self.name, self.change)
    }
}
