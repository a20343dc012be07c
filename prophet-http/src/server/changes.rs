//! The change feed: log entries as they are committed.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_lite::{Stream, StreamExt as _, stream};
use hyper::StatusCode;
use hyper::header::{ACCEPT, HeaderMap};
use prophet_files::line::line_of;
use prophet_store::{Direction, LogEntry, Position, Replica};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{sleep, timeout};
use utoipa::ToSchema;

use super::problem::Problem;
use super::query::Params;
use super::respond::{self, Items};
use super::{Shared, schema};

/// No request waits longer for a change.
const LONGEST_WAIT: u64 = 60;
/// So many entries are made ready for a client that is slow to take them.
const AHEAD: usize = 16;
/// The header in which a browser says what it saw last.
const LAST_EVENT_ID: &str = "last-event-id";
const EVENT_STREAM: &str = "text/event-stream";

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/changes", get(changes))
}

/// Entries of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Entries {
    #[schema(value_type = Vec<schema::LogEntry>)]
    entries: Vec<Box<RawValue>>,
    /// The position after which to go on.
    last: u64,
}

/// The entries of the log after a position, and each new one as it is committed.
///
/// As JSON it is a page of them; if there is none, the answer waits for one as long as `wait` says.
/// As server-sent events it goes on: each event has the position as its id, and a client that comes
/// back names the last one in `Last-Event-ID`.
#[utoipa::path(
    get, path = "/changes", tag = "changes", operation_id = "read_changes",
    params(
        ("after" = Option<u64>, Query, maximum = 9_007_199_254_740_991_u64,
            description = "Only what comes after this position; from the beginning unless this is \
                said."),
        ("wait" = Option<u64>, Query, maximum = 60,
            description = "So many seconds; do not wait unless this is said. Not of events."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000,
            description = "At most so many; 100 unless this is said. Not of events."),
        ("Last-Event-ID" = Option<u64>, Header, maximum = 9_007_199_254_740_991_u64,
            description = "Counts instead of `after`."),
    ),
    responses(
        (status = 200, description = "Entries, and where to go on; or events, one for each entry.",
            content((Entries = "application/json"), (String = "text/event-stream"))),
    )
)]
pub(super) async fn changes(
    State(app): State<Shared>,
    headers: HeaderMap,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    let params = Params::parse(text.as_deref(), &["after", "wait", "limit"])?;
    let wait = params.number("wait", LONGEST_WAIT)?.unwrap_or(0);
    let (after, limit) = (params.position("after")?, params.limit()?);
    let after = last_seen(&headers)?.or(after).unwrap_or(Position::ZERO);
    let end = app.replica.head().await?.position;
    if after > end {
        return Err(Problem::malformed(format!(
            "the log ends at position {end}, before {after}: that is a position of another replica, or \
             of what this one was before it was restored; begin without one"
        )));
    }
    let is_stream = headers.get_all(ACCEPT).iter().any(|accept| {
        accept.as_bytes().windows(EVENT_STREAM.len()).any(|it| it == EVENT_STREAM.as_bytes())
    });
    if is_stream {
        return Ok(events(&app, after)?.into_response());
    }
    let mut page = page(&app.replica, Some(after), Direction::Forward, limit).await?;
    if page.entries.is_empty() && wait > 0 {
        let _permit = app.feed()?;
        let mut ending = app.ending();
        let mut watched = app.replica.watch(after, app.options.feed_interval);
        tokio::select! {
            changed = timeout(Duration::from_secs(wait), watched.next()) => {
                if let Ok(Some(changed)) = changed {
                    changed?;
                }
            }
            _ = ending.wait_for(|ending| *ending) => {}
        }
        page = self::page(&app.replica, Some(after), Direction::Forward, limit).await?;
    }
    Ok(respond::json(StatusCode::OK, &page))
}

/// The position that a client saw last, as it says.
fn last_seen(headers: &HeaderMap) -> Result<Option<Position>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let number = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = number.and_then(|text| text.parse().ok()).filter(|number| *number < 1 << 53);
    number.map(|number| Some(Position::new(number))).ok_or_else(|| {
        Problem::malformed(format!(
            "the header Last-Event-ID is {value:?}; it takes the id of an event"
        ))
    })
}

/// A page of the log.
pub(super) async fn page(
    replica: &Replica,
    after: Option<Position>,
    direction: Direction,
    limit: u64,
) -> Result<Entries, Problem> {
    let mut log = replica.log(after, direction);
    let mut items = Items::default();
    let mut last = after.unwrap_or(Position::ZERO);
    while let Some(entry) = log.next().await {
        let entry = entry?;
        items.push_raw(json(&entry)?);
        last = entry.position;
        if items.is_full(limit) {
            break;
        }
    }
    Ok(Entries { entries: items.into_inner(), last: last.get() })
}

/// A log entry as a line of a log that stands for itself.
fn json(entry: &LogEntry) -> Result<Box<RawValue>, Problem> {
    serde_json::from_slice(&line_of(entry)).map_err(|error| Problem::failed(&error))
}

fn events(
    app: &Shared,
    after: Position,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>, Problem> {
    let permit = app.feed()?;
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(feed(app.clone(), after, sender, permit));
    let events = stream::unfold(receiver, |mut receiver| async move {
        let event = receiver.recv().await?;
        Some((Ok(event), receiver))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// Sends what is committed, until the client goes, the server ends, or it has been long enough.
async fn feed(
    app: Shared,
    after: Position,
    sender: mpsc::Sender<Event>,
    _permit: OwnedSemaphorePermit,
) {
    let mut ending = app.ending();
    let send = async {
        let mut watched = app.replica.watch(after, app.options.feed_interval);
        while let Some(entry) = watched.next().await {
            let event = entry.map_err(Problem::from).and_then(|entry| {
                let data = json(&entry)?;
                let event = Event::default().event("changeset").id(entry.position.to_string());
                Ok(event.data(data.get()))
            });
            // What failed has been logged, and the client comes back.
            let Ok(event) = event else { return };
            if sender.send(event).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = send => {}
        () = sender.closed() => {}
        () = sleep(app.options.feed_time) => {}
        _ = ending.wait_for(|ending| *ending) => {}
    }
}
