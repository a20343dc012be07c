//! Buckets of real servers, which have to be installed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backend_s3::{S3Options, Writers};
use futures_lite::future::block_on;
use prophet_bucket::{Program, RealServer, StartError};
use prophet_store::{Identity, StoreError};

use crate::harness::{Harness, Place, Store};
use crate::wire::reaching;

/// One server, and a prefix for each place.
#[derive(Debug)]
pub struct ServerHarness {
    server: RealServer,
    options: S3Options,
    places: AtomicU64,
}

impl ServerHarness {
    /// Starts a server on a free port, with a checkpoint after every so many commits.
    ///
    /// # Errors
    /// That it is not installed, or does not start.
    pub fn start(program: Program, commits: usize) -> Result<Self, StartError> {
        let server = RealServer::start(program)?;
        let options = reaching(server.endpoint()).checkpoint_every(commits);
        Ok(Self { server, options, places: AtomicU64::new(0) })
    }

    /// The server.
    pub const fn server(&self) -> &RealServer {
        &self.server
    }
}

impl Harness for ServerHarness {
    fn place(&self) -> Box<dyn Place> {
        let number = self.places.fetch_add(1, Ordering::Relaxed);
        let url = format!("s3://{}/place-{number}", self.server.endpoint().bucket);
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
