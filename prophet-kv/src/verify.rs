//! Looking for damage: the log, and everything that is found by a key, each against the other.

use prophet_store::{
    Direction, LogEntry, LogScan, MetadataScan, Page, RecordScan, ResolutionScan, StoreError,
    Verification,
};
use prophet_tables::{KeyRange, keys};

use crate::map::{Entries, Map, Scan as _};
use crate::reads::Reads;
use crate::report::Report;

/// Reads all of a replica at one head: that its log has no gaps and ends at the head, that each entry
/// is found by everything that it is to be found by and nothing else is, and that what is found can be
/// read. Memory does not grow with the replica.
///
/// What it cannot see is that a record, a resolution or metadata was lost or is an older one, for the
/// log does not tell; for that there are [`Tally`](crate::Tally), and the fold of the log
/// ([`audit`](prophet_store::ReplicaStoreExt::audit)).
///
/// ```
/// use std::collections::BTreeMap;
///
/// use futures_lite::future::block_on;
/// use prophet_kv::{EntriesInMap, Reads, verify, writes};
/// use prophet_store::{Commit, CommitId, Head};
///
/// let mut map: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
/// let commit = Commit::new(CommitId::from_bytes([7; 16]), Head::EMPTY);
/// let mut list = Vec::new();
/// writes::commit(&mut list, &commit);
/// map.extend(list.into_iter().filter_map(|(key, value)| Some((key, value?))));
/// let problems = |map: &BTreeMap<_, _>| {
///     let reads = Reads::new("a map", commit.head(), map, EntriesInMap::new("a map", map));
///     block_on(verify(&reads)).map(|found| found.problems.len())
/// };
/// assert_eq!(problems(&map)?, 0);
/// map.clear();
/// assert_eq!(problems(&map)?, 1);
/// # Ok::<(), prophet_store::StoreError>(())
/// ```
///
/// # Errors
/// What keeps from reading. Damage is in the report.
pub async fn verify<M: Map, E: Entries>(
    reads: &Reads<'_, M, E>,
) -> Result<Verification, StoreError> {
    let mut check = Check { reads, report: Report::new(), touches: 0 };
    check.log().await?;
    check.index().await?;
    check.states().await?;
    check.commits().await?;
    Ok(check.report.finish())
}

struct Check<'r, 'p, M, E> {
    reads: &'r Reads<'p, M, E>,
    report: Report,
    /// How often the entries of the log touch a record.
    touches: u64,
}

impl<M: Map, E: Entries> Check<'_, '_, M, E> {
    async fn log(&mut self) -> Result<(), StoreError> {
        let mut scan = LogScan::default();
        loop {
            let page = self.reads.scan_log(&scan).await;
            let Some(page) = self.report.note(page)? else { return Ok(()) };
            for entry in &page.items {
                self.report.counts().entries += 1;
                let found = self.entry(entry).await;
                self.report.note(found)?;
            }
            match page.more {
                Some(more) => scan.after = Some(more),
                None => return Ok(()),
            }
        }
    }

    /// Whether an entry is found by everything that it is to be found by.
    async fn entry(&mut self, entry: &LogEntry) -> Result<(), StoreError> {
        let (header, digest) = (entry.changeset.header(), entry.changeset.digest());
        let place = self.reads.place();
        let lacks = |what: &str| {
            let place = format!("{place}, log entry {}", entry.position);
            Err(StoreError::corrupt(place, format!("it is not found by {what}")))
        };
        let map = self.reads.map();
        if self.reads.position_of(digest).await? != Some(entry.position) {
            return lacks("its digest");
        }
        let position = entry.position.get().to_le_bytes();
        let key = keys::origin(header.origin, header.sequence, digest);
        if map.get(&key).await?.as_deref() != Some(&position) {
            return lacks("its origin");
        }
        if self.reads.entries().entry_at(entry.position).await? != *entry {
            return lacks("its position");
        }
        for record in entry.records() {
            self.touches += 1;
            if map.get(&keys::history(record, entry.position)).await?.is_none() {
                return lacks(&format!("the history of {record}"));
            }
        }
        Ok(())
    }

    /// Whether there is nothing but what the entries are found by. Where entries cannot be read, that
    /// cannot be told.
    async fn index(&mut self) -> Result<(), StoreError> {
        let touched = self.count(keys::histories()).await?;
        let changesets = self.count(keys::changesets()).await?;
        let authored = self.count(keys::origins()).await?;
        let (touches, entries) = (self.touches, self.report.counts().entries);
        let same = (touched, changesets, authored) == (touches, entries, entries);
        if !same && self.report.is_sound() {
            self.report.problem(format!(
                "{}: the index has {changesets} changesets, {authored} by origin, and {touched} \
                 entries of histories, where the log has {entries} and {touches}",
                self.reads.place()
            ));
        }
        Ok(())
    }

    async fn count(&mut self, range: KeyRange) -> Result<u64, StoreError> {
        let mut found = self.reads.map().scan(range, Direction::Forward);
        let mut count = 0;
        loop {
            let next = found.next().await;
            match self.report.note(next)? {
                Some(Some(_)) => count += 1,
                _ => return Ok(count),
            }
        }
    }

    async fn states(&mut self) -> Result<(), StoreError> {
        let mut scan = RecordScan::default();
        loop {
            let page = self.reads.scan_records(&scan).await;
            let Some((count, more)) = self.report.note(page.map(counted))? else { break };
            self.report.counts().records += count;
            scan.after = more;
            if scan.after.is_none() {
                break;
            }
        }
        let mut scan = ResolutionScan::default();
        loop {
            let page = self.reads.scan_resolutions(&scan).await;
            let Some((count, more)) = self.report.note(page.map(counted))? else { break };
            self.report.counts().resolutions += count;
            scan.after = more;
            if scan.after.is_none() {
                break;
            }
        }
        let mut scan = MetadataScan::default();
        loop {
            let page = self.reads.scan_metadata(&scan).await;
            let Some((count, more)) = self.report.note(page.map(counted))? else { break };
            self.report.counts().metadata += count;
            scan.after = more;
            if scan.after.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Whether the last commit is that of the head.
    async fn commits(&mut self) -> Result<(), StoreError> {
        let head = self.reads.head();
        let mut found = self.reads.map().scan(keys::commits(), Direction::Backward);
        let last = found.next().await;
        let Some(last) = self.report.note(last)? else { return Ok(()) };
        let sound = match &last {
            Some((key, id)) => {
                keys::to_commit(key) == Some(head.version) && id == head.commit.as_bytes()
            }
            None => head.version.get() == 0,
        };
        if !sound {
            let place = self.reads.place();
            self.report
                .problem(format!("{place}: the last commit is not that of the head, {head}"));
        }
        Ok(())
    }
}

fn counted<T, C>(page: Page<T, C>) -> (u64, Option<C>) {
    (page.items.len() as u64, page.more)
}
