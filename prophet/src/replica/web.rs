//! What is behind a URL of HTTP or HTTPS: a replica that `prophet serve` serves, or a published one.

use std::fmt::Display;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use prophet_http::{HttpOptions, HttpPeer, HttpSource, HttpStore};
use prophet_store::{
    Changeset, ChangesetSource, Error, Offer, ReplicaStore, StoreError, Streamed, Unreadable,
    VersionVector,
};

use crate::Result;

/// The variable of the environment with the token that is shown to servers: to those that somebody named,
/// and never to one that was found.
pub(crate) const TOKEN: &str = "PROPHET_TOKEN";

fn options() -> HttpOptions {
    match std::env::var(TOKEN) {
        Ok(token) if !token.is_empty() => HttpOptions::new().bearer(token),
        _ => HttpOptions::new(),
    }
}

/// The server at `url`, to push to.
pub(crate) fn peer(url: &str) -> Result<HttpPeer> {
    Ok(HttpPeer::new(url, options())?)
}

/// The store of what is served at `url`; nothing if none is.
pub(crate) async fn served(url: &str) -> Result<Option<Arc<dyn ReplicaStore>>> {
    match HttpStore::open(url, options()).await {
        Ok(store) => Ok(Some(Arc::new(store))),
        Err(StoreError::NotFound { .. } | StoreError::NotAReplica { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What changesets are pulled from at a URL. What it is shows when it is first asked.
pub(crate) struct Web {
    url: String,
    peer: HttpPeer,
    /// Whether nobody named it.
    found: bool,
    /// If it is a published replica.
    tree: OnceLock<HttpSource>,
}

impl Web {
    pub(crate) fn new(url: &str) -> Result<Self> {
        Ok(Self { url: url.to_owned(), peer: peer(url)?, found: false, tree: OnceLock::new() })
    }

    /// At a URL that nobody named, but that was told by whoever is on the network: it is shown no token.
    pub(crate) fn found(url: &str) -> Result<Self> {
        let peer = HttpPeer::new(url, HttpOptions::new())?;
        Ok(Self { url: url.to_owned(), peer, found: true, tree: OnceLock::new() })
    }
}

#[async_trait]
impl ChangesetSource for Web {
    async fn offer(&self, seen: &VersionVector) -> Result<Offer, Error> {
        if let Some(tree) = self.tree.get() {
            return tree.offer(seen).await;
        }
        let not_served = match self.peer.offer(seen).await {
            Ok(offer) => return Ok(offer),
            Err(Error::BadSource { cause: Unreadable::Denied, .. }) if self.found => {
                let why = "it wants a token, and none is sent to who was found on the network: pull \
                           from it by its URL";
                return Err(Error::unreadable(&self.url, why, Unreadable::Denied));
            }
            Err(error) => error,
        };
        match HttpSource::open(&self.url).await {
            Ok(tree) => self.tree.get_or_init(|| tree).offer(seen).await,
            Err(_) => Err(not_served),
        }
    }

    fn changesets(&self, offer: &Offer, known: &VersionVector) -> Streamed<'_, Changeset> {
        match self.tree.get() {
            Some(tree) => tree.changesets(offer, known),
            None => self.peer.changesets(offer, known),
        }
    }
}

/// What the library says to programs, for people: they have variables of the environment, and no commits
/// to send again.
pub(crate) fn in_words_of_the_command(error: impl Display) -> String {
    let said = error.to_string().replace("`HttpOptions::bearer`", TOKEN);
    said.replace("send it again to find out", "look whether it is there before you do it again")
}
