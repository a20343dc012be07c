//! Pulling from a tree.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_lite::stream;
use prophet_store::{Changeset, ChangesetSource, Error, Offer, Streamed, VersionVector};

use crate::fetch::{Fetch, Request, Response};
use crate::manifest::{MANIFEST, Manifest};
use crate::walk::Walk;

/// No manifest is longer: that of a hundred million changesets is not.
const MANIFEST_BYTES: u64 = 256 << 20;

/// A tree of files as a source to pull from.
///
/// To find that there is nothing new takes one conditional request for the manifest. Of the
/// segments it fetches those that hold something unseen, a few at a time, and of the last ones only
/// the part that does.
#[derive(Debug)]
pub struct PublishedSource<F> {
    fetch: F,
    current: Mutex<Current>,
}

#[derive(Debug, Clone)]
struct Current {
    manifest: Arc<Manifest>,
    etag: Option<String>,
}

impl<F: Fetch> PublishedSource<F> {
    /// Opens the tree that `fetch` reads.
    ///
    /// # Errors
    /// A tree without a manifest; one that cannot be read, is damaged or of a newer format.
    pub async fn open(fetch: F) -> Result<Self, Error> {
        let current = read(&fetch, None, false).await?;
        let current = current.ok_or_else(|| {
            Error::bad_source(fetch.place(), "nothing was asked for that could be unchanged")
        })?;
        Ok(Self { fetch, current: Mutex::new(current) })
    }

    /// The manifest as it was read last.
    pub fn manifest(&self) -> Arc<Manifest> {
        Arc::clone(&self.lock().manifest)
    }

    /// What it reads with.
    pub const fn fetch(&self) -> &F {
        &self.fetch
    }

    /// Reads the manifest again, past all caches if `fresh`.
    pub(crate) async fn refresh(&self, fresh: bool) -> Result<Arc<Manifest>, Error> {
        // What is asked for past all caches is not taken for known either.
        let etag = if fresh { None } else { self.lock().etag.clone() };
        if let Some(current) = read(&self.fetch, etag, fresh).await? {
            *self.lock() = current;
        }
        Ok(self.manifest())
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the manifest, unless it is the one with this etag.
async fn read<F: Fetch>(
    fetch: &F,
    unless: Option<String>,
    fresh: bool,
) -> Result<Option<Current>, Error> {
    let bad = |why: String| Error::bad_source(fetch.place(), why);
    let request = Request::new(MANIFEST, MANIFEST_BYTES).unless(unless).fresh(fresh);
    match fetch.fetch(&request).await.map_err(|error| error.at(fetch.place()))? {
        Response::Unchanged => Ok(None),
        Response::Content { bytes, etag } => {
            let manifest =
                Manifest::decode(&bytes).map_err(|error| bad(format!("in {MANIFEST}, {error}")))?;
            Ok(Some(Current { manifest: Arc::new(manifest), etag }))
        }
    }
}

#[async_trait]
impl<F: Fetch> ChangesetSource for PublishedSource<F> {
    async fn offer(&self, _: &VersionVector) -> Result<Offer, Error> {
        let manifest = self.refresh(false).await?;
        Ok(Offer {
            database: manifest.identity.database,
            replica: manifest.identity.replica,
            place: self.fetch.place().to_owned(),
            seen: manifest.seen.clone(),
            basis: VersionVector::new(),
            head: Some(manifest.head),
        })
    }

    fn changesets(&self, _: &Offer, known: &VersionVector) -> Streamed<'_, Changeset> {
        let walk = Walk::new(self, known.clone());
        Box::pin(stream::try_unfold(walk, |mut walk| async move {
            Ok(walk.next().await?.map(|changeset| (changeset, walk)))
        }))
    }
}
