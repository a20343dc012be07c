//! The suite over the protocol of S3: the client of `object_store`, connections on the loopback
//! address, and other processes that open the same bucket.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;

use backend_s3::S3Options;
use conformance::{Harness, Place, Store};
use futures_lite::future::block_on;
use prophet_bucket::{Bucket, Settings, WireServer};
use prophet_store::{Identity, StoreError};

/// Each place has a server of its own.
struct WireHarness {
    commits: usize,
}

/// What opens a bucket in this process and in others, as a text.
fn options(address: &str, commits: usize) -> (S3Options, String) {
    let mut parts = address.split(' ').map(str::to_owned);
    let mut next = || parts.next().unwrap();
    let bucket = next();
    let mut options = S3Options::new().checkpoint_every(commits).config("allow_http", "true");
    for key in ["aws_endpoint", "aws_region", "aws_access_key_id", "aws_secret_access_key"] {
        options = options.config(key, next());
    }
    (options, format!("s3://{bucket}/ours/bugs"))
}

impl Harness for WireHarness {
    fn place(&self) -> Box<dyn Place> {
        let server = WireServer::start(&Bucket::with(Settings::plain(7))).unwrap();
        let at = server.endpoint();
        let address = [&at.bucket, &at.url, &at.region, &at.access_key, &at.secret_key];
        let address = address.map(String::as_str).join(" ");
        let (options, url) = options(&address, self.commits);
        Box::new(WirePlace { options, url, address, _server: server })
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        let (options, url) = options(address, self.commits);
        Ok(Arc::new(block_on(options.open(&url))?))
    }
}

struct WirePlace {
    options: S3Options,
    url: String,
    address: String,
    _server: WireServer,
}

impl Place for WirePlace {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        Ok(Arc::new(block_on(self.options.create(&self.url, identity))?))
    }

    fn open(&self) -> Result<Store, StoreError> {
        Ok(Arc::new(block_on(self.options.open(&self.url))?))
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        let opened = block_on(self.options.clone().read_only(true).open(&self.url));
        Some(opened.map(|store| Arc::new(store) as Store))
    }

    fn address(&self) -> Option<String> {
        Some(self.address.clone())
    }
}

conformance::suite!(wire, WireHarness { commits: 64 }, without = [faults, power_loss, damage]);
conformance::suite!(
    wire_derived,
    WireHarness { commits: 2 },
    without = [faults, power_loss, damage]
);

/// Called within a runtime of tokio's, of either kind, it works as anywhere else.
#[test]
fn it_works_within_tokio() {
    let place = WireHarness { commits: 2 };
    let server = place.place();
    let address = server.address().unwrap();
    let (options, url) = options(&address, 2);
    let identity = Identity::new_database().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use prophet_store::{Properties, Replica};
        let replica = Replica::open(options.create(&url, identity).await.unwrap()).await.unwrap();
        for _ in 0..9 {
            replica.create("bug", Properties::default()).await.unwrap();
        }
        replica.close().await.unwrap();
    });
    // And the next one anywhere else, after that runtime is gone.
    drop(runtime);
    let store = block_on(options.open(&url)).unwrap();
    use prophet_store::ReplicaStore as _;
    assert_eq!(block_on(store.head()).unwrap().position.get(), 9);
}
