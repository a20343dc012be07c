//! Who may do what: tokens, reading only, other sites, names of the server, how much and how often.

use std::num::NonZeroU32;
use std::time::Duration;

use futures_lite::StreamExt as _;
use prophet_http::server::{ServerOptions, Token};
use prophet_store::Direction;
use serde_json::json;

use crate::support::{Server, json as with_json, send};

const SECRET: &str = "correct-horse-battery-staple";

fn token() -> Token {
    Token::new(SECRET).unwrap()
}

fn bearer(request: reqwest::RequestBuilder, secret: &str) -> reqwest::RequestBuilder {
    request.header("authorization", format!("Bearer {secret}"))
}

#[tokio::test]
async fn writing_needs_the_token() {
    let server = Server::with(ServerOptions::new().token(token())).await;
    assert_eq!(server.get("/records.json").await.status, 200);
    let create = || with_json(server.ask("POST", "/records/bug.json"), "{}");
    let refused = send(create()).await;
    refused.is(401, "unauthorized");
    assert!(refused.header("www-authenticate").starts_with("Bearer"));
    for wrong in ["x", "", "correct-horse-battery-staplf", "correct-horse-battery-staple "] {
        send(bearer(create(), &format!("{wrong}x"))).await.is(401, "unauthorized");
    }
    send(create().header("authorization", "Basic YTpi")).await.is(401, "unauthorized");
    assert_eq!(send(bearer(create(), SECRET)).await.status, 201);
    let read = bearer(server.ask("GET", "/records.json"), "wrong");
    send(read).await.is(401, "unauthorized");
    for (method, path) in [
        ("PUT", "/records/bug/x.json"),
        ("PATCH", "/records/bug/x.json"),
        ("DELETE", "/records/bug/x.json"),
        ("POST", "/conflicts/bug/x.json"),
        ("POST", "/sync/push"),
        ("POST", "/store/commit"),
        ("POST", "/store/%63ommit"),
        ("BREW", "/records.json"),
    ] {
        send(with_json(server.ask(method, path), "{}")).await.is(401, "unauthorized");
    }
    // That something is not there is no secret.
    send(server.ask("DELETE", "/nowhere")).await.is(404, "no-such-route");
    // Reads, as far as a token goes.
    for path in ["/sync/pull", "/store/head"] {
        let answer = server.ask("POST", path).send().await.unwrap();
        assert!(![401, 403].contains(&answer.status().as_u16()), "{answer:?}");
    }
}

#[tokio::test]
async fn what_is_written_is_by_whoever_has_the_token() {
    let ada = token().of("ada@example.org".parse().unwrap());
    let server = Server::with(ServerOptions::new().token(ada).open()).await;
    let create = || with_json(server.ask("POST", "/records/bug.json"), "{}");
    send(bearer(create(), SECRET)).await;
    send(create()).await;
    let log: Vec<_> = server.replica.log(None, Direction::Forward).try_collect().await.unwrap();
    let creators = log.iter().map(|entry| entry.changeset.header().creator.as_str());
    assert_eq!(creators.collect::<Vec<_>>(), ["ada@example.org", "server@example.org"]);
}

#[tokio::test]
async fn without_a_token_nobody_writes_unless_the_server_is_open() {
    let server = Server::with(ServerOptions::new()).await;
    server.send("POST", "/records/bug.json", "{}").await.is(403, "read-only");
    let server = Server::with(ServerOptions::new().token(token()).open().read_only()).await;
    let create = with_json(server.ask("POST", "/records/bug.json"), "{}");
    send(bearer(create, SECRET)).await.is(403, "read-only");
    assert_eq!(server.get("/records.json").await.status, 200);
}

#[tokio::test]
async fn what_is_private_needs_the_token_too() {
    let directory = tempfile::tempdir().unwrap();
    let options = ServerOptions::new().token(token()).private().tree(directory.path());
    let server = Server::with(options).await;
    for path in ["/records.json", "/log.json", "/changes", "/replica/manifest.json"] {
        server.get(path).await.is(401, "unauthorized");
    }
    server.send("POST", "/sync/pull", "").await.is(401, "unauthorized");
    assert_eq!(server.get("/health").await.json(), json!({ "status": "ok" }));
    assert_eq!(server.get("/openapi.json").await.status, 200);
    let health = send(bearer(server.ask("GET", "/health"), SECRET)).await;
    assert_eq!(health.json()["position"], 0);
    assert_eq!(send(bearer(server.ask("GET", "/records.json"), SECRET)).await.status, 200);
}

#[tokio::test]
async fn pages_of_other_sites_may_not_write() {
    let options = ServerOptions::new().open().allow_origin("https://app.example.org").unwrap();
    let server = Server::with(options).await;
    let create = |origin: &str| {
        with_json(server.ask("POST", "/records/bug.json"), "{}").header("origin", origin)
    };
    for other in ["https://evil.example.org", "null", "http://localhost:1"] {
        send(create(other)).await.is(403, "cross-site");
    }
    assert_eq!(send(create(&format!("http://{}", server.address))).await.status, 201);
    let allowed = send(create("https://app.example.org")).await;
    assert_eq!(allowed.status, 201);
    assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example.org");
    let asked = server.ask("OPTIONS", "/records/bug.json");
    let asked = asked.header("origin", "https://app.example.org");
    let asked = send(asked.header("access-control-request-method", "PUT")).await;
    assert!(!asked.header("access-control-allow-methods").is_empty(), "{asked:?}");

    let server = Server::open().await;
    let asked = server.ask("GET", "/records.json").header("origin", "https://app.example.org");
    assert_eq!(send(asked).await.header("access-control-allow-origin"), "");
    for bad in ["example.org", "https://", "https://a/b", "*", "https://*.a", "https://a\n"] {
        assert!(ServerOptions::new().allow_origin(bad).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn on_loopback_only_its_own_names_count() {
    let server = Server::with(ServerOptions::new().open().host("Bugs.example.org")).await;
    let ask = |host: &str| server.ask("GET", "/records.json").header("host", host);
    for good in ["localhost:1", "LOCALHOST", "127.0.0.2:80", "[::1]:80", "bugs.example.org:80"] {
        assert_eq!(send(ask(good)).await.status, 200, "{good}");
    }
    for bad in ["evil.example.org", "evil.example.org:80", "10.0.0.1", "localhost.evil.org"] {
        send(ask(bad)).await.is(421, "misdirected");
    }
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let server = Server::with(ServerOptions::new().rate(NonZeroU32::new(5).unwrap())).await;
    let mut refused = None;
    for _ in 0..20 {
        let answer = server.get("/health").await;
        if answer.status != 200 {
            refused = Some(answer);
        }
    }
    let refused = refused.expect("nothing was refused");
    refused.is(429, "too-many-requests");
    assert_eq!(refused.header("retry-after"), "1");
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(server.get("/health").await.status, 200);
}

#[tokio::test]
async fn more_requests_at_once_than_allowed_are_refused() {
    let server = Server::with(ServerOptions::new().requests_at_once(1)).await;
    let waiting = tokio::spawn(server.ask("GET", "/changes?wait=2").send());
    let mut statuses = Vec::new();
    for _ in 0..50 {
        let answer = server.get("/health").await;
        statuses.push(answer.status);
        if answer.status == 503 {
            answer.is(503, "unavailable");
            assert_eq!(answer.header("retry-after"), "1");
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(statuses.last(), Some(&503));
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
    assert_eq!(server.get("/health").await.status, 200, "there is room again");
}

#[tokio::test]
async fn more_feeds_than_allowed_are_refused() {
    let options = ServerOptions::new().feeds(1, Duration::from_millis(300));
    let server = Server::with(options).await;
    let events =
        |server: &Server| server.ask("GET", "/changes").header("accept", "text/event-stream");
    let first = events(&server).send().await.unwrap();
    assert_eq!(first.status(), 200);
    send(events(&server)).await.is(503, "unavailable");
    server.get("/changes?wait=1").await.is(503, "unavailable");
    first.text().await.unwrap();
    assert_eq!(events(&server).send().await.unwrap().status(), 200, "the first one is over");
}

#[test]
fn a_token_is_letters_digits_and_punctuation_and_never_shown() {
    for bad in ["", " ", "a b", "é", "a\n"] {
        assert!(Token::new(bad).is_err(), "{bad:?}");
    }
    assert!(!format!("{:?}", ServerOptions::new().token(token())).contains(SECRET));
}
