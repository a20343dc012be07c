//! The suite over the protocol of S3: the client of `object_store`, connections on the loopback
//! address, and other processes that open the same bucket.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise, and a slow line takes its time"
)]

#[path = "common/slow_line.rs"]
mod slow_line;

use std::sync::Arc;
use std::time::Duration;

use backend_s3::S3Options;
use conformance::{Harness, Place, Store};
use futures_lite::future::block_on;
use prophet_bucket::{Bucket, Settings, WireServer};
use prophet_store::{Identity, Properties, Replica, ReplicaStore as _, StoreError, Value};

use slow_line::SlowLine;

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
        let replica = Replica::open(options.create(&url, identity).await.unwrap()).await.unwrap();
        for _ in 0..9 {
            replica.create("bug", Properties::default()).await.unwrap();
        }
        replica.close().await.unwrap();
    });
    // And the next one anywhere else, after that runtime is gone.
    drop(runtime);
    let store = block_on(options.open(&url)).unwrap();
    assert_eq!(block_on(store.head()).unwrap().position.get(), 9);
}

/// On a slow line what is large takes longer than the service may be silent, and gets through; with a
/// limit to the whole of each request it does not.
#[test]
fn what_is_large_gets_through_a_slow_line() {
    const VALUE: usize = 400_000;
    let server = WireServer::start(&Bucket::with(Settings::plain(7))).unwrap();
    let at = server.endpoint();
    // A second and a half for the value, each way.
    let line = SlowLine::start(at.url.strip_prefix("http://").unwrap(), 256_000).unwrap();
    let url = format!("http://{}", line.address());
    let address = [&at.bucket, &url, &at.region, &at.access_key, &at.secret_key];
    let (options, url) = options(&address.map(String::as_str).join(" "), 0);
    let options = options.silence(Duration::from_millis(700)).retries(1);
    // It does not compress.
    let value: String = (0..VALUE as u64 / 8)
        .map(|n| format!("{:08x}", (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32))
        .collect();
    let large = || Properties::try_from([("text", value.as_str())]).unwrap();
    block_on(async {
        let made = options.create(&url, Identity::new_database().unwrap()).await.unwrap();
        let replica = Replica::open(made).await.unwrap();
        let bug = replica.create("bug", large()).await.unwrap();
        let read = Replica::open(options.open(&url).await.unwrap()).await.unwrap();
        let there = read.get(&bug).await.unwrap().unwrap();
        let written = Value::from(value.as_str());
        assert!(there.properties().values().any(|it| *it == written), "it is another one");

        let hurried = options.config("timeout", "700 ms").open(&url).await;
        let error = hurried.expect_err("the commit is larger than can be read in time").to_string();
        assert!(error.contains("timed out") || error.contains("timeout"), "{error}");
    });
}

/// A service that takes a request and never answers it is given up.
#[test]
fn a_service_that_is_silent_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let (options, url) = options(&format!("bugs {url} us-east-1 key secret"), 0);
    let options = options.silence(Duration::from_millis(200)).retries(1);
    let error = block_on(options.open(&url)).unwrap_err();
    assert!(error.to_string().contains("did not answer within 0.2 s"), "{error}");
    drop(silent);
}
