//! The description, held against what the server does.

use std::collections::BTreeSet;

use prophet_http::server::{ServerOptions, Token};
use serde_json::Value as Json;

use crate::support::{NOBODY, Server, send};

const METHODS: [&str; 7] = ["GET", "PUT", "POST", "DELETE", "PATCH", "TRACE", "OPTIONS"];

/// Every reference within the description.
fn references(json: &Json, found: &mut BTreeSet<String>) {
    match json {
        Json::Object(fields) => {
            if let Some(Json::String(reference)) = fields.get("$ref") {
                found.insert(reference.clone());
            }
            fields.values().for_each(|field| references(field, found));
        }
        Json::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_method_described_is_there_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::with(ServerOptions::new().open().tree(directory.path())).await;
    let api = server.get("/openapi.json").await.json();
    assert_eq!(api["openapi"], "3.1.0");
    let paths = api["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 14, "a new one belongs into docs/http.md too");
    for (path, item) in paths {
        let asked = path.replace("{type}", "bug").replace("{id}", NOBODY);
        let asked = asked.replace("{property}", "status").replace("{name}", "manifest.json");
        let described: BTreeSet<_> =
            METHODS.into_iter().filter(|it| item.get(it.to_lowercase()).is_some()).collect();
        for method in METHODS {
            let answer = send(server.ask(method, &asked)).await;
            if described.contains(method) {
                assert_ne!(answer.status, 405, "{method} {path}");
                let responses = &item[method.to_lowercase()]["responses"];
                let status = answer.status.to_string();
                assert!(responses.get(&status).is_some(), "{method} {path}: {status}");
                if answer.status == 404 {
                    answer.is(404, "not-found");
                }
            } else {
                answer.is(405, "method-not-allowed");
                let allowed: BTreeSet<_> =
                    answer.header("allow").split(',').filter(|it| *it != "HEAD").collect();
                assert_eq!(allowed, described, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn every_reference_leads_somewhere_and_every_schema_is_one() {
    let server = Server::open().await;
    let api = server.get("/openapi.json").await.json();
    let mut found = BTreeSet::new();
    references(&api, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        let schema = api.pointer(pointer).unwrap_or_else(|| panic!("{reference} is nowhere"));
        assert_ne!(*schema, serde_json::json!({ "type": "object" }), "{reference} says nothing");
    }
    assert_eq!(
        api.pointer("/components/schemas/Value/anyOf").unwrap().as_array().unwrap().len(),
        9
    );
}

#[tokio::test]
async fn what_needs_a_token_says_so() {
    let token = || Token::new("secret").unwrap();
    let needs =
        |api: &Json, method: &str, path: &str| api["paths"][path][method]["security"].is_array();
    let (records, record) = ("/records/{type}.json", "/records/{type}/{id}.json");

    let server = Server::with(ServerOptions::new().token(token())).await;
    let api = server.get("/openapi.json").await.json();
    assert_eq!(api["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    assert!(needs(&api, "post", records) && needs(&api, "delete", record));
    assert!(!needs(&api, "get", records));
    assert!(api["paths"].get("/replica/{name}").is_none());

    let server = Server::with(ServerOptions::new().token(token()).private()).await;
    let api = server.get("/openapi.json").await.json();
    assert!(needs(&api, "get", records) && !needs(&api, "get", "/health"));

    let api = Server::open().await.get("/openapi.json").await.json();
    assert!(!needs(&api, "post", records));
}
