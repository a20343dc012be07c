//! The one seam through which the engine meets time and chance.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::error::Error;
use crate::id::{CommitId, DatabaseId, RecordId, ReplicaId};
use crate::store::Identity;

/// Time and chance, as the engine gets them; a test hands in its own.
pub trait Environment: Debug + Send + Sync + 'static {
    /// The wall clock, in milliseconds since the Unix epoch. It may jump.
    fn now(&self) -> u64;

    /// Fills `bytes` with random bytes.
    ///
    /// # Errors
    /// When there are none to be had.
    fn random(&self, bytes: &mut [u8]) -> io::Result<()>;

    /// Waits at least this long.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The clock and the random numbers of the operating system.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    #[allow(clippy::disallowed_methods, reason = "this is the seam")]
    fn now(&self) -> u64 {
        // Before 1970 the clock is wrong in any case, and clocks decide nothing but ties.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    #[allow(clippy::disallowed_methods, reason = "this is the seam")]
    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(io::Error::other)
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(futures_timer::Delay::new(duration))
    }
}

fn random_uuid(environment: &dyn Environment) -> io::Result<Uuid> {
    let mut bytes = [0; 16];
    environment.random(&mut bytes)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

impl Identity {
    /// The identity of the first replica of a new database.
    ///
    /// # Errors
    /// When the operating system has no random numbers.
    pub fn new_database() -> io::Result<Self> {
        let database = DatabaseId::from(random_uuid(&SystemEnvironment)?);
        Self::new_replica(database)
    }

    /// The identity of a new replica of `database`.
    ///
    /// # Errors
    /// When the operating system has no random numbers.
    pub fn new_replica(database: DatabaseId) -> io::Result<Self> {
        Ok(Self { database, replica: ReplicaId::from(random_uuid(&SystemEnvironment)?) })
    }
}

pub(crate) fn new_commit_id(environment: &dyn Environment) -> Result<CommitId, Error> {
    random_uuid(environment).map(CommitId::from).map_err(Error::random)
}

pub(crate) fn new_replica_id(environment: &dyn Environment) -> Result<ReplicaId, Error> {
    random_uuid(environment).map(ReplicaId::from).map_err(Error::random)
}

/// Record ids begin with the time, so that records made together are stored together.
pub(crate) fn new_record_id(environment: &dyn Environment) -> Result<RecordId, Error> {
    let mut bytes = [0; 10];
    environment.random(&mut bytes).map_err(Error::random)?;
    let uuid = uuid::Builder::from_unix_timestamp_millis(environment.now(), &bytes).into_uuid();
    Ok(RecordId::from(uuid))
}
