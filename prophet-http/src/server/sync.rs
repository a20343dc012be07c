//! Sync with peers that ask: what they lack, and what they have.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{RawQuery, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_lite::StreamExt as _;
use prophet_store::{
    ChangesetSource as _, Offer, PullOptions, StreamedBundle, VersionVector, codec,
};
use tokio::time::timeout;

use super::Shared;
use super::answer::{Refusal, all, expect, speak};
use super::etag::Conditions;
use super::limits::take;
use super::problem::{Kind, Problem};
use super::respond::{not_modified, on_thread};
use crate::basis::known;
use crate::pipe::{PieceSender, bundle, pieces};
use crate::protocol::{Answer, BUNDLE, REPORT, REQUEST_BYTES, SEEN, STANDING, Seen, Standing};

/// Who takes nothing, or sends nothing, for so long is given up; no question takes as long to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// So much of a refused body is still read, so that whoever sends it gets to the answer.
const LEFT_BYTES: usize = 64 << 20;

/// `POST /sync/pull`, `POST /sync/push` and `GET /sync/vector`.
pub(super) fn routes(app: Shared) -> Router {
    let router = Router::new()
        .route("/sync/pull", post(pull))
        .route("/sync/push", post(push))
        .route("/sync/vector", get(vector));
    router.layer(from_fn(speak)).with_state(app)
}

fn standing(offer: &Offer, answer: Answer) -> Result<Response, Problem> {
    let Some(head) = offer.head else {
        return Err(Problem::new(Kind::Failed, "the replica does not say where it is"));
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

fn json(content: &'static str, body: &impl serde::Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(body).map_err(|error| Problem::failed(&error))?;
    Ok(([(CONTENT_TYPE, content)], body).into_response())
}

/// What a puller lacks.
enum Lack {
    Nothing,
    /// Its whole vector would tell.
    Unknown,
    /// All that comes beyond this.
    Beyond(VersionVector),
}

/// Answers with what a puller lacks, who says what it has seen.
async fn pull(
    State(app): State<Shared>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    expect(&parts.headers, SEEN)?;
    let exact = match query.as_deref() {
        None | Some("") => false,
        Some("basis=exact") => true,
        Some(other) => {
            return Err(Problem::malformed(format!("{other:?} is none of basis=exact")).into());
        }
    };
    let seen = Seen::decode(&all(body, REQUEST_BYTES, PATIENCE).await?);
    let seen = seen.map_err(|error| Problem::malformed(error.to_string()))?;
    let source = app.replica.clone();
    let (offer, lack) = on_thread(async move {
        let offer = source.offer(&VersionVector::new()).await?;
        let lack = match seen.vector {
            _ if offer.seen.digest() == seen.digest => Lack::Nothing,
            None => Lack::Unknown,
            Some(vector) if exact => Lack::Beyond(known(&**source.store(), &vector).await?),
            Some(vector) => Lack::Beyond(vector),
        };
        Ok::<_, Refusal>((offer, lack))
    })
    .await??;
    Ok(match lack {
        Lack::Nothing => standing(&offer, Answer::NothingNew)?,
        Lack::Unknown => standing(&offer, Answer::SendVector)?,
        Lack::Beyond(basis) => {
            let held = take(&app.limits.pulls, "as many pull as may; come again soon")?;
            let (pieces, _writing) = bundle(app.replica.clone(), basis, PATIENCE, held);
            ([(CONTENT_TYPE, BUNDLE)], Body::from_stream(pieces)).into_response()
        }
    })
}

/// Says what has been seen here, unless that is what the request says.
async fn vector(State(app): State<Shared>, headers: HeaderMap) -> Result<Response, Refusal> {
    let conditions = Conditions::of(&headers)?;
    let seen = VersionVector::new();
    let offer = on_thread(async move { app.replica.offer(&seen).await }).await??;
    let tag = format!("\"{}\"", offer.seen.digest());
    if conditions.is_known("the vector", &tag)? {
        return Ok(not_modified(&tag));
    }
    Ok(([(ETAG, tag)], standing(&offer, Answer::Vector)?).into_response())
}

/// Takes in a bundle as it comes.
async fn push(State(app): State<Shared>, request: Request) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    expect(&parts.headers, BUNDLE)?;
    let (sender, pieces) = pieces();
    let transfer = match take(&app.limits.pushes, "as many push as may; come again soon") {
        Ok(transfer) => transfer,
        Err(full) => {
            drop(pieces);
            forward(body.into_data_stream(), sender).await;
            return Err(full.into());
        }
    };
    // The body is read on the runtime, whatever the thread that integrates it waits for.
    let reading = tokio::spawn(forward(body.into_data_stream(), sender));
    let pulled = on_thread(async move {
        let _transfer = transfer;
        let source = StreamedBundle::begin(pieces, "what was pushed").await?;
        app.replica.pull(&source, PullOptions::new()).await
    })
    .await;
    let _ = reading.await;
    Ok(json(REPORT, &pulled??)?)
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
