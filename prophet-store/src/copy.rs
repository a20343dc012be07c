//! Copying a replica from one store to another, by replaying its log.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::id::{CommitId, Digest};
use crate::integrate::integrate;
use crate::log::LogEntry;
use crate::name::RecordKey;
use crate::record::RecordState;
use crate::resolution::Resolution;
use crate::store::{Commit, Head, LogScan, MetadataScan, PageLimit, ReplicaStore, StoreError};

/// How many log entries one commit of a copy carries at most.
const COPY_ENTRIES: usize = 1_000;
/// A commit of a copy that has come to this many bytes is large enough: few small entries can
/// touch many large records.
const COPY_BYTES: u64 = 4 << 20;

/// What [`ReplicaStoreExt::copy_to`](crate::ReplicaStoreExt::copy_to) does.
pub(crate) async fn copy<S: ReplicaStore + ?Sized>(
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
        let touched = entry.changeset.payload().records();
        let keys: Vec<_> = touched.filter(|key| !states.contains_key(key)).cloned().collect();
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
