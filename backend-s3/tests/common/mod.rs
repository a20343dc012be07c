//! What the tests of this crate have in common.

#![allow(dead_code, reason = "each test file uses a part of it")]

mod fixture;

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::task::Poll;

#[allow(unused_imports, reason = "each test file uses a part of it")]
pub(crate) use fixture::{Fixture, Names, commit, record_of, texts, words};
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
#[allow(unused_imports, reason = "each test file uses a part of it")]
pub(crate) use harnesses::{Quick, on_one_thread};
use prophet_store::{
    Changeset, Commit, CommitId, DatabaseId, Direction, Head, Identity, LogEntry, MemoryStore,
    MetadataKey, Properties, Replica, ReplicaId, StoreError, Value,
};

pub(crate) const DATABASE: DatabaseId = DatabaseId::from_bytes([0xDB; 16]);

pub(crate) fn identity(replica: u8) -> Identity {
    Identity { database: DATABASE, replica: ReplicaId::from_bytes([replica; 16]) }
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
    let number = |number| Value::from(i64::try_from(number).unwrap());
    changesets_of(author, count, "number", number)
}

/// As [`changesets`], with these values of a property.
pub(crate) fn changesets_of(
    author: u8,
    count: usize,
    property: &str,
    mut value: impl FnMut(usize) -> Value,
) -> Vec<Changeset> {
    block_on(async {
        let replica = Replica::open(MemoryStore::new(identity(author))).await.unwrap();
        for number in 0..count {
            let properties = Properties::try_from([(property, value(number))]).unwrap();
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

/// One commit of all these changesets, on a head.
pub(crate) fn commit_of_all(changesets: &[Changeset], base: Head, id: CommitId) -> Commit {
    let (mut commit, mut states) = (Commit::new(id, base), BTreeMap::new());
    for changeset in changesets {
        let position = commit.head().position.next();
        let entry = LogEntry::integrate(position, changeset, &mut states);
        commit = commit.with_entry(entry).unwrap();
    }
    states.into_values().fold(commit, |commit, state| commit.with_record(state).unwrap())
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
