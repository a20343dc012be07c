//! What nobody should send, and what comes of it.

use std::time::Duration;

use prophet_http::server::ServerOptions;
use prophet_store::Properties;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{NOBODY, Server, send};

#[tokio::test]
async fn addresses_that_make_no_sense() {
    let server = Server::open().await;
    for path in [
        "/",
        "/records",
        "/records/",
        "/records/bug",
        "/records/bug.xml",
        "/nothing.json",
        "/records/bug.json/",
        "/health/",
        "/conflicts",
        "/records/a/b/c/d.json",
    ] {
        server.get(path).await.is(404, "no-such-route");
    }
    for path in [
        "/records/.json",
        "/records//x.json",
        "/records/a%00b.json",
        "/records/%ff.json",
        "/records/bug/x.json",
        "/records/bug/.json",
        "/records/bug/018f2d6e.json",
        "/history/bug/x.json",
        "/why/bug/x.json",
        "/conflicts/bug/x.json",
        "/health?x=1",
        "/records.json?limit=1",
        "/records/bug.json?order=priority:down",
        "/records/bug.json?where=priority==3",
        "/records/bug.json?where=title%3D%ff",
    ] {
        server.get(path).await.is(400, "malformed");
    }
    let long = format!("/records/{}.json", "x".repeat(256));
    server.get(&long).await.is(400, "malformed");
    let long = format!("/records/bug/{NOBODY}/{}.json", "x".repeat(256));
    server.send("PUT", &long, "1").await.is(400, "malformed");
}

#[tokio::test]
async fn bodies_that_make_no_sense() {
    let server = Server::open().await;
    let id = server.bug("{}").await;
    let (all, record) = ("/records/bug.json".to_owned(), format!("/records/bug/{id}.json"));
    let property = format!("/records/bug/{id}/status.json");
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let long = format!("{{\"{}\":1}}", "x".repeat(256));
    for (method, path) in [("POST", &all), ("PUT", &record), ("PATCH", &record), ("POST", &record)]
    {
        for bad in [
            "",
            "{",
            "[]",
            "1",
            "null",
            "\"a\"",
            "{\"a\":1,\"a\":2}",
            "{\"\":1}",
            "{\"a\":[null]}",
            "{\"a\":1e999}",
            "{\"a\":9223372036854775808}",
            "{\"a\":100000000000000000001}",
            "{\"a\":{\"$bytes\":1}}",
            "{\"a\":{\"$reference\":\"x\"}}",
            "{\"a\\u0000\":1}",
            "{} {}",
            "{\"a\":\"\\ud800\"}",
            &deep,
            &long,
        ] {
            server.send(method, path, bad).await.is(400, "malformed");
        }
    }
    for (method, path) in [("POST", &all), ("PUT", &record)] {
        server.send(method, path, "{\"a\":null}").await.is(400, "malformed");
    }
    for bad in ["", "null", "[null]", "{\"$x\":1}", "1 2", "'a'"] {
        server.send("PUT", &property, bad).await.is(400, "malformed");
    }
    for media in ["text/html", "multipart/form-data; boundary=x", "application/octet-stream", "x"] {
        for (method, path) in [("POST", &all), ("PUT", &record), ("PUT", &property)] {
            let request = server.ask(method, path).header("content-type", media).body("{}");
            send(request).await.is(415, "unsupported-media-type");
        }
    }
    let invalid = server.ask("PUT", &property).header("content-type", "text/plain");
    send(invalid.body(vec![0xff])).await.is(400, "malformed");
    assert_eq!(server.get(&record).await.text, "{}", "nothing was written");
}

#[tokio::test]
async fn bodies_that_are_too_large() {
    let server = Server::with(ServerOptions::new().open().body_limit(1_000)).await;
    let body = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
    assert_eq!(server.send("POST", "/records/bug.json", &body(1_000)).await.status, 201);
    server.send("POST", "/records/bug.json", &body(1_001)).await.is(413, "too-large");
    // One that only says how long it is going to be.
    let announced =
        b"POST /records/bug.json HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n";
    let answer = server.raw(announced).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // One that does not say how long it is.
    let chunk = format!("{:x}\r\n{}\r\n", 600, "x".repeat(600));
    let request = format!(
        "POST /records/bug.json HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\
         Connection: close\r\n\r\n{chunk}{chunk}0\r\n\r\n"
    );
    let answer = server.raw(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn what_is_no_http() {
    let server = Server::open().await;
    for (bytes, status) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n"[..], "400"),
        (b"GARBAGE\r\n\r\n", "400"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "400"),
        (b"GET /a b HTTP/1.1\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400"),
        (b"POST /records/bug.json HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n", "400"),
    ] {
        let answer = server.raw(bytes).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{bytes:?}: {answer}");
    }
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    let answer = server.raw(long.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many: String = (0..200).map(|number| format!("X-{number}: x\r\n")).collect();
    let answer = server.raw(format!("GET / HTTP/1.1\r\n{many}\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(server.get("/health").await.status, 200, "it still works");
}

#[tokio::test]
async fn clients_that_are_slow() {
    let times = Duration::from_millis(400);
    let server = Server::with(ServerOptions::new().open().receive_within(times, times)).await;
    let open = || TcpStream::connect(server.address.clone());
    let ended = |mut stream: TcpStream| async move {
        let mut answer = Vec::new();
        let read = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        read.expect("the connection stays open").unwrap();
        String::from_utf8(answer).unwrap()
    };
    let began = Instant::now();
    let mut head = open().await.unwrap();
    head.write_all(b"GET /health HTTP/1.1\r\nHo").await.unwrap();
    let silent = open().await.unwrap();
    let mut body = open().await.unwrap();
    let start =
        b"POST /records/bug.json HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
    body.write_all(start).await.unwrap();
    let answer = ended(body).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    ended(head).await;
    ended(silent).await;
    assert!(began.elapsed() >= times);
    assert_eq!(server.get("/health").await.status, 200);
}

#[tokio::test]
async fn clients_that_take_nothing_of_what_is_sent() {
    let options = ServerOptions::new().take_within(Duration::from_millis(300)).connections(1);
    let server = Server::with(options).await;
    let large = Properties::new().with("a", "x".repeat(30 << 20)).unwrap();
    let key = server.replica.create("bug", large).await.unwrap();
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    let request = format!("GET /records/{key}.json HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    // There is one connection, so the next client has to wait until that one is given up.
    let answer = timeout(Duration::from_secs(20), server.get("/health")).await.unwrap();
    assert_eq!(answer.status, 200);
    let mut taken = Vec::new();
    let _broken = stream.read_to_end(&mut taken).await;
    assert!(taken.len() < 30 << 20, "all of it had been sent");
}

#[tokio::test]
async fn a_client_that_goes_in_the_middle_leaves_nothing_behind() {
    let server = Server::open().await;
    for _ in 0..20 {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        let head = b"POST /records/bug.json HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{\"a\"";
        stream.write_all(head).await.unwrap();
    }
    sleep(Duration::from_millis(100)).await;
    assert_eq!(server.get("/records/bug.json").await.json()["records"], serde_json::json!([]));
}
