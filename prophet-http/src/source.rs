//! A tree on a web server as a source to pull from.

use std::sync::Arc;

use async_trait::async_trait;
use prophet_files::PublishedSource;
use prophet_files::manifest::Manifest;
use prophet_store::{Changeset, ChangesetSource, Error, Offer, Streamed, VersionVector};

use crate::client::{HttpFetch, Stats};
use crate::connection::named;
use crate::options::HttpOptions;

/// A tree on a web server as a source to pull from.
#[derive(Debug)]
pub struct HttpSource {
    source: PublishedSource<HttpFetch>,
}

impl HttpSource {
    /// Opens the tree under `url`.
    ///
    /// # Errors
    /// What is no URL of HTTP or HTTPS; a server that cannot be reached; a tree without a manifest,
    /// or with one that is damaged or of a newer format.
    pub async fn open(url: &str) -> Result<Self, Error> {
        Self::open_with(url, HttpOptions::new()).await
    }

    /// Opens the tree under `url`, with these options.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub async fn open_with(url: &str, options: HttpOptions) -> Result<Self, Error> {
        let fetch = HttpFetch::new(url, options);
        let fetch = fetch.map_err(|error| error.at(named(url)))?;
        Ok(Self { source: PublishedSource::open(fetch).await? })
    }

    /// The manifest as it was read last.
    pub fn manifest(&self) -> Arc<Manifest> {
        self.source.manifest()
    }

    /// What was asked and what came since it was opened.
    pub fn stats(&self) -> Stats {
        self.source.fetch().stats()
    }
}

#[async_trait]
impl ChangesetSource for HttpSource {
    async fn offer(&self, seen: &VersionVector) -> Result<Offer, Error> {
        self.source.offer(seen).await
    }

    fn changesets(&self, offer: &Offer, known: &VersionVector) -> Streamed<'_, Changeset> {
        self.source.changesets(offer, known)
    }
}
