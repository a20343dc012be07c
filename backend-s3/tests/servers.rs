//! Real servers, which have to be installed: `. .ci/servers`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backend_s3::{S3Options, Writers};
use conformance::{Harness, Place, Power, Store, Suite};
use futures_lite::future::block_on;
use prophet_bucket::{Program, RealServer};
use prophet_store::{
    Identity, Properties, Replica, ReplicaStore as _, ReplicaStoreExt as _, Sharing, StoreError,
};

fn options(server: &RealServer) -> S3Options {
    let at = server.endpoint();
    S3Options::new()
        .config("allow_http", "true")
        .config("aws_endpoint", &at.url)
        .config("aws_region", &at.region)
        .config("aws_access_key_id", &at.access_key)
        .config("aws_secret_access_key", &at.secret_key)
}

/// One server, and a prefix for each place.
struct ServerHarness {
    options: S3Options,
    bucket: String,
    places: AtomicU64,
}

impl Harness for ServerHarness {
    fn place(&self) -> Box<dyn Place> {
        let number = self.places.fetch_add(1, Ordering::Relaxed);
        let url = format!("s3://{}/place-{number}", self.bucket);
        Box::new(ServerPlace { options: self.options.clone(), url })
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        Ok(Arc::new(block_on(self.options.open(address))?))
    }
}

struct ServerPlace {
    options: S3Options,
    url: String,
}

impl Place for ServerPlace {
    /// Refused where a race of the probe had two winners: moto has them about once in a thousand.
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        let options = self.options.clone().writers(Writers::Several);
        for _ in 0..4 {
            match block_on(options.create(&self.url, identity)) {
                Err(error) if error.to_string().contains("several writers apart") => {
                    eprintln!("{error}");
                }
                created => return Ok(Arc::new(created?)),
            }
        }
        Ok(Arc::new(block_on(options.create(&self.url, identity))?))
    }

    fn open(&self) -> Result<Store, StoreError> {
        Ok(Arc::new(block_on(self.options.open(&self.url))?))
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        let opened = block_on(self.options.clone().read_only(true).open(&self.url));
        Some(opened.map(|store| Arc::new(store) as Store))
    }

    fn address(&self) -> Option<String> {
        Some(self.url.clone())
    }
}

/// The groups in which it matters what the service does. The others are run over the wire.
const GROUPS: [&str; 6] =
    ["cancellation", "commit", "handles", "idempotency", "lifecycle", "paging"];

/// What is tried over buckets in memory, where requests can be made to fail and objects to change.
const WITHOUT: &[Power] = &[Power::Faults, Power::PowerLoss, Power::Damage];

/// All checks of these groups but those with other processes, for which one server would have to outlive
/// the tests; and but races, for a server that lets two win now and then would be to blame.
fn suite(program: Program) {
    let server = RealServer::start(program).unwrap();
    let bucket = server.endpoint().bucket.clone();
    let options = options(&server).checkpoint_every(4);
    let harness = ServerHarness { options, bucket, places: AtomicU64::new(0) };
    let suite = Suite::new(&harness, WITHOUT);
    let mut ran = 0;
    for check in conformance::checks() {
        let elsewhere = check.needs.contains(&Power::Address) || check.name.contains("racing");
        if elsewhere || !check.applies(WITHOUT) || !GROUPS.contains(&check.group) {
            continue;
        }
        if let Err(failure) = suite.run(check) {
            panic!("{}::{}\n{failure}\n{}", check.group, check.name, server.log());
        }
        ran += 1;
    }
    assert!(ran > 40, "{ran} checks");
}

#[test]
fn moto_is_a_bucket_for_several_writers() {
    suite(Program::Moto);
}

/// A server that is in use with people, on a disk.
#[test]
fn three_write_to_seaweedfs_at_once_and_lose_nothing() {
    const EACH: u64 = 25;
    let server = RealServer::start(Program::SeaweedFs).unwrap();
    let options = options(&server).checkpoint_every(16).writers(Writers::Several);
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
    let options = options(&server);
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
