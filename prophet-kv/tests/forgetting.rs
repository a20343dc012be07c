//! Which commit ids are remembered, which are not for ever, and what tells of a commit without them.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};

use futures_lite::future::block_on;
use prophet_kv::{EntriesInMap, Reads, writes};
use prophet_store::{
    Commit, CommitId, Head, Identity, LogScan, MemoryStore, Properties, Replica, StoreError,
    Version,
};
use prophet_tables::keys;

/// Rule C4 asks for 1,024; in steps of 256, there are fewer than 1,024 + 256 after any commit.
#[test]
fn the_last_1024_ids_remain_and_older_ones_go_in_steps() {
    let mut kept = BTreeSet::new();
    for version in 1..=3_000 {
        kept.insert(version);
        let mut list = Vec::new();
        writes::forget(&mut list, Version::new(version));
        assert!(list.is_empty() || version % 256 == 0, "at {version}");
        for (key, value) in list {
            let old = keys::to_commit(&key).unwrap().get();
            assert_eq!(value, None, "{old} is to go");
            assert!(kept.remove(&old), "{old} goes once, at {version}");
        }
        let oldest = *kept.first().unwrap();
        assert!(kept.iter().copied().eq(oldest..=version), "no gap at {version}");
        assert!(version - oldest >= 1_023.min(version - 1), "{oldest} at {version}");
        assert!(version - oldest < 1_024 + 255, "{oldest} at {version}");
    }
}

/// A commit whose id is forgotten is known by its changesets, but not where the replica has never been:
/// they may have come again, in another commit, after it was restored from before that one.
#[test]
fn a_commit_beyond_the_head_was_not_applied_whatever_it_brings() {
    let entry = block_on(async {
        let replica = Replica::open(MemoryStore::new(Identity::new_database().unwrap())).await;
        let replica = replica.unwrap();
        let properties = Properties::try_from([("title", "one")]).unwrap();
        replica.create("bug", properties).await.unwrap();
        replica.store().scan_log(&LogScan::default()).await.unwrap().items.remove(0)
    });
    let bringing = |id: u8, version: u64| {
        let base = Head { version: Version::new(version), ..Head::EMPTY };
        Commit::new(CommitId::from_bytes([id; 16]), base).with_entry(entry.clone()).unwrap()
    };
    let mut map: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let applied = bringing(1, 4);
    let mut list = Vec::new();
    writes::commit(&mut list, &applied);
    writes::apply(&mut map, list);
    let reads = Reads::new("a map", applied.head(), &map, EntriesInMap::new("a map", &map));
    let judge = |commit: &Commit| block_on(reads.judge(commit, |_| true));
    assert_eq!(judge(&applied).unwrap(), Some(applied.head()));
    // Nothing at its version tells that it was another one.
    let earlier = bringing(2, 2);
    assert_eq!(judge(&earlier).unwrap(), Some(earlier.head()));
    for version in [5, 9] {
        let beyond = judge(&bringing(2, version));
        let stale =
            matches!(beyond, Err(StoreError::StaleBase { head, .. }) if head == applied.head());
        assert!(stale, "{beyond:?}");
    }
}
