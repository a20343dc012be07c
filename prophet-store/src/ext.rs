//! What programs want of a store beyond what a store must do: the same for every store.

use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;
use futures_lite::{Stream, stream};

use crate::error::Error;
use crate::id::{Digest, Position};
use crate::log::LogEntry;
use crate::record::RecordState;
use crate::resolution::Resolution;
use crate::store::{
    Action, Commit, Head, HistoryScan, LogScan, MetadataKey, MetadataScan, Page, PageLimit,
    RecordScan, ReplicaStore, ResolutionScan, StoreError, Verification,
};
use crate::{audit, copy};

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
    /// what integrating it does, every record is the fold of its history, the log replays cleanly in
    /// both directions, every resolution is a vote of the log, and what the engine notes beside
    /// (what was seen, what is contested) is what the log comes to.
    ///
    /// Memory is bounded by a page of the log and of the records, by the number of replicas that
    /// ever wrote, and by that of the records that are contested. A changeset is read once for the log and once for each record it touches.
    ///
    /// # Errors
    /// What the store says; what is wrong with the data is in the report.
    async fn audit(&self) -> Result<Verification, Error> {
        audit::audit(self).await
    }

    /// Copies the whole replica into `target`, an empty store of the same identity: to move to
    /// another backend, not to have two, which would be a fork. The records are replayed from the
    /// log, so the copy is sound, or the log is not. What others write meanwhile may be left out.
    ///
    /// # Errors
    /// A target that is not empty or has another identity; what either store says.
    async fn copy_to(&self, target: &dyn ReplicaStore) -> Result<Head, Error> {
        copy::copy(self, target).await
    }
}

impl<S: ReplicaStore + ?Sized> ReplicaStoreExt for S {}

/// The log entry at a position, if there is one.
pub(crate) async fn entry_at<S: ReplicaStore + ?Sized>(
    store: &S,
    position: Position,
) -> Result<Option<LogEntry>, StoreError> {
    let after = Some(Position::new(position.get().saturating_sub(1)));
    let scan = LogScan { after, limit: PageLimit::items(1), ..LogScan::default() };
    let entry = store.scan_log(&scan).await?.items.into_iter().next();
    Ok(entry.filter(|entry| entry.position == position))
}

/// The log entry of a changeset, if it is in the log.
pub(crate) async fn entry_of<S: ReplicaStore + ?Sized>(
    store: &S,
    digest: Digest,
) -> Result<Option<LogEntry>, StoreError> {
    match store.find_changesets(&[digest]).await?.value.into_iter().flatten().next() {
        Some(position) => entry_at(store, position).await,
        None => Ok(None),
    }
}

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
