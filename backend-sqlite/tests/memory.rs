//! Streaming takes no more memory for many records than for few. The only test of its process, so
//! that nothing else takes memory meanwhile.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use backend_sqlite::SqliteStore;
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_store::{Identity, Properties, Query, Replica};

const RECORDS: usize = 20_000;
const BYTES_EACH: usize = 2_048;
/// A page of records, a few buffers and SQLite's cache; the records together are five times that.
const ALLOWED: usize = 8 << 20;

/// What the process holds in memory now, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

#[test]
fn memory_stays_flat_while_all_records_are_streamed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("large.db");
    block_on(async {
        let store = SqliteStore::create(&path, Identity::new_database().unwrap()).unwrap();
        let replica = Replica::open(store).await.unwrap();
        let text = "x".repeat(BYTES_EACH);
        for _ in 0..RECORDS / 1_000 {
            let create = replica.edit(|edit| {
                let text = &text;
                async move {
                    for number in 0..1_000 {
                        let properties = Properties::new().with("n", number)?;
                        edit.create("note", properties.with("text", text.as_str())?).await?;
                    }
                    Ok(())
                }
            });
            create.await.unwrap();
        }
        replica.close().await.unwrap();

        let replica = Replica::open(SqliteStore::open(&path).unwrap()).await.unwrap();
        let query = Query::of("note").unwrap();
        let mut found = replica.find(&query);
        // What one page needs is there before the first record comes.
        found.next().await.unwrap().unwrap();
        let (before, mut most, mut count) = (resident(), 0, 1);
        while let Some(record) = found.next().await {
            record.unwrap();
            count += 1;
            if count % 100 == 0 {
                most = most.max(resident());
            }
        }
        assert_eq!(count, RECORDS);
        let grown = most.saturating_sub(before);
        println!("{grown} bytes more at most, for {} bytes of text", RECORDS * BYTES_EACH);
        assert!(grown < ALLOWED, "streaming took {grown} bytes more");
    });
}
