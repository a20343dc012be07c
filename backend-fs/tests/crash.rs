//! The power goes, or the process dies, before any operation: nothing that was acknowledged is
//! lost, and nothing is there in part.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::collections::HashSet;

use backend_fs::FsOptions;
use backend_fs::simulated::{Image, Loss, SimulatedDisk};
use futures_lite::future::block_on;
use prophet_store::{ReplicaStore as _, StoreError};
use support::{Random, Workload, cases, create, open, options};

/// What is on the disk while the workload is committed, with a reopen in the middle.
fn run(options: &FsOptions) -> SimulatedDisk {
    let work = Workload::get();
    let disk = SimulatedDisk::default().record();
    let mut store = create(options, &disk).unwrap();
    // From now on the replica is there.
    disk.settle(1);
    for (number, commit) in work.commits.iter().enumerate() {
        if number == work.commits.len() / 2 {
            block_on(store.close()).unwrap();
            store = open(options, &disk).unwrap();
        }
        disk.hand_over(commit);
        assert_eq!(block_on(store.commit(commit)).unwrap(), commit.head());
        disk.settle(number + 2);
    }
    block_on(store.close()).unwrap();
    drop(store);
    disk
}

struct Case<'a> {
    options: &'a FsOptions,
    /// One more than commits acknowledged; 0 if the replica was still being made.
    noted: usize,
    what: String,
    audit: bool,
}

impl Case<'_> {
    fn fail(&self, what: impl std::fmt::Display) -> ! {
        panic!("{}: {what}", self.what)
    }

    /// Opens what a crash left, and goes on. Gives the disk, with what opening did recorded.
    fn recovers(&self, image: &Image) -> SimulatedDisk {
        let work = Workload::get();
        let disk = SimulatedDisk::new(image.clone()).record();
        let store = match (open(self.options, &disk), self.noted) {
            (Ok(store), _) => store,
            (Err(StoreError::NotFound { .. }), 0) => match create(self.options, &disk) {
                Ok(store) => store,
                Err(error) => self.fail(format_args!("creating it again: {error:?}")),
            },
            (Err(error), _) => self.fail(format_args!("opening: {error:?}")),
        };
        let number = match work.expect_sound(&store, self.audit) {
            Ok(number) => number,
            Err(what) => self.fail(what),
        };
        let least = self.noted.saturating_sub(1);
        if !(least..=least + 1).contains(&number) {
            self.fail(format_args!("{number} commits are there, {least} were acknowledged"));
        }
        // It is written after what it is of became durable.
        let told = image.tree().get("manifest.json").map(|manifest| {
            let manifest: serde_json::Value = serde_json::from_slice(manifest).unwrap();
            manifest["version"].as_u64().unwrap()
        });
        if told.is_some_and(|told| told > number as u64) {
            self.fail(format_args!("the manifest tells of {told:?} commits, {number} are there"));
        }
        let recovery = SimulatedDisk::clone(&disk);
        let Some(commit) = work.commits.get(number) else { return recovery };
        match block_on(store.commit(commit)) {
            Ok(head) if head == commit.head() => {}
            other => self.fail(format_args!("the next commit: {other:?}")),
        }
        // What is acknowledged now is there, whatever was only in the cache of the system before.
        for loss in [Loss::Least, Loss::Most] {
            let lost = SimulatedDisk::new(disk.image().after_power_loss(loss));
            match open(self.options, &lost).map(|store| work.glance(&store)) {
                Ok(Ok(found)) if found == number + 1 => {}
                other => self.fail(format_args!("after the next commit: {other:?}")),
            }
        }
        recovery
    }
}

/// All that a crash at one moment may leave.
fn images(image: &Image, random: &mut Random, sampled: usize) -> Vec<(String, Image)> {
    let mut images = vec![
        ("the process was killed".to_owned(), image.clone()),
        ("all survived".to_owned(), image.after_power_loss(Loss::Most)),
        ("only what was durable survived".to_owned(), image.after_power_loss(Loss::Least)),
    ];
    for number in 0..sampled {
        let loss = Loss::Some(random.next());
        images.push((format!("sample {number}"), image.after_power_loss(loss)));
    }
    images
}

fn crash_anywhere(segment_bytes: u64, sampled: usize, again: usize) {
    let options = options(segment_bytes);
    let disk = run(&options);
    let mut random = Random::new(segment_bytes);
    let mut met = HashSet::new();
    let (mut tried, mut recoveries) = (0_usize, 0_usize);
    let moments = disk.moments();
    for moment in &moments {
        for (how, image) in images(&moment.image, &mut random, sampled) {
            let killed = how.starts_with("the process");
            if !killed && !met.insert((moment.noted, image.fingerprint())) {
                continue;
            }
            tried += 1;
            let what = format!("before step {}, {}, {how}", moment.step, moment.op);
            let audit = tried % 8 == 0;
            let case = Case { options: &options, noted: moment.noted, what, audit };
            let recovery = case.recovers(&image);
            if random.below(100) >= again {
                continue;
            }
            // The recovery, and the commit after it, crash as well.
            for second in recovery.moments() {
                if random.below(4) > 0 {
                    continue;
                }
                for (how, image) in images(&second.image, &mut random, 1) {
                    recoveries += 1;
                    let what = format!("{}; again before {}, {how}", case.what, second.op);
                    recovers_to(&options, moment.noted, &image, &what);
                }
            }
        }
    }
    println!(
        "{} steps, {} of them changes; {tried} images; {recoveries} images of interrupted recoveries",
        disk.steps(),
        moments.len() - 1
    );
}

/// As [`Case::recovers`], where one commit more may have been made.
fn recovers_to(options: &FsOptions, noted: usize, image: &Image, what: &str) {
    let disk = SimulatedDisk::new(image.clone());
    match open(options, &disk) {
        Ok(store) => match Workload::get().glance(&store) {
            Ok(number) if number + 1 >= noted && number <= noted + 1 => {}
            other => panic!("{what}: {other:?}, {noted} noted"),
        },
        Err(StoreError::NotFound { .. }) if noted == 0 => drop(create(options, &disk).unwrap()),
        Err(error) => panic!("{what}: {error:?}"),
    }
}

#[test]
fn every_commit_seals_a_segment() {
    crash_anywhere(1, cases(1), 2);
}

#[test]
fn some_commits_seal_a_segment() {
    crash_anywhere(2_000, cases(3), 4);
}

#[test]
fn no_commit_seals_a_segment() {
    crash_anywhere(1 << 20, cases(12), 12);
}
