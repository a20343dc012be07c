//! Records and properties: every route, and what it answers.

use prophet_store::{Identity, MemoryStore};
use prophet_store::{Properties, RecordRules, Replica, Value};
use serde_json::json;

use crate::support::{NOBODY, Server, send};
use prophet_http::server::ServerOptions;

#[tokio::test]
async fn types_are_counted() {
    let server = Server::open().await;
    let empty = server.get("/records.json").await;
    assert_eq!((empty.status, empty.json()), (200, json!({ "types": [] })));
    server.bug("{}").await;
    server.bug("{}").await;
    server.send("POST", "/records/person.json", "{}").await;
    let types = server.get("/records.json").await;
    let expected = json!({ "types": [
        { "type": "bug", "count": 2 }, { "type": "person", "count": 1 }
    ] });
    assert_eq!(types.json(), expected);
    let again = send(server.ask("GET", "/records.json").header("if-none-match", types.etag()));
    assert_eq!(again.await.status, 304);
    let old = send(server.ask("GET", "/records.json").header("if-none-match", empty.etag()));
    assert_eq!(old.await.status, 200);
}

#[tokio::test]
async fn a_record_is_created_read_changed_replaced_and_deleted() {
    let server = Server::open().await;
    let created =
        server.send("POST", "/records/bug.json", r#"{"title": "It fails", "rank": 3}"#).await;
    assert_eq!(created.status, 201, "{created:?}");
    let id = created.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/records/bug/{id}.json");
    assert_eq!(created.header("location"), path);
    assert_eq!(created.json()["type"], "bug");
    assert_eq!(created.json()["etag"], created.etag());
    assert_eq!(created.json()["properties"], json!({ "title": "It fails", "rank": 3 }));

    let read = server.get(&path).await;
    assert_eq!((read.status, read.etag()), (200, created.etag()));
    assert_eq!(read.json(), json!({ "title": "It fails", "rank": 3 }));
    let head = send(server.ask("HEAD", &path)).await;
    assert_eq!((head.status, head.etag(), head.text.as_str()), (200, read.etag(), ""));

    for method in ["PATCH", "POST"] {
        let body = format!(r#"{{"by": "{method}", "rank": null}}"#);
        let changed = server.send(method, &path, &body).await;
        assert_eq!(changed.status, 200, "{changed:?}");
        assert_eq!(changed.json(), json!({ "title": "It fails", "by": method }));
        assert_ne!(changed.etag(), read.etag());
        assert_eq!(server.get(&path).await.etag(), changed.etag());
    }
    let patch = server.ask("PATCH", &path).header("content-type", "application/merge-patch+json");
    assert_eq!(send(patch.body("{}")).await.status, 200);

    let replaced = server.send("PUT", &path, r#"{"title": "It works"}"#).await;
    assert_eq!((replaced.status, replaced.json()), (200, json!({ "title": "It works" })));
    let same = server.send("PUT", &path, r#"{"title": "It works"}"#).await;
    assert_eq!(same.etag(), replaced.etag(), "nothing has changed");

    assert_eq!(send(server.ask("DELETE", &path)).await.status, 204);
    server.get(&path).await.is(404, "not-found");
    send(server.ask("DELETE", &path)).await.is(404, "not-found");
    server.send("PATCH", &path, "{}").await.is(404, "not-found");

    let anew = server.send("PUT", &path, r#"{"title": "Again"}"#).await;
    assert_eq!((anew.status, anew.header("location")), (201, path.as_str()));
    assert_eq!(server.get(&path).await.json(), json!({ "title": "Again" }));
}

#[tokio::test]
async fn a_record_can_be_put_under_an_id_of_ones_own() {
    let server = Server::open().await;
    let path = format!("/records/bug/{NOBODY}.json");
    let put = || json_put(&server, &path).header("if-none-match", "*");
    assert_eq!(send(put()).await.status, 201);
    send(put()).await.is(412, "precondition-failed");
}

fn json_put(server: &Server, path: &str) -> reqwest::RequestBuilder {
    server.ask("PUT", path).header("content-type", "application/json").body("{\"a\":1}")
}

#[tokio::test]
async fn a_property_is_set_read_and_removed() {
    let server = Server::open().await;
    let id = server.bug("{}").await;
    let path = format!("/records/bug/{id}/status.json");
    server.get(&path).await.is(404, "not-found");
    let set = server.send("PUT", &path, r#"["new", 1]"#).await;
    assert_eq!((set.status, set.header("location")), (201, path.as_str()));
    let read = server.get(&path).await;
    assert_eq!((read.status, read.json(), read.etag()), (200, json!(["new", 1]), set.etag()));
    let known = server.ask("GET", &path).header("if-none-match", read.etag());
    assert_eq!(send(known).await.status, 304);

    let set = server.send("POST", &path, "true").await;
    assert_eq!((set.status, set.json()), (200, json!(true)));
    let text = server.ask("PUT", &path).header("content-type", "text/plain").body("true");
    assert_eq!(send(text).await.json(), json!("true"));
    let form = server.ask("PUT", &path).header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(send(form.body("value=a+b")).await.json(), json!("a b"));

    assert_eq!(send(server.ask("DELETE", &path)).await.status, 204);
    send(server.ask("DELETE", &path)).await.is(404, "not-found");
    server.get(&path).await.is(404, "not-found");
    let nobody = format!("/records/bug/{NOBODY}/status.json");
    server.get(&nobody).await.is(404, "not-found");
    server.send("PUT", &nobody, "1").await.is(404, "not-found");
    send(server.ask("DELETE", &nobody)).await.is(404, "not-found");
}

#[tokio::test]
async fn forms_are_taken_as_text() {
    let server = Server::open().await;
    let form = server.ask("POST", "/records/bug.json");
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    let created = send(form.body("title=It+fails&rank=3")).await;
    assert_eq!(created.json()["properties"], json!({ "title": "It fails", "rank": "3" }));
    let curl = server.ask("POST", "/records/bug.json");
    let curl = curl.header("content-type", "application/x-www-form-urlencoded");
    send(curl.body(r#"{"title": "x"}"#)).await.is(415, "unsupported-media-type");
}

#[tokio::test]
async fn every_kind_of_value_comes_back() {
    let server = Server::open().await;
    let body = json!({
        "boolean": true, "integer": i64::MIN, "real": 0.1, "whole": 1.0, "text": "é\u{0}\"",
        "bytes": { "$bytes": "aGk=" }, "reference": { "$reference": format!("a/b/{NOBODY}") },
        "list": [1, [2]], "map": { "a": { "b": 1 } }, "tagged": { "$map": { "$bytes": 1 } },
    });
    let id = server.bug(&body.to_string()).await;
    assert_eq!(server.get(&format!("/records/bug/{id}.json")).await.json(), body);
}

#[tokio::test]
async fn names_may_hold_anything_but_control_characters() {
    let server = Server::open().await;
    for name in ["history", "conflicts", "a/b", "a.json", "50%", "é ?&=#", "..."] {
        let part = name.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let created = server.send("POST", &format!("/records/{part}.json"), "{}").await;
        assert_eq!(created.status, 201, "{name}: {created:?}");
        let location = created.header("location").to_owned();
        assert_eq!(server.get(&location).await.status, 200, "{location}");
        let path = location.strip_suffix(".json").unwrap();
        let set = server.send("PUT", &format!("{path}/{part}.json"), "1").await;
        assert_eq!(set.status, 201, "{set:?}");
        assert_eq!(server.get(set.header("location")).await.json(), json!(1));
        assert_eq!(server.get(&location).await.json(), json!({ name: 1 }));
    }
}

#[tokio::test]
async fn rules_of_a_type_are_told_with_what_breaks_them() {
    let rules = RecordRules::new()
        .canonicalize("email", |value| Value::from(value.to_string().to_lowercase()))
        .unwrap()
        .validate("name", |value| match value {
            Some(Value::Text(_)) => Ok(()),
            _ => Err("is needed".to_owned()),
        })
        .unwrap();
    let store = MemoryStore::new(Identity::new_database().unwrap());
    let replica = Replica::options().rules("person", rules).unwrap().open(store).await.unwrap();
    let server = Server::of(replica, ServerOptions::new().open()).await;
    let refused = server.send("POST", "/records/person.json", r#"{"email": "A"}"#).await;
    refused.is(422, "invalid");
    let broken = &refused.json()["problems"][0];
    assert_eq!((&broken["property"], &broken["message"]), (&json!("name"), &json!("is needed")));

    let created =
        server.send("POST", "/records/person.json", r#"{"name": "Ada", "email": "A"}"#).await;
    assert_eq!(created.json()["properties"]["email"], "\"a\"", "as the rules have it");
    let path = created.header("location").to_owned();
    server.send("PATCH", &path, r#"{"name": null}"#).await.is(422, "invalid");
    server.send("PUT", &path, "{}").await.is(422, "invalid");
    let name = path.replace(".json", "/name.json");
    server.send("PUT", &name, "3").await.is(422, "invalid");
    send(server.ask("DELETE", &name)).await.is(422, "invalid");
}

#[tokio::test]
async fn what_belongs_to_prophet_is_not_created() {
    let server = Server::open().await;
    server.send("POST", "/records/_setting.json", "{}").await.is(403, "forbidden");
    let path = format!("/records/_setting/{NOBODY}.json");
    server.send("PUT", &path, "{}").await.is(403, "forbidden");
}

#[tokio::test]
async fn a_record_is_read_as_it_was() {
    let server = Server::open().await;
    let id = server.bug(r#"{"title": "one"}"#).await;
    let path = format!("/records/bug/{id}.json");
    server.send("PATCH", &path, r#"{"title": "two"}"#).await;
    assert_eq!(server.get(&format!("{path}?at=1")).await.json(), json!({ "title": "one" }));
    assert_eq!(server.get(&format!("{path}?at=2")).await.json(), json!({ "title": "two" }));
    server.get(&format!("{path}?at=0")).await.is(404, "not-found");
    server.get(&format!("{path}?at=3")).await.is(404, "not-found");
    let then = server.get("/records/bug.json?at=1").await.json();
    assert_eq!(then["records"][0]["properties"], json!({ "title": "one" }));
    assert_eq!(then["records"][0]["etag"], json!(null), "nobody can write to that state");
}

#[tokio::test]
async fn what_others_do_to_the_replica_is_seen() {
    let server = Server::open().await;
    let bug = Properties::new().with("title", "from the app").unwrap();
    let key = server.replica.create("bug", bug).await.unwrap();
    let read = server.get(&format!("/records/bug/{}.json", key.id())).await;
    assert_eq!(read.json(), json!({ "title": "from the app" }));
    server.ended().await;
}
