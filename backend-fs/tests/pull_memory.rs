//! Pulling takes no more memory for many changesets than for few. The only test of its process, so
//! that nothing else takes memory meanwhile.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use backend_fs::FsStore;
use futures_lite::future::block_on;
use prophet_store::{Identity, Properties, PullOptions, Replica};

const CHANGESETS: usize = 20_000;
const BYTES_EACH: usize = 4_096;
/// A batch of changesets in a few forms while its segment is sealed, and the caches of the index and
/// the log; all changesets together are more than twice that.
const ALLOWED: usize = 32 << 20;

/// What the process holds in memory now, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

#[test]
fn memory_stays_flat_while_changesets_are_pulled() {
    let directory = tempfile::tempdir().unwrap();
    let identity = Identity::new_database().unwrap();
    let source_path = directory.path().join("source");
    block_on(async {
        let source = FsStore::create(&source_path, identity).unwrap();
        let source = Replica::open(source).await.unwrap();
        let text = "x".repeat(BYTES_EACH);
        for _ in 0..CHANGESETS / 1_000 {
            let create = source.edit(|edit| {
                let text = &text;
                async move {
                    for number in 0..1_000 {
                        edit.begin_changeset("", None)?;
                        let properties = Properties::new().with("n", number)?;
                        edit.create("note", properties.with("text", text.as_str())?).await?;
                    }
                    Ok(())
                }
            });
            create.await.unwrap();
        }
        source.close().await.unwrap();

        let source = Replica::open(FsStore::open(&source_path).unwrap()).await.unwrap();
        let identity = Identity::new_replica(identity.database).unwrap();
        let target = FsStore::create(directory.path().join("target"), identity).unwrap();
        let target = Replica::open(target).await.unwrap();
        let (mut before, mut most, mut batches) = (0, 0, 0);
        let options = PullOptions::new().progress(|_| {
            batches += 1;
            // What a batch needs was there before the second one.
            match batches {
                1 | 2 => before = resident(),
                _ => most = most.max(resident()),
            }
        });
        let report = target.pull(&source, options).await.unwrap();
        assert_eq!(report.integrated, CHANGESETS as u64);
        let grown = most.saturating_sub(before);
        println!("{grown} bytes more at most, in {batches} batches of {} bytes", report.bytes);
        assert!(batches >= 10 && grown < ALLOWED, "pulling took {grown} bytes more");
    });
}
