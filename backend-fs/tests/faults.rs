//! Any one operation of the disk fails, once or for good: what was answered stays true.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::collections::HashSet;
use std::io::ErrorKind;

use backend_fs::simulated::{Fault, Image, Kind, Loss, SimulatedDisk};
use backend_fs::{FsOptions, FsStore};
use futures_lite::future::block_on;
use prophet_store::{ReplicaStore as _, StoreError};
use support::{Random, Workload, create, everything, open, options};

const TRIES: usize = 8;

/// So many commits are made on what one handle opened.
const WINDOW: usize = 2;

struct Run<'a> {
    options: &'a FsOptions,
    disk: SimulatedDisk,
    fault: Option<Fault>,
    /// How many commits there are.
    done: usize,
    random: Random,
}

impl Run<'_> {
    fn fail(&self, what: impl std::fmt::Display) -> ! {
        panic!("{:?} at {:?}, after {} commits: {what}", self.fault, self.disk.fired(), self.done)
    }

    fn dead(&self) -> bool {
        self.fault.is_some_and(|fault| fault.forever) && self.disk.fired().is_some()
    }

    /// What a crash now would leave has one of these numbers of commits.
    fn leaves(&mut self, numbers: &[usize]) {
        let image = self.disk.image();
        let mut left = vec![
            image.after_power_loss(Loss::Least),
            image.after_power_loss(Loss::Most),
            image.clone(),
        ];
        let mut met: HashSet<_> = left.iter().map(Image::fingerprint).collect();
        for _ in 0..8 {
            let some = Loss::Some(self.random.next());
            let image = image.after_power_loss(some);
            if met.insert(image.fingerprint()) {
                left.push(image);
            }
        }
        for (number, image) in left.into_iter().enumerate() {
            let store = match open(self.options, &SimulatedDisk::new(image)) {
                Ok(store) => store,
                Err(error) => self.fail(format_args!("a crash leaves, way {number}: {error:?}")),
            };
            match Workload::small().glance(&store) {
                Ok(found) if numbers.contains(&found) => {}
                other => self.fail(format_args!("a crash leaves, way {number}: {other:?}")),
            }
        }
    }

    /// Opens it; the one fault there is may hit that.
    fn open(&self) -> Option<FsStore> {
        for _ in 0..TRIES {
            match open(self.options, &self.disk) {
                Ok(store) => return Some(store),
                Err(StoreError::Io { .. } | StoreError::Full { .. }) => {}
                Err(error) => self.fail(format_args!("opening: {error:?}")),
            }
            if self.dead() {
                return None;
            }
        }
        self.fail("it cannot be opened")
    }

    /// What can be read is all of it, or nothing can be read.
    fn read(&self, store: &FsStore, numbers: &[usize]) -> Option<usize> {
        for _ in 0..TRIES {
            match self.disk.aside(|| Workload::small().glance(store)) {
                Ok(number) if numbers.contains(&number) => return Some(number),
                Ok(number) => self.fail(format_args!("{number} are read, not {numbers:?}")),
                Err(what) if what.contains("Io {") || what.contains("Full {") => {}
                Err(what) => self.fail(what),
            }
            if self.dead() {
                return None;
            }
        }
        self.fail("it cannot be read")
    }

    fn commits(&mut self, mut store: FsStore) {
        let work = Workload::small();
        for commit in work.commits.iter().skip(self.done).take(WINDOW) {
            let mut unknown = false;
            for tried in 0.. {
                if tried > TRIES {
                    self.fail("it cannot be committed");
                }
                let fired = self.disk.fired().is_some();
                self.disk.hand_over(commit);
                let answer = block_on(store.commit(commit));
                self.disk.settle(0);
                let hit = !fired && self.disk.fired().is_some();
                let before = self.done;
                match answer {
                    Ok(head) if head == commit.head() => {
                        self.done += 1;
                        if hit {
                            self.leaves(&[self.done]);
                        }
                        break;
                    }
                    Ok(head) => self.fail(format_args!("the answer is {head}")),
                    Err(StoreError::OutcomeUnknown { .. }) => {
                        self.leaves(&[before, before + 1]);
                        if self.read(&store, &[before, before + 1]) == Some(before + 1) {
                            // It was seen, so it stays.
                            self.leaves(&[before + 1]);
                        }
                        unknown = true;
                    }
                    Err(StoreError::Closed { .. }) => {
                        drop(store);
                        let numbers = [before, before + usize::from(unknown)];
                        match self.open() {
                            Some(opened) => store = opened,
                            None => return self.leaves(&numbers),
                        }
                        let Some(found) = self.read(&store, &numbers) else {
                            return self.leaves(&numbers);
                        };
                        self.leaves(&[found]);
                    }
                    Err(StoreError::Io { .. } | StoreError::Full { .. }) => {
                        let whole = |fault: Fault| fault.kind == Kind::After && !fault.forever;
                        let op = self.disk.fired().unwrap_or_default();
                        let append = op.starts_with("write_at log") && op.contains(".jsonl ");
                        if hit && append && self.fault.is_some_and(whole) {
                            self.fail("others may have read it, so nobody knows");
                        }
                        let numbers = [before, before + usize::from(unknown)];
                        if hit {
                            self.leaves(&numbers);
                        }
                        if self.read(&store, &numbers).is_none() {
                            return self.leaves(&numbers);
                        }
                    }
                    Err(error) => self.fail(format_args!("the answer is {error:?}")),
                }
                if self.dead() {
                    drop(store);
                    let most = self.done + usize::from(unknown && self.done == before);
                    return self.leaves(&[self.done, most]);
                }
            }
            self.read(&store, &[self.done]);
        }
        let _ = block_on(store.close());
        drop(store);
        self.leaves(&[self.done]);
        let healthy = SimulatedDisk::new(self.disk.image());
        let store = open(self.options, &healthy).unwrap();
        match work.expect_sound(&store, false) {
            Ok(number) if number == self.done => {}
            other => self.fail(format_args!("in the end: {other:?}")),
        }
        if let Some(commit) = work.commits.get(self.done)
            && let Err(error) = block_on(store.commit(commit))
        {
            self.fail(format_args!("in the end, a commit: {error:?}"));
        }
    }
}

/// Creates a replica, or opens the one on `image`, and commits. The disk, afterwards.
fn run(
    options: &FsOptions,
    image: Option<&Image>,
    done: usize,
    fault: Option<Fault>,
) -> SimulatedDisk {
    run_on(&SimulatedDisk::new(image.cloned().unwrap_or_default()), options, image, done, fault)
}

fn run_on(
    disk: &SimulatedDisk,
    options: &FsOptions,
    image: Option<&Image>,
    done: usize,
    fault: Option<Fault>,
) -> SimulatedDisk {
    let disk = disk.clone().with_fault(fault);
    let seed = fault.map_or(0, |fault| fault.at);
    let random = Random::new(seed);
    let mut run = Run { options, disk: disk.clone(), fault, done, random };
    // There may be one more fault.
    let again = || match create(options, &disk) {
        Err(StoreError::Io { .. }) => create(options, &disk),
        created => created,
    };
    let store = match image {
        Some(_) => run.open(),
        None => match create(options, &disk) {
            Ok(store) => Some(store),
            Err(StoreError::Io { .. } | StoreError::Full { .. }) if run.dead() => {
                let image = disk.image().after_power_loss(Loss::Least);
                for image in [disk.image(), image] {
                    let disk = SimulatedDisk::new(image);
                    let made = match open(options, &disk) {
                        Err(StoreError::NotFound { .. }) => create(options, &disk),
                        opened => opened,
                    };
                    if let Err(error) = made {
                        run.fail(format_args!("creating it again: {error:?}"));
                    }
                }
                None
            }
            Err(StoreError::Io { .. } | StoreError::Full { .. }) => match again() {
                Ok(store) => Some(store),
                Err(StoreError::AlreadyExists { .. }) => run.open(),
                Err(error) => run.fail(format_args!("creating it again: {error:?}")),
            },
            Err(error) => run.fail(format_args!("creating: {error:?}")),
        },
    };
    if let Some(store) = store {
        run.commits(store);
    }
    disk
}

/// One of so `many` faults, or all of them if `PROPHET_ALL` is set.
fn fail_anywhere(segment_bytes: u64, many: usize) {
    let every = if everything() { 1 } else { many };
    let options = options(segment_bytes);
    let work = Workload::small();
    let (mut image, mut steps, mut tried) = (None::<Image>, 0, 0_usize);
    let mut number = Random::new(segment_bytes).below(every);
    let mut done = 0;
    while done < work.commits.len() {
        let clean = run(&options, image.as_ref(), done, None);
        steps += clean.steps();
        for at in 1..=clean.steps() {
            for kind in [Kind::Before, Kind::After, Kind::Half] {
                for forever in [false, true] {
                    number += 1;
                    if !number.is_multiple_of(every) {
                        continue;
                    }
                    tried += 1;
                    let error = [ErrorKind::Other, ErrorKind::StorageFull]
                        [usize::from((number / every).is_multiple_of(2))];
                    let fault = Fault { at, kind, error, forever, and_after: None };
                    run(&options, image.as_ref(), done, Some(fault));
                }
            }
        }
        image = Some(clean.image());
        done += WINDOW;
    }
    println!("{steps} steps, {tried} faults");
}

/// A sync fails, and the system forgets what it did not put on the disk: later syncs succeed, and
/// do not have it. So does the one that is tried next, or not.
#[test]
fn a_failed_sync_forgets_what_was_written() {
    let work = Workload::small();
    let (mut tried, mut unknown) = (0, 0);
    for segment_bytes in [1, 2_000, 1 << 20] {
        let options = options(segment_bytes);
        let (mut image, mut done) = (None::<Image>, 0);
        while done < work.commits.len() {
            let disk = SimulatedDisk::new(image.clone().unwrap_or_default()).record();
            let clean = run_on(&disk, &options, image.as_ref(), done, None);
            let syncs = clean.moments().into_iter().filter(|moment| moment.op.starts_with("sync "));
            for moment in syncs {
                for and_after in [None, Some(2)] {
                    tried += 1;
                    let (at, kind, error) = (moment.step, Kind::Dropped, ErrorKind::Other);
                    let fault = Fault { at, kind, error, forever: false, and_after };
                    let disk = SimulatedDisk::new(image.clone().unwrap_or_default());
                    run_on(&disk, &options, image.as_ref(), done, Some(fault));
                    unknown += usize::from(
                        disk.fired().is_some_and(|op| op.contains(".jsonl")) && and_after.is_some(),
                    );
                }
            }
            image = Some(clean.image());
            done += WINDOW;
        }
    }
    println!("{tried} faults, {unknown} of the log twice");
    assert!(unknown > 20, "{unknown}");
}

/// Reading fails at any operation, and is right the next time, but for a sync that failed.
#[test]
fn reads_fail() {
    let work = Workload::small();
    let mut tried = 0;
    for (segment_bytes, every) in [(1, 1), (2_000, 1)] {
        let options = options(segment_bytes);
        let disk = SimulatedDisk::default();
        let store = create(&options, &disk).unwrap();
        let (first, second) = work.commits.split_at(work.commits.len() / 2);
        for commit in first {
            block_on(store.commit(commit)).unwrap();
        }
        block_on(store.close()).unwrap();
        let image = disk.image();
        // What another handle appends is read as well, with what is in sealed segments.
        let read = |fault| {
            let disk = SimulatedDisk::new(image.clone());
            let reader = open(&options.clone().read_only(true), &disk).unwrap();
            let writer = open(&unsealed(), &disk).unwrap();
            for commit in second {
                block_on(writer.commit(commit)).unwrap();
            }
            let disk = disk.with_fault_in(fault);
            let answer = work.expect(&reader);
            let steps = disk.steps();
            let mut again = disk.aside(|| work.expect(&reader));
            if disk.fired().is_some_and(|op| op.starts_with("sync log/")) {
                // What it could not make durable is not shown for another sync that says nothing of it.
                assert!(again.as_ref().is_err_and(|what| what.contains("Io {")), "{again:?}");
                let anew = open(&options.clone().read_only(true), &disk).unwrap();
                again = work.expect(&anew);
            }
            assert_eq!(again, Ok(work.commits.len()), "{fault:?}, {:?}", disk.fired());
            (answer, steps, disk)
        };
        let (_, steps, _) = read(None);
        for at in (1..=steps).step_by(every) {
            tried += 1;
            let (kind, error) = (Kind::Before, ErrorKind::Other);
            let fault = Fault { at, kind, error, forever: false, and_after: None };
            let (answer, _, disk) = read(Some(fault));
            match answer {
                Ok(number) if number == work.commits.len() => {}
                Err(what) if what.contains("Io {") => {}
                other => panic!("{fault:?}, {:?}: {other:?}", disk.fired()),
            }
        }
    }
    println!("{tried} faults");
}

/// Nothing is sealed.
fn unsealed() -> FsOptions {
    options(1 << 30)
}

#[test]
fn every_commit_seals_a_segment() {
    fail_anywhere(1, 17);
}

#[test]
fn some_commits_seal_a_segment() {
    fail_anywhere(2_000, 7);
}

#[test]
fn no_commit_seals_a_segment() {
    fail_anywhere(1 << 20, 7);
}
