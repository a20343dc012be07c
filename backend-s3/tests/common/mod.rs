//! What the tests of this crate have in common.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use backend_s3::S3Options;
use futures_lite::StreamExt as _;
use futures_lite::future::{block_on, yield_now};
use prophet_store::{
    Changeset, Commit, CommitId, DatabaseId, Direction, Environment, Head, Identity, LogEntry,
    MemoryStore, MetadataKey, Properties, Replica, ReplicaId, StoreError,
};

pub(crate) const DATABASE: DatabaseId = DatabaseId::from_bytes([0xDB; 16]);

pub(crate) fn identity(replica: u8) -> Identity {
    Identity { database: DATABASE, replica: ReplicaId::from_bytes([replica; 16]) }
}

/// Time that passes at once, and chance that a seed decides.
#[derive(Debug)]
pub(crate) struct Quick(AtomicU64);

impl Quick {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Environment for Quick {
    fn now(&self) -> u64 {
        1_700_000_000_000
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        for byte in bytes {
            let seed = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
            let mixed = (seed ^ (seed >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            *byte = (mixed >> 56) as u8;
        }
        Ok(())
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async {
            for _ in 0..8 {
                yield_now().await;
            }
        })
    }
}

/// Options for a bucket in memory whose callers are all on one thread.
pub(crate) fn on_one_thread(seed: u64) -> S3Options {
    S3Options::new().on_caller(true).environment(std::sync::Arc::new(Quick::new(seed)))
}

/// All of these at once, on one thread.
pub(crate) fn all<T>(tasks: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut tasks: Vec<_> = tasks.into_iter().map(|task| (Box::pin(task), None)).collect();
    block_on(poll_fn(|context| {
        let mut open = false;
        for (task, done) in &mut tasks {
            if done.is_none() {
                match task.as_mut().poll(context) {
                    Poll::Ready(value) => *done = Some(value),
                    Poll::Pending => open = true,
                }
            }
        }
        if open { Poll::Pending } else { Poll::Ready(()) }
    }));
    tasks.into_iter().map(|(_, done)| done.unwrap()).collect()
}

/// Changesets of one author, each of which creates a record.
pub(crate) fn changesets(author: u8, count: usize) -> Vec<Changeset> {
    block_on(async {
        let replica = Replica::open(MemoryStore::new(identity(author))).await.unwrap();
        for number in 0..count {
            let number = i64::try_from(number).unwrap();
            let properties = Properties::try_from([("number", number)]).unwrap();
            replica.create("bug", properties).await.unwrap();
        }
        let mut log = replica.log(None, Direction::Forward);
        let mut made = Vec::new();
        while let Some(entry) = log.next().await {
            made.push(entry.unwrap().changeset);
        }
        made
    })
}

/// A commit of a changeset, and of a note about it, on a head.
pub(crate) fn commit_of(changeset: &Changeset, base: Head, id: CommitId) -> Commit {
    let mut states = BTreeMap::new();
    let entry = LogEntry::integrate(base.position.next(), changeset, &mut states);
    let header = changeset.header();
    let key = format!("made/{}/{:06}", header.origin, header.sequence.get());
    let commit = Commit::new(id, base).with_entry(entry).unwrap();
    let commit = states.into_values().fold(commit, |commit, it| commit.with_record(it).unwrap());
    let value = Some(changeset.digest().as_bytes().to_vec());
    commit.with_metadata(MetadataKey::new(key).unwrap(), value).unwrap()
}

/// An id that only this author's attempt of this number has.
pub(crate) fn commit_id(author: u8, attempt: u64) -> CommitId {
    let mut id = [author; 16];
    id[..8].copy_from_slice(&attempt.to_le_bytes());
    CommitId::from_bytes(id)
}

/// Commits as whoever uses a store does: again where that settles something, anew on another head.
pub(crate) async fn push(
    store: &dyn prophet_store::ReplicaStore,
    changeset: &Changeset,
    author: u8,
    attempts: &mut u64,
) -> Head {
    let mut base = loop {
        if let Ok(head) = store.head().await {
            break head;
        }
    };
    loop {
        *attempts += 1;
        let commit = commit_of(changeset, base, commit_id(author, *attempts));
        loop {
            match store.commit(&commit).await {
                Ok(head) => {
                    assert_eq!(head, commit.head());
                    return head;
                }
                Err(StoreError::OutcomeUnknown { .. }) => {}
                Err(StoreError::StaleBase { head, .. }) => {
                    assert_ne!(head, base);
                    base = head;
                    break;
                }
                // Nothing was sent that may arrive yet, or so it says; another commit shows it.
                Err(StoreError::Io { .. } | StoreError::Busy { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
}
