//! The end of a server.

use std::time::Duration;

use futures_lite::StreamExt as _;
use prophet_http::server::ServerOptions;
use prophet_store::Direction;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::support::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_acknowledged_write_is_there_when_a_server_ends() {
    let mut server = Server::open().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let create = server.ask("POST", "/records/bug.json");
        let create = create.header("content-type", "application/json").body("{}");
        tasks.spawn(async move {
            let mut acknowledged = 0_usize;
            loop {
                // The connection is refused, or closed before it was used, once the server ends.
                match create.try_clone().unwrap().send().await {
                    Ok(answer) => {
                        assert_eq!(answer.status(), 201);
                        acknowledged += 1;
                    }
                    Err(_) => return acknowledged,
                }
            }
        });
    }
    sleep(Duration::from_millis(500)).await;
    server.stop();
    let acknowledged: usize = tasks.join_all().await.into_iter().sum();
    let log = server.replica.log(None, Direction::Forward).count().await;
    assert!(acknowledged > 16, "too few were under way to show anything");
    assert!(log >= acknowledged, "{acknowledged} acknowledged, {log} there");
    timeout(Duration::from_secs(10), server.ended()).await.unwrap();
}

#[tokio::test]
async fn a_request_that_is_under_way_is_answered() {
    let mut server = Server::open().await;
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    let head = b"POST /records/bug.json HTTP/1.1\r\nHost: localhost\r\n\
        Content-Type: application/json\r\nContent-Length: 13\r\n\r\n";
    stream.write_all(head).await.unwrap();
    stream.write_all(b"{\"titl").await.unwrap();
    sleep(Duration::from_millis(200)).await;
    server.stop();
    sleep(Duration::from_millis(200)).await;
    assert!(TcpStream::connect(&server.address).await.is_err(), "no more are accepted");
    stream.write_all(b"e\": 1}\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    timeout(Duration::from_secs(10), server.ended()).await.unwrap();
}

#[tokio::test]
async fn feeds_end_with_the_server() {
    let mut server = Server::open().await;
    let poll = tokio::spawn(server.ask("GET", "/changes?wait=60").send());
    let events = server.ask("GET", "/changes").header("accept", "text/event-stream");
    let events = events.send().await.unwrap();
    sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    server.stop();
    assert_eq!(poll.await.unwrap().unwrap().status(), 200);
    events.text().await.unwrap();
    server.ended().await;
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn who_does_not_come_to_an_end_is_broken_off() {
    let options = ServerOptions::new().open().grace(Duration::from_millis(300));
    let mut server = Server::with(options).await;
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    let head = b"POST /records/bug.json HTTP/1.1\r\nHost: localhost\r\nContent-Length: 13\r\n\r\n";
    stream.write_all(head).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    server.stop();
    server.ended().await;
    assert!(began.elapsed() < Duration::from_secs(10));
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "{read:?}");
}
