//! The HTTP API of a replica.
//!
//! [`serve()`] serves it; [`router`] is for an app that has a server of its own.
//!
//! ```
//! use prophet_http::server::{ServerOptions, Token, serve};
//! use prophet_store::{Identity, MemoryStore, Replica};
//! use tokio::net::TcpListener;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let replica = Replica::open(MemoryStore::new(Identity::new_database()?)).await?;
//! let listener = TcpListener::bind("127.0.0.1:8008").await?;
//! let options = ServerOptions::new().token(Token::new("a-long-secret")?);
//! serve(listener, replica, options, std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! | | |
//! |---|---|
//! | `GET /records.json` | the types |
//! | `GET`, `POST /records/{type}.json` | list, create |
//! | `GET`, `PUT`, `PATCH`, `POST`, `DELETE /records/{type}/{id}.json` | a record |
//! | `GET`, `PUT`, `POST`, `DELETE /records/{type}/{id}/{property}.json` | a property |
//! | `GET /history/{type}/{id}.json`, `GET /log.json` | what happened |
//! | `GET /conflicts.json`, `GET`, `POST /conflicts/{type}/{id}.json` | what is contested, and decisions |
//! | `GET /why/{type}/{id}.json`, `GET /why/{type}/{id}/{property}.json` | why it shows what it does |
//! | `GET /changes` | what is committed, as it is: long poll, or server-sent events |
//! | `GET /replica/…` | a published tree, see [`ServerOptions::tree`] |
//! | `/sync/…`, `/store/…` | live sync and a store elsewhere, for programs of Prophet |
//! | `GET /health`, `GET /openapi.json` | whether it works; all of this in detail |
//!
//! `docs/http.md` says more. A request that cannot be answered gets an `application/problem+json`.
//!
//! What goes on is told through `tracing`; nothing is printed.

mod answer;
mod auth;
mod body;
mod changes;
mod conflicts;
mod etag;
mod health;
mod history;
mod limits;
mod openapi;
mod options;
mod params;
mod path;
mod problem;
mod property;
mod query;
mod records;
mod respond;
mod schema;
mod serve;
mod store;
mod sync;
mod trace;
mod tree;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::response::IntoResponse as _;
use axum::{Router, middleware};
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH, LINK, LOCATION,
    RETRY_AFTER,
};
use prophet_store::{Head, RecordCounts, Replica};
use tokio::sync::{Mutex, OwnedSemaphorePermit, watch};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{Any, CorsLayer};

use auth::Caller;
use limits::Limits;
use problem::{Kind, Problem};
use tree::Published;

pub use options::{InvalidOption, ServerOptions, Token};
pub use serve::serve;

/// What pages of other sites may say.
const ALLOWED: [HeaderName; 4] = [AUTHORIZATION, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH];

type Shared = Arc<App>;

/// What the handlers of one server share.
struct App {
    replica: Replica,
    options: ServerOptions,
    limits: Limits,
    /// The types and their numbers as they were last counted, and at which head.
    types: Mutex<Option<(Head, RecordCounts)>>,
    tree: Option<Published>,
    /// Whether the server is about to end, for those who wait for something.
    end: watch::Sender<bool>,
}

impl App {
    fn new(replica: Replica, options: ServerOptions) -> Self {
        Self {
            limits: Limits::new(&options),
            types: Mutex::default(),
            tree: options.tree.clone().map(Published::new),
            end: watch::Sender::new(false),
            replica,
            options,
        }
    }

    /// The replica, for what this caller writes.
    fn writer(&self, caller: &Caller) -> Result<Replica, Problem> {
        match &caller.creator {
            Some(creator) => Ok(self.replica.with_creator(creator.as_str())?),
            None => Ok(self.replica.clone()),
        }
    }

    /// A place among those who wait for changes.
    fn feed(&self) -> Result<OwnedSemaphorePermit, Problem> {
        limits::take(&self.limits.feeds, "as many wait for changes as may; come again soon")
    }

    fn ending(&self) -> watch::Receiver<bool> {
        self.end.subscribe()
    }
}

/// The HTTP API of `replica`, for a server of the app's own. It can be [nested](Router::nest) under a
/// path.
///
/// What [`serve()`] does beyond this is for that server to do: to limit how many connections there
/// are and how slow they may be, and to say where a request comes from, as
/// `into_make_service_with_connect_info::<SocketAddr>()` does. Change feeds end by themselves after a
/// [time](ServerOptions::feeds), which a server that is to end has to wait for.
///
/// ```
/// use axum::Router;
/// use prophet_http::server::{ServerOptions, router};
/// # use futures_lite::future::block_on;
/// # use prophet_store::{Identity, MemoryStore, Replica};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let replica = block_on(Replica::open(MemoryStore::new(Identity::new_database()?)))?;
/// let app: Router = Router::new().nest("/api", router(replica, ServerOptions::new()));
/// # let _ = app;
/// # Ok(())
/// # }
/// ```
pub fn router(replica: Replica, options: ServerOptions) -> Router {
    routes(Arc::new(App::new(replica, options)))
}

fn routes(app: Shared) -> Router {
    let quick = Router::new()
        .merge(records::routes())
        .merge(property::routes())
        .merge(history::routes())
        .merge(conflicts::routes())
        .merge(health::routes())
        .merge(openapi::routes())
        .route_layer(middleware::from_fn_with_state(app.clone(), limits::hurry));
    let mut all = quick.merge(changes::routes());
    if app.tree.is_some() {
        all = all.merge(tree::routes());
    }
    // What programs of Prophet say to one another; what of it only reads, `auth` says.
    let all: Router = all
        .with_state(app.clone())
        .merge(sync::routes(app.clone()))
        .merge(store::routes(app.clone()));
    let router = all
        .method_not_allowed_fallback(problem::method_not_allowed)
        // What is not there needs no token, and is no secret.
        .route_layer(middleware::from_fn_with_state(app.clone(), auth::authorize))
        .fallback(problem::no_such_route)
        .layer(DefaultBodyLimit::max(app.options.body_limit))
        .layer(middleware::from_fn_with_state(app.clone(), limits::throttle))
        .layer(CatchPanicLayer::custom(|_| {
            tracing::error!("a request made the server panic; this is a bug of Prophet");
            Problem::new(Kind::Failed, "the server has a bug; its log says more").into_response()
        }));
    let router = match app.options.origins.as_slice() {
        [] => router,
        origins => router.layer(
            CorsLayer::new()
                .allow_origin(origins.to_vec())
                .allow_methods(Any)
                .allow_headers(ALLOWED)
                .expose_headers([ETAG, LINK, LOCATION, RETRY_AFTER]),
        ),
    };
    router.layer(middleware::from_fn(respond::finish)).layer(middleware::from_fn(trace::trace))
}
