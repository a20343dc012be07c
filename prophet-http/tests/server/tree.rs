//! The published tree that a server keeps.

use std::sync::atomic::Ordering;
use std::time::Duration;

use prophet_files::{Fetch as _, Request, Response};
use prophet_http::server::ServerOptions;
use prophet_store::*;

use crate::support::{Server, Slow, replica, send};

async fn serving() -> (Server, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let options = ServerOptions::new().open().tree(directory.path());
    (Server::of(replica().await, options).await, directory)
}

#[tokio::test]
async fn a_manifest_is_published_when_it_is_asked_for() {
    let (server, directory) = serving().await;
    assert!(!directory.path().join("manifest.json").exists());
    let id = server.bug(r#"{"title": "x"}"#).await;
    let first = server.get("/replica/manifest.json").await;
    assert_eq!((first.status, first.header("cache-control")), (200, "no-cache"));
    assert_eq!(first.header("content-type"), "application/json");
    let again = server.ask("GET", "/replica/manifest.json").header("if-none-match", first.etag());
    assert_eq!(send(again).await.status, 304);
    server.send("PATCH", &format!("/records/bug/{id}.json"), r#"{"title": "y"}"#).await;
    let again = server.ask("GET", "/replica/manifest.json").header("if-none-match", first.etag());
    let second = send(again).await;
    assert_eq!(second.status, 200);
    assert_ne!(second.etag(), first.etag());

    let segment = second.json()["segments"].to_string();
    let name = segment.split('"').find(|part| part.ends_with(".zst")).unwrap();
    let whole = server.ask("GET", &format!("/replica/{name}")).send().await.unwrap();
    assert_eq!(whole.status(), 200);
    assert!(whole.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    let tag = whole.headers()["etag"].clone();
    let whole = whole.bytes().await.unwrap();
    let part = || server.ask("GET", &format!("/replica/{name}")).header("range", "bytes=4-9");
    let got = part().header("if-range", tag).send().await.unwrap();
    assert_eq!(got.status(), 206);
    assert_eq!(got.bytes().await.unwrap(), whole[4..10]);
    let other = part().header("if-range", "\"another\"").send().await.unwrap();
    assert_eq!(other.status(), 200, "what it has part of is over");
}

#[tokio::test]
async fn other_files_and_other_methods_are_refused() {
    let (server, directory) = serving().await;
    server.get("/replica/manifest.json").await;
    std::fs::write(directory.path().join(".hidden"), "x").unwrap();
    let outside = directory.path().parent().unwrap().join("prophet-outside");
    std::fs::write(&outside, "x").unwrap();
    for path in [
        "/replica/nothing",
        "/replica/.hidden",
        "/replica/../prophet-outside",
        "/replica/%2e%2e/prophet-outside",
        "/replica/..%2fprophet-outside",
        "/replica/log/../manifest.json",
        "/replica//etc/passwd",
        "/replica/%2Fetc%2Fpasswd",
        "/replica/log",
        "/replica/a%00b",
        "/replica/..%5cx",
        "/replica/",
    ] {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = server.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    std::fs::remove_file(outside).unwrap();
    for method in ["PUT", "POST", "DELETE", "PATCH"] {
        let answer = send(server.ask(method, "/replica/manifest.json")).await;
        answer.is(405, "method-not-allowed");
    }
    Server::open().await.get("/replica/manifest.json").await.is(404, "no-such-route");
}

#[tokio::test]
async fn a_tree_of_another_replica_is_left_alone() {
    let (server, directory) = serving().await;
    server.get("/replica/manifest.json").await;
    let options = ServerOptions::new().open().tree(directory.path());
    let other = Server::of(replica().await, options).await;
    other.get("/replica/manifest.json").await.is(500, "failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn other_replicas_clone_from_it_while_it_is_written_to() {
    let (server, directory) = serving().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let create = server.ask("POST", "/records/bug.json");
        let create = create.header("content-type", "application/json").body("{\"a\":1}");
        let read = server.ask("GET", "/replica/manifest.json");
        tasks.spawn(async move {
            for _ in 0..20 {
                assert_eq!(create.try_clone().unwrap().send().await.unwrap().status(), 201);
                assert_eq!(read.try_clone().unwrap().send().await.unwrap().status(), 200);
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(server.get("/replica/manifest.json").await.status, 200);
    let files = prophet_files::DirectoryFetch::new(directory.path());
    let asked = files.fetch(&Request::new("manifest.json", 1 << 20)).await;
    assert!(matches!(asked, Ok(Response::Content { .. })));
    let source = prophet_files::PublishedSource::open(files).await.unwrap();
    let identity = Identity::new_replica(source.manifest().identity.database).unwrap();
    let clone = Replica::clone_of(MemoryStore::new(identity), &source).await.unwrap();
    assert_eq!(clone.record_types().await.unwrap().values().sum::<u64>(), 80);
}

#[cfg(feature = "client")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_client_of_this_crate_pulls_from_it() {
    let (server, _directory) = serving().await;
    server.bug(r#"{"title": "x"}"#).await;
    let source = prophet_http::HttpSource::open(&server.url("/replica/")).await.unwrap();
    let identity = Identity::new_replica(source.manifest().identity.database).unwrap();
    let clone = Replica::clone_of(MemoryStore::new(identity), &source).await.unwrap();
    assert_eq!(clone.record_types().await.unwrap().values().sum::<u64>(), 1);
}

/// Publishing goes on when whoever asked for it is gone, and nobody else begins meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_goes_away_while_it_is_published_has_nobody_else_publish_as_well() {
    let store = Slow::new(Duration::from_millis(800));
    let replica = Replica::options().open_shared(store.clone()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let options = ServerOptions::new().open().tree(directory.path());
    let server = Server::of(replica, options).await;
    server.bug(r#"{"title": "x"}"#).await;
    let wanted = || server.ask("GET", "/replica/manifest.json").send();
    for _ in 0..3 {
        tokio::time::timeout(Duration::from_millis(200), wanted()).await.unwrap_err();
    }
    assert_eq!(store.reading.load(Ordering::SeqCst), 1, "it is under way");
    assert_eq!(wanted().await.unwrap().status(), 200);
    assert_eq!(store.most.load(Ordering::SeqCst), 1);
    let files = prophet_files::DirectoryFetch::new(directory.path());
    let source = prophet_files::PublishedSource::open(files).await.unwrap();
    assert_eq!(source.manifest().head, server.replica.head().await.unwrap());
}
