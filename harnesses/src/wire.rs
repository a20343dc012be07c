//! Buckets that are reached over the protocol of S3, by a client of the store's own.

use std::sync::Arc;

use backend_s3::{S3Options, Writers};
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
        let at = server.endpoint();
        let address = at.port().map(|port| port.to_string()).unwrap_or_default();
        let place = Reached::new(self.options(at), url(at), address);
        Box::new(Reached { _server: Some(server), ..place })
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        let at = Endpoint::at(address.parse().expect("an address of this harness is a port"));
        Ok(Arc::new(block_on(self.options(&at).open(&url(&at)))?))
    }
}

impl WireHarness {
    fn options(self, at: &Endpoint) -> S3Options {
        reaching(at).checkpoint_every(self.commits)
    }
}

fn url(at: &Endpoint) -> String {
    format!("s3://{}/ours/bugs", at.bucket)
}

/// A place in a bucket that is reached by its URL.
pub(crate) struct Reached {
    options: S3Options,
    url: String,
    address: String,
    /// How often it is tried to create a replica.
    tries: u32,
    /// It serves for as long as this is there.
    _server: Option<WireServer>,
}

impl Reached {
    pub(crate) const fn new(options: S3Options, url: String, address: String) -> Self {
        Self { options, url, address, tries: 1, _server: None }
    }

    /// Tries so often to create a replica for several writers: a server of tests may let two of them win
    /// now and then.
    #[cfg(feature = "servers")]
    pub(crate) const fn tries(mut self, tries: u32) -> Self {
        self.tries = tries;
        self
    }
}

impl Place for Reached {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        let options = self.options.clone().writers(Writers::Several);
        let mut tried = 1;
        loop {
            match block_on(options.create(&self.url, identity)) {
                Err(error) if tried < self.tries && error.to_string().contains(APART) => {
                    eprintln!("{error}");
                    tried += 1;
                }
                created => return Ok(Arc::new(created?)),
            }
        }
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

/// What is said of a service that does not keep writers apart.
const APART: &str = "several writers apart";
