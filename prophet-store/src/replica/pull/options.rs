//! How to pull.

use std::fmt;

use async_trait::async_trait;

use crate::error::Error;
use crate::replica::conflicts::Conflict;
use crate::value::Value;

/// A batch has so many changesets unless the puller says another number.
const BATCH_CHANGESETS: usize = 4_096;

/// How to pull; what is not said is left at what is safe: nothing is asked and nobody votes.
#[derive(Default)]
pub struct PullOptions<'a> {
    pub(super) side: Option<Side>,
    pub(super) resolver: Option<Box<dyn Resolver + 'a>>,
    pub(super) fail_on_conflict: bool,
    batch_size: Option<usize>,
    pub(super) progress: Option<Box<dyn FnMut(Progress) + Send + 'a>>,
}

/// Whose values a merger prefers where the votes at hand do not decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a pull has two sides")]
pub enum Side {
    /// What was visible here before the pull.
    Target,
    /// The best of what was not known here before the pull.
    Source,
}

/// What a [`Resolver`] says about a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "one decides, or one does not")]
pub enum Choice {
    /// This value; `None` is *absent*. For one of the candidates it is a vote, any other is
    /// written as a merge.
    Value(Option<Value>),
    /// The conflict stays open.
    LeaveOpen,
}

/// Decides about conflicts that a pull brings and the votes at hand do not decide.
///
/// It is asked after the last batch, once about each conflict, and never about one on which this
/// replica has a vote that counts. A closure from `&Conflict` to [`Choice`] is a resolver too.
#[async_trait]
pub trait Resolver: Send {
    /// Decides about a conflict; earlier votes are among what it says.
    ///
    /// # Errors
    /// What ends the pull: the changesets stay, the conflicts stay open.
    async fn resolve(&mut self, conflict: &Conflict) -> Result<Choice, Error>;
}

#[async_trait]
impl<F: FnMut(&Conflict) -> Choice + Send> Resolver for F {
    async fn resolve(&mut self, conflict: &Conflict) -> Result<Choice, Error> {
        Ok(self(conflict))
    }
}

/// How far a pull has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Changesets integrated.
    pub done: u64,
    /// Changesets that were unseen when the pull began; where an origin was forked, an estimate.
    pub total: u64,
    /// Bytes of the payloads integrated.
    pub bytes: u64,
}

impl fmt::Debug for PullOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullOptions")
            .field("side", &self.side)
            .field("fail_on_conflict", &self.fail_on_conflict)
            .field("batch_size", &self.batch_size())
            .finish_non_exhaustive()
    }
}

impl<'a> PullOptions<'a> {
    /// Conflicts that the votes at hand do not decide are left open.
    pub fn new() -> Self {
        Self::default()
    }

    /// Votes for the values of this side.
    #[must_use]
    pub fn prefer(mut self, side: Side) -> Self {
        self.side = Some(side);
        self
    }

    /// Asks about what neither the votes nor the preferred side decide.
    #[must_use]
    pub fn ask(mut self, resolver: impl FnMut(&Conflict) -> Choice + Send + 'a) -> Self {
        self.resolver = Some(Box::new(resolver));
        self
    }

    /// As [`ask`](Self::ask), of what has to wait for its answer.
    #[must_use]
    pub fn ask_later(mut self, resolver: impl Resolver + 'a) -> Self {
        self.resolver = Some(Box::new(resolver));
        self
    }

    /// Integrates nothing at all if the pull would bring a conflict that the votes do not decide.
    /// To find out, everything is gone through first, and memory grows with what there is.
    ///
    /// An edit made here while the changesets come in can still meet one of them; that conflict is
    /// left open.
    #[must_use]
    pub const fn fail_on_conflict(mut self) -> Self {
        self.fail_on_conflict = true;
        self
    }

    /// Ends a batch, which is one atomic commit, with so many changesets; 4,096 unless this is said,
    /// and at least one. It ends with 4 MiB of payload in any case.
    ///
    /// Smaller ones lose less to an interruption and tell of progress more often; larger ones write
    /// the pages that all of them touch less often.
    #[must_use]
    pub const fn batches_of(mut self, changesets: usize) -> Self {
        self.batch_size = Some(changesets);
        self
    }

    pub(super) fn batch_size(&self) -> usize {
        self.batch_size.unwrap_or(BATCH_CHANGESETS).max(1)
    }

    /// Tells after each batch how far the pull has come.
    #[must_use]
    pub fn progress(mut self, progress: impl FnMut(Progress) + Send + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }
}
