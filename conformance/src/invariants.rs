//! The invariants of the engine over any store, by random histories.
//!
//! The expectations come from a plain model in this file, which shares no code with the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_store::{
    Adjustment, Change, ChangeKind, Creator, DatabaseId, Digest, Direction, Environment, Error,
    HistoryChange, Identity, LogEntry, MemoryStore, Position, Properties, Query, RecordId,
    RecordKey, RecordScan, RecordType, RegisterName, Replica, ReplicaId, ReplicaStore,
    ReplicaStoreExt as _, Value, codec,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::cases::{Cases, QUICK, Site};
use crate::failure::Failure;
use harnesses::{Harness, Place, Store};

/// What holds of every replica, whatever was done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invariant {
    /// I1: replaying a replica's log from empty gives its record store, byte for byte.
    ExactClone,
    /// I3: walking the log back to a position gives exactly the state that was there.
    Backwards,
    /// I4: step by step, every `old` of the log equals the visible value just before, and every
    /// `new` the visible value just after, in both directions.
    CleanLog,
    /// I5: every value ever written and acknowledged is reachable in history.
    NothingLost,
}

/// Runs random histories over stores of `harness` and checks one invariant after each. The
/// environment variable `PROPHET_CASES` says how many, 48 unless given; `PROPHET_SEED` replays one.
///
/// # Panics
/// With the shortest history found that breaks the invariant, and its seed.
pub fn check_invariant(harness: &dyn Harness, invariant: Invariant) {
    check(harness, invariant, Cases::new(QUICK, None));
}

/// The same, for a test that keeps its failures.
#[doc(hidden)]
pub fn invariant_at(harness: &dyn Harness, invariant: Invariant, site: &Site) {
    check(harness, invariant, Cases::new(QUICK, Some(site)));
}

fn check(harness: &dyn Harness, invariant: Invariant, cases: Cases<'_>) {
    let result = cases.run(&proptest::collection::vec(step(), 1..24), |steps| {
        let tested: Tested = block_on(async {
            let place = harness.place();
            let mut run = Run::new(&*place).await?;
            for step in &steps {
                run.apply(step).await?;
            }
            match invariant {
                Invariant::ExactClone => run.exact_clone().await,
                Invariant::Backwards => run.backwards().await,
                Invariant::CleanLog => run.clean_log().await,
                Invariant::NothingLost => run.nothing_lost().await,
            }
        });
        tested.map_err(|error| Failure::around(error.to_string()))
    });
    if let Err(failure) = result {
        panic!("{invariant:?} does not hold: {failure}");
    }
}

/// Makes a module with a test of every [`Invariant`] over the stores of a harness. The environment
/// variable `PROPHET_CASES` says how many histories each goes through, 48 unless given; one that
/// fails is made shorter first, and then shown.
///
/// ```
/// conformance::invariants!(over_memory, conformance::MemoryHarness::new());
/// ```
#[macro_export]
macro_rules! invariants {
    ($name:ident, $harness:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "the harness may be named by what is around")]
            use super::*;

            #[test]
            fn i1_exact_clone() {
                let site = $crate::__site!("i1_exact_clone");
                let invariant = $crate::Invariant::ExactClone;
                $crate::__private::invariant_at(&$harness, invariant, &site);
            }

            #[test]
            fn i3_backwards() {
                let site = $crate::__site!("i3_backwards");
                let invariant = $crate::Invariant::Backwards;
                $crate::__private::invariant_at(&$harness, invariant, &site);
            }

            #[test]
            fn i4_clean_log() {
                let site = $crate::__site!("i4_clean_log");
                let invariant = $crate::Invariant::CleanLog;
                $crate::__private::invariant_at(&$harness, invariant, &site);
            }

            #[test]
            fn i5_nothing_lost() {
                let site = $crate::__site!("i5_nothing_lost");
                let invariant = $crate::Invariant::NothingLost;
                $crate::__private::invariant_at(&$harness, invariant, &site);
            }

            #[test]
            fn i1_to_i6_of_replicas_that_sync() {
                let site = $crate::__site!("i1_to_i6_of_replicas_that_sync");
                $crate::__private::sync_at(&$harness, &site);
            }
        }
    };
}

#[derive(Debug, Clone)]
enum Step {
    /// Changesets of one atomic commit.
    Edit(Vec<Vec<Act>>),
    /// Takes back the changeset that lies so far behind the last.
    Undo(usize),
    /// Drops the replica and opens it again.
    Reopen,
}

#[derive(Debug, Clone)]
enum Act {
    Create(u8, Vec<(u8, Value)>),
    Update(u8, Vec<(u8, Option<Value>)>),
    Delete(u8),
    Undelete(u8),
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (0i64..3).prop_map(Value::from),
        2 => "[ab]{0,2}".prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => proptest::collection::vec(any::<u8>(), 0..4).prop_map(Value::from),
        1 => proptest::collection::vec((0i64..2).prop_map(Value::from), 0..3).prop_map(Value::from),
        1 => (0u8..4).prop_map(|number| Value::from(key(number))),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let record = 0u8..6;
    let set = proptest::collection::vec((0u8..4, value()), 0..4);
    let change = proptest::collection::vec((0u8..4, proptest::option::of(value())), 0..4);
    prop_oneof![
        3 => (record.clone(), set).prop_map(|(record, set)| Act::Create(record, set)),
        5 => (record.clone(), change).prop_map(|(record, change)| Act::Update(record, change)),
        2 => record.clone().prop_map(Act::Delete),
        1 => record.prop_map(Act::Undelete),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let changeset = proptest::collection::vec(act(), 1..4);
    prop_oneof![
        8 => proptest::collection::vec(changeset, 1..4).prop_map(Step::Edit),
        2 => (0usize..6).prop_map(Step::Undo),
        1 => Just(Step::Reopen),
    ]
}

/// Six records of two types.
fn key(number: u8) -> RecordKey {
    let record_type = if number.is_multiple_of(2) { "even" } else { "odd" };
    let record_type = RecordType::new(record_type).expect("a short name");
    RecordKey::new(record_type, RecordId::from_bytes([number; 16]))
}

fn property_name(number: u8) -> String {
    format!("property-{number}")
}

/// A record of the model: its properties stay when it is deleted.
#[derive(Debug, Clone, Default, PartialEq)]
struct Modelled {
    alive: bool,
    properties: BTreeMap<String, Value>,
}

type Snapshot = BTreeMap<RecordKey, Modelled>;

/// What is visible: a deleted record is `None`, and has no properties.
pub(crate) type View = BTreeMap<RecordKey, Option<BTreeMap<String, Value>>>;

fn view(snapshot: &Snapshot) -> View {
    let seen = |record: &Modelled| record.alive.then(|| record.properties.clone());
    snapshot.iter().map(|(key, record)| (key.clone(), seen(record))).collect()
}

/// Does what `act` says to the model; false if there is nothing that it could be done to.
fn model(snapshot: &mut Snapshot, act: &Act) -> bool {
    match act {
        Act::Create(number, set) => {
            let record = snapshot.entry(key(*number)).or_default();
            if record.alive {
                return false;
            }
            record.alive = true;
            let named = |(name, value): &(u8, Value)| (property_name(*name), value.clone());
            record.properties = set.iter().map(named).collect();
        }
        Act::Update(number, change) => {
            let Some(record) = snapshot.get_mut(&key(*number)).filter(|record| record.alive) else {
                return false;
            };
            for (name, value) in change {
                match value {
                    Some(value) => record.properties.insert(property_name(*name), value.clone()),
                    None => record.properties.remove(&property_name(*name)),
                };
            }
        }
        Act::Delete(number) => {
            let Some(record) = snapshot.get_mut(&key(*number)).filter(|record| record.alive) else {
                return false;
            };
            record.alive = false;
        }
        Act::Undelete(number) => {
            let Some(record) = snapshot.get_mut(&key(*number)).filter(|record| !record.alive)
            else {
                return false;
            };
            record.alive = true;
        }
    }
    true
}

/// Time that goes on by itself and chance that counts, so that a failure is the same every time.
#[derive(Debug, Default)]
struct Counting(AtomicU64);

impl Environment for Counting {
    fn now(&self) -> u64 {
        1_000 + self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let drawn = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        for (byte, drawn) in bytes.iter_mut().rev().zip(drawn.iter().rev()) {
            *byte = *drawn;
        }
        Ok(())
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(futures_lite::future::yield_now())
    }
}

/// Opening again must not draw the same numbers again.
#[derive(Debug, Clone, Default)]
struct Shared(Arc<Counting>);

impl Environment for Shared {
    fn now(&self) -> u64 {
        self.0.now()
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.0.random(bytes)
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.0.sleep(duration)
    }
}

/// A replica and what the model says of it, after each position of its log.
struct Run<'a> {
    place: &'a dyn Place,
    environment: Shared,
    opened: Option<(Store, Replica)>,
    snapshots: Vec<Snapshot>,
    changesets: Vec<Digest>,
}

pub(crate) type Tested<T = ()> = Result<T, TestCaseError>;

pub(crate) fn must<T>(result: Result<T, impl std::fmt::Display>) -> Tested<T> {
    result.map_err(|error| TestCaseError::fail(error.to_string()))
}

const IDENTITY: Identity =
    Identity { database: DatabaseId::from_bytes([1; 16]), replica: ReplicaId::from_bytes([2; 16]) };

impl<'a> Run<'a> {
    async fn new(place: &'a dyn Place) -> Tested<Self> {
        let environment = Shared::default();
        let store = must(place.create(IDENTITY))?;
        let opened = Some(open(store, &environment).await?);
        Ok(Self {
            place,
            environment,
            opened,
            snapshots: vec![Snapshot::new()],
            changesets: Vec::new(),
        })
    }

    fn replica(&self) -> &Replica {
        &self.opened.as_ref().expect("open but for a moment").1
    }

    fn store(&self) -> &Store {
        &self.opened.as_ref().expect("open but for a moment").0
    }

    fn now(&self) -> &Snapshot {
        self.snapshots.last().expect("the empty one is always there")
    }

    async fn apply(&mut self, step: &Step) -> Tested {
        match step {
            Step::Edit(changesets) => self.edit(changesets).await,
            Step::Undo(back) => self.undo(*back).await,
            Step::Reopen => {
                self.opened = None;
                let store = must(self.place.open())?;
                self.opened = Some(open(store, &self.environment).await?);
                Ok(())
            }
        }
    }

    async fn edit(&mut self, changesets: &[Vec<Act>]) -> Tested {
        let edited = self
            .replica()
            .edit(|edit| async move {
                let mut done = Vec::new();
                for acts in changesets {
                    edit.begin_changeset(Creator::empty(), None)?;
                    for act in acts {
                        done.push(perform(&edit, act).await?);
                    }
                }
                Ok(done)
            })
            .await;
        let edited = must(edited)?;
        let mut snapshot = self.now().clone();
        let mut expected = Vec::new();
        for acts in changesets {
            let before = view(&snapshot);
            let start = snapshot.clone();
            expected.extend(acts.iter().map(|act| model(&mut snapshot, act)));
            // A record that is gone in the end is hidden as it was, or never was.
            snapshot.retain(|key, record| record.alive || start.contains_key(key));
            for (key, record) in snapshot.iter_mut().filter(|(_, record)| !record.alive) {
                record.properties.clone_from(&start[key].properties);
            }
            // What comes to nothing in the end makes no changeset.
            if view(&snapshot) != before {
                self.snapshots.push(snapshot.clone());
            }
        }
        prop_assert_eq!(edited.value, expected, "which of the acts could be done");
        self.changesets.extend(edited.changesets.iter().map(|(_, digest)| *digest));
        prop_assert_eq!(self.changesets.len() + 1, self.snapshots.len(), "changesets made");
        Ok(())
    }

    async fn undo(&mut self, back: usize) -> Tested {
        let Some(index) = self.changesets.len().checked_sub(back + 1) else { return Ok(()) };
        let (before, after) = (view(&self.snapshots[index]), view(&self.snapshots[index + 1]));
        match self.replica().undo(self.changesets[index]).await {
            Ok(Some(digest)) => {
                let mut snapshot = self.now().clone();
                for (key, record) in &after {
                    let before = before.get(key).cloned().flatten();
                    take_back(snapshot.entry(key.clone()).or_default(), before, record.as_ref());
                }
                self.snapshots.push(snapshot);
                self.changesets.push(digest);
                Ok(())
            }
            // Nothing that was written later is lost: only something later can be in the way.
            Err(Error::CannotUndo { .. }) => {
                prop_assert!(back > 0, "the last changeset can always be undone");
                Ok(())
            }
            Ok(None) => Err(TestCaseError::fail("undoing a change changed nothing")),
            Err(error) => Err(TestCaseError::fail(error.to_string())),
        }
    }

    async fn exact_clone(&self) -> Tested {
        let report = must(self.store().audit().await)?;
        prop_assert!(report.is_sound(), "{:?}", report.problems);
        let report = must(self.store().verify().await)?;
        prop_assert!(report.is_sound(), "{:?}", report.problems);
        let clone = MemoryStore::new(IDENTITY);
        must(self.store().copy_to(&clone).await)?;
        prop_assert_eq!(records(&**self.store()).await?, records(&clone).await?);
        Ok(())
    }

    async fn backwards(&self) -> Tested {
        for (position, snapshot) in self.snapshots.iter().enumerate() {
            let then = must(self.replica().as_of(Position::new(position as u64)).await)?;
            let expected: BTreeMap<_, _> =
                view(snapshot).into_iter().filter_map(|(key, seen)| Some((key, seen?))).collect();
            let mut found = BTreeMap::new();
            for record_type in ["even", "odd"] {
                let mut records = then.find(&must(Query::of(record_type))?);
                while let Some(record) = records.next().await {
                    let record = must(record)?;
                    found.insert(record.key().clone(), plain(record.properties()));
                }
            }
            prop_assert_eq!(&found, &expected, "all records as of {}", position);
            for number in 0..6 {
                let key = key(number);
                let record = must(then.get(&key).await)?;
                let record = record.map(|record| plain(record.properties()));
                prop_assert_eq!(record.as_ref(), expected.get(&key), "{} as of {}", key, position);
            }
        }
        Ok(())
    }

    async fn clean_log(&self) -> Tested {
        let log: Vec<LogEntry> =
            must(self.replica().log(None, Direction::Forward).try_collect().await)?;
        prop_assert_eq!(log.len() + 1, self.snapshots.len());
        let mut seen = Seen::default();
        for (entry, snapshot) in log.iter().zip(&self.snapshots[1..]) {
            // Its author saw everything, so there was nothing to set back; and nothing to settle,
            // but for what an undelete brings back.
            prop_assert!(entry.nullify.is_empty(), "{:?}", entry.nullify);
            let mut changes = entry.changeset.changes().iter();
            let undeletes = changes.any(|change| change.kind == ChangeKind::Undelete);
            prop_assert!(undeletes || entry.settle.is_empty(), "{:?}", entry.settle);
            for step in steps(entry) {
                seen.step(&step, false)?;
            }
            prop_assert_eq!(seen.view(), view(snapshot), "after {}", entry.position);
        }
        let backward: Vec<LogEntry> =
            must(self.replica().log(None, Direction::Backward).try_collect().await)?;
        for entry in &backward {
            for step in steps(entry).iter().rev() {
                seen.step(step, true)?;
            }
        }
        prop_assert_eq!(seen.view(), View::new(), "walked back to the beginning");
        Ok(())
    }

    async fn nothing_lost(&self) -> Tested {
        let mut written: BTreeMap<RecordKey, BTreeSet<String>> = BTreeMap::new();
        for pair in self.snapshots.windows(2) {
            let (before, after) = (view(&pair[0]), view(&pair[1]));
            for (key, record) in &after {
                let known = before.get(key).cloned().flatten().unwrap_or_default();
                for (name, value) in record.iter().flatten() {
                    if known.get(name) != Some(value) {
                        written.entry(key.clone()).or_default().insert(format!("{name}={value:?}"));
                    }
                }
            }
        }
        for (key, written) in written {
            let mut reachable = BTreeSet::new();
            let mut history = self.replica().history(&key, Direction::Forward);
            while let Some(entry) = history.next().await {
                for HistoryChange { register, new, .. } in must(entry)?.changes {
                    if let (RegisterName::Property(name), Some(value)) = (register, new) {
                        reachable.insert(format!("{name}={value:?}"));
                    }
                }
            }
            prop_assert!(reachable.is_superset(&written), "{key}: {written:?}, {reachable:?}");
        }
        Ok(())
    }
}

async fn open(store: Store, environment: &Shared) -> Tested<(Store, Replica)> {
    let options = Replica::options().environment(environment.clone());
    let replica = must(options.open_shared(Arc::clone(&store)).await)?;
    Ok((store, replica))
}

/// Does what `act` says; false if there is nothing that it could be done to.
async fn perform(edit: &prophet_store::Edit, act: &Act) -> Result<bool, Error> {
    let done = match act {
        Act::Create(number, set) => {
            let mut properties = Properties::new();
            for (name, value) in set {
                properties.set(property_name(*name), Some(value.clone()))?;
            }
            edit.create_at(&key(*number), properties).await
        }
        Act::Update(number, change) => {
            let mut properties = Properties::new();
            for (name, value) in change {
                properties.set(property_name(*name), value.clone())?;
            }
            edit.update(&key(*number), properties).await
        }
        Act::Delete(number) => edit.delete(&key(*number)).await,
        Act::Undelete(number) => edit.undelete(&key(*number)).await,
    };
    match done {
        Ok(()) => Ok(true),
        Err(Error::NoSuchRecord { .. } | Error::RecordExists { .. } | Error::NotDeleted { .. }) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Sets back what differs of a record between `before` and `after`.
fn take_back(
    record: &mut Modelled,
    before: Option<BTreeMap<String, Value>>,
    after: Option<&BTreeMap<String, Value>>,
) {
    match (before, after) {
        (Some(before), Some(after)) => {
            let names: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
            for name in names.into_iter().filter(|name| before.get(name) != after.get(name)) {
                match before.get(&name) {
                    Some(value) => record.properties.insert(name, value.clone()),
                    None => record.properties.remove(&name),
                };
            }
        }
        (Some(before), None) => *record = Modelled { alive: true, properties: before },
        (None, Some(_)) => record.alive = false,
        (None, None) => {}
    }
}

pub(crate) async fn records(store: &dyn ReplicaStore) -> Tested<Vec<Vec<u8>>> {
    let mut states = store.stream_records(RecordScan::default());
    let mut all = Vec::new();
    while let Some(state) = states.next().await {
        all.push(codec::encode_record(&must(state)?));
    }
    Ok(all)
}

fn plain(properties: &BTreeMap<prophet_store::PropertyName, Value>) -> BTreeMap<String, Value> {
    properties.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
}

/// One step of a log, read off its entries without the engine's help.
pub(crate) struct LogStep {
    record: RecordKey,
    register: RegisterName,
    old: Option<Value>,
    new: Option<Value>,
}

pub(crate) fn steps(entry: &LogEntry) -> Vec<LogStep> {
    let adjusted = |adjustment: &Adjustment| LogStep {
        record: adjustment.record.clone(),
        register: adjustment.register.clone(),
        old: adjustment.old.clone(),
        new: adjustment.new.clone(),
    };
    let mut steps: Vec<_> = entry.nullify.iter().map(adjusted).collect();
    for Change { record, kind, properties, .. } in entry.changeset.changes() {
        let (alive, deleted) = (Some(Value::Boolean(true)), Some(Value::Boolean(false)));
        let (old, new) = match kind {
            ChangeKind::Create => (None, alive),
            ChangeKind::Recreate | ChangeKind::Undelete => (deleted, alive),
            ChangeKind::Update => (alive.clone(), alive),
            ChangeKind::Delete => (alive, deleted),
        };
        steps.push(LogStep { record: record.clone(), register: RegisterName::Existence, old, new });
        steps.extend(properties.iter().map(|property| LogStep {
            record: record.clone(),
            register: RegisterName::Property(property.name.clone()),
            old: property.old.clone(),
            new: property.new.clone(),
        }));
    }
    steps.extend(entry.settle.iter().map(adjusted));
    steps
}

/// Visible values, moved by nothing but the steps of a log.
#[derive(Default)]
pub(crate) struct Seen(BTreeMap<(RecordKey, RegisterName), Value>);

impl Seen {
    pub(crate) fn step(&mut self, step: &LogStep, back: bool) -> Tested {
        let (before, after) = if back { (&step.new, &step.old) } else { (&step.old, &step.new) };
        let place = (step.record.clone(), step.register.clone());
        prop_assert_eq!(self.0.get(&place), before.as_ref(), "at {:?}", place);
        match after {
            Some(value) => self.0.insert(place, value.clone()),
            None => self.0.remove(&place),
        };
        Ok(())
    }

    pub(crate) fn view(&self) -> View {
        let mut view = View::new();
        for ((record, register), value) in &self.0 {
            match register {
                RegisterName::Existence => {
                    let alive = *value == Value::Boolean(true);
                    view.insert(record.clone(), alive.then(BTreeMap::new));
                }
                RegisterName::Property(name) => {
                    let seen = view.entry(record.clone()).or_default();
                    seen.get_or_insert_default().insert(name.to_string(), value.clone());
                }
            }
        }
        view
    }
}
