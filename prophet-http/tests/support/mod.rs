//! Replicas and trees for servers to serve.

#![allow(dead_code, unreachable_pub, reason = "what the tests share, not all of them use")]
#![allow(clippy::disallowed_methods, reason = "servers that tests play wait, and take their time")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[cfg(feature = "server")]
pub mod live;
pub mod proxy;
pub mod server;

use std::path::Path;

use futures_lite::StreamExt as _;
use prophet_files::{DirectoryTree, PublishOptions, PublishReport};
use prophet_store::*;

pub async fn replica_of(identity: Identity) -> Replica {
    Replica::open(MemoryStore::new(identity)).await.unwrap()
}

pub async fn replica() -> Replica {
    replica_of(Identity::new_database().unwrap()).await
}

/// An empty replica of the same database.
pub async fn other(replica: &Replica) -> Replica {
    let database = replica.store().facts().identity.database;
    replica_of(Identity::new_replica(database).unwrap()).await
}

/// Creates bugs of five properties and updates one property at a time, `records` changesets of the
/// first kind, each a changeset.
pub async fn fill(replica: &Replica, records: usize, changesets: usize) -> Vec<RecordKey> {
    let mut keys: Vec<RecordKey> = Vec::new();
    for first in (0..changesets).step_by(4_096) {
        let known = &keys;
        let edited = replica.edit(|edit| async move {
            let mut created = Vec::new();
            for number in first..changesets.min(first + 4_096) {
                edit.begin_changeset("ada@example.org", None)?;
                if number < records {
                    let properties = Properties::new()
                        .with("title", format!("bug number {number}"))?
                        .with("status", "open")?
                        .with("owner", "ada@example.org")?
                        .with("severity", 3)?
                        .with("component", "storage")?;
                    created.push(edit.create("bug", properties).await?);
                } else {
                    let status = format!("state {number}");
                    let status = Properties::new().with("status", status)?;
                    let key = known.get(number % records).or(created.get(number % records));
                    edit.update(key.unwrap(), status).await?;
                }
            }
            Ok(created)
        });
        keys.extend(edited.await.unwrap().value);
    }
    keys
}

pub async fn publish(replica: &Replica, path: &Path) -> PublishReport {
    let tree = DirectoryTree::new(path);
    prophet_files::publish(replica, &tree, PublishOptions::new()).await.unwrap()
}

pub async fn pull(target: &Replica, source: &dyn ChangesetSource) -> PullReport {
    target.pull(source, PullOptions::new()).await.unwrap()
}

pub async fn digests(replica: &Replica) -> Vec<Digest> {
    let log = replica.log(None, Direction::Forward);
    log.map(|entry| entry.unwrap().changeset.digest()).collect().await
}

pub async fn assert_sound(replica: &Replica) {
    let audit = replica.store().audit().await.unwrap();
    assert!(audit.is_sound(), "{:?}", audit.problems);
}
