//! Published trees in buckets, by their URLs.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::ObjectStore;
use object_store::path::Path;
use prophet_files::fetch::{Fetch, FetchError, Request, Response};
use prophet_files::{ObjectTree, Tree};

use crate::runtime::{Dropped, Work};

/// A tree of files in a bucket: what [`publish`](prophet_files::publish()) writes to, and what a
/// [`PublishedSource`](prophet_files::PublishedSource) reads from. [`S3Options::tree`](crate::S3Options::tree)
/// finds one by its URL. It needs no runtime of the caller's.
///
/// A replica in a bucket, an [`S3Store`](crate::S3Store), is such a tree by itself.
#[derive(Debug, Clone)]
pub struct BucketTree {
    tree: ObjectTree,
}

impl BucketTree {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, prefix: Path, place: String) -> Self {
        Self { tree: ObjectTree::new(store, prefix).called(place) }
    }

    async fn run<T: Send + 'static>(
        &self,
        dropped: Dropped,
        work: impl Future<Output = Result<T, FetchError>> + Send + 'static,
    ) -> Result<T, FetchError> {
        let failed = |error: std::io::Error| FetchError::temporary(self.place(), error.to_string());
        Work::begin(dropped, work).map_err(failed)?.await.map_err(failed)?
    }
}

#[async_trait]
impl Fetch for BucketTree {
    fn place(&self) -> &str {
        self.tree.place()
    }

    async fn fetch(&self, request: &Request) -> Result<Response, FetchError> {
        let (tree, request) = (self.tree.clone(), request.clone());
        self.run(Dropped::Ends, async move { tree.fetch(&request).await }).await
    }
}

#[async_trait]
impl Tree for BucketTree {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), FetchError> {
        let (tree, name) = (self.tree.clone(), name.to_owned());
        self.run(Dropped::GoesOn, async move { tree.put(&name, bytes).await }).await
    }

    async fn remove(&self, name: &str) -> Result<(), FetchError> {
        let (tree, name) = (self.tree.clone(), name.to_owned());
        self.run(Dropped::GoesOn, async move { tree.remove(&name).await }).await
    }
}
