//! Serving a replica over HTTP.

mod answer;
mod store;
mod sync;

use axum::Router;
use prophet_store::Replica;

/// What there is to ask of a replica.
pub fn router(replica: Replica) -> Router {
    sync::routes(replica.clone()).merge(store::routes(replica))
}
