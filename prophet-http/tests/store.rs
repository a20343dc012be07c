//! The suite over stores that are served: one in memory, and one of SQLite.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod support;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use backend_sqlite::SqliteStore;
use conformance::{Harness, Place, Store};
use futures_lite::future::block_on;
use prophet_http::{HttpOptions, HttpStore};
use prophet_store::{Identity, MemoryStore, Properties, Replica, ReplicaStore as _, StoreError};
use support::live::{Live, served};
use tempfile::TempDir;
use tower::ServiceExt as _;

fn options() -> HttpOptions {
    HttpOptions::new().no_proxy()
}

/// Creates what is served.
type Create = fn(&TempDir, Identity) -> Result<Store, StoreError>;

struct HttpHarness(Create);

impl Harness for HttpHarness {
    fn place(&self) -> Box<dyn Place> {
        Box::new(HttpPlace::new(self.0))
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        Ok(Arc::new(block_on(HttpStore::open(address, options()))?))
    }
}

/// A server at whose address there is nothing until a replica is created for it to serve.
struct HttpPlace {
    create: Create,
    served: Arc<Mutex<Option<Router>>>,
    live: Live,
    directory: TempDir,
}

impl HttpPlace {
    fn new(create: Create) -> Self {
        let served: Arc<Mutex<Option<Router>>> = Arc::default();
        let serving = Arc::clone(&served);
        let live = Live::serving(Router::new().fallback(async move |request: Request| {
            let router = serving.lock().unwrap().clone();
            match router {
                Some(router) => router.oneshot(request).await.into_response(),
                None => StatusCode::NOT_FOUND.into_response(),
            }
        }));
        let directory = TempDir::new().expect("a temporary directory can be made");
        Self { create, served, live, directory }
    }
}

impl Place for HttpPlace {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        let mut serving = self.served.lock().unwrap();
        if serving.is_some() {
            return Err(StoreError::already_exists(self.live.url()));
        }
        let store = (self.create)(&self.directory, identity)?;
        let replica = block_on(Replica::options().open_shared(store));
        *serving = Some(served(&replica.expect("a new store opens")));
        drop(serving);
        self.open()
    }

    fn open(&self) -> Result<Store, StoreError> {
        Ok(Arc::new(block_on(HttpStore::open(&self.live.url(), options()))?))
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        let opened = block_on(HttpStore::open_read_only(&self.live.url(), options()));
        Some(opened.map(|store| Arc::new(store) as Store))
    }

    fn address(&self) -> Option<String> {
        Some(self.live.url())
    }
}

fn in_memory(_: &TempDir, identity: Identity) -> Result<Store, StoreError> {
    Ok(Arc::new(MemoryStore::new(identity)))
}

fn in_sqlite(directory: &TempDir, identity: Identity) -> Result<Store, StoreError> {
    Ok(Arc::new(SqliteStore::create(directory.path().join("replica.sqlite"), identity)?))
}

// What fails, loses power or is damaged is behind the server, where the suite is over the store itself.
conformance::suite!(memory, HttpHarness(in_memory), without = [faults, power_loss, damage]);
conformance::suite!(sqlite, HttpHarness(in_sqlite), without = [faults, power_loss, damage]);
conformance::invariants!(invariants, HttpHarness(in_memory));

/// A question of a few kilobytes could have an answer of any length.
#[test]
fn what_is_asked_for_again_and_again_is_not_said_without_end() {
    block_on(async {
        let replica = Replica::open(MemoryStore::new(Identity::new_database().unwrap()));
        let replica = replica.await.unwrap();
        let large = Properties::new().with("text", "x".repeat(1 << 20)).unwrap();
        let one = replica.create("note", large).await.unwrap();
        let other = replica.create("bug", Properties::new()).await.unwrap();
        let live = Live::of(&replica);
        let store = HttpStore::open(&live.url(), options()).await.unwrap();
        let keys = [one.clone(), other.clone(), one.clone(), one.clone(), other];
        let read = store.get_records(&keys).await.unwrap();
        assert_eq!(read, replica.store().get_records(&keys).await.unwrap());
        let error = store.get_records(&vec![one; 65]).await.unwrap_err().to_string();
        assert!(error.contains("ask for it once"), "{error}");
    });
}
