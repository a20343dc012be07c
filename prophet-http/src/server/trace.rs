//! One event for each request.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;

/// Tells what was asked and what was answered; no headers, no query string, no body: they may hold
/// what is nobody's business.
pub(super) async fn trace(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let client = super::auth::address(&request);
    let began = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    tracing::info!(%method, path, status, micros, client = client.map(tracing::field::display), "answered");
    response
}
