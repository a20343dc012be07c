//! Benches live in `benches/benches`; run them with `cargo bench -p benches`.
//!
//! Every figure is measured beside its floor: the bare engine underneath, writing the same bytes
//! with the same durability, in the same run and in turns, so that a noisy disk slows both. Only
//! ratios within one run mean anything.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    reason = "a bench measures time and stops at the first surprise"
)]

use std::sync::mpsc;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_store::{
    Commit, CommitId, Head, LogEntry, LogScan, Properties, RecordKey, Replica, ReplicaStore,
    ReplicaStoreExt as _, Resolution, Value,
};

/// How many records single edits go to.
pub const RECORDS: usize = 1_000;
/// How many changesets are pulled and integrated.
pub const CHANGESETS: usize = 50_000;
/// As many changesets as a batch of a pull has.
pub const BATCH: usize = 4_096;

/// A worker thread that does what a bare engine does, one job after another, each handed over and
/// answered, as an async API over a blocking engine has to.
#[derive(Debug)]
pub struct Floor {
    jobs: mpsc::Sender<(u64, oneshot::Sender<()>)>,
    done: u64,
}

impl Floor {
    /// Runs `job` for each edit, with its number.
    pub fn new(mut job: impl FnMut(u64) + Send + 'static) -> Self {
        let (jobs, received) = mpsc::channel::<(u64, oneshot::Sender<()>)>();
        std::thread::spawn(move || {
            while let Ok((number, reply)) = received.recv() {
                job(number);
                let _ = reply.send(());
            }
        });
        Self { jobs, done: 0 }
    }

    /// One edit.
    pub fn edit(&mut self) {
        self.done += 1;
        let (reply, answer) = oneshot::channel();
        self.jobs.send((self.done, reply)).unwrap();
        block_on(answer).unwrap();
    }
}

/// A replica of [`RECORDS`] records, to be edited one property at a time.
#[derive(Debug)]
pub struct Subject {
    /// The replica.
    pub replica: Replica,
    keys: Vec<RecordKey>,
    edits: i64,
}

impl Subject {
    /// Fills the replica in `store`.
    pub fn new(store: impl ReplicaStore) -> Self {
        let replica = block_on(Replica::open(store)).unwrap();
        let edited = block_on(replica.edit(|edit| async move {
            let mut keys = Vec::new();
            for _ in 0..RECORDS {
                let properties = Properties::new()
                    .with("title", "a bug that somebody has found")?
                    .with("status", "open")?
                    .with("count", 0)?;
                keys.push(edit.create("bug", properties).await?);
            }
            Ok(keys)
        }));
        Self { replica, keys: edited.unwrap().value, edits: 0 }
    }

    /// One durable edit of one property.
    pub fn edit(&mut self) {
        self.edits += 1;
        // Records in an order that is neither sequential nor always the same few.
        let key = &self.keys[(self.edits as usize * 7_919) % RECORDS];
        let properties = Properties::new().with("count", Value::from(self.edits)).unwrap();
        block_on(self.replica.update(key, properties)).unwrap().unwrap();
    }
}

/// Runs `count` turns, in each of which everything is done once, and notes how long each took; gives
/// the time of the one that is `wanted`.
pub fn in_turns<const N: usize>(
    count: u64,
    wanted: usize,
    times: &mut [Vec<Duration>; N],
    mut act: impl FnMut(usize),
) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..count {
        for (index, times) in times.iter_mut().enumerate() {
            let started = Instant::now();
            act(index);
            let time = started.elapsed();
            times.push(time);
            if index == wanted {
                total += time;
            }
        }
    }
    total
}

/// The median of each; nothing if they were not run, as when others were asked for by name.
pub fn medians<const N: usize>(times: &mut [Vec<Duration>; N]) -> Option<[Duration; N]> {
    if times.iter().any(Vec::is_empty) {
        return None;
    }
    Some(times.each_mut().map(|times| {
        times.sort_unstable();
        times[times.len() / 2]
    }))
}

/// A replica's log in commits of so many entries each, with the states that they lead to.
pub async fn commits(source: &Replica, entries_each: usize) -> Vec<Commit> {
    let mut states = std::collections::BTreeMap::new();
    let mut log = source.store().stream_log(LogScan::default());
    let mut entries = Vec::new();
    while let Some(entry) = log.next().await {
        entries.push(entry.unwrap());
    }
    let (mut commits, mut head) = (Vec::new(), Head::EMPTY);
    for (number, batch) in entries.chunks(entries_each).enumerate() {
        let mut commit = Commit::new(CommitId::from_bytes([number as u8 + 1; 16]), head);
        let mut touched = std::collections::BTreeSet::new();
        for entry in batch {
            LogEntry::integrate(entry.position, &entry.changeset, &mut states);
            touched.extend(entry.changeset.payload().records().cloned());
            for resolution in Resolution::of(&entry.changeset) {
                commit = commit.with_resolution(resolution).unwrap();
            }
            commit = commit.with_entry(entry.clone()).unwrap();
        }
        for key in touched {
            commit = commit.with_record(states[&key].clone()).unwrap();
        }
        head = commit.head();
        commits.push(commit);
    }
    commits
}

/// Creates records of five properties, and updates one property at a time, each a changeset:
/// [`CHANGESETS`] in all.
pub async fn fill(replica: &Replica) {
    const OF: usize = CHANGESETS / 10;
    let mut keys: Vec<RecordKey> = Vec::new();
    for first in (0..CHANGESETS).step_by(BATCH) {
        let known = &keys;
        let edited = replica
            .edit(|edit| async move {
                let mut created = Vec::new();
                for number in first..CHANGESETS.min(first + BATCH) {
                    edit.begin_changeset("ada@example.org", None)?;
                    match number.checked_sub(OF) {
                        None => {
                            let properties = Properties::new()
                                .with("title", format!("bug number {number}"))?
                                .with("status", "open")?
                                .with("owner", "ada@example.org")?
                                .with("severity", 3)?
                                .with("component", "storage")?;
                            created.push(edit.create("bug", properties).await?);
                        }
                        Some(update) => {
                            let place = update % OF;
                            let key =
                                known.get(place).unwrap_or_else(|| &created[place - known.len()]);
                            let status = format!("state {}", update / OF);
                            edit.update(key, Properties::new().with("status", status)?).await?;
                        }
                    }
                }
                Ok(created)
            })
            .await
            .unwrap();
        keys.extend(edited.value);
    }
}
