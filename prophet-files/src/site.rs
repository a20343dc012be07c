//! A web site in a tree, beside the log or alone, for people with nothing but a browser.

use async_trait::async_trait;
use prophet_site::{Sink, SiteError, SiteOptions, SiteSummary, write_site};
use prophet_store::{Direction, LogScan, PageLimit, Position, Replica};
use serde::{Deserialize, Serialize};

use crate::fetch::{FetchError, Request, Response};
use crate::tree::Tree;

/// Says what the site in a tree shows, so that the next one writes only what is new.
const SITE: &str = "site.json";
const SITE_BYTES: u64 = 64 << 10;
/// What a web site of somebody else's would have, too.
const USUAL: [&str; 3] = ["index.html", "style.css", "feed.atom"];

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    prophet: String,
    /// The version of this library: another one may write other pages.
    by: String,
    title: String,
    base: Option<String>,
    replica: String,
    position: u64,
    /// The changeset at that position, by which a log is known.
    digest: Option<String>,
}

struct Files<'a>(&'a dyn Tree);

#[async_trait]
impl Sink for Files<'_> {
    async fn put(
        &mut self,
        name: &str,
        content: Vec<u8>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.put(name, content).await?)
    }
}

/// Writes a web site of what is in `replica` into a tree: pages of its types and records, with their
/// history, and an Atom feed of its changes. Into a tree that has a site of the same replica with the
/// same title it writes only what is new.
///
/// ```
/// use futures_lite::future::block_on;
/// use prophet_files::{DirectoryTree, PublishOptions, publish, publish_site};
/// use prophet_site::SiteOptions;
/// use prophet_store::{Identity, MemoryStore, Properties, Replica};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// block_on(async {
///     let replica = Replica::open(MemoryStore::new(Identity::new_database()?)).await?;
///     replica.create("bug", Properties::try_from([("title", "It fails")])?).await?;
/// #   let directory = tempfile::tempdir()?;
/// #   let path = directory.path();
///     let tree = DirectoryTree::new(path);
///     publish(&replica, &tree, PublishOptions::new()).await?;
///     publish_site(&replica, &tree, SiteOptions::new("Our bugs")).await?;
///     assert!(std::fs::read_to_string(path.join("index.html"))?.contains("Our bugs"));
///     Ok(())
/// })
/// # }
/// ```
///
/// # Errors
/// [`SiteError::Occupied`] where there are pages of somebody else's, unless the options replace them. What
/// the store says, and what keeps a file from being written: what was written before stays, and doing it
/// again puts it right.
pub async fn publish_site(
    replica: &Replica,
    tree: &dyn Tree,
    options: SiteOptions,
) -> Result<SiteSummary, SiteError> {
    let mut options = options;
    match allowed(tree, &options).await? {
        Before::Ours(before) => {
            let now = about(replica, &options, Position::new(before.position)).await?;
            if *before == now {
                options = options.since(Position::new(before.position));
            }
        }
        // If it ends before its end, what there is by then is known to be a site.
        Before::Nothing | Before::Foreign(_) => {
            let nothing_yet = about(replica, &options, Position::ZERO).await?;
            put(tree, &nothing_yet).await.map_err(not_put)?;
        }
    }
    let summary = write_site(replica, &mut Files(tree), &options).await?;
    let now = about(replica, &options, summary.position).await?;
    put(tree, &now).await.map_err(not_put)?;
    Ok(summary)
}

/// Whether [`publish_site`] may write there with these options: for asking before the log is published.
///
/// # Errors
/// [`SiteError::Occupied`] where there are pages of somebody else's, unless the options replace them; a
/// tree that cannot be read.
pub async fn check_site(tree: &dyn Tree, options: &SiteOptions) -> Result<(), SiteError> {
    allowed(tree, options).await.map(drop)
}

async fn allowed(tree: &dyn Tree, options: &SiteOptions) -> Result<Before, SiteError> {
    match written(tree).await.map_err(not_put)? {
        Before::Foreign(name) if !options.replaces() => {
            Err(SiteError::occupied(tree.place(), name))
        }
        before => Ok(before),
    }
}

fn not_put(error: FetchError) -> SiteError {
    SiteError::sink(SITE, error)
}

/// Whether there is a web site in a tree that [`publish_site`] wrote.
///
/// # Errors
/// A tree that cannot be read.
pub async fn has_site(tree: &dyn Tree) -> Result<bool, FetchError> {
    Ok(matches!(written(tree).await?, Before::Ours(_)))
}

async fn put(tree: &dyn Tree, written: &Written) -> Result<(), FetchError> {
    // These are texts and a number, which always are JSON.
    let text = serde_json::to_vec_pretty(written).unwrap_or_default();
    tree.put(SITE, text).await
}

/// What there is of a site.
enum Before {
    Nothing,
    Ours(Box<Written>),
    /// A file that no site of Prophet's put there.
    Foreign(&'static str),
}

async fn written(tree: &dyn Tree) -> Result<Before, FetchError> {
    match tree.fetch(&Request::new(SITE, SITE_BYTES).fresh(true)).await {
        Ok(Response::Content { bytes, .. }) => {
            return Ok(match serde_json::from_slice(&bytes) {
                Ok(written) => Before::Ours(Box::new(written)),
                Err(_) => Before::Foreign(SITE),
            });
        }
        Ok(_) | Err(FetchError::NotFound { .. }) => {}
        Err(FetchError::Invalid { .. }) => return Ok(Before::Foreign(SITE)),
        Err(error) => return Err(error),
    }
    for name in USUAL {
        match tree.fetch(&Request::new(name, SITE_BYTES).fresh(true)).await {
            // Longer than was asked for is invalid, and there.
            Ok(_) | Err(FetchError::Invalid { .. }) => return Ok(Before::Foreign(name)),
            Err(FetchError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Before::Nothing)
}

async fn about(
    replica: &Replica,
    options: &SiteOptions,
    position: Position,
) -> Result<Written, SiteError> {
    let store = replica.store();
    let scan = LogScan {
        after: Some(position.next()),
        direction: Direction::Backward,
        limit: PageLimit::items(1),
    };
    let entry = store.scan_log(&scan).await?.items.into_iter().next();
    let entry = entry.filter(|entry| entry.position == position);
    Ok(Written {
        prophet: "site".to_owned(),
        by: env!("CARGO_PKG_VERSION").to_owned(),
        title: options.title().to_owned(),
        base: options.base().map(str::to_owned),
        replica: store.facts().identity.replica.to_string(),
        position: position.get(),
        digest: entry.map(|entry| entry.changeset.digest().to_string()),
    })
}
