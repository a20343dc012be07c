//! What programs want of a store beyond what a store must do: the same for every store.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;
use futures_lite::{Stream, StreamExt as _, stream};

use crate::error::Error;
use crate::id::{CommitId, Digest, Position};
use crate::integrate::{integrate, integrate_change};
use crate::log::{Adjustment, LogEntry};
use crate::name::RecordKey;
use crate::record::RecordState;
use crate::resolution::Resolution;
use crate::store::{
    Action, Commit, Direction, Head, HistoryScan, LogScan, MetadataKey, MetadataScan, Page,
    PageLimit, RecordScan, ReplicaStore, ResolutionScan, StoreError, Verification,
};
use crate::vector::VersionVector;
use crate::visible::Visible;

/// A stream of what a scan finds, a page at a time.
pub type Stored<'a, T> = Pin<Box<dyn Stream<Item = Result<T, StoreError>> + Send + 'a>>;

/// Streams, loops and checks over any [`ReplicaStore`].
#[async_trait]
pub trait ReplicaStoreExt: ReplicaStore {
    /// All records that `scan` finds, page after page. The pages may be of different heads.
    fn stream_records(&self, scan: RecordScan) -> Stored<'_, RecordState> {
        paged(Some(scan), move |scan| {
            Box::pin(async move {
                let page = self.scan_records(&scan).await?;
                Ok(next(page, scan, |scan, more| scan.after = Some(more)))
            })
        })
    }

    /// All log entries that `scan` finds, page after page.
    fn stream_log(&self, scan: LogScan) -> Stored<'_, LogEntry> {
        paged(Some(scan), move |scan| {
            Box::pin(async move {
                let page = self.scan_log(&scan).await?;
                Ok(next(page, scan, |scan, more| scan.after = Some(more)))
            })
        })
    }

    /// All log entries that touch a record, page after page.
    fn stream_history(&self, scan: HistoryScan) -> Stored<'_, LogEntry> {
        paged(Some(scan), move |scan| {
            Box::pin(async move {
                let page = self.scan_history(&scan).await?;
                Ok(next(page, scan, |scan, more| scan.after = Some(more)))
            })
        })
    }

    /// All resolutions that `scan` finds, page after page.
    fn stream_resolutions(&self, scan: ResolutionScan) -> Stored<'_, Resolution> {
        paged(Some(scan), move |scan| {
            Box::pin(async move {
                let page = self.scan_resolutions(&scan).await?;
                Ok(next(page, scan, |scan, more| scan.after = Some(more)))
            })
        })
    }

    /// All metadata that `scan` finds, page after page.
    fn stream_metadata(&self, scan: MetadataScan) -> Stored<'_, (MetadataKey, Vec<u8>)> {
        paged(Some(scan), move |scan| {
            Box::pin(async move {
                let page = self.scan_metadata(&scan).await?;
                Ok(next(page, scan, |scan, more| scan.after = Some(more)))
            })
        })
    }

    /// Reads the head, lets `build` make a commit on it, and commits; again, on the new head,
    /// whenever somebody else was first. `None` from `build` ends it without a commit.
    ///
    /// # Errors
    /// What `build` returns, and what the store says; never [`StoreError::StaleBase`].
    async fn commit_with<'a, F, Fut>(&'a self, mut build: F) -> Result<Option<Head>, StoreError>
    where
        F: FnMut(Head) -> Fut + Send + 'a,
        Fut: Future<Output = Result<Option<Commit>, StoreError>> + Send + 'a,
        Self: Sized,
    {
        loop {
            let Some(commit) = build(self.head().await?).await? else { return Ok(None) };
            match self.commit(&commit).await {
                Err(error) if error.action() == Action::Rebase => {}
                answer => return answer.map(Some),
            }
        }
    }

    /// Replays the log and compares: every changeset follows what it builds on, every entry is
    /// what integrating it does, every record is the fold of its history, and the log replays
    /// cleanly in both directions.
    ///
    /// Memory is bounded by a page of the log and of the records, and by the number of replicas
    /// that ever wrote. A changeset is read once for the log and once for each record it touches.
    ///
    /// # Errors
    /// What the store says; what is wrong with the data is in the report.
    async fn audit(&self) -> Result<Verification, Error> {
        let mut report = Verification::default();
        let end = self.head().await?.position;
        let touches = audit_log(self, end, &mut report).await?;
        let folded = audit_records(self, end, &mut report).await?;
        if touches != folded {
            report.problems.push(format!(
                "the log touches records {touches} times, but the histories of the records hold \
                 {folded} entries"
            ));
        }
        Ok(report)
    }

    /// Copies the whole replica into `target`, an empty store of the same identity: to move to
    /// another backend, not to have two, which would be a fork. The records are replayed from the
    /// log, so the copy is sound, or the log is not. What others write meanwhile may be left out.
    ///
    /// # Errors
    /// A target that is not empty or has another identity; what either store says.
    async fn copy_to(&self, target: &dyn ReplicaStore) -> Result<Head, Error> {
        copy(self, target).await
    }
}

impl<S: ReplicaStore + ?Sized> ReplicaStoreExt for S {}

type NextPage<T, S> = Result<(Vec<T>, Option<S>), StoreError>;

/// The items of page after page; `read` gives a page and the scan for the next one.
fn paged<'a, T: Send + 'a, S: Send + 'a>(
    first: Option<S>,
    read: impl Fn(S) -> Pin<Box<dyn Future<Output = NextPage<T, S>> + Send + 'a>> + Send + Sync + 'a,
) -> Stored<'a, T> {
    let read = std::sync::Arc::new(read);
    let state = (Vec::new().into_iter(), first);
    Box::pin(stream::try_unfold(state, move |(mut items, mut scan)| {
        let read = std::sync::Arc::clone(&read);
        async move {
            loop {
                if let Some(item) = items.next() {
                    return Ok(Some((item, (items, scan))));
                }
                let Some(next) = scan else { return Ok(None) };
                let (page, more) = read(next).await?;
                (items, scan) = (page.into_iter(), more);
            }
        }
    }))
}

fn next<T, C, S>(
    page: Page<T, C>,
    mut scan: S,
    go_on: impl FnOnce(&mut S, C),
) -> (Vec<T>, Option<S>) {
    let more = page.more.map(|more| {
        go_on(&mut scan, more);
        scan
    });
    (page.items, more)
}

/// Checks every entry by itself and its chain; counts how often entries touch records.
async fn audit_log<S: ReplicaStore + ?Sized>(
    store: &S,
    end: Position,
    report: &mut Verification,
) -> Result<u64, Error> {
    let database = store.facts().identity.database;
    let mut seen = VersionVector::new();
    let mut touches = 0;
    let mut last = Position::ZERO;
    let mut entries = store.stream_log(LogScan::default());
    while let Some(entry) = entries.next().await {
        let entry = entry?;
        if entry.position > end {
            break;
        }
        let (position, header) = (entry.position, entry.changeset.header());
        let mut problem = |what: String| {
            report.problems.push(format!("log entry at position {position}: {what}"));
        };
        if position != last.next() {
            problem(format!("it follows position {last}"));
        }
        last = position;
        if header.database != database {
            problem(format!("it is of another database, {}", header.database));
        }
        let before: Vec<_> = header.previous.iter().chain(&header.parents).copied().collect();
        let found = store.find_changesets(&before).await?.value;
        for (digest, found) in before.iter().zip(&found) {
            if found.is_none_or(|found| found >= position) {
                problem(format!("it builds on changeset {digest}, which does not come before it"));
            }
        }
        let digest = entry.changeset.digest();
        if let Err(gap) = seen.advance(header, digest) {
            problem(gap.to_string());
        }
        touches += entry.records().len() as u64;
        report.entries += 1;
    }
    if last != end {
        report.problems.push(format!("the log ends at position {last}, not at {end}"));
    }
    Ok(touches)
}

/// Folds the history of every record and compares; counts the entries of all histories.
async fn audit_records<S: ReplicaStore + ?Sized>(
    store: &S,
    end: Position,
    report: &mut Verification,
) -> Result<u64, Error> {
    let mut folded = 0;
    let mut records = store.stream_records(RecordScan::default());
    while let Some(state) = records.next().await {
        let state = state?;
        let key = state.key().clone();
        let mut problem = |what: String| report.problems.push(format!("record {key}: {what}"));
        let mut fold = RecordState::new(key.clone());
        let mut visible = Visible::NEVER;
        let scan = HistoryScan {
            record: key.clone(),
            after: None,
            direction: Direction::Forward,
            limit: PageLimit::default(),
        };
        let mut history = store.stream_history(scan);
        while let Some(entry) = history.next().await {
            let entry = entry?;
            // The record may have been read later than the end, and its history later still.
            if entry.position > state.changed().max(end) {
                break;
            }
            folded += u64::from(entry.position <= end);
            refold(&entry, &mut fold, &mut visible, &mut problem);
        }
        report.records += 1;
        if fold != state {
            problem("its state is not the fold of its history".to_owned());
        }
    }
    Ok(folded)
}

/// Integrates `entry` again, as far as it concerns the record of `state`, and compares.
fn refold(
    entry: &LogEntry,
    state: &mut RecordState,
    visible: &mut Visible,
    problem: &mut impl FnMut(String),
) {
    let position = entry.position;
    let key = &state.key().clone();
    let of_key = |adjustments: &[Adjustment]| -> Vec<_> {
        adjustments.iter().filter(|adjustment| adjustment.record == *key).cloned().collect()
    };
    let mut changes = entry.changeset.changes().iter();
    let again = changes
        .find(|change| change.record == *key)
        .map(|change| integrate_change(position, &entry.changeset, change, state))
        .unwrap_or_default();
    if again != (of_key(&entry.nullify), of_key(&entry.settle)) {
        problem(format!("what the entry at position {position} did to it is not what it does"));
    }
    let before = visible.clone();
    let mut back = visible.clone();
    let walked = visible.forward(entry, key).and_then(|()| {
        back.clone_from(visible);
        back.backward(entry, key)
    });
    match walked {
        Err(unclean) => problem(unclean.to_string()),
        Ok(()) if back != before => problem(format!("position {position} cannot be walked back")),
        Ok(()) => {}
    }
    if Visible::of(state) != *visible {
        problem(format!("after position {position} it is not what the log says"));
    }
}

/// How many log entries one commit of a copy carries at most.
const COPY_ENTRIES: usize = 1_000;
/// A commit of a copy that has come to this many bytes is large enough: few small entries can
/// touch many large records.
const COPY_BYTES: u64 = 4 << 20;

async fn copy<S: ReplicaStore + ?Sized>(
    source: &S,
    target: &dyn ReplicaStore,
) -> Result<Head, Error> {
    let (from, to) = (source.facts(), target.facts());
    let mut head = target.head().await?;
    if from.identity != to.identity || head != Head::EMPTY {
        return Err(StoreError::invalid_commit(format!(
            "{} can only be copied to an empty store of the same database and replica, which {} \
             is not",
            from.place, to.place
        ))
        .into());
    }
    loop {
        let scan = LogScan {
            after: Some(head.position),
            limit: PageLimit::items(COPY_ENTRIES),
            ..LogScan::default()
        };
        let page = source.scan_log(&scan).await?;
        if page.items.is_empty() {
            break;
        }
        let commit = Commit::new(copy_commit_id(page.at, head), head);
        head = target.commit(&replay(target, commit, &page.items).await?).await?;
    }
    let mut scan = MetadataScan::default();
    loop {
        let page = source.scan_metadata(&scan).await?;
        let mut commit = Commit::new(copy_commit_id(page.at, head), head);
        for (key, value) in page.items {
            commit = commit.with_metadata(key, Some(value))?;
        }
        head = target.commit(&commit).await?;
        match page.more {
            Some(more) => scan.after = Some(more),
            None => return Ok(head),
        }
    }
}

/// The id of the commit on `base` of a copy of what `source` was: another one for each copy of
/// something else, so that heads of different content are never alike.
fn copy_commit_id(source: Head, base: Head) -> CommitId {
    let numbers = [source.version, base.version].map(|version| version.get().to_le_bytes());
    let digest = Digest::of(&[source.commit.as_bytes().as_slice(), &numbers.concat()].concat());
    let [id, _] = digest.halves();
    CommitId::from_bytes(id)
}

/// The commit that appends the first of `entries` to `target`, as many as are enough for one, with
/// the records and resolutions they lead to.
async fn replay(
    target: &dyn ReplicaStore,
    mut commit: Commit,
    entries: &[LogEntry],
) -> Result<Commit, Error> {
    let mut states: BTreeMap<RecordKey, RecordState> = BTreeMap::new();
    let mut known_bytes = 0;
    for entry in entries {
        let changed = entry.changeset.changes().iter().map(|change| &change.record);
        let keys: Vec<_> = changed.filter(|key| !states.contains_key(key)).cloned().collect();
        for state in target.get_records(&keys).await?.value.into_iter().flatten() {
            known_bytes += state.approximate_size() as u64;
            states.insert(state.key().clone(), state);
        }
        let replayed = integrate(entry.position, &entry.changeset, &mut states);
        if replayed != *entry {
            return Err(StoreError::corrupt(
                format!("the log entry at position {}", entry.position),
                "what it did is not what integrating its changeset does",
            )
            .into());
        }
        for resolution in Resolution::of(&entry.changeset) {
            commit = commit.with_resolution(resolution)?;
        }
        commit = commit.with_entry(replayed)?;
        if known_bytes + commit.size() >= COPY_BYTES {
            break;
        }
    }
    for state in states.into_values() {
        commit = commit.with_record(state)?;
    }
    Ok(commit)
}
