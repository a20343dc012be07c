//! Stores that go wrong in some runs, and the checks of random runs that have to notice.
//!
//! [`disk`] is a store over a disk in memory whose steps can fail; [`file`] is one over files, which
//! other processes reach. Each can be made to break a rule in one way.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "this is test support: what is made here is known to be good"
)]

mod disk;
mod file;
mod forward;

use conformance::{Check, Harness, Outcome, Power, Suite};

use crate::disk::{DiskBug, DiskHarness};
use crate::file::{FileBug, FileHarness};

/// The killers of each broken store over a disk in memory.
const OF_DISKS: &[(DiskBug, &[&str])] = &[
    (
        DiskBug::AcknowledgesBeforeItWrites,
        &["model::any_sequence_of_operations", "model::any_sequence_with_crashes"],
    ),
    (
        DiskBug::TakesHalfForWhole,
        &["model::any_sequence_with_faults", "model::any_sequence_with_crashes"],
    ),
    (DiskBug::SaysNotApplied, &["model::any_sequence_with_faults"]),
    (DiskBug::WritesOnBehindHalf, &["model::any_sequence_with_faults"]),
    (DiskBug::StaysHalfClosed, &["model::any_sequence_with_faults"]),
    (DiskBug::RecoversInPlace, &["model::any_sequence_with_crashes"]),
];

/// And of each over files.
const OF_FILES: &[(FileBug, &[&str])] = &[
    (
        FileBug::AcknowledgesBeforeItWrites,
        &[
            "model::any_sequence_with_kills",
            "crash::a_killed_process_loses_nothing_acknowledged",
            "crash::killed_among_others",
        ],
    ),
    (FileBug::MovesAwayWhileItOpens, &["crash::a_process_killed_while_opening"]),
    (
        FileBug::LagsBehind,
        &[
            "linear::threads_are_linearizable",
            "linear::handles_are_linearizable",
            "linear::processes_are_linearizable",
        ],
    ),
    (
        FileBug::NamesTheHeadOfLater,
        &[
            "model::any_sequence_of_operations",
            "linear::threads_are_linearizable",
            "linear::handles_are_linearizable",
            "linear::processes_are_linearizable",
        ],
    ),
    (FileBug::IgnoresLimits, &["memory::streaming_takes_bounded_memory"]),
];

/// What the stores over files do without; those in memory besides cannot be reached from elsewhere.
const WITHOUT: &[Power] = &[Power::ReadOnly, Power::Faults, Power::PowerLoss, Power::Damage];
const ALONE: &[Power] =
    &[Power::Address, Power::SeveralProcesses, Power::ReadOnly, Power::PowerLoss, Power::Damage];

fn check(path: &str) -> &'static Check {
    let found = conformance::checks()
        .iter()
        .find(|check| path.split_once("::") == Some((check.group, check.name)));
    found.unwrap_or_else(|| panic!("there is no check {path}"))
}

fn run(harness: &dyn Harness, without: &[Power], path: &str) -> Outcome {
    let child = ["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"];
    let child = child.map(str::to_owned).to_vec();
    Suite::new(harness, without).with_child(child).run(check(path))
}

/// It fails, and by an assertion of the check: a rule is named.
fn caught(harness: &dyn Harness, without: &[Power], path: &str) -> Option<String> {
    match run(harness, without, path) {
        Ok(()) => Some(format!("{path} notices nothing")),
        Err(failure) if failure.rule().is_none() => {
            Some(format!("{path} names no rule: {failure}"))
        }
        Err(failure) => {
            assert!(failure.to_string().contains("PROPHET_SEED=") || path.starts_with("memory"));
            None
        }
    }
}

#[test]
#[ignore = "the process that other checks start"]
fn child() {
    conformance::serve(&FileHarness(FileBug::None));
}

#[test]
fn every_broken_disk_is_caught_by_its_killers() {
    let mut alive = Vec::new();
    for (bug, killers) in OF_DISKS {
        let missed = killers.iter().filter_map(|path| caught(&DiskHarness(*bug), ALONE, path));
        alive.extend(missed.map(|missed| format!("{bug:?}: {missed}")));
    }
    assert!(alive.is_empty(), "not caught: {alive:#?}");
}

#[test]
fn every_broken_file_is_caught_by_its_killers() {
    let mut alive = Vec::new();
    for (bug, killers) in OF_FILES {
        let missed = killers.iter().filter_map(|path| caught(&FileHarness(*bug), WITHOUT, path));
        alive.extend(missed.map(|missed| format!("{bug:?}: {missed}")));
    }
    assert!(alive.is_empty(), "not caught: {alive:#?}");
}

#[test]
fn what_fails_is_shortened() {
    let harness = DiskHarness(DiskBug::AcknowledgesBeforeItWrites);
    let failure =
        run(&harness, ALONE, "model::any_sequence_of_operations").expect_err("it is lost");
    let text = failure.to_string();
    assert!(text.contains("with: [Commit(Step)]"), "{text}");
    assert!(text.contains("replay: PROPHET_SEED="), "{text}");
}

#[test]
fn what_breaks_nothing_is_not_caught() {
    for path in ["operations", "faults", "crashes"] {
        let path = match path {
            "operations" => "model::any_sequence_of_operations".to_owned(),
            with => format!("model::any_sequence_with_{with}"),
        };
        if let Err(failure) = run(&DiskHarness(DiskBug::None), ALONE, &path) {
            panic!("{path} fails without a bug: {failure}");
        }
    }
    for path in OF_FILES.iter().flat_map(|(_, killers)| *killers) {
        if let Err(failure) = run(&FileHarness(FileBug::None), WITHOUT, path) {
            panic!("{path} fails without a bug: {failure}");
        }
    }
}
