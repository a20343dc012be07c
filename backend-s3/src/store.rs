//! The store: the trait, put together from the parts.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use futures_channel::oneshot;
use futures_lite::future::block_on;
use prophet_kv::Reads;
use prophet_store::{
    Access, Authorship, Commit, Digest, Facts, Head, HistoryScan, LogEntry, LogScan, MetadataKey,
    MetadataScan, OriginCursor, OriginScan, Page, Position, Read, RecordCounts, RecordKey,
    RecordScan, RecordState, RecordType, ReplicaStore, Resolution, ResolutionCursor,
    ResolutionScan, StoreError, Verification,
};

use crate::commit::Committed;
use crate::exclusive::Held;
use crate::heal::Tries;
use crate::log::Log;
use crate::put::Guard;
use crate::runtime::{self, Dropped, Work};
use crate::shared::Shared;
use crate::state::State;
use crate::verify;
use crate::view::View;

/// A [`ReplicaStore`] in a bucket, which any number of handles in any number of programs, on any
/// number of machines, may have open at once.
///
/// # What it costs
///
/// | | requests |
/// |---|---|
/// | a commit that nobody races | 1 PUT |
/// | [`head`](ReplicaStore::head), when nothing is new | 1 GET, of what is not there |
/// | a read of what is in memory | none |
/// | a read of one record, changeset or log entry that is not | 1 GET |
/// | the first such read of a handle | 1 GET more, of the filters of all tables: 6 MB for a million commits; then 2 |
/// | a page of a scan that is not | 1 GET for each table with keys in it, or 64 KiB of the log |
/// | opening | 2, or 3 where one writer may; 2 for up to 64 commits since the last checkpoint; 1 for each 64 more |
/// | the first of all that is asked of a handle, if it is not [`head`](ReplicaStore::head) | 1 GET, of what is not there |
///
/// A commit brings small ones before it along, so that its object has a kilobyte or a few: who opens the
/// replica asks for one where there would be eight or more. One of more than 16 KiB is a request by itself.
///
/// # What a read sees
///
/// A handle answers from the last head that it knows, and each answer says which that is. It gets to
/// know others' commits by [`head`](ReplicaStore::head), and when it commits:
/// what was acknowledged anywhere before `head` was called is seen by every read after it.
/// [`S3Options::fresh_reads`](crate::S3Options::fresh_reads) has each read ask first.
pub struct S3Store {
    facts: Facts,
    shared: Arc<Shared>,
    guard: Guard,
    fresh: bool,
    warning: Option<String>,
    /// That no other handle of this process writes here, where one writer may. What writes on behalf of
    /// this handle has it too, for as long as it does.
    held: Mutex<Option<Arc<Held>>>,
    /// Where one writer is all that there may be, its commits take turns.
    turns: Arc<async_lock::Mutex<Option<Commit>>>,
    deriving: async_lock::Mutex<Option<(JoinHandle<()>, oneshot::Receiver<()>)>>,
    inline: bool,
    closed: AtomicBool,
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// What a store is put together from.
pub(crate) struct Parts {
    pub(crate) facts: Facts,
    pub(crate) shared: Shared,
    pub(crate) guard: Guard,
    pub(crate) fresh: bool,
    pub(crate) inline: bool,
    pub(crate) warning: Option<String>,
    pub(crate) held: Option<Held>,
}

/// Reads at one head: again where something derived was missing or damaged, and could be mended.
macro_rules! read {
    ($store:expr, |$reads:ident| $read:expr) => {{
        let store = $store;
        store.check_open()?;
        match store.fresh {
            true => drop(store.shared.refresh().await?),
            false => store.shared.make_sure().await?,
        }
        let mut tries = Tries::default();
        loop {
            let (state, before) = (store.shared.state(), store.shared.trouble.count());
            let result = {
                let $reads = store.shared.reads(&state);
                $read.await
            };
            match result {
                Err(error) => store.shared.mend(&state, before, &mut tries, error).await?,
                result => break result,
            }
        }
    }};
}

/// While this is there, nobody else of the handle derives anything.
struct Deriving(Arc<Shared>);

impl Deriving {
    fn begin(shared: &Arc<Shared>) -> Option<Self> {
        let free = !shared.deriving.swap(true, Ordering::AcqRel);
        free.then(|| Self(Arc::clone(shared)))
    }
}

impl Drop for Deriving {
    fn drop(&mut self) {
        self.0.deriving.store(false, Ordering::Release);
    }
}

/// So often others may go on while all of a replica is looked at.
const RENEWED: u32 = 3;

impl Shared {
    /// All that is read at the head of `state`.
    pub(crate) fn reads<'a>(&'a self, state: &'a State) -> Reads<'a, View<'a>, Log<'a>> {
        Reads::new(&self.bucket.place, state.head, self.view(state), self.log(state))
    }

    /// Where a changeset is in the log.
    pub(crate) async fn find(
        &self,
        state: &State,
        digest: Digest,
    ) -> Result<Option<Position>, StoreError> {
        self.reads(state).position_of(digest).await
    }
}

impl S3Store {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { facts, shared, guard, fresh, inline, warning, held } = parts;
        Self {
            facts,
            shared: Arc::new(shared),
            guard,
            fresh,
            warning,
            held: Mutex::new(held.map(Arc::new)),
            turns: Arc::new(async_lock::Mutex::new(None)),
            deriving: async_lock::Mutex::new(None),
            inline,
            closed: AtomicBool::new(false),
        }
    }

    /// What the app should tell whoever looks after it: that the service does not keep several
    /// writers apart, so that only one may have the replica open; that nothing was derived for long.
    /// `None` if there is nothing.
    pub fn warning(&self) -> Option<String> {
        let behind = self.shared.behind().map(|commits| {
            let place = &self.facts.place;
            format!(
                "{place}: the last checkpoint is {commits} commits ago, and opening reads all of them; \
                 whoever commits seems not to be able to make one"
            )
        });
        let all: Vec<_> = self.warning.iter().cloned().chain(behind).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Why checkpoints fail that whoever commits makes; `None` if the last one did not. Commits go on
    /// without them, but opening takes ever longer: an app should tell whoever looks after the bucket.
    /// They are tried again, ever less often, and at least once in 1,024 commits.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use backend_s3::S3Options;
    /// # use prophet_store::{Identity, ReplicaStore};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # futures_lite::future::block_on(async {
    /// # let bucket = Arc::new(object_store::memory::InMemory::new());
    /// let store = S3Options::new().create_in(bucket, "bugs", Identity::new_database()?).await?;
    /// // After any number of commits:
    /// if let Some(why) = store.checkpoint_failure() {
    ///     eprintln!("{}: {why}", store.facts().place);
    /// }
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn checkpoint_failure(&self) -> Option<String> {
        self.shared.checkpoint_failure()
    }

    /// Writes what is derived from the commits since the last checkpoint: a segment of the published
    /// log, a table of the index, and the root. Whoever commits does so now and then; an app may do it
    /// when it has time, or before others pull from the bucket over HTTP. Costs three PUTs, or a few
    /// requests more. Whether there was anything to do, and nobody else did it first.
    ///
    /// # Errors
    /// What failed; nothing is lost by it.
    pub async fn checkpoint(&self) -> Result<bool, StoreError> {
        self.check_open()?;
        let held = self.held().clone();
        let derived = self.shared.checkpoint_mended().await;
        drop(held);
        derived
    }

    /// Removes what was derived and no root names, once it is a day old by the clock of the service: what was
    /// written by checkpoints that lost, or by a program that was stopped. One of some 64 checkpoints does so;
    /// an app need not. How many objects there were.
    ///
    /// # Errors
    /// The first that failed; others may be gone by then.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use backend_s3::S3Options;
    /// use prophet_store::{Identity, ReplicaStore};
    ///
    /// let bucket = std::sync::Arc::new(object_store::memory::InMemory::new());
    /// let store = S3Options::new().create_in(bucket, "bugs", Identity::new_database()?).await?;
    /// assert_eq!(store.sweep().await?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn sweep(&self) -> Result<usize, StoreError> {
        self.check_open()?;
        let held = self.held().clone();
        let swept = self.shared.sweep().await;
        drop(held);
        swept
    }

    fn check_open(&self) -> Result<(), StoreError> {
        match self.closed.load(Ordering::Acquire) {
            true => Err(StoreError::closed(&self.facts.place)),
            false => Ok(()),
        }
    }

    /// Commits where nobody but this handle keeps writers apart: one after the other, and each to its
    /// end even if nobody waits for it any more.
    async fn alone(&self, commit: Commit) -> Result<Committed, StoreError> {
        let (shared, id) = (Arc::clone(&self.shared), commit.id());
        let mut unsettled = self.turns.lock_arc().await;
        // It may have been closed while this one waited, and then the place is somebody else's.
        self.check_open()?;
        let held = self.held().clone();
        let work = async move {
            let committed = shared.commit_alone(&mut unsettled, &commit).await;
            drop(held);
            committed
        };
        let unknown = |error: std::io::Error| {
            StoreError::outcome_unknown(id, &self.facts.place, Some(error.into()))
        };
        let failed = |error| StoreError::io(&self.facts.place, "committing", error);
        Work::begin(Dropped::GoesOn, work).map_err(failed)?.await.map_err(unknown)?
    }

    /// Whether there is a newer root than that of `state`, which is gone on to. Damage is for the report.
    async fn renew(&self, state: &State) -> Result<bool, StoreError> {
        match self.shared.renew(state).await {
            Err(StoreError::Corrupt { .. }) => Ok(false),
            renewed => renewed,
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<Arc<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for what writes on behalf of this handle, and then lets others have the place.
    async fn wind_down(&self) {
        let mut deriving = self.deriving.lock().await;
        // It stays where it is until it has ended: whoever waits here may be dropped.
        if let Some((_, ended)) = &mut *deriving {
            let _ = ended.await;
        }
        if let Some((thread, _)) = deriving.take() {
            let _ = thread.join();
        }
        drop(self.turns.lock().await);
        self.held().take();
    }

    async fn derive_if_due(&self, state: Arc<State>) {
        if !self.shared.is_due(&state) {
            return;
        }
        let held = self.held().clone();
        if self.guard == Guard::OneWriter && held.is_none() {
            // It was closed, and the place may be another handle's.
            return;
        }
        let Some(begun) = Deriving::begin(&self.shared) else { return };
        if self.inline {
            self.shared.derive_by_itself(&state).await;
            drop(begun);
            return;
        }
        let (end, ended) = oneshot::channel();
        // On a thread of its own: compressing takes a while, and nobody is to wait for it.
        let thread =
            std::thread::Builder::new().name("prophet-s3-derive".to_owned()).spawn(move || {
                block_on(begun.0.derive_by_itself(&state));
                drop(begun);
                drop(held);
                let _ = end.send(());
            });
        if let Ok(thread) = thread {
            *self.deriving.lock().await = Some((thread, ended));
        }
    }
}

#[async_trait]
impl ReplicaStore for S3Store {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.check_open()?;
        Ok(self.shared.refresh().await?.head)
    }

    async fn get_records(
        &self,
        keys: &[RecordKey],
    ) -> Result<Read<Vec<Option<RecordState>>>, StoreError> {
        read!(self, |reads| reads.get_records(keys))
    }

    async fn scan_records(
        &self,
        scan: &RecordScan,
    ) -> Result<Page<RecordState, RecordKey>, StoreError> {
        read!(self, |reads| reads.scan_records(scan))
    }

    async fn count_records(
        &self,
        record_type: Option<&RecordType>,
    ) -> Result<Read<RecordCounts>, StoreError> {
        read!(self, |reads| reads.count_records(record_type))
    }

    async fn scan_log(&self, scan: &LogScan) -> Result<Page<LogEntry, Position>, StoreError> {
        read!(self, |reads| reads.scan_log(scan))
    }

    async fn scan_history(
        &self,
        scan: &HistoryScan,
    ) -> Result<Page<LogEntry, Position>, StoreError> {
        read!(self, |reads| reads.scan_history(scan))
    }

    async fn scan_origin(
        &self,
        scan: &OriginScan,
    ) -> Result<Page<Authorship, OriginCursor>, StoreError> {
        read!(self, |reads| reads.scan_origin(scan))
    }

    async fn find_changesets(
        &self,
        digests: &[Digest],
    ) -> Result<Read<Vec<Option<Position>>>, StoreError> {
        read!(self, |reads| reads.find_changesets(digests))
    }

    async fn scan_resolutions(
        &self,
        scan: &ResolutionScan,
    ) -> Result<Page<Resolution, ResolutionCursor>, StoreError> {
        read!(self, |reads| reads.scan_resolutions(scan))
    }

    async fn get_metadata(
        &self,
        keys: &[MetadataKey],
    ) -> Result<Read<Vec<Option<Vec<u8>>>>, StoreError> {
        read!(self, |reads| reads.get_metadata(keys))
    }

    async fn scan_metadata(
        &self,
        scan: &MetadataScan,
    ) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError> {
        read!(self, |reads| reads.scan_metadata(scan))
    }

    async fn commit(&self, commit: &Commit) -> Result<Head, StoreError> {
        self.check_open()?;
        if self.facts.capabilities.access < Access::ReadWrite {
            return Err(StoreError::read_only(&self.facts.place));
        }
        let (head, applied) = match self.guard {
            Guard::Service => self.shared.commit_mended(self.guard, commit).await?,
            Guard::OneWriter => self.alone(commit.clone()).await?,
        };
        if let Some(state) = applied {
            self.derive_if_due(state).await;
        }
        Ok(head)
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        self.check_open()?;
        self.shared.make_sure().await?;
        // This handle may have slept, and others have taken away what its root names; or they do so
        // meanwhile.
        self.renew(&self.shared.state()).await?;
        let mut tried = 0;
        loop {
            let state = self.shared.state();
            let found = verify::verify(&self.shared, &state).await?;
            if found.is_sound() || tried == RENEWED || !self.renew(&state).await? {
                return Ok(found);
            }
            tried += 1;
        }
    }

    async fn close(&self) -> Result<(), StoreError> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Err(StoreError::closed(&self.facts.place));
        }
        self.wind_down().await;
        Ok(())
    }
}

impl Drop for S3Store {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        // Where the service keeps writers apart, what is on its way is no danger to anybody. Elsewhere it
        // has the place for as long as it is on its way, also where it cannot be waited for.
        if self.held().is_some() && !runtime::is_here() {
            block_on(self.wind_down());
        }
    }
}
