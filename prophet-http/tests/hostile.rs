//! Pulling from servers and over lines that fail in every way.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "a test waits for a server to begin")]

mod support;

use std::time::Duration;

use futures_lite::StreamExt as _;
use futures_lite::future::{block_on, poll_once};
use prophet_files::manifest::MANIFEST;
use prophet_files::{Fetch as _, Request};
use prophet_http::{HttpFetch, HttpOptions, HttpSource};
use prophet_store::*;
use support::server::{Act, Server};
use support::{assert_sound, digests, fill, other, publish, pull, replica};
use tempfile::TempDir;

const BATCH: usize = 64;

fn options() -> HttpOptions {
    let (pause, stall) = (Duration::from_millis(5), Duration::from_millis(300));
    HttpOptions::new().no_proxy().pauses(pause, pause * 4).stall_within(stall).retries(3)
}

/// A published replica of three segments, and a server for it.
struct World {
    ada: Replica,
    directory: TempDir,
    server: Server,
}

impl World {
    async fn new() -> Self {
        let ada = replica().await;
        let directory = tempfile::tempdir().unwrap();
        for count in [1_000, 300, 60] {
            fill(&ada, count, count).await;
            publish(&ada, directory.path()).await;
        }
        let server = Server::of(directory.path());
        Self { ada, directory, server }
    }

    async fn open(&self) -> HttpSource {
        HttpSource::open_with(&self.server.url(), options()).await.unwrap()
    }

    async fn try_pull(&self, target: &Replica) -> Result<PullReport, Error> {
        target.pull(&self.open().await, PullOptions::new().batches_of(BATCH)).await
    }

    /// A pull comes through although this happens on the way.
    async fn comes_through(&self, acts: impl IntoIterator<Item = Act>) {
        let bob = other(&self.ada).await;
        self.server.next(acts);
        self.try_pull(&bob).await.unwrap();
        assert_eq!(digests(&bob).await, digests(&self.ada).await);
        assert_sound(&bob).await;
    }

    /// A pull fails in these words, leaves a sound replica of whole batches, and an honest one
    /// completes it.
    async fn fails(&self, act: Act, words: &[&str]) {
        let bob = other(&self.ada).await;
        self.server.next([Act::Right, act.clone()]);
        self.server.always(act.clone());
        let error = self.try_pull(&bob).await.unwrap_err().to_string();
        for word in words.iter().chain(&["http://127.0.0.1", "log/0000"]) {
            assert!(error.contains(word), "{act:?}: {word:?} is not in: {error}");
        }
        assert_sound(&bob).await;
        assert!(digests(&self.ada).await.starts_with(&digests(&bob).await));
        self.server.next([]);
        self.try_pull(&bob).await.unwrap();
        assert_eq!(digests(&bob).await, digests(&self.ada).await);
        assert_sound(&bob).await;
    }
}

#[test]
fn an_answer_that_breaks_off_goes_on_where_it_broke() {
    block_on(async {
        let world = World::new().await;
        for after in [0, 1, 100, 5_000, 50_000] {
            world.server.asked();
            world.comes_through([Act::Drop(after), Act::Drop(after), Act::Drop(after)]).await;
            let asked = world.server.asked();
            let resumed = asked.iter().filter(|it| it.if_range.is_some()).count();
            assert_eq!(resumed > 0, after > 0, "{after}: {asked:?}");
        }
        world.fails(Act::Drop(0), &["breaks off", "try again later"]).await;
    });
}

#[test]
fn what_passes_is_tried_again_and_what_lasts_is_an_error() {
    block_on(async {
        let world = World::new().await;
        let status = |status, headers: &str| Act::Status(status, headers.to_owned());
        world.comes_through([status("503 Service Unavailable", ""), Act::Nothing]).await;
        world.comes_through([status("429 Too Many Requests", "Retry-After: 1\r\n")]).await;
        world.comes_through([status("500 Oh", ""), status("408 Request Timeout", "")]).await;
        world.comes_through([Act::Garbage, Act::Stall(0), Act::Stall(2_000)]).await;
        // A pull that took another manifest for granted.
        world.comes_through([status("404 Not Found", "")]).await;
        world.fails(status("404 Not Found", ""), &["not there"]).await;
        world.fails(status("403 Forbidden", ""), &["403", "get access"]).await;
        world.fails(status("401 Unauthorized", ""), &["401"]).await;
        world.fails(status("500 Oh", ""), &["500", "try again later"]).await;
        world.fails(status("418 I'm a teapot", ""), &["418"]).await;
        world.fails(Act::Nothing, &["try again later"]).await;
        world.fails(Act::Stall(1_000), &["stands still"]).await;
    });
}

#[test]
fn a_slow_server_that_moves_is_waited_for() {
    block_on(async {
        let world = World::new().await;
        world.server.always(Act::Drip(4_000));
        let bob = other(&world.ada).await;
        world.try_pull(&bob).await.unwrap();
        assert_eq!(digests(&bob).await, digests(&world.ada).await);
    });
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    block_on(async {
        let world = World::new().await;
        let to = |to: &str| Act::Status("302 Found", format!("Location: {to}\r\n"));
        let names: Vec<_> = world.open().await.manifest().segments.clone();
        world.comes_through([to(&format!("/moved/{}", names[0].name))]).await;
        world.fails(to(&format!("/{}", names[0].name)), &["more than 10 times"]).await;
        world.fails(to("ftp://example.org/"), &[]).await;
    });
}

#[test]
fn what_is_not_what_was_published_is_refused() {
    block_on(async {
        let world = World::new().await;
        world.fails(Act::Tamper(3_000), &["damaged"]).await;
        world.fails(Act::Tamper(0), &["damaged"]).await;
        world.fails(Act::Shorten(1), &["bytes came"]).await;
        world.fails(Act::Shorten(100_000), &["bytes came"]).await;
        world.fails(Act::Endless, &["more than"]).await;
        // A cache on the way had something old or broken.
        world.comes_through([Act::Tamper(77)]).await;
        world.comes_through([Act::Shorten(50)]).await;
        world.comes_through([Act::Endless]).await;
    });
}

/// Who has the first thousand, and lacks the rest of the second segment.
#[test]
fn ranges_that_are_wrong_or_missing() {
    block_on(async {
        let world = World::new().await;
        let bob = other(&world.ada).await;
        let part = Part::of(&world.ada, 1_290).await;
        // It does not give all that it announced.
        bob.pull(&part, PullOptions::new()).await.unwrap_err();
        world.server.asked();
        world.server.always(Act::WrongRange);
        let error = world.try_pull(&bob).await.unwrap_err().to_string();
        assert!(error.contains("answers a request for the bytes"), "{error}");
        assert!(world.server.asked().iter().any(|it| it.range.is_some_and(|(from, _)| from > 0)));
        assert_sound(&bob).await;
        world.server.always(Act::Tamper(5));
        assert!(world.try_pull(&bob).await.is_err());
        world.server.next([Act::Drop(5), Act::NoRanges]);
        world.server.always(Act::NoRanges);
        world.try_pull(&bob).await.unwrap();
        assert_eq!(digests(&bob).await, digests(&world.ada).await);
        assert_sound(&bob).await;
    });
}

/// The first changesets of a replica, as a source that then ends.
struct Part<'a> {
    replica: &'a Replica,
    given: Vec<Changeset>,
}

impl<'a> Part<'a> {
    async fn of(replica: &'a Replica, count: usize) -> Self {
        let nothing = VersionVector::new();
        let offer = replica.offer(&nothing).await.unwrap();
        let changesets = replica.changesets(&offer, &nothing).take(count);
        Self { replica, given: changesets.map(Result::unwrap).collect().await }
    }
}

#[async_trait::async_trait]
impl ChangesetSource for Part<'_> {
    async fn offer(&self, seen: &VersionVector) -> Result<Offer, Error> {
        self.replica.offer(seen).await
    }

    fn changesets(&self, _: &Offer, _: &VersionVector) -> Streamed<'_, Changeset> {
        Box::pin(futures_lite::stream::iter(self.given.iter().cloned().map(Ok)))
    }
}

#[test]
fn a_manifest_may_be_compressed_and_must_be_whole() {
    block_on(async {
        let world = World::new().await;
        world.server.next_manifests([Act::Gzip, Act::Gzip]);
        let bob = other(&world.ada).await;
        world.try_pull(&bob).await.unwrap();
        assert_eq!(digests(&bob).await, digests(&world.ada).await);
        for act in [Act::Tamper(60), Act::Shorten(3)] {
            world.server.next_manifests([act]);
            let error = HttpSource::open_with(&world.server.url(), options()).await.unwrap_err();
            assert!(error.to_string().contains(MANIFEST), "{error}");
        }
        world.server.next_manifests([Act::Drop(9), Act::Stall(20), Act::Nothing]);
        world.open().await;
        std::fs::remove_file(world.directory.path().join(MANIFEST)).unwrap();
        let error = HttpSource::open_with(&world.server.url(), options()).await.unwrap_err();
        assert!(error.to_string().contains("not there"), "{error}");
    });
}

#[test]
fn a_pull_that_is_dropped_goes_on_later() {
    block_on(async {
        let world = World::new().await;
        let (bob, source) = (other(&world.ada).await, world.open().await);
        world.server.always(Act::Drip(2_000));
        let mut pulled = Box::pin(bob.pull(&source, PullOptions::new().batches_of(BATCH)));
        for _ in 0..20 {
            assert!(poll_once(&mut pulled).await.is_none());
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(pulled);
        assert_sound(&bob).await;
        world.server.next([]);
        pull(&bob, &source).await;
        assert_eq!(digests(&bob).await, digests(&world.ada).await);
    });
}

#[test]
fn it_works_from_within_tokio() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        World::new().await.comes_through([Act::Drop(700)]).await;
    });
}

/// What is secret in an address is not in what a person reads, however wrong the address is.
#[test]
fn errors_do_not_tell_passwords() {
    let addresses = [
        "ftp://ada:secret@host/notes",
        "http://ada:secret@host:99999/notes",
        "https://ada:secret@",
        "http://ada:secret@127.0.0.1:1/notes?token=secret",
    ];
    for address in addresses {
        let error = match HttpFetch::new(address, options().retries(0)) {
            Err(error) => error.to_string(),
            Ok(fetch) => {
                block_on(fetch.fetch(&Request::new(MANIFEST, 1_000))).unwrap_err().to_string()
            }
        };
        assert!(!error.contains("secret"), "{error}");
        assert!(error.contains("host") || error.contains("127.0.0.1") || address.ends_with('@'));
    }
}
