//! Buckets of real servers, which have to be installed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backend_s3::S3Options;
use futures_lite::future::block_on;
use prophet_bucket::{Program, RealServer, StartError};
use prophet_store::StoreError;

use crate::harness::{Harness, Place, Store};
use crate::wire::{Reached, reaching};

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
        // moto lets two racers win about once in a thousand times.
        Box::new(Reached::new(self.options.clone(), url.clone(), url).tries(5))
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        Ok(Arc::new(block_on(self.options.open(address))?))
    }
}
