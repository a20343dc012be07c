//! A commit on its way to the log.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prophet_files::line::CommitEnd;
use prophet_kv::writes::Write;
use prophet_store::{Commit, RecordState, Resolution};

use crate::state::index_commit;

/// A larger commit is not worked out by whoever waits for it, who may have other tasks.
const FEW_ENTRIES: usize = 64;
const FEW_BYTES: u64 = 256 << 10;

/// A commit, the last line of it, and what it writes to the index. To work that out takes longer than to
/// put it there, and whoever waits for the commit does it while the device is at work.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) commit: Commit,
    pub(crate) end: CommitEnd,
    /// None while nobody has worked it out.
    index: Mutex<Option<Vec<Write>>>,
}

impl Prepared {
    pub(crate) fn new(commit: Commit) -> Self {
        let end = CommitEnd {
            head: commit.head(),
            metadata: commit.metadata().iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            records: records_of_its_own(&commit),
            resolutions: resolutions_of_its_own(&commit),
        };
        Self { commit, end, index: Mutex::new(None) }
    }

    fn index(&self) -> MutexGuard<'_, Option<Vec<Write>>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works out what it writes to the index, if that is little.
    pub(crate) fn work_out(&self) {
        let few = self.commit.entries().len() <= FEW_ENTRIES;
        if few && self.commit.size() <= FEW_BYTES {
            let writes = self.worked_out();
            *self.index() = Some(writes);
        }
    }

    fn worked_out(&self) -> Vec<Write> {
        let mut writes = Vec::new();
        let states = self.commit.records().values();
        index_commit(&mut writes, self.commit.entries(), &self.end, states);
        writes
    }

    /// What it writes to the index.
    pub(crate) fn take_index(&self) -> Vec<Write> {
        let worked_out = self.index().take();
        worked_out.unwrap_or_else(|| self.worked_out())
    }
}

/// The states in a commit of records that none of its entries touches.
fn records_of_its_own(commit: &Commit) -> Vec<RecordState> {
    let entries = commit.entries().iter();
    let touched: HashSet<_> = entries.flat_map(|e| e.changeset.payload().records()).collect();
    let records = commit.records().values();
    records.filter(|record| !touched.contains(record.key())).cloned().collect()
}

/// The votes in a commit that none of its entries carries.
fn resolutions_of_its_own(commit: &Commit) -> Vec<Resolution> {
    if commit.resolutions().is_empty() {
        return Vec::new();
    }
    let carried = commit.entries().iter().flat_map(|entry| Resolution::of(&entry.changeset));
    let carried: BTreeMap<_, _> =
        carried.map(|vote| ((vote.conflict(), vote.changeset), vote)).collect();
    let own = commit.resolutions().iter();
    own.filter(|vote| carried.get(&(vote.conflict(), vote.changeset)) != Some(vote))
        .cloned()
        .collect()
}
