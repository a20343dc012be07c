//! Buckets that are reached over the protocol of S3, by a client of the store's own.

use std::sync::Arc;

use backend_s3::S3Options;
use futures_lite::future::block_on;
use prophet_bucket::{Bucket, Endpoint, Settings, WireServer};
use prophet_store::{Identity, StoreError};

use crate::harness::{Harness, Place, Store};

/// Options to reach a service on the loopback address.
pub fn reaching(at: &Endpoint) -> S3Options {
    S3Options::new()
        .config("allow_http", "true")
        .config("aws_endpoint", &at.url)
        .config("aws_region", &at.region)
        .config("aws_access_key_id", &at.access_key)
        .config("aws_secret_access_key", &at.secret_key)
}

/// A server of the protocol in this process for each place, which other processes reach too.
#[derive(Debug, Clone, Copy)]
pub struct WireHarness {
    commits: usize,
}

impl WireHarness {
    /// With a checkpoint after every so many commits.
    pub const fn checkpoint_every(commits: usize) -> Self {
        Self { commits }
    }
}

impl Harness for WireHarness {
    fn place(&self) -> Box<dyn Place> {
        let bucket = Bucket::with(Settings::plain(7));
        let server = WireServer::start(&bucket).expect("the protocol of S3 is served");
        let at = server.endpoint().clone();
        Box::new(WirePlace { at, commits: self.commits, _server: server })
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        let at = Endpoint::at(address.parse().expect("an address of this harness is a port"));
        opened(&reaching(&at).checkpoint_every(self.commits), &at)
    }
}

fn url(at: &Endpoint) -> String {
    format!("s3://{}/ours/bugs", at.bucket)
}

fn opened(options: &S3Options, at: &Endpoint) -> Result<Store, StoreError> {
    Ok(Arc::new(block_on(options.open(&url(at)))?))
}

struct WirePlace {
    at: Endpoint,
    commits: usize,
    _server: WireServer,
}

impl WirePlace {
    fn options(&self) -> S3Options {
        reaching(&self.at).checkpoint_every(self.commits)
    }
}

impl Place for WirePlace {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        Ok(Arc::new(block_on(self.options().create(&url(&self.at), identity))?))
    }

    fn open(&self) -> Result<Store, StoreError> {
        opened(&self.options(), &self.at)
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        Some(opened(&self.options().read_only(true), &self.at))
    }

    fn address(&self) -> Option<String> {
        self.at.port().map(|port| port.to_string())
    }
}
