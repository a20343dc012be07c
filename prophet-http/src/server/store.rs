//! The replica's store, for engines elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use prophet_store::{
    Commit, HistoryScan, LogScan, MetadataScan, OriginScan, PageLimit, Read, RecordScan,
    RecordType, ReplicaStore, ResolutionScan, StoreError, limits,
};

use super::Shared;
use super::answer::{Refusal, all, expect, speak};
use super::limits::take;
use super::problem::{Kind, Problem};
use super::respond::on_thread;
use crate::protocol::store::{PAGE_BYTES, Served, operation};
use crate::protocol::{REQUEST_BYTES, STORE, StoreFailure, Wire, decode, encode};

/// What a commit takes beside what counts as its size.
const COMMIT_BYTES: usize = (limits::COMMIT_BYTES as usize).saturating_add(256 << 20);
/// So long a commit may take to come, and a question.
const COMMIT_TIME: Duration = Duration::from_secs(600);
const QUESTION_TIME: Duration = Duration::from_secs(60);
/// No page holds more, whatever was asked for.
const PAGE_ITEMS: usize = 1 << 16;
/// What is asked for several times in a question makes no longer answer than this.
const REPEATED_BYTES: usize = 64 << 20;

/// `POST /store/{operation}`, each a method of [`ReplicaStore`].
pub(super) fn routes(app: Shared) -> Router {
    let router = Router::new().route("/store/{operation}", post(operate));
    router.layer(from_fn(speak)).with_state(app)
}

async fn operate(
    State(app): State<Shared>,
    Path(operation): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    expect(&parts.headers, STORE)?;
    let (most, time) = match operation.as_str() {
        operation::COMMIT => (COMMIT_BYTES, COMMIT_TIME),
        _ => (REQUEST_BYTES, QUESTION_TIME),
    };
    let body = all(body, most, time).await?;
    let verifies = operation == operation::VERIFY;
    let transfer = verifies.then(|| take(&app.limits.verifications, "as many verify as may"));
    let transfer = transfer.transpose()?;
    let answer = on_thread(async move {
        let _transfer = transfer;
        let replica = &app.replica;
        let store = Arc::clone(replica.store());
        let answer = answer(&*store, &operation, &body).await?;
        if operation == operation::COMMIT {
            replica.wake_watchers();
        }
        Ok::<_, Refusal>(answer)
    });
    Ok(([(CONTENT_TYPE, STORE)], answer.await??).into_response())
}

fn given<T: Wire>(body: &[u8]) -> Result<T, Problem> {
    decode(body)
        .map_err(|error| Problem::malformed(format!("the question cannot be read: {error}")))
}

fn nothing(body: &[u8]) -> Result<(), Problem> {
    match body.is_empty() {
        true => Ok(()),
        false => Err(Problem::malformed("the question has no parts, and there is a body")),
    }
}

fn said(answer: Result<impl Wire, StoreError>) -> Result<Vec<u8>, Refusal> {
    answer.map(|answer| encode(&answer)).map_err(|error| Refusal::Store(StoreFailure::of(&error)))
}

fn bounded(limit: PageLimit) -> PageLimit {
    PageLimit { items: limit.items.min(PAGE_ITEMS), bytes: limit.bytes.min(PAGE_BYTES) }
}

/// What is asked for, each once, and where among that each thing is that was asked for.
fn once<K: Ord + Clone>(asked: Vec<K>) -> (Vec<K>, Vec<usize>) {
    let (mut known, mut once) = (BTreeMap::new(), Vec::new());
    let place = |key: K| {
        *known.entry(key).or_insert_with_key(|key| {
            once.push(key.clone());
            once.len() - 1
        })
    };
    let places = asked.into_iter().map(place).collect();
    (once, places)
}

/// What was read of what was asked for, as often as it was. A small question must not make a large answer of
/// little.
fn said_of_each<T: Wire>(
    read: Result<Read<Vec<T>>, StoreError>,
    places: &[usize],
) -> Result<Vec<u8>, Refusal> {
    let Read { value, at } = read.map_err(|error| Refusal::Store(StoreFailure::of(&error)))?;
    let each: Vec<Vec<u8>> = value.into_iter().map(|value| encode(&value)).collect();
    let length = |bytes: &Vec<u8>| bytes.len();
    let said = || places.iter().filter_map(|place| each.get(*place));
    let (needed, length): (usize, usize) =
        (each.iter().map(length).sum(), said().map(length).sum());
    if length > needed.max(REPEATED_BYTES) {
        let detail = format!(
            "what is asked for several times would make an answer of {length} bytes; ask for it once"
        );
        return Err(Problem::malformed(detail).into());
    }
    let mut answer = encode(&(at, places.len() as u64));
    said().for_each(|bytes| answer.extend_from_slice(bytes));
    Ok(answer)
}

async fn answer(
    store: &dyn ReplicaStore,
    operation: &str,
    body: &[u8],
) -> Result<Vec<u8>, Refusal> {
    match operation {
        operation::FACTS => {
            nothing(body)?;
            Ok(encode(&Served::of(store.facts())))
        }
        operation::HEAD => {
            nothing(body)?;
            said(store.head().await)
        }
        operation::GET_RECORDS => {
            let (keys, places) = once(given::<Vec<_>>(body)?);
            said_of_each(store.get_records(&keys).await, &places)
        }
        operation::SCAN_RECORDS => {
            let scan: RecordScan = given(body)?;
            let limit = bounded(scan.limit);
            said(store.scan_records(&RecordScan { limit, ..scan }).await)
        }
        operation::COUNT_RECORDS => {
            let record_type: Option<RecordType> = given(body)?;
            said(store.count_records(record_type.as_ref()).await)
        }
        operation::SCAN_LOG => {
            let scan: LogScan = given(body)?;
            let limit = bounded(scan.limit);
            said(store.scan_log(&LogScan { limit, ..scan }).await)
        }
        operation::SCAN_HISTORY => {
            let scan: HistoryScan = given(body)?;
            let limit = bounded(scan.limit);
            said(store.scan_history(&HistoryScan { limit, ..scan }).await)
        }
        operation::SCAN_ORIGIN => {
            let scan: OriginScan = given(body)?;
            let limit = bounded(scan.limit);
            said(store.scan_origin(&OriginScan { limit, ..scan }).await)
        }
        operation::FIND_CHANGESETS => said(store.find_changesets(&given::<Vec<_>>(body)?).await),
        operation::SCAN_RESOLUTIONS => {
            let scan: ResolutionScan = given(body)?;
            let limit = bounded(scan.limit);
            said(store.scan_resolutions(&ResolutionScan { limit, ..scan }).await)
        }
        operation::GET_METADATA => {
            let (keys, places) = once(given::<Vec<_>>(body)?);
            said_of_each(store.get_metadata(&keys).await, &places)
        }
        operation::SCAN_METADATA => {
            let scan: MetadataScan = given(body)?;
            let limit = bounded(scan.limit);
            said(store.scan_metadata(&MetadataScan { limit, ..scan }).await)
        }
        operation::COMMIT => said(store.commit(&given::<Commit>(body)?).await),
        operation::VERIFY => {
            nothing(body)?;
            said(store.verify().await)
        }
        other => {
            let detail = format!("there is no operation {other:?}");
            Err(Problem::new(Kind::NoSuchRoute, detail).into())
        }
    }
}
