//! A vote that a commit brings twice is counted once.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use backend_sled::SledStore;
use futures_lite::future::block_on;
use prophet_store::{
    Commit, CommitId, Digest, Head, Identity, PropertyName, RecordId, RecordKey, RecordType,
    RegisterName, ReplicaId, ReplicaStore as _, Resolution, ResolutionScan, Sequence, Value, Vote,
};

fn vote(choice: &str) -> Resolution {
    let record = RecordKey::new(RecordType::new("bug").unwrap(), RecordId::from_bytes([3; 16]));
    let register = RegisterName::Property(PropertyName::new("title").unwrap());
    let candidates = ["one", "two"].map(|text| Some(Value::from(text)));
    let choice = Some(Value::from(choice));
    Resolution {
        changeset: Digest::from_bytes([5; 32]),
        voter: ReplicaId::from_bytes([2; 16]),
        sequence: Sequence::FIRST,
        vote: Vote::new(record, register, candidates.into(), choice, Vec::new()).unwrap(),
    }
}

#[test]
fn the_last_one_counts_and_the_replica_opens_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    let store = SledStore::create(&path, Identity::new_database().unwrap()).unwrap();
    let commit = Commit::new(CommitId::from_bytes([7; 16]), Head::EMPTY)
        .with_resolution(vote("one"))
        .unwrap()
        .with_resolution(vote("two"))
        .unwrap();
    block_on(store.commit(&commit)).unwrap();
    assert_eq!(block_on(store.verify()).unwrap().problems, Vec::<String>::new());
    drop(store);
    let store = SledStore::open(&path).unwrap();
    let page = block_on(store.scan_resolutions(&ResolutionScan::default())).unwrap();
    assert_eq!(page.items, [vote("two")]);
}
