//! Group commit: edits made at the same time share one commit of the store.
//!
//! Edits take turns to run, each on what those before it staged. What is staged while a commit is
//! under way goes into the next one. Nothing runs in the background: whoever waits for a commit
//! may have to carry it out, and when a task that does so is dropped, another takes over and sends
//! the very same commit again, which the store applies at most once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use event_listener::{Event, listener};

use crate::environment;
use crate::error::Error;
use crate::ext::entry_at;
use crate::id::{CommitId, Digest, ReplicaId, Sequence};
use crate::limits;
use crate::name::RecordKey;
use crate::record::RecordState;
use crate::replica::Inner;
use crate::replica::lineage::{AUTHOR, Lineage};
use crate::replica::metadata::{HEADS, decode_heads};
use crate::store::{
    Action, Commit, Direction, Head, LogScan, MetadataKey, OriginScan, PageLimit, StoreError,
};
use crate::time::HybridClock;
use crate::vector::Tip;

/// A group this large is committed before more is staged.
const GROUP_BYTES: u64 = 4 << 20;
const GROUP_ENTRIES: usize = 4_096;
/// How much of what was written last is kept at hand, so that the next edit of the same records
/// need not read it back.
const RECENT_BYTES: usize = 4 << 20;
/// How many past heads are known as steps on the way here: a read may lag behind by the commits
/// that can end while one edit runs.
const REMEMBERED_HEADS: usize = 4;
/// How often a commit is sent again after a passing failure before the caller hears of it.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// Where the replica is once everything staged is committed: what the next edit builds on.
#[derive(Debug, Clone)]
pub(super) struct Front {
    pub(super) head: Head,
    /// The last changeset of this replica's own.
    pub(super) tip: Option<Tip>,
    /// The maximal changesets of others that no changeset of its own has followed yet.
    pub(super) heads: Arc<[Digest]>,
    pub(super) lineage: Arc<Lineage>,
    pub(super) clock: HybridClock,
    generation: u64,
}

/// What became of a staged edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed,
    /// Somebody else committed first; the edit is to run again.
    Stale,
}

#[derive(Default)]
pub(super) struct Committer {
    /// Held by the edit that is running.
    turn: async_lock::Mutex<()>,
    /// Held by whoever carries out a commit.
    lead: async_lock::Mutex<()>,
    state: Mutex<State>,
    /// Notified after every commit.
    committed: Event,
}

#[derive(Default)]
struct State {
    /// Grows whenever staged edits are thrown away.
    generation: u64,
    /// Unknown before the first edit, and after others have committed.
    front: Option<Front>,
    heads: VecDeque<Head>,
    /// States as the edits staged so far leave them, committed or not.
    recent: Recent,
    open: Option<Group>,
    in_flight: Option<Arc<Group>>,
}

/// Record states by key. When they grow too large all are forgotten: reading is always right.
#[derive(Default)]
struct Recent {
    states: HashMap<RecordKey, RecordState>,
    bytes: usize,
}

impl Recent {
    fn keep(&mut self, state: &RecordState) {
        let size = state.approximate_size();
        if self.bytes.saturating_add(size) > RECENT_BYTES {
            self.clear();
        }
        if size > RECENT_BYTES {
            return;
        }
        self.bytes += size;
        if let Some(old) = self.states.insert(state.key().clone(), state.clone()) {
            self.bytes = self.bytes.saturating_sub(old.approximate_size());
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

struct Group {
    commit: Commit,
    status: Arc<Status>,
}

#[derive(Default)]
struct Status {
    result: OnceLock<Result<Outcome, Arc<StoreError>>>,
    decided: Event,
}

impl Status {
    fn decide(&self, result: Result<Outcome, Arc<StoreError>>) {
        // A group is decided once; a later word on it cannot be better.
        let _ = self.result.set(result);
        self.decided.notify(usize::MAX);
    }
}

impl State {
    fn remember(&mut self, head: Head) {
        self.heads.push_back(head);
        if self.heads.len() > REMEMBERED_HEADS {
            self.heads.pop_front();
        }
    }

    /// Forgets where the replica is, after it was seen to be elsewhere than `front` led to.
    fn forget(&mut self, front: &Front) {
        if self.generation == front.generation && self.in_flight.is_none() {
            self.start_over();
        }
    }

    /// Throws away what is staged and not under way; its edits run again.
    fn start_over(&mut self) {
        self.generation += 1;
        self.front = None;
        self.heads.clear();
        self.recent.clear();
        if let Some(open) = self.open.take() {
            open.status.decide(Ok(Outcome::Stale));
        }
    }

    fn commits(&self) -> impl Iterator<Item = &Commit> {
        let open = self.open.as_ref().map(|group| &group.commit);
        open.into_iter().chain(self.in_flight.as_ref().map(|group| &group.commit))
    }
}

impl Committer {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of a record as the edits before leave it, if they wrote to it and it is not
    /// forgotten. What is not committed yet is never forgotten.
    ///
    /// Others may have committed since, but then this edit's commit will be refused.
    pub(super) fn staged(&self, key: &RecordKey) -> Option<RecordState> {
        let state = self.lock();
        let recent = state.recent.states.get(key);
        recent.or_else(|| state.commits().find_map(|commit| commit.records().get(key))).cloned()
    }

    /// What an edit not yet committed makes of a metadata key.
    pub(super) fn staged_metadata(&self, key: &MetadataKey) -> Option<Option<Vec<u8>>> {
        self.lock().commits().find_map(|commit| commit.metadata().get(key).cloned())
    }

    /// Which of these changesets an edit not yet committed brings.
    pub(super) fn staged_changesets(&self, digests: &[Digest]) -> Vec<bool> {
        let state = self.lock();
        let staged: HashSet<_> = state
            .commits()
            .flat_map(|commit| commit.entries())
            .map(|entry| entry.changeset.digest())
            .collect();
        digests.iter().map(|digest| staged.contains(digest)).collect()
    }

    /// Whether a changeset that an edit not yet committed brings follows this one.
    pub(super) fn staged_follows(&self, digest: Digest) -> bool {
        let state = self.lock();
        let mut staged = state.commits().flat_map(|commit| commit.entries());
        staged.any(|entry| entry.changeset.header().follows(digest))
    }

    /// The changeset of this origin and sequence that an edit not yet committed brings; if
    /// `digest` is given, only that one.
    pub(super) fn staged_at(
        &self,
        origin: ReplicaId,
        sequence: Sequence,
        digest: Option<Digest>,
    ) -> Option<Digest> {
        let state = self.lock();
        let staged = state.commits().flat_map(|commit| commit.entries()).find(|entry| {
            let header = entry.changeset.header();
            (header.origin, header.sequence) == (origin, sequence)
                && digest.is_none_or(|digest| digest == entry.changeset.digest())
        });
        staged.map(|entry| entry.changeset.digest())
    }

    /// Whether what was read at `at` belongs to the state that `front` builds on.
    pub(super) fn leads_to(&self, front: &Front, at: Head) -> bool {
        let state = self.lock();
        state.generation == front.generation
            && (state.heads.contains(&at) || state.commits().any(|commit| commit.head() == at))
    }

    /// Wakes when something was committed through this handle.
    pub(super) const fn committed(&self) -> &Event {
        &self.committed
    }
}

/// The right to run the next edit.
pub(super) struct Turn<'a> {
    inner: &'a Inner,
    front: Front,
    guard: async_lock::MutexGuard<'a, ()>,
}

impl Inner {
    /// Waits until it is this edit's turn, and says what it builds on.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, Error> {
        let guard = self.committer.turn.lock().await;
        loop {
            let (front, busy) = {
                let state = self.committer.lock();
                let busy = match (&state.front, &state.open, &state.in_flight) {
                    // What is under way decides where the replica is.
                    (None, _, Some(group)) => Some(Arc::clone(&group.status)),
                    (_, Some(open), _) if open.is_full() => Some(Arc::clone(&open.status)),
                    _ => None,
                };
                (state.front.clone(), busy)
            };
            match (front, busy) {
                (_, Some(status)) => match self.decided(&status).await {
                    // Nothing new is made while nobody knows what became of the last commit.
                    Err(Error::Store(error)) if error.action() == Action::Reconcile => {
                        return Err(Error::Store(error));
                    }
                    // Its own edits hear how it went; here it only has to be over.
                    _ => {}
                },
                (Some(front), None) => return Ok(Turn { inner: self, front, guard }),
                (None, None) => self.find_front().await?,
            }
        }
    }

    /// Reads where the replica is.
    async fn find_front(&self) -> Result<(), Error> {
        let limit = PageLimit::items(1);
        let direction = Direction::Backward;
        let keys = [MetadataKey::new(AUTHOR)?, MetadataKey::new(HEADS)?];
        loop {
            let noted = self.store.get_metadata(&keys).await?;
            let [lineage, heads] = noted.value.as_slice() else { continue };
            let created = self.store.facts().identity.replica;
            let lineage = Lineage::decode(created, lineage.as_deref())?;
            let heads = decode_heads(heads.as_deref())?;
            let scan = OriginScan { origin: lineage.author, after: None, direction, limit };
            let own = self.store.scan_origin(&scan).await?;
            let last = self.store.scan_log(&LogScan { after: None, direction, limit }).await?;
            if own.at != last.at || noted.at != last.at {
                continue;
            }
            let mut clock = HybridClock::default();
            if let Some(entry) = last.items.first() {
                clock.follow(entry.changeset.header().time, self.environment.now());
            }
            // Its own time counts too, when something older came in after it.
            if let Some(own) = own.items.first()
                && let Some(entry) = entry_at(&*self.store, own.position).await?
            {
                clock.follow(entry.changeset.header().time, self.environment.now());
            }
            let tip = own.items.first();
            let tip = tip.map(|own| Tip { sequence: own.sequence, digest: own.digest });
            let mut state = self.committer.lock();
            state.heads.clear();
            state.remember(last.at);
            state.front = Some(Front {
                head: last.at,
                tip,
                heads: heads.into(),
                lineage: Arc::new(lineage),
                clock,
                generation: state.generation,
            });
            return Ok(());
        }
    }

    /// Waits until the group of `status` is decided, carrying out commits if nobody else does.
    async fn decided(&self, status: &Status) -> Result<Outcome, Error> {
        loop {
            listener!(status.decided => decided);
            if let Some(result) = status.result.get() {
                return result.clone().map_err(Error::Store);
            }
            let lead = async { Some(self.committer.lead.lock().await) };
            let follow = async {
                decided.await;
                None
            };
            if let Some(_leading) = futures_lite::future::or(lead, follow).await
                && status.result.get().is_none()
            {
                self.commit_next().await;
            }
        }
    }

    /// Carries out the commit that is under way, or else the next one. Only for whoever leads.
    async fn commit_next(&self) {
        let (group, again) = {
            let mut state = self.committer.lock();
            // It was sent before, and whoever did so was dropped or did not hear of it.
            let again = state.in_flight.is_some();
            if !again {
                state.in_flight = state.open.take().map(Arc::new);
            }
            match &state.in_flight {
                Some(group) => (Arc::clone(group), again),
                None => return,
            }
        };
        let result = self.send(&group.commit, again).await;
        let mut state = self.committer.lock();
        let decision = match result {
            Ok(head) => {
                state.in_flight = None;
                state.remember(head);
                Ok(Outcome::Committed)
            }
            Err(error) => {
                // What is staged builds on what did not happen, or may not have.
                state.start_over();
                match error.action() {
                    Action::Rebase => {
                        state.in_flight = None;
                        Ok(Outcome::Stale)
                    }
                    // It stays under way: nothing new is made before it is settled.
                    Action::Reconcile => {
                        let status = Arc::default();
                        let commit = group.commit.clone();
                        state.in_flight = Some(Arc::new(Group { commit, status }));
                        Err(Arc::new(error))
                    }
                    _ => {
                        state.in_flight = None;
                        Err(Arc::new(error))
                    }
                }
            }
        };
        drop(state);
        group.status.decide(decision);
        self.committer.committed.notify(usize::MAX);
    }

    /// Sends a commit, and sends the very same one again while that may help. Once one attempt may
    /// have been applied (`unsure`), only the head it led to or `StaleBase` says what became of it:
    /// an error of a later attempt is about that attempt alone.
    async fn send(&self, commit: &Commit, mut unsure: bool) -> Result<Head, StoreError> {
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        loop {
            let error = match self.store.commit(commit).await {
                Err(error) if error.action() != Action::Rebase => error,
                settled => return settled,
            };
            unsure |= error.action() == Action::Reconcile;
            let may_help = matches!(error.action(), Action::Retry | Action::Reconcile);
            if attempt == ATTEMPTS || !may_help {
                return Err(match error.action() {
                    action if unsure && action != Action::Reconcile => {
                        let place = &self.store.facts().place;
                        StoreError::outcome_unknown(commit.id(), place, Some(error.into()))
                    }
                    _ => error,
                });
            }
            self.environment.sleep(pause).await;
            pause *= 2;
            attempt += 1;
        }
    }
}

impl Turn<'_> {
    pub(super) const fn front(&self) -> &Front {
        &self.front
    }

    /// Stages what an edit did, and waits until it is decided.
    pub(super) async fn stage(self, commit: Commit, front: Front) -> Result<Outcome, Error> {
        let Self { inner, guard, .. } = self;
        let id = environment::new_commit_id(&*inner.environment)?;
        let mut commit = Some(commit);
        let status = loop {
            let pushed = inner.committer.lock().push(&mut commit, &front, id);
            match pushed {
                Pushed::Staged(status) => break status,
                Pushed::Stale => return Ok(Outcome::Stale),
                Pushed::NoRoom(status) => {
                    let _ = inner.decided(&status).await;
                }
            }
        };
        drop(guard);
        inner.decided(&status).await
    }

    /// Ends the turn of an edit that commits nothing: what it saw counts only once it is durable,
    /// and if nobody else had committed by then.
    pub(super) async fn confirm(self) -> Result<Outcome, Error> {
        let Self { inner, front, guard } = self;
        let staged = {
            let state = inner.committer.lock();
            let in_flight = state.in_flight.as_ref().map(|group| &group.status);
            let open = state.open.as_ref().map(|group| &group.status);
            in_flight.into_iter().chain(open).cloned().collect::<Vec<_>>()
        };
        drop(guard);
        for status in staged {
            match inner.decided(&status).await {
                Ok(Outcome::Committed) => {}
                // What it saw did not come about.
                Ok(Outcome::Stale) | Err(_) => return Ok(Outcome::Stale),
            }
        }
        let at = inner.store.head().await?;
        if inner.committer.leads_to(&front, at) {
            return Ok(Outcome::Committed);
        }
        inner.committer.lock().forget(&front);
        Ok(Outcome::Stale)
    }

    /// Ends the turn of an edit that saw somebody else's commit.
    pub(super) async fn give_up(self) {
        let status = {
            let mut state = self.inner.committer.lock();
            match (&state.in_flight, &state.open) {
                // What is under way will find out, and start over.
                (Some(group), _) => Some(Arc::clone(&group.status)),
                (None, Some(open)) => Some(Arc::clone(&open.status)),
                (None, None) => {
                    state.forget(&self.front);
                    None
                }
            }
        };
        if let Some(status) = status {
            let _ = self.inner.decided(&status).await;
        }
    }
}

enum Pushed {
    Staged(Arc<Status>),
    Stale,
    NoRoom(Arc<Status>),
}

impl Group {
    fn is_full(&self) -> bool {
        self.commit.size() >= GROUP_BYTES || self.commit.entries().len() >= GROUP_ENTRIES
    }
}

impl State {
    /// Takes the commit into the open group, unless there is no room.
    fn push(&mut self, staged: &mut Option<Commit>, front: &Front, id: CommitId) -> Pushed {
        if self.generation != front.generation {
            return Pushed::Stale;
        }
        if let (Some(open), Some(commit)) = (&self.open, &*staged) {
            let size = open.commit.size().saturating_add(commit.size());
            let entries = open.commit.entries().len() + commit.entries().len();
            if size > limits::COMMIT_BYTES || entries as u64 > limits::COMMIT_ENTRIES {
                return Pushed::NoRoom(Arc::clone(&open.status));
            }
        }
        // What was staged when the edit began may be under way by now: the group begins where
        // that ends.
        let base = match (&self.in_flight, &self.front) {
            (Some(group), _) => group.commit.head(),
            (None, Some(front)) => front.head,
            (None, None) => return Pushed::Stale,
        };
        let Some(commit) = staged.take() else { return Pushed::Stale };
        for written in commit.records().values() {
            self.recent.keep(written);
        }
        let group = match &mut self.open {
            Some(open) => {
                open.commit.absorb(commit);
                open
            }
            None => {
                let commit = commit.moved_to(id, base);
                self.open.insert(Group { commit, status: Arc::default() })
            }
        };
        let status = Arc::clone(&group.status);
        self.front = Some(Front { head: group.commit.head(), ..front.clone() });
        Pushed::Staged(status)
    }
}
