//! Which commit ids are remembered, and which are not for ever.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;

use prophet_kv::writes;
use prophet_store::Version;
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
