//! Runs checks over a harness.

use std::ffi::OsString;
use std::future::Future;
use std::pin::Pin;

use futures_lite::future::block_on;
use prophet_store::{Commit, Head, StoreError};

use crate::cases::{Cases, Site};
use crate::disaster::only_none;
use crate::failure::{Failure, Outcome, ensure_eq};
use crate::fixtures::World;
use harnesses::{Harness, Place, Power, Store};

pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// One check of the list.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Check {
    /// The group, which is also the module of the test.
    pub group: &'static str,
    /// Its name within the group.
    pub name: &'static str,
    /// The rules of `docs/contract.md` that it checks.
    pub rules: &'static [&'static str],
    /// The powers without which it cannot run.
    pub needs: &'static [Power],
    /// The powers with which it has nothing to say: it checks what a store without them does.
    pub lacks: &'static [Power],
    pub(crate) run: for<'a> fn(&'a Context<'a>) -> Running<'a>,
}

impl Check {
    /// Whether it says anything of a store without these powers.
    pub fn applies(&self, without: &[Power]) -> bool {
        self.needs.iter().all(|power| !without.contains(power))
            && self.lacks.iter().all(|power| without.contains(power))
    }
}

/// A harness, and what it does without.
#[allow(missing_debug_implementations, reason = "a harness need not be shown")]
pub struct Suite<'a> {
    harness: &'a dyn Harness,
    without: &'a [Power],
    child: Option<Vec<OsString>>,
    site: Option<Site>,
    as_found: bool,
}

impl<'a> Suite<'a> {
    /// The suite over `harness`, which does without these powers. Checks with other processes
    /// need the tests that [`suite!`](crate::suite) makes.
    pub fn new(harness: &'a dyn Harness, without: &'a [Power]) -> Self {
        Self { harness, without, child: None, site: None, as_found: false }
    }

    /// The arguments with which this program, started once more, serves as another process.
    #[doc(hidden)]
    #[must_use]
    pub fn with_child(mut self, arguments: Vec<OsString>) -> Self {
        self.child = Some(arguments);
        self
    }

    /// Where failures of random cases are saved; nowhere unless this is said.
    #[must_use]
    pub(crate) fn with_site(mut self, site: Site) -> Self {
        self.site = Some(site);
        self
    }

    /// Leaves random cases that fail as long as they are.
    #[doc(hidden)]
    #[must_use]
    pub const fn as_found(mut self) -> Self {
        self.as_found = true;
        self
    }

    /// Runs one check in a place of its own.
    ///
    /// # Errors
    /// The first rule that was found broken.
    pub fn run(&self, check: &Check) -> Outcome {
        let context = Context {
            harness: self.harness,
            place: self.harness.place(),
            without: self.without,
            child: self.child.as_deref(),
            site: self.site.as_ref(),
            as_found: self.as_found,
        };
        let _ = only_none();
        block_on((check.run)(&context))?;
        match only_none() {
            Some(only) => Err(Failure::around(format!("no case of this check is called {only}"))),
            None => Ok(()),
        }
    }
}

/// What a check has to work with.
pub(crate) struct Context<'a> {
    harness: &'a dyn Harness,
    place: Box<dyn Place>,
    without: &'a [Power],
    child: Option<&'a [OsString]>,
    site: Option<&'a Site>,
    as_found: bool,
}

impl Context<'_> {
    pub(crate) fn place(&self) -> &dyn Place {
        &*self.place
    }

    pub(crate) const fn harness(&self) -> &dyn Harness {
        self.harness
    }

    pub(crate) fn has(&self, power: Power) -> bool {
        !self.without.contains(&power)
    }

    pub(crate) const fn child(&self) -> Option<&[OsString]> {
        self.child
    }

    /// So many random cases, unless the environment says more or less.
    pub(crate) fn cases(&self, count: u32) -> Cases<'_> {
        let cases = Cases::new(count, self.site);
        if self.as_found { cases.as_found() } else { cases }
    }

    /// A new replica.
    #[track_caller]
    pub(crate) fn create(&self) -> Outcome<Store> {
        Ok(self.place.create(World::IDENTITY)?)
    }

    #[track_caller]
    pub(crate) fn open(&self) -> Outcome<Store> {
        Ok(self.place.open()?)
    }

    /// Drops the handle without closing it and opens another one.
    #[track_caller]
    pub(crate) fn reopen(&self, store: Store) -> Outcome<Store> {
        drop(store);
        self.open()
    }

    /// A new replica with these commits in it.
    pub(crate) async fn create_with(&self, commits: &[Commit]) -> Outcome<Store> {
        let store = self.create()?;
        for commit in commits {
            apply(&store, commit).await?;
        }
        Ok(store)
    }

    /// A new replica with the rich content of [`World::rich`] in it.
    pub(crate) async fn create_rich(&self) -> Outcome<(Store, World)> {
        let mut world = World::new();
        let commits = world.rich();
        Ok((self.create_with(&commits).await?, world))
    }
}

/// How often a call that is answered with `Busy` is tried: far beyond any contention here.
const TRIES: usize = 10_000;

/// Commits, and tries again where the store says that it is busy or does not know.
pub(crate) async fn persist(store: &Store, commit: &Commit) -> Result<Head, StoreError> {
    for _ in 1..TRIES {
        match store.commit(commit).await {
            Err(StoreError::Busy { .. } | StoreError::OutcomeUnknown { .. }) => {
                std::thread::yield_now();
            }
            answer => return answer,
        }
    }
    store.commit(commit).await
}

/// Makes a commit that has to succeed.
pub(crate) async fn apply(store: &Store, commit: &Commit) -> Outcome {
    let head = persist(store, commit).await?;
    ensure_eq!(C3, head, commit.head(), "the answer to a commit is the head it leads to");
    Ok(())
}

/// Runs this in threads at once, and gives what each came to, in order.
pub(crate) fn in_threads<T: Send>(
    tasks: impl IntoIterator<Item = impl FnOnce() -> Outcome<T> + Send>,
) -> Outcome<Vec<T>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = tasks.into_iter().map(|task| scope.spawn(task)).collect();
        threads
            .into_iter()
            .map(|thread| {
                thread.join().unwrap_or_else(|_| Err(Failure::around("a thread panicked")))
            })
            .collect()
    })
}
