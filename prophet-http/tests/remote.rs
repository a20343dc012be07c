//! Engines over a store that a server serves, and whose line is bad.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use futures_lite::StreamExt as _;
use futures_lite::future::{block_on, zip};
use prophet_http::{HttpOptions, HttpStore};
use prophet_store::*;
use support::live::Live;
use support::proxy::{Fate, Proxy, next_seed};
use support::{assert_sound, digests, fill, replica};

fn options() -> HttpOptions {
    let pause = Duration::from_millis(1);
    HttpOptions::new().no_proxy().pauses(pause, pause)
}

async fn opened(url: &str, options: HttpOptions) -> HttpStore {
    HttpStore::open(url, options).await.unwrap()
}

fn titled(title: impl Into<Value>) -> Properties {
    Properties::new().with("title", title).unwrap()
}

fn noting(number: u8, base: Head) -> Commit {
    let key = MetadataKey::new("note").unwrap();
    Commit::new(CommitId::from_bytes([number; 16]), base)
        .with_metadata(key, Some(vec![number]))
        .unwrap()
}

#[test]
fn an_engine_here_and_one_there_see_what_the_other_does() {
    block_on(async {
        let served = replica().await;
        let live = Live::of(&served);
        let here = Replica::open(opened(&live.url(), options()).await).await.unwrap();
        assert_eq!(here.store().facts().identity, served.store().facts().identity);
        let bug = here.create("bug", titled("It fails")).await.unwrap();
        assert_eq!(
            served.get(&bug).await.unwrap().unwrap().get("title").unwrap(),
            &"It fails".into()
        );
        // Each in turn, so that each has to find out that the other has committed.
        for number in 0..20 {
            served.update(&bug, titled(number)).await.unwrap();
            here.update(&bug, titled(-number - 1)).await.unwrap();
        }
        let found = served.get(&bug).await.unwrap().unwrap();
        assert_eq!(found.get("title").unwrap(), &Value::Integer(-20));
        assert_eq!(digests(&served).await, digests(&here).await);
        // And both at once: nothing that was acknowledged is lost.
        let counting = async |replica: &Replica, name: &str| {
            for number in 0..50 {
                let count = Properties::new().with(name, number).unwrap();
                replica.update(&bug, count).await.unwrap();
            }
        };
        zip(counting(&served, "there"), counting(&here, "here")).await;
        let found = here.get(&bug).await.unwrap().unwrap();
        assert_eq!(found.get("there").unwrap(), &Value::Integer(49));
        assert_eq!(found.get("here").unwrap(), &Value::Integer(49));
        assert_eq!(digests(&served).await.len(), 1 + 40 + 100);
        assert_sound(&served).await;
    });
}

#[test]
fn whoever_watches_the_served_replica_sees_what_is_committed_from_here_at_once() {
    block_on(async {
        let served = replica().await;
        let live = Live::of(&served);
        let here = Replica::open(opened(&live.url(), options()).await).await.unwrap();
        // It would not look by itself for an hour.
        let mut watched = served.watch(Position::ZERO, Duration::from_secs(3_600));
        for number in 0..3 {
            let created = async {
                // After the watcher has begun to wait.
                SystemEnvironment::default().sleep(Duration::from_millis(50)).await;
                here.create("bug", titled(number)).await.unwrap()
            };
            let (entry, bug) = zip(watched.next(), created).await;
            let entry = entry.unwrap().unwrap();
            assert_eq!(entry.changeset.changes()[0].record, bug);
        }
    });
}

#[test]
fn a_commit_whose_answer_is_lost_is_unknown_and_sending_it_again_settles_it() {
    block_on(async {
        let served = replica().await;
        let live = Live::of(&served);
        for (fate, applied) in [
            (Fate::AnswerDropped, true),
            (Fate::AnswerCut(20), true),
            (Fate::AnswerCutAt(990), true),
            (Fate::RequestCut(500), false),
            (Fate::Dropped, false),
            (Fate::Status("502 Bad Gateway"), false),
        ] {
            let base = served.head().await.unwrap();
            let proxy = Proxy::with(live.port, [Fate::Right, fate]);
            let store = opened(&proxy.url(), options().retries(0)).await;
            let commit = noting(base.version.get() as u8 + 1, base);
            let error = store.commit(&commit).await.unwrap_err();
            let StoreError::OutcomeUnknown { commit: id, place, .. } = &error else {
                panic!("{fate:?}: {error}");
            };
            assert_eq!((*id, place.as_str()), (commit.id(), proxy.url().as_str()));
            let now = served.head().await.unwrap();
            assert_eq!(now, if applied { commit.head() } else { base }, "{fate:?}");
            assert_eq!(store.commit(&commit).await.unwrap(), commit.head());
            assert_eq!(served.head().await.unwrap(), commit.head(), "once: {fate:?}");
        }
        // With patience, it settles that by itself.
        let base = served.head().await.unwrap();
        let fates = [Fate::Right, Fate::AnswerDropped, Fate::Dropped, Fate::Repeated];
        let proxy = Proxy::with(live.port, fates);
        let store = opened(&proxy.url(), options()).await;
        let commit = noting(99, base);
        assert_eq!(store.commit(&commit).await.unwrap(), commit.head());
        // And that somebody else was first is known for sure.
        let fates = [Fate::Right, Fate::Dropped, Fate::AnswerDropped];
        let proxy = Proxy::with(live.port, fates);
        let store = opened(&proxy.url(), options()).await;
        let stale = store.commit(&noting(98, base)).await.unwrap_err();
        let StoreError::StaleBase { base: of, head, .. } = stale else { panic!("{stale}") };
        assert_eq!((of, head), (base, commit.head()));
    });
}

#[test]
fn what_cannot_have_been_sent_was_not_applied() {
    block_on(async {
        let served = replica().await;
        let live = Live::of(&served);
        let proxy = Proxy::with(live.port, []);
        let store = opened(&proxy.url(), options().retries(1)).await;
        drop(proxy);
        // This one may still go out on the connection that there was.
        store.commit(&noting(1, Head::EMPTY)).await.unwrap_err();
        let error = store.commit(&noting(1, Head::EMPTY)).await.unwrap_err();
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
        assert!(error.to_string().contains("refused"), "{error}");
    });
}

#[test]
fn what_is_served_there_says_what_it_is() {
    block_on(async {
        let nothing = Live::serving(Router::new());
        let error = HttpStore::open(&nothing.url(), options()).await.unwrap_err();
        assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
        let other = Live::serving(Router::new().fallback(async || "<html>Welcome</html>"));
        let error = HttpStore::open(&other.url(), options()).await.unwrap_err();
        assert!(matches!(error, StoreError::NotAReplica { .. }), "{error}");
        for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
            let closed = Live::serving(Router::new().fallback(async move || status));
            let error = HttpStore::open(&closed.url(), options()).await.unwrap_err().to_string();
            assert!(error.contains("HttpOptions::bearer"), "{error}");
        }
        let served = replica().await;
        let live = Live::of(&served);
        let store = opened(&live.url(), options()).await;
        assert_eq!(store.facts().place, live.url());
        assert_eq!(store.facts().capabilities.durability, Durability::Volatile);
        assert_eq!(store.facts().capabilities.sharing, Sharing::Processes);
        // When the server's own store is closed, no call says anything else.
        served.close().await.unwrap();
        let error = store.head().await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Closed { place, .. } if *place == live.url()),
            "{error}"
        );
        let error = store.commit(&noting(1, Head::EMPTY)).await.unwrap_err();
        assert!(matches!(error, StoreError::Closed { .. }), "{error}");
    });
}

#[test]
fn on_a_bad_line_nothing_that_was_acknowledged_is_lost_and_nothing_is_done_twice() {
    let seed = next_seed();
    block_on(async {
        let served = replica().await;
        let live = Live::of(&served);
        let proxy = Proxy::flawed(live.port, seed);
        let options = || options().retries(12);
        let open = async || {
            let store: Arc<dyn ReplicaStore> = Arc::new(opened(&proxy.url(), options()).await);
            Replica::options().open_shared(store).await.unwrap()
        };
        let engines = [open().await, open().await];
        let counter = served.create("counter", titled("all")).await.unwrap();
        // Each edit reads what it writes, so one done twice or lost would show.
        let count = async |replica: &Replica| {
            let counter = &counter;
            for _ in 0..25 {
                let counted = replica.edit(|edit| async move {
                    let record = edit.get(counter).await?.unwrap();
                    let so_far = match record.get("count") {
                        Some(Value::Integer(count)) => *count,
                        _ => 0,
                    };
                    edit.update(counter, Properties::new().with("count", so_far + 1)?).await?;
                    Ok(())
                });
                counted.await.unwrap();
            }
        };
        let [one, two] = &engines;
        zip(zip(count(one), count(two)), zip(count(one), count(&served))).await;
        let record = served.get(&counter).await.unwrap().unwrap();
        assert_eq!(record.get("count").unwrap(), &Value::Integer(100), "seed {seed}");
        assert_sound(&served).await;
        let (there, here) = (digests(&served).await, digests(one).await);
        assert_eq!(there, here);
        assert_eq!(there.len(), 101);
    });
}

#[test]
fn a_replica_over_a_served_store_syncs_like_any_other() {
    block_on(async {
        let served = replica().await;
        let live = Live::of(&served);
        let here = Replica::open(opened(&live.url(), options()).await).await.unwrap();
        let bob = support::other(&served).await;
        fill(&bob, 50, 500).await;
        let report = here.pull(&bob, PullOptions::new()).await.unwrap();
        assert_eq!(report.integrated, 500);
        assert_eq!(digests(&served).await, digests(&bob).await);
        let report = here.store().audit().await.unwrap();
        assert!(report.is_sound(), "{:?}", report.problems);
    });
}
