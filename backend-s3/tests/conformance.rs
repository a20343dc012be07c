//! The suite over a bucket in memory: once with all in the tail, and once with a checkpoint after
//! every commit, so that everything is read from tables and segments. And over one that fails in every
//! way that S3 may.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod common;

use std::sync::Arc;

use backend_s3::S3Options;
use conformance::{Harness, Place, Store};
use futures_lite::future::block_on;
use object_store::ObjectStore;
use prophet_bucket::{Bucket, Plan, Settings, fresh_seed};
use prophet_store::{Durability, Identity, StoreError};

/// A bucket in memory, which is gone with the process: one handle at a time.
struct MemoryHarness {
    options: S3Options,
    plan: Plan,
}

impl MemoryHarness {
    fn new(commits: usize) -> Self {
        let options = S3Options::new().durability(Durability::Volatile).checkpoint_every(commits);
        Self { options, plan: Plan::new() }
    }

    /// About every twelfth request fails, or its answer is lost, or it arrives late.
    fn rough() -> Self {
        let options = common::on_one_thread(7).durability(Durability::Volatile).retries(12);
        Self { options: options.checkpoint_every(3), plan: Plan::rough(0.006) }
    }

    fn on_caller(mut self) -> Self {
        self.options = self.options.on_caller(true);
        self
    }
}

impl Harness for MemoryHarness {
    fn place(&self) -> Box<dyn Place> {
        let seed = fresh_seed().unwrap();
        let bucket = Bucket::with(Settings::plain(seed).plan(self.plan.clone()));
        let store: Arc<dyn ObjectStore> = Arc::new(bucket.store());
        Box::new(MemoryPlace { options: self.options.clone(), store })
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        panic!("memory has no address, and so not {address}")
    }
}

struct MemoryPlace {
    options: S3Options,
    store: Arc<dyn ObjectStore>,
}

impl Place for MemoryPlace {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        let created = self.options.create_in(Arc::clone(&self.store), "bugs", identity);
        Ok(Arc::new(block_on(created)?))
    }

    fn open(&self) -> Result<Store, StoreError> {
        Ok(Arc::new(block_on(self.options.open_in(Arc::clone(&self.store), "bugs"))?))
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        let options = self.options.clone().read_only(true);
        let opened = block_on(options.open_in(Arc::clone(&self.store), "bugs"));
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
