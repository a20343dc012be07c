//! Pulling from a replica that is served, and pushing to it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "a test waits for a server to begin")]

mod support;

use std::convert::Infallible;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use futures_lite::future::{block_on, zip};
use futures_lite::{StreamExt as _, stream};
use prophet_http::{HttpOptions, HttpPeer, HttpStore, PushError};
use prophet_store::{Error, MemoryStore, PullOptions, Replica, *};
use support::live::{Live, served};
use support::proxy::{Fate, Meter, Proxy};
use support::{assert_sound, digests, fill, other, pull, replica};

fn options() -> HttpOptions {
    let pause = Duration::from_millis(1);
    HttpOptions::new().no_proxy().pauses(pause, pause)
}

fn peer(url: &str) -> HttpPeer {
    HttpPeer::new(url, options()).unwrap()
}

/// Refuses what is to be tried again only once.
fn impatient(url: &str) -> HttpPeer {
    HttpPeer::new(url, options().retries(0)).unwrap()
}

async fn create(replica: &Replica, title: &str) -> RecordKey {
    replica.create("bug", Properties::new().with("title", title).unwrap()).await.unwrap()
}

/// A replica that has seen so many others.
async fn of_many_origins(count: usize) -> Replica {
    let ada = replica().await;
    for number in 0..count {
        let one = other(&ada).await;
        create(&one, &format!("of {number}")).await;
        pull(&ada, &one).await;
    }
    ada
}

#[test]
fn nothing_new_is_one_request_of_less_than_a_kilobyte_each_way() {
    block_on(async {
        let ada = of_many_origins(400).await;
        fill(&ada, 5_000, 50_000).await;
        let live = Live::of(&ada);
        let bob = other(&ada).await;
        assert_eq!(pull(&bob, &peer(&live.url())).await.integrated, 50_400);
        assert_eq!(digests(&bob).await, digests(&ada).await);
        let meter = Meter::before(live.port);
        let peer = peer(&meter.url());
        let report = pull(&bob, &peer).await;
        assert_eq!((report.integrated, report.already_seen), (0, 0));
        let [connections, up, down] = meter.take();
        eprintln!("nothing new of 50,400 changesets and 401 origins: {up} bytes up, {down} down");
        assert_eq!((peer.requests(), connections), (1, 1));
        assert!(up > 0 && up < 1_024 && down > 0 && down < 1_024);
        let report = peer.push(&bob).await.unwrap();
        assert_eq!((report.integrated, report.already_seen), (0, 0));
        let [_, up, down] = meter.take();
        eprintln!("the same, pushed: {up} bytes up, {down} down");
        assert!(up > 0 && up < 1_024 && down > 0 && down < 1_024);
    });
}

#[test]
fn what_is_new_comes_with_the_first_answer() {
    block_on(async {
        let ada = of_many_origins(8).await;
        let (live, bob) = (Live::of(&ada), other(&ada).await);
        let meter = Meter::before(live.port);
        let peer = peer(&meter.url());
        assert_eq!(pull(&bob, &peer).await.integrated, 8);
        assert_eq!(peer.requests(), 1);
        create(&ada, "new").await;
        meter.take();
        assert_eq!(pull(&bob, &peer).await.integrated, 1);
        assert_eq!(peer.requests(), 2);
        let [_, up, down] = meter.take();
        eprintln!("one new changeset, of 9 origins: {up} bytes up, {down} down");
        assert!(up < 1_024 && down < 2_048, "{up} up, {down} down");
        assert_eq!(digests(&bob).await, digests(&ada).await);
    });
}

#[test]
fn of_many_origins_what_is_new_takes_two_requests() {
    block_on(async {
        let ada = of_many_origins(40).await;
        let (live, bob) = (Live::of(&ada), other(&ada).await);
        let peer = peer(&live.url());
        assert_eq!(pull(&bob, &peer).await.integrated, 40);
        assert_eq!(peer.requests(), 1, "of a replica that has seen nothing the vector is small");
        create(&ada, "new").await;
        let report = pull(&bob, &peer).await;
        assert_eq!((report.integrated, report.already_seen), (1, 0));
        assert_eq!(peer.requests(), 3);
        assert_eq!(pull(&bob, &peer).await.integrated, 0);
        assert_eq!(peer.requests(), 4);
    });
}

#[test]
fn a_clone_is_made_of_what_is_served() {
    block_on(async {
        let ada = replica().await;
        fill(&ada, 10, 100).await;
        let live = Live::of(&ada);
        let peer = peer(&live.url());
        let identity = Identity::new_replica(peer.database().await.unwrap()).unwrap();
        let bob = Replica::clone_of(MemoryStore::new(identity), &peer).await.unwrap();
        assert_eq!(digests(&bob).await, digests(&ada).await);
        assert_sound(&bob).await;
        // And so is one of nothing.
        let empty = replica().await;
        let live = Live::of(&empty);
        let peer = HttpPeer::new(&live.url(), options()).unwrap();
        let database = peer.database().await.unwrap();
        assert_eq!(database, empty.store().facts().identity.database);
        let identity = Identity::new_replica(database).unwrap();
        Replica::clone_of(MemoryStore::new(identity), &peer).await.unwrap();
    });
}

#[test]
fn both_ways_all_is_the_same_in_the_end() {
    block_on(async {
        let ada = replica().await;
        let key = create(&ada, "It fails").await;
        let (live, bob) = (Live::of(&ada), other(&ada).await);
        let peer = peer(&live.url());
        pull(&bob, &peer).await;
        let set = |to: &str| Properties::new().with("status", to).unwrap();
        ada.update(&key, set("open")).await.unwrap();
        bob.update(&key, set("closed")).await.unwrap();
        create(&bob, "It is slow").await;
        let report = peer.push(&bob).await.unwrap();
        assert_eq!((report.integrated, report.conflicts, report.open), (2, 1, 1));
        assert_eq!(report.source, bob.author().await.unwrap());
        let report = pull(&bob, &peer).await;
        assert_eq!((report.integrated, report.already_seen), (1, 0), "{report}");
        assert_eq!(ada.vector().await.unwrap(), bob.vector().await.unwrap());
        for replica in [&ada, &bob] {
            assert_sound(replica).await;
        }
        assert_eq!(peer.push(&bob).await.unwrap().integrated, 0);
    });
}

#[test]
fn with_fail_on_conflict_nothing_is_integrated() {
    block_on(async {
        let ada = replica().await;
        let key = create(&ada, "It fails").await;
        let (live, bob) = (Live::of(&ada), other(&ada).await);
        let peer = peer(&live.url());
        pull(&bob, &peer).await;
        for (replica, to) in [(&ada, "open"), (&bob, "closed")] {
            replica.update(&key, Properties::new().with("status", to).unwrap()).await.unwrap();
        }
        let before = bob.head().await.unwrap();
        let failed = bob.pull(&peer, PullOptions::new().fail_on_conflict()).await;
        assert!(matches!(failed, Err(Error::ConflictsFound { .. })), "{failed:?}");
        assert_eq!(bob.head().await.unwrap(), before);
        let carol = other(&ada).await;
        let report = carol.pull(&peer, PullOptions::new().fail_on_conflict()).await.unwrap();
        assert_eq!(report.integrated, 2, "it goes through all of it twice");
    });
}

#[test]
fn several_may_pull_through_one_peer_at_once() {
    block_on(async {
        let ada = replica().await;
        fill(&ada, 10, 3_000).await;
        let live = Live::of(&ada);
        let peer = peer(&live.url());
        let (bob, carol) = (other(&ada).await, other(&ada).await);
        create(&carol, "carol's").await;
        let (of_bob, of_carol) = zip(pull(&bob, &peer), pull(&carol, &peer)).await;
        assert_eq!((of_bob.integrated, of_carol.integrated), (3_000, 3_000));
        assert_eq!(digests(&bob).await, digests(&ada).await);
        assert_sound(&carol).await;
    });
}

/// Ada's replica was restored from a backup and written to; Bob has one of the branches, and more.
async fn forked() -> (Replica, Replica) {
    let identity = Identity::new_database().unwrap();
    let ada = support::replica_of(identity).await;
    create(&ada, "before").await;
    let backup = MemoryStore::new(identity);
    ada.store().copy_to(&backup).await.unwrap();
    let restored = Replica::open(backup).await.unwrap();
    let bob = other(&ada).await;
    for title in ["one", "two", "three"] {
        create(&ada, title).await;
    }
    pull(&bob, &ada).await;
    create(&restored, "another one").await;
    (restored, bob)
}

#[test]
fn a_branch_of_a_forked_origin_is_found_although_the_other_is_longer() {
    block_on(async {
        let (ada, bob) = forked().await;
        let live = Live::of(&ada);
        let report = pull(&bob, &peer(&live.url())).await;
        assert_eq!((report.integrated, report.forks.len()), (1, 1), "{report}");
        assert_sound(&bob).await;

        let (ada, bob) = forked().await;
        let live = Live::of(&bob);
        let report = peer(&live.url()).push(&ada).await.unwrap();
        assert_eq!((report.integrated, report.forks.len()), (1, 1), "{report}");
        assert_sound(&bob).await;
    });
}

#[test]
fn another_database_is_refused() {
    block_on(async {
        let (ada, eve) = (replica().await, replica().await);
        create(&ada, "ada's").await;
        create(&eve, "eve's").await;
        let live = Live::of(&ada);
        let ids = [&ada, &eve].map(|it| it.store().facts().identity.database.to_string());
        let refused = eve.pull(&peer(&live.url()), PullOptions::new()).await.unwrap_err();
        let pushed = peer(&live.url()).push(&eve).await.unwrap_err();
        assert!(matches!(refused, Error::OtherDatabase { .. }), "{refused}");
        assert!(matches!(pushed, PushError::OtherDatabase { .. }), "{pushed}");
        for error in [refused.to_string(), pushed.to_string()] {
            assert!(
                ids.iter().all(|id| error.contains(id)) && error.contains(&live.url()),
                "{error}"
            );
        }
        assert_eq!(digests(&eve).await.len() + digests(&ada).await.len(), 2);
    });
}

#[test]
fn a_replica_does_not_pull_from_itself() {
    block_on(async {
        let ada = replica().await;
        create(&ada, "ada's").await;
        let live = Live::of(&ada);
        let refused = ada.pull(&peer(&live.url()), PullOptions::new()).await.unwrap_err();
        assert!(matches!(refused, Error::PullFromItself { .. }), "{refused}");
    });
}

/// What a pull and a push say of a server that answers everything so.
async fn said_of(router: Router) -> [String; 2] {
    let live = Live::serving(router);
    let bob = replica().await;
    create(&bob, "bob's").await;
    let peer = HttpPeer::new(&live.url(), options().retries(2)).unwrap();
    let pulled = bob.pull(&peer, PullOptions::new()).await.unwrap_err().to_string();
    let pushed = peer.push(&bob).await.unwrap_err().to_string();
    assert_eq!(digests(&bob).await.len(), 1);
    for error in [&pulled, &pushed] {
        assert!(error.contains(&live.url()), "{error}");
    }
    [pulled, pushed]
}

#[test]
fn what_is_no_server_of_prophet_is_said_to_be_none() {
    block_on(async {
        for (answer, words) in [
            ((StatusCode::OK, "<html>Welcome</html>"), "no Prophet server"),
            ((StatusCode::NOT_FOUND, "nothing here"), "no Prophet server"),
            ((StatusCode::METHOD_NOT_ALLOWED, ""), "no Prophet server"),
            ((StatusCode::UNAUTHORIZED, ""), "HttpOptions::bearer"),
            ((StatusCode::FORBIDDEN, ""), "HttpOptions::bearer"),
            ((StatusCode::PAYLOAD_TOO_LARGE, ""), "limit"),
            ((StatusCode::SERVICE_UNAVAILABLE, ""), "503"),
            ((StatusCode::TOO_MANY_REQUESTS, ""), "429"),
        ] {
            for error in said_of(Router::new().fallback(async move || answer)).await {
                assert!(error.contains(words), "{answer:?}: {error}");
            }
        }
        let newer = Router::new().fallback(async || ([("prophet-protocol", "2")], "what is this"));
        for error in said_of(newer).await {
            assert!(error.contains("version 2") && error.contains("newer program"), "{error}");
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let nobody = impatient(&format!("http://127.0.0.1:{port}/"));
        let bob = replica().await;
        let error = bob.pull(&nobody, PullOptions::new()).await.unwrap_err().to_string();
        assert!(error.contains(&port.to_string()) && error.contains("refused"), "{error}");
    });
}

#[test]
fn an_older_client_is_told_so_and_strange_questions_are_refused() {
    block_on(async {
        let ada = replica().await;
        let live = Live::of(&ada);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let url = |path: &str| format!("{}{path}", live.url());
            let send = async |path: &str, version: &str, content: &str, body: Vec<u8>| {
                let request = client.post(url(path)).header("prophet-protocol", version);
                let sent = request.header("content-type", content).body(body).send().await.unwrap();
                assert_eq!(sent.headers()["prophet-protocol"], "1");
                (sent.status().as_u16(), sent.text().await.unwrap())
            };
            let seen = "application/vnd.prophet.seen";
            let bundle = "application/vnd.prophet.bundle";
            let store = "application/vnd.prophet.store";
            let (status, said) = send("sync/pull", "7", seen, vec![0; 32]).await;
            assert_eq!(status, 400);
            assert!(
                said.contains("urn:prophet:problem:other-protocol") && said.contains('7'),
                "{said}"
            );
            for (path, content, body, expected) in [
                ("sync/pull", seen, vec![0; 31], 400),
                ("sync/pull", seen, vec![0; 60], 400),
                ("sync/pull?basis=none", seen, vec![0; 32], 400),
                ("sync/pull", "text/plain", vec![0; 32], 415),
                ("sync/push", bundle, vec![], 400),
                ("sync/push", bundle, vec![7; 100], 400),
                ("sync/push", store, vec![], 415),
                ("store/head", store, vec![1], 400),
                ("store/scan_log", store, vec![], 400),
                ("store/commit", store, vec![9; 100], 400),
                ("store/no_such", store, vec![], 404),
                ("store/get_records", store, vec![0xff; 16], 400),
            ] {
                let (status, said) = send(path, "1", content, body).await;
                assert_eq!(status, expected, "{path}: {said}");
                assert!(said.contains("detail"), "{path}: {said}");
            }
            for (path, method) in
                [("sync/pull", reqwest::Method::GET), ("store/head", reqwest::Method::PUT)]
            {
                let asked = client.request(method, url(path)).header("prophet-protocol", "1");
                let answer = asked.send().await.unwrap();
                assert_eq!(answer.status().as_u16(), 405);
            }
        });
    });
}

#[test]
fn a_token_opens_what_is_closed() {
    block_on(async {
        let ada = replica().await;
        create(&ada, "ada's").await;
        let guard = async |headers: HeaderMap, request, next: Next| {
            let given = headers.get("authorization").map(|it| it.to_str().unwrap().to_owned());
            match given.as_deref() {
                Some("Bearer open sesame") => Ok(next.run(request).await),
                Some(_) => Err(StatusCode::FORBIDDEN),
                None => Err(StatusCode::UNAUTHORIZED),
            }
        };
        let live = Live::serving(served(&ada).layer(axum::middleware::from_fn(guard)));
        let bob = other(&ada).await;
        for (options, status) in [(options(), "401"), (options().bearer("wrong"), "403")] {
            let peer = HttpPeer::new(&live.url(), options).unwrap();
            let error = bob.pull(&peer, PullOptions::new()).await.unwrap_err().to_string();
            assert!(error.contains(status) && error.contains("HttpOptions::bearer"), "{error}");
            assert_eq!(peer.requests(), 1, "it is not tried again");
        }
        let peer = HttpPeer::new(&live.url(), options().bearer("open sesame")).unwrap();
        assert!(!format!("{peer:?}").contains("sesame"), "{peer:?}");
        assert_eq!(pull(&bob, &peer).await.integrated, 1);
        create(&bob, "bob's").await;
        assert_eq!(peer.push(&bob).await.unwrap().integrated, 1);
        let error = HttpPeer::new(&live.url(), options().bearer("a\nb")).unwrap_err().to_string();
        assert!(error.contains("token"), "{error}");
    });
}

/// So many changesets that a bundle of them comes in many pieces.
async fn long() -> (Replica, Live) {
    let ada = replica().await;
    fill(&ada, 200, 3_000).await;
    let live = Live::of(&ada);
    (ada, live)
}

#[test]
fn an_answer_that_breaks_off_keeps_what_came_and_the_next_pull_goes_on() {
    block_on(async {
        let (ada, live) = long().await;
        let all = digests(&ada).await;
        let mut kept = Vec::new();
        for thousandths in [0, 1, 10, 100, 400, 800, 990, 999] {
            let bob = other(&ada).await;
            let proxy = Proxy::with(live.port, [Fate::AnswerCutAt(thousandths)]);
            let peer = impatient(&proxy.url());
            let small = || PullOptions::new().batches_of(100);
            let error = bob.pull(&peer, small()).await.unwrap_err().to_string();
            assert!(error.contains(&proxy.url()), "{error}");
            let had = digests(&bob).await;
            assert_eq!(had, all[..had.len()]);
            kept.push(had.len());
            let report = bob.pull(&peer, small()).await.unwrap();
            assert_eq!(report.integrated as usize, all.len() - had.len());
            assert_eq!(report.already_seen, 0);
            assert_eq!(digests(&bob).await, all);
            assert_sound(&bob).await;
        }
        assert!(kept.is_sorted() && kept[0] == 0 && *kept.last().unwrap() > 2_900, "{kept:?}");
    });
}

#[test]
fn an_answer_that_breaks_off_is_asked_for_again_from_there() {
    block_on(async {
        let (ada, live) = long().await;
        let cuts = (1..=30).map(|cut| Fate::AnswerCut(cut * 7_000));
        let proxy = Proxy::with(live.port, cuts.chain([Fate::Dropped, Fate::Status("503 Busy")]));
        let bob = other(&ada).await;
        let report = pull(&bob, &peer(&proxy.url())).await;
        assert_eq!((report.integrated, report.already_seen), (3_000, 0));
        assert_eq!(digests(&bob).await, digests(&ada).await);
    });
}

#[test]
fn of_an_answer_that_was_tampered_with_nothing_bad_is_integrated() {
    block_on(async {
        let (ada, live) = long().await;
        let all = digests(&ada).await;
        for place in (0..1_000).step_by(37).chain([999]) {
            let bob = other(&ada).await;
            let proxy = Proxy::with(live.port, [Fate::Tampered(place)]);
            let peer = impatient(&proxy.url());
            let pulled = bob.pull(&peer, PullOptions::new().batches_of(100)).await;
            let had = digests(&bob).await;
            assert_eq!(had, all[..had.len()], "at {place}");
            // What is between the parts of the answer, and after the last changeset, does no harm.
            assert!(pulled.is_err() || had == all, "at {place}: {pulled:?}");
            pull(&bob, &peer).await;
            assert_eq!(digests(&bob).await, all);
            assert_sound(&bob).await;
        }
    });
}

#[test]
fn a_push_that_breaks_off_keeps_what_came_and_is_tried_again() {
    block_on(async {
        let ada = replica().await;
        create(&ada, "ada's").await;
        let live = Live::of(&ada);
        let bob = other(&ada).await;
        pull(&bob, &peer(&live.url())).await;
        fill(&bob, 100, 9_000).await;
        // The vector, the bundle.
        let proxy = Proxy::with(live.port, [Fate::Right, Fate::RequestCut(900)]);
        let error = impatient(&proxy.url()).push(&bob).await.unwrap_err().to_string();
        assert!(error.contains(&proxy.url()), "{error}");
        for _ in 0..200 {
            if digests(&ada).await.len() > 1 {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let had = digests(&ada).await;
        assert!(had.len() > 4_096 && had.len() < 9_001, "{}", had.len());
        let fates =
            [Fate::Dropped, Fate::Right, Fate::AnswerDropped, Fate::Right, Fate::RequestCut(500)];
        let proxy = Proxy::with(live.port, fates);
        peer(&proxy.url()).push(&bob).await.unwrap();
        assert_eq!(ada.vector().await.unwrap(), bob.vector().await.unwrap());
        assert_eq!(peer(&live.url()).push(&bob).await.unwrap().integrated, 0);
        assert_sound(&ada).await;
    });
}

#[test]
fn what_is_pushed_and_damaged_is_refused() {
    block_on(async {
        let ada = replica().await;
        let live = Live::of(&ada);
        let bob = other(&ada).await;
        fill(&bob, 10, 300).await;
        let mut bundle = Vec::new();
        bob.bundle(&VersionVector::new(), &mut bundle).await.unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let push = |bytes: Vec<u8>| {
            let request = client.post(format!("{}sync/push", live.url()));
            let request = request.header("prophet-protocol", "1").body(bytes);
            let request = request.header("content-type", "application/vnd.prophet.bundle");
            runtime.block_on(async {
                let sent = request.send().await.unwrap();
                (sent.status().as_u16(), sent.text().await.unwrap())
            })
        };
        let (all, mut refusals) = (digests(&bob).await, 0);
        for place in (0..bundle.len()).step_by(bundle.len() / 23) {
            let mut bytes = bundle.clone();
            bytes[place] ^= 1;
            for (bytes, words) in
                [(bytes, "what was pushed"), (bundle[..place].to_vec(), "cut short")]
            {
                let (status, said) = push(bytes);
                let had = digests(&ada).await;
                assert_eq!(had, all[..had.len()]);
                // With the last changeset all has come, whatever the end of the bundle is.
                let refused = status == 400 && said.contains(words);
                assert!(refused || had == all, "{place}: {status} {said}");
                refusals += usize::from(refused);
            }
        }
        assert!(refusals > 40, "{refusals}");
        let (status, said) = push(bundle);
        assert_eq!(status, 200, "{said}");
        assert_eq!(digests(&ada).await, all);
        assert_sound(&ada).await;
    });
}

const PIECE: usize = 64 << 10;

/// A server that answers these paths with more than anybody should read, and how much it sent: a piece again
/// and again, or once, if it is in an `encoding`.
fn flooding(
    replica: &Replica,
    paths: &'static [&'static str],
    piece: Bytes,
    encoding: &'static str,
) -> (Live, Arc<AtomicU64>) {
    let sent = Arc::<AtomicU64>::default();
    let sending = Arc::clone(&sent);
    let flood = move |request: Request, next: Next| {
        let (piece, sent) = (piece.clone(), Arc::clone(&sending));
        async move {
            let content = match request.uri().path() {
                path if !paths.contains(&path) => return next.run(request).await,
                "/sync/push" => "application/vnd.prophet.report+json",
                path if path.starts_with("/store/") => "application/vnd.prophet.store",
                _ => "application/vnd.prophet.standing+json",
            };
            // Whoever reads all of it comes to an end as well.
            let count = if encoding.is_empty() { 4_096 } else { 1 };
            let pieces = stream::repeat(piece).take(count).map(move |piece| {
                sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
                Ok::<_, Infallible>(piece)
            });
            let mut headers = HeaderMap::new();
            headers.insert("prophet-protocol", "1".parse().unwrap());
            headers.insert("content-type", content.parse().unwrap());
            if !encoding.is_empty() {
                headers.insert("content-encoding", encoding.parse().unwrap());
            }
            (headers, Body::from_stream(pieces)).into_response()
        }
    };
    (Live::serving(served(replica).layer(axum::middleware::from_fn(flood))), sent)
}

#[test]
fn an_answer_that_does_not_end_is_not_read_to_its_end() {
    block_on(async {
        let ada = replica().await;
        let piece = || Bytes::from_static(&[b' '; PIECE]);
        // What is on the way is not yet read.
        let slack = 16 << 20;
        for (path, limit) in [("/store/facts", 64 << 10), ("/store/head", 64 << 10)] {
            let (live, sent) = match path {
                "/store/facts" => flooding(&ada, &["/store/facts"], piece(), ""),
                _ => flooding(&ada, &["/store/head"], piece(), ""),
            };
            let error = match HttpStore::open(&live.url(), options()).await {
                Ok(store) => store.head().await.unwrap_err().to_string(),
                Err(error) => error.to_string(),
            };
            assert!(error.contains(&format!("more than the {limit} bytes")), "{error}");
            assert!(error.contains(path), "{error}");
            assert!(sent.load(Ordering::Relaxed) < limit + slack);
        }
        for (path, limit) in [("/sync/vector", 32 << 20), ("/sync/push", 16 << 20)] {
            let (live, sent) = match path {
                "/sync/vector" => flooding(&ada, &["/sync/vector"], piece(), ""),
                _ => flooding(&ada, &["/sync/push"], piece(), ""),
            };
            let bob = other(&ada).await;
            create(&bob, "bob's").await;
            let error = peer(&live.url()).push(&bob).await.unwrap_err().to_string();
            assert!(error.contains(&format!("more than the {limit} bytes")), "{error}");
            assert!(error.contains(path), "{error}");
            assert!(sent.load(Ordering::Relaxed) < limit + slack);
        }
    });
}

#[test]
fn a_little_that_becomes_much_is_not_read_to_its_end() {
    block_on(async {
        let ada = replica().await;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        (0..1_000).for_each(|_| encoder.write_all(&[0; PIECE]).unwrap());
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < 1 << 20);
        let (live, _) = flooding(&ada, &["/store/head"], bomb.into(), "gzip");
        let store = HttpStore::open(&live.url(), options()).await.unwrap();
        let error = store.head().await.unwrap_err().to_string();
        assert!(error.contains("more than the 65536 bytes"), "{error}");
    });
}

/// That it was taken is known by the head of the answer already, and not what it leads to.
#[test]
fn what_becomes_of_a_commit_with_an_endless_answer_is_unknown() {
    block_on(async {
        let ada = replica().await;
        let piece = Bytes::from_static(&[b' '; PIECE]);
        let (live, _) = flooding(&ada, &["/store/commit"], piece, "");
        let store = HttpStore::open(&live.url(), options()).await.unwrap();
        let commit = Commit::new(CommitId::from_bytes([9; 16]), store.head().await.unwrap());
        let error = store.commit(&commit).await.unwrap_err();
        assert!(matches!(error, StoreError::OutcomeUnknown { .. }), "{error:?}");
    });
}
