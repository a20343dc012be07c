//! What a commit gives that does not follow from its entries is in its line, and comes back. No engine
//! makes such commits (rule L3); whoever drives a store by hand may.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use backend_fs::FsOptions;
use futures_lite::future::block_on;
use prophet_store::{
    Commit, CommitId, Digest, Head, Identity, Position, PropertyName, RecordId, RecordKey,
    RecordScan, RecordState, RecordType, Register, RegisterName, ReplicaId, ReplicaStore as _,
    Resolution, ResolutionScan, Sequence, Timestamp, Value, Vote, Write,
};

fn write(value: impl Into<Value>) -> Register {
    let (changeset, rank) = (Digest::from_bytes([5; 32]), Timestamp::new(1_700_000_000_000, 0));
    Register::new(vec![Write::new(changeset, rank, Some(value.into()))])
}

#[test]
fn states_and_votes_without_an_entry_come_back() {
    let key = RecordKey::new(RecordType::new("bug").unwrap(), RecordId::from_bytes([1; 16]));
    let title = PropertyName::new("title").unwrap();
    let properties = BTreeMap::from([(title.clone(), write("given"))]);
    let state =
        RecordState::from_registers(key.clone(), Position::ZERO, write(true), properties).unwrap();
    let candidates = vec![None, Some(Value::from("given"))];
    let vote = Vote::new(key, RegisterName::Property(title), candidates, None, Vec::new()).unwrap();
    let resolution = Resolution {
        changeset: Digest::from_bytes([6; 32]),
        voter: ReplicaId::from_bytes([7; 16]),
        sequence: Sequence::FIRST,
        vote,
    };
    let commit = Commit::new(CommitId::from_bytes([1; 16]), Head::EMPTY)
        .with_record(state.clone())
        .unwrap()
        .with_resolution(resolution.clone())
        .unwrap();
    // In the open segment, and in a sealed one.
    for segment_bytes in [1 << 20, 1] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("replica");
        let options = FsOptions::new().segment_bytes(segment_bytes);
        let store = options.create(&path, Identity::new_database().unwrap()).unwrap();
        block_on(store.commit(&commit)).unwrap();
        for store in [store, options.open(&path).unwrap()] {
            let records = block_on(store.scan_records(&RecordScan::default())).unwrap();
            assert_eq!(records.items, std::slice::from_ref(&state), "segments of {segment_bytes}");
            let votes = block_on(store.scan_resolutions(&ResolutionScan::default())).unwrap();
            assert_eq!(
                votes.items,
                std::slice::from_ref(&resolution),
                "segments of {segment_bytes}"
            );
        }
    }
}
