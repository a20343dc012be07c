//! What the checks of faults, of lost power and of damage share: the commits that are made, which
//! of all that can go wrong is tried, and how one of them is tried again.

use std::cell::Cell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use prophet_store::{Commit, Value};

use crate::cases::number_of_cases;
use crate::failure::{Failure, Outcome};
use crate::fixtures::{Model, World, key, origin};
use harnesses::Store;

/// Commits one after another, and what a store holds after each.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) commits: Vec<Commit>,
    /// After none of them, after the first, and so on.
    pub(crate) models: Vec<Model>,
}

impl Course {
    /// Something of everything, but little of it: it is made and read very often. Made once.
    pub(crate) fn get() -> &'static Self {
        static MADE: OnceLock<Course> = OnceLock::new();
        MADE.get_or_init(|| {
            let commits = commits();
            let mut model = Model::EMPTY;
            let mut models = vec![model.clone()];
            for commit in &commits {
                model.take_in(commit);
                models.push(model.clone());
            }
            Self { commits, models }
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.commits.len()
    }

    pub(crate) fn last(&self) -> &Model {
        &self.models[self.len()]
    }

    /// After how many commits the store is: what it holds has to be what it holds then. That a
    /// call failed is a failure with that [answer](Failure::answer).
    pub(crate) async fn standing(&self, store: &Store) -> Outcome<usize> {
        let head = store.head().await?;
        let Some(number) = self.models.iter().position(|model| model.head == head) else {
            return Err(Failure::new("C1", format!("no commit ever led to the head {head}")));
        };
        self.models[number].expect(store).await?;
        Ok(number)
    }

    /// As [`standing`](Self::standing), within these numbers.
    pub(crate) async fn standing_in(
        &self,
        store: &Store,
        numbers: &RangeInclusive<usize>,
        rule: &'static str,
    ) -> Outcome<usize> {
        let number = self.standing(store).await?;
        match numbers.contains(&number) {
            true => Ok(number),
            false => Err(Failure::unequal(rule, "how many commits are there", numbers, &number)),
        }
    }
}

fn commits() -> Vec<Commit> {
    let mut world = World::new();
    let (title, person) = (key("bug", 1), key("person", 9));
    let (own, ann, bob) = (World::IDENTITY.replica, origin(1), origin(2));
    let named = |text: &str| [("name", Value::from(text))];
    let mut commits = vec![
        world
            .draft()
            .edit(&title, &[("title", Value::from("one")), ("open", Value::from(true))])
            .metadata("peers/home", Some(b"192.0.2.1"))
            .finish(),
        world
            .draft()
            .edits(own, &[(&person, &named("A. Person")), (&title, &named("of a bug"))])
            .edit(&key("bug", 2), &[("refers to", Value::from(&person))])
            .metadata("peers/", Some(b""))
            .finish(),
        world
            .draft()
            .meet(ann, &title, &[("title", Value::from("two"))], &[], &[&person], &[])
            .meet(bob, &title, &[("title", Value::from("three"))], &[], &[], &[])
            .finish(),
        world
            .draft()
            .vote(ann, &title, "title", &Value::from("two"))
            .vote(own, &title, "title", &Value::from("three"))
            .metadata("peers/home", None)
            .metadata("peers/work", Some(&[0, 255, 10, 13]))
            .finish(),
        world.draft().delete(&person).finish(),
        world.draft().finish(),
        world.note(),
    ];
    commits.extend(world.steps(2));
    commits
}

/// How many of all that can go wrong are tried: `PROPHET_CASES`, or so many.
pub(crate) fn cases(otherwise: usize) -> usize {
    number_of_cases().map_or(otherwise, |cases| usize::try_from(cases).unwrap_or(usize::MAX))
}

thread_local! {
    /// How many cases this thread was to try, of how many; since it was asked last.
    static TRIED: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Whether `PROPHET_ONLY` named a case that is none of those there were on this thread since this was
/// asked last: then nothing was tried at all.
pub(crate) fn only_none() -> Option<String> {
    let (tried, of) = TRIED.take();
    std::env::var("PROPHET_ONLY").ok().filter(|_| tried == 0 && of > 0)
}

/// So many of `total` cases, spread over all of them, or all if `PROPHET_CASES` is as many; with
/// `PROPHET_ONLY`, the one that is called so.
pub(crate) fn chosen(
    total: usize,
    otherwise: usize,
    name: impl Fn(usize) -> String,
) -> Vec<(usize, String)> {
    let only = std::env::var("PROPHET_ONLY").ok();
    let count = if only.is_some() { total } else { cases(otherwise).min(total) };
    let stride = stride(total);
    let mut indices: Vec<_> = match count == total {
        true => (0..total).collect(),
        false => (0..count).map(|number| number * stride % total).collect(),
    };
    indices.sort_unstable();
    let named = indices.into_iter().map(|index| (index, name(index)));
    let chosen: Vec<_> =
        named.filter(|(_, name)| only.as_ref().is_none_or(|only| only == name)).collect();
    TRIED.set((TRIED.get().0 + chosen.len(), TRIED.get().1 + total));
    chosen
}

/// A stride with which any number of steps is spread evenly, and that meets every place.
fn stride(total: usize) -> usize {
    let coprime = |stride: &usize| {
        let (mut a, mut b) = (total, *stride);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a == 1
    };
    // The golden section leaves no large gaps, however often it is taken.
    (total * 618 / 1_000..=total).find(coprime).unwrap_or(1).max(1)
}

/// What one case came to, and how to see it again if that is a failure.
pub(crate) trait Again<T> {
    fn again(self, name: &dyn Display) -> Outcome<T>;
}

impl<T> Again<T> for Outcome<T> {
    fn again(self, name: &dyn Display) -> Self {
        let replay = || format!("\n    replay: PROPHET_ONLY={name}, and this test alone");
        self.map_err(|failure| failure.with(replay()))
    }
}

/// Longer than this nothing here takes, on however slow a machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Runs it to its end, on a thread of its own: if there is none, or a panic comes, that breaks the
/// rule.
pub(crate) fn watched<T: Send + 'static>(
    rule: &'static str,
    run: impl Future<Output = Outcome<T>> + Send + 'static,
) -> Outcome<T> {
    let (done, result) = mpsc::channel();
    let thread = thread::spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| block_on(run)));
        // Nobody waits any more if it took too long.
        let _ = done.send(outcome);
    });
    match result.recv_timeout(PATIENCE) {
        Ok(Ok(outcome)) => {
            let _ = thread.join();
            outcome
        }
        Ok(Err(panic)) => Err(Failure::panicked(&*panic).breaks(rule)),
        Err(_) => Err(Failure::new(rule, "it does not come to an end".to_owned())),
    }
}
