//! The published tree, so that a server is a static source too.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::header::{
    CACHE_CONTROL, ETAG, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use hyper::{StatusCode, Uri};
use prophet_files::fetch::check_name;
use prophet_files::manifest::MANIFEST;
use prophet_files::tree::{SEGMENT_CACHING, caching};
use prophet_files::{DirectoryTree, PublishError, PublishOptions, publish};
use prophet_store::{Head, Replica};
use tokio::sync::Mutex;
use tower::Service as _;
use tower_http::services::ServeDir;

use super::etag::{self, Conditions};
use super::problem::{Kind, Problem};
use super::respond::{aside, not_modified};
use super::{Shared, schema};

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/replica/{*name}", get(file))
}

/// A directory with a published tree.
pub(super) struct Published {
    directory: PathBuf,
    /// Where the replica was when it was last published there. Held while it is, by whoever does it and not
    /// by who asked for it, who may be gone sooner.
    at: Arc<Mutex<Option<Head>>>,
}

impl Published {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, at: Arc::default() }
    }

    /// Publishes what is new, if anything is. Whoever asks meanwhile waits, and finds it done.
    async fn refresh(&self, replica: &Replica) -> Result<(), Problem> {
        let mut at = Arc::clone(&self.at).lock_owned().await;
        let head = replica.head().await?;
        if *at == Some(head) {
            return Ok(());
        }
        let (replica, directory) = (replica.clone(), self.directory.clone());
        let published = aside(async move {
            let tree = DirectoryTree::new(directory);
            let published = match publish(&replica, &tree, PublishOptions::new()).await {
                Ok(report) => {
                    tracing::info!(
                        changesets = report.changesets,
                        bytes = report.bytes,
                        "published"
                    );
                    Ok(report.head)
                }
                // The directory is the replica itself, and up to date by itself.
                Err(PublishError::Live { .. }) => Ok(head),
                Err(error) => Err(Problem::failed(&error)),
            };
            *at = Some(published?);
            Ok(())
        });
        published.await
    }
}

/// A file of the published tree: `manifest.json`, which is published anew if need be, and those that it names.
#[utoipa::path(
    get, path = "/replica/{name}", tag = "sync", operation_id = "read_file",
    params(
        ("name" = String, Path, description = "The name of the file in the tree.",
            example = "manifest.json"),
        ("If-None-Match" = Option<schema::Tags>, Header, description = "The tag of a file that is known."),
    ),
    responses(
        (status = 200, description = "The file.", content(
            (serde_json::Value = "application/json"), (String = "application/octet-stream"),
            (String = "application/zstd"), (String = "text/plain"),
        ), headers(("ETag" = String))),
        (status = 206, description = "The part of it that `Range` asks for."),
        (status = 304, description = "It is the one that is known."),
        (status = 404, description = "There is no such file."),
        (status = 412, description = "It is not the one that is wanted."),
        (status = 416, description = "It has no such part."),
    )
)]
pub(super) async fn file(
    State(app): State<Shared>,
    name: Result<Path<String>, PathRejection>,
    mut request: Request,
) -> Result<Response, Problem> {
    let Path(name) = name.map_err(|rejection| Problem::malformed(rejection.to_string()))?;
    let conditions = Conditions::of(request.headers())?;
    let nothing = || Problem::new(Kind::NotFound, format!("the tree has no file {name:?}"));
    let Some(tree) = &app.tree else { return Err(nothing()) };
    // What begins with a dot is not part of a tree, but on its way to be.
    let is_hidden = name.split('/').any(|part| part.starts_with('.'));
    if is_hidden || check_name(&name).is_err() {
        return Err(nothing());
    }
    if name == MANIFEST {
        tree.refresh(&app.replica).await?;
    }
    // Taken before the file is opened: a newer file under an older tag is only read once more.
    let tag = tag_of(&tree.directory.join(&name)).ok_or_else(nothing)?;
    if conditions.is_known(&name, &tag)? {
        return Ok(not_modified(&tag));
    }
    let headers = request.headers_mut();
    if headers.get(IF_RANGE).is_some_and(|known| known != tag.as_str()) {
        // What the client has part of is over.
        headers.remove(RANGE);
    }
    let is_tagged = headers.contains_key(IF_NONE_MATCH);
    let settled = [IF_RANGE, IF_NONE_MATCH, hyper::header::IF_MATCH];
    settled.iter().for_each(|name: &HeaderName| drop(headers.remove(name)));
    if is_tagged {
        headers.remove(IF_MODIFIED_SINCE);
    }
    *request.uri_mut() = Uri::try_from(format!("/{name}")).map_err(|_| nothing())?;
    let mut files = ServeDir::new(&tree.directory).append_index_html_on_directories(false);
    let response = match files.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if response.status() == StatusCode::NOT_FOUND {
        return Err(nothing());
    }
    let mut response = response.into_response();
    let headers = response.headers_mut();
    headers.insert(ETAG, etag::header(&tag));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching_of(&app, &name)));
    Ok(response)
}

/// What is for some only is not for caches that others share.
fn caching_of(app: &Shared, name: &str) -> &'static str {
    match caching(name) {
        SEGMENT_CACHING if app.options.private => "private, max-age=31536000, immutable",
        caching => caching,
    }
}

/// What tells the contents of a file apart, without reading them.
fn tag_of(path: &std::path::Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    metadata.is_file().then(|| format!("\"{:x}-{:x}\"", metadata.len(), modified.as_nanos()))
}
