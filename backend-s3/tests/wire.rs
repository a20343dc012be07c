//! The protocol of S3, by the client of `object_store` and connections on the loopback address.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise, and a slow line takes its time"
)]

#[path = "common/slow_line.rs"]
mod slow_line;

use std::time::Duration;

use backend_s3::S3Options;
use futures_lite::future::block_on;
use harnesses::reaching;
use prophet_bucket::{Bucket, Conditions, Endpoint, Settings, WireServer};
use prophet_store::{Identity, Properties, Replica, ReplicaStore as _, StoreError, Value};

use slow_line::SlowLine;

/// What opens the bucket of a server at this URL, and where the replica is in it.
fn options(at: &Endpoint, url: &str, commits: usize) -> (S3Options, String) {
    let mut at = at.clone();
    at.url = url.to_owned();
    (reaching(&at).checkpoint_every(commits), format!("s3://{}/ours/bugs", at.bucket))
}

/// Called within a runtime of tokio's, of either kind, it works as anywhere else.
#[test]
fn it_works_within_tokio() {
    let server = WireServer::start(&Bucket::with(Settings::plain(7))).unwrap();
    let at = server.endpoint();
    let (options, url) = options(at, &at.url, 2);
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
    let (options, url) = options(at, &url, 0);
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
    let server = WireServer::start(&Bucket::with(Settings::plain(7))).unwrap();
    let (options, url) = options(server.endpoint(), &url, 0);
    let options = options.silence(Duration::from_millis(200)).retries(1);
    let error = block_on(options.open(&url)).unwrap_err();
    assert!(error.to_string().contains("did not answer within 0.2 s"), "{error}");
    drop(silent);
}

/// Where the service does not keep writers apart, one handle of this process may write, by whatever client
/// it comes.
#[test]
fn two_clients_of_one_process_do_not_both_write_where_one_may() {
    let bucket = Bucket::with(Settings::plain(7).conditions(Conditions::NotImplemented));
    let server = WireServer::start(&bucket).unwrap();
    let at = server.endpoint();
    let (options, url) = options(at, &at.url, 0);
    let store = block_on(options.create(&url, Identity::new_database().unwrap())).unwrap();
    let second = block_on(options.open(&url)).map(drop);
    assert!(matches!(second, Err(StoreError::Locked { .. })), "{second:?}");
    drop(store);
    block_on(options.open(&url)).unwrap();
}
