//! Creating and opening.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::path::Path;
use prophet_files::manifest::MANIFEST;
use prophet_store::{
    Access, Capabilities, Durability, Environment, Facts, Identity, Sharing, StoreError,
    SystemEnvironment,
};
use serde::{Deserialize, Serialize};

use crate::bucket::{Attempt, Bucket, Runs};
use crate::exclusive::Held;
use crate::heal::Trouble;
use crate::identity::Declared;
use crate::layout::{FORMAT, IDENTITY, PROBE};
use crate::patience::Patience;
use crate::probe::{Verdict, probe};
use crate::put::Guard;
use crate::root::Root;
use crate::shared::{Opening, Pace};
use crate::store::{Parts, S3Store};

/// Something is derived about once in so many commits.
pub(crate) const CHECKPOINT_COMMITS: usize = 64;
/// Or in so many bytes.
const CHECKPOINT_BYTES: usize = 8 << 20;
/// Blocks of tables are kept at hand up to so many bytes, and half as much of the log.
const CACHE_BYTES: usize = 16 << 20;
/// So often a request is sent again.
const RETRIES: u32 = 6;

/// How many may write to a replica at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sharers {
    Several,
    One,
}

/// Who is to write to a replica.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Writers {
    /// Any number of programs, if the service was found to keep them apart; otherwise one, with a
    /// [warning](S3Store::warning).
    #[default]
    AsProbed,
    /// Any number of programs. A service that was found not to keep them apart is refused.
    Several,
    /// One at a time, which the app sees to: whatever the service does. Nothing is probed.
    One,
}

/// How to open a replica in a bucket.
///
/// ```
/// use std::sync::Arc;
///
/// use backend_s3::S3Options;
/// use futures_lite::future::block_on;
/// use object_store::memory::InMemory;
/// use prophet_store::{Durability, Identity, ReplicaStore};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// block_on(async {
///     let bucket = Arc::new(InMemory::new());
///     let options = S3Options::new().durability(Durability::Volatile);
///     let store = options.create_in(bucket.clone(), "bugs", Identity::new_database()?).await?;
///     store.close().await?;
///     let store = options.open_in(bucket, "bugs").await?;
///     assert_eq!(store.head().await?.version.get(), 0);
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct S3Options {
    read_only: bool,
    writers: Writers,
    pace: Pace,
    cache_bytes: usize,
    fresh: bool,
    pub(crate) retries: u32,
    #[cfg_attr(not(feature = "cloud"), allow(dead_code, reason = "an app's client has its own"))]
    pub(crate) patience: Patience,
    on_caller: bool,
    inline: bool,
    durability: Durability,
    environment: Arc<dyn Environment>,
    #[cfg_attr(
        not(feature = "cloud"),
        allow(dead_code, reason = "only clouds have a configuration")
    )]
    pub(crate) config: Vec<(String, String)>,
}

impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The configuration may have secrets in it.
        f.debug_struct("S3Options")
            .field("read_only", &self.read_only)
            .field("writers", &self.writers)
            .finish_non_exhaustive()
    }
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            read_only: false,
            writers: Writers::default(),
            pace: Pace { commits: CHECKPOINT_COMMITS, bytes: CHECKPOINT_BYTES },
            cache_bytes: CACHE_BYTES,
            fresh: false,
            retries: RETRIES,
            patience: Patience::DEFAULT,
            on_caller: false,
            inline: false,
            durability: Durability::PowerLoss,
            environment: Arc::new(SystemEnvironment::default()),
            config: Vec::new(),
        }
    }
}

impl S3Options {
    /// For reading and writing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens for reading only: nothing in the bucket is touched.
    #[must_use]
    pub const fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Who is to write; [`Writers::AsProbed`] unless this is said.
    #[must_use]
    pub const fn writers(mut self, writers: Writers) -> Self {
        self.writers = writers;
        self
    }

    /// Has a checkpoint made about once in so many commits: 64 unless this is said. With 0 there are
    /// none but those that the app [asks for](S3Store::checkpoint). Where the root, which each one writes
    /// anew, is longer than 8 KiB, it is once in as many more, unless they are commits of more than 16 KiB.
    /// And there is one whenever the commits since the last have 8 MiB.
    ///
    /// Who pulls over HTTP sees what came before the last one. With fewer commits in between, more is
    /// written.
    #[must_use]
    pub const fn checkpoint_every(mut self, commits: usize) -> Self {
        self.pace.commits = commits;
        self
    }

    /// Keeps about so many bytes of the index in memory, 16 MiB unless this is said, and half as many
    /// of the log.
    #[must_use]
    pub const fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Has every read ask whether there are commits of others first, which takes a request. Otherwise
    /// [`head`](prophet_store::ReplicaStore::head) does, and commits.
    #[must_use]
    pub const fn fresh_reads(mut self, fresh: bool) -> Self {
        self.fresh = fresh;
        self
    }

    /// How often a request is sent again where that does no harm, 6 times unless this is said; each
    /// time after a longer pause.
    #[must_use]
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// For how long the service may be silent before a request is given up, and sent again where that
    /// does no harm: 30 seconds unless this is said. What a request carries may take longer, as long as
    /// it does at 8 KiB a second. An object store that the app built has limits of its own, and so has
    /// `S3Options::tree`. A `timeout` in the configuration, other than the client's default of 30 seconds, is
    /// one to the whole of each request.
    #[must_use]
    pub const fn silence(mut self, most: Duration) -> Self {
        self.patience = Patience::new(most);
        self
    }

    /// Has requests and checkpoints run where the store is called, and not on threads of this crate's
    /// own: for an object store that the app built, if it needs no runtime of tokio, or is always
    /// called within one.
    #[must_use]
    pub const fn on_caller(mut self, on_caller: bool) -> Self {
        (self.on_caller, self.inline) = (on_caller, on_caller);
        self
    }

    /// What the service promises to survive: the loss of power, unless this is said. An object store
    /// in memory is [`Volatile`](Durability::Volatile), and nobody but this process has it open.
    #[must_use]
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Time and chance, for pauses and nonces.
    #[must_use]
    pub fn environment(mut self, environment: Arc<dyn Environment>) -> Self {
        self.environment = environment;
        self
    }

    /// Creates the replica `identity` under a prefix of an object store that the app built, and opens
    /// it for reading and writing.
    ///
    /// The client's own retries are best left off: they hide what became of a conditional write, which
    /// this store then has to find out. About 75 requests, most of them for the probe.
    ///
    /// # Errors
    /// `AlreadyExists` where there is something under the prefix. What the service says. With
    /// [`Writers::Several`], a service that does not keep writers apart.
    pub async fn create_in(
        &self,
        store: Arc<dyn ObjectStore>,
        prefix: &str,
        identity: Identity,
    ) -> Result<S3Store, StoreError> {
        let runs = if self.on_caller { Runs::Here } else { Runs::OnThread };
        let place = format!("{store}/{prefix}");
        self.create_at(store, prefix, place, runs, identity).await
    }

    /// Opens the replica under a prefix of an object store that the app built.
    ///
    /// # Errors
    /// `NotFound`; `NotAReplica` for a prefix with something else; `NewerFormat`; `Corrupt`. `Locked`
    /// where there may be one writer and this process has it open. What the service says.
    pub async fn open_in(
        &self,
        store: Arc<dyn ObjectStore>,
        prefix: &str,
    ) -> Result<S3Store, StoreError> {
        let runs = if self.on_caller { Runs::Here } else { Runs::OnThread };
        let place = format!("{store}/{prefix}");
        self.open_at(store, prefix, place, runs).await
    }

    fn bucket(
        &self,
        store: Arc<dyn ObjectStore>,
        prefix: &str,
        place: String,
        runs: Runs,
    ) -> Result<Bucket, StoreError> {
        let path = Path::parse(prefix).map_err(|error| {
            StoreError::not_a_replica(&place, format!("the prefix is no path: {error}"))
        })?;
        let environment = Arc::clone(&self.environment);
        Ok(Bucket::new(store, path, place, environment, self.retries, runs))
    }

    pub(crate) async fn create_at(
        &self,
        store: Arc<dyn ObjectStore>,
        prefix: &str,
        place: String,
        runs: Runs,
        identity: Identity,
    ) -> Result<S3Store, StoreError> {
        let bucket = self.bucket(store, prefix, place, runs)?;
        let there = bucket.list("", None, 16).await?;
        let probed = format!("{PROBE}/");
        if there.iter().any(|found| !found.name.starts_with(&probed)) {
            return Err(StoreError::already_exists(&*bucket.place));
        }
        let mut nonce = [0; 16];
        self.environment
            .random(&mut nonce)
            .map_err(|error| StoreError::io(&*bucket.place, "making a nonce", error))?;
        let nonce: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
        let verdict = match self.writers {
            Writers::One => None,
            Writers::AsProbed | Writers::Several => Some(probe(&bucket, &nonce).await?),
        };
        let sharers = match &verdict {
            Some(Verdict::Refuses) => Sharers::Several,
            Some(Verdict::Fails { why }) if self.writers == Writers::Several => {
                return Err(no_writers_apart(&bucket.place, why));
            }
            _ => Sharers::One,
        };
        let probe = verdict.map_or("nothing was probed".to_owned(), |verdict| verdict.words());
        let declared = Declared { identity, sharers, probe, nonce };
        self.declare(&bucket, &declared).await?;
        // It is derived, and made by whoever opens the replica if it fails.
        let root = Root::nothing(identity, sharers).encode();
        let _ = bucket.create(MANIFEST, root.into()).await;
        self.start(bucket).await
    }

    /// Says whose replica it is, unless somebody else did first.
    async fn declare(&self, bucket: &Bucket, declared: &Declared) -> Result<(), StoreError> {
        let bytes = bytes::Bytes::from(declared.encode());
        let place = bucket.place_of(IDENTITY);
        let mut tried = 0;
        loop {
            let failed = match bucket.create(IDENTITY, bytes.clone()).await {
                Attempt::Written(_) => return Ok(()),
                Attempt::Unsupported(_) => {
                    return bucket.put(IDENTITY, bytes.to_vec()).await.map(drop);
                }
                Attempt::Refused(failed) => return Err(failed.at(&place, "creating the replica")),
                Attempt::NotMet(failed) | Attempt::Unknown(failed) => failed,
            };
            match Declared::fetch(bucket).await? {
                Some(there) if there == *declared => return Ok(()),
                Some(_) => return Err(StoreError::already_exists(&*bucket.place)),
                None if tried >= bucket.retries => {
                    return Err(failed.at(&place, "creating the replica"));
                }
                None => {}
            }
            bucket.pause(tried).await;
            tried += 1;
        }
    }

    pub(crate) async fn open_at(
        &self,
        store: Arc<dyn ObjectStore>,
        prefix: &str,
        place: String,
        runs: Runs,
    ) -> Result<S3Store, StoreError> {
        let bucket = self.bucket(store, prefix, place, runs)?;
        self.start(bucket).await
    }

    async fn start(&self, bucket: Bucket) -> Result<S3Store, StoreError> {
        let place = Arc::clone(&bucket.place);
        let key = bucket.key();
        let opening = Opening {
            bucket,
            trouble: Trouble::default(),
            pace: self.pace,
            cache_bytes: self.cache_bytes,
            read_only: self.read_only,
        };
        let shared = opening.open().await?;
        let sharers = match (shared.state().root.sharers, self.writers) {
            (Sharers::One, Writers::Several) => {
                return Err(no_writers_apart(&place, "it was created for one writer"));
            }
            (_, Writers::One) => Sharers::One,
            (sharers, _) => sharers,
        };
        let volatile = self.durability == Durability::Volatile;
        let exclusive = sharers == Sharers::One || volatile;
        let held = match exclusive && !self.read_only {
            true => Some(Held::take(key).ok_or_else(|| {
                StoreError::locked(&*place, "this process has it open, and one writer may")
            })?),
            false => None,
        };
        if held.is_some() {
            // Another handle may have committed, and let go of the place, since the replica was read; and
            // where a service lets every write win, a commit on an old head replaces another.
            shared.refresh().await?;
        }
        let recorded = shared.state().root.sharers;
        let warning = (recorded == Sharers::One && self.writers == Writers::AsProbed).then(|| {
            format!(
                "{place}: the service does not keep several writers apart, so that only one program \
                 may have the replica open for writing; see to it, or move it to another service"
            )
        });
        let facts = Facts {
            identity: shared.identity,
            place: place.to_string(),
            format: FORMAT,
            capabilities: Capabilities {
                access: if self.read_only { Access::ReadOnly } else { Access::ReadWrite },
                sharing: if exclusive { Sharing::Exclusive } else { Sharing::Processes },
                durability: self.durability,
            },
        };
        let guard = match recorded {
            Sharers::Several => Guard::Service,
            Sharers::One => Guard::OneWriter,
        };
        let (fresh, inline) = (self.fresh, self.inline);
        Ok(S3Store::new(Parts { facts, shared, guard, fresh, inline, warning, held }))
    }
}

fn no_writers_apart(place: &str, why: &str) -> StoreError {
    let what = format!(
        "the service does not keep several writers apart: {why}; use a service that refuses a \
         second conditional PUT, or open the replica for one writer"
    );
    StoreError::io(place, "opening for several writers", what)
}
