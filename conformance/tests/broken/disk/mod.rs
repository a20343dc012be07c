//! Stores that do not stand failures, the loss of power, or damage, and the checks that have to
//! notice.
//!
//! Each breaks one thing of a store that is honest, on a disk that is as small as can be.

mod frame;
mod medium;
mod store;

use std::sync::Arc;

use conformance::{DamagedPlace, Fault, FaultyPlace, Harness, Place, Power, Store, Unsynced};
use prophet_store::{Identity, StoreError};

use self::medium::Disk;
pub(crate) use self::store::Broken;
use self::store::{DiskStore, VERSION_AT};
use crate::subject::Subject;

/// All of them, each with its killers.
pub(crate) fn subjects() -> Vec<Subject> {
    KILLERS.iter().map(|(broken, killers)| Subject::of_disk(*broken, killers)).collect()
}

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
    (
        Broken::TakesAnythingForItsFormat,
        &[
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

/// The powers that these stores have.
pub(crate) const POWERS: &[Power] =
    &[Power::Faults, Power::PowerLoss, Power::Damage, Power::PeakMemory];

pub(crate) struct BrokenHarness(pub(crate) Broken);

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
