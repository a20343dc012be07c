//! Conflicts: what is contested, why it shows what it shows, and decisions about it.

use axum::Router;
use axum::extract::{Extension, RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use futures_lite::StreamExt as _;
use hyper::StatusCode;
use prophet_store::{
    Attribution, Candidate, Conflict, ConflictId, Existence, RecordKey, RecordedVote, RegisterName,
    Rule, Value, Why,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::auth::Caller;
use super::body::Body;
use super::history::property;
use super::params::{OfProperty, OfRecord};
use super::path::{PropertyPath, RecordPath};
use super::problem::{Kind, Problem};
use super::query::Params;
use super::respond::{self, Items, NoParams, aside};
use super::{Shared, schema};

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/conflicts.json", get(list))
        .route("/conflicts/{type}/{id}", get(of_record).post(resolve))
        .route("/why/{type}/{id}", get(why_existence))
        .route("/why/{type}/{id}/{property}", get(why_property))
}

/// A property of a record on which writes disagree, or whether the record is to exist.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConflictItem {
    /// Its identity: the same for the same disagreement, on whatever replica.
    #[schema(value_type = schema::Digest)]
    id: String,
    /// The record, as `type/id`.
    record: String,
    /// The property; null if it is about whether the record exists. Then true is alive, and false
    /// is deleted.
    property: Option<String>,
    /// Whether it is still to be decided.
    open: bool,
    /// What is visible as it stands; null is *absent*.
    #[schema(value_type = Option<schema::Value>)]
    visible: Option<Value>,
    /// The rule by which that is visible.
    rule: &'static str,
    /// The values that disagree.
    candidates: Vec<CandidateItem>,
    /// All votes ever cast on it, oldest first, also those that count no more.
    votes: Vec<CastItem>,
}

/// A value, and what speaks for it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CandidateItem {
    /// The value; null is *absent*.
    #[schema(value_type = Option<schema::Value>)]
    value: Option<Value>,
    /// The live writes of it.
    writes: Vec<By>,
    /// The votes for it that count.
    votes: Vec<By>,
    /// The votes for it on conflicts between some of these values.
    related: Vec<By>,
}

/// A vote that was once cast.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CastItem {
    #[schema(value_type = Option<schema::Value>)]
    choice: Option<Value>,
    by: By,
}

/// Who made a changeset, where and when.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct By {
    #[schema(value_type = schema::Digest)]
    changeset: String,
    #[schema(value_type = schema::Id)]
    replica: String,
    /// Empty if nobody is named.
    creator: String,
    time: String,
}

/// Why a property, or the existence of a record, shows what it does.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WhyItem {
    /// The record, as `type/id`.
    record: String,
    /// The property; null if it is about whether the record exists.
    property: Option<String>,
    /// Whether the record exists: `alive`, `deleted`, or `never`.
    existence: &'static str,
    #[schema(value_type = Option<schema::Value>)]
    value: Option<Value>,
    /// The rule that decided; null if nobody ever wrote to it.
    rule: Option<&'static str>,
    /// The conflict, if writes disagree.
    #[schema(value_type = Option<schema::Digest>)]
    conflict: Option<String>,
    candidates: Vec<CandidateItem>,
    votes: Vec<CastItem>,
    /// What would decide the conflict, for each value without the majority.
    flips: Vec<FlipItem>,
    /// All of this in words.
    text: String,
}

/// How many more votes a value needs for a majority, if nobody votes for another one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FlipItem {
    #[schema(value_type = Option<schema::Value>)]
    value: Option<Value>,
    votes: usize,
}

/// Conflicts that are open.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Conflicts {
    #[schema(value_type = Vec<ConflictItem>)]
    conflicts: Vec<Box<RawValue>>,
    /// Whether there may be more than these.
    more: bool,
}

/// The conflicts of a record.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RecordConflicts {
    conflicts: Vec<ConflictItem>,
}

/// A decision about a conflict.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "conflict": "0000000000000000000000000000000000000000000000000000000000000000",
    "choice": "fixed"
}))]
pub(super) struct Decision {
    /// The `id` of the conflict.
    #[schema(value_type = schema::Digest)]
    conflict: ConflictId,
    /// One of its values is a vote for it; any other is written in their place. Null is *absent*.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<schema::Value>, required = true)]
    choice: Option<Value>,
}

/// What a decision came to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Decided {
    /// The changeset of the vote, or of the write; null if this replica had voted so already.
    #[schema(value_type = Option<schema::Digest>)]
    changeset: Option<String>,
    /// What is contested of the record now.
    conflicts: Vec<ConflictItem>,
}

/// So that what is left out is not taken for *absent*.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Option::deserialize(deserializer)
}

impl From<Attribution> for By {
    fn from(by: Attribution) -> Self {
        Self {
            changeset: by.changeset.to_string(),
            replica: by.replica.to_string(),
            creator: by.creator.to_string(),
            time: by.time.to_string(),
        }
    }
}

fn all<T: Into<U>, U>(items: Vec<T>) -> Vec<U> {
    items.into_iter().map(Into::into).collect()
}

impl From<Candidate> for CandidateItem {
    fn from(candidate: Candidate) -> Self {
        Self {
            value: candidate.value,
            writes: all(candidate.writes),
            votes: all(candidate.votes),
            related: all(candidate.related),
        }
    }
}

impl From<RecordedVote> for CastItem {
    fn from(vote: RecordedVote) -> Self {
        Self { choice: vote.choice, by: vote.by.into() }
    }
}

impl From<Conflict> for ConflictItem {
    fn from(conflict: Conflict) -> Self {
        Self {
            id: conflict.id.to_string(),
            record: conflict.record.to_string(),
            property: property(&conflict.register),
            open: !conflict.rule.decides(),
            visible: conflict.visible,
            rule: conflict.rule.name(),
            candidates: all(conflict.candidates),
            votes: all(conflict.votes),
        }
    }
}

impl From<Why> for WhyItem {
    fn from(why: Why) -> Self {
        let text = why.to_string();
        let flips = why.flips.into_iter();
        Self {
            record: why.record.to_string(),
            property: property(&why.register),
            existence: match why.existence {
                Existence::Alive => "alive",
                Existence::Deleted => "deleted",
                Existence::Never => "never",
            },
            value: why.value,
            rule: why.rule.map(Rule::name),
            conflict: why.conflict.map(|id| id.to_string()),
            candidates: all(why.candidates),
            votes: all(why.votes),
            flips: flips.map(|flip| FlipItem { value: flip.value, votes: flip.votes }).collect(),
            text,
        }
    }
}

/// The conflicts that are open.
#[utoipa::path(
    get, path = "/conflicts.json", tag = "conflicts", operation_id = "list_conflicts",
    params(("limit" = Option<u64>, Query, minimum = 1, maximum = 1000,
        description = "At most so many; 100 unless this is said.")),
    responses((status = 200, description = "The first of them. Records of one type that are \
        contested are listed a page at a time under `/records/{type}.json?contested=true`.",
        body = Conflicts))
)]
pub(super) async fn list(
    State(app): State<Shared>,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    let limit = Params::parse(text.as_deref(), &["limit"])?.limit()?;
    let replica = app.replica.clone();
    let page = aside(async move {
        let (mut items, mut more) = (Items::default(), false);
        let mut conflicts = replica.conflicts();
        while let Some(conflict) = conflicts.next().await {
            if items.is_full(limit) {
                more = true;
                break;
            }
            items.push(&ConflictItem::from(conflict?))?;
        }
        Ok(Conflicts { conflicts: items.into_inner(), more })
    });
    Ok(respond::json(StatusCode::OK, &page.await?))
}

/// What is contested of a record, open or decided.
#[utoipa::path(
    get, path = "/conflicts/{type}/{id}.json", tag = "conflicts", operation_id = "read_conflicts",
    params(OfRecord),
    responses((status = 200, description = "Its conflicts; none if it is not there.",
        body = RecordConflicts))
)]
pub(super) async fn of_record(
    State(app): State<Shared>,
    RecordPath(key): RecordPath,
    NoParams: NoParams,
) -> Result<Response, Problem> {
    let conflicts = all(app.replica.conflicts_of(&key).await?);
    Ok(respond::json(StatusCode::OK, &RecordConflicts { conflicts }))
}

/// Decides about a conflict of a record, as this replica: the vote travels to the peers.
#[utoipa::path(
    post, path = "/conflicts/{type}/{id}.json", tag = "conflicts", operation_id = "resolve_conflict",
    params(OfRecord),
    request_body(description = "The decision.", content = Decision),
    responses(
        (status = 200, description = "It was decided so.", body = Decided),
        (status = 404, description = "There is no such conflict, or no more."),
        (status = 409, description = "The conflict has changed; nothing was decided."),
        (status = 422, description = "That cannot be chosen."),
    )
)]
pub(super) async fn resolve(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    RecordPath(key): RecordPath,
    NoParams: NoParams,
    body: Body,
) -> Result<Response, Problem> {
    let decision: Decision = body.only_json()?;
    let replica = app.writer(&caller)?;
    let conflicts = replica.conflicts_of(&key).await?;
    let conflict = conflicts.iter().find(|conflict| conflict.id == decision.conflict);
    let conflict = conflict.ok_or_else(|| {
        let why =
            format!("the record {key} has no conflict {}; read them again", decision.conflict);
        Problem::new(Kind::NotFound, why)
    })?;
    let changeset = replica.resolve(conflict, decision.choice).await?;
    let conflicts = all(replica.conflicts_of(&key).await?);
    let changeset = changeset.map(|digest| digest.to_string());
    Ok(respond::json(StatusCode::OK, &Decided { changeset, conflicts }))
}

/// Why a record exists, or does not.
#[utoipa::path(
    get, path = "/why/{type}/{id}.json", tag = "conflicts", operation_id = "why_existence",
    params(OfRecord),
    responses((status = 200, description = "Who wrote, who voted, and what decided.",
        body = WhyItem))
)]
pub(super) async fn why_existence(
    State(app): State<Shared>,
    RecordPath(key): RecordPath,
    NoParams: NoParams,
) -> Result<Response, Problem> {
    why(&app, &key, RegisterName::Existence).await
}

/// Why a property shows what it does.
#[utoipa::path(
    get, path = "/why/{type}/{id}/{property}.json", tag = "conflicts", operation_id = "why_property",
    params(OfRecord, OfProperty),
    responses((status = 200, description = "Who wrote, who voted, and what decided.",
        body = WhyItem))
)]
pub(super) async fn why_property(
    State(app): State<Shared>,
    PropertyPath(key, name): PropertyPath,
    NoParams: NoParams,
) -> Result<Response, Problem> {
    why(&app, &key, RegisterName::Property(name)).await
}

async fn why(app: &Shared, key: &RecordKey, name: RegisterName) -> Result<Response, Problem> {
    let why = app.replica.why(key, &name).await?;
    Ok(respond::json(StatusCode::OK, &WhyItem::from(why)))
}
