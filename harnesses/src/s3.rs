//! Buckets in memory, which fail as S3 may.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backend_s3::S3Options;
use futures_lite::future::{block_on, yield_now};
use object_store::ObjectStore;
use prophet_bucket::{Bucket, Fault, Outcome, Plan, Refusal, Rule, Settings, fresh_seed};
use prophet_store::{Durability, Environment, Identity, StoreError};

use crate::harness::{
    DamagedPlace, Fault as Failing, FaultWay, FaultyPlace, Harness, Place, Store, Unsynced,
};

/// Time that passes at once, and chance that a seed decides.
#[derive(Debug)]
pub struct Quick(AtomicU64);

impl Quick {
    /// The same chance for the same seed.
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Environment for Quick {
    fn now(&self) -> u64 {
        1_700_000_000_000
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        for byte in bytes {
            let seed = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
            let mixed = (seed ^ (seed >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            *byte = mixed.to_be_bytes()[0];
        }
        Ok(())
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async {
            for _ in 0..8 {
                yield_now().await;
            }
        })
    }
}

/// Options for a bucket in memory whose callers are all on one thread.
pub fn on_one_thread(seed: u64) -> S3Options {
    S3Options::new().on_caller(true).environment(Arc::new(Quick::new(seed)))
}

/// Replicas in buckets in memory, which are gone with the process: one handle at a time.
#[derive(Debug, Clone)]
pub struct S3Harness {
    options: S3Options,
    /// After so many commits there is a checkpoint, unless it is as by default.
    commits: Option<usize>,
    plan: Plan,
    /// So many of the last changes may be missing from a listing.
    lag: u64,
}

impl Default for S3Harness {
    fn default() -> Self {
        Self::new()
    }
}

impl S3Harness {
    /// As they are by default.
    pub fn new() -> Self {
        let options = S3Options::new().durability(Durability::Volatile);
        Self { options, commits: None, plan: Plan::new(), lag: 0 }
    }

    /// With a checkpoint after every so many commits; never, for 0.
    pub fn checkpoint_every(commits: usize) -> Self {
        let Self { options, plan, lag, .. } = Self::new();
        Self { options: options.checkpoint_every(commits), commits: Some(commits), plan, lag }
    }

    /// About every twelfth request fails, or its answer is lost, or it arrives late; and listings are
    /// behind.
    pub fn rough() -> Self {
        let options = on_one_thread(7).durability(Durability::Volatile).retries(12);
        let options = options.checkpoint_every(3);
        Self { options, commits: Some(3), plan: Plan::rough(0.006), lag: 4 }
    }

    /// Requests are sent by whoever asks, and not by a thread of the store's.
    #[must_use]
    pub fn on_caller(mut self) -> Self {
        self.options = self.options.on_caller(true);
        self
    }

    /// A fresh place whose bucket can be looked at.
    pub fn bucket_place(&self) -> S3Place {
        S3Place::new(self.options.clone(), self.plan.clone(), self.lag)
    }

    fn on_one_thread(&self) -> S3Options {
        let options = on_one_thread(7);
        match self.commits {
            Some(commits) => options.checkpoint_every(commits),
            None => options,
        }
    }
}

impl Harness for S3Harness {
    fn place(&self) -> Box<dyn Place> {
        Box::new(self.bucket_place())
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        Err(StoreError::not_found(address))
    }

    /// Requests that fail are not sent again, so that faults come through.
    fn faulty_place(&self) -> Option<Box<dyn FaultyPlace>> {
        Some(Box::new(S3Place::new(self.on_one_thread().retries(0), Plan::new(), 0)))
    }

    fn damaged_place(&self) -> Option<Box<dyn DamagedPlace>> {
        Some(Box::new(S3Place::new(self.on_one_thread(), Plan::new(), 0)))
    }
}

/// A bucket in memory with one replica in it.
#[derive(Debug)]
pub struct S3Place {
    options: S3Options,
    bucket: Bucket,
    /// One for all handles: a handle has what it was given to itself.
    store: Arc<dyn ObjectStore>,
    /// When it was last said what fails, how many requests there had been, and what it was.
    failing: Mutex<(u64, Option<Failing>)>,
}

impl S3Place {
    /// What is in the bucket, and what was asked of it.
    pub const fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    fn new(options: S3Options, plan: Plan, lag: u64) -> Self {
        let seed = fresh_seed().expect("there is a seed");
        let bucket = Bucket::with(Settings::plain(seed).plan(plan).lag(lag));
        let store: Arc<dyn ObjectStore> = Arc::new(bucket.store());
        Self { options, bucket, store, failing: Mutex::default() }
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    fn copy(&self) -> Box<dyn FaultyPlace> {
        let copy = Self::new(self.options.clone(), Plan::new(), 0);
        for (key, bytes) in self.bucket.contents() {
            copy.bucket.insert(&key, bytes);
        }
        Box::new(copy)
    }
}

/// A step is a request, whether it reads or writes.
impl FaultyPlace for S3Place {
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
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = (self.steps(), fault);
    }

    fn struck(&self) -> Option<String> {
        let (said, fault) = *self.failing.lock().unwrap_or_else(PoisonError::into_inner);
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

impl DamagedPlace for S3Place {
    fn parts(&self) -> Vec<String> {
        self.bucket.contents().into_keys().collect()
    }

    fn read(&self, part: &str) -> Vec<u8> {
        self.bucket.object(part).expect("the part is there").to_vec()
    }

    fn write(&self, part: &str, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bucket.insert(part, bytes.to_vec()),
            None => self.bucket.remove(part),
        }
    }

    fn make_newer(&self) {
        for part in ["bugs/prophet.json", "bugs/manifest.json"] {
            let text = String::from_utf8(self.read(part)).expect("it is JSON");
            let newer = text.replace("\"format\":1", "\"format\":2");
            self.write(part, Some(newer.as_bytes()));
        }
    }

    /// What a replica in a directory says, which somebody uploaded.
    fn put_foreign(&self) {
        self.write("bugs/prophet.json", Some(b"{\"prophet\":\"replica\",\"format\":1}"));
    }
}

impl Place for S3Place {
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
