//! What the routes for programs have in common: the version of the protocol, and problems.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_lite::future::block_on;
use prophet_store::Error;
use tokio::task::spawn_blocking;

use crate::protocol::{
    BASIS_MISSING, OTHER_PROTOCOL, PROBLEM, PROTOCOL, Problem, STORE_ERROR, StoreFailure, VERSION,
};

/// Why a request is not answered as it was meant to be.
#[derive(Debug)]
pub(super) enum Refusal {
    Problem(Problem),
    Store(StoreFailure),
}

impl Refusal {
    pub(super) fn new(status: StatusCode, kind: Option<&str>, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or_default().to_owned();
        let (status, kind) = (status.as_u16(), kind.map(str::to_owned));
        Self::Problem(Problem { title, status, detail: detail.into(), kind })
    }

    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Some("bad_request"), detail)
    }
}

/// What a replica says; of what its store says, no more than that it failed.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let (status, kind) = match &error {
            Error::OtherDatabase { .. } => (StatusCode::CONFLICT, "other_database"),
            Error::PullFromItself { .. } => (StatusCode::CONFLICT, "from_itself"),
            Error::BasisMissing { .. } => (StatusCode::CONFLICT, BASIS_MISSING),
            Error::BadChangeset { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "bad_changeset"),
            Error::BadSource { .. } => (StatusCode::BAD_REQUEST, "bad_request"),
            Error::Store(failed) => return Self::Store(StoreFailure::of(failed)),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
        };
        Self::new(status, Some(kind), error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, content, body) = match &self {
            Self::Problem(problem) => (problem.status, PROBLEM, serde_json::to_vec(problem)),
            Self::Store(failure) => (failure.status(), STORE_ERROR, serde_json::to_vec(failure)),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(CONTENT_TYPE, content)], body.unwrap_or_default()).into_response()
    }
}

/// Refuses a version of the protocol that is not known here, and says in every answer which one it is in.
pub(super) async fn speak(request: Request, next: Next) -> Response {
    let spoken = request.headers().get(PROTOCOL).map(HeaderValue::as_bytes);
    let mut response = match spoken {
        Some(version) if version == VERSION.to_string().as_bytes() => next.run(request).await,
        spoken => {
            let spoken = spoken.map_or("none".into(), String::from_utf8_lossy);
            let detail = format!(
                "this server speaks version {VERSION} of the protocol, and {PROTOCOL} says {spoken}"
            );
            Refusal::new(StatusCode::BAD_REQUEST, Some(OTHER_PROTOCOL), detail).into_response()
        }
    };
    response.headers_mut().insert(PROTOCOL, HeaderValue::from(VERSION));
    response
}

/// Refuses another type of content than this one.
pub(super) fn expect(headers: &HeaderMap, content: &str) -> Result<(), Refusal> {
    let given = headers.get(CONTENT_TYPE).and_then(|given| given.to_str().ok());
    match given.and_then(|given| given.split(';').next()).map(str::trim) == Some(content) {
        true => Ok(()),
        false => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Some("bad_request"),
            format!("the content has to be {content}"),
        )),
    }
}

/// All of a body, if it is not beyond so many bytes.
pub(super) async fn all(body: Body, most: usize) -> Result<axum::body::Bytes, Refusal> {
    to_bytes(body, most).await.map_err(|error| {
        let mut source: &(dyn std::error::Error + 'static) = &error;
        while let Some(cause) = source.source() {
            source = cause;
        }
        match source.is::<http_body_util::LengthLimitError>() {
            true => Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                Some("too_large"),
                format!("the body is longer than {most} bytes"),
            ),
            false => Refusal::bad(format!("the body breaks off: {error}")),
        }
    })
}

/// Runs this on a thread that may block, as stores may.
pub(super) async fn on_thread<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    match spawn_blocking(move || block_on(work)).await {
        Ok(done) => done,
        Err(error) => Err(Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Some("failed"),
            format!("the operation ended before its time: {error}"),
        )),
    }
}
