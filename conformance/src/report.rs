//! The suite at run time, for programs.

use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::failure::{Failure, Outcome};
use crate::fixtures::World;
use crate::suite::{Check, Suite};
use harnesses::{Harness, Power};

/// What all checks came to over one harness.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// What the harness and the store lack.
    pub without: Vec<Power>,
    /// The checks that passed.
    pub passed: Vec<&'static Check>,
    /// Those that failed, each with the first rule that was found broken.
    pub failed: Vec<(&'static Check, Failure)>,
    /// Those that have nothing to say of a store with just these powers.
    pub left_out: Vec<&'static Check>,
}

impl Report {
    /// Whether no check failed.
    pub fn is_sound(&self) -> bool {
        self.failed.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (check, failure) in &self.failed {
            writeln!(f, "{}::{}\n{failure}\n", check.group, check.name)?;
        }
        let names: Vec<_> = self.without.iter().map(|power| power.name()).collect();
        let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        let [passed, failed] = [self.passed.len(), self.failed.len()];
        let left_out = self.left_out.len();
        write!(f, "{passed} passed, {failed} failed, {left_out} left out; without {names}")
    }
}

/// Runs every check over a harness, one after another, with the powers that it and its stores have.
///
/// Some checks start this very program once more, with the same arguments, to have another process. So
/// the first thing that its `main` does is to call [`serve`]:
///
/// ```
/// use conformance::MemoryHarness;
///
/// let harness = MemoryHarness::new();
/// conformance::serve(&harness);
/// let report = conformance::run(&harness)?;
/// assert!(report.is_sound(), "{report}");
/// # Ok::<(), conformance::Failure>(())
/// ```
///
/// # Errors
/// If no store can be created, so that there is nothing to be checked. What a check finds is in the
/// report.
///
/// # Panics
/// In a process that another run started, which means that [`serve`] was not called.
pub fn run(harness: &dyn Harness) -> Outcome<Report> {
    assert!(!crate::child::is_child(), "the program calls conformance::serve before this");
    let without = lacking(harness)?;
    let suite = Suite::new(harness, &without).with_child(std::env::args_os().skip(1).collect());
    let (mut passed, mut failed, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    for check in crate::checks() {
        if !check.applies(&without) {
            left_out.push(check);
            continue;
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| suite.run(check)));
        match outcome.unwrap_or_else(|panic| Err(Failure::panicked(&*panic))) {
            Ok(()) => passed.push(check),
            Err(failure) => failed.push((check, failure)),
        }
    }
    Ok(Report { without, passed, failed, left_out })
}

/// Serves the run that started this process, and then ends it. In any other process it does nothing.
pub fn serve(harness: &dyn Harness) {
    if crate::child::is_child() {
        crate::child::child(harness);
        std::process::exit(0);
    }
}

/// The powers that a harness and its stores do not have, as they say themselves.
fn lacking(harness: &dyn Harness) -> Outcome<Vec<Power>> {
    let place = harness.place();
    let sharing = place.create(World::IDENTITY)?.facts().capabilities.sharing;
    let lacks = |power: &&Power| !power.is_held(harness, &*place, sharing);
    Ok(Power::ALL.iter().filter(lacks).copied().collect())
}

/// The checks as a table in Markdown: `docs/checks.md`.
pub fn table() -> String {
    let mut table = String::from(
        "# The checks\n\nMade by `cargo run -p conformance -- --list`. The rules are those of the \
         [contract](contract.md).\n\n| check | rules | needs | lacks |\n| --- | --- | --- | --- |\n",
    );
    for check in crate::checks() {
        let names = |powers: &[Power]| {
            powers.iter().map(|power| power.name()).collect::<Vec<_>>().join(", ")
        };
        let (needs, lacks) = (names(check.needs), names(check.lacks));
        let rules = check.rules.join(" ");
        let _ =
            writeln!(table, "| {}::{} | {rules} | {needs} | {lacks} |", check.group, check.name);
    }
    table
}
