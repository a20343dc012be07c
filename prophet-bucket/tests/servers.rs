//! Real servers. `. .ci/servers` installs them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::sync::Arc;

use futures_lite::StreamExt as _;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, UpdateVersion};
use prophet_bucket::{Endpoint, Program, RealServer};

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn client(at: &Endpoint) -> AmazonS3 {
    at.client().build().unwrap()
}

/// Whether the second of two creations, and an update of what is no more, are refused.
async fn in_sequence(store: &AmazonS3) -> (bool, bool) {
    let create = |text: &'static str| async move {
        store.put_opts(&path("log/1"), text.into(), PutMode::Create.into()).await
    };
    let first = create("one").await.unwrap();
    let refused = match create("two").await {
        Ok(_) => false,
        Err(Error::AlreadyExists { .. }) => true,
        Err(error) => panic!("{error}"),
    };
    let there = store.get(&path("log/1")).await.unwrap().bytes().await.unwrap();
    assert_eq!(there, if refused { "one" } else { "two" });
    store.put(&path("log/1"), "three".into()).await.unwrap();
    let stale = UpdateVersion { e_tag: first.e_tag, version: None };
    let mode = PutMode::Update(stale);
    let stale = match store.put_opts(&path("log/1"), "four".into(), mode.into()).await {
        Ok(_) => false,
        Err(Error::Precondition { .. }) => true,
        Err(error) => panic!("{error}"),
    };
    store.delete(&path("log/1")).await.unwrap();
    (refused, stale)
}

async fn reading(store: &AmazonS3, program: Program) {
    store.put(&path("a/1"), "0123456789".into()).await.unwrap();
    for key in ["a-b", "a/2", "b/1"] {
        store.put(&path(key), "x".into()).await.unwrap();
    }
    match (program, store.get_range(&path("a/1"), 2..5).await) {
        // It sends the range, under the status of the whole; the client wants none of it.
        (Program::Rclone, Err(error)) => assert!(format!("{error:?}").contains("NotPartial")),
        (Program::Rclone, Ok(_)) => panic!("rclone answers ranged requests as it should now"),
        (_, got) => assert_eq!(got.unwrap(), "234"),
    }
    assert_eq!(store.head(&path("a/1")).await.unwrap().size, 10);
    assert!(matches!(store.get(&path("a/3")).await, Err(Error::NotFound { .. })));

    let keys: Vec<String> =
        store.list(None).map(|meta| meta.unwrap().location.to_string()).collect().await;
    match program {
        Program::SeaweedFs => assert_eq!(keys, ["a/1", "a/2", "a-b", "b/1"]),
        _ => assert_eq!(keys, ["a-b", "a/1", "a/2", "b/1"]),
    }
    let after = store.list_with_offset(Some(&path("a")), &path("a/1"));
    let keys: Vec<_> = after.map(|meta| meta.unwrap().location).collect().await;
    assert_eq!(keys, [path("a/2")]);
    let mut folders = store.list_with_delimiter(None).await.unwrap();
    if program == Program::SeaweedFs {
        // It was emptied, and is still there for a while.
        folders.common_prefixes.retain(|folder| *folder != path("log"));
    }
    assert_eq!(folders.common_prefixes, [path("a"), path("b")]);
    assert_eq!(folders.objects.len(), 1);
}

/// In how many of so many rounds more than one of so many writers was told that it won.
async fn races(at: &Endpoint, program: Program, rounds: usize, writers: usize) -> usize {
    let store = Arc::new(client(at));
    let mut bad = 0;
    for round in 0..rounds {
        let mut racers = tokio::task::JoinSet::new();
        for writer in 0..writers {
            let store = Arc::clone(&store);
            racers.spawn(async move {
                let (key, text) = (path(&format!("race/{round}")), writer.to_string());
                match store.put_opts(&key, text.into(), PutMode::Create.into()).await {
                    Ok(_) => true,
                    Err(Error::AlreadyExists { .. }) => false,
                    // rclone gets in its own way.
                    Err(Error::Generic { .. }) if program == Program::Rclone => false,
                    Err(error) => panic!("{error}"),
                }
            });
        }
        let won = racers.join_all().await.into_iter().filter(|won| *won).count();
        assert!(won >= 1 || program == Program::Rclone, "somebody has to win");
        bad += usize::from(won > 1);
    }
    bad
}

enum Conditions {
    Kept,
    /// And nearly always in races.
    KeptInSequence,
    Ignored,
}

fn check(program: Program, conditions: Conditions, rounds: usize, writers: usize) {
    let rounds = std::env::var("PROPHET_ROUNDS").map_or(rounds, |it| it.parse().unwrap());
    let server = RealServer::start(program).unwrap_or_else(|error| panic!("{error}"));
    let at = server.endpoint();
    run(async {
        let found = in_sequence(&client(at)).await;
        let kept = !matches!(conditions, Conditions::Ignored);
        assert_eq!(found, (kept, kept), "{}", server.log());
        reading(&client(at), program).await;
        let bad = races(at, program, rounds, writers).await;
        println!("{program:?}: {bad} of {rounds} rounds had several winners");
        let allowed = match conditions {
            Conditions::Kept => 0..=0,
            Conditions::KeptInSequence => 0..=rounds / 10,
            Conditions::Ignored => rounds / 2..=rounds,
        };
        assert!(allowed.contains(&bad), "{bad} of {rounds} rounds had several winners");
    });
}

#[test]
fn moto_keeps_conditions_in_sequence() {
    // It looks and then writes, on several threads, without a lock: one round in some hundreds is bad.
    check(Program::Moto, Conditions::KeptInSequence, 100, 8);
}

#[test]
fn seaweedfs_keeps_conditions() {
    // More writers make it slow: 16 take five seconds a round.
    check(Program::SeaweedFs, Conditions::Kept, 100, 2);
}

#[test]
fn rclone_does_not_look_at_conditions() {
    check(Program::Rclone, Conditions::Ignored, 50, 8);
}

#[test]
fn two_servers_of_a_kind_do_not_meet() {
    let servers = [Program::Rclone, Program::Rclone].map(|it| RealServer::start(it).unwrap());
    run(async {
        let [one, other] = servers.each_ref().map(|server| client(server.endpoint()));
        one.put(&path("a"), "one".into()).await.unwrap();
        assert!(matches!(other.get(&path("a")).await, Err(Error::NotFound { .. })));
    });
    let [one, other] = servers;
    let (place, at) = (one.data(), one.endpoint().clone());
    assert!(place.is_dir());
    drop(one);
    assert!(!place.exists());
    run(async {
        assert!(client(&at).get(&path("a")).await.is_err(), "it is gone");
        client(other.endpoint()).put(&path("a"), "other".into()).await.unwrap();
    });
}
