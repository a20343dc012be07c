//! The change feed: long poll, server-sent events, both resumed.

use std::time::Duration;

use prophet_http::server::ServerOptions;
use prophet_store::{Identity, Properties, Replica};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep, timeout};

use crate::support::Server;

#[tokio::test]
async fn changes_come_in_pages_and_resume() {
    let server = Server::open().await;
    for _ in 0..5 {
        server.bug("{}").await;
    }
    let page = server.get("/changes?limit=3").await.json();
    assert_eq!((page["entries"].as_array().unwrap().len(), &page["last"]), (3, &json!(3)));
    let page = server.get("/changes?after=3").await.json();
    assert_eq!((page["entries"].as_array().unwrap().len(), &page["last"]), (2, &json!(5)));
    let page = server.get("/changes?after=5").await.json();
    assert_eq!(page, json!({ "entries": [], "last": 5 }));
    for bad in ["after=x", "wait=61", "after=-1", "limit=0", "since=1", "after=6"] {
        server.get(&format!("/changes?{bad}")).await.is(400, "malformed");
    }
}

#[tokio::test]
async fn a_long_poll_ends_with_the_first_change() {
    let server = Server::open().await;
    let poll = tokio::spawn(server.ask("GET", "/changes?wait=30").send());
    sleep(Duration::from_millis(200)).await;
    assert!(!poll.is_finished());
    server.bug(r#"{"title": "x"}"#).await;
    let answer = timeout(Duration::from_secs(5), poll).await.unwrap().unwrap().unwrap();
    let page: Json = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!((page["entries"].as_array().unwrap().len(), &page["last"]), (1, &json!(1)));
}

#[tokio::test]
async fn a_long_poll_ends_without_a_change_when_it_has_waited() {
    let server = Server::open().await;
    let began = Instant::now();
    assert_eq!(server.get("/changes?wait=1").await.json(), json!({ "entries": [], "last": 0 }));
    assert!(began.elapsed() >= Duration::from_millis(900));
}

#[tokio::test]
async fn what_another_process_commits_is_seen_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bugs.sqlite");
    let store = backend_sqlite::SqliteStore::create(&path, Identity::new_database().unwrap());
    let replica = Replica::open(store.unwrap()).await.unwrap();
    let options = ServerOptions::new().open().look_every(Duration::from_millis(50));
    let server = Server::of(replica, options).await;
    let poll = tokio::spawn(server.ask("GET", "/changes?wait=30").send());
    sleep(Duration::from_millis(100)).await;
    let other = backend_sqlite::SqliteStore::open(&path).unwrap();
    Replica::open(other).await.unwrap().create("bug", Properties::new()).await.unwrap();
    let answer = timeout(Duration::from_secs(10), poll).await.unwrap().unwrap().unwrap();
    assert!(answer.text().await.unwrap().contains("\"position\":1"));
}

/// Events as they come.
struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    async fn open(server: &Server, last: Option<&str>) -> Self {
        Self::at(server, "/changes", last).await
    }

    async fn at(server: &Server, path: &str, last: Option<&str>) -> Self {
        let mut request = server.ask("GET", path).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event: its id, and its data. `None` when there will be no more.
    async fn next(&mut self) -> Option<(String, Json)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = event.to_owned();
                self.text = rest.to_owned();
                let field = |name: &str| {
                    event.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
                };
                let Some(data) = field("data") else { continue };
                assert_eq!(field("event"), Some("changeset"));
                let data = serde_json::from_str(data).unwrap();
                return Some((field("id").unwrap().to_owned(), data));
            }
            let chunk = timeout(Duration::from_secs(10), self.response.chunk()).await.unwrap();
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }
}

#[tokio::test]
async fn events_come_as_things_happen_and_resume_where_they_broke_off() {
    let server = Server::open().await;
    server.bug(r#"{"title": "a\nb"}"#).await;
    let mut events = Events::open(&server, None).await;
    let (id, data) = events.next().await.unwrap();
    assert_eq!((id.as_str(), &data["position"]), ("1", &json!(1)));
    assert_eq!(data["changes"][0]["properties"]["title"]["new"], "a\nb");
    server.bug("{}").await;
    let (id, _) = events.next().await.unwrap();
    assert_eq!(id, "2");
    drop(events);

    for _ in 0..40 {
        server.bug("{}").await;
    }
    let mut events = Events::at(&server, "/changes?after=40", Some(&id)).await;
    for expected in 3..=42 {
        let (id, data) = events.next().await.unwrap();
        assert_eq!((id, &data["position"]), (expected.to_string(), &json!(expected)));
    }
    server.bug("{}").await;
    assert_eq!(events.next().await.unwrap().0, "43");

    let mut events = Events::at(&server, "/changes?after=42", None).await;
    assert_eq!(events.next().await.unwrap().0, "43");
    let bad = server.ask("GET", "/changes").header("last-event-id", "x");
    crate::support::send(bad).await.is(400, "malformed");
}

#[tokio::test]
async fn a_feed_ends_after_its_time() {
    let options = ServerOptions::new().open().feeds(10, Duration::from_millis(300));
    let server = Server::with(options).await;
    server.bug("{}").await;
    let mut events = Events::open(&server, None).await;
    assert!(events.next().await.is_some());
    assert!(events.next().await.is_none());
}
