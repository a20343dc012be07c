//! sled cannot write any more: the commit that met it is unknown, nothing is committed after it, what
//! was acknowledged is read on, and all of it is there when the replica is opened again.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::Command;

use backend_sled::SledStore;
use futures_lite::future::block_on;
use prophet_store::{
    Commit, CommitId, Head, Identity, MetadataKey, MetadataScan, ReplicaStore as _, StoreError,
};

const PATH: &str = "PROPHET_TEST_PATH";
const DONE: &str = "acknowledged ";

fn commit(base: Head) -> Commit {
    let number = base.version.get() + 1;
    let id = CommitId::from_bytes(u128::from(number).to_be_bytes());
    let key = MetadataKey::new(format!("key/{number:04}")).unwrap();
    Commit::new(id, base).with_metadata(key, Some(vec![number as u8; 50_000])).unwrap()
}

fn is_whole(store: &SledStore, head: Head) -> Result<(), StoreError> {
    let mut found = 0;
    let mut scan = MetadataScan::default();
    loop {
        let page = block_on(store.scan_metadata(&scan))?;
        assert_eq!(page.at, head);
        found += page.items.len() as u64;
        scan.after = page.more;
        if scan.after.is_none() {
            break;
        }
    }
    assert_eq!(found, head.version.get());
    Ok(())
}

#[test]
#[ignore = "the process with a limit that another test starts"]
fn child() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let store = SledStore::open(Path::new(&path)).unwrap();
    let mut head = block_on(store.head()).unwrap();
    let failed = loop {
        match block_on(store.commit(&commit(head))) {
            Ok(next) => head = next,
            Err(error) => break error,
        }
    };
    assert!(matches!(failed, StoreError::OutcomeUnknown { .. }), "{failed:?}");
    for _ in 0..3 {
        let later = block_on(store.commit(&commit(head)));
        assert!(matches!(later, Err(StoreError::Closed { .. })), "{later:?}");
    }
    assert_eq!(block_on(store.head()).unwrap(), head);
    // After a failure sled may refuse to read from the disk as well, and says so.
    let read = is_whole(&store, head);
    assert!(matches!(read, Ok(()) | Err(StoreError::Io { .. })), "{read:?}");
    println!("\n{DONE}{}", head.version);
    block_on(store.close()).unwrap();
}

#[test]
fn a_failure_to_write_ends_the_writing_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    drop(SledStore::create(&path, Identity::new_database().unwrap()).unwrap());
    // No file may be longer than some megabytes, and to try is an error and not a signal.
    let program = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8000; exec \"$0\" \"$@\""])
        .arg(program)
        .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"])
        .env(PATH, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    let acknowledged = said.lines().find_map(|line| line.strip_prefix(DONE)).unwrap();
    let acknowledged: u64 = acknowledged.parse().unwrap();
    assert!(acknowledged > 3, "{said}");

    let store = SledStore::open(&path).unwrap();
    let head = block_on(store.head()).unwrap();
    let version = head.version.get();
    assert!((acknowledged..=acknowledged + 1).contains(&version), "{version} of {acknowledged}");
    is_whole(&store, head).unwrap();
    assert_eq!(block_on(store.verify()).unwrap().problems, Vec::<String>::new());
    block_on(store.commit(&commit(head))).unwrap();
}
