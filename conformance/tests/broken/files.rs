//! A store over files, with one bug in it. Other processes know the bug from the address.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backend_fs::FsStore;
use conformance::{Harness, Place, Store};
use futures_lite::future::block_on;
use prophet_store::{
    Authorship, Commit, Digest, Facts, Head, HistoryScan, Identity, LogEntry, LogScan, MetadataKey,
    MetadataScan, OriginCursor, OriginScan, Page, PageLimit, Position, Read, RecordCounts,
    RecordKey, RecordScan, RecordState, RecordType, ReplicaStore as _, Resolution,
    ResolutionCursor, ResolutionScan, StoreError, Verification,
};
use tempfile::TempDir;

use crate::subject::Subject;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileBug {
    None,
    /// Each commit is written only when the handle is used again, or dropped.
    AcknowledgesBeforeItWrites,
    /// While a handle opens, there is nothing for a moment.
    MovesAwayWhileItOpens,
    /// The head is the one of the last time that somebody asked.
    LagsBehind,
    /// A page names the head, and holds what there was before it.
    NamesTheHeadOfLater,
    /// A page holds all there is.
    IgnoresLimits,
}

const ALL: [FileBug; 6] = [
    FileBug::None,
    FileBug::AcknowledgesBeforeItWrites,
    FileBug::MovesAwayWhileItOpens,
    FileBug::LagsBehind,
    FileBug::NamesTheHeadOfLater,
    FileBug::IgnoresLimits,
];

pub(crate) struct FileHarness(pub(crate) FileBug);

impl Harness for FileHarness {
    fn place(&self) -> Box<dyn Place> {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let path = directory.path().join("replica");
        Box::new(FilePlace { bug: self.0, path, _directory: directory })
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        open_named(address).expect("the address names the bug")
    }
}

/// Opens what an address of such a store names; `None` if it is none.
pub(crate) fn open_named(address: &str) -> Option<Result<Store, StoreError>> {
    let (bug, path) = address.split_once(' ')?;
    let bug = ALL.into_iter().find(|it| format!("{it:?}") == bug)?;
    Some(open(bug, Path::new(path)))
}

/// All of them, each with its killers.
pub(crate) fn subjects() -> Vec<Subject> {
    vec![
        Subject::of_files(
            FileBug::AcknowledgesBeforeItWrites,
            &[
                "model::any_sequence_with_kills",
                "crash::a_killed_process_loses_nothing_acknowledged",
                "crash::killed_among_others",
            ],
        ),
        Subject::of_files(
            FileBug::MovesAwayWhileItOpens,
            &["crash::a_process_killed_while_opening"],
        ),
        Subject::of_files(
            FileBug::LagsBehind,
            &[
                "linear::threads_are_linearizable",
                "linear::handles_are_linearizable",
                "linear::processes_are_linearizable",
            ],
        ),
        Subject::of_files(
            FileBug::NamesTheHeadOfLater,
            &[
                "model::any_sequence_of_operations",
                "linear::threads_are_linearizable",
                "linear::handles_are_linearizable",
                "linear::processes_are_linearizable",
            ],
        ),
        Subject::of_files(FileBug::IgnoresLimits, &["memory::streaming_takes_bounded_memory"]),
    ]
}

struct FilePlace {
    bug: FileBug,
    path: PathBuf,
    _directory: TempDir,
}

#[allow(clippy::disallowed_methods, reason = "somebody has to be killed just then")]
fn open(bug: FileBug, path: &Path) -> Result<Store, StoreError> {
    if bug == FileBug::MovesAwayWhileItOpens && path.exists() {
        let away = path.with_extension("away");
        let moved = |from: &Path, to: &Path| {
            std::fs::rename(from, to).map_err(|error| StoreError::io("a file", "moving", error))
        };
        moved(path, &away)?;
        std::thread::sleep(Duration::from_millis(2));
        moved(&away, path)?;
    }
    Ok(FileStore::over(bug, FsStore::open(path)?))
}

impl Place for FilePlace {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        Ok(FileStore::over(self.bug, FsStore::create(&self.path, identity)?))
    }

    fn open(&self) -> Result<Store, StoreError> {
        open(self.bug, &self.path)
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        None
    }

    fn address(&self) -> Option<String> {
        Some(format!("{:?} {}", self.bug, self.path.display()))
    }
}

#[derive(Debug)]
struct FileStore {
    bug: FileBug,
    inner: FsStore,
    held: Mutex<Option<Commit>>,
    seen: Mutex<Option<Head>>,
}

impl FileStore {
    fn over(bug: FileBug, inner: FsStore) -> Store {
        Arc::new(Self { bug, inner, held: Mutex::new(None), seen: Mutex::new(None) })
    }

    fn held(&self) -> MutexGuard<'_, Option<Commit>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn inner(&self) -> Result<&FsStore, StoreError> {
        let held = self.held().take();
        if let Some(commit) = held {
            // If another one was first, nobody is told.
            let _ = self.inner.commit(&commit).await;
        }
        Ok(&self.inner)
    }

    fn seen(&self, head: Head) -> Head {
        if self.bug != FileBug::LagsBehind {
            return head;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.replace(head).unwrap_or(head)
    }

    fn limit(&self, limit: PageLimit) -> PageLimit {
        match self.bug {
            FileBug::IgnoresLimits => PageLimit { items: usize::MAX, bytes: usize::MAX },
            _ => limit,
        }
    }

    fn page<T, C>(&self, mut page: Page<T, C>) -> Result<Page<T, C>, StoreError> {
        if self.bug == FileBug::NamesTheHeadOfLater && page.more.is_none() {
            page.items.pop();
        }
        Ok(page)
    }

    async fn write(&self, commit: &Commit) -> Result<Head, StoreError> {
        let inner = self.inner().await?;
        let holds = self.bug == FileBug::AcknowledgesBeforeItWrites;
        if holds && commit.base() == inner.head().await? {
            *self.held() = Some(commit.clone());
            return Ok(commit.head());
        }
        inner.commit(commit).await
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        let _ = block_on(self.inner());
    }
}

crate::forward::forward!(FileStore);
