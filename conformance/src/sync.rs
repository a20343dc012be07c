//! The invariants of replicas that sync, over any store, by random histories.
//!
//! Whatever a replica shows is held against the [`Oracle`], which is given the changesets in its
//! log and nothing else: so replicas that hold the same changesets show the same (I2), and what
//! they show is what the specification makes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use async_trait::async_trait;
use futures_lite::future::block_on;
use futures_lite::{StreamExt as _, stream};
use prophet_store::{
    Bundle, Changeset, ChangesetSource, Choice, Conflict, DatabaseId, Digest, Direction,
    Environment, Error, Existence, Identity, Kind, LogEntry, LogScan, MemoryStore, Offer, Payload,
    Position, Properties, PullOptions, Query, RecordId, RecordKey, RecordScan, RecordState,
    RecordType, RegisterName, Replica, ReplicaId, ReplicaStore, ReplicaStoreExt as _,
    ResolutionScan, Side, Streamed, Value, VersionVector,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::cases::{Cases, QUICK, Site};
use crate::failure::Failure;
use crate::invariants::{Seen, Tested, View, must, records, steps};
use crate::oracle::{Oracle, Shown, ShownRecord, ShownRegister};
use harnesses::{Harness, Place, Store};

/// Runs random histories of up to six replicas over stores of `harness`: edits, votes, undo, pulls
/// in every direction with every policy, interrupted ones too, bundles by the wrong route, copied
/// and restored replicas, clocks that jump. What each replica shows is checked after each step, and
/// that all are equal once all have met. So many histories unless the environment variable
/// `PROPHET_CASES` says otherwise, which is of 48; `PROPHET_SEED` replays one.
///
/// # Panics
/// With the shortest history found that breaks an invariant, and its seed.
pub fn check_sync(harness: &dyn Harness, cases: u32) {
    check(harness, &directly, Cases::new(cases, None));
}

/// The same, for a test that keeps its failures.
#[doc(hidden)]
pub fn sync_at(harness: &dyn Harness, site: &Site) {
    check(harness, &directly, Cases::new(QUICK, Some(site)));
}

/// A way by which what one replica has reaches another.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// What a replica that has seen `basis` is to pull, instead of from the replica itself.
    ///
    /// # Errors
    /// What keeps it from being carried, which fails the check.
    async fn carry<'a>(
        &'a self,
        from: &'a Replica,
        basis: &VersionVector,
    ) -> Result<Box<dyn ChangesetSource + 'a>, Error>;
}

/// From the replica itself.
struct Directly;

fn directly() -> Box<dyn Carrier> {
    Box::new(Directly)
}

#[async_trait]
impl Carrier for Directly {
    async fn carry<'a>(
        &'a self,
        from: &'a Replica,
        _: &VersionVector,
    ) -> Result<Box<dyn ChangesetSource + 'a>, Error> {
        Ok(Box::new(from.clone()))
    }
}

/// As [`check_sync`], where all that is pulled is carried: over files, a network, a server. Each
/// history has a carrier of its own.
///
/// # Panics
/// As [`check_sync`].
pub fn check_sync_through(
    harness: &dyn Harness,
    carrier: &dyn Fn() -> Box<dyn Carrier>,
    cases: u32,
) {
    check(harness, carrier, Cases::new(cases, None));
}

fn check(harness: &dyn Harness, carrier: &dyn Fn() -> Box<dyn Carrier>, cases: Cases<'_>) {
    let histories = (2_usize..=6, proptest::collection::vec(act(), 1..40));
    let result = cases.run(&histories, |(replicas, acts)| {
        let tested: Tested = block_on(async {
            let carrier = carrier();
            let mut run = Run::new(harness, &*carrier, replicas).await?;
            for act in &acts {
                run.perform(act).await?;
            }
            run.meet().await?;
            run.check_logs().await
        });
        tested.map_err(|error| Failure::around(error.to_string()))
    });
    if let Err(failure) = result {
        panic!("replicas that sync break an invariant: {failure}");
    }
}

#[derive(Debug, Clone)]
enum Act {
    Create(usize, u8, u8),
    Update(usize, u8, u8, Option<u8>),
    Delete(usize, u8),
    Undelete(usize, u8),
    Undo(usize, usize),
    /// Decides about one of the open conflicts: for one of its values, or for one of its own.
    Resolve(usize, usize, usize),
    Pull(usize, usize, Policy, Cut),
    /// A bundle of the first, made for the second, pulled by the third.
    Bundle(usize, usize, usize),
    /// The first one's store is lost, and a copy of that of the second takes its place.
    Copy(usize, usize),
    Backup(usize),
    Restore(usize),
    Reopen(usize),
    Clock(usize, u64),
}

#[derive(Debug, Clone, Copy)]
enum Policy {
    LeaveOpen,
    Prefer(bool),
    Ask(usize),
    Fail,
}

/// How a pull is interrupted.
#[derive(Debug, Clone, Copy)]
enum Cut {
    No,
    /// The source fails after so many changesets.
    Fails(usize),
    /// The future is dropped after so many polls.
    Dropped(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let replica = || 0_usize..6;
    let record = || 0_u8..2;
    let policy = prop_oneof![
        4 => Just(Policy::LeaveOpen),
        2 => any::<bool>().prop_map(Policy::Prefer),
        2 => (0_usize..4).prop_map(Policy::Ask),
        1 => Just(Policy::Fail),
    ];
    let cut = prop_oneof![
        5 => Just(Cut::No),
        1 => (0_usize..4).prop_map(Cut::Fails),
        1 => (0_usize..6).prop_map(Cut::Dropped),
    ];
    prop_oneof![
        4 => (replica(), record(), 0_u8..3).prop_map(|(r, record, v)| Act::Create(r, record, v)),
        8 => (replica(), record(), 0_u8..2, proptest::option::weighted(0.8, 0_u8..3))
            .prop_map(|(r, record, name, value)| Act::Update(r, record, name, value)),
        2 => (replica(), record()).prop_map(|(r, record)| Act::Delete(r, record)),
        2 => (replica(), record()).prop_map(|(r, record)| Act::Undelete(r, record)),
        1 => (replica(), 0_usize..3).prop_map(|(r, back)| Act::Undo(r, back)),
        4 => (replica(), 0_usize..3, 0_usize..4).prop_map(|(r, at, to)| Act::Resolve(r, at, to)),
        12 => (replica(), replica(), policy, cut)
            .prop_map(|(r, from, policy, cut)| Act::Pull(r, from, policy, cut)),
        2 => (replica(), replica(), replica()).prop_map(|(r, by, to)| Act::Bundle(r, by, to)),
        1 => (replica(), replica()).prop_map(|(r, of)| Act::Copy(r, of)),
        1 => replica().prop_map(Act::Backup),
        1 => replica().prop_map(Act::Restore),
        1 => replica().prop_map(Act::Reopen),
        1 => (replica(), prop_oneof![0_u64..50, Just(u64::MAX), Just(1 << 60)])
            .prop_map(|(r, to)| Act::Clock(r, to)),
    ]
}

fn key(number: u8) -> RecordKey {
    let record_type = RecordType::new("bug").expect("a short name");
    RecordKey::new(record_type, RecordId::from_bytes([number + 1; 16]))
}

fn value(number: u8) -> Value {
    match number {
        0 => Value::from(""),
        1 => Value::from("one"),
        _ => Value::from(2),
    }
}

fn properties(name: u8, to: Option<Value>) -> Result<Properties, Error> {
    let mut properties = Properties::new();
    properties.set(format!("p{name}"), to)?;
    Ok(properties)
}

/// One wall clock that can be moved, and chance that counts for all, so that no id comes twice.
#[derive(Debug, Clone)]
struct Moved {
    now: Arc<AtomicU64>,
    drawn: Arc<AtomicU64>,
}

impl Environment for Moved {
    fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        for (byte, drawn) in bytes.iter_mut().rev().zip(drawn.iter().rev()) {
            *byte = *drawn;
        }
        Ok(())
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(futures_lite::future::yield_now())
    }
}

/// A replica, and what the oracle has of it.
struct Member {
    place: Box<dyn Place>,
    environment: Moved,
    opened: Option<(Store, Replica)>,
    oracle: Oracle,
    log: Vec<LogEntry>,
    backup: Option<Backup>,
}

struct Backup {
    store: MemoryStore,
    oracle: Oracle,
    log: Vec<LogEntry>,
}

struct Run<'a> {
    harness: &'a dyn Harness,
    carrier: &'a dyn Carrier,
    members: Vec<Member>,
    /// Every changeset that was ever authored.
    authored: BTreeSet<Digest>,
}

impl Member {
    async fn open(
        place: Box<dyn Place>,
        store: Store,
        environment: Moved,
        known: (Oracle, Vec<LogEntry>),
    ) -> Tested<Self> {
        let (oracle, log) = known;
        let opened = Some(open(store, &environment).await?);
        Ok(Self { place, environment, opened, oracle, log, backup: None })
    }

    fn replica(&self) -> &Replica {
        &self.opened.as_ref().expect("open but for a moment").1
    }

    fn store(&self) -> &Store {
        &self.opened.as_ref().expect("open but for a moment").0
    }

    /// Puts a copy of a store into the place of this one's.
    async fn replace(
        &mut self,
        harness: &dyn Harness,
        source: &dyn ReplicaStore,
        known: (Oracle, Vec<LogEntry>),
    ) -> Tested {
        let place = harness.place();
        let store = must(place.create(source.facts().identity))?;
        must(source.copy_to(&*store).await)?;
        let backup = self.backup.take();
        *self = Self::open(place, store, self.environment.clone(), known).await?;
        self.backup = backup;
        Ok(())
    }
}

async fn open(store: Store, environment: &Moved) -> Tested<(Store, Replica)> {
    let options = Replica::options().environment(environment.clone());
    let replica = must(options.open_shared(Arc::clone(&store)).await)?;
    Ok((store, replica))
}

impl<'a> Run<'a> {
    async fn new(
        harness: &'a dyn Harness,
        carrier: &'a dyn Carrier,
        replicas: usize,
    ) -> Tested<Self> {
        let drawn = Arc::new(AtomicU64::new(1));
        let mut members = Vec::new();
        for number in 0..replicas {
            let database = DatabaseId::from_bytes([1; 16]);
            let replica = ReplicaId::from_bytes([number as u8 + 1; 16]);
            let place = harness.place();
            let store = must(place.create(Identity { database, replica }))?;
            let now = Arc::new(AtomicU64::new(1_000));
            let environment = Moved { now, drawn: Arc::clone(&drawn) };
            let known = (Oracle::new(), Vec::new());
            members.push(Member::open(place, store, environment, known).await?);
        }
        Ok(Self { harness, carrier, members, authored: BTreeSet::new() })
    }

    fn at(&self, number: usize) -> usize {
        number % self.members.len()
    }

    async fn perform(&mut self, act: &Act) -> Tested {
        let (at, policy) = match *act {
            Act::Create(r, ..)
            | Act::Update(r, ..)
            | Act::Delete(r, _)
            | Act::Undelete(r, _)
            | Act::Undo(r, _)
            | Act::Resolve(r, ..) => {
                let at = self.at(r);
                self.edit(at, act).await?;
                (at, false)
            }
            Act::Pull(r, from, policy, cut) => {
                let (at, from) = (self.at(r), self.at(from));
                self.pull(at, from, policy, cut).await?;
                (at, true)
            }
            Act::Bundle(from, by, to) => {
                let (from, by, to) = (self.at(from), self.at(by), self.at(to));
                self.carry(from, by, to).await?;
                (to, true)
            }
            Act::Copy(r, of) => {
                let (at, of) = (self.at(r), self.at(of));
                if at != of {
                    let source = &self.members[of];
                    let (store, known) =
                        (Arc::clone(source.store()), (source.oracle.clone(), source.log.clone()));
                    self.members[at].replace(self.harness, &*store, known).await?;
                }
                (at, false)
            }
            Act::Backup(r) => {
                let at = self.at(r);
                let member = &mut self.members[at];
                let store = MemoryStore::new(member.store().facts().identity);
                must(member.store().copy_to(&store).await)?;
                let (oracle, log) = (member.oracle.clone(), member.log.clone());
                member.backup = Some(Backup { store, oracle, log });
                (at, false)
            }
            Act::Restore(r) => {
                let at = self.at(r);
                if let Some(backup) = self.members[at].backup.take() {
                    let known = (backup.oracle, backup.log);
                    self.members[at].replace(self.harness, &backup.store, known).await?;
                }
                (at, false)
            }
            Act::Reopen(r) => {
                let at = self.at(r);
                let member = &mut self.members[at];
                member.opened = None;
                let store = must(member.place.open())?;
                member.opened = Some(open(store, &member.environment).await?);
                (at, false)
            }
            Act::Clock(r, to) => {
                let at = self.at(r);
                self.members[at].environment.now.store(to, Ordering::Relaxed);
                (at, false)
            }
        };
        self.observe(at, policy).await
    }

    async fn edit(&self, at: usize, act: &Act) -> Tested {
        let replica = self.members[at].replica();
        let done = match act {
            Act::Create(_, record, to) => {
                let set = must(properties(0, Some(value(*to))))?;
                let create = replica.edit(|edit| {
                    let set = set.clone();
                    async move { edit.create_at(&key(*record), set).await }
                });
                create.await.map(|_| ())
            }
            Act::Update(_, record, name, to) => {
                let set = must(properties(*name, to.map(value)))?;
                replica.update(&key(*record), set).await.map(|_| ())
            }
            Act::Delete(_, record) => replica.delete(&key(*record)).await.map(|_| ()),
            Act::Undelete(_, record) => replica.undelete(&key(*record)).await.map(|_| ()),
            Act::Undo(_, back) => {
                let log = &self.members[at].log;
                match log.len().checked_sub(back + 1).and_then(|at| log.get(at)) {
                    Some(entry) => replica.undo(entry.changeset.digest()).await.map(|_| ()),
                    None => Ok(()),
                }
            }
            Act::Resolve(_, which, to) => {
                let conflicts: Vec<_> = must(replica.conflicts().try_collect().await)?;
                match conflicts.get(*which) {
                    Some(conflict) => {
                        let choice = choose(conflict, *to);
                        replica.resolve(conflict, choice).await.map(|_| ())
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        };
        match done {
            Ok(())
            | Err(
                Error::NoSuchRecord { .. }
                | Error::RecordExists { .. }
                | Error::NotDeleted { .. }
                | Error::CannotUndo { .. },
            ) => Ok(()),
            Err(error) => Err(TestCaseError::fail(error.to_string())),
        }
    }

    async fn pull(&self, at: usize, from: usize, policy: Policy, cut: Cut) -> Tested {
        let (target, source) = (&self.members[at], &self.members[from]);
        let author = must(target.replica().author().await)?;
        let asked = std::sync::Mutex::new(None);
        let (asked, author) = (&asked, &author);
        let options = match policy {
            Policy::LeaveOpen => PullOptions::new(),
            Policy::Prefer(true) => PullOptions::new().prefer(Side::Target),
            Policy::Prefer(false) => PullOptions::new().prefer(Side::Source),
            Policy::Fail => PullOptions::new().fail_on_conflict(),
            Policy::Ask(to) => PullOptions::new().ask(move |conflict: &Conflict| {
                let mut votes = conflict.candidates.iter().flat_map(|one| &one.votes);
                if conflict.rule.decides() || votes.any(|vote| vote.replica == *author) {
                    *asked.lock().expect("nobody panics") = Some(format!("{conflict:?}"));
                }
                match to {
                    3 => Choice::LeaveOpen,
                    to => Choice::Value(choose(conflict, to)),
                }
            }),
        };
        let before = must(target.store().head().await)?;
        let basis = must(target.replica().vector().await)?;
        let source = must(self.carrier.carry(source.replica(), &basis).await)?;
        let pulled = match cut {
            Cut::No => Some(target.replica().pull(&*source, options).await),
            Cut::Fails(after) => {
                let source = Failing { source: &*source, after };
                Some(target.replica().pull(&source, options).await)
            }
            Cut::Dropped(polls) => {
                let source = Yielding(&*source);
                let mut pull = Box::pin(target.replica().pull(&source, options));
                let mut context = Context::from_waker(Waker::noop());
                (0..=polls).find_map(|_| match pull.as_mut().poll(&mut context) {
                    std::task::Poll::Ready(pulled) => Some(pulled),
                    std::task::Poll::Pending => None,
                })
            }
        };
        if pulled.is_none() {
            // Its last commit may still be under way (rule C7). An edit that writes nothing waits
            // until that is decided.
            must(target.replica().edit(|_| async { Ok(()) }).await)?;
        }
        let wrongly_asked = asked.lock().expect("nobody panics").take();
        prop_assert_eq!(wrongly_asked, None, "I6: it was asked what it need not be");
        match pulled {
            None | Some(Ok(_) | Err(Error::App(_) | Error::PullFromItself { .. })) => Ok(()),
            Some(Err(Error::ConflictsFound { .. })) => {
                let after = must(target.store().head().await)?;
                prop_assert_eq!(before, after, "nothing at all is integrated");
                Ok(())
            }
            Some(Err(error)) => Err(TestCaseError::fail(error.to_string())),
        }
    }

    async fn carry(&self, from: usize, by: usize, to: usize) -> Tested {
        let basis = must(self.members[by].replica().vector().await)?;
        let mut bytes = Vec::new();
        must(self.members[from].replica().bundle(&basis, &mut bytes).await)?;
        let bundle = must(Bundle::read(io::Cursor::new(bytes), "a bundle"))?;
        let target = &self.members[to];
        let before = must(target.store().head().await)?;
        match target.replica().pull(&bundle, PullOptions::new()).await {
            Ok(_) => Ok(()),
            Err(Error::BasisMissing { missing, .. }) => {
                let after = must(target.store().head().await)?;
                prop_assert_eq!(before, after, "nothing at all is integrated");
                for missing in missing {
                    let digest = missing.needed.digest;
                    let here = must(target.store().find_changesets(&[digest]).await)?.value;
                    prop_assert_eq!(here, vec![None], "it is not missing");
                }
                Ok(())
            }
            Err(error) => Err(TestCaseError::fail(error.to_string())),
        }
    }

    /// Takes in what is new in the log of a replica, and compares what it shows.
    async fn observe(&mut self, at: usize, by_policy: bool) -> Tested {
        let Self { members, authored, .. } = self;
        let member = &mut members[at];
        let store = Arc::clone(member.store());
        let after = Some(Position::new(member.log.len() as u64));
        let mut entries = store.stream_log(LogScan { after, ..LogScan::default() });
        while let Some(entry) = entries.next().await {
            let entry = must(entry)?;
            let changeset = &entry.changeset;
            if authored.insert(changeset.digest()) {
                let made = member.oracle.check_authored(changeset);
                prop_assert_eq!(made, Ok(()), "{:?}", changeset);
                if by_policy {
                    asked_once(&member.oracle, changeset)?;
                }
            }
            member.oracle.add(changeset);
            member.log.push(entry);
        }
        compare(member).await
    }

    /// Everybody pulls from everybody until nothing is new; then all are equal.
    async fn meet(&mut self) -> Tested {
        let mut rounds = 0;
        loop {
            let mut integrated = 0;
            for at in 0..self.members.len() {
                for from in (0..self.members.len()).filter(|from| *from != at) {
                    let target = self.members[at].replica();
                    let basis = must(target.vector().await)?;
                    let source = self.members[from].replica();
                    let source = must(self.carrier.carry(source, &basis).await)?;
                    match target.pull(&*source, PullOptions::new()).await {
                        Ok(report) => integrated += report.integrated,
                        Err(Error::PullFromItself { .. }) => {}
                        Err(error) => return Err(TestCaseError::fail(error.to_string())),
                    }
                }
                self.observe(at, true).await?;
            }
            rounds += 1;
            if integrated == 0 {
                break;
            }
            prop_assert!(rounds < 4, "after two rounds everybody has everything");
        }
        let mut all = Vec::new();
        for member in &self.members {
            all.push(everything(member).await?);
        }
        for (at, one) in all.iter().enumerate() {
            prop_assert_eq!(one, &all[0], "replica {} differs from replica 0", at);
        }
        Ok(())
    }

    /// I1, I3, I4 and I5, for each replica.
    async fn check_logs(&self) -> Tested {
        for member in &self.members {
            let report = must(member.store().audit().await)?;
            prop_assert!(report.is_sound(), "{:?}", report.problems);
            let report = must(member.store().verify().await)?;
            prop_assert!(report.is_sound(), "{:?}", report.problems);
            let clone = MemoryStore::new(member.store().facts().identity);
            must(member.store().copy_to(&clone).await)?;
            let (ours, cloned) = (records(&**member.store()).await?, records(&clone).await?);
            prop_assert_eq!(ours, cloned, "I1: the fold of the log");
            self.walk(member).await?;
            nothing_lost(member).await?;
        }
        Ok(())
    }

    /// I3 and I4: the log forwards and backwards, step by step, beside the oracle.
    async fn walk(&self, member: &Member) -> Tested {
        let (mut oracle, mut seen) = (Oracle::new(), Seen::default());
        let mut views = vec![View::new()];
        for entry in &member.log {
            oracle.add(&entry.changeset);
            for step in steps(entry) {
                seen.step(&step, false)?;
            }
            let view = view(&oracle.shows());
            prop_assert_eq!(&seen.view(), &view, "after {}", entry.position);
            views.push(view);
        }
        for (entry, before) in member.log.iter().zip(&views).rev() {
            for step in steps(entry).iter().rev() {
                seen.step(step, true)?;
            }
            prop_assert_eq!(&seen.view(), before, "before {}", entry.position);
        }
        let step = views.len() / 4 + 1;
        for (position, view) in views.iter().enumerate().step_by(step) {
            let then = must(member.replica().as_of(Position::new(position as u64)).await)?;
            for (key, expected) in view {
                let found = must(then.get(key).await)?;
                let found = found.map(|record| plain(record.properties()));
                prop_assert_eq!(&found, expected, "{} as of {}", key, position);
            }
        }
        Ok(())
    }
}

fn choose(conflict: &Conflict, to: usize) -> Option<Value> {
    match conflict.candidates.get(to) {
        Some(candidate) => candidate.value.clone(),
        None if conflict.register == RegisterName::Existence => Existence::Alive.value(),
        None => Some(Value::from("merged")),
    }
}

fn plain<K: ToString>(properties: &BTreeMap<K, Value>) -> BTreeMap<String, Value> {
    properties.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
}

fn view(shown: &Shown) -> View {
    let records = shown.records.iter().filter(|(_, shown)| shown.existence != Existence::Never);
    records
        .map(|(key, shown)| {
            let alive = shown.existence == Existence::Alive;
            (key.clone(), alive.then(|| plain(&shown.visible)))
        })
        .collect()
}

/// I6: of the votes that a pull made this replica cast, none was on a conflict that was decided, or
/// that it had a counting vote on.
fn asked_once(oracle: &Oracle, changeset: &Changeset) -> Tested {
    for vote in changeset.payload().votes() {
        let shown = oracle.shows_record(&vote.record);
        let register = shown.registers.get(&vote.register);
        let decided = register.is_none_or(|register| register.rule.decides());
        prop_assert!(!decided, "I6: {:?} was decided", vote);
        if let Some(previous) = changeset.header().previous {
            let voted = oracle.has_voted(previous, &vote.record, &vote.register);
            prop_assert!(!voted, "I6: {:?} was voted on before", vote);
        }
    }
    Ok(())
}

/// What a replica shows is what the oracle makes of its log.
async fn compare(member: &Member) -> Tested {
    let (replica, expected) = (member.replica(), member.oracle.shows());
    let mut shown = Shown::default();
    let mut states = member.store().stream_records(RecordScan::default());
    while let Some(state) = states.next().await {
        let state = must(state)?;
        let record = shown_of(replica, &state).await?;
        shown.records.insert(state.key().clone(), record);
    }
    prop_assert_eq!(&shown, &expected);
    let listed: Vec<_> = must(replica.conflicts().try_collect().await)?;
    let listed: BTreeSet<_> = listed
        .iter()
        .map(|conflict| (conflict.record.clone(), conflict.register.clone()))
        .collect();
    let (mut open, mut contested) = (BTreeSet::new(), BTreeSet::new());
    for (key, record) in &expected.records {
        for (name, register) in &record.registers {
            let hidden = *name != RegisterName::Existence && record.existence != Existence::Alive;
            if !register.rule.decides() && !hidden {
                open.insert((key.clone(), name.clone()));
            }
            if register.rule != prophet_store::Rule::Agreed && record.existence == Existence::Alive
            {
                contested.insert(key.clone());
            }
        }
    }
    prop_assert_eq!(listed, open, "the open conflicts");
    let query = must(Query::of("bug"))?.contested();
    let found: Vec<_> = must(replica.find(&query).try_collect().await)?;
    let found: BTreeSet<_> = found.iter().map(|record| record.key().clone()).collect();
    prop_assert_eq!(found, contested, "the contested records");
    Ok(())
}

async fn shown_of(replica: &Replica, state: &RecordState) -> Tested<ShownRecord> {
    let conflicts = match state.is_contested() {
        true => must(replica.conflicts_of(state.key()).await)?,
        false => Vec::new(),
    };
    let names = std::iter::once(RegisterName::Existence)
        .chain(state.properties().keys().cloned().map(RegisterName::Property));
    let mut registers = BTreeMap::new();
    for name in names {
        let (Some(register), Some(judged)) = (state.register(&name), state.judge(&name)) else {
            continue;
        };
        let writes = register.writes().iter();
        let writes = writes.map(|write| (write.changeset, write.value.clone())).collect();
        let conflict = conflicts.iter().find(|conflict| conflict.register == name);
        let candidates = conflict.into_iter().flat_map(|conflict| &conflict.candidates);
        let votes = candidates.flat_map(|candidate| {
            candidate.votes.iter().map(|vote| (vote.replica, candidate.value.clone()))
        });
        let shown = ShownRegister {
            writes,
            visible: judged.value.cloned(),
            rule: judged.rule,
            votes: votes.collect(),
        };
        registers.insert(name, shown);
    }
    Ok(ShownRecord { existence: state.existence(), visible: state.visible(), registers })
}

/// All that replicas which hold the same changesets have to agree on.
async fn everything(member: &Member) -> Tested<Vec<String>> {
    let replica = member.replica();
    let mut all = vec![format!("{:?}", must(replica.vector().await)?)];
    let mut states = member.store().stream_records(RecordScan::default());
    while let Some(state) = states.next().await {
        let state = must(state)?;
        all.push(format!(
            "{:?} {:?}",
            state.key(),
            replica.get(state.key()).await.map(|record| {
                record.map(|record| (record.properties().clone(), record.contested().clone()))
            })
        ));
        let properties = state.properties().keys().cloned().map(RegisterName::Property);
        for register in std::iter::once(RegisterName::Existence).chain(properties) {
            let why = must(replica.why(state.key(), &register).await)?;
            all.push(format!("{why}\n{why:?}"));
        }
    }
    let conflicts: Vec<_> = must(replica.conflicts().try_collect().await)?;
    all.push(format!("{conflicts:?} {:?}", must(replica.conflict_counts().await)?));
    let votes = member.store().stream_resolutions(ResolutionScan::default());
    let votes: Vec<_> = must(votes.try_collect().await)?;
    all.push(format!("{votes:?}"));
    Ok(all)
}

/// I5: every value written is in the history of its record, and so is every loser of a conflict.
async fn nothing_lost(member: &Member) -> Tested {
    let mut written: BTreeMap<RecordKey, BTreeSet<String>> = BTreeMap::new();
    for entry in &member.log {
        for change in entry.changeset.changes() {
            for property in change.properties.iter().filter(|property| property.new.is_some()) {
                let value = format!("{}={:?}", property.name, property.new);
                written.entry(change.record.clone()).or_default().insert(value);
            }
        }
        if let Payload::Resolution(votes) = entry.changeset.payload() {
            prop_assert_eq!(entry.changeset.header().kind, Kind::Resolution);
            prop_assert!(!votes.is_empty());
        }
    }
    for (record, written) in written {
        let mut reachable = BTreeSet::new();
        let mut history = member.replica().history(&record, Direction::Forward);
        while let Some(entry) = history.next().await {
            for change in must(entry)?.changes {
                if let RegisterName::Property(name) = change.register {
                    reachable.insert(format!("{name}={:?}", change.new));
                }
            }
        }
        prop_assert!(reachable.is_superset(&written), "I5: {:?} of {:?}", written, reachable);
    }
    Ok(())
}

/// A source that fails after some changesets.
struct Failing<'a> {
    source: &'a dyn ChangesetSource,
    after: usize,
}

#[async_trait]
impl ChangesetSource for Failing<'_> {
    async fn offer(&self, seen: &VersionVector) -> Result<Offer, Error> {
        self.source.offer(seen).await
    }

    fn changesets(&self, offer: &Offer, known: &VersionVector) -> Streamed<'_, Changeset> {
        let failure = stream::once(Err(Error::app("the connection is gone")));
        Box::pin(self.source.changesets(offer, known).take(self.after).chain(failure))
    }
}

/// A source that keeps its reader waiting before each changeset.
struct Yielding<'a>(&'a dyn ChangesetSource);

#[async_trait]
impl ChangesetSource for Yielding<'_> {
    async fn offer(&self, seen: &VersionVector) -> Result<Offer, Error> {
        futures_lite::future::yield_now().await;
        self.0.offer(seen).await
    }

    fn changesets(&self, offer: &Offer, known: &VersionVector) -> Streamed<'_, Changeset> {
        let changesets = self.0.changesets(offer, known);
        Box::pin(changesets.then(|changeset| async {
            futures_lite::future::yield_now().await;
            changeset
        }))
    }
}
