//! The suite over a bucket in memory: once with all in the tail, and once with a checkpoint after
//! every commit, so that everything is read from tables and segments. And over one that fails in every
//! way that S3 may.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod common;

use std::sync::{Arc, Mutex};

use backend_s3::S3Options;
use conformance::{
    DamagedPlace, Fault as Failing, FaultWay, FaultyPlace, Harness, Place, Store, Unsynced,
};
use futures_lite::future::block_on;
use object_store::ObjectStore;
use prophet_bucket::{Bucket, Fault, Outcome, Plan, Refusal, Rule, Settings, fresh_seed};
use prophet_store::{Durability, Identity, StoreError};

/// A bucket in memory, which is gone with the process: one handle at a time.
struct MemoryHarness {
    options: S3Options,
    commits: usize,
    plan: Plan,
}

impl MemoryHarness {
    fn new(commits: usize) -> Self {
        let options = S3Options::new().durability(Durability::Volatile).checkpoint_every(commits);
        Self { options, commits, plan: Plan::new() }
    }

    /// About every twelfth request fails, or its answer is lost, or it arrives late.
    fn rough() -> Self {
        let options = common::on_one_thread(7).durability(Durability::Volatile).retries(12);
        Self { options: options.checkpoint_every(3), commits: 3, plan: Plan::rough(0.006) }
    }

    fn on_caller(mut self) -> Self {
        self.options = self.options.on_caller(true);
        self
    }
}

impl Harness for MemoryHarness {
    fn place(&self) -> Box<dyn Place> {
        Box::new(MemoryPlace::new(self.options.clone(), self.plan.clone()))
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        panic!("memory has no address, and so not {address}")
    }

    /// Requests that fail are not sent again, so that faults come through.
    fn faulty_place(&self) -> Option<Box<dyn FaultyPlace>> {
        let options = common::on_one_thread(7).retries(0).checkpoint_every(self.commits);
        Some(Box::new(MemoryPlace::new(options, Plan::new())))
    }

    fn damaged_place(&self) -> Option<Box<dyn DamagedPlace>> {
        let options = common::on_one_thread(7).checkpoint_every(self.commits);
        Some(Box::new(MemoryPlace::new(options, Plan::new())))
    }
}

struct MemoryPlace {
    options: S3Options,
    bucket: Bucket,
    /// One for all handles: a handle has what it was given to itself.
    store: Arc<dyn ObjectStore>,
    /// When it was last said what fails, how many requests there had been, and what it was.
    failing: Mutex<(u64, Option<Failing>)>,
}

impl MemoryPlace {
    fn new(options: S3Options, plan: Plan) -> Self {
        let bucket = Bucket::with(Settings::plain(fresh_seed().unwrap()).plan(plan));
        let store: Arc<dyn ObjectStore> = Arc::new(bucket.store());
        Self { options, bucket, store, failing: Mutex::default() }
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    fn copy(&self) -> Box<dyn FaultyPlace> {
        let copy = Self::new(self.options.clone(), Plan::new());
        for (key, bytes) in self.bucket.contents() {
            copy.bucket.insert(&key, bytes);
        }
        Box::new(copy)
    }
}

/// A step is a request, whether it reads or writes.
impl FaultyPlace for MemoryPlace {
    fn steps(&self) -> u64 {
        self.bucket.events().last().map_or(0, |event| event.request)
    }

    fn fail(&self, fault: Option<Failing>) {
        let mut plan = Plan::new();
        if let Some(Failing { after, way, lasting }) = fault {
            // Of an object there is no half; of the answer there is.
            let first = match way {
                FaultWay::Undone => Fault::Refuse(Refusal::InternalError),
                FaultWay::Half => Fault::Lose(Refusal::InternalError),
                FaultWay::Done => Fault::Lose(Refusal::TimedOut),
            };
            plan = plan.with(Rule::new(first).nth(after + 1));
            if lasting {
                plan = plan.with(Rule::new(Fault::Refuse(Refusal::Dropped)).from_nth(after + 2));
            }
        }
        self.bucket.plan(plan);
        *self.failing.lock().unwrap() = (self.steps(), fault);
    }

    fn struck(&self) -> Option<String> {
        let (said, fault) = *self.failing.lock().unwrap();
        let at = said + fault?.after + 1;
        let event = self.bucket.events().into_iter().find(|event| event.request == at)?;
        (event.outcome != Outcome::Done).then(|| event.to_string())
    }

    fn after_crash(&self) -> Box<dyn FaultyPlace> {
        self.copy()
    }

    /// What a bucket has said to have, it has.
    fn after_power_loss(&self, _: Unsynced) -> Option<Box<dyn FaultyPlace>> {
        Some(self.copy())
    }
}

impl DamagedPlace for MemoryPlace {
    fn parts(&self) -> Vec<String> {
        self.bucket.contents().into_keys().collect()
    }

    fn read(&self, part: &str) -> Vec<u8> {
        self.bucket.object(part).unwrap().to_vec()
    }

    fn write(&self, part: &str, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bucket.insert(part, bytes.to_vec()),
            None => self.bucket.remove(part),
        }
    }

    fn make_newer(&self) {
        for part in ["bugs/prophet.json", "bugs/manifest.json"] {
            let text = String::from_utf8(self.read(part)).unwrap();
            let newer = text.replace("\"format\":1", "\"format\":2");
            self.write(part, Some(newer.as_bytes()));
        }
    }

    /// What a replica in a directory says, which somebody uploaded.
    fn put_foreign(&self) {
        self.write("bugs/prophet.json", Some(b"{\"prophet\":\"replica\",\"format\":1}"));
    }
}

impl Place for MemoryPlace {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        let created = self.options.create_in(self.store(), "bugs", identity);
        Ok(Arc::new(block_on(created)?))
    }

    fn open(&self) -> Result<Store, StoreError> {
        Ok(Arc::new(block_on(self.options.open_in(self.store(), "bugs"))?))
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        let options = self.options.clone().read_only(true);
        let opened = block_on(options.open_in(self.store(), "bugs"));
        Some(opened.map(|store| Arc::new(store) as Store))
    }

    fn address(&self) -> Option<String> {
        None
    }
}

conformance::suite!(tail, MemoryHarness::new(0), without = [address, several_processes]);
conformance::suite!(
    derived,
    MemoryHarness::new(1).on_caller(),
    without = [address, several_processes]
);
conformance::suite!(threads, MemoryHarness::new(2), without = [address, several_processes]);
conformance::suite!(rough, MemoryHarness::rough(), without = [address, several_processes]);
conformance::invariants!(invariants, MemoryHarness::new(3).on_caller());
