//! Properties of a record, one at a time. Their tag is that of the record.

use axum::Router;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::StatusCode;
use hyper::header::HeaderMap;
use prophet_store::{Properties, PropertyName, RecordKey};

use super::auth::Caller;
use super::body::Body;
use super::etag::{self, Conditions};
use super::params::{IfInState, IfKnown, OfProperty, OfRecord};
use super::path::{Mount, PropertyPath};
use super::problem::{Kind, Problem};
use super::records::{after, existing, left_at, write};
use super::respond::{self, NoParams, not_modified, tagged};
use super::{Shared, schema};

pub(super) fn routes() -> Router<Shared> {
    let methods = get(read).put(set).post(set).delete(remove);
    Router::new().route("/records/{type}/{id}/{property}", methods)
}

/// A property of a record.
#[utoipa::path(
    get, path = "/records/{type}/{id}/{property}.json", tag = "records",
    operation_id = "read_property",
    params(OfRecord, OfProperty, IfKnown),
    responses(
        (status = 200, description = "Its value. The tag is that of the record.",
            body = schema::Value, headers(("ETag" = String))),
        (status = 304, description = "The record is in the state that is known."),
        (status = 404, description = "There is no such record, or it has no such property."),
        (status = 412, description = "The record is not in the state that is wanted."),
    )
)]
pub(super) async fn read(
    State(app): State<Shared>,
    PropertyPath(key, name): PropertyPath,
    NoParams: NoParams,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let conditions = Conditions::of(&headers)?;
    let record = existing(&app.replica, &key, None).await?;
    let value = record.get(name.as_str()).ok_or_else(|| no_such(&key, &name))?;
    let tag = etag::of(&record);
    if conditions.is_known(&key.to_string(), &tag)? {
        return Ok(not_modified(&tag));
    }
    Ok(tagged(StatusCode::OK, Some(&tag), value))
}

/// Gives a property a value. Where writes disagree on it, that settles it. `POST` is the same.
#[utoipa::path(
    method(put, post), path = "/records/{type}/{id}/{property}.json", tag = "records",
    operation_id = "put_property",
    params(OfRecord, OfProperty, IfInState),
    request_body(description = "The value.", content(
        (schema::Value = "application/json"),
        (String = "text/plain"),
        (schema::ValueForm = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 200, description = "The value that it has now.", body = schema::Value,
            headers(("ETag" = Option<String>, description = "Absent if somebody has written since."))),
        (status = 201, description = "The record did not have the property, and has this now.",
            body = schema::Value,
            headers(("Location" = String), ("ETag" = Option<String>))),
        (status = 204, description = "It was written, and removed since."),
        (status = 404, description = "There is no such record, or it was deleted."),
        (status = 412, description = "The record is not in that state; nothing was written."),
        (status = 422, description = "A rule or a limit does not allow it."),
    )
)]
pub(super) async fn set(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    mount: Mount,
    PropertyPath(key, name): PropertyPath,
    NoParams: NoParams,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let conditions = Conditions::of(&headers)?;
    let properties = Properties::from_iter([(name.clone(), body.value()?)]);
    let edited = write(&app, &caller, &key, &conditions, |edit, _| {
        let (key, properties) = (key.clone(), properties.clone());
        async move { edit.update(&key, properties).await }
    });
    let edited = edited.await?;
    let had = edited.value.as_ref().is_some_and(|before| before.get(name.as_str()).is_some());
    let status = if had { StatusCode::OK } else { StatusCode::CREATED };
    let now = after(&app.replica, &key, left_at(&edited)).await?;
    let shown = now.as_ref().and_then(|(record, tag)| Some((record.get(name.as_str())?, tag)));
    let Some((value, tag)) = shown else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let response = tagged(status, tag.as_deref(), value);
    Ok(if had { response } else { respond::at(response, &mount.property(&key, &name)) })
}

/// Removes a property.
#[utoipa::path(
    delete, path = "/records/{type}/{id}/{property}.json", tag = "records",
    operation_id = "delete_property",
    params(OfRecord, OfProperty, IfInState),
    responses(
        (status = 204, description = "The record does not have it any more."),
        (status = 404, description = "There is no such record, or it has no such property."),
        (status = 412, description = "The record is not in that state; nothing was removed."),
        (status = 422, description = "A rule does not allow it."),
    )
)]
pub(super) async fn remove(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    PropertyPath(key, name): PropertyPath,
    NoParams: NoParams,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let conditions = Conditions::of(&headers)?;
    let removed = write(&app, &caller, &key, &conditions, |edit, before| {
        let (key, name) = (key.clone(), name.clone());
        async move {
            if before.as_ref().is_some_and(|before| before.get(name.as_str()).is_none()) {
                return Err(no_such(&key, &name).into());
            }
            edit.update(&key, Properties::from_iter([(name, None)])).await
        }
    });
    removed.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn no_such(key: &RecordKey, name: &PropertyName) -> Problem {
    Problem::new(Kind::NotFound, format!("the record {key} has no property {name:?}"))
}
