//! Trees in object stores.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _,
    PutOptions,
};

use crate::fetch::{Fetch, FetchError, Request, Response, check_name};
use crate::tree::{Tree, caching, content_type};

/// A tree under a prefix of an object store: what the app has built, with its own credentials.
/// Stores of clouds need the runtime that they are made for.
#[derive(Debug, Clone)]
pub struct ObjectTree {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    place: String,
}

impl ObjectTree {
    /// The tree whose files have names that begin with `prefix` and a `/`.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        let place = format!("{store}/{prefix}");
        Self { store, prefix, place }
    }

    /// The same tree, which errors call by this name: that of an object store does not say where it is.
    #[must_use]
    pub fn called(mut self, place: impl Into<String>) -> Self {
        self.place = place.into();
        self
    }

    fn path(&self, name: &str) -> Result<Path, FetchError> {
        check_name(name)?;
        let parts = name.split('/').map(object_store::path::PathPart::from);
        Ok(self.prefix.parts().chain(parts).collect())
    }

    fn failed(&self, name: &str, error: Error) -> FetchError {
        let place = format!("{}/{name}", self.place);
        match error {
            // The file may be missing, or all of the bucket.
            Error::NotFound { source, .. } if is_bucket_missing(&source.to_string()) => {
                FetchError::denied(place, Some(404), "there is no such bucket")
            }
            Error::NotFound { .. } => FetchError::not_found(place),
            Error::PermissionDenied { .. } => {
                FetchError::denied(place, Some(403), error.to_string())
            }
            Error::Unauthenticated { .. } => {
                FetchError::denied(place, Some(401), error.to_string())
            }
            other => FetchError::temporary(place, other.to_string()),
        }
    }
}

#[async_trait]
impl Fetch for ObjectTree {
    fn place(&self) -> &str {
        &self.place
    }

    async fn fetch(&self, request: &Request) -> Result<Response, FetchError> {
        let name = &request.name;
        let path = self.path(name)?;
        if request.range.as_ref().is_some_and(|range| range.start >= range.end) {
            return Ok(Response::content(Vec::new(), None));
        }
        let options = GetOptions {
            range: request.range.clone().map(GetRange::Bounded),
            if_none_match: request.unless.clone(),
            ..GetOptions::default()
        };
        let got = match self.store.get_opts(&path, options).await {
            Err(Error::NotModified { .. }) => return Ok(Response::Unchanged),
            got => got.map_err(|error| self.failed(name, error))?,
        };
        let announced = got.range.end.saturating_sub(got.range.start);
        if announced > request.at_most {
            let place = format!("{}/{name}", self.place);
            let why = format!("it has {announced} bytes, more than {}", request.at_most);
            return Err(FetchError::invalid(place, why));
        }
        let etag = got.meta.e_tag.clone();
        let bytes = got.bytes().await.map_err(|error| self.failed(name, error))?;
        Ok(Response::content(bytes.to_vec(), etag))
    }
}

#[async_trait]
impl Tree for ObjectTree {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), FetchError> {
        let path = self.path(name)?;
        let attributes = Attributes::from_iter([
            (Attribute::CacheControl, caching(name)),
            // A service does not look at names, and a browser stores what it is not told the type of.
            (Attribute::ContentType, content_type(name)),
        ]);
        let options = PutOptions { attributes, ..PutOptions::default() };
        let put = self.store.put_opts(&path, bytes.into(), options).await;
        put.map(|_| ()).map_err(|error| self.failed(name, error))
    }

    async fn remove(&self, name: &str) -> Result<(), FetchError> {
        match self.store.delete(&self.path(name)?).await {
            Err(Error::NotFound { .. }) => Ok(()),
            removed => removed.map_err(|error| self.failed(name, error)),
        }
    }
}

/// By the codes of S3 and Azure, and by the words of Google.
fn is_bucket_missing(answer: &str) -> bool {
    let known = ["NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist"];
    known.iter().any(|known| answer.contains(known))
}
