//! What replicas are filled with, and the commits that come of it.

use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_store::{
    Commit, CommitId, Error, Head, Identity, LogEntry, LogScan, MemoryStore, NameError, PageLimit,
    Properties, RecordKey, Replica, ReplicaStoreExt as _, Resolution,
};

/// As many changesets as a batch of a pull has.
pub const BATCH: usize = 4_096;
/// As many changesets as an edit makes that fills a replica.
const FILL: usize = 1_000;

/// A record of five properties; each number has a title of its own.
///
/// # Errors
/// None: the names and values are good.
pub fn bug(number: usize) -> Result<Properties, NameError> {
    Properties::new()
        .with("title", title(number))?
        .with("status", "open")?
        .with("owner", "ada@example.org")?
        .with("severity", 3)?
        .with("component", "storage")
}

/// The title of the record of that number.
pub fn title(number: usize) -> String {
    format!("bug number {number}")
}

/// A change of one property.
///
/// # Errors
/// None: the name and the value are good.
pub fn change(number: usize) -> Result<Properties, NameError> {
    Properties::new().with("status", format!("state {number}"))
}

/// Creates the records of these numbers, each by a changeset of its own.
///
/// # Errors
/// What the store says.
pub async fn create(
    replica: &Replica,
    numbers: std::ops::Range<usize>,
) -> Result<Vec<RecordKey>, Error> {
    let mut keys = Vec::new();
    let mut first = numbers.start;
    while first < numbers.end {
        let last = numbers.end.min(first + FILL);
        let created = replica.edit(|edit| async move {
            let mut created = Vec::new();
            for number in first..last {
                edit.begin_changeset("ada@example.org", None)?;
                created.push(edit.create("bug", bug(number)?).await?);
            }
            Ok(created)
        });
        keys.extend(created.await?.value);
        first = last;
    }
    Ok(keys)
}

/// Changes one property of each of these records, each by a changeset of its own, all in commits of a
/// thousand.
///
/// # Errors
/// What the store says.
pub async fn update<'a>(
    replica: &Replica,
    records: impl IntoIterator<Item = &'a RecordKey>,
    number: usize,
) -> Result<(), Error> {
    let records: Vec<_> = records.into_iter().collect();
    for (batch, records) in records.chunks(FILL).enumerate() {
        let updated = replica.edit(|edit| async move {
            for (place, key) in records.iter().enumerate() {
                edit.begin_changeset("ada@example.org", None)?;
                edit.update(key, change(number + batch * FILL + place)?).await?;
            }
            Ok(())
        });
        updated.await?;
    }
    Ok(())
}

/// So many changesets: one in ten creates a record, the others change one property of one.
///
/// # Errors
/// What the store says.
pub async fn fill(replica: &Replica, changesets: usize) -> Result<Vec<RecordKey>, Error> {
    let records = create(replica, 0..changesets.div_ceil(10)).await?;
    let mut left = changesets - records.len();
    let mut number = 0;
    while left > 0 {
        let now = left.min(records.len());
        number += records.len();
        update(replica, records.iter().take(now), number).await?;
        left -= now;
    }
    Ok(records)
}

/// A replica's log in commits of so many entries each, with the states that they lead to.
///
/// # Errors
/// What the store says.
pub async fn commits(source: &Replica, entries_each: usize) -> Result<Vec<Commit>, Error> {
    let mut states = std::collections::BTreeMap::new();
    let entries: Vec<LogEntry> =
        source.store().stream_log(LogScan::default()).try_collect().await.map_err(Error::from)?;
    let (mut commits, mut head) = (Vec::new(), Head::EMPTY);
    for batch in entries.chunks(entries_each) {
        let mut touched = std::collections::BTreeSet::new();
        for entry in batch {
            LogEntry::integrate(entry.position, &entry.changeset, &mut states);
            touched.extend(entry.changeset.payload().records().cloned());
        }
        let mut commit = commit_of(batch.to_vec(), head)?;
        for key in touched {
            if let Some(state) = states.get(&key) {
                commit = commit.with_record(state.clone()).map_err(Error::from)?;
            }
        }
        head = commit.head();
        commits.push(commit);
    }
    Ok(commits)
}

fn commit_of(entries: Vec<LogEntry>, base: Head) -> Result<Commit, Error> {
    let id = u128::from(base.position.get()) + 1;
    let mut commit = Commit::new(CommitId::from_bytes(id.to_be_bytes()), base);
    for entry in entries {
        for resolution in Resolution::of(&entry.changeset) {
            commit = commit.with_resolution(resolution).map_err(Error::from)?;
        }
        commit = commit.with_entry(entry).map_err(Error::from)?;
    }
    Ok(commit)
}

/// The payloads of the changesets of a commit: what throughput is counted in.
pub fn payload_bytes(commit: &Commit) -> u64 {
    commit.entries().iter().map(|entry| entry.changeset.payload_bytes().len() as u64).sum()
}

/// The records that are edited, and whose turn it is.
#[derive(Debug, Clone)]
pub struct Edits {
    records: Vec<RecordKey>,
    done: usize,
}

impl Edits {
    /// Fills a replica with records to edit.
    ///
    /// # Errors
    /// What the store says.
    pub async fn begin(replica: &Replica, records: usize) -> Result<Self, Error> {
        Ok(Self { records: create(replica, 0..records).await?, done: 0 })
    }

    /// The next record and what to change: neither in sequence nor always the same few.
    ///
    /// # Errors
    /// None: the values are good.
    pub fn draw(&mut self) -> Result<(RecordKey, Properties), NameError> {
        self.done += 1;
        let place = (self.done * 7_919) % self.records.len();
        let record = self.records.get(place).cloned().expect("the place is within");
        Ok((record, change(self.done)?))
    }
}

/// The commits that the edits of a replica come to, without end, for engines that are to do the same.
#[derive(Debug)]
pub struct Script {
    replica: Replica,
    edits: Edits,
    head: Head,
    before: Vec<Commit>,
}

impl Script {
    /// Begins with so many records.
    ///
    /// # Errors
    /// None but those of memory.
    pub fn new(records: usize) -> Result<Self, Error> {
        block_on(async {
            let replica =
                Replica::open(MemoryStore::new(Identity::new_database().expect("there is chance")))
                    .await?;
            let edits = Edits::begin(&replica, records).await?;
            let before = commits(&replica, FILL).await?;
            let head = before.last().map_or(Head::EMPTY, Commit::head);
            Ok(Self { replica, edits, head, before })
        })
    }

    /// What was committed before the first edit.
    pub fn before(&self) -> &[Commit] {
        &self.before
    }

    /// One commit of so many edits, each a changeset of one property of one record.
    ///
    /// # Errors
    /// None but those of memory.
    pub fn commit(&mut self, edits: usize) -> Result<Commit, Error> {
        let next: Vec<_> = (0..edits).map(|_| self.edits.draw()).collect::<Result<_, _>>()?;
        let next = &next;
        block_on(async {
            let edit = self.replica.edit(|edit| async move {
                for (record, properties) in next {
                    edit.begin_changeset("ada@example.org", None)?;
                    edit.update(record, properties.clone()).await?;
                }
                Ok(())
            });
            edit.await?;
            let scan = LogScan {
                after: Some(self.head.position),
                limit: PageLimit::items(edits),
                ..LogScan::default()
            };
            let store = self.replica.store();
            let entries: Vec<LogEntry> =
                store.stream_log(scan).try_collect().await.map_err(Error::from)?;
            let mut keys: Vec<_> = next.iter().map(|(record, _)| record.clone()).collect();
            keys.sort_unstable();
            keys.dedup();
            let mut commit = commit_of(entries, self.head)?;
            let states = store.get_records(&keys).await.map_err(Error::from)?.value;
            for state in states.into_iter().flatten() {
                commit = commit.with_record(state).map_err(Error::from)?;
            }
            self.head = commit.head();
            Ok(commit)
        })
    }
}
