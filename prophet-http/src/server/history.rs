//! What happened: to a record, and to the replica.

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use futures_lite::StreamExt as _;
use hyper::StatusCode;
use prophet_store::{
    Direction, HistoryChange, HistoryEntry, HistoryVote, Position, RegisterName, Rule, StepKind,
    Value,
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::changes::{self, Entries};
use super::params::OfRecord;
use super::path::RecordPath;
use super::problem::{Kind, Problem};
use super::query::Params;
use super::respond::{self, Items, aside};
use super::{Shared, schema};

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/log.json", get(log)).route("/history/{type}/{id}", get(history))
}

/// One entry of the history of a record.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HistoryItem {
    /// Its place in the log of this replica.
    position: u64,
    #[schema(value_type = schema::Digest)]
    changeset: String,
    /// The replica that authored it.
    #[schema(value_type = schema::Id)]
    origin: String,
    /// Who made it; empty if nobody is named.
    creator: String,
    /// When, by the author's clock.
    time: String,
    /// Whether it came from another replica.
    arrived: bool,
    /// What it was for: `edit`, `undo`, `merge`, `resolution`, `continuation`.
    kind: String,
    votes: Vec<VoteItem>,
    /// What it changed of the record, in the order in which it happened.
    changes: Vec<ChangeItem>,
}

/// A vote on a property of a record, or on its existence.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VoteItem {
    /// The property; null if it is about whether the record exists.
    property: Option<String>,
    /// The values that disagreed; null is *absent*.
    #[schema(value_type = Vec<Option<schema::Value>>)]
    candidates: Vec<Option<Value>>,
    /// The one that was chosen.
    #[schema(value_type = Option<schema::Value>)]
    choice: Option<Value>,
}

/// A visible value that changed, or that a conflict left as it was.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChangeItem {
    /// In which step: `nullify`, `change`, `settle`.
    step: &'static str,
    /// The property; null if it is about whether the record exists.
    property: Option<String>,
    /// What it was; null is *absent*. Of the existence, true is alive and false is deleted.
    #[schema(value_type = Option<schema::Value>)]
    old: Option<Value>,
    /// What it is.
    #[schema(value_type = Option<schema::Value>)]
    new: Option<Value>,
    /// If it is contested: the rule by which this value won.
    rule: Option<&'static str>,
}

/// What happened to a record, as much as fits on a page.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HistoryPage {
    #[schema(value_type = Vec<HistoryItem>)]
    history: Vec<Box<RawValue>>,
    /// The position after which the next page begins, if there may be one.
    next: Option<u64>,
}

/// The property that a register is of; `None` for the existence.
pub(super) fn property(register: &RegisterName) -> Option<String> {
    match register {
        RegisterName::Existence => None,
        RegisterName::Property(name) => Some(name.to_string()),
    }
}

impl From<HistoryEntry> for HistoryItem {
    fn from(entry: HistoryEntry) -> Self {
        Self {
            position: entry.position.get(),
            changeset: entry.changeset.to_string(),
            origin: entry.origin.to_string(),
            creator: entry.creator.to_string(),
            time: entry.time.to_string(),
            arrived: entry.arrived,
            kind: entry.kind.to_string(),
            votes: entry.votes.into_iter().map(VoteItem::from).collect(),
            changes: entry.changes.into_iter().map(ChangeItem::from).collect(),
        }
    }
}

impl From<HistoryVote> for VoteItem {
    fn from(vote: HistoryVote) -> Self {
        let property = property(&vote.register);
        Self { property, candidates: vote.candidates, choice: vote.choice }
    }
}

impl From<HistoryChange> for ChangeItem {
    fn from(change: HistoryChange) -> Self {
        Self {
            step: match change.step {
                StepKind::Nullify => "nullify",
                StepKind::Change => "change",
                StepKind::Settle => "settle",
            },
            property: property(&change.register),
            old: change.old,
            new: change.new,
            rule: change.rule.map(Rule::name),
        }
    }
}

/// What happened to a record, also to one that was deleted.
#[utoipa::path(
    get, path = "/history/{type}/{id}.json", tag = "history", operation_id = "read_history",
    params(
        OfRecord,
        ("first" = Option<schema::First>, Query,
            description = "What comes first; the newest unless this is said."),
        ("after" = Option<u64>, Query, maximum = 9_007_199_254_740_991_u64,
            description = "Only what comes after this position, in that order."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000,
            description = "At most so many; 100 unless this is said."),
    ),
    responses(
        (status = 200, description = "A page of its history.", body = HistoryPage),
        (status = 404, description = "Nothing ever happened to such a record here."),
    )
)]
pub(super) async fn history(
    State(app): State<Shared>,
    RecordPath(key): RecordPath,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    let params = Params::parse(text.as_deref(), &["first", "after", "limit"])?;
    let direction = params.direction()?.unwrap_or(Direction::Backward);
    let (after, limit) = (params.position("after")?, params.limit()?);
    let replica = app.replica.clone();
    let page = aside(async move {
        let mut entries = replica.history(&key, direction);
        let (mut items, mut is_known, mut next) = (Items::default(), false, None);
        while let Some(entry) = entries.next().await {
            let entry = entry?;
            is_known = true;
            if !is_beyond(entry.position, after, direction) {
                continue;
            }
            let position = entry.position.get();
            items.push(&HistoryItem::from(entry))?;
            if items.is_full(limit) {
                next = Some(position);
                break;
            }
        }
        if !is_known {
            let why = format!("nothing ever happened to a record {key} here; check the id");
            return Err(Problem::new(Kind::NotFound, why));
        }
        Ok(HistoryPage { history: items.into_inner(), next })
    });
    Ok(respond::json(StatusCode::OK, &page.await?))
}

fn is_beyond(position: Position, after: Option<Position>, direction: Direction) -> bool {
    after.is_none_or(|after| match direction {
        Direction::Forward => position > after,
        Direction::Backward => position < after,
    })
}

/// The log of the replica: everything that happened, in order.
#[utoipa::path(
    get, path = "/log.json", tag = "history", operation_id = "read_log",
    params(
        ("first" = Option<schema::First>, Query,
            description = "What comes first; the newest unless this is said."),
        ("after" = Option<u64>, Query, maximum = 9_007_199_254_740_991_u64,
            description = "Only what comes after this position, in that order."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000,
            description = "At most so many; 100 unless this is said."),
    ),
    responses((status = 200, description = "A page of the log.", body = Entries))
)]
pub(super) async fn log(
    State(app): State<Shared>,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    let params = Params::parse(text.as_deref(), &["first", "after", "limit"])?;
    let direction = params.direction()?.unwrap_or(Direction::Backward);
    let (after, limit) = (params.position("after")?, params.limit()?);
    let replica = app.replica.clone();
    let page = aside(async move { changes::page(&replica, after, direction, limit).await });
    Ok(respond::json(StatusCode::OK, &page.await?))
}
