//! Records: listed, created, read, written, deleted.

use std::future::Future;

use axum::Router;
use axum::extract::{Extension, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_lite::StreamExt as _;
use hyper::StatusCode;
use hyper::header::{ETAG, HeaderMap, HeaderValue, LINK};
use prophet_store::{
    Edit, Edited, Error, Position, Properties, PropertyName, Record, RecordKey, Replica,
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::auth::Caller;
use super::body::Body;
use super::etag::{self, Conditions};
use super::history::property;
use super::params::{IfInState, IfKnown, OfRecord};
use super::path::{Mount, RecordPath, TypePath};
use super::problem::{Kind, Problem};
use super::query::{LISTING, Params, cursor_text, query};
use super::respond::{self, Items, NoParams, aside, not_modified, tagged};
use super::{Shared, schema};

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/records.json", get(types))
        .route("/records/{type}", get(list).post(create))
        .route(
            "/records/{type}/{id}",
            get(read).post(change).put(replace).patch(change).delete(delete),
        )
}

/// The types of which there are records.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Types {
    types: Vec<Type>,
}

/// A type, and how many records there are of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Type {
    #[serde(rename = "type")]
    record_type: String,
    #[schema(minimum = 1)]
    count: u64,
}

/// A record as one of several.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RecordItem<'a> {
    #[serde(rename = "type")]
    record_type: &'a str,
    #[schema(value_type = schema::Id)]
    id: String,
    /// What identifies its state: for If-Match. Absent of a state that is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    etag: Option<String>,
    /// The position of the last log entry that touched it.
    changed: u64,
    /// The properties on which writes disagree, decided or not; null is whether the record exists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    contested: Vec<Option<String>>,
    #[schema(value_type = schema::Properties)]
    properties: &'a std::collections::BTreeMap<PropertyName, prophet_store::Value>,
}

/// Records, as many as fit on a page.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RecordPage {
    #[schema(value_type = Vec<RecordItem<'_>>)]
    records: Vec<Box<RawValue>>,
    /// The cursor of the next page, if there may be one.
    next: Option<String>,
}

impl<'a> RecordItem<'a> {
    fn of(record: &'a Record, tag: Option<String>) -> Self {
        Self {
            record_type: record.record_type().as_str(),
            id: record.id().to_string(),
            etag: tag,
            changed: record.changed().get(),
            contested: record.contested().keys().map(property).collect(),
            properties: record.properties(),
        }
    }
}

/// The types of which there are records.
#[utoipa::path(
    get, path = "/records.json", tag = "records", operation_id = "list_types",
    params(("If-None-Match" = Option<schema::Tags>, Header, description = "The tag of a state that is known.")),
    responses(
        (status = 200, description = "The types.", body = Types, headers(("ETag" = String))),
        (status = 304, description = "Nothing has changed since."),
    )
)]
pub(super) async fn types(
    State(app): State<Shared>,
    NoParams: NoParams,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let conditions = Conditions::of(&headers)?;
    let head = app.replica.head().await?;
    let tag = format!("W/\"{}-{}\"", head.version, head.commit);
    if conditions.is_known("the list", &tag)? {
        return Ok(not_modified(&tag));
    }
    let mut counted = app.types.lock().await;
    let counts = match &*counted {
        Some((at, counts)) if *at == head => counts.clone(),
        _ => {
            let replica = app.replica.clone();
            let counts = aside(async move { Ok(replica.record_types().await?) }).await?;
            *counted = Some((head, counts.clone()));
            counts
        }
    };
    drop(counted);
    let types = counts
        .into_iter()
        .map(|(record_type, count)| Type { record_type: record_type.to_string(), count });
    Ok(tagged(StatusCode::OK, Some(&tag), &Types { types: types.collect() }))
}

/// The records of a type: those that satisfy conditions, in an order, a page at a time.
#[utoipa::path(
    get, path = "/records/{type}.json", tag = "records", operation_id = "list_records",
    params(
        ("type" = schema::TypeName, Path, description = "The type of the records."),
        ("where" = Option<Vec<String>>, Query, style = Form, explode,
            description = "A condition: `status=open`, `priority>=3`, `title~^CLI`, `owner`, \
                `!owner`, and so on. All of them are to hold.",
            example = json!(["status=open"])),
        ("order" = Option<Vec<String>>, Query, style = Form, explode,
            description = "A property to order by, with `:desc` or `:asc` after it; where it is \
                equal, by the next one given, and last by id.",
            example = json!(["priority:desc"])),
        ("contested" = Option<bool>, Query,
            description = "Only records on which writes disagree, decided or not."),
        ("at" = Option<u64>, Query, maximum = 9_007_199_254_740_991_u64,
            description = "As it was at this position of the log."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000,
            description = "At most so many; 100 unless this is said."),
        ("cursor" = Option<String>, Query,
            description = "Only what comes after this place: `next` of a page of the same query."),
    ),
    responses(
        (status = 200, description = "A page of records.", body = RecordPage),
        (status = 404, description = "The log has no such position."),
    )
)]
pub(super) async fn list(
    State(app): State<Shared>,
    TypePath(record_type): TypePath,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    let known = [LISTING, &["at"]].concat();
    let params = Params::parse(text.as_deref(), &known)?;
    let (query, limit, at) =
        (query(record_type, &params)?, params.limit()?, params.position("at")?);
    let replica = app.replica.clone();
    let page = aside(async move {
        let then = match at {
            Some(position) => Some(replica.as_of(position).await?),
            None => None,
        };
        let mut found = match &then {
            Some(then) => then.find(&query),
            None => replica.find(&query),
        };
        let mut items = Items::default();
        while let Some(record) = found.next().await {
            let record = record?;
            let tag = at.is_none().then(|| etag::of(&record));
            items.push(&RecordItem::of(&record, tag))?;
            if items.is_full(limit) {
                let next = Some(cursor_text(&Replica::cursor(&query, &record)));
                return Ok(RecordPage { records: items.into_inner(), next });
            }
        }
        Ok(RecordPage { records: items.into_inner(), next: None })
    });
    Ok(respond::json(StatusCode::OK, &page.await?))
}

/// Creates a record, with an id of the server's choice.
#[utoipa::path(
    post, path = "/records/{type}.json", tag = "records", operation_id = "create_record",
    params(("type" = schema::TypeName, Path, description = "The type of the record.")),
    request_body(description = "Its properties.", content(
        (schema::Properties = "application/json"),
        (schema::Form = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 201, description = "It was created.", body = RecordItem<'_>,
            headers(("Location" = String), ("ETag" = String))),
        (status = 403, description = "The type belongs to Prophet itself."),
        (status = 422, description = "A rule or a limit does not allow it."),
    )
)]
pub(super) async fn create(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    mount: Mount,
    TypePath(record_type): TypePath,
    NoParams: NoParams,
    body: Body,
) -> Result<Response, Problem> {
    let properties = body.whole()?;
    let edited = app
        .writer(&caller)?
        .edit(|edit| {
            let (record_type, properties) = (record_type.clone(), properties.clone());
            async move { edit.create(record_type, properties).await }
        })
        .await?;
    let key = &edited.value;
    let left_at = edited.changesets.last().map(|(position, _)| *position);
    let Some((record, tag)) = after(&app.replica, key, left_at).await? else {
        // Somebody has deleted it already.
        return Ok(respond::at(StatusCode::CREATED.into_response(), &mount.record(key)));
    };
    let mut response = respond::json(StatusCode::CREATED, &RecordItem::of(&record, tag.clone()));
    if let Some(tag) = tag {
        response.headers_mut().insert(ETAG, etag::header(&tag));
    }
    Ok(respond::at(response, &mount.record(key)))
}

/// A record: what it shows.
#[utoipa::path(
    get, path = "/records/{type}/{id}.json", tag = "records", operation_id = "read_record",
    params(
        OfRecord, IfKnown,
        ("at" = Option<u64>, Query, maximum = 9_007_199_254_740_991_u64,
            description = "As it was at this position of the log."),
    ),
    responses(
        (status = 200, description = "Its properties. If writes disagree on it, `Link` leads to \
            its conflicts.", body = schema::Properties,
            headers(("ETag" = String), ("Link" = Option<String>))),
        (status = 304, description = "It is in the state that is known."),
        (status = 404, description = "There is no such record, or it was deleted."),
        (status = 412, description = "It is not in the state that is wanted."),
    )
)]
pub(super) async fn read(
    State(app): State<Shared>,
    mount: Mount,
    RecordPath(key): RecordPath,
    RawQuery(text): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let conditions = Conditions::of(&headers)?;
    let at = Params::parse(text.as_deref(), &["at"])?.position("at")?;
    let record = existing(&app.replica, &key, at).await?;
    let tag = etag::of(&record);
    if conditions.is_known(&key.to_string(), &tag)? {
        return Ok(not_modified(&tag));
    }
    let mut response = respond::record(StatusCode::OK, Some(&tag), &record);
    if !record.contested().is_empty() {
        let link = format!("<{}>; rel=\"related\"; title=\"conflicts\"", mount.conflicts(&key));
        if let Ok(link) = HeaderValue::from_str(&link) {
            response.headers_mut().insert(LINK, link);
        }
    }
    Ok(response)
}

/// Sets properties of a record, and removes others; what is not named stays. `POST` is for clients that
/// have no `PATCH`.
#[utoipa::path(
    method(patch, post), path = "/records/{type}/{id}.json", tag = "records", operation_id = "patch_record",
    params(OfRecord, IfInState),
    request_body(description = "What is to change.", content(
        (schema::Changes = "application/json"),
        (schema::Changes = "application/merge-patch+json"),
        (schema::Form = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 200, description = "What the record shows now.", body = schema::Properties,
            headers(("ETag" = Option<String>, description = "Absent if somebody has written since."))),
        (status = 204, description = "It was written, and deleted since."),
        (status = 404, description = "There is no such record, or it was deleted."),
        (status = 412, description = "It is not in that state; nothing was written."),
        (status = 422, description = "A rule or a limit does not allow it."),
    )
)]
pub(super) async fn change(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    RecordPath(key): RecordPath,
    NoParams: NoParams,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let conditions = Conditions::of(&headers)?;
    let properties = body.changes()?;
    let edited = write(&app, &caller, &key, &conditions, |edit, _| {
        let (key, properties) = (key.clone(), properties.clone());
        async move { edit.update(&key, properties).await }
    });
    shown(&app.replica, &key, &edited.await?, StatusCode::OK).await
}

/// Makes a record show exactly these properties. One that does not exist is created, one that was
/// deleted begins anew. A property that shows what it is to show already is left alone, so a
/// conflict on it stays open.
#[utoipa::path(
    put, path = "/records/{type}/{id}.json", tag = "records", operation_id = "put_record",
    params(OfRecord, IfInState),
    request_body(description = "All that it is to show.", content(
        (schema::Properties = "application/json"),
        (schema::Form = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 200, description = "What the record shows now.", body = schema::Properties,
            headers(("ETag" = Option<String>, description = "Absent if somebody has written since."))),
        (status = 201, description = "It was created.", body = schema::Properties,
            headers(("Location" = String), ("ETag" = Option<String>))),
        (status = 204, description = "It was written, and deleted since."),
        (status = 403, description = "The type belongs to Prophet itself."),
        (status = 412, description = "It is not in that state; nothing was written."),
        (status = 422, description = "A rule or a limit does not allow it."),
    )
)]
pub(super) async fn replace(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    mount: Mount,
    RecordPath(key): RecordPath,
    NoParams: NoParams,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let conditions = Conditions::of(&headers)?;
    let properties = body.whole()?;
    let edited = write(&app, &caller, &key, &conditions, |edit, before| {
        let (key, properties) = (key.clone(), properties.clone());
        async move {
            match before {
                Some(before) => edit.update(&key, differing(&before, properties)).await,
                None => edit.create_at(&key, properties).await,
            }
        }
    });
    let edited = edited.await?;
    let status = if edited.value.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let response = shown(&app.replica, &key, &edited, status).await?;
    Ok(match status {
        StatusCode::CREATED => respond::at(response, &mount.record(&key)),
        _ => response,
    })
}

/// Deletes a record. Its history stays.
#[utoipa::path(
    delete, path = "/records/{type}/{id}.json", tag = "records", operation_id = "delete_record",
    params(OfRecord, IfInState),
    responses(
        (status = 204, description = "It was deleted."),
        (status = 404, description = "There is no such record, or it was deleted."),
        (status = 412, description = "It is not in that state; nothing was deleted."),
    )
)]
pub(super) async fn delete(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    RecordPath(key): RecordPath,
    NoParams: NoParams,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let conditions = Conditions::of(&headers)?;
    let deleted = write(&app, &caller, &key, &conditions, |edit, _| {
        let key = key.clone();
        async move { edit.delete(&key).await }
    });
    deleted.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What of `wanted` a record does not show yet, and as *absent* what it is to show no more.
fn differing(before: &Record, wanted: Properties) -> Properties {
    let gone = before.properties().keys().filter(|name| !wanted.names(name.as_str()));
    let gone: Vec<_> = gone.map(|name| (name.clone(), None)).collect();
    let differs = |(name, value): &(PropertyName, Option<prophet_store::Value>)| {
        before.get(name.as_str()) != value.as_ref()
    };
    wanted.into_iter().filter(differs).chain(gone).collect()
}

/// The record, now or as it was.
pub(super) async fn existing(
    replica: &Replica,
    key: &RecordKey,
    at: Option<Position>,
) -> Result<Record, Problem> {
    let found = match at {
        Some(position) => replica.as_of(position).await?.get(key).await?,
        None => replica.get(key).await?,
    };
    found.ok_or_else(|| {
        Problem::new(
            Kind::NotFound,
            format!(
                "there is no record {key} here: it was deleted, or never came; its history says"
            ),
        )
    })
}

/// Writes to one record, if the conditions hold of what the write builds on: they are checked within
/// the edit. Gives what was there before.
pub(super) async fn write<F, Fut>(
    app: &Shared,
    caller: &Caller,
    key: &RecordKey,
    conditions: &Conditions,
    act: F,
) -> Result<Edited<Option<Record>>, Problem>
where
    F: Fn(Edit, Option<Record>) -> Fut,
    Fut: Future<Output = Result<(), Error>>,
{
    let edited = app
        .writer(caller)?
        .edit(|edit| {
            let act = &act;
            async move {
                let before = edit.get(key).await?;
                let tag = before.as_ref().map(etag::of);
                conditions.check(&key.to_string(), tag.as_deref())?;
                act(edit, before.clone()).await?;
                Ok(before)
            }
        })
        .await?;
    Ok(edited)
}

/// What a record shows after an edit, and its tag, unless somebody has written since: whoever wrote
/// with such a tag would not have seen that.
pub(super) async fn after(
    replica: &Replica,
    key: &RecordKey,
    left_at: Option<Position>,
) -> Result<Option<(Record, Option<String>)>, Problem> {
    let Some(record) = replica.get(key).await? else { return Ok(None) };
    let tag = (left_at == Some(record.changed())).then(|| etag::of(&record));
    Ok(Some((record, tag)))
}

/// The position of the last log entry that touched a record, as an edit left it.
pub(super) fn left_at(edited: &Edited<Option<Record>>) -> Option<Position> {
    let written = edited.changesets.last().map(|(position, _)| *position);
    written.or_else(|| edited.value.as_ref().map(Record::changed))
}

async fn shown(
    replica: &Replica,
    key: &RecordKey,
    edited: &Edited<Option<Record>>,
    status: StatusCode,
) -> Result<Response, Problem> {
    Ok(match after(replica, key, left_at(edited)).await? {
        Some((record, tag)) => respond::record(status, tag.as_deref(), &record),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}
