//! Stores that break one rule each, and the checks that have to notice.
//!
//! A check that cannot fail is worth nothing, so each of these stores names its killers, and each
//! check has to be named. A store counts as caught only by an assertion, of a rule that the check is
//! for: a call that happens to fail is no sign that it sees anything, nor is a panic, but where a
//! check says itself that there is to be none.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "this is test support: what is made here is known to be good"
)]

mod cancellation;
mod commit;
mod content;
mod disk;
mod durability;
mod fault;
mod files;
mod forward;
mod handles;
mod hints;
mod idempotency;
mod lifecycle;
mod log;
mod metadata;
mod paging;
mod records;
mod steps;
mod subject;
mod tools;
#[path = "../wrapped/mod.rs"]
mod wrapped;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use conformance::{Check, Harness, Power, Store, Suite};
use fault::{Fault, Inner};
use prophet_store::StoreError;
use subject::Subject;
use wrapped::{Change, locked, name_in};

/// Every broken store.
fn subjects() -> &'static [Subject] {
    static SUBJECTS: OnceLock<Vec<Subject>> = OnceLock::new();
    SUBJECTS.get_or_init(|| {
        let mut subjects: Vec<_> = faults().iter().map(Subject::of_fault).collect();
        subjects.extend(steps::subjects());
        subjects.extend(files::subjects());
        subjects.extend(disk::subjects());
        subjects
    })
}

/// Those that wrap a sound store.
fn faults() -> &'static [Fault] {
    static FAULTS: OnceLock<Vec<Fault>> = OnceLock::new();
    FAULTS.get_or_init(|| {
        let groups = [
            lifecycle::faults(),
            commit::faults(),
            idempotency::faults(),
            records::faults(),
            log::faults(),
            metadata::faults(),
            paging::faults(),
            content::faults(),
            handles::faults(),
            cancellation::faults(),
            durability::faults(),
            hints::faults(),
        ];
        groups.into_iter().flatten().collect()
    })
}

fn check(path: &str) -> &'static Check {
    let found = conformance::checks()
        .iter()
        .find(|check| path.split_once("::") == Some((check.group, check.name)));
    found.unwrap_or_else(|| panic!("there is no check {path}"))
}

/// Runs a check, whose other processes run `child` below.
fn run(
    harness: &dyn Harness,
    without: &[Power],
    check: &Check,
) -> Result<(), (Option<&'static str>, String)> {
    let child = conformance::__private::arguments("child");
    let suite = Suite::new(harness, without).with_child(child).as_found();
    match catch_unwind(AssertUnwindSafe(|| suite.run(check))) {
        Ok(outcome) => outcome.map_err(|failure| (failure.rule(), failure.to_string())),
        Err(_) => Err((None, "it panicked".to_owned())),
    }
}

/// The rule that a check saw broken, or how else it ended.
fn kill(subject: &Subject, check: &Check) -> Result<&'static str, String> {
    let mut last = "nothing was noticed".to_owned();
    for _ in 0..subject.tries {
        match run(&*subject.broken(), &subject.without, check) {
            Err((Some(rule), _)) if check.rules.contains(&rule) => return Ok(rule),
            Err((_, message)) => last = message,
            Ok(()) => {}
        }
    }
    Err(last)
}

/// Does this to each, by as many threads as there are processors.
fn each<T: Sync, U: Send>(items: &[T], work: impl Fn(&T) -> U + Sync) -> Vec<U> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = work(item);
                    locked(&done).push(result);
                }
            });
        }
    });
    done.into_inner().expect("no thread has panicked")
}

/// What came of every broken store and killer: the rule that was seen broken, or what to say.
fn matrix() -> &'static [Result<&'static str, String>] {
    static MATRIX: OnceLock<Vec<Result<&'static str, String>>> = OnceLock::new();
    MATRIX.get_or_init(|| {
        let pairs: Vec<_> = subjects()
            .iter()
            .flat_map(|subject| subject.killers.iter().map(move |path| (subject, *path)))
            .collect();
        each(&pairs, |(subject, path)| {
            kill(subject, check(path)).map_err(|why| format!("{:?} by {path}: {why}", subject.name))
        })
    })
}

fn named() -> BTreeSet<&'static str> {
    subjects().iter().flat_map(|subject| subject.killers).copied().collect()
}

#[test]
fn every_broken_store_is_caught_by_its_killers() {
    let alive: Vec<_> = matrix().iter().filter_map(|kill| kill.as_ref().err()).collect();
    assert!(alive.is_empty(), "not caught by the rule: {alive:#?}");
}

#[test]
fn every_broken_store_has_a_name_and_killers_that_apply() {
    let mut names = BTreeSet::new();
    for subject in subjects() {
        assert!(names.insert(&subject.name), "two are called {:?}", subject.name);
        assert!(!subject.killers.is_empty(), "{:?} has no killer", subject.name);
        for path in subject.killers {
            let applies = check(path).applies(&subject.without);
            assert!(applies, "{path} does not run over {:?}", subject.name);
        }
    }
}

#[test]
fn every_check_is_somebodys_killer() {
    let named = named();
    let paths =
        conformance::checks().iter().map(|check| format!("{}::{}", check.group, check.name));
    let left: Vec<_> = paths.filter(|path| !named.contains(path.as_str())).collect();
    assert!(left.is_empty(), "no broken store shows that these can fail: {left:#?}");
}

#[test]
fn every_rule_has_a_killer() {
    let seen: BTreeSet<_> = matrix().iter().flatten().copied().collect();
    let checks = conformance::checks().iter();
    let rules: BTreeSet<_> = checks.flat_map(|check| check.rules).copied().collect();
    let left: Vec<_> = rules.difference(&seen).collect();
    assert!(left.is_empty(), "no broken store was caught breaking these: {left:?}");
}

#[test]
fn totals() {
    let seen: BTreeSet<_> = matrix().iter().flatten().collect();
    let checks = conformance::checks().len();
    let (stores, named, rules) = (subjects().len(), named().len(), seen.len());
    // Past the capture of the test framework, so that it is seen where nothing fails.
    let line = format!(
        "kill matrix: {checks} checks, {stores} broken stores, {named} checks named, {rules} rules\n"
    );
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Over all but the reference store: the reference store with nothing done to it is tested in `memory.rs`, and with
/// harmless things done to it in `unusual.rs`.
#[test]
fn what_breaks_nothing_is_not_caught() {
    let mut pairs = BTreeMap::new();
    for subject in subjects().iter().filter(|subject| subject.sound != "memory") {
        pairs.extend(subject.killers.iter().map(|path| ((subject.sound, *path), subject)));
    }
    let pairs: Vec<_> = pairs.into_iter().collect();
    let failures = each(&pairs, |((sound, path), subject)| {
        let outcome = run(&*subject.mended(), &subject.without, check(path));
        outcome.err().map(|(_, why)| format!("{sound}, {path}: {why}"))
    });
    let failures: Vec<_> = failures.into_iter().flatten().collect();
    assert!(failures.is_empty(), "caught without a fault: {failures:#?}");
}

/// Opens what an address names, with the fault that the address begins with.
struct Addressed;

impl Harness for Addressed {
    fn place(&self) -> Box<dyn conformance::Place> {
        unreachable!("another process is given its place")
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        if let Some(opened) = files::open_named(address) {
            return opened;
        }
        let name = name_in(address).unwrap_or_default();
        match faults().iter().find(|fault| fault.name == name) {
            Some(fault) => fault.harness().open_address(address),
            None => {
                let inner = Inner::named(name);
                inner.harness(inner.name(), Change::NONE).open_address(address)
            }
        }
    }
}

#[test]
#[ignore = "the process that other checks start"]
fn child() {
    conformance::__private::child(&Addressed);
}

#[test]
fn what_fails_is_shortened() {
    let harness = steps::DiskHarness(steps::DiskBug::AcknowledgesBeforeItWrites);
    let without = [Power::Address, Power::SeveralProcesses, Power::ReadOnly, Power::PowerLoss];
    let path = "model::any_sequence_of_operations";
    let without = [&without[..], &[Power::Damage]].concat();
    let failed = Suite::new(&harness, &without).run(check(path));
    let text = failed.expect_err("it is lost").to_string();
    let shortest = ["with: [Commit(Step)]", "with: [Dropped(Step, 0, Again)]"];
    assert!(shortest.iter().any(|it| text.contains(it)), "{text}");
    assert!(text.contains("replay: PROPHET_SEED="), "{text}");
}
