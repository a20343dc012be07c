//! Opening and making replicas, and what changesets are pulled from, wherever they are.
//!
//! This is the one place that knows the backends and the network.

use std::path::Path;
use std::sync::Arc;

use backend_fs::{FsOptions, FsStore};
use backend_s3::{BucketTree, S3Options, S3Store};
use backend_sled::SledStore;
use backend_sqlite::{SqliteOptions, SqliteStore};
use prophet_files::{DirectoryFetch, PublishedSource};
use prophet_http::HttpPeer;
use prophet_store::{
    Bundle, ChangesetSource, Identity, MemoryStore, PullOptions, Replica, ReplicaStore, StoreError,
    VersionVector,
};

use crate::Result;
use crate::failure::Failure;
use crate::replica::web::{self, Web};
use crate::replica::{Place, find};

/// An open replica.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) replica: Replica,
    /// Whether it is a copy in memory of what can only be read, which ends with the command.
    pub(crate) passing: bool,
    /// What its user should know.
    pub(crate) warning: Option<String>,
}

/// Opens the replica at a place. What can only be pulled from is pulled into memory, and read there.
pub(crate) async fn open(place: &Place, creator: &str) -> Result<Opened> {
    let mut warning = None;
    let store: Arc<dyn ReplicaStore> = match place {
        Place::Sqlite(path) => Arc::new(or_read_only(SqliteStore::open(path), || {
            SqliteOptions::new().read_only(true).open(path)
        })?),
        Place::Fs(path) => Arc::new(or_read_only(FsStore::open(path), || {
            FsOptions::new().read_only(true).open(path)
        })?),
        Place::Sled(path) => Arc::new(SledStore::open(path)?),
        Place::Bucket(url) => match bucket(url).await? {
            InBucket::Replica(store) => {
                warning = store.warning();
                Arc::new(*store)
            }
            InBucket::Published(source) => return into_memory(&*source).await,
        },
        Place::Web(url) => match web::served(url).await? {
            Some(store) => store,
            None => return read_into_memory(place, creator).await,
        },
        Place::Bundle(_) | Place::Tree(_) => return read_into_memory(place, creator).await,
        Place::Path(_) | Place::Folder(_) => {
            let located = find(place)?;
            return Box::pin(open(&located.place, creator)).await;
        }
    };
    let replica = Replica::options().creator(creator)?.open_shared(store).await?;
    Ok(Opened { replica, passing: false, warning })
}

fn or_read_only<S>(
    opened: Result<S, StoreError>,
    read_only: impl FnOnce() -> Result<S, StoreError>,
) -> Result<S, StoreError> {
    match opened {
        Err(StoreError::ReadOnly { .. }) => read_only(),
        Err(StoreError::Io { source, .. }) if is_denied(&source) => read_only(),
        opened => opened,
    }
}

/// Whether this is that it is not allowed.
pub(crate) fn is_denied(source: &prophet_store::Source) -> bool {
    let error = source.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

async fn read_into_memory(place: &Place, creator: &str) -> Result<Opened> {
    into_memory(&*Box::pin(source(place, creator)).await?).await
}

async fn into_memory(source: &dyn ChangesetSource) -> Result<Opened> {
    let database = source.offer(&VersionVector::new()).await?.database;
    let store = MemoryStore::new(Identity::new_replica(database)?);
    let replica = Replica::open(store).await?;
    replica.pull(source, PullOptions::new()).await?;
    Ok(Opened { replica, passing: true, warning: None })
}

/// What there can be in a bucket.
enum InBucket {
    Replica(Box<S3Store>),
    Published(Box<PublishedSource<BucketTree>>),
}

async fn with_store(store: S3Store, creator: &str) -> Result<Replica> {
    Ok(Replica::options().creator(creator)?.open_shared(Arc::new(store)).await?)
}

/// The published tree at the URL of a bucket, whether it is there yet or not.
pub(crate) fn tree_in_bucket(url: &str) -> Result<BucketTree> {
    Ok(S3Options::new().tree(url)?)
}

async fn bucket(url: &str) -> Result<InBucket> {
    match S3Store::open(url).await {
        Ok(store) => Ok(InBucket::Replica(Box::new(store))),
        // Something else is there; or whoever may not list is not told whether a replica is.
        Err(error @ (StoreError::NotAReplica { .. } | StoreError::Io { .. })) => {
            let tree = PublishedSource::open(tree_in_bucket(url)?).await;
            tree.map(|tree| InBucket::Published(Box::new(tree))).map_err(|_| error.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes an empty replica.
pub(crate) async fn create(place: &Place, identity: Identity, creator: &str) -> Result<Opened> {
    let mut warning = None;
    let store: Arc<dyn ReplicaStore> = match place {
        Place::Sqlite(path) => {
            make_parent(path)?;
            Arc::new(SqliteStore::create(path, identity)?)
        }
        Place::Fs(path) => {
            make_parent(path)?;
            Arc::new(FsStore::create(path, identity)?)
        }
        Place::Sled(path) => {
            make_parent(path)?;
            Arc::new(SledStore::create(path, identity)?)
        }
        Place::Bucket(url) => {
            let store = S3Store::create(url, identity).await?;
            warning = store.warning();
            Arc::new(store)
        }
        place => {
            return Err(Failure::usage(format!(
                "no replica can be made at {place}; name sqlite:, fs: or sled: and a path, an s3:// \
                 URL, or a directory"
            )));
        }
    };
    let replica = Replica::options().creator(creator)?.open_shared(store).await?;
    Ok(Opened { replica, passing: false, warning })
}

fn make_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => std::fs::create_dir_all(parent)
            .map_err(|error| Failure::io("made", parent.display(), &error)),
        _ => Ok(()),
    }
}

/// What changesets are pulled from at a place.
pub(crate) async fn source(place: &Place, creator: &str) -> Result<Box<dyn ChangesetSource>> {
    Ok(match &find(place)?.place {
        Place::Bundle(path) => Box::new(Bundle::open(path).map_err(unreadable(path))?),
        Place::Tree(path) => {
            let fetch = DirectoryFetch::new(path);
            Box::new(PublishedSource::open(fetch).await.map_err(unreadable(path))?)
        }
        Place::Web(url) => Box::new(Web::new(url)?),
        Place::Bucket(url) => match bucket(url).await? {
            InBucket::Replica(store) => Box::new(with_store(*store, creator).await?),
            InBucket::Published(source) => source,
        },
        place => Box::new(open(place, creator).await?.replica),
    })
}

fn unreadable(path: &Path) -> impl FnOnce(prophet_store::Error) -> Failure {
    let missing = !path.exists();
    move |error| match missing {
        true => Failure::not_found(error.to_string()),
        false => error.into(),
    }
}

/// To what changesets are pushed.
pub(crate) enum Target {
    Replica(Replica),
    /// One that a server serves.
    Served(HttpPeer),
}

/// To what changesets are pushed at a place.
pub(crate) async fn target(place: &Place, creator: &str) -> Result<Target> {
    let only_read = || {
        Err(Failure::failed(format!(
            "{place} can only be read; use `prophet bundle create` or `prophet publish`"
        )))
    };
    match &find(place)?.place {
        Place::Web(url) => Ok(Target::Served(web::peer(url)?)),
        Place::Bundle(_) | Place::Tree(_) => only_read(),
        Place::Bucket(url) => match bucket(url).await? {
            InBucket::Replica(store) => Ok(Target::Replica(with_store(*store, creator).await?)),
            InBucket::Published(_) => only_read(),
        },
        place => Ok(Target::Replica(open(place, creator).await?.replica)),
    }
}
