//! Tags and conditions, and that no acknowledged write is lost where they are used.

use std::sync::Arc;

use prophet_http::server::ServerOptions;
use prophet_store::{Identity, Properties, Replica};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{NOBODY, Server, json as with_json, send};

#[tokio::test]
async fn a_write_to_another_state_is_refused() {
    let server = Server::open().await;
    let id = server.bug(r#"{"status": "new"}"#).await;
    let (record, property) =
        (format!("/records/bug/{id}.json"), format!("/records/bug/{id}/status.json"));
    let old = server.get(&record).await.etag().to_owned();
    server.send("PATCH", &record, r#"{"owner": "ada"}"#).await;
    let new = server.get(&property).await.etag().to_owned();
    for (method, path, body) in [
        ("PUT", &record, r#"{"status": "a"}"#),
        ("PATCH", &record, r#"{"status": "a"}"#),
        ("POST", &record, r#"{"status": "a"}"#),
        ("DELETE", &record, ""),
        ("PUT", &property, "1"),
        ("POST", &property, "1"),
        ("DELETE", &property, ""),
        ("GET", &record, ""),
        ("GET", &property, ""),
    ] {
        for (header, tag) in [("if-match", old.as_str()), ("if-match", "\"x\"")] {
            let request = with_json(server.ask(method, path), body).header(header, tag);
            send(request).await.is(412, "precondition-failed");
        }
        if method != "GET" {
            let request = with_json(server.ask(method, path), body).header("if-none-match", &new);
            send(request).await.is(412, "precondition-failed");
        }
        for bad in ["no tag", ""] {
            let request = with_json(server.ask(method, path), body).header("if-match", bad);
            send(request).await.is(400, "malformed");
        }
    }
    assert_eq!(server.get(&record).await.etag(), new, "nothing was written");

    let request = with_json(server.ask("PATCH", &record), r#"{"status": "b"}"#);
    let written = send(request.header("if-match", format!("\"x\", {new}"))).await;
    assert_eq!(written.status, 200);
    let request = with_json(server.ask("PUT", &property), "\"c\"").header("if-match", "*");
    assert_eq!(send(request).await.status, 200);
    let nobody = format!("/records/bug/{NOBODY}.json");
    let request = with_json(server.ask("PUT", &nobody), "{}").header("if-match", "*");
    send(request).await.is(412, "precondition-failed");
}

#[tokio::test]
async fn a_state_that_looks_like_an_earlier_one_is_another() {
    let server = Server::open().await;
    let id = server.bug(r#"{"status": "new"}"#).await;
    let path = format!("/records/bug/{id}.json");
    let first = server.get(&path).await.etag().to_owned();
    server.send("PATCH", &path, r#"{"status": "fixed"}"#).await;
    server.send("PATCH", &path, r#"{"status": "new"}"#).await;
    assert_ne!(server.get(&path).await.etag(), first);
}

/// Sixteen tasks read, add one, and write on the condition that nobody wrote since.
async fn count_up(server: Arc<Server>) {
    let id = server.bug(r#"{"count": 0}"#).await;
    let path = format!("/records/bug/{id}.json");
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..16 {
        let (server, path) = (Arc::clone(&server), path.clone());
        tasks.spawn(async move {
            let (mut written, mut refused) = (0, 0);
            while written < 10 {
                let read = server.get(&path).await;
                let count = read.json()["count"].as_i64().unwrap() + 1;
                let (method, path, body) = match task % 3 {
                    0 => ("PUT", path.clone(), json!({ "count": count })),
                    1 => ("PATCH", path.clone(), json!({ "count": count })),
                    _ => ("PUT", path.replace(".json", "/count.json"), json!(count)),
                };
                let request = with_json(server.ask(method, &path), &body.to_string());
                let answer = send(request.header("if-match", read.etag())).await;
                match StatusCode::from_u16(answer.status).unwrap() {
                    StatusCode::OK => written += 1,
                    StatusCode::PRECONDITION_FAILED => refused += 1,
                    other => panic!("{other}: {answer:?}"),
                }
            }
            (written, refused)
        });
    }
    let done: Vec<(i64, i64)> = tasks.join_all().await;
    let written: i64 = done.iter().map(|(written, _)| written).sum();
    let refused: i64 = done.iter().map(|(_, refused)| refused).sum();
    assert_eq!(server.get(&path).await.json(), json!({ "count": written }));
    assert!(refused > 0, "they never met, so this showed nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_acknowledged_write_is_lost() {
    count_up(Arc::new(Server::open().await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_acknowledged_write_is_lost_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bugs.sqlite");
    let identity = Identity::new_database().unwrap();
    let store = backend_sqlite::SqliteStore::create(&path, identity).unwrap();
    let replica = Replica::open(store).await.unwrap();
    count_up(Arc::new(Server::of(replica, ServerOptions::new().open()).await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tag_given_for_a_write_is_of_that_write() {
    // Whoever goes on with such a tag must not overwrite what somebody else wrote in between.
    let server = Arc::new(Server::open().await);
    let id = server.bug("{}").await;
    let path = format!("/records/bug/{id}.json");
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let (server, path) = (Arc::clone(&server), path.clone());
        tasks.spawn(async move {
            for number in 0..20 {
                let body = json!({ "by": task, "number": number });
                let answer = server.send("PATCH", &path, &body.to_string()).await;
                if answer.headers.contains_key("etag") {
                    assert_eq!(answer.json(), body);
                }
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test]
async fn a_put_leaves_conflicts_on_what_it_does_not_change_open() {
    use prophet_store::{MemoryStore, PullOptions};
    let server = Server::open().await;
    let id = server.bug(r#"{"status": "new", "title": "x"}"#).await;
    let key = format!("bug/{id}").parse().unwrap();
    let database = server.replica.store().facts().identity.database;
    let other = MemoryStore::new(Identity::new_replica(database).unwrap());
    let other = Replica::clone_of(other, &server.replica).await.unwrap();
    let status = |status| Properties::try_from([("status", status)]).unwrap();
    other.update(&key, status("fixed")).await.unwrap();
    server.replica.update(&key, status("invalid")).await.unwrap();
    server.replica.pull(&other, PullOptions::new()).await.unwrap();

    let path = format!("/records/bug/{id}.json");
    let read = server.get(&path).await;
    assert!(read.header("link").contains(&format!("</conflicts/bug/{id}.json>")), "{read:?}");
    let mut body = read.json();
    body["title"] = json!("y");
    assert_eq!(server.send("PUT", &path, &body.to_string()).await.status, 200);
    assert_eq!(server.replica.conflict_counts().await.unwrap().open, 1);
    server.send("PATCH", &path, r#"{"status": "fixed"}"#).await;
    assert_eq!(server.replica.conflict_counts().await.unwrap().open, 0);
}
