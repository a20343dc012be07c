//! The same bucket behind the protocol of S3, read with the client of `object_store`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "real time is what is tested here")]

use std::time::{Duration, Instant};

use futures_lite::StreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, GetOptions, ObjectStore, ObjectStoreExt as _, PutMode,
    PutResult, RetryConfig, UpdateVersion, integration as suite,
};
use prophet_bucket::*;

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn started(settings: Settings) -> (Bucket, WireServer) {
    let bucket = Bucket::with(settings);
    let server = WireServer::start(&bucket).unwrap();
    (bucket, server)
}

fn strict() -> (Bucket, WireServer) {
    started(Settings::strict(1))
}

fn client(server: &WireServer) -> AmazonS3 {
    server.endpoint().client().build().unwrap()
}

/// It waits no longer than this for an answer.
fn impatient(server: &WireServer) -> AmazonS3Builder {
    let options = ClientOptions::new().with_allow_http(true);
    let options = options.with_timeout(Duration::from_millis(300));
    server.endpoint().client().with_client_options(options)
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

async fn create(
    store: &dyn ObjectStore,
    key: &str,
    text: &'static str,
) -> Result<PutResult, Error> {
    store.put_opts(&path(key), text.into(), PutMode::Create.into()).await
}

/// Plain; and as strict as their suite bears.
fn servers() -> [(Bucket, WireServer); 3] {
    let strict = Settings::strict(3).order(Order::Bytewise);
    [started(Settings::plain(1)), started(Settings::strict(2)), started(strict.pages(3, true))]
}

macro_rules! suite {
    ($($name:ident),*) => {$(
        #[test]
        fn $name() {
            for (_bucket, server) in servers() {
                run(async { suite::$name(&client(&server)).await });
            }
        }
    )*};
}

suite!(
    put_get_delete_list,
    put_get_attributes,
    get_opts,
    stream_get,
    list_uses_directories_correctly,
    list_with_delimiter,
    rename_and_copy,
    multipart_out_of_order,
    list_with_offset_exclusivity
);

#[test]
fn put_opts() {
    for (_bucket, server) in servers() {
        run(async { suite::put_opts(&client(&server), true).await });
    }
}

#[test]
fn multipart() {
    let (_bucket, server) = strict();
    run(async {
        let store = client(&server);
        suite::multipart(&store, &store).await;
        suite::multipart_with_opts(&store, &store).await;
        suite::multipart_put_part_out_of_order(&store, &store).await;
        suite::multipart_race_condition(&store, true).await;
    });
}

#[test]
fn list_paginated() {
    let (_bucket, server) = started(Settings::plain(4));
    run(async {
        let store = client(&server);
        suite::list_paginated(&store, &store).await;
    });
}

/// What the server said, as the client keeps it.
fn said(error: &Error) -> String {
    let mut text = String::new();
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = source {
        text = text + &error.to_string() + "\n";
        source = error.source();
    }
    text
}

#[test]
fn refusals_are_those_of_s3() {
    use Refusal::*;
    type Told = fn(&Error) -> bool;
    let exists: Told = |error| matches!(error, Error::AlreadyExists { .. });
    let generic: Told = |error| matches!(error, Error::Generic { .. });
    let denied: Told = |error| matches!(error, Error::PermissionDenied { .. });
    let missing: Told = |error| matches!(error, Error::NotFound { .. });
    let cases = [
        (SlowDown, generic, "503", "SlowDown"),
        (InternalError, generic, "500", "InternalError"),
        (NotImplemented, generic, "501", "NotImplemented"),
        (Conflict, exists, "409", "ConditionalRequestConflict"),
        (PreconditionFailed, exists, "412", "PreconditionFailed"),
        (AccessDenied, denied, "403", "AccessDenied"),
        (TimeTooSkewed, denied, "403", "RequestTimeTooSkewed"),
        (NoSuchBucket, missing, "404", "NoSuchBucket"),
    ];
    run(async {
        for (refused, told, status, code) in cases {
            for lost in [false, true] {
                let (bucket, server) = strict();
                let fault = if lost { Fault::Lose(refused) } else { Fault::Refuse(refused) };
                bucket.plan(Plan::new().with(Rule::new(fault).on(Kind::Create).nth(1)));
                let error = create(&client(&server), "log/1", "a").await.unwrap_err();
                assert!(told(&error), "{refused:?}: {error:?}");
                let said = said(&error);
                assert!(said.contains(status), "{said}");
                assert!(said.contains(&format!("<Code>{code}</Code>")), "{said}");
                assert_eq!(bucket.object("log/1").is_some(), lost, "{refused:?}");

                // The door in process tells the same.
                let same = Bucket::new(1);
                same.plan(Plan::new().with(Rule::new(fault).on(Kind::Create).nth(1)));
                let error = create(&same.store(), "log/1", "a").await.unwrap_err();
                assert!(told(&error), "{refused:?}: {error:?}");
            }
        }
    });
}

#[test]
fn connections_break_before_and_after() {
    run(async {
        for (fault, there) in
            [(Fault::Refuse(Refusal::Dropped), false), (Fault::Lose(Refusal::Dropped), true)]
        {
            let (bucket, server) = strict();
            bucket.plan(Plan::new().with(Rule::new(fault).on(Kind::Create).nth(1)));
            let error = create(&client(&server), "log/1", "a").await.unwrap_err();
            assert!(matches!(error, Error::Generic { .. }), "{error:?}");
            let told = said(&error);
            assert!(told.contains("HTTP error") && !told.contains("status"), "{told}");
            assert_eq!(bucket.object("log/1").is_some(), there);
            // The next connection is as good as new.
            let again = create(&client(&server), "log/1", "a").await;
            assert_eq!(again.is_err(), there);
        }
    });
}

#[test]
fn a_client_that_tries_again_is_told_that_its_own_object_exists() {
    run(async {
        for told in [Refusal::Dropped, Refusal::InternalError, Refusal::SlowDown] {
            let (bucket, server) = strict();
            let rule = Rule::new(Fault::Lose(told)).on(Kind::Create).nth(1);
            bucket.plan(Plan::new().with(rule));
            let backoff =
                BackoffConfig { init_backoff: Duration::from_millis(1), ..Default::default() };
            let retry = RetryConfig { backoff, ..RetryConfig::default() };
            let store = server.endpoint().client().with_retry(retry).build().unwrap();
            let error = create(&store, "log/1", "mine").await.unwrap_err();
            assert!(matches!(error, Error::AlreadyExists { .. }), "{told:?}: {error:?}");
            assert_eq!(bucket.object("log/1").unwrap(), "mine");
            assert_eq!(bucket.requests().of(Kind::Create).requests, 2);
        }
    });
}

#[test]
fn a_delayed_write_times_out_and_lands_or_is_refused() {
    run(async {
        let (bucket, server) = strict();
        let rule = Rule::new(Fault::Delay(Landing::ByHand)).on(Kind::Create).nth(1);
        bucket.plan(Plan::new().with(rule.clone()));
        let store = impatient(&server).build().unwrap();
        let begun = Instant::now();
        let error = create(&store, "log/1", "late").await.unwrap_err();
        assert!(begun.elapsed() >= Duration::from_millis(300));
        assert!(matches!(error, Error::Generic { .. }), "{error:?}");
        assert!(matches!(store.head(&path("log/1")).await, Err(Error::NotFound { .. })));
        bucket.land();
        assert_eq!(store.get(&path("log/1")).await.unwrap().bytes().await.unwrap(), "late");

        bucket.plan(Plan::new().with(rule));
        create(&store, "log/2", "late").await.unwrap_err();
        create(&store, "log/2", "fast").await.unwrap();
        bucket.land();
        assert_eq!(bucket.object("log/2").unwrap(), "fast");
        let refused = Outcome::LandedRefused(Refusal::PreconditionFailed);
        assert_eq!(bucket.events().last().unwrap().outcome, refused);

        // The answer stalls, the object is there.
        let rule = Rule::new(Fault::Lose(Refusal::TimedOut)).on(Kind::Create).nth(1);
        bucket.plan(Plan::new().with(rule));
        create(&store, "log/3", "there").await.unwrap_err();
        assert_eq!(bucket.object("log/3").unwrap(), "there");
    });
}

#[test]
fn answers_are_slow_and_bodies_break_off() {
    run(async {
        let (bucket, server) = started(Settings::plain(1).time(Time::Real));
        bucket.insert("a", "0123456789");
        let store = client(&server);
        let slow = Rule::new(Fault::Slow(Duration::from_millis(200))).on(Kind::Head).nth(1);
        let cut = Rule::new(Fault::Cut(4)).on(Kind::Get).nth(1);
        bucket.plan(Plan::new().with(slow).with(cut));
        let begun = Instant::now();
        store.head(&path("a")).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(200));

        let got = store.get(&path("a")).await.unwrap();
        assert_eq!(got.meta.size, 10);
        let pieces: Vec<_> = got.into_stream().collect().await;
        let (last, pieces) = pieces.split_last().unwrap();
        let read: usize = pieces.iter().map(|piece| piece.as_ref().unwrap().len()).sum();
        assert!(last.is_err() && read <= 4, "{read}: {last:?}");
        assert_eq!(store.get(&path("a")).await.unwrap().bytes().await.unwrap(), "0123456789");
        assert_eq!(store.get_range(&path("a"), 2..5).await.unwrap(), "234");
    });
}

#[test]
fn conditions_and_etags_are_the_same_at_both_doors() {
    run(async {
        let (bucket, server) = strict();
        let (wire, near) = (client(&server), bucket.store());
        let first = create(&wire, "a", "one").await.unwrap();
        assert!(matches!(create(&near, "a", "two").await, Err(Error::AlreadyExists { .. })));
        assert_eq!(near.head(&path("a")).await.unwrap().e_tag, first.e_tag);
        assert_eq!(wire.head(&path("a")).await.unwrap(), near.head(&path("a")).await.unwrap());
        let version = UpdateVersion { e_tag: first.e_tag.clone(), version: None };
        let update = |text: &'static str| {
            let (wire, mode) = (&wire, PutMode::Update(version.clone()));
            async move { wire.put_opts(&path("a"), text.into(), mode.into()).await }
        };
        update("two").await.unwrap();
        assert!(matches!(update("three").await, Err(Error::Precondition { .. })));
        let unless = GetOptions { if_none_match: first.e_tag.clone(), ..GetOptions::default() };
        wire.get_opts(&path("a"), unless.clone()).await.unwrap();
        near.put(&path("a"), "one".into()).await.unwrap();
        let got = wire.get_opts(&path("a"), unless).await;
        assert!(matches!(got, Err(Error::NotModified { .. })));
        bucket.remove("a");
        assert!(matches!(update("three").await, Err(Error::Precondition { .. })));
        bucket.conditions(Conditions::NotImplemented);
        let error = create(&wire, "a", "one").await.unwrap_err();
        assert!(said(&error).contains("NotImplemented"), "{error}");
    });
}

#[test]
fn listings_have_no_order_and_short_pages() {
    run(async {
        let (bucket, server) = started(Settings::strict(5).pages(10, true));
        for number in 0..100 {
            bucket.insert(&format!("log/{number:03}"), "a");
        }
        let store = client(&server);
        let listed = store.list_with_offset(Some(&path("log")), &path("log/049"));
        let keys: Vec<String> = listed.map(|it| it.unwrap().location.to_string()).collect().await;
        let mut sorted = keys.clone();
        sorted.sort();
        assert_ne!(keys, sorted);
        sorted.dedup();
        assert_eq!((sorted.len(), sorted[0].as_str()), (50, "log/050"));
        let asked = bucket.requests();
        assert!(asked.of(Kind::List).requests > 5, "{asked}");

        bucket.freeze_listings();
        bucket.insert("log/100", "a");
        assert_eq!(store.list(None).count().await, 100);
    });
}

#[test]
fn strangers_and_wrong_buckets_are_refused() {
    run(async {
        let (bucket, server) = strict();
        let other = server.endpoint().client().with_secret_access_key("guessed").build().unwrap();
        let error = create(&other, "a", "a").await.unwrap_err();
        assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
        assert!(said(&error).contains("SignatureDoesNotMatch"), "{error}");
        let other = server.endpoint().client().with_bucket_name("elsewhere").build().unwrap();
        let error = create(&other, "a", "a").await.unwrap_err();
        assert!(said(&error).contains("NoSuchBucket"), "{error}");
        assert_eq!(bucket.requests().total().requests, 0);
    });
}

#[test]
fn a_server_that_is_gone_refuses_and_lets_go() {
    run(async {
        let (bucket, server) = strict();
        bucket.plan(Plan::new().with(Rule::new(Fault::Refuse(Refusal::TimedOut)).nth(1)));
        let store = client(&server);
        let place = path("a");
        let mut waiting = Box::pin(store.head(&place));
        let begun = Instant::now();
        while bucket.requests().total().requests == 0 {
            assert!(futures_lite::future::poll_once(&mut waiting).await.is_none());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(server);
        assert!(matches!(waiting.await, Err(Error::Generic { .. })));
        assert!(store.head(&place).await.is_err());
        assert!(begun.elapsed() < Duration::from_secs(20), "it did not wait for a timeout");
    });
}

#[test]
fn racers_over_the_wire() {
    let window = Duration::from_millis(20);
    for (conditions, rounds, bad) in [
        (Conditions::Kept, 100, 0..=0),
        (Conditions::LostInRaces(window), 20, 15..=20),
        (Conditions::Ignored, 20, 20..=20),
    ] {
        let settings = Settings::strict(1).time(Time::Real).conditions(conditions);
        let latency = (Duration::ZERO, Duration::from_millis(3));
        let (_bucket, server) = started(settings.latency(latency.0, latency.1));
        let found = run(async {
            let store = std::sync::Arc::new(client(&server));
            let mut found = 0;
            for round in 0..rounds {
                let mut racers = tokio::task::JoinSet::new();
                for _ in 0..16 {
                    let store = std::sync::Arc::clone(&store);
                    racers.spawn(async move {
                        create(&*store, &format!("log/{round}"), "a").await.is_ok()
                    });
                }
                let won = racers.join_all().await.into_iter().filter(|won| *won).count();
                assert!(won >= 1);
                found += usize::from(won > 1);
            }
            found
        });
        assert!(bad.contains(&found), "{conditions:?}: {found} of {rounds} rounds were bad");
    }
}
