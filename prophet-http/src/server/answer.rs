//! What the routes for programs have in common: the version of the protocol, whole bodies, and refusals.

use std::error::Error as _;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prophet_store::Error;
use tokio::time::timeout;

use super::problem::{Kind, Problem};
use crate::protocol::{PROTOCOL, STORE_ERROR, StoreFailure, VERSION};

/// Why a request is not answered as it was meant to be.
#[derive(Debug)]
pub(super) enum Refusal {
    Problem(Problem),
    Store(StoreFailure),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(failed) => Self::Store(StoreFailure::of(&failed)),
            other => Self::Problem(other.into()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Store(failure) => {
                // Texts and numbers, which always are JSON.
                let body = serde_json::to_vec(&failure).unwrap_or_default();
                let status = StatusCode::from_u16(failure.status());
                (
                    status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                    [(CONTENT_TYPE, STORE_ERROR)],
                    body,
                )
                    .into_response()
            }
        }
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
            Problem::new(Kind::OtherProtocol, detail).into_response()
        }
    };
    response.headers_mut().insert(PROTOCOL, HeaderValue::from(VERSION));
    response
}

/// Refuses another type of content than this one.
pub(super) fn expect(headers: &HeaderMap, content: &str) -> Result<(), Problem> {
    let given = headers.get(CONTENT_TYPE).and_then(|given| given.to_str().ok());
    match given.and_then(|given| given.split(';').next()).map(str::trim) == Some(content) {
        true => Ok(()),
        false => Err(Problem::new(
            Kind::UnsupportedMediaType,
            format!("the content has to be {content}"),
        )),
    }
}

/// All of a body, if it is not beyond so many bytes, and comes in time.
pub(super) async fn all(body: Body, most: usize, time: Duration) -> Result<Bytes, Problem> {
    let read = timeout(time, to_bytes(body, most)).await.map_err(|_| {
        Problem::new(
            Kind::TooSlow,
            format!("the body was not there after {} s; send it faster", time.as_secs()),
        )
    })?;
    read.map_err(|error| {
        match error.source().is_some_and(|why| why.is::<http_body_util::LengthLimitError>()) {
            true => Problem::new(
                Kind::TooLarge,
                format!("the body has more than {most} bytes, which are the most"),
            ),
            false => Problem::malformed(format!("the body breaks off: {error}")),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_lite::stream;

    use super::*;

    #[test]
    fn a_body_comes_whole_and_in_time_or_is_refused() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let soon = Duration::from_millis(20);
            let refused = async |body| {
                let problem = all(body, 10, soon).await.unwrap_err();
                problem.into_response().status().as_u16()
            };
            assert_eq!(all(Body::from("1234567890"), 10, soon).await.unwrap(), "1234567890");
            assert_eq!(refused(Body::from("12345678901")).await, 413);
            let stands = stream::pending::<io::Result<Bytes>>();
            assert_eq!(refused(Body::from_stream(stands)).await, 408);
            let breaks = stream::once(Err::<Bytes, _>(io::Error::other("gone")));
            assert_eq!(refused(Body::from_stream(breaks)).await, 400);
        });
    }
}
