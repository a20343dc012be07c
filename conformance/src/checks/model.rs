//! Random sequences of operations, held against the model; those that fail are shortened.

use futures_lite::future::block_on;
use prophet_store::{
    Commit, CommitId, Head, LogScan, MetadataScan, PageLimit, Position, RecordScan, StoreError,
    Version,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Union;

use super::cancellation::abandon;
use crate::child::{Child, told};
use crate::failure::{Failure, Outcome, ensure, ensure_eq, ensure_error};
use crate::fixtures::{Author, Make, World, metadata_key};
use crate::scan::{Scan, every_scan, page, walk};
use crate::suite::{Context, persist};
use harnesses::{Fault, FaultWay, FaultyPlace, Harness, Place, Power, Store};

#[derive(Debug, Clone)]
enum Op {
    /// On the head that there is.
    Commit(Make),
    /// On the head that so many commits ago was left behind.
    Stale(usize, Make),
    /// On a head that never was.
    Foreign(Foreign),
    /// What was committed so many commits ago, once more.
    Again(usize),
    /// A commit whose future is dropped after so many polls.
    Dropped(Make, usize, Settle),
    /// All scans, in pages of so many items.
    Scan(usize),
    /// Some scans, in pages of so many items, each page after one more of these commits.
    ScanWhile(usize, Vec<Make>),
    /// Reads by key, of many and of one.
    Batches(usize),
    /// All handles are dropped, or closed before, and there is another one.
    Reopen { close: bool },
    /// One more handle, or one of those that there are, and on with it.
    Switch(usize),
    /// A commit that meets a fault.
    Failing(Make, Fault, Settle),
    /// An opening that meets a fault, and one without.
    FailingOpen(Fault),
    /// Commits until a fault from which on nothing works, and then the end of the process. Of the
    /// openings after it each ends in the same way, but for the last.
    Crash(Vec<Make>, Fault, Vec<Fault>, Settle),
    /// Commits of another process, which is killed when so many are acknowledged.
    Kill(Vec<Make>, usize, Settle),
}

#[derive(Debug, Clone, Copy)]
enum Foreign {
    Version(u64),
    Position(u64),
    Commit(u8),
}

/// How it is found out what became of a commit of which nobody knows.
#[derive(Debug, Clone, Copy)]
enum Settle {
    /// It is sent again.
    Again,
    /// Another one is sent on the same head: only one of the two can be.
    Overtake,
}

fn make() -> impl Strategy<Value = Make> {
    use Make::*;
    prop_oneof![
        6 => Just(Step),
        2 => Just(Note),
        1 => Just(Empty),
        1 => Just(Unset),
        3 => Just(Meet),
        2 => Just(Vote),
        2 => Just(Gone),
        1 => Just(Long),
    ]
}

fn settle() -> impl Strategy<Value = Settle> {
    prop_oneof![Just(Settle::Again), Just(Settle::Overtake)]
}

fn fault(lasting: impl Strategy<Value = bool>) -> impl Strategy<Value = Fault> {
    let way = prop_oneof![Just(FaultWay::Undone), Just(FaultWay::Half), Just(FaultWay::Done)];
    // Few steps make a commit, and many the sealing of what is full.
    let after = prop_oneof![4 => 0_u64..6, 1 => 6_u64..30];
    (after, way, lasting).prop_map(|(after, way, lasting)| Fault { after, way, lasting })
}

fn foreign() -> impl Strategy<Value = Foreign> {
    prop_oneof![
        prop_oneof![0_u64..5, Just(u64::MAX - 1)].prop_map(Foreign::Version),
        prop_oneof![0_u64..5, Just(u64::MAX >> 1)].prop_map(Foreign::Position),
        (1_u8..=255).prop_map(Foreign::Commit),
    ]
}

/// What any store can do.
fn ordinary() -> Vec<(u32, BoxedStrategy<Op>)> {
    vec![
        (12, make().prop_map(Op::Commit).boxed()),
        (2, (0_usize..6, make()).prop_map(|(back, make)| Op::Stale(back, make)).boxed()),
        (1, foreign().prop_map(Op::Foreign).boxed()),
        (2, (0_usize..12).prop_map(Op::Again).boxed()),
        (
            2,
            (make(), 0_usize..4, settle())
                .prop_map(|(make, polls, settle)| Op::Dropped(make, polls, settle))
                .boxed(),
        ),
        (2, (1_usize..6).prop_map(Op::Scan).boxed()),
        (
            1,
            (1_usize..4, vec(make(), 1..4))
                .prop_map(|(items, makes)| Op::ScanWhile(items, makes))
                .boxed(),
        ),
        (2, (0_usize..32).prop_map(Op::Batches).boxed()),
        (2, any::<bool>().prop_map(|close| Op::Reopen { close }).boxed()),
    ]
}

fn sequences(
    context: &Context<'_>,
    more: Vec<(u32, BoxedStrategy<Op>)>,
    most: usize,
) -> impl Strategy<Value = Vec<Op>> + use<> {
    let mut ops = ordinary();
    if context.has(Power::SeveralProcesses) {
        ops.push((2, (0_usize..3).prop_map(Op::Switch).boxed()));
    }
    ops.extend(more);
    vec(Union::new_weighted(ops), 1..most)
}

pub(crate) async fn any_sequence_of_operations(context: &Context<'_>) -> Outcome {
    let sequences = sequences(context, Vec::new(), 32);
    context.cases(16).run(&sequences, |ops| {
        block_on(Run::new(context, Ground::Plain(context.harness().place()))?.all(&ops))
    })
}

pub(crate) async fn any_sequence_with_faults(context: &Context<'_>) -> Outcome {
    let failing = (make(), fault(any::<bool>()), settle())
        .prop_map(|(make, fault, settle)| Op::Failing(make, fault, settle));
    let opening = fault(any::<bool>()).prop_map(Op::FailingOpen);
    let sequences = sequences(context, vec![(16, failing.boxed()), (4, opening.boxed())], 24);
    context.cases(48).run(&sequences, |ops| {
        block_on(Run::new(context, Ground::faulty(context.harness())?)?.all(&ops))
    })
}

pub(crate) async fn any_sequence_with_crashes(context: &Context<'_>) -> Outcome {
    let openings = vec(fault(Just(true)), 0..3);
    let crash = (vec(make(), 0..4), fault(Just(true)), openings, settle())
        .prop_map(|(makes, fault, openings, settle)| Op::Crash(makes, fault, openings, settle));
    let sequences = sequences(context, vec![(20, crash.boxed())], 24);
    context.cases(48).run(&sequences, |ops| {
        block_on(Run::new(context, Ground::faulty(context.harness())?)?.all(&ops))
    })
}

pub(crate) async fn any_sequence_with_kills(context: &Context<'_>) -> Outcome {
    let kill = (vec(make(), 1..12), 0_usize..8, settle())
        .prop_map(|(makes, count, settle)| Op::Kill(makes, count, settle));
    let sequences = sequences(context, vec![(8, kill.boxed())], 16);
    context.cases(8).erratic().run(&sequences, |ops| {
        block_on(Run::new(context, Ground::Plain(context.harness().place()))?.all(&ops))
    })
}

enum Ground {
    Plain(Box<dyn Place>),
    Faulty(Box<dyn FaultyPlace>),
}

impl Ground {
    fn faulty(harness: &dyn Harness) -> Outcome<Self> {
        let place = harness.faulty_place();
        let none = || Failure::around("the harness declares faults but gives no place for them");
        place.map(Self::Faulty).ok_or_else(none)
    }

    fn place(&self) -> &dyn Place {
        match self {
            Self::Plain(place) => &**place,
            Self::Faulty(place) => &**place,
        }
    }

    fn fail(&self, fault: Option<Fault>) {
        if let Self::Faulty(place) = self {
            place.fail(fault);
        }
    }

    /// The place as it is found if the process dies now.
    fn crash(&mut self) {
        if let Self::Faulty(place) = self {
            *place = place.after_crash();
        }
    }
}

/// A store and what the model says of it. The handles are dropped before the place.
struct Run<'a> {
    context: &'a Context<'a>,
    handles: Vec<Store>,
    current: usize,
    ground: Ground,
    author: Author,
    /// Every commit that is in, and the author before it.
    past: Vec<(Author, Commit)>,
    salts: u8,
    /// Whether the current handle met a fault, and may have closed itself.
    hurt: bool,
}

impl<'a> Run<'a> {
    fn new(context: &'a Context<'a>, ground: Ground) -> Outcome<Self> {
        let handles = vec![ground.place().create(World::IDENTITY)?];
        let (author, past) = (Author::new(), Vec::new());
        Ok(Self { context, handles, current: 0, ground, author, past, salts: 0, hurt: false })
    }

    async fn all(mut self, ops: &[Op]) -> Outcome {
        for (number, op) in ops.iter().enumerate() {
            let here = |failure: Failure| failure.with(format!("\n     while: {number}, {op:?}"));
            self.perform(op).await.map_err(here)?;
            let head = self.head().await.map_err(here)?;
            ensure_eq!(R2, head, self.author.head(), "the head after {number}, {op:?}");
        }
        self.expect_all().await?;
        self.reopen().await?;
        self.expect_all().await?;
        let report = self.store().verify().await?;
        ensure!(X3, report.is_sound(), "verify finds {:?}", report.problems);
        Ok(())
    }

    fn store(&self) -> &Store {
        &self.handles[self.current]
    }

    fn rival(&mut self, author: &Author) -> Author {
        self.salts += 1;
        author.rival(self.salts)
    }

    fn took(&mut self, before: Author, commit: Commit) {
        self.past.push((before, commit));
    }

    /// One of the commits that are in, counted from the last.
    fn back(&self, back: usize) -> Option<&(Author, Commit)> {
        self.past.iter().rev().cycle().nth(back)
    }

    async fn perform(&mut self, op: &Op) -> Outcome {
        match op {
            Op::Commit(make) => self.commit(*make).await,
            Op::Stale(back, make) => self.stale(*back, *make).await,
            Op::Foreign(foreign) => self.foreign(*foreign).await,
            Op::Again(back) => {
                let Some((_, commit)) = self.back(*back).cloned() else { return Ok(()) };
                let answer = self.persist(&commit).await?;
                let expected = Some(commit.head());
                ensure_eq!(C4, answer.ok(), expected, "the answer to a commit sent again");
                Ok(())
            }
            Op::Dropped(make, polls, settle) => {
                let before = self.author.clone();
                let commit = self.author.make(*make);
                abandon(self.store().commit(&commit), *polls).await;
                self.settle(before, commit, *settle).await
            }
            Op::Scan(items) => self.scan(*items).await,
            Op::ScanWhile(items, makes) => {
                self.scan_while(&LogScan::default(), *items, makes).await?;
                self.scan_while(&RecordScan::default(), *items, makes).await?;
                self.scan_while(&MetadataScan::default(), *items, makes).await
            }
            Op::Batches(index) => self.batches(*index).await,
            Op::Reopen { close: false } => self.reopen().await,
            Op::Reopen { close: true } => {
                for handle in &self.handles {
                    handle.close().await?;
                }
                ensure_error!(
                    O3,
                    self.store().head().await,
                    StoreError::Closed { .. },
                    "the head of a closed handle"
                );
                self.reopen().await
            }
            Op::Switch(index) => {
                if self.handles.len() <= *index {
                    self.handles.push(self.ground.place().open()?);
                }
                self.current = index % self.handles.len();
                // What was acknowledged elsewhere is seen from a call of `head` on.
                self.store().head().await?;
                Ok(())
            }
            Op::Failing(make, fault, settle) => self.failing(*make, *fault, *settle).await,
            Op::FailingOpen(fault) => self.failing_open(*fault).await,
            Op::Crash(makes, fault, openings, settle) => {
                self.crash(makes, *fault, openings, *settle).await
            }
            Op::Kill(makes, count, settle) => self.kill(makes, *count, *settle).await,
        }
    }

    async fn commit(&mut self, make: Make) -> Outcome {
        let before = self.author.clone();
        let commit = self.author.make(make);
        let head = self.persist(&commit).await??;
        ensure_eq!(C3, head, commit.head(), "the answer to a commit");
        self.took(before, commit);
        Ok(())
    }

    async fn stale(&mut self, back: usize, make: Make) -> Outcome {
        let Some((before, _)) = self.back(back).cloned() else { return Ok(()) };
        let commit = self.rival(&before).make(make);
        self.is_stale(&commit).await
    }

    async fn foreign(&mut self, foreign: Foreign) -> Outcome {
        let Head { version, position, commit } = self.author.head();
        let base = match foreign {
            Foreign::Version(more) => Head {
                version: Version::new(version.get().saturating_add(more + 1).min(u64::MAX - 1)),
                position,
                commit,
            },
            Foreign::Position(more) => {
                let position = Position::new(position.get().saturating_add(more + 1));
                Head { version, position, commit }
            }
            Foreign::Commit(mask) => {
                let bytes = commit.as_bytes().map(|byte| byte ^ mask);
                Head { version, position, commit: CommitId::from_bytes(bytes) }
            }
        };
        self.salts += 1;
        let mut id = [0xF0; 16];
        id[7] = self.salts;
        let commit = Commit::new(CommitId::from_bytes(id), base)
            .with_metadata(metadata_key("foreign"), Some(Vec::new()))?;
        self.is_stale(&commit).await
    }

    async fn is_stale(&mut self, commit: &Commit) -> Outcome {
        let answer = self.persist(commit).await?;
        ensure_error!(
            C2,
            answer,
            StoreError::StaleBase { head, .. } if head == self.author.head(),
            "a commit on {}, which is not the head", commit.base()
        );
        Ok(())
    }

    async fn scan(&self, items: usize) -> Outcome {
        let model = &self.author.world.model;
        every_scan!(model, |scan| {
            let found = walk(scan, self.store(), PageLimit::items(items), 10_000).await?;
            ensure_eq!(R4, found, scan.expected(model), "{scan:?} in pages of {items}");
        });
        Ok(())
    }

    /// Each page is the model at the head that it names, which is the present one.
    async fn scan_while<S: Scan>(&mut self, scan: &S, items: usize, makes: &[Make]) -> Outcome {
        let mut makes = makes.iter();
        let mut after: Option<S::Cursor> = None;
        loop {
            let page = page(scan, self.store(), after.clone(), PageLimit::items(items)).await?;
            ensure_eq!(R2, page.at, self.author.head(), "the head of a page of {scan:?}");
            let beyond = |item: &S::Item| {
                after.as_ref().is_none_or(|after| scan.is_before(after, &S::cursor(item)))
            };
            let rest: Vec<_> =
                scan.expected(&self.author.world.model).into_iter().filter(beyond).collect();
            let expected = rest.get(..page.items.len()).unwrap_or(&rest);
            ensure_eq!(R1, page.items, expected, "{scan:?} after {after:?}, at {}", page.at);
            let Some(more) = page.more else {
                ensure_eq!(R4, page.items.len(), rest.len(), "how many are left of {scan:?}");
                return Ok(());
            };
            after = Some(more);
            if let Some(make) = makes.next() {
                self.commit(*make).await?;
            }
        }
    }

    async fn batches(&self, index: usize) -> Outcome {
        let model = &self.author.world.model;
        model.expect_batches(self.store()).await?;
        let keys = model.touched();
        let key = &keys[index % keys.len()];
        let read = self.store().get_records(&[key.clone(), key.clone()]).await?;
        let state = model.records.get(key).cloned();
        ensure_eq!(R7, read.value, [state.clone(), state], "{key}, asked for twice");
        Ok(())
    }

    async fn reopen(&mut self) -> Outcome {
        self.handles.clear();
        self.reopened()
    }

    fn reopened(&mut self) -> Outcome {
        let opened = self.ground.place().open();
        let opened = opened.map_err(|error| {
            Failure::new("D2", format!("opening fails: {error}\n      came: {error:?}"))
        })?;
        (self.handles, self.current, self.hurt) = (vec![opened], 0, false);
        Ok(())
    }

    /// Commits. A handle that met a fault may have closed itself; then there is another one.
    async fn persist(&mut self, commit: &Commit) -> Outcome<Result<Head, StoreError>> {
        match persist(self.store(), commit).await {
            Err(StoreError::Closed { .. }) if self.hurt => {
                self.reopen().await?;
                Ok(persist(self.store(), commit).await)
            }
            answer => Ok(answer),
        }
    }

    async fn head(&mut self) -> Outcome<Head> {
        match self.store().head().await {
            Err(StoreError::Closed { .. }) if self.hurt => {
                self.reopen().await?;
                Ok(self.store().head().await?)
            }
            Err(error) if self.hurt => Err(Failure::new(
                "D4",
                format!("a handle that met a failure neither works nor is closed: {error:?}"),
            )),
            answer => Ok(answer?),
        }
    }

    /// What is read is the model, all of it.
    async fn expect_all(&mut self) -> Outcome {
        let found = self.author.world.model.expect(self.store()).await;
        if found.is_err() && self.hurt {
            let closed = matches!(self.store().head().await, Err(StoreError::Closed { .. }));
            if closed {
                self.reopen().await?;
                return self.author.world.model.expect(self.store()).await;
            }
        }
        found
    }

    /// Nobody knows whether this commit is in. The author has made it, after having been `before`.
    async fn settle(&mut self, before: Author, commit: Commit, settle: Settle) -> Outcome {
        let head = self.head().await?;
        let either = head == commit.base() || head == commit.head();
        ensure!(C1, either, "the head is {head} after a commit on {}", commit.base());
        if matches!(settle, Settle::Overtake) && head == commit.base() {
            let mut rival = self.rival(&before);
            let other = rival.make(Make::Step);
            match self.persist(&other).await? {
                Ok(head) => {
                    ensure_eq!(C3, head, other.head(), "the answer to the commit that overtakes");
                    self.author = rival;
                    self.took(before, other);
                    return self.is_stale(&commit).await;
                }
                Err(StoreError::StaleBase { head, .. }) => {
                    ensure_eq!(C6, head, commit.head(), "what was faster than another commit");
                }
                Err(error) => return Err(error.into()),
            }
        }
        let answer = self.persist(&commit).await?;
        ensure_eq!(C6, answer.ok(), Some(commit.head()), "the answer to a commit nobody knew of");
        self.took(before, commit);
        Ok(())
    }

    /// A fault may strike whatever any handle does, so there is to be one alone.
    fn alone(&mut self) {
        self.handles.swap(0, self.current);
        self.handles.truncate(1);
        self.current = 0;
    }

    async fn failing(&mut self, make: Make, fault: Fault, settle: Settle) -> Outcome {
        self.alone();
        if self.hurt {
            self.reopen().await?;
        }
        let before = self.author.clone();
        let commit = self.author.make(make);
        self.ground.fail(Some(fault));
        let answer = self.store().commit(&commit).await;
        self.ground.fail(None);
        self.hurt = true;
        match answer {
            Ok(head) => {
                ensure_eq!(C3, head, commit.head(), "the answer to a commit with a fault");
                self.took(before, commit);
            }
            Err(StoreError::OutcomeUnknown { .. }) => self.settle(before, commit, settle).await?,
            Err(error) => {
                self.author = self.rival(&before);
                let head = self.head().await?;
                ensure_eq!(C5, head, commit.base(), "the head after {error:?}");
            }
        }
        self.expect_all().await
    }

    async fn failing_open(&mut self, fault: Fault) -> Outcome {
        self.handles.clear();
        self.ground.fail(Some(fault));
        let opened = self.ground.place().open();
        self.ground.fail(None);
        match opened {
            Ok(store) => (self.handles, self.current, self.hurt) = (vec![store], 0, true),
            Err(_) => self.reopened()?,
        }
        self.expect_all().await
    }

    async fn crash(
        &mut self,
        makes: &[Make],
        fault: Fault,
        openings: &[Fault],
        settle: Settle,
    ) -> Outcome {
        self.alone();
        if self.hurt {
            self.reopen().await?;
        }
        self.ground.fail(Some(fault));
        let mut unknown = None;
        for make in makes {
            let before = self.author.clone();
            let commit = self.author.make(*make);
            match self.store().commit(&commit).await {
                Ok(head) => {
                    ensure_eq!(C3, head, commit.head(), "the answer to a commit before a crash");
                    self.took(before, commit);
                }
                Err(StoreError::OutcomeUnknown { .. }) => {
                    unknown = Some((before, commit));
                    break;
                }
                Err(_) => {
                    self.author = self.rival(&before);
                    break;
                }
            }
        }
        self.died();
        for fault in openings {
            self.ground.fail(Some(*fault));
            let opened = self.ground.place().open();
            self.handles.extend(opened);
            self.died();
        }
        self.reopened()?;
        self.settle_after_death(unknown, settle).await
    }

    /// The handles are dropped only when it is settled what the dead process left.
    fn died(&mut self) {
        let handles = std::mem::take(&mut self.handles);
        self.ground.crash();
        drop(handles);
    }

    async fn settle_after_death(
        &mut self,
        unknown: Option<(Author, Commit)>,
        settle: Settle,
    ) -> Outcome {
        match unknown {
            Some((before, commit)) => self.settle(before, commit, settle).await?,
            None => {
                let head = self.head().await?;
                ensure_eq!(D3, head, self.author.head(), "the head, with all acknowledged");
            }
        }
        self.expect_all().await
    }

    async fn kill(&mut self, makes: &[Make], count: usize, settle: Settle) -> Outcome {
        self.handles.clear();
        let place = self.ground.place();
        let mut child = Child::start_at(self.context, place)?;
        ensure_eq!(O2, child.call("open")?, "done", "opening in another process");
        child.ask(&format!("write {} {}", self.author.script(), Make::letters(makes)))?;
        let told_heads = child.killed_after(count, 0)?;
        self.reopened()?;
        let mut makes = makes.iter();
        for (number, head) in told_heads.iter().enumerate() {
            let Some(make) = makes.next() else { break };
            let before = self.author.clone();
            let commit = self.author.make(*make);
            ensure_eq!(C3, *head, told(&commit.head()), "answer {number} to another process");
            self.took(before, commit);
        }
        let unknown = makes.next().map(|make| {
            let before = self.author.clone();
            (before, self.author.make(*make))
        });
        self.settle_after_death(unknown, settle).await
    }
}
