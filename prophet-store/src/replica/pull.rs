//! Pulling: taking in what another replica has and this one lacks.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_lite::StreamExt as _;
use futures_lite::future::zip;

use crate::changeset::Changeset;
use crate::error::{Error, MissingBasis};
use crate::ext::entry_at;
use crate::id::{Digest, Position, ReplicaId};
use crate::record::{Existence, RecordState};
use crate::register::{Register, RegisterName};
use crate::replica::batch::Batch;
use crate::replica::conflicts::{Conflict, is_hidden, is_open};
use crate::replica::lineage::{Lineage, lineage};
use crate::replica::metadata::{CONTESTED, UNSETTLED};
use crate::replica::receive::{Fork, Received, receive};
use crate::replica::resolve::{best_of, has_voted};
use crate::replica::seen::{Seen, seen};
use crate::replica::{AsOf, Replica, ReplicaOptions};
use crate::source::{ChangesetSource, Offer};
use crate::store::{MetadataKey, ReplicaStore};
use crate::value::Value;
use crate::vector::{Tip, VersionVector};

/// A batch, which is one atomic commit, ends with as many changesets or bytes as this.
const BATCH_CHANGESETS: usize = 1_000;
const BATCH_BYTES: usize = 4 << 20;
/// So many changesets may a source give beyond twice what it announced.
const REPEATED: u64 = 10_000;
/// So many conflicts are decided in one commit at most.
const DECISIONS: usize = 256;

/// How to pull; what is not said is left at what is safe: nothing is asked and nobody votes.
#[derive(Default)]
pub struct PullOptions<'a> {
    side: Option<Side>,
    resolver: Option<Box<dyn Resolver + 'a>>,
    fail_on_conflict: bool,
    progress: Option<Box<dyn FnMut(Progress) + Send + 'a>>,
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

/// What a pull did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PullReport {
    /// The replica that was pulled from.
    pub source: ReplicaId,
    /// Where it is.
    pub place: String,
    /// Changesets integrated.
    pub integrated: u64,
    /// Changesets that the source gave although they were here already.
    pub already_seen: u64,
    /// Bytes of the payloads integrated.
    pub bytes: u64,
    /// Conflicts that the pull brought: the sum of the next three.
    pub conflicts: u64,
    /// Those that a majority of votes decides.
    pub by_majority: u64,
    /// Those that were decided because the merger asked for it: by a side or by a resolver.
    pub by_policy: u64,
    /// Those left open.
    pub open: u64,
    /// Replicas that were found to have been copied and written to on both sides.
    pub forks: Vec<Fork>,
}

impl PullReport {
    fn of(offer: &Offer) -> Self {
        Self {
            source: offer.replica,
            place: offer.place.clone(),
            integrated: 0,
            already_seen: 0,
            bytes: 0,
            conflicts: 0,
            by_majority: 0,
            by_policy: 0,
            open: 0,
            forks: Vec::new(),
        }
    }

    fn add(&mut self, received: Received) {
        self.integrated += received.integrated;
        self.already_seen += received.seen;
        self.bytes += received.bytes;
        self.forks.extend(received.forks);
    }
}

/// In a sentence or a few, for people.
impl fmt::Display for PullReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, integrated, conflicts, by_majority, by_policy, open, .. } = self;
        match integrated {
            0 => write!(f, "nothing new from {place}")?,
            1 => write!(f, "1 changeset from {place}")?,
            _ => write!(f, "{integrated} changesets from {place}")?,
        }
        if *conflicts > 0 {
            let plural = if *conflicts == 1 { "" } else { "s" };
            write!(
                f,
                "; {conflicts} conflict{plural}: {by_majority} settled by majority, {by_policy} \
                 decided here, {open} left open"
            )?;
        }
        self.forks.iter().try_for_each(|fork| write!(f, "; {fork}"))
    }
}

impl fmt::Debug for PullOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullOptions")
            .field("side", &self.side)
            .field("fail_on_conflict", &self.fail_on_conflict)
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

    /// Tells after each batch how far the pull has come.
    #[must_use]
    pub fn progress(mut self, progress: impl FnMut(Progress) + Send + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }
}

/// What there is to pull.
struct Plan {
    announced: VersionVector,
    /// The tips of the source that are not here.
    lacking: HashSet<Digest>,
    known: VersionVector,
    total: u64,
}

impl Replica {
    /// Takes in all that `source` has and this replica has not.
    ///
    /// Changesets come in batches, each one atomic commit, so that a pull that was interrupted (its
    /// future dropped, the source gone, the process killed) leaves a sound replica, and the next
    /// one goes on where it stopped. Pulling again what is here changes nothing.
    ///
    /// # Errors
    /// A source of another database, and this very replica. A bundle whose basis is not here. What
    /// the source says. A source that gives something that cannot be is refused at the first such
    /// changeset: what came before it is kept, and nothing after it is taken in. With
    /// [`fail_on_conflict`](PullOptions::fail_on_conflict), the conflicts.
    pub async fn pull(
        &self,
        source: &dyn ChangesetSource,
        mut options: PullOptions<'_>,
    ) -> Result<PullReport, Error> {
        let offer = source.offer().await?;
        let mut report = PullReport::of(&offer);
        let before = self.before(&offer).await?;
        let start = before.unsettled.unwrap_or(before.at.position);
        let mut contested = before.unsettled.is_some();
        if let Some(plan) = self.plan(source, &offer, &before).await? {
            if options.fail_on_conflict {
                let refused = self.refuse_conflicts(source, &offer, &plan).await;
                refused.map_err(Error::and_nothing_is_kept)?;
            }
            let mut changesets = Chunks::of(source, &offer, &plan);
            let mut next = changesets.next().await;
            while let Some(chunk) = next.take() {
                // While the store commits one batch, the next one is read.
                let integrated = self.integrate(&chunk, start);
                let (received, following) = zip(integrated, changesets.next()).await;
                next = following;
                let received = received?;
                contested |= received.contested;
                let refused = received.refused.clone();
                report.add(received);
                if let Some((changeset, why)) = refused {
                    return Err(Error::bad_changeset(&offer.place, changeset, why));
                }
                if let Some(progress) = &mut options.progress {
                    let (done, bytes) = (report.integrated, report.bytes);
                    let all = next.is_none() && changesets.has_all();
                    let total = if all { done } else { plan.total.max(done) };
                    progress(Progress { done, total, bytes });
                }
            }
            changesets.failure.map_or(Ok(()), Err)?;
            self.expect_tips(&offer, &plan.announced).await?;
        }
        if contested {
            self.settle(start, options, &mut report).await?;
        }
        Ok(report)
    }

    /// Gives `target` all that this replica has and it has not: a [`pull`](Self::pull) from the
    /// other side. What the options say is done at the target.
    ///
    /// # Errors
    /// As for [`pull`](Self::pull).
    pub async fn push(&self, target: &Self, options: PullOptions<'_>) -> Result<PullReport, Error> {
        target.pull(self, options).await
    }

    /// Makes a new replica of the database that `source` has, in `store`, which is empty and of
    /// that database: `Identity::new_replica(database)`. If it is interrupted,
    /// [`pull`](Self::pull) goes on.
    ///
    /// # Errors
    /// As for [`pull`](Self::pull); a store that is not empty.
    pub async fn clone_of(
        store: impl ReplicaStore,
        source: &dyn ChangesetSource,
    ) -> Result<Self, Error> {
        Self::options().clone_of(store, source).await
    }

    /// Where the replica is before it pulls from a source that it may pull from.
    async fn before(&self, offer: &Offer) -> Result<Seen, Error> {
        let store = &*self.inner.store;
        let facts = store.facts();
        let ours = facts.identity.database;
        if offer.database != ours {
            let (theirs, place) = (offer.database, offer.place.clone());
            return Err(Error::OtherDatabase { ours, theirs, place });
        }
        let before = seen(store).await?;
        if offer.replica == before.lineage.author && offer.head == Some(before.at) {
            return Err(Error::PullFromItself { place: offer.place.clone() });
        }
        Ok(before)
    }

    /// What there is to pull, unless there is nothing.
    async fn plan(
        &self,
        source: &dyn ChangesetSource,
        offer: &Offer,
        before: &Seen,
    ) -> Result<Option<Plan>, Error> {
        if offer.seen == before.vector.digest() {
            return Ok(None);
        }
        let announced = source.vector().await?;
        let missing = self.lacking(&before.vector, &offer.basis).await?;
        if !missing.is_empty() {
            let missing = missing.iter().map(|(origin, tip)| MissingBasis {
                origin: *origin,
                here: before.vector.of(*origin).last().map(|tip| tip.sequence),
                needed: *tip,
            });
            let (place, missing) = (offer.place.clone(), missing.collect());
            return Err(Error::BasisMissing { place, missing });
        }
        let lacking = self.lacking(&before.vector, &announced).await?;
        if lacking.is_empty() {
            return Ok(None);
        }
        let (mut known, mut total) = (VersionVector::new(), 0);
        for (origin, tips) in announced.tips() {
            let lacks = |tip: &&Tip| lacking.contains(&(origin, **tip));
            for tip in tips.iter().filter(|tip| !lacks(tip)) {
                known.put(origin, *tip);
            }
            let here = before.vector.of(origin);
            for tip in tips.iter().filter(lacks) {
                here.iter().for_each(|tip| known.put(origin, *tip));
                let earlier = here.iter().map(|here| here.sequence.get());
                let earlier = earlier.filter(|here| *here < tip.sequence.get()).max();
                total += tip.sequence.get() - earlier.unwrap_or(0);
            }
        }
        let lacking = lacking.into_iter().map(|(_, tip)| tip.digest).collect();
        Ok(Some(Plan { announced, lacking, known, total }))
    }

    /// The tips of `vector` that are not in the log, which has seen `here`.
    async fn lacking(
        &self,
        here: &VersionVector,
        vector: &VersionVector,
    ) -> Result<Vec<(ReplicaId, Tip)>, Error> {
        let tips =
            vector.tips().flat_map(|(origin, tips)| tips.iter().map(move |tip| (origin, *tip)));
        let unsure: Vec<_> =
            tips.filter(|(origin, tip)| !here.has_tip(*origin, tip.digest)).collect();
        let digests: Vec<_> = unsure.iter().map(|(_, tip)| tip.digest).collect();
        if digests.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.inner.store.find_changesets(&digests).await?.value;
        let lacking = unsure.into_iter().zip(found).filter(|(_, found)| found.is_none());
        Ok(lacking.map(|(lacking, _)| lacking).collect())
    }

    /// Integrates changesets, as one commit. If they bring conflicts it is noted that those which
    /// came after `start` are to be settled, should the pull not come to that.
    async fn integrate(
        &self,
        changesets: &[Changeset],
        start: Position,
    ) -> Result<Received, Error> {
        let edited = self
            .edit(|edit| async move {
                let mut batch = Batch::new(edit.front()?);
                let received = receive(&edit, &mut batch, changesets).await?;
                let key = MetadataKey::new(UNSETTLED)?;
                if received.contested && edit.get_metadata(&key).await?.is_none() {
                    batch.set_metadata(key, Some(start.to_string().into_bytes()));
                }
                edit.adopt(batch)?;
                Ok(received)
            })
            .await?;
        Ok(edited.value)
    }

    /// Goes through what the source has without integrating it, and fails if that would bring a
    /// conflict that the votes do not decide.
    async fn refuse_conflicts(
        &self,
        source: &dyn ChangesetSource,
        offer: &Offer,
        plan: &Plan,
    ) -> Result<(), Error> {
        'pass: loop {
            let dry: Arc<Mutex<Option<Batch>>> = Arc::default();
            let take = || dry.lock().unwrap_or_else(PoisonError::into_inner).take();
            let mut begun = false;
            let mut changesets = Chunks::of(source, offer, plan);
            while let Some(chunk) = changesets.next().await {
                let (chunk, dry, first) = (&chunk, &dry, !begun);
                let edited = self
                    .edit(|edit| {
                        let batch = take();
                        async move {
                            let front = edit.front()?;
                            let mut batch = match batch {
                                Some(batch) if batch.is_on(&front) => batch,
                                None if first => Batch::new(front),
                                // Somebody has edited in between.
                                _ => return Ok(None),
                            };
                            let received = receive(&edit, &mut batch, chunk).await?;
                            batch.forget_entries();
                            *dry.lock().unwrap_or_else(PoisonError::into_inner) = Some(batch);
                            Ok(Some(received))
                        }
                    })
                    .await?;
                begun = true;
                let Some(received) = edited.value else { continue 'pass };
                if let Some((changeset, why)) = received.refused {
                    return Err(Error::bad_changeset(&offer.place, changeset, why));
                }
            }
            changesets.failure.map_or(Ok(()), Err)?;
            let Some(batch) = take() else { return Ok(()) };
            let mut conflicts = Vec::new();
            for state in batch.touched() {
                for (name, register) in state.contested() {
                    let came = register.writes().iter().any(|write| batch.has(&write.changeset));
                    if came && is_open(state, &name, register) {
                        conflicts.push((state.key().clone(), name));
                    }
                }
            }
            return match conflicts.is_empty() {
                true => Ok(()),
                false => Err(Error::ConflictsFound { place: offer.place.clone(), conflicts }),
            };
        }
    }

    /// Whether all that the source announced is here now.
    async fn expect_tips(&self, offer: &Offer, announced: &VersionVector) -> Result<(), Error> {
        let lacking = self.lacking(&VersionVector::new(), announced).await?;
        match lacking.first() {
            None => Ok(()),
            Some((origin, tip)) => {
                let why = format!(
                    "the source announced it as number {} of replica {origin}, and did not give it",
                    tip.sequence
                );
                Err(Error::bad_changeset(&offer.place, tip.digest, why))
            }
        }
    }

    /// Lets votes, sides and people decide about the conflicts that came after `start`.
    async fn settle(
        &self,
        start: Position,
        mut options: PullOptions<'_>,
        report: &mut PullReport,
    ) -> Result<(), Error> {
        let mut decisions = Vec::new();
        let gone_through = self.go_through(start, &mut options, &mut decisions, report).await;
        // What was answered counts, whatever happened then.
        self.decide(&mut decisions, report).await?;
        gone_through?;
        self.edit(|edit| async move { edit.set_metadata(MetadataKey::new(UNSETTLED)?, None) })
            .await?;
        Ok(())
    }

    async fn go_through(
        &self,
        start: Position,
        options: &mut PullOptions<'_>,
        decisions: &mut Vec<(Conflict, Option<Value>)>,
        report: &mut PullReport,
    ) -> Result<(), Error> {
        let store = &*self.inner.store;
        let lineage = lineage(store).await?;
        let deleted = Existence::Deleted.value();
        let mut states = self.contested_states(CONTESTED.to_owned());
        while let Some(state) = states.next().await {
            let state = state?;
            if state.changed() <= start {
                continue;
            }
            let mut to_be_deleted = false;
            for (name, register) in state.contested() {
                if is_hidden(&state, &name) {
                    continue;
                }
                let came = came_after(store, &lineage, register, start).await?;
                if came.is_empty() {
                    continue;
                }
                report.conflicts += 1;
                if !is_open(&state, &name, register) {
                    report.by_majority += 1;
                    continue;
                }
                let asks = options.side.is_some() || options.resolver.is_some();
                // Of what is to be deleted, nothing else is asked.
                let asks = asks && !to_be_deleted;
                if !asks || has_voted(store, &lineage, &name, register).await? {
                    report.open += 1;
                    continue;
                }
                let conflict = self.conflict(state.key(), name.clone(), register).await?;
                let mut choice = match options.side {
                    Some(side) => self.preferred(side, start, &state, &name, &came).await?,
                    None => Choice::LeaveOpen,
                };
                if let (Choice::LeaveOpen, Some(resolver)) = (&choice, &mut options.resolver) {
                    choice = resolver.resolve(&conflict).await?;
                }
                match choice {
                    Choice::LeaveOpen => report.open += 1,
                    Choice::Value(value) => {
                        to_be_deleted = name == RegisterName::Existence && value == deleted;
                        decisions.push((conflict, value));
                    }
                }
                if decisions.len() >= DECISIONS {
                    self.decide(decisions, report).await?;
                }
            }
        }
        Ok(())
    }

    async fn decide(
        &self,
        decisions: &mut Vec<(Conflict, Option<Value>)>,
        report: &mut PullReport,
    ) -> Result<(), Error> {
        if decisions.is_empty() {
            return Ok(());
        }
        match self.resolve_all(decisions).await {
            Ok(_) => report.by_policy += decisions.len() as u64,
            // Somebody has edited in between: that answer is void, and no other.
            Err(Error::ConflictChanged { .. }) => {
                for (conflict, value) in decisions.iter() {
                    match self.resolve(conflict, value.clone()).await {
                        Ok(_) => report.by_policy += 1,
                        Err(Error::ConflictChanged { over, .. }) => {
                            report.open += u64::from(!over);
                            report.conflicts -= u64::from(over);
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
        decisions.clear();
        Ok(())
    }

    /// What a merger who prefers one side chooses; nothing if that side has none of the values.
    async fn preferred(
        &self,
        side: Side,
        start: Position,
        state: &RecordState,
        name: &RegisterName,
        came: &[Digest],
    ) -> Result<Choice, Error> {
        let Some(register) = state.register(name) else { return Ok(Choice::LeaveOpen) };
        match side {
            Side::Source => {
                let writes = |value: Option<&Value>| {
                    let mut writes = register.writes().iter();
                    writes.any(|write| {
                        write.value.as_ref() == value && came.contains(&write.changeset)
                    })
                };
                let best = best_of(name, register, writes);
                Ok(best.map_or(Choice::LeaveOpen, |value| Choice::Value(value.cloned())))
            }
            Side::Target => {
                let then = AsOf::new(self, start).visible(state).await?;
                // Of a record that was not there, nothing was preferred.
                if then.existence == Existence::Never {
                    return Ok(Choice::LeaveOpen);
                }
                let mine = best_of(name, register, |value| value == then.get(name));
                Ok(mine.map_or(Choice::LeaveOpen, |value| Choice::Value(value.cloned())))
            }
        }
    }
}

/// The live writes of a register that came from others, into the log after `start`.
async fn came_after(
    store: &dyn ReplicaStore,
    lineage: &Lineage,
    register: &Register,
    start: Position,
) -> Result<Vec<Digest>, Error> {
    let writes = register.frontier();
    let positions = store.find_changesets(&writes).await?.value;
    let mut came = Vec::new();
    for (digest, position) in writes.into_iter().zip(positions) {
        let Some(position) = position.filter(|position| *position > start) else { continue };
        let Some(entry) = entry_at(store, position).await? else { continue };
        let header = entry.changeset.header();
        if !lineage.authored(store, header.origin, header.sequence, digest).await? {
            came.push(digest);
        }
    }
    Ok(came)
}

impl ReplicaOptions {
    /// As [`Replica::clone_of`], opened with these options.
    ///
    /// # Errors
    /// As for [`Replica::clone_of`].
    pub async fn clone_of(
        self,
        store: impl ReplicaStore,
        source: &dyn ChangesetSource,
    ) -> Result<Replica, Error> {
        let replica = self.open(store).await?;
        let head = replica.head().await?;
        if head.position != Position::ZERO {
            let place = replica.inner.store.facts().place.clone();
            return Err(Error::NotEmpty { place, position: head.position });
        }
        replica.pull(source, PullOptions::new()).await?;
        Ok(replica)
    }
}

/// The changesets of a source, a batch at a time, up to its first failure.
struct Chunks<'a> {
    changesets: super::Streamed<'a, Changeset>,
    place: &'a str,
    announced: &'a VersionVector,
    /// The tips that have not come yet.
    lacking: HashSet<Digest>,
    /// How many may still come: no source has more changesets than the sequences of its tips say,
    /// and one that goes on repeating itself is left in the end.
    left: u64,
    failure: Option<Error>,
    ended: bool,
}

impl<'a> Chunks<'a> {
    fn of(source: &'a dyn ChangesetSource, offer: &'a Offer, plan: &'a Plan) -> Self {
        Self {
            changesets: source.changesets(&plan.known),
            place: &offer.place,
            announced: &plan.announced,
            lacking: plan.lacking.clone(),
            left: plan.announced.tips().flat_map(|(_, tips)| tips).fold(REPEATED, |most, tip| {
                most.saturating_add(tip.sequence.get().saturating_mul(2))
            }),
            failure: None,
            ended: false,
        }
    }

    /// Whether all that the source announced has come: whatever it goes on to give is left.
    fn has_all(&self) -> bool {
        self.lacking.is_empty()
    }

    async fn next(&mut self) -> Option<Vec<Changeset>> {
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        while !self.ended
            && !self.has_all()
            && chunk.len() < BATCH_CHANGESETS
            && bytes < BATCH_BYTES
        {
            match self.changesets.next().await {
                Some(Ok(changeset)) => match self.contradiction(&changeset) {
                    None => {
                        bytes += changeset.payload_bytes().len();
                        self.lacking.remove(&changeset.digest());
                        chunk.push(changeset);
                    }
                    Some(why) => {
                        self.fail(Error::bad_changeset(self.place, changeset.digest(), why))
                    }
                },
                Some(Err(error)) => self.fail(error),
                None => self.ended = true,
            }
        }
        (!chunk.is_empty()).then_some(chunk)
    }

    fn fail(&mut self, error: Error) {
        self.failure = Some(error);
        self.ended = true;
    }

    /// What speaks against what a source announced: more than there is, or at the place of the only
    /// tip of an origin another changeset.
    fn contradiction(&mut self, changeset: &Changeset) -> Option<String> {
        let header = changeset.header();
        self.left = match self.left.checked_sub(1) {
            Some(left) => left,
            None => return Some("the source gives far more than it announced".to_owned()),
        };
        let [tip] = self.announced.of(header.origin) else { return None };
        let other = tip.sequence == header.sequence && tip.digest != changeset.digest();
        other.then(|| {
            format!(
                "it is number {} of replica {}, which the source announced as {}",
                header.sequence, header.origin, tip.digest
            )
        })
    }
}
