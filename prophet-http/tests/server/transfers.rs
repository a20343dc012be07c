//! Work that lasts as long as a client is slow.

use std::sync::atomic::Ordering;
use std::time::Duration;

use prophet_http::server::ServerOptions;
use prophet_store::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::support::{Answer, Server, Slow, send};

/// Somebody who has seen nothing.
fn seen() -> Vec<u8> {
    let nothing = VersionVector::new();
    [[0; 32].as_slice(), &codec::encode_vector(&nothing)].concat()
}

/// Asks for everything, and takes no more than the beginning of it.
async fn pull_and_take_nothing(server: &Server) -> TcpStream {
    let body = seen();
    let head = format!(
        "POST /sync/pull HTTP/1.1\r\nHost: localhost\r\nProphet-Protocol: 1\r\n\
         Content-Type: application/vnd.prophet.seen\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    let mut begins = [0; 15];
    stream.read_exact(&mut begins).await.unwrap();
    assert_eq!(&begins, b"HTTP/1.1 200 OK");
    stream
}

async fn ask(server: &Server, path: &str, content: &str, body: Vec<u8>) -> Answer {
    let asked = server.ask("POST", path).header("prophet-protocol", "1");
    send(asked.header("content-type", format!("application/vnd.prophet.{content}")).body(body))
        .await
}

/// Waits until this is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} did not come about");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_nothing_keeps_no_more_threads_than_allowed() {
    let server = Server::with(ServerOptions::new().open().transfers_at_once(2)).await;
    // More than sockets and pieces hold.
    for _ in 0..8 {
        let bytes = Value::Bytes(vec![7; 4 << 20]);
        server
            .replica
            .create("file", Properties::try_from([("bytes", bytes)]).unwrap())
            .await
            .unwrap();
    }
    let mut slow = Vec::new();
    for _ in 0..2 {
        slow.push(pull_and_take_nothing(&server).await);
    }
    let refused = ask(&server, "/sync/pull", "seen", seen()).await;
    refused.is(503, "unavailable");
    assert_eq!(refused.header("retry-after"), "1");
    // All else goes on: what does not last, and what whoever has a token sends.
    server.bug("{}").await;
    assert_eq!(ask(&server, "/store/verify", "store", Vec::new()).await.status, 200);
    ask(&server, "/sync/push", "bundle", Vec::new()).await.is(400, "malformed");
    assert_eq!(server.get("/records/bug.json").await.status, 200);
    drop(slow);
    until("room", async || pull(&server).await > 32 << 20).await;
}

/// Somebody who only begins to push keeps others from it, and who is refused is told so, whatever they send.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_too_many_is_told_so() {
    let server = Server::with(ServerOptions::new().open().transfers_at_once(1)).await;
    let mut slow = TcpStream::connect(&server.address).await.unwrap();
    let head = "POST /sync/push HTTP/1.1\r\nHost: localhost\r\nProphet-Protocol: 1\r\n\
                Content-Type: application/vnd.prophet.bundle\r\nContent-Length: 100\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    let large = vec![7; 8 << 20];
    let push = async || ask(&server, "/sync/push", "bundle", large.clone()).await;
    until("a push too many", async || push().await.status == 503).await;
    push().await.is(503, "unavailable");
    assert!(pull(&server).await > 0, "a pull is none");
    drop(slow);
    until("room", async || push().await.status == 400).await;
}

/// How many bytes there are to be had.
async fn pull(server: &Server) -> usize {
    let pulled = server.ask("POST", "/sync/pull").header("prophet-protocol", "1");
    let pulled = pulled.header("content-type", "application/vnd.prophet.seen").body(seen());
    let pulled = pulled.send().await.unwrap();
    match pulled.status().as_u16() {
        200 => pulled.bytes().await.unwrap().len(),
        _ => 0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_nobody_waits_for_still_counts() {
    let store = Slow::held();
    let replica = Replica::options().open_shared(store.clone()).await.unwrap();
    let options = ServerOptions::new().open().requests_at_once(1);
    let server = Server::of(replica, options.answer_within(Duration::from_millis(100))).await;
    server.get("/log.json").await.is(503, "unavailable");
    until("reading", async || store.reading.load(Ordering::SeqCst) == 1).await;
    server.get("/health").await.is(503, "unavailable");
    store.let_go();
    until("the end of it", async || server.get("/health").await.status == 200).await;
    assert_eq!(store.reading.load(Ordering::SeqCst), 0);
}
