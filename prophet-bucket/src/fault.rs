//! What can go wrong, and when it does.

use std::time::Duration;

use crate::rng::Rng;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A PUT without a condition.
    Put,
    /// A PUT that must not replace anything (`If-None-Match: *`).
    Create,
    /// A PUT that replaces what is known (`If-Match`).
    Update,
    /// A GET, of a range or of all.
    Get,
    /// A HEAD.
    Head,
    /// One page of a listing.
    List,
    /// A deletion, of up to 1,000 keys.
    Delete,
    /// A copy within the bucket.
    Copy,
    /// The beginning of an upload in parts.
    Begin,
    /// A part of an upload.
    Part,
    /// The end of an upload in parts, which makes the object.
    Complete,
    /// The end of an upload in parts, which makes nothing.
    Abort,
}

impl Kind {
    /// Whether such a request can change the bucket.
    pub fn writes(self) -> bool {
        !matches!(self, Self::Get | Self::Head | Self::List)
    }
}

/// Why a request has no good answer. The words are those of S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The connection was closed before an answer was there.
    #[error("the connection was closed before an answer came")]
    Dropped,
    /// No answer came until the client stopped waiting.
    #[error("no answer came in time")]
    TimedOut,
    /// 500.
    #[error("500 InternalError")]
    InternalError,
    /// 503.
    #[error("503 SlowDown")]
    SlowDown,
    /// 409: somebody else's request on the same key is under way. Nothing was applied.
    #[error("409 ConditionalRequestConflict")]
    Conflict,
    /// 412.
    #[error("412 PreconditionFailed")]
    PreconditionFailed,
    /// 304.
    #[error("304 NotModified")]
    NotModified,
    /// 404: no such object.
    #[error("404 NoSuchKey")]
    NoSuchKey,
    /// 404: no such bucket.
    #[error("404 NoSuchBucket")]
    NoSuchBucket,
    /// 404: no such upload in parts.
    #[error("404 NoSuchUpload")]
    NoSuchUpload,
    /// 400: a part of an upload that is not there.
    #[error("400 InvalidPart")]
    InvalidPart,
    /// 403.
    #[error("403 AccessDenied")]
    AccessDenied,
    /// 403: the clocks of client and server are too far apart.
    #[error("403 RequestTimeTooSkewed")]
    TimeTooSkewed,
    /// 501: the server does not know the header or the request.
    #[error("501 NotImplemented")]
    NotImplemented,
    /// 416.
    #[error("416 InvalidRange")]
    InvalidRange,
}

/// When a request that was delayed takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Landing {
    /// Before the request that comes so many requests later: 1 is the very next one.
    After(u64),
    /// Before one of the next so many requests. The seed says which.
    Within(u64),
    /// When the test says so: [`Bucket::land`](crate::Bucket::land).
    ByHand,
    /// Never: it was lost on the way, and the caller cannot know.
    Never,
}

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It is refused, and nothing is applied. With [`Refusal::Dropped`] or [`Refusal::TimedOut`] it
    /// never arrived.
    Refuse(Refusal),
    /// It is applied (or refused, as it deserves), and this is all that the caller hears.
    /// [`Refusal::PreconditionFailed`] is what a client hears that sent it twice.
    Lose(Refusal),
    /// The caller hears nothing until it stops waiting. The request lands later: then it is applied,
    /// or refused because of what came in between. A request that changes nothing just times out.
    Delay(Landing),
    /// The answer takes so much longer.
    Slow(Duration),
    /// A body that is read ends with an error after so many bytes. Other requests are not touched.
    Cut(usize),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    Always,
    Nth(u64),
    From(u64),
    Chance(f64),
}

/// A fault, and the requests that it strikes: all, unless told otherwise.
///
/// ```
/// use prophet_bucket::{Fault, Kind, Refusal, Rule};
///
/// // The third creation below `log/` is applied, and its answer is lost.
/// let rule = Rule::new(Fault::Lose(Refusal::Dropped)).on(Kind::Create).below("log/").nth(3);
/// # drop(rule);
/// ```
#[derive(Debug, Clone)]
pub struct Rule {
    fault: Fault,
    kinds: Vec<Kind>,
    prefix: String,
    when: When,
    left: Option<u64>,
    seen: u64,
}

impl Rule {
    /// Strikes every request.
    pub fn new(fault: Fault) -> Self {
        let (kinds, prefix) = (Vec::new(), String::new());
        Self { fault, kinds, prefix, when: When::Always, left: None, seen: 0 }
    }

    /// Strikes requests of this kind; called again, of that kind too.
    #[must_use]
    pub fn on(mut self, kind: Kind) -> Self {
        self.kinds.push(kind);
        self
    }

    /// Strikes requests whose key, or prefix of a listing, begins so.
    #[must_use]
    pub fn below(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Strikes the `n`-th of these requests only, counted from 1.
    #[must_use]
    pub fn nth(mut self, n: u64) -> Self {
        self.when = When::Nth(n);
        self
    }

    /// Strikes the `n`-th of these requests and all after it, counted from 1.
    #[must_use]
    pub fn from_nth(mut self, n: u64) -> Self {
        self.when = When::From(n);
        self
    }

    /// Strikes each of these requests with this probability.
    #[must_use]
    pub fn chance(mut self, probability: f64) -> Self {
        self.when = When::Chance(probability);
        self
    }

    /// Strikes no more than so many times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.left = Some(times);
        self
    }

    fn strikes(&mut self, kind: Kind, key: &str, rng: &mut Rng) -> bool {
        if !(self.kinds.is_empty() || self.kinds.contains(&kind)) || !key.starts_with(&self.prefix)
        {
            return false;
        }
        self.seen = self.seen.saturating_add(1);
        let strikes = match self.when {
            When::Always => true,
            When::Nth(n) => self.seen == n,
            When::From(n) => self.seen >= n,
            When::Chance(probability) => rng.chance(probability),
        };
        let strikes = strikes && self.left != Some(0);
        if strikes && let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
        }
        strikes
    }
}

/// Which faults strike which requests. Of several rules that strike, the first counts; each counts
/// its requests for itself.
///
/// ```
/// use prophet_bucket::{Fault, Kind, Plan, Refusal, Rule};
///
/// let plan = Plan::new()
///     .with(Rule::new(Fault::Refuse(Refusal::SlowDown)).chance(0.05))
///     .with(Rule::new(Fault::Lose(Refusal::TimedOut)).on(Kind::Create).nth(3));
/// # drop(plan);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Plan {
    rules: Vec<Rule>,
}

impl Plan {
    /// Nothing goes wrong.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this rule after those before.
    #[must_use]
    pub fn with(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Everything that can happen on S3 goes wrong, each fault with this probability per request:
    /// refusals, lost answers, requests that land later, bodies that break off. The caller gets
    /// through in the end if it tries again; nothing is denied.
    pub fn rough(probability: f64) -> Self {
        let mut plan = Self::new();
        for refusal in
            [Refusal::SlowDown, Refusal::InternalError, Refusal::Dropped, Refusal::TimedOut]
        {
            plan = plan.with(Rule::new(Fault::Refuse(refusal)).chance(probability));
            plan = plan.with(Rule::new(Fault::Lose(refusal)).chance(probability));
        }
        let conditional = |fault| Rule::new(fault).on(Kind::Create).on(Kind::Update);
        plan.with(conditional(Fault::Refuse(Refusal::Conflict)).chance(probability))
            .with(conditional(Fault::Lose(Refusal::PreconditionFailed)).chance(probability))
            .with(Rule::new(Fault::Delay(Landing::Within(20))).chance(probability))
            .with(Rule::new(Fault::Delay(Landing::Within(1_000))).chance(probability / 4.0))
            .with(Rule::new(Fault::Slow(Duration::from_secs(2))).chance(probability))
            .with(Rule::new(Fault::Cut(7)).on(Kind::Get).chance(probability))
    }

    pub(crate) fn strike(&mut self, kind: Kind, key: &str, rng: &mut Rng) -> Option<Fault> {
        let mut struck = None;
        for rule in &mut self.rules {
            // All of them count, struck or not.
            if rule.strikes(kind, key, rng) && struck.is_none() {
                struck = Some(rule.fault);
            }
        }
        struck
    }
}
