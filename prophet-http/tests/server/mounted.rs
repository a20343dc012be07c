//! The API within a server of an app's own.

use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt as _;
use prophet_http::server::{ServerOptions, Token, router};
use serde_json::Value as Json;
use tower::ServiceExt as _;

use crate::support::replica;

async fn call(app: &Router, method: &str, path: &str, body: &str) -> (u16, Json, String) {
    let request = axum::http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(Body::from(body.to_owned()))
        .unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let location = response.headers().get("location");
    let location = location.map_or(String::new(), |it| it.to_str().unwrap().to_owned());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default(), location)
}

#[tokio::test]
async fn it_can_be_nested_under_a_path() {
    let api = router(replica().await, ServerOptions::new().open());
    let app = Router::new().nest("/api/v1", api);
    let (status, _, location) = call(&app, "POST", "/api/v1/records/bug.json", "{}").await;
    assert_eq!(status, 201);
    assert!(location.starts_with("/api/v1/records/bug/"), "{location}");
    assert_eq!(call(&app, "GET", &location, "").await.0, 200);
    assert_eq!(call(&app, "GET", "/api/v1/nowhere", "").await.0, 404);
    let (_, api, _) = call(&app, "GET", "/api/v1/openapi.json", "").await;
    assert_eq!(api["servers"][0]["url"], "/api/v1");
    assert_eq!(call(&app, "GET", "/records.json", "").await.0, 404);
}

#[tokio::test]
async fn what_is_allowed_is_the_same_under_a_path() {
    let options = ServerOptions::new().token(Token::new("secret").unwrap()).private();
    let app = Router::new().nest("/api", router(replica().await, options));
    assert_eq!(call(&app, "GET", "/api/records.json", "").await.0, 401);
    assert_eq!(call(&app, "GET", "/api/health", "").await.0, 200);
    assert_eq!(call(&app, "POST", "/api/records/bug.json", "{}").await.0, 401);
}
