//! The bucket: what it holds, what goes wrong with it, and what came of every request.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::clock::{Clock, Time};
use crate::fault::{Fault, Kind, Landing, Plan, Refusal};
use crate::requests::Requests;
use crate::rng::Rng;
use crate::state::{Condition, Manner, Reply, Request, State, date};
use crate::store::BucketStore;

/// What a bucket makes of conditions on writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Conditions {
    /// They hold, whoever races. This is S3.
    Kept,
    /// They are not looked at: the second creation is accepted too. rclone and Garage do so.
    Ignored,
    /// They are looked at, and so long afterwards the object is written: in sequence all is well,
    /// but of writers that race several win. s3s-fs does so.
    LostInRaces(Duration),
    /// They are answered with 501, as some older servers do.
    NotImplemented,
}

/// In what order listings come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// In none that means anything. It is always the same one, so that pages fit together.
    Shuffled,
    /// By the bytes of the keys, as S3 does.
    Bytewise,
    /// Folder by folder: `a/1` before `a-b`. SeaweedFS does so.
    ByFolder,
}

/// How a bucket behaves, apart from the faults of a [`Plan`].
#[derive(Debug, Clone)]
pub struct Settings {
    seed: u64,
    plan: Plan,
    conditions: Conditions,
    order: Order,
    page: usize,
    short: bool,
    lag: u64,
    time: Time,
    latency: (Duration, Duration),
    timeout: Duration,
    abandoned: f64,
}

impl Settings {
    /// As strict as can be while keeping what S3 promises: unordered listings in pages of any length,
    /// callers served in an order of the seed's choosing, and writes that were given up may land.
    /// Nothing fails until there is a plan.
    pub fn strict(seed: u64) -> Self {
        Self {
            seed,
            plan: Plan::new(),
            conditions: Conditions::Kept,
            order: Order::Shuffled,
            page: 1_000,
            short: true,
            lag: 0,
            time: Time::Virtual,
            latency: (Duration::from_millis(1), Duration::from_millis(50)),
            timeout: Duration::from_secs(30),
            abandoned: 0.5,
        }
    }

    /// As S3 on a good day: sorted listings in full pages, no latency.
    pub fn plain(seed: u64) -> Self {
        Self {
            order: Order::Bytewise,
            short: false,
            latency: (Duration::ZERO, Duration::ZERO),
            abandoned: 0.0,
            ..Self::strict(seed)
        }
    }

    /// What goes wrong.
    #[must_use]
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plan = plan;
        self
    }

    /// What becomes of conditions on writes. They are kept, unless this says otherwise.
    #[must_use]
    pub fn conditions(mut self, conditions: Conditions) -> Self {
        self.conditions = conditions;
        self
    }

    /// In what order listings come.
    #[must_use]
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// How long pages of listings are at most, and whether they are often shorter, or empty.
    #[must_use]
    pub fn pages(mut self, at_most: usize, short: bool) -> Self {
        (self.page, self.short) = (at_most.max(1), short);
        self
    }

    /// Each of the last so many changes may be missing from a listing. S3 has no such lag, hence 0;
    /// other stores and caches do.
    #[must_use]
    pub fn lag(mut self, changes: u64) -> Self {
        self.lag = changes;
        self
    }

    /// Which time it is that requests take.
    #[must_use]
    pub fn time(mut self, time: Time) -> Self {
        self.time = time;
        self
    }

    /// How long each way takes, there and back, at least and at most.
    #[must_use]
    pub fn latency(mut self, least: Duration, most: Duration) -> Self {
        self.latency = (least, most.max(least));
        self
    }

    /// After what time callers stop waiting for an answer. Clients over HTTP have their own.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How likely it is that a write lands all the same whose future was dropped before it was
    /// applied.
    #[must_use]
    pub fn abandoned(mut self, probability: f64) -> Self {
        self.abandoned = probability;
        self
    }
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It was done, and the caller was told.
    Done,
    /// It was refused, and the caller was told.
    Refused(Refusal),
    /// It was done, and the caller was told something else.
    Lost(Refusal),
    /// It was refused with the first, and the caller was told the second.
    RefusedAndLost(Refusal, Refusal),
    /// It is under way, and the caller gave up.
    Delayed,
    /// It landed after the caller had given up.
    Landed,
    /// It arrived after the caller had given up, and was refused.
    LandedRefused(Refusal),
    /// The caller dropped the future before anything was applied.
    Abandoned,
    /// The caller dropped the future when it was applied already.
    AbandonedDone,
}

impl Outcome {
    /// Whether the bucket did what was asked.
    pub fn applied(self) -> bool {
        matches!(self, Self::Done | Self::Lost(_) | Self::Landed | Self::AbandonedDone)
    }
}

/// Something that happened, in the order in which it did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The number of the request, from 1. One that lands late has two events.
    pub request: u64,
    /// What was asked.
    pub kind: Kind,
    /// The key, the prefix of a listing, or the first of several keys.
    pub key: String,
    /// What came of it.
    pub outcome: Outcome,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}: {:?}", self.request, self.kind, self.key, self.outcome)
    }
}

/// Older events are forgotten.
const EVENTS: usize = 100_000;

/// How many are shown when a test fails.
const SHOWN: usize = 30;

#[derive(Debug)]
struct Delayed {
    number: u64,
    request: Request,
    /// Before which request it lands; by hand, if there is none.
    before: Option<u64>,
}

#[derive(Debug)]
struct Inside {
    settings: Settings,
    rng: Rng,
    state: State,
    requests: Requests,
    number: u64,
    events: VecDeque<Event>,
    delayed: Vec<Delayed>,
}

impl Inside {
    fn note(&mut self, request: u64, kind: Kind, key: &str, outcome: Outcome) {
        if self.events.len() >= EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(Event { request, kind, key: key.to_owned(), outcome });
    }

    fn manner(&mut self, now: Duration) -> (&mut State, Manner<'_>) {
        let Settings { seed, order, page, short, lag, .. } = self.settings;
        let manner = Manner { seed, order, page, short, lag, now: date(now), rng: &mut self.rng };
        (&mut self.state, manner)
    }

    fn apply(&mut self, request: &Request, now: Duration) -> Result<Reply, Refusal> {
        let (state, mut manner) = self.manner(now);
        state.apply(request, &mut manner)
    }

    fn check_and_apply(&mut self, request: &Request, now: Duration) -> Result<Reply, Refusal> {
        self.state.check(request, self.settings.conditions)?;
        self.apply(request, now)
    }

    fn land(&mut self, delayed: &Delayed, now: Duration) {
        let outcome = match self.check_and_apply(&delayed.request, now) {
            Ok(_) => Outcome::Landed,
            Err(refusal) => Outcome::LandedRefused(refusal),
        };
        self.note(delayed.number, delayed.request.kind(), delayed.request.key(), outcome);
    }

    fn delay(&mut self, number: u64, request: &Request, landing: Landing) {
        let before = match landing {
            Landing::After(requests) => Some(self.number.saturating_add(requests.max(1))),
            Landing::Within(requests) => {
                let later = self.rng.up_to(requests.saturating_sub(1)).saturating_add(1);
                Some(self.number.saturating_add(later))
            }
            Landing::ByHand => None,
            Landing::Never => return,
        };
        if request.kind().writes() {
            self.delayed.push(Delayed { number, request: request.clone(), before });
        }
    }

    fn drawn(&mut self) -> Duration {
        let (least, most) = self.settings.latency;
        let spread = u64::try_from(most.saturating_sub(least).as_nanos()).unwrap_or(u64::MAX);
        least.saturating_add(Duration::from_nanos(self.rng.up_to(spread)))
    }
}

#[derive(Debug)]
struct Shared {
    inside: Mutex<Inside>,
    clock: Clock,
    told: AtomicBool,
    seed: u64,
}

/// A bucket in memory, that behaves as its [`Settings`] say and fails as its [`Plan`] says. Clones
/// are the same bucket. What a test looks at here, and does here, is no request: it is not counted,
/// and nothing goes wrong with it.
///
/// If a test fails while it has one, the seed and what happened last are printed.
///
/// ```
/// # use futures_lite::future::block_on;
/// use object_store::{Error, ObjectStoreExt as _, PutMode, ObjectStore as _, path::Path};
/// use prophet_bucket::{Bucket, Fault, Kind, Plan, Refusal, Rule};
///
/// # block_on(async {
/// let bucket = Bucket::new(7);
/// let lost = Rule::new(Fault::Lose(Refusal::Dropped)).on(Kind::Create).nth(1);
/// bucket.plan(Plan::new().with(lost));
///
/// let (store, path) = (bucket.store(), Path::from("log/1"));
/// let put = store.put_opts(&path, "mine".into(), PutMode::Create.into()).await;
/// assert!(matches!(put, Err(Error::Generic { .. })), "nobody knows what became of it");
/// let put = store.put_opts(&path, "mine".into(), PutMode::Create.into()).await;
/// assert!(matches!(put, Err(Error::AlreadyExists { .. })), "although it is ours");
/// assert_eq!(bucket.object("log/1").unwrap(), "mine");
/// # });
/// ```
#[derive(Debug)]
pub struct Bucket {
    shared: Arc<Shared>,
}

impl Clone for Bucket {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.shared.told.swap(true, Ordering::Relaxed) {
            eprintln!("{}", self.explain());
        }
    }
}

/// A flight is over when it has arrived; one that is dropped before may arrive all the same.
struct Flight<'a> {
    bucket: &'a Bucket,
    number: u64,
    request: &'a Request,
    arrived: bool,
    over: bool,
    /// When it lands, if it is given up.
    landing: Landing,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut inside = self.bucket.lock();
        let outcome = match self.arrived {
            true => Outcome::AbandonedDone,
            false => Outcome::Abandoned,
        };
        inside.note(self.number, self.request.kind(), self.request.key(), outcome);
        if !self.arrived {
            inside.delay(self.number, self.request, self.landing);
        }
    }
}

impl Bucket {
    /// An empty one, with [`Settings::strict`].
    pub fn new(seed: u64) -> Self {
        Self::with(Settings::strict(seed))
    }

    /// An empty one.
    pub fn with(settings: Settings) -> Self {
        let seed = settings.seed;
        let inside = Inside {
            rng: Rng::new(seed),
            state: State::default(),
            requests: Requests::default(),
            number: 0,
            events: VecDeque::new(),
            delayed: Vec::new(),
            settings,
        };
        let (inside, clock) = (Mutex::new(inside), Clock::default());
        Self { shared: Arc::new(Shared { inside, clock, told: AtomicBool::new(false), seed }) }
    }

    /// A caller of it: each stands for a process of its own.
    pub fn store(&self) -> BucketStore {
        BucketStore::new(self.clone())
    }

    /// What chance goes by.
    pub fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// What goes wrong from now on.
    pub fn plan(&self, plan: Plan) {
        self.lock().settings.plan = plan;
    }

    /// What becomes of conditions from now on.
    pub fn conditions(&self, conditions: Conditions) {
        self.lock().settings.conditions = conditions;
    }

    /// What was asked so far.
    pub fn requests(&self) -> Requests {
        self.lock().requests.clone()
    }

    /// What happened so far: the last 100,000 events.
    pub fn events(&self) -> Vec<Event> {
        self.lock().events.iter().cloned().collect()
    }

    /// How much time has passed, in the bucket's time.
    pub fn elapsed(&self) -> Duration {
        self.shared.clock.now()
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.shared.clock.advance(by);
    }

    /// The seed, and what happened last.
    pub fn explain(&self) -> String {
        let inside = self.lock();
        let mut text = format!("the bucket's seed was {}; what happened last:\n", self.seed());
        for event in inside.events.iter().skip(inside.events.len().saturating_sub(SHOWN)) {
            text += &format!("  {event}\n");
        }
        text
    }

    /// Everything there is.
    pub fn contents(&self) -> BTreeMap<String, Bytes> {
        let inside = self.lock();
        let objects = inside.state.objects();
        objects.map(|(key, object)| (key.clone(), object.bytes.clone())).collect()
    }

    /// What is there under a key.
    pub fn object(&self, key: &str) -> Option<Bytes> {
        self.lock().state.object(key).map(|object| object.bytes.clone())
    }

    /// Puts something there behind everybody's back.
    pub fn insert(&self, key: &str, bytes: impl Into<Bytes>) {
        let now = self.elapsed();
        let mut inside = self.lock();
        let (state, manner) = inside.manner(now);
        state.insert(key, bytes.into(), object_store::Attributes::new(), &manner);
    }

    /// Removes something behind everybody's back.
    pub fn remove(&self, key: &str) {
        let now = self.elapsed();
        let mut inside = self.lock();
        let (state, manner) = inside.manner(now);
        state.remove(key, &manner);
    }

    /// How many requests are under way whose callers have given up.
    pub fn delayed(&self) -> usize {
        self.lock().delayed.len()
    }

    /// Lets all requests land whose callers have given up, in the order in which they were made.
    pub fn land(&self) {
        let now = self.elapsed();
        let mut inside = self.lock();
        for delayed in std::mem::take(&mut inside.delayed) {
            inside.land(&delayed, now);
        }
    }

    /// From now on listings show what is there now, whatever changes. S3 does no such thing.
    pub fn freeze_listings(&self) {
        self.lock().state.freeze(true);
    }

    /// Listings show what is there again.
    pub fn thaw_listings(&self) {
        self.lock().state.freeze(false);
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.lock().settings.timeout
    }

    pub(crate) async fn wait(&self, duration: Duration) {
        let time = self.lock().settings.time;
        self.shared.clock.wait(time, duration).await;
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.shared.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request, and comes back with what the caller gets to hear.
    pub(crate) async fn exchange(&self, request: Request) -> Result<Reply, Refusal> {
        let kind = request.kind();
        let now = self.elapsed();
        let (number, fault, there, back, landing, conditions) = {
            let mut inside = self.lock();
            inside.number = inside.number.saturating_add(1);
            let number = inside.number;
            let is_due = |it: &mut Delayed| it.before.is_some_and(|before| before <= number);
            let due: Vec<_> = inside.delayed.extract_if(.., is_due).collect();
            for delayed in due {
                inside.land(&delayed, now);
            }
            inside.requests.came(kind, request.named(), request.content());
            let Inside { settings, rng, .. } = &mut *inside;
            let fault = settings.plan.strike(kind, request.key(), rng);
            let lands = rng.chance(settings.abandoned);
            let landing = if lands { Landing::Within(20) } else { Landing::Never };
            let (there, back) = (inside.drawn(), inside.drawn());
            (number, fault, there, back, landing, inside.settings.conditions)
        };
        // What a racing condition was found to be stays so.
        let mut decided = request.clone();
        let mut flight = Flight {
            bucket: self,
            number,
            request: &request,
            arrived: false,
            over: false,
            landing,
        };
        self.wait(there).await;

        let outcome = match fault {
            Some(Fault::Refuse(refusal)) => Err((Outcome::Refused(refusal), refusal)),
            Some(Fault::Delay(landing)) => {
                self.lock().delay(number, flight.request, landing);
                Err((Outcome::Delayed, Refusal::TimedOut))
            }
            _ => Ok(()),
        };
        if let Err((outcome, refusal)) = outcome {
            flight.over = true;
            self.lock().note(number, kind, flight.request.key(), outcome);
            if !matches!(refusal, Refusal::Dropped | Refusal::TimedOut) {
                self.wait(back).await;
            }
            return Err(refusal);
        }

        let result = match (conditions, decided.condition()) {
            (Conditions::LostInRaces(window), Some(condition)) => {
                let checked = self.lock().state.check(flight.request, conditions);
                *condition = Condition::None;
                match checked {
                    Ok(()) => {
                        self.wait(window).await;
                        let now = self.elapsed();
                        self.lock().apply(&decided, now)
                    }
                    Err(refusal) => Err(refusal),
                }
            }
            _ => {
                let now = self.elapsed();
                self.lock().check_and_apply(flight.request, now)
            }
        };
        flight.arrived = result.is_ok();
        if let Ok(reply) = &result {
            self.lock().requests.went(kind, reply.listed(), reply.content());
        }
        self.wait(back).await;
        if let Some(Fault::Slow(more)) = fault {
            self.wait(more).await;
        }

        let (outcome, told) = match (result, fault) {
            (Ok(_), Some(Fault::Lose(told))) => (Outcome::Lost(told), Err(told)),
            (Err(refusal), Some(Fault::Lose(told))) => {
                (Outcome::RefusedAndLost(refusal, told), Err(told))
            }
            (Ok(Reply::Found(mut found)), Some(Fault::Cut(after))) if after < found.bytes.len() => {
                found.cut = Some(after);
                (Outcome::Lost(Refusal::Dropped), Ok(Reply::Found(found)))
            }
            (Ok(reply), _) => (Outcome::Done, Ok(reply)),
            (Err(refusal), _) => (Outcome::Refused(refusal), Err(refusal)),
        };
        flight.over = true;
        self.lock().note(number, kind, flight.request.key(), outcome);
        told
    }
}
