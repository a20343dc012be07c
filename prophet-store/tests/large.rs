//! What is too much for one commit goes in several.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use futures_lite::future::block_on;
use prophet_store::*;

const MEBIBYTE: usize = 1 << 20;

fn replica(database: DatabaseId, number: u8) -> Replica {
    let identity = Identity { database, replica: ReplicaId::from_bytes([number; 16]) };
    block_on(Replica::open(MemoryStore::new(identity))).unwrap()
}

/// Small changesets of large records: what they lead to is more than a commit may have.
#[test]
fn small_changesets_of_large_records_are_pulled() {
    block_on(async {
        let ada = replica(DatabaseId::from_bytes([1; 16]), 1);
        let mut keys = Vec::new();
        for number in 0..20_u8 {
            let photo = Value::Bytes(vec![number; 28 * MEBIBYTE]);
            keys.push(
                ada.create("photo", Properties::try_from([("photo", photo)]).unwrap())
                    .await
                    .unwrap(),
            );
        }
        let identity = Identity::new_replica(ada.store().facts().identity.database).unwrap();
        let bob = Replica::clone_of(MemoryStore::new(identity), &ada).await.unwrap();
        for key in &keys {
            ada.update(key, Properties::try_from([("seen", true)]).unwrap()).await.unwrap();
        }
        let pulled = bob.pull(&ada, PullOptions::new()).await.unwrap();
        assert_eq!(pulled.integrated, 20);
        assert_eq!(bob.head().await.unwrap().position, ada.head().await.unwrap().position);
    });
}

/// What nobody can vote on stays open, and keeps nobody from deciding about the rest.
#[test]
fn votes_that_are_too_much_for_one_changeset_are_several() {
    block_on(async {
        let ada = replica(DatabaseId::from_bytes([1; 16]), 1);
        let key = ada.create("photo", Properties::default()).await.unwrap();
        let identity = Identity::new_replica(ada.store().facts().identity.database).unwrap();
        let bob = Replica::clone_of(MemoryStore::new(identity), &ada).await.unwrap();
        // Each vote has both values, so three of them are more than a changeset may have.
        for (replica, fill) in [(&ada, 1), (&bob, 2)] {
            for name in ["front", "back", "side"] {
                let photo = Value::Bytes(vec![fill; 24 * MEBIBYTE]);
                replica.update(&key, Properties::try_from([(name, photo)]).unwrap()).await.unwrap();
            }
        }
        let pulled = bob.pull(&ada, PullOptions::new().prefer(Side::Source)).await.unwrap();
        assert_eq!((pulled.conflicts, pulled.by_policy, pulled.open), (3, 3, 0));
        assert_eq!(bob.pull(&ada, PullOptions::new()).await.unwrap().conflicts, 0, "it is settled");
        for name in ["front", "back", "side"] {
            let shown = bob.get(&key).await.unwrap().unwrap();
            assert_eq!(shown.get(name), Some(&Value::Bytes(vec![1; 24 * MEBIBYTE])));
        }
    });
}
