//! The course of commits on a place that fails, and what has to be true of it all the way.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use prophet_store::{Commit, CommitId, Durability, StoreError};

use crate::disaster::Course;
use crate::failure::{Failure, Outcome, ensure, ensure_eq};
use crate::fixtures::{World, metadata_key};
use crate::suite::apply;
use harnesses::{Fault, FaultWay, FaultyPlace, Store, Unsynced};

/// What meets a failure that passes is tried so often.
const TRIES: usize = 12;

/// A step that fails, and how: `step:17:half:once`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strike(pub(crate) Fault);

impl Strike {
    pub(crate) const WAYS: [FaultWay; 3] = [FaultWay::Undone, FaultWay::Half, FaultWay::Done];

    /// The strikes in order: each way of the first step, of the second, and so on.
    pub(crate) const fn number(index: usize, lasting: bool) -> Self {
        let (after, way) = (index / Self::WAYS.len(), Self::WAYS[index % Self::WAYS.len()]);
        Self(Fault { after: after as u64, way, lasting })
    }
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { after, way, lasting } = self.0;
        let way = match way {
            FaultWay::Undone => "undone",
            FaultWay::Half => "half",
            FaultWay::Done => "done",
        };
        write!(f, "step:{}:{way}:{}", after + 1, if lasting { "on" } else { "once" })
    }
}

/// What a store may answer because of what is underneath.
pub(crate) const fn is_honest(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Io { .. }
            | StoreError::Full { .. }
            | StoreError::Busy { .. }
            | StoreError::Closed { .. }
            | StoreError::OutcomeUnknown { .. }
    )
}

/// What is done beside committing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Nothing: what comes is what a crash leaves.
    Nothing,
    /// All that can be read, after each surprise.
    Reads,
    /// The same; a commit that failed is not sent again, but another one is made in its place.
    ReadsAndAnother,
    /// What is left if the power goes after an acknowledgement.
    Power,
}

/// One run of the course.
pub(crate) struct Ordeal {
    pub(crate) place: Arc<dyn FaultyPlace>,
    course: &'static Course,
    watch: Watch,
    /// Whether the replica was ever opened.
    made: bool,
    durability: Durability,
    /// How many commits were acknowledged.
    acknowledged: usize,
    /// How many there are at most.
    most: usize,
    looks: usize,
    /// Another commit took the place of one of the course, and all was looked at.
    elsewhere: bool,
}

/// How a commit went.
enum Went {
    On(Store),
    /// Nothing goes any more.
    Dead,
    /// Something else was committed in its place.
    Elsewhere,
}

impl Ordeal {
    pub(crate) fn new(place: Arc<dyn FaultyPlace>, fault: Option<Strike>, watch: Watch) -> Self {
        place.fail(fault.map(|strike| strike.0));
        Self {
            place,
            course: Course::get(),
            watch,
            made: false,
            durability: Durability::Volatile,
            acknowledged: 0,
            most: 0,
            looks: 0,
            elsewhere: false,
        }
    }

    fn struck(&self) -> bool {
        self.place.struck().is_some()
    }

    fn reads(&self) -> bool {
        matches!(self.watch, Watch::Reads | Watch::ReadsAndAnother)
    }

    /// Nothing succeeds any more, if `lasting` was asked for.
    fn dead(&self, lasting: bool) -> bool {
        lasting && self.struck()
    }

    /// Creates the replica and makes all commits. Without a fault, or with one that strikes once,
    /// that succeeds in the end.
    pub(crate) async fn run(&mut self, lasting: bool) -> Outcome {
        let outcome = self.go(lasting).await;
        let struck = self.place.struck().unwrap_or_else(|| "nothing".to_owned());
        let acknowledged = self.acknowledged;
        outcome.map_err(|failure| {
            failure.found(format_args!("{struck} failed, {acknowledged} acknowledged"))
        })
    }

    async fn go(&mut self, lasting: bool) -> Outcome {
        let Some(mut store) = self.start(lasting)? else { return Ok(()) };
        for (number, commit) in self.course.commits.iter().enumerate() {
            if number == self.course.len() / 2 {
                self.close(store).await?;
                match self.open(lasting)? {
                    Some(opened) => store = opened,
                    None => return Ok(()),
                }
            }
            match self.commit(store, commit, lasting).await? {
                Went::On(on) => store = on,
                Went::Dead | Went::Elsewhere => return Ok(()),
            }
            if self.reads() && number % 4 == 3 {
                self.read(&store, lasting).await?;
            }
        }
        self.close(store).await
    }

    fn start(&mut self, lasting: bool) -> Outcome<Option<Store>> {
        for _ in 0..TRIES {
            let created = match self.place.create(World::IDENTITY) {
                // The creation that failed made it.
                Err(StoreError::AlreadyExists { .. }) if self.struck() => self.place.open(),
                created => created,
            };
            match created {
                Ok(store) => {
                    self.opened(&store)?;
                    return Ok(Some(store));
                }
                // It was not made after all.
                Err(StoreError::NotFound { .. }) if self.struck() => {}
                Err(error) if is_honest(&error) => {}
                Err(error) => return Err(Failure::from(error).found("creating").breaks("D4")),
            }
            if self.dead(lasting) {
                return Ok(None);
            }
        }
        Err(Failure::new("D4", "it cannot be created any more".to_owned()))
    }

    fn opened(&mut self, store: &Store) -> Outcome {
        let facts = store.facts();
        ensure_eq!(O4, facts.identity, World::IDENTITY, "whose replica it is");
        (self.made, self.durability) = (true, facts.capabilities.durability);
        Ok(())
    }

    fn open(&mut self, lasting: bool) -> Outcome<Option<Store>> {
        for _ in 0..TRIES {
            match self.place.open() {
                Ok(store) => {
                    self.opened(&store)?;
                    return Ok(Some(store));
                }
                Err(error) if is_honest(&error) => {}
                Err(error) => return Err(Failure::from(error).found("opening").breaks("D2")),
            }
            if self.dead(lasting) {
                return Ok(None);
            }
        }
        Err(Failure::new("D2", "it cannot be opened any more".to_owned()))
    }

    async fn close(&self, store: Store) -> Outcome {
        match store.close().await {
            Err(error) if !is_honest(&error) => {
                Err(Failure::from(error).found("closing").breaks("D4"))
            }
            _ => Ok(()),
        }
    }

    /// How many commits there may be.
    pub(crate) const fn numbers(&self) -> RangeInclusive<usize> {
        self.acknowledged..=self.most
    }

    /// What can be read is all of what is there, or nothing can be read for now.
    async fn read(&self, store: &Store, lasting: bool) -> Outcome {
        for _ in 0..TRIES {
            match self.course.standing_in(store, &self.numbers(), "D4").await {
                Ok(_) => return Ok(()),
                Err(failure) => match failure.answer() {
                    // It is opened again where that is what the next commit says.
                    Some(StoreError::Closed { .. }) => return Ok(()),
                    Some(error) if is_honest(error) => {}
                    _ => return Err(failure.breaks("D4")),
                },
            }
            if self.dead(lasting) {
                return Ok(());
            }
        }
        Err(Failure::new("D4", "it cannot be read any more".to_owned()))
    }

    async fn commit(&mut self, mut store: Store, commit: &Commit, lasting: bool) -> Outcome<Went> {
        for _ in 0..TRIES {
            let before = self.struck();
            let answer = store.commit(commit).await;
            let hit = self.struck() && !before;
            match answer {
                Ok(head) => {
                    ensure_eq!(C3, head, commit.head(), "the answer to a commit");
                    self.acknowledged += 1;
                    self.most = self.acknowledged;
                    if hit && self.reads() {
                        self.leaves("D3").await?;
                    }
                    self.power().await?;
                    return Ok(Went::On(store));
                }
                Err(StoreError::OutcomeUnknown { .. }) => self.most = self.acknowledged + 1,
                Err(error) if is_honest(&error) => {
                    let closed = matches!(error, StoreError::Closed { .. });
                    if hit && self.reads() {
                        self.leaves("C5").await?;
                        let certain = self.most == self.acknowledged;
                        if certain && !lasting && !closed && self.watch == Watch::ReadsAndAnother {
                            return self.another(store).await;
                        }
                    }
                    if closed {
                        drop(store);
                        match self.open(lasting)? {
                            Some(opened) => store = opened,
                            None => return Ok(Went::Dead),
                        }
                    }
                }
                Err(error) => {
                    return Err(Failure::from(error).found("a commit").breaks("C5"));
                }
            }
            if self.reads() {
                self.read(&store, lasting).await?;
            }
            if self.dead(lasting) {
                return Ok(Went::Dead);
            }
        }
        Err(Failure::new("D4", "nothing can be committed any more".to_owned()))
    }

    /// What a crash now would leave.
    async fn leaves(&self, rule: &'static str) -> Outcome<usize> {
        let found = |failure: Failure| failure.found("what a crash leaves").breaks(rule);
        let place = self.place.after_crash();
        let store = place.open().map_err(Failure::from).map_err(found)?;
        self.course.standing_in(&store, &self.numbers(), rule).await.map_err(found)
    }

    /// What was refused with certainty stays away: another commit takes its place.
    async fn another(&mut self, store: Store) -> Outcome<Went> {
        let base = self.course.models[self.acknowledged].clone();
        let commit = Commit::new(CommitId::from_bytes([0xD1; 16]), base.head)
            .with_metadata(metadata_key("another"), Some(b"way".to_vec()))?;
        let mut model = base;
        model.take_in(&commit);
        let store = match store.head().await {
            // It closed itself after the failure.
            Err(StoreError::Closed { .. }) => {
                drop(store);
                self.place.open()?
            }
            _ => store,
        };
        apply(&store, &commit).await.map_err(|it| it.found("another commit").breaks("C5"))?;
        let found = |failure: Failure| failure.found("after another commit").breaks("C5");
        model.expect(&store).await.map_err(found)?;
        let place = self.place.after_crash();
        model.expect(&place.open()?).await.map_err(found)?;
        self.close(store).await?;
        let store = self.place.open()?;
        model.expect(&store).await.map_err(found)?;
        self.elsewhere = true;
        Ok(Went::Elsewhere)
    }

    /// The power goes soon after a failure, and takes nothing that was acknowledged.
    async fn power(&mut self) -> Outcome {
        if self.watch != Watch::Power || !self.struck() || self.looks == 3 {
            return Ok(());
        }
        self.looks += 1;
        self.after_power_loss(Unsynced::Lost).await
    }

    /// The power goes now.
    pub(crate) async fn after_power_loss(&self, unsynced: Unsynced) -> Outcome {
        let Some(place) = self.place.after_power_loss(unsynced) else {
            return Err(Failure::around("the harness declares a loss of power and has none"));
        };
        let recovered = self.recovers(&*place, &self.numbers_without_power()).await;
        recovered.map_err(|failure| failure.found(format_args!("the power went, {unsynced:?}")))
    }

    /// How many commits there may be after the power went.
    pub(crate) fn numbers_without_power(&self) -> RangeInclusive<usize> {
        match self.durability >= Durability::PowerLoss {
            true => self.numbers(),
            false => 0..=self.most,
        }
    }

    /// The process dies now.
    pub(crate) async fn after_crash(&self) -> Outcome {
        self.recovers(&*self.place.after_crash(), &self.numbers()).await
    }

    /// Opens what is left, looks at it, and goes on from there.
    pub(crate) async fn recovers(
        &self,
        place: &dyn FaultyPlace,
        numbers: &RangeInclusive<usize>,
    ) -> Outcome {
        if self.elsewhere {
            return Ok(());
        }
        let store = match place.open() {
            Ok(store) => store,
            Err(StoreError::NotFound { .. }) if !self.made => {
                let created = place.create(World::IDENTITY).map_err(Failure::from);
                created.map_err(|failure| failure.found("creating it again").breaks("D2"))?
            }
            Err(error) => return Err(Failure::from(error).found("recovering").breaks("D2")),
        };
        let standing = self.course.standing_in(&store, numbers, "D3").await;
        let number = standing.map_err(|failure| failure.found("recovered").breaks("D3"))?;
        let report = store.verify().await?;
        ensure!(D3, report.is_sound(), "recovered, and unsound: {:?}", report.problems);
        if let Some(commit) = self.course.commits.get(number) {
            let after =
                |failure: Failure| failure.found("the commit after recovering").breaks("D2");
            apply(&store, commit).await.map_err(after)?;
            drop(store);
            let store = place.open().map_err(Failure::from).map_err(after)?;
            let numbers = number + 1..=number + 1;
            self.course.standing_in(&store, &numbers, "D1").await.map_err(after)?;
        }
        Ok(())
    }
}
