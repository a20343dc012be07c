//! Answers.

use std::future::Future;

use axum::extract::{FromRequestParts, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_lite::future::block_on;
use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use prophet_store::Record;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;

use super::body::JSON;
use super::etag;
use super::limits;
use super::problem::Problem;
use super::query::Params;

/// A page ends with the item that brings it to this many bytes.
const PAGE_BYTES: usize = 8 << 20;

/// An answer in JSON.
pub(super) fn json(status: StatusCode, body: &(impl Serialize + ?Sized)) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => {
            (status, [(CONTENT_TYPE, HeaderValue::from_static(JSON))], body).into_response()
        }
        Err(error) => Problem::failed(&error).into_response(),
    }
}

/// An answer in JSON that is one state of something.
pub(super) fn tagged(
    status: StatusCode,
    tag: Option<&str>,
    body: &(impl Serialize + ?Sized),
) -> Response {
    let mut response = json(status, body);
    if let Some(tag) = tag {
        response.headers_mut().insert(ETAG, etag::header(tag));
    }
    response
}

/// The client has this state already.
pub(super) fn not_modified(tag: &str) -> Response {
    (StatusCode::NOT_MODIFIED, [(ETAG, etag::header(tag))]).into_response()
}

/// Says where what was created is.
pub(super) fn at(mut response: Response, address: &str) -> Response {
    if let Ok(address) = HeaderValue::from_str(address) {
        response.headers_mut().insert(LOCATION, address);
    }
    response
}

/// Says of each answer that it is to be asked for again, unless it says something else, and that it
/// is what its type says.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Items of a page, as long as there is room.
#[derive(Debug, Default)]
pub(super) struct Items {
    items: Vec<Box<RawValue>>,
    bytes: usize,
}

impl Items {
    pub(super) fn push(&mut self, item: &impl Serialize) -> Result<(), Problem> {
        let text =
            serde_json::value::to_raw_value(item).map_err(|error| Problem::failed(&error))?;
        self.push_raw(text);
        Ok(())
    }

    pub(super) fn push_raw(&mut self, text: Box<RawValue>) {
        self.bytes += text.get().len();
        self.items.push(text);
    }

    pub(super) fn is_full(&self, limit: u64) -> bool {
        self.items.len() as u64 >= limit || self.bytes >= PAGE_BYTES
    }

    pub(super) fn into_inner(self) -> Vec<Box<RawValue>> {
        self.items
    }
}

/// What may take a while, on a thread where that keeps nobody waiting: a store need not yield.
pub(super) async fn on_thread<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Problem> {
    let place = limits::place();
    let work = move || {
        let _place = place;
        block_on(work)
    };
    spawn_blocking(work).await.map_err(|panicked| Problem::failed(&panicked))
}

/// The same, of what may be refused.
pub(super) async fn aside<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    on_thread(work).await?
}

/// A record's properties, as the answer to whoever asked for the record.
pub(super) fn record(status: StatusCode, tag: Option<&str>, record: &Record) -> Response {
    tagged(status, tag, record.properties())
}

/// Of an address that takes no parameters.
pub(super) struct NoParams;

impl<S: Send + Sync> FromRequestParts<S> for NoParams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Params::parse(parts.uri.query(), &[]).map(|_| Self)
    }
}
