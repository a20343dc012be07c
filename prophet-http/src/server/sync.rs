//! Sync with peers that ask: what they lack, and what they have.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{RawQuery, Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_lite::StreamExt as _;
use prophet_store::{
    ChangesetSource as _, Offer, PullOptions, Replica, StreamedBundle, VersionVector, codec,
};
use tokio::time::timeout;

use super::answer::{Refusal, all, expect, on_thread, speak};
use crate::basis::known;
use crate::pipe::{PieceSender, bundle, pieces};
use crate::protocol::{Answer, BUNDLE, REPORT, REQUEST_BYTES, SEEN, STANDING, Seen, Standing};

/// A reader that takes nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// So much of a refused body is still read, so that whoever sends it gets to the answer.
const LEFT_BYTES: usize = 64 << 20;

/// `POST /sync/pull`, `POST /sync/push` and `GET /sync/vector`.
pub(super) fn routes(replica: Replica) -> Router {
    let router = Router::new()
        .route("/sync/pull", post(pull))
        .route("/sync/push", post(push))
        .route("/sync/vector", get(vector));
    router.layer(from_fn(speak)).with_state(replica)
}

fn standing(offer: &Offer, answer: Answer) -> Result<Response, Refusal> {
    let Some(head) = offer.head else {
        let why = "the replica does not say where it is";
        return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, Some("failed"), why));
    };
    let vector = || STANDARD.encode(codec::encode_vector(&offer.seen));
    let standing = Standing {
        answer,
        database: offer.database,
        replica: offer.replica,
        head: head.into(),
        vector: (answer == Answer::Vector).then(vector),
    };
    json(STANDING, &standing)
}

fn json(content: &'static str, body: &impl serde::Serialize) -> Result<Response, Refusal> {
    let body = serde_json::to_vec(body).map_err(|error| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, Some("failed"), error.to_string())
    })?;
    Ok(([(CONTENT_TYPE, content)], body).into_response())
}

/// Answers with what a puller lacks, who says what it has seen.
async fn pull(
    State(replica): State<Replica>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    expect(&parts.headers, SEEN)?;
    let exact = match query.as_deref() {
        None | Some("") => false,
        Some("basis=exact") => true,
        Some(other) => return Err(Refusal::bad(format!("{other:?} is none of basis=exact"))),
    };
    let seen = Seen::decode(&all(body, REQUEST_BYTES).await?);
    let seen = seen.map_err(|error| Refusal::bad(error.to_string()))?;
    let source = replica.clone();
    let (offer, basis) = on_thread(async move {
        let offer = source.offer(&VersionVector::new()).await?;
        let basis = match seen.vector {
            _ if offer.seen.digest() == seen.digest => None,
            None => return Ok((offer, Some(None))),
            Some(vector) if exact => Some(Some(known(&**source.store(), &vector).await?)),
            Some(vector) => Some(Some(vector)),
        };
        Ok((offer, basis))
    })
    .await?;
    match basis {
        None => standing(&offer, Answer::NothingNew),
        Some(None) => standing(&offer, Answer::SendVector),
        Some(Some(basis)) => {
            let (pieces, _writing) = bundle(replica, basis, PATIENCE);
            Ok(([(CONTENT_TYPE, BUNDLE)], Body::from_stream(pieces)).into_response())
        }
    }
}

/// Says what has been seen here, unless that is what the request says.
async fn vector(State(replica): State<Replica>, headers: HeaderMap) -> Result<Response, Refusal> {
    let offer = on_thread(async move { Ok(replica.offer(&VersionVector::new()).await?) }).await?;
    let tag = format!("\"{}\"", offer.seen.digest());
    let asked = headers.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let answer = match asked.is_some_and(|tags| tags.split(',').any(|it| it.trim() == tag)) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => standing(&offer, Answer::Vector)?,
    };
    Ok(([(ETAG, tag)], answer).into_response())
}

/// Takes in a bundle as it comes.
async fn push(State(replica): State<Replica>, request: Request) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    expect(&parts.headers, BUNDLE)?;
    let (sender, pieces) = pieces();
    // The body is read on the runtime, whatever the thread that integrates it waits for.
    let reading = tokio::spawn(forward(body.into_data_stream(), sender));
    let pulled = on_thread(async move {
        let source = StreamedBundle::begin(pieces, "what was pushed").await?;
        Ok(replica.pull(&source, PullOptions::new()).await?)
    })
    .await;
    let _ = reading.await;
    json(REPORT, &pulled?)
}

/// Hands on a body as it comes. Where nobody wants it any more, the rest is read all the same, up to a
/// limit, so that whoever sends it gets to the answer.
async fn forward(mut body: BodyDataStream, sender: PieceSender) {
    let mut left = LEFT_BYTES;
    loop {
        let piece = match timeout(PATIENCE, body.next()).await {
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the body stands still")),
            Ok(None) => return,
            Ok(Some(piece)) => piece.map_err(io::Error::other),
        };
        let bytes = piece.as_ref().map_or(left, Bytes::len);
        if sender.send(piece).await.is_err() {
            left = left.saturating_sub(bytes);
            if left == 0 {
                return;
            }
        }
    }
}
