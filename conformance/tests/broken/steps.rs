//! A store over a disk in memory, whose writes and syncs can be made to fail.
//!
//! The disk is a list of commits, each written whole or in half. The handle keeps all of them in a
//! store in memory, which it makes anew when it opens.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conformance::{Fault, FaultWay, FaultyPlace, Harness, Place, Store, Unsynced};
use futures_lite::future::block_on;
use prophet_store::{
    Authorship, Commit, CommitId, Digest, Facts, Head, HistoryScan, Identity, LogEntry, LogScan,
    MemoryStore, MetadataKey, MetadataScan, OriginCursor, OriginScan, Page, PageLimit, Position,
    Read, RecordCounts, RecordKey, RecordScan, RecordState, RecordType, ReplicaStore as _,
    Resolution, ResolutionCursor, ResolutionScan, StoreError, Verification,
};

use crate::subject::Subject;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskBug {
    None,
    /// Each commit is on the disk only when the next one comes.
    AcknowledgesBeforeItWrites,
    /// Opening takes a commit that was half written for one.
    TakesHalfForWhole,
    /// A commit that may be on the disk is said not to be.
    SaysNotApplied,
    /// What is half written is not taken away, and opening ends there.
    WritesOnBehindHalf,
    /// After a failure reads fail, and not because the handle was closed.
    StaysHalfClosed,
    /// Opening clears the disk, and then writes what is whole.
    RecoversInPlace,
    /// A commit of which nobody knew is refused when it is sent again, though it is there.
    DeniesWhatNobodyKnew,
}

/// All of them, each with its killers.
pub(crate) fn subjects() -> Vec<Subject> {
    let killers: [(_, &'static [&'static str]); 7] = [
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
        (DiskBug::DeniesWhatNobodyKnew, &["model::any_sequence_with_faults"]),
    ];
    killers.into_iter().map(|(bug, killers)| Subject::of_steps(bug, killers)).collect()
}

const NAME: &str = "a disk in memory";

#[derive(Debug, Clone, Default)]
struct Disk {
    identity: Option<Identity>,
    /// Each with whether all of it is there.
    commits: Vec<(Commit, bool)>,
    /// Those of which it was said that nobody knows.
    unknown: Vec<CommitId>,
    steps: u64,
    fault: Option<Fault>,
    struck: Option<String>,
}

impl Disk {
    /// Begins a step: `None` if it goes well, and otherwise how it fails.
    fn step(&mut self, what: &str) -> Option<FaultWay> {
        self.steps += 1;
        let fault = self.fault.as_mut()?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        let fault = *fault;
        let first = self.struck.is_none();
        self.struck = Some(what.to_owned());
        match (first, fault.lasting) {
            (true, _) => Some(fault.way),
            (false, true) => Some(FaultWay::Undone),
            (false, false) => None,
        }
    }

    /// Takes away what is behind the first so many commits; whether it went well.
    fn cut(&mut self, count: usize) -> bool {
        let way = self.step("cutting");
        if way != Some(FaultWay::Undone) {
            self.commits.truncate(count);
        }
        way.is_none()
    }

    fn write(&mut self, commit: &Commit) -> bool {
        let way = self.step("writing");
        if way != Some(FaultWay::Undone) {
            self.commits.push((commit.clone(), way != Some(FaultWay::Half)));
        }
        way.is_none()
    }
}

fn failed(action: &str) -> StoreError {
    StoreError::io(NAME, action, io::Error::other("as it was asked to"))
}

pub(crate) struct DiskHarness(pub(crate) DiskBug);

impl DiskHarness {
    fn fresh(&self) -> DiskPlace {
        DiskPlace { bug: self.0, disk: Arc::default() }
    }
}

impl Harness for DiskHarness {
    fn place(&self) -> Box<dyn Place> {
        Box::new(self.fresh())
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        Err(StoreError::not_found(address))
    }

    fn faulty_place(&self) -> Option<Box<dyn FaultyPlace>> {
        Some(Box::new(self.fresh()))
    }
}

struct DiskPlace {
    bug: DiskBug,
    disk: Arc<Mutex<Disk>>,
}

fn locked(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Place for DiskPlace {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        locked(&self.disk).identity = Some(identity);
        self.open()
    }

    fn open(&self) -> Result<Store, StoreError> {
        let mut disk = locked(&self.disk);
        let identity = disk.identity.ok_or_else(|| StoreError::not_found(NAME))?;
        let whole = match self.bug {
            DiskBug::TakesHalfForWhole => disk.commits.len(),
            _ => disk.commits.iter().take_while(|(_, whole)| *whole).count(),
        };
        if whole < disk.commits.len() {
            let commits = disk.commits[..whole].to_vec();
            let kept = if self.bug == DiskBug::RecoversInPlace { 0 } else { whole };
            if !disk.cut(kept) {
                return Err(failed("recovering"));
            }
            for (commit, _) in &commits[kept..] {
                if !disk.write(commit) {
                    return Err(failed("recovering"));
                }
            }
        }
        let inner = MemoryStore::new(identity);
        for (commit, _) in &disk.commits {
            block_on(inner.commit(commit))?;
        }
        let disk = Arc::clone(&self.disk);
        let (held, hurt) = (Mutex::new(None), AtomicBool::new(false));
        Ok(Arc::new(DiskStore { bug: self.bug, inner, disk, held, hurt }))
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        None
    }

    fn address(&self) -> Option<String> {
        None
    }
}

impl FaultyPlace for DiskPlace {
    fn steps(&self) -> u64 {
        locked(&self.disk).steps
    }

    fn fail(&self, fault: Option<Fault>) {
        let mut disk = locked(&self.disk);
        (disk.fault, disk.struck) = (fault, None);
    }

    fn struck(&self) -> Option<String> {
        locked(&self.disk).struck.clone()
    }

    fn after_crash(&self) -> Box<dyn FaultyPlace> {
        let disk = Disk { fault: None, struck: None, ..locked(&self.disk).clone() };
        Box::new(Self { bug: self.bug, disk: Arc::new(Mutex::new(disk)) })
    }

    fn after_power_loss(&self, _: Unsynced) -> Option<Box<dyn FaultyPlace>> {
        None
    }
}

#[derive(Debug)]
struct DiskStore {
    bug: DiskBug,
    inner: MemoryStore,
    disk: Arc<Mutex<Disk>>,
    /// A commit that was acknowledged and is not written.
    held: Mutex<Option<Commit>>,
    /// Whether a failure left the disk other than the store in memory.
    hurt: AtomicBool,
}

impl DiskStore {
    async fn inner(&self) -> Result<&MemoryStore, StoreError> {
        match self.hurt.load(Ordering::Relaxed) {
            false => Ok(&self.inner),
            true if self.bug == DiskBug::StaysHalfClosed => Err(failed("reading")),
            true => Err(StoreError::closed(NAME)),
        }
    }

    fn seen(&self, head: Head) -> Head {
        head
    }

    fn limit(&self, limit: PageLimit) -> PageLimit {
        limit
    }

    fn page<T, C>(&self, page: Page<T, C>) -> Result<Page<T, C>, StoreError> {
        Ok(page)
    }

    async fn write(&self, commit: &Commit) -> Result<Head, StoreError> {
        let inner = self.inner().await?;
        let head = inner.head().await?;
        if commit.base() != head {
            let denied = self.bug == DiskBug::DeniesWhatNobodyKnew
                && locked(&self.disk).unknown.contains(&commit.id());
            return match denied {
                true => Err(StoreError::stale_base(commit.base(), head)),
                false => inner.commit(commit).await,
            };
        }
        if self.bug == DiskBug::AcknowledgesBeforeItWrites {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(earlier) = held.replace(commit.clone()) {
                locked(&self.disk).write(&earlier);
            }
        } else {
            self.put(commit)?;
        }
        inner.commit(commit).await
    }

    fn put(&self, commit: &Commit) -> Result<(), StoreError> {
        let mut disk = locked(&self.disk);
        let before = disk.commits.len();
        let whole = disk.write(commit) && disk.step("syncing").is_none();
        if whole {
            return Ok(());
        }
        if self.bug == DiskBug::WritesOnBehindHalf && disk.commits.last().is_some_and(|it| !it.1) {
            return Err(failed("writing"));
        }
        if disk.cut(before) {
            if self.bug == DiskBug::StaysHalfClosed {
                self.hurt.store(true, Ordering::Relaxed);
            }
            return Err(failed("writing"));
        }
        self.hurt.store(true, Ordering::Relaxed);
        // Half of it is no commit, and nobody takes it for one.
        let counts = disk.commits.get(before).is_some_and(|(_, whole)| *whole);
        if counts && self.bug != DiskBug::SaysNotApplied {
            disk.unknown.push(commit.id());
            return Err(StoreError::outcome_unknown(commit.id(), NAME, None));
        }
        Err(failed("writing"))
    }
}

crate::forward::forward!(DiskStore);
