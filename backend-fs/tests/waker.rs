//! An executor may go on with a task on the very thread that wakes it, and the task may read.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::future::Future as _;
use std::pin::pin;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use backend_fs::FsStore;
use futures_lite::future::block_on;
use prophet_store::{Commit, CommitId, Head, Identity, MetadataKey, ReplicaStore as _};

/// Reads where it is woken.
struct Inline {
    store: Arc<FsStore>,
    key: MetadataKey,
    found: Mutex<Sender<(Head, Option<Vec<u8>>)>>,
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        let head = block_on(self.store.head()).unwrap();
        let read = block_on(self.store.get_metadata(std::slice::from_ref(&self.key))).unwrap();
        assert_eq!(read.at, head);
        let value = read.value.into_iter().next().unwrap();
        let _ = self.found.lock().unwrap().send((head, value));
    }
}

#[test]
fn a_waker_may_read_what_was_committed() {
    let directory = tempfile::tempdir().unwrap();
    let identity = Identity::new_database().unwrap();
    let store = Arc::new(FsStore::create(directory.path().join("replica"), identity).unwrap());
    let key = MetadataKey::new("woken").unwrap();
    let mut head = Head::EMPTY;
    for number in 1..=20 {
        let (found, read) = mpsc::channel();
        let inline = Inline { store: Arc::clone(&store), key: key.clone(), found: found.into() };
        let waker = Waker::from(Arc::new(inline));
        let commit = Commit::new(CommitId::from_bytes([number; 16]), head);
        let commit = commit.with_metadata(key.clone(), Some(vec![number])).unwrap();
        let mut committing = pin!(store.commit(&commit));
        assert!(committing.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let woken = read.recv_timeout(Duration::from_secs(20));
        assert_eq!(woken, Ok((commit.head(), Some(vec![number]))), "it waits for itself");
        head = block_on(committing).unwrap();
    }
}
