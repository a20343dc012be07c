//! Real servers, which have to be installed: `. .ci/servers`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use backend_s3::Writers;
use futures_lite::future::block_on;
use harnesses::reaching;
use prophet_bucket::{Program, RealServer};
use prophet_store::{
    Identity, Properties, Replica, ReplicaStore as _, ReplicaStoreExt as _, Sharing,
};

/// A server that is in use with people, on a disk.
#[test]
fn three_write_to_seaweedfs_at_once_and_lose_nothing() {
    const EACH: u64 = 25;
    let server = RealServer::start(Program::SeaweedFs).unwrap();
    let options = reaching(server.endpoint()).checkpoint_every(16).writers(Writers::Several);
    let url = format!("s3://{}/bugs", server.endpoint().bucket);
    block_on(options.create(&url, Identity::new_database().unwrap())).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                block_on(async {
                    let replica = Replica::open(options.open(&url).await.unwrap()).await.unwrap();
                    for _ in 0..EACH {
                        replica.create("bug", Properties::default()).await.unwrap();
                    }
                    replica.close().await.unwrap();
                });
            });
        }
    });
    block_on(async {
        let store = options.open(&url).await.unwrap();
        assert_eq!(store.head().await.unwrap().position.get(), 3 * EACH);
        assert!(store.verify().await.unwrap().is_sound());
        let audit = store.audit().await.unwrap();
        assert!(audit.is_sound() && audit.records == 3 * EACH, "{audit:?}");
    });
}

#[test]
fn rclone_is_found_not_to_keep_writers_apart() {
    let server = RealServer::start(Program::Rclone).unwrap();
    let options = reaching(server.endpoint());
    let url = format!("s3://{}/bugs", server.endpoint().bucket);
    block_on(async {
        let identity = Identity::new_database().unwrap();
        let several = options.clone().writers(Writers::Several);
        let error = several.create(&url, identity).await.unwrap_err();
        assert!(error.to_string().contains("several writers apart"), "{error}");

        let store = options.create(&url, identity).await.unwrap();
        assert!(store.warning().unwrap().contains("only one program"));
        assert_eq!(store.facts().capabilities.sharing, Sharing::Exclusive);
        let replica = Replica::open(store).await.unwrap();
        for _ in 0..10 {
            replica.create("bug", Properties::default()).await.unwrap();
        }
        replica.close().await.unwrap();
        let store = options.open(&url).await.unwrap();
        assert_eq!(store.head().await.unwrap().position.get(), 10);
    });
}
