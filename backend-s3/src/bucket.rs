//! The bucket: single requests, tried again where that does no harm.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::StreamExt as _;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutMode,
    PutOptions, UpdateVersion,
};
use prophet_files::tree::caching;
use prophet_store::{Environment, StoreError};

use crate::error::{Failed, Meaning, failed, is_unsupported};
use crate::layout::{COMMITS, PROBE};
use crate::patience::{Patience, Wait};
use crate::runtime::{Dropped, Work};

/// The first pause before a request is sent again; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where requests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runs {
    /// On this crate's own thread, by a client that this crate built, which waits for as long as it is
    /// let.
    #[cfg_attr(not(feature = "cloud"), allow(dead_code, reason = "only clouds have clients"))]
    Cloud(Patience),
    /// On this crate's own thread, which is what clients of clouds need.
    OnThread,
    /// Wherever the caller is.
    Here,
}

/// Where a replica is: a prefix in an object store.
#[derive(Clone)]
pub(crate) struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// In words that a person recognises.
    pub(crate) place: Arc<str>,
    pub(crate) environment: Arc<dyn Environment>,
    /// How often a request is sent again.
    pub(crate) retries: u32,
    runs: Runs,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("place", &self.place).finish_non_exhaustive()
    }
}

/// What came of one attempt to write an object on a condition.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// It is written; how to name it in the next condition, if the service says.
    Written(Option<UpdateVersion>),
    /// The condition was not met, or so it seems: an earlier attempt may have been what stood in
    /// the way, or one of somebody else that came to nothing.
    NotMet(Failed),
    /// The service refused, and wrote nothing.
    Refused(Failed),
    /// The service knows no such condition.
    Unsupported(Failed),
    /// Nobody knows; it may be written yet.
    Unknown(Failed),
}

/// An object that was read.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) bytes: Vec<u8>,
    pub(crate) version: UpdateVersion,
    /// When it was written, in seconds since 1970, by the clock of the service.
    pub(crate) modified: i64,
}

/// An object of a listing.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Without the directory.
    pub(crate) name: String,
    pub(crate) size: u64,
    /// As that of an [`Object`].
    pub(crate) modified: i64,
}

impl Bucket {
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        prefix: Path,
        place: String,
        environment: Arc<dyn Environment>,
        retries: u32,
        runs: Runs,
    ) -> Self {
        Self { store, prefix, place: place.into(), environment, retries, runs }
    }

    /// What errors call an object.
    pub(crate) fn place_of(&self, name: &str) -> String {
        format!("{}/{name}", self.place)
    }

    /// What tells the place from every other of this process. An app may have several stores in memory,
    /// all of one name.
    pub(crate) fn key(&self) -> String {
        match self.runs {
            Runs::Cloud(_) => self.place.to_string(),
            _ => format!("{:p} {}", Arc::as_ptr(&self.store), self.place),
        }
    }

    const fn wait(&self) -> Wait {
        match self.runs {
            Runs::Cloud(patience) => Wait(Some(patience)),
            Runs::OnThread | Runs::Here => Wait(None),
        }
    }

    fn path(&self, name: &str) -> Path {
        let parts = name.split('/').map(object_store::path::PathPart::from);
        self.prefix.parts().chain(parts).collect()
    }

    /// Waits before the next attempt: longer each time, and by chance, so that many who failed at
    /// once do not come back at once.
    pub(crate) async fn pause(&self, tried: u32) {
        let mut chance = [0];
        // Without chance, all wait for as long.
        let _ = self.environment.random(&mut chance);
        let [chance] = chance;
        let doubled = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(tried).unwrap_or(u32::MAX));
        let pause = doubled.min(LONGEST_PAUSE).mul_f64(0.5 + f64::from(chance) / 256.0);
        self.environment.sleep(pause).await;
    }

    /// Sends a request, again and again where it has no other effect than once. `None` if the
    /// object is not there.
    async fn request<T, W>(
        &self,
        name: &str,
        action: &str,
        dropped: Dropped,
        send: impl Fn() -> W + Send + Sync,
    ) -> Result<Option<T>, StoreError>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let mut tried = 0;
        loop {
            let failed = match self.once(dropped, send()).await {
                Ok(Ok(answer)) => return Ok(Some(answer)),
                Ok(Err(error)) => failed(&error),
                Err(failed) => failed,
            };
            match failed.meaning {
                Meaning::Missing => return Ok(None),
                Meaning::Unknown if tried < self.retries => {}
                _ => return Err(failed.at(&self.place_of(name), action)),
            }
            self.pause(tried).await;
            tried += 1;
        }
    }

    async fn once<T: Send + 'static>(
        &self,
        dropped: Dropped,
        request: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Failed> {
        if self.runs == Runs::Here {
            return Ok(request.await);
        }
        let broken = |error: std::io::Error| Failed::new(Meaning::Unknown, error.to_string());
        Work::begin(dropped, request).map_err(broken)?.await.map_err(broken)
    }

    /// Reads an object; `None` if it is not there.
    pub(crate) async fn get(&self, name: &str) -> Result<Option<Object>, StoreError> {
        let path = self.path(name);
        let send = || {
            let (store, path, wait) = (Arc::clone(&self.store), path.clone(), self.wait());
            async move {
                let got = wait.at_most(0, store.get(&path)).await?;
                let version = UpdateVersion {
                    e_tag: got.meta.e_tag.clone(),
                    version: got.meta.version.clone(),
                };
                let modified = got.meta.last_modified.timestamp();
                let bytes = wait.at_most(got.meta.size, got.bytes()).await?;
                Ok(Object { bytes: bytes.into(), version, modified })
            }
        };
        self.request(name, "reading it", Dropped::Ends, send).await
    }

    /// Reads a part of an object; `None` if the object is not there. Where it ends earlier, fewer
    /// bytes come.
    pub(crate) async fn get_range(
        &self,
        name: &str,
        range: Range<u64>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        if range.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let path = self.path(name);
        let send = || {
            let (store, path, range) = (Arc::clone(&self.store), path.clone(), range.clone());
            let (wait, len) = (self.wait(), range.end - range.start);
            let range = Some(GetRange::Bounded(range));
            async move {
                let options = GetOptions { range, ..GetOptions::default() };
                let got = wait.at_most(0, store.get_opts(&path, options)).await?;
                Ok(wait.at_most(len, got.bytes()).await?.to_vec())
            }
        };
        match self.request(name, "reading it", Dropped::Ends, send).await {
            // It ends before the range begins.
            Err(StoreError::Corrupt { .. }) => Ok(Some(Vec::new())),
            read => read,
        }
    }

    /// Writes an object, whatever is there.
    pub(crate) async fn put(
        &self,
        name: &str,
        bytes: Vec<u8>,
    ) -> Result<Option<UpdateVersion>, StoreError> {
        let bytes = bytes::Bytes::from(bytes);
        let send = || self.send_put(name, bytes.clone(), PutMode::Overwrite);
        self.request(name, "writing it", Dropped::GoesOn, send).await
    }

    /// Tries once to write an object that is not there yet.
    pub(crate) async fn create(&self, name: &str, bytes: bytes::Bytes) -> Attempt {
        self.attempt(name, bytes, PutMode::Create).await
    }

    /// Tries once to write an object in the place of the very one that was read.
    pub(crate) async fn update(
        &self,
        name: &str,
        bytes: bytes::Bytes,
        version: UpdateVersion,
    ) -> Attempt {
        self.attempt(name, bytes, PutMode::Update(version)).await
    }

    /// Tries once to write an object, whatever is there.
    pub(crate) async fn put_once(&self, name: &str, bytes: bytes::Bytes) -> Attempt {
        self.attempt(name, bytes, PutMode::Overwrite).await
    }

    async fn attempt(&self, name: &str, bytes: bytes::Bytes, mode: PutMode) -> Attempt {
        let sent = self.send_put(name, bytes, mode);
        match self.once(Dropped::GoesOn, sent).await {
            Ok(Ok(version)) => Attempt::Written(Some(version)),
            Err(failed) => Attempt::Unknown(failed),
            Ok(Err(error)) => {
                let failed = failed(&error);
                match failed.meaning {
                    Meaning::Condition => Attempt::NotMet(failed),
                    Meaning::Refused if is_unsupported(&error) => Attempt::Unsupported(failed),
                    // An object that is not there cannot be put: then it is the bucket.
                    Meaning::Refused | Meaning::Missing => Attempt::Refused(failed),
                    Meaning::Unknown => Attempt::Unknown(failed),
                }
            }
        }
    }

    fn send_put(
        &self,
        name: &str,
        bytes: bytes::Bytes,
        mode: PutMode,
    ) -> impl Future<Output = Result<UpdateVersion, Error>> + Send + use<> {
        let (store, path) = (Arc::clone(&self.store), self.path(name));
        // What others fetch over HTTP. Not every service takes attributes of the rest.
        let attributes = match name.starts_with(COMMITS) || name.starts_with(PROBE) {
            true => Attributes::new(),
            false => Attributes::from_iter([(Attribute::CacheControl, caching(name))]),
        };
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        let wait = self.wait();
        async move {
            let len = bytes.len() as u64;
            let put = wait.at_most(len, store.put_opts(&path, bytes.into(), options)).await?;
            Ok(UpdateVersion { e_tag: put.e_tag, version: put.version })
        }
    }

    /// The names of objects under `directory`, without it, that come after `after` there, each with its
    /// length in bytes: at most this many, in no certain order.
    pub(crate) async fn list(
        &self,
        directory: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<Found>, StoreError> {
        let prefix = match directory {
            "" => self.prefix.clone(),
            directory => self.path(directory),
        };
        let offset = after.map(|after| self.path(&format!("{directory}/{after}")));
        let send = || {
            let (store, prefix, offset) = (Arc::clone(&self.store), prefix.clone(), offset.clone());
            let wait = self.wait();
            async move {
                let mut objects = match &offset {
                    Some(offset) => store.list_with_offset(Some(&prefix), offset),
                    None => store.list(Some(&prefix)),
                };
                let mut found = Vec::new();
                while found.len() < most
                    && let Some(object) = wait.at_most(0, objects.try_next()).await?
                {
                    if let Some(parts) = object.location.prefix_match(&prefix) {
                        let parts: Vec<_> = parts.map(|part| part.as_ref().to_owned()).collect();
                        let (size, modified) = (object.size, object.last_modified.timestamp());
                        found.push(Found { name: parts.join("/"), size, modified });
                    }
                }
                Ok(found)
            }
        };
        let found = self.request(directory, "listing it", Dropped::Ends, send).await?;
        Ok(found.unwrap_or_default())
    }

    /// Removes an object, if it is there.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name);
        let send = || {
            let (store, path, wait) = (Arc::clone(&self.store), path.clone(), self.wait());
            async move { wait.at_most(0, store.delete(&path)).await }
        };
        self.request(name, "removing it", Dropped::GoesOn, send).await.map(drop)
    }
}
