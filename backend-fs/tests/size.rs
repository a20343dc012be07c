//! What a changeset takes on disk, everything included.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::path::Path;

use backend_fs::FsStore;
use futures_lite::future::block_on;
use prophet_store::{Identity, Properties, Replica};

const RECORDS: usize = 1_000;
const CHANGESETS: usize = 20_000;
const PER_COMMIT: usize = 100;

fn size(path: &Path) -> u64 {
    let files = fs::read_dir(path).unwrap().map(Result::unwrap);
    files
        .map(|file| match file.file_type().unwrap().is_dir() {
            true => size(&file.path()),
            false => file.metadata().unwrap().len(),
        })
        .sum()
}

#[test]
fn a_one_property_changeset_takes_less_than_300_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    block_on(async {
        let store = FsStore::create(&path, Identity::new_database().unwrap()).unwrap();
        let replica = Replica::open(store).await.unwrap();
        let status =
            |number: usize| Properties::try_from([("status", format!("status {number}"))]).unwrap();
        let created = replica
            .edit(|edit| async move {
                let mut keys = Vec::new();
                for number in 0..RECORDS {
                    keys.push(edit.create("bug", status(number)).await?);
                }
                Ok(keys)
            })
            .await;
        let keys = &created.unwrap().value;
        for first in (0..CHANGESETS).step_by(PER_COMMIT) {
            let edited = replica.edit(|edit| async move {
                for number in first..first + PER_COMMIT {
                    edit.begin_changeset("ada@example.org", None)?;
                    edit.update(&keys[number * 379 % RECORDS], status(number)).await?;
                }
                Ok(())
            });
            edited.await.unwrap();
        }
        replica.store().close().await.unwrap();
    });
    let parts = ["log", "index", "records"].map(|name| size(&path.join(name)));
    let [log, index, records] = parts.map(|bytes| bytes / CHANGESETS as u64);
    let each = size(&path) as f64 / CHANGESETS as f64;
    println!(
        "{each} bytes a changeset: {log} in the log, {index} in the index, {records} in records"
    );
    assert!(each < 300.0, "{each}");
}
