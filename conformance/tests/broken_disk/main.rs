//! Stores that do not stand failures, the loss of power, or damage, and the checks that have to
//! notice.
//!
//! Each breaks one thing of a store that is honest, on a disk that is as small as can be.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "this is test support: what is made here is known to be good"
)]

mod disk;
mod frame;
mod store;

use std::collections::BTreeSet;
use std::sync::Arc;

use conformance::{
    Check, DamagedPlace, Failure, Fault, FaultyPlace, Harness, Place, Power, Store, Suite, Unsynced,
};
use disk::Disk;
use prophet_store::{Identity, StoreError};
use store::{Broken, DiskStore, VERSION_AT};

/// The named killers of each broken store.
const KILLERS: &[(Broken, &[&str])] = &[
    (Broken::AcknowledgesBeforeItSyncs, &["power_loss::power_may_go_at_any_step"]),
    (Broken::BelievesTheSecondSync, &["power_loss::a_failed_sync_is_no_sync"]),
    (Broken::WritesInTwoParts, &["faults::a_crash_at_any_step_loses_nothing_acknowledged"]),
    (Broken::LooksAtNoChecksum, &["damage::any_byte_may_flip"]),
    (Broken::KeepsATornTail, &["faults::a_crash_at_any_step_loses_nothing_acknowledged"]),
    (Broken::SaysItFailedThoughItIsThere, &["faults::any_step_may_fail_once"]),
    (Broken::IsAheadOfTheDisk, &["faults::any_step_may_fail_once"]),
    (Broken::AcknowledgesWhatFailed, &["faults::any_step_may_fail_for_good"]),
    (
        Broken::CutsOffTooMuch,
        &[
            "faults::a_crash_at_any_step_loses_nothing_acknowledged",
            "power_loss::power_may_go_at_any_step",
        ],
    ),
    (
        Broken::RecoversByWritingAnew,
        &[
            "faults::opening_may_fail_at_any_step",
            "faults::recovery_may_crash_at_any_step",
            "power_loss::power_may_go_in_recovery",
        ],
    ),
    (
        Broken::StumblesOverItsOwnRecovery,
        &["faults::opening_may_fail_at_any_step", "faults::recovery_may_crash_at_any_step"],
    ),
    (Broken::ForgetsWhatItCouldNotRead, &["faults::reads_fail_and_are_right_the_next_time"]),
    (
        Broken::PanicsOnDamage,
        &[
            "damage::any_byte_may_flip",
            "damage::any_part_may_be_cut_off",
            "damage::any_part_may_go",
            "damage::parts_may_change_places",
        ],
    ),
    (Broken::VerifiesNothing, &["damage::what_reads_meet_verify_finds"]),
    (Broken::IgnoresTheVersion, &["damage::a_newer_format_is_refused_and_left_alone"]),
    (Broken::UpgradesWhatIsNewer, &["damage::a_newer_format_is_refused_and_left_alone"]),
    (Broken::CreatesOverOthers, &["damage::what_is_no_replica_is_refused_and_left_alone"]),
    (Broken::RemovesWhatIsStrange, &["damage::strange_parts_do_no_harm"]),
];

/// The powers that this harness does without.
const WITHOUT: &[Power] =
    &[Power::Address, Power::SeveralProcesses, Power::ReadOnly, Power::PeakMemory];

/// The groups of checks that are shown here to be able to fail.
const GROUPS: [&str; 3] = ["faults", "power_loss", "damage"];

struct BrokenHarness(Broken);

#[derive(Debug)]
struct BrokenPlace {
    broken: Broken,
    disk: Disk,
}

impl BrokenPlace {
    fn new(broken: Broken, disk: Disk) -> Box<Self> {
        Box::new(Self { broken, disk })
    }
}

impl Harness for BrokenHarness {
    fn place(&self) -> Box<dyn Place> {
        BrokenPlace::new(self.0, Disk::default())
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        Err(StoreError::not_found(address))
    }

    fn faulty_place(&self) -> Option<Box<dyn FaultyPlace>> {
        Some(BrokenPlace::new(self.0, Disk::default()))
    }

    fn damaged_place(&self) -> Option<Box<dyn DamagedPlace>> {
        Some(BrokenPlace::new(self.0, Disk::default()))
    }
}

impl Place for BrokenPlace {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        Ok(Arc::new(DiskStore::create(self.broken, &self.disk, identity)?))
    }

    fn open(&self) -> Result<Store, StoreError> {
        Ok(Arc::new(DiskStore::open(self.broken, &self.disk)?))
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        None
    }

    fn address(&self) -> Option<String> {
        None
    }
}

impl FaultyPlace for BrokenPlace {
    fn steps(&self) -> u64 {
        self.disk.steps()
    }

    fn fail(&self, fault: Option<Fault>) {
        self.disk.fail(fault);
    }

    fn struck(&self) -> Option<String> {
        self.disk.struck()
    }

    fn after_crash(&self) -> Box<dyn FaultyPlace> {
        Self::new(self.broken, self.disk.after_crash())
    }

    fn after_power_loss(&self, unsynced: Unsynced) -> Option<Box<dyn FaultyPlace>> {
        Some(Self::new(self.broken, self.disk.after_power_loss(unsynced)))
    }
}

impl DamagedPlace for BrokenPlace {
    fn parts(&self) -> Vec<String> {
        self.disk.names()
    }

    fn read(&self, part: &str) -> Vec<u8> {
        self.disk.bytes(part)
    }

    fn write(&self, part: &str, bytes: Option<&[u8]>) {
        self.disk.put(part, bytes);
    }

    fn make_newer(&self) {
        let mut bytes = self.disk.bytes("format");
        bytes[VERSION_AT] += 1;
        self.disk.put("format", Some(&bytes));
    }

    fn put_foreign(&self) {
        self.disk.put("notes", Some(b"buy milk"));
    }
}

fn check(path: &str) -> &'static Check {
    let found = conformance::checks()
        .iter()
        .find(|check| path.split_once("::") == Some((check.group, check.name)));
    found.unwrap_or_else(|| panic!("there is no check {path}"))
}

fn run(path: &str, broken: Broken) -> Result<(), Failure> {
    Suite::new(&BrokenHarness(broken), WITHOUT).run(check(path))
}

#[test]
fn every_broken_store_is_caught_by_its_killers() {
    let mut alive = Vec::new();
    for (broken, killers) in KILLERS {
        for path in *killers {
            match run(path, *broken) {
                Err(failure) if failure.rule().is_some() => {}
                Err(failure) => alive.push(format!("{broken:?} by {path}, which says: {failure}")),
                Ok(()) => alive.push(format!("{broken:?} by {path}")),
            }
        }
    }
    assert!(alive.is_empty(), "not caught: {alive:#?}");
}

#[test]
fn what_breaks_nothing_is_not_caught() {
    let checks = conformance::checks().iter().filter(|check| check.applies(WITHOUT));
    for check in checks.filter(|check| GROUPS.contains(&check.group)) {
        if let Err(failure) = Suite::new(&BrokenHarness(Broken::Nothing), WITHOUT).run(check) {
            panic!("{}::{} fails without a fault: {failure}", check.group, check.name);
        }
    }
}

#[test]
fn every_check_has_a_broken_store() {
    let killers: BTreeSet<_> = KILLERS.iter().flat_map(|(_, killers)| *killers).copied().collect();
    let of_group = |check: &&Check| GROUPS.contains(&check.group);
    let left: Vec<_> = conformance::checks()
        .iter()
        .filter(of_group)
        .map(|check| format!("{}::{}", check.group, check.name))
        .filter(|path| !killers.contains(path.as_str()))
        .collect();
    assert!(left.is_empty(), "nothing shows that these can fail: {left:?}");
}
