//! The description of the API, from its code.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use hyper::StatusCode;
use serde_json::Value as Json;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Content, HttpMethod, Ref, RefOr, ResponseBuilder, ServerBuilder};
use utoipa::{OpenApi as _, PartialSchema as _, ToSchema as _};

use super::options::ServerOptions;
use super::path::Mount;
use super::problem::{Problem, ProblemBody};
use super::respond::{self, NoParams};
use super::{Shared, changes, conflicts, health, history, property, records, schema, tree};
use crate::protocol::PROBLEM;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/openapi.json", get(openapi))
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Prophet",
        description = "A replica of a Prophet database: typed records with free properties, their \
            history, and their conflicts.",
    ),
    paths(
        records::types,
        records::list,
        records::create,
        records::read,
        records::change,
        records::replace,
        records::delete,
        property::read,
        property::set,
        property::remove,
        history::history,
        history::log,
        conflicts::list,
        conflicts::of_record,
        conflicts::resolve,
        conflicts::why_existence,
        conflicts::why_property,
        changes::changes,
        tree::file,
        health::health,
        super::openapi::openapi,
    )
)]
struct Description;

/// This description.
#[utoipa::path(
    get, path = "/openapi.json", tag = "server", operation_id = "openapi",
    responses((status = 200, description = "The API in OpenAPI 3.1.", body = serde_json::Value))
)]
pub(super) async fn openapi(
    State(app): State<Shared>,
    mount: Mount,
    NoParams: NoParams,
) -> Result<Response, Problem> {
    let api = describe(&app.options, &mount).map_err(|error| Problem::failed(&error))?;
    Ok(respond::json(StatusCode::OK, &api))
}

/// What belongs together.
const TAGS: [(&str, &str); 6] = [
    ("records", "Types, records and their properties."),
    ("history", "What happened."),
    ("conflicts", "What is contested, and why it shows what it does."),
    ("changes", "What is committed, as it is."),
    ("sync", "What other replicas pull from."),
    ("server", "The server itself."),
];

/// The name of the one way to show who one is.
const BEARER: &str = "bearer";

fn describe(options: &ServerOptions, mount: &Mount) -> Result<Json, serde_json::Error> {
    let mut api = Description::openapi();
    let base = if mount.0.is_empty() { "/" } else { &mount.0 };
    api.servers = Some(vec![ServerBuilder::new().url(base).build()]);
    let tag =
        |(name, about): (&str, &str)| TagBuilder::new().name(name).description(Some(about)).build();
    api.tags = Some(TAGS.map(tag).into());
    if options.tree.is_none() {
        api.paths.paths.retain(|path, _| !path.starts_with("/replica/"));
    }
    let components = api.components.get_or_insert_default();
    let mut schemas = vec![(ProblemBody::name().into_owned(), ProblemBody::schema())];
    ProblemBody::schemas(&mut schemas);
    components.schemas.extend(schemas);
    let uses_tokens = !options.tokens.is_empty();
    if uses_tokens {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme(BEARER, scheme);
    }
    for (path, item) in &mut api.paths.paths {
        let is_open = matches!(path.as_str(), "/health" | "/openapi.json");
        if item.put.is_some() || item.patch.is_some() {
            // One function answers it and another method, and each operation has an id of its own.
            let id = item.post.as_mut().and_then(|post| post.operation_id.as_mut());
            id.into_iter().for_each(|id| id.push_str("_by_post"));
        }
        let operations = [
            (HttpMethod::Get, &mut item.get),
            (HttpMethod::Post, &mut item.post),
            (HttpMethod::Put, &mut item.put),
            (HttpMethod::Patch, &mut item.patch),
            (HttpMethod::Delete, &mut item.delete),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            let writes = method != HttpMethod::Get;
            if uses_tokens && !is_open && (writes && !options.open || options.private) {
                let needs = SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, []);
                operation.security = Some(vec![needs]);
            }
            complete(operation, writes);
        }
    }
    let mut api = serde_json::to_value(api)?;
    if let Some(schemas) = api.pointer_mut("/components/schemas").and_then(Json::as_object_mut) {
        schemas.extend(schema::all().into_iter().map(|(name, schema)| (name.to_owned(), schema)));
    }
    if let Some(paths) = api.get_mut("paths") {
        without_null(paths);
    }
    Ok(api)
}

/// What can be wrong with any request, and that whatever is wrong is told as a problem.
fn complete(operation: &mut Operation, writes: bool) {
    let mut common = vec![
        ("400", "The address, a parameter, a header or the body makes no sense."),
        ("401", "A token is needed, or the one shown is wrong."),
        ("404", "There is no such address."),
        ("421", "The server does not go by this name."),
        ("429", "Too many requests; `Retry-After` says when to come again."),
        ("500", "The server cannot read or write its replica."),
        ("503", "Not just now; `Retry-After` says when to come again."),
    ];
    if writes {
        common.extend([
            ("403", "Nothing may be written here, or not by a page of that site."),
            ("408", "The body took too long to come."),
            ("409", "It is not as the request takes it to be."),
            ("413", "The body, or what it would make, is too large."),
            ("415", "The body is of a type that is not understood here."),
            ("422", "That cannot be stored."),
            ("507", "There is no room left."),
        ]);
    }
    let responses = &mut operation.responses.responses;
    for (status, description) in common {
        responses
            .entry(status.to_owned())
            .or_insert_with(|| RefOr::T(ResponseBuilder::new().description(description).build()));
    }
    for (status, response) in responses {
        if let RefOr::T(response) = response
            && status.starts_with(['4', '5'])
        {
            let problem = Content::new(Some(Ref::from_schema_name("Problem")));
            response.content.insert(PROBLEM.to_owned(), RefOr::T(problem));
        }
    }
}

/// Parameters and headers that may be left out are never null.
fn without_null(described: &mut Json) {
    match described {
        Json::Object(fields) => {
            if let Some(Json::Array(types)) = fields.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = types.as_mut_slice() {
                    let only = only.take();
                    fields.insert("type".to_owned(), only);
                }
            }
            if let Some(Json::Array(kinds)) = fields.get_mut("oneOf") {
                kinds.retain(|kind| kind.get("type").is_none_or(|kind| kind != "null"));
                if let [only] = kinds.as_mut_slice() {
                    *described = only.take();
                    return;
                }
            }
            fields.values_mut().for_each(without_null);
        }
        Json::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}
