//! Whether the server works.

use axum::Router;
use axum::extract::{Extension, State};
use axum::response::Response;
use axum::routing::get;
use hyper::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::problem::Problem;
use super::respond::{self, NoParams};
use super::{Shared, schema};

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/health", get(health))
}

/// That the server can read its replica, and for whoever may read it, where that is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::Id, required = false)]
    database: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::Id, required = false)]
    replica: Option<String>,
    /// The position of the last entry of its log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    position: Option<u64>,
}

/// Whether the server can read its replica.
#[utoipa::path(
    get, path = "/health", tag = "server", operation_id = "health",
    responses(
        (status = 200, description = "It can.", body = Health),
    )
)]
pub(super) async fn health(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    NoParams: NoParams,
) -> Result<Response, Problem> {
    let head = app.replica.head().await?;
    let identity = Some(app.replica.store().facts().identity).filter(|_| caller.may_read);
    let health = Health {
        status: "ok",
        database: identity.map(|identity| identity.database.to_string()),
        replica: identity.map(|identity| identity.replica.to_string()),
        position: identity.map(|_| head.position.get()),
    };
    Ok(respond::json(StatusCode::OK, &health))
}
