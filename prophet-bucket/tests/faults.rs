//! Every fault does what it says, for callers in process.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::time::Duration;

use futures_lite::StreamExt as _;
use futures_lite::future::{block_on, poll_once};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutMode, PutResult,
    UpdateVersion,
};
use prophet_bucket::*;

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

async fn create(store: &BucketStore, key: &str, text: &'static str) -> Result<PutResult, Error> {
    store.put_opts(&path(key), text.into(), PutMode::Create.into()).await
}

fn refusal(error: &Error) -> Refusal {
    let source = std::error::Error::source(error).unwrap();
    *source.downcast_ref::<Refusal>().unwrap()
}

/// A bucket that does this to the first creation.
fn first(fault: Fault) -> Bucket {
    let bucket = Bucket::new(1);
    bucket.plan(Plan::new().with(Rule::new(fault).on(Kind::Create).nth(1)));
    bucket
}

async fn listed(store: &BucketStore) -> Vec<String> {
    let listed = store.list(None).map(|meta| meta.unwrap().location.to_string());
    listed.collect().await
}

#[test]
fn refusals_are_the_errors_of_the_client() {
    use Refusal::*;
    type Told = fn(&Error) -> bool;
    let exists: Told = |error| matches!(error, Error::AlreadyExists { .. });
    let generic: Told = |error| matches!(error, Error::Generic { .. });
    let denied: Told = |error| matches!(error, Error::PermissionDenied { .. });
    let missing: Told = |error| matches!(error, Error::NotFound { .. });
    let cases = [
        (SlowDown, generic),
        (InternalError, generic),
        (NotImplemented, generic),
        (Dropped, generic),
        (TimedOut, generic),
        // Nothing was applied, and yet.
        (Conflict, exists),
        (PreconditionFailed, exists),
        (AccessDenied, denied),
        (TimeTooSkewed, denied),
        (NoSuchBucket, missing),
    ];
    for (refused, told) in cases {
        let bucket = first(Fault::Refuse(refused));
        let error = block_on(create(&bucket.store(), "log/1", "a")).unwrap_err();
        assert!(told(&error), "{refused:?}: {error:?}");
        assert_eq!(refusal(&error), refused);
        assert_eq!(bucket.object("log/1"), None, "{refused:?}");
        assert_eq!(bucket.events()[0].outcome, Outcome::Refused(refused));

        let bucket = first(Fault::Lose(refused));
        let error = block_on(create(&bucket.store(), "log/1", "a")).unwrap_err();
        assert!(told(&error), "{refused:?}: {error:?}");
        assert_eq!(bucket.object("log/1").unwrap(), "a", "{refused:?}");
        assert_eq!(bucket.events()[0].outcome, Outcome::Lost(refused));
    }
}

#[test]
fn conditions_hold() {
    block_on(async {
        let bucket = Bucket::new(1);
        let store = bucket.store();
        let first = create(&store, "a", "one").await.unwrap();
        let error = create(&store, "a", "two").await.unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }));
        let update = |version: PutResult, text: &'static str| {
            let version = UpdateVersion { e_tag: version.e_tag, version: None };
            let store = &store;
            async move {
                let mode = PutMode::Update(version);
                store.put_opts(&path("a"), text.into(), mode.into()).await
            }
        };
        let second = update(first.clone(), "two").await.unwrap();
        assert!(matches!(update(first.clone(), "no").await, Err(Error::Precondition { .. })));
        // A, B, A: whoever saw the first A cannot tell.
        let third = update(second, "one").await.unwrap();
        assert_eq!(third.e_tag, first.e_tag);
        assert_eq!(third.e_tag.unwrap(), "\"f97c5d29941bfb1b2fdab0874906ab82\"");
        update(first.clone(), "three").await.unwrap();

        let unless = GetOptions { if_none_match: first.e_tag.clone(), ..GetOptions::default() };
        store.get_opts(&path("a"), unless.clone()).await.unwrap();
        bucket.insert("a", "one");
        let got = store.get_opts(&path("a"), unless).await;
        assert!(matches!(got, Err(Error::NotModified { .. })));
        let only = GetOptions { if_match: Some("\"no\"".into()), ..GetOptions::default() };
        let got = store.get_opts(&path("a"), only).await;
        assert!(matches!(got, Err(Error::Precondition { .. })));
        bucket.remove("a");
        assert!(matches!(update(first, "no").await, Err(Error::Precondition { .. })));
        assert!(matches!(store.get(&path("a")).await, Err(Error::NotFound { .. })));
    });
}

#[test]
fn the_third_of_a_prefix_loses_its_answer() {
    let bucket = Bucket::new(1);
    let lost = Rule::new(Fault::Lose(Refusal::Dropped)).on(Kind::Create).below("log/").nth(3);
    bucket.plan(Plan::new().with(lost));
    let store = bucket.store();
    for (key, heard) in
        [("log/1", true), ("tip/1", true), ("log/2", true), ("log/3", false), ("log/4", true)]
    {
        assert_eq!(block_on(create(&store, key, "a")).is_ok(), heard, "{key}");
    }
    assert_eq!(bucket.contents().len(), 5);
}

#[test]
fn a_client_that_tries_again_is_told_that_its_own_object_exists() {
    for told in [Refusal::Dropped, Refusal::InternalError, Refusal::SlowDown] {
        let bucket = first(Fault::Lose(told));
        let error = block_on(create(&bucket.store().retries(10), "log/1", "mine")).unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
        assert_eq!(bucket.object("log/1").unwrap(), "mine");
        assert_eq!(bucket.requests().of(Kind::Create).requests, 2);
    }
    // It does not try again after a timeout, which might do harm.
    let bucket = first(Fault::Lose(Refusal::TimedOut));
    let error = block_on(create(&bucket.store().retries(10), "log/1", "mine")).unwrap_err();
    assert_eq!(refusal(&error), Refusal::TimedOut);
    assert_eq!(bucket.requests().of(Kind::Create).requests, 1);
    assert!(bucket.elapsed() >= Duration::from_secs(30), "{:?}", bucket.elapsed());
    // And gives up in the end.
    let bucket = Bucket::new(1);
    bucket.plan(Plan::new().with(Rule::new(Fault::Refuse(Refusal::SlowDown))));
    let error = block_on(create(&bucket.store().retries(3), "log/1", "mine")).unwrap_err();
    assert_eq!(refusal(&error), Refusal::SlowDown);
    assert_eq!(bucket.requests().total().requests, 4);
}

#[test]
fn a_delayed_write_lands_later_or_is_refused() {
    block_on(async {
        let bucket = first(Fault::Delay(Landing::After(2)));
        let store = bucket.store();
        let error = create(&store, "log/1", "late").await.unwrap_err();
        assert_eq!(refusal(&error), Refusal::TimedOut);
        assert!(matches!(store.head(&path("log/1")).await, Err(Error::NotFound { .. })));
        assert_eq!(bucket.delayed(), 1);
        store.head(&path("log/1")).await.unwrap();
        assert_eq!((bucket.object("log/1").unwrap(), bucket.delayed()), ("late".into(), 0));
        let landed = bucket.events().iter().any(|it| it.outcome == Outcome::Landed);
        assert!(landed, "{}", bucket.explain());

        // Somebody was faster.
        let bucket = first(Fault::Delay(Landing::ByHand));
        let store = bucket.store();
        create(&store, "log/1", "late").await.unwrap_err();
        create(&store, "log/1", "fast").await.unwrap();
        bucket.land();
        assert_eq!(bucket.object("log/1").unwrap(), "fast");
        let refused = Outcome::LandedRefused(Refusal::PreconditionFailed);
        assert_eq!(bucket.events().last().unwrap().outcome, refused);

        // A write without a condition lands on top of what came after it.
        let bucket = Bucket::new(1);
        let rule = Rule::new(Fault::Delay(Landing::ByHand)).on(Kind::Put).nth(1);
        bucket.plan(Plan::new().with(rule));
        let store = bucket.store();
        store.put(&path("tip"), "old".into()).await.unwrap_err();
        store.put(&path("tip"), "new".into()).await.unwrap();
        bucket.land();
        assert_eq!(bucket.object("tip").unwrap(), "old");

        // A deletion too takes away what was made since.
        let rule = Rule::new(Fault::Delay(Landing::ByHand)).on(Kind::Delete).nth(1);
        bucket.plan(Plan::new().with(rule));
        store.delete(&path("tip")).await.unwrap_err();
        store.put(&path("tip"), "new".into()).await.unwrap();
        bucket.land();
        assert_eq!(bucket.object("tip"), None);

        let bucket = first(Fault::Delay(Landing::Never));
        create(&bucket.store(), "log/1", "lost").await.unwrap_err();
        bucket.land();
        assert_eq!(bucket.object("log/1"), None);
    });
}

#[test]
fn a_write_that_was_given_up_may_land() {
    let (mut landed, mut applied, mut never) = (0, 0, 0);
    for seed in 0..200 {
        let bucket = Bucket::new(seed);
        let store = bucket.store();
        block_on(async {
            let place = path("a");
            let mut put = Box::pin(store.put(&place, "text".into()));
            for _ in 0..1 + seed % 2 {
                assert!(poll_once(&mut put).await.is_none());
            }
        });
        applied += i32::from(bucket.object("a").is_some());
        let before = bucket.object("a").is_some();
        bucket.land();
        match (before, bucket.object("a").is_some()) {
            (false, true) => landed += 1,
            (false, false) => never += 1,
            _ => {}
        }
    }
    assert!(landed > 20 && applied > 20 && never > 20, "{landed} {applied} {never}");
}

#[test]
fn listings_have_no_order_and_short_pages() {
    block_on(async {
        let bucket = Bucket::with(Settings::strict(5).pages(10, true));
        for number in 0..100 {
            bucket.insert(&format!("log/{number:03}"), "a");
            bucket.insert(&format!("tip/{number:03}"), "a");
        }
        let before = bucket.requests();
        let store = bucket.store();
        let keys: Vec<String> = {
            let listed = store.list(Some(&path("log")));
            listed.map(|it| it.unwrap().location.to_string()).collect().await
        };
        let mut sorted = keys.clone();
        sorted.sort();
        assert_ne!(keys, sorted);
        sorted.dedup();
        assert_eq!(sorted.len(), 100);
        let asked = bucket.requests().since(&before).of(Kind::List);
        assert!(asked.requests > 10 && asked.keys == 100, "{asked:?}");

        let after = store.list_with_offset(Some(&path("log")), &path("log/089"));
        let keys: Vec<String> = after.map(|it| it.unwrap().location.to_string()).collect().await;
        let mut sorted = keys.clone();
        sorted.sort();
        assert_eq!((sorted.len(), sorted[0].as_str()), (10, "log/090"));
        assert_ne!(keys, sorted);

        let folders = store.list_with_delimiter(None).await.unwrap();
        assert_eq!(folders.common_prefixes, [path("log"), path("tip")]);
        assert!(folders.objects.is_empty());

        // One page that fails ends the listing.
        let rule = Rule::new(Fault::Refuse(Refusal::SlowDown)).on(Kind::List).nth(2);
        bucket.plan(Plan::new().with(rule));
        let items: Vec<_> = store.list(None).collect().await;
        let (last, others) = items.split_last().unwrap();
        assert!(last.is_err() && others.len() <= 10 && others.iter().all(Result::is_ok));

        let bucket = Bucket::with(Settings::plain(5).order(Order::ByFolder));
        for key in ["a-b", "a/1", "a/2", "b"] {
            bucket.insert(key, "x");
        }
        assert_eq!(listed(&bucket.store()).await, ["a/1", "a/2", "a-b", "b"]);
        let bucket = Bucket::with(Settings::plain(5));
        for key in ["a/1", "a-b"] {
            bucket.insert(key, "x");
        }
        assert_eq!(listed(&bucket.store()).await, ["a-b", "a/1"]);
    });
}

#[test]
fn listings_lag_only_where_they_are_told_to() {
    block_on(async {
        let bucket = Bucket::with(Settings::strict(6).lag(10));
        let store = bucket.store();
        for number in 0..50 {
            create(&store, &format!("log/{number:03}"), "a").await.unwrap();
        }
        let mut missing = 0;
        for _ in 0..20 {
            let keys = listed(&store).await;
            assert!((0..40).all(|it| keys.contains(&format!("log/{it:03}"))), "those are old");
            missing += 50 - keys.len();
        }
        assert!((50..150).contains(&missing), "{missing} of 200");
        // Deletions lag too, reads never do.
        store.delete(&path("log/049")).await.unwrap();
        let mut ghosts = 0;
        for _ in 0..50 {
            ghosts += usize::from(listed(&store).await.contains(&"log/049".to_owned()));
            assert!(matches!(store.get(&path("log/049")).await, Err(Error::NotFound { .. })));
        }
        assert!((10..40).contains(&ghosts), "{ghosts}");

        let bucket = Bucket::new(6);
        let store = bucket.store();
        create(&store, "a", "a").await.unwrap();
        bucket.freeze_listings();
        create(&store, "b", "b").await.unwrap();
        store.delete(&path("a")).await.unwrap();
        assert_eq!(listed(&store).await, ["a"]);
        bucket.thaw_listings();
        assert_eq!(listed(&store).await, ["b"]);
    });
}

#[test]
fn bodies_break_off_and_answers_are_slow() {
    block_on(async {
        let bucket = Bucket::new(1);
        bucket.insert("a", "0123456789");
        let store = bucket.store();
        bucket.plan(Plan::new().with(Rule::new(Fault::Cut(4)).on(Kind::Get).nth(1)));
        let got = store.get(&path("a")).await.unwrap();
        assert_eq!(got.meta.size, 10);
        let mut body = got.into_stream();
        assert_eq!(body.next().await.unwrap().unwrap(), "0123");
        body.next().await.unwrap().unwrap_err();
        assert_eq!(store.get(&path("a")).await.unwrap().bytes().await.unwrap(), "0123456789");

        bucket.plan(Plan::new().with(Rule::new(Fault::Slow(Duration::from_secs(60))).nth(2)));
        let before = bucket.elapsed();
        store.head(&path("a")).await.unwrap();
        let quick = bucket.elapsed() - before;
        store.head(&path("a")).await.unwrap();
        let slow = bucket.elapsed() - before - quick;
        assert!(quick <= Duration::from_millis(100) && slow >= Duration::from_secs(60));
    });
}

#[test]
fn ranges_are_those_of_http() {
    block_on(async {
        let bucket = Bucket::new(1);
        bucket.insert("a", "0123456789");
        bucket.insert("empty", "");
        let store = bucket.store();
        assert_eq!(store.get_range(&path("a"), 2..5).await.unwrap(), "234");
        assert_eq!(store.get_range(&path("a"), 8..50).await.unwrap(), "89");
        for (key, range) in [("a", 10..20), ("empty", 0..1)] {
            let error = store.get_range(&path(key), range).await.unwrap_err();
            assert_eq!(refusal(&error), Refusal::InvalidRange);
        }
        let options = GetOptions { range: Some(GetRange::Suffix(3)), ..GetOptions::default() };
        let got = store.get_opts(&path("a"), options).await.unwrap();
        assert_eq!((got.range.clone(), got.meta.size), (7..10, 10));
        assert_eq!(got.bytes().await.unwrap(), "789");
        let asked = bucket.requests().of(Kind::Get);
        assert_eq!((asked.requests, asked.received), (5, 8));
    });
}

#[test]
fn requests_are_counted() {
    block_on(async {
        let bucket = Bucket::with(Settings::plain(1));
        let store = bucket.store();
        create(&store, "a", "12345").await.unwrap();
        create(&store, "a", "123").await.unwrap_err();
        store.get(&path("a")).await.unwrap();
        let before = bucket.requests();
        store.get(&path("a")).await.unwrap();
        store.head(&path("a")).await.unwrap();
        listed(&store).await;
        store.copy(&path("a"), &path("b")).await.unwrap();
        let paths = ["a", "b", "c"].map(|key| Ok(path(key)));
        let gone = store.delete_stream(futures_lite::stream::iter(paths).boxed());
        assert_eq!(gone.count().await, 3);
        let created = bucket.requests().of(Kind::Create);
        assert_eq!((created.requests, created.sent), (2, 8));
        let asked = bucket.requests().since(&before);
        assert_eq!(asked.of(Kind::Create), Count::default());
        assert_eq!((asked.of(Kind::Get).requests, asked.of(Kind::Get).received), (1, 5));
        assert_eq!((asked.of(Kind::Head).requests, asked.of(Kind::Head).received), (1, 0));
        assert_eq!((asked.of(Kind::List).requests, asked.of(Kind::List).keys), (1, 1));
        assert_eq!((asked.of(Kind::Delete).requests, asked.of(Kind::Delete).keys), (1, 3));
        assert_eq!(asked.total().requests, 5);
    });
}

#[test]
fn chance_is_as_likely_as_it_says() {
    let bucket = Bucket::new(11);
    let slow = Rule::new(Fault::Refuse(Refusal::SlowDown)).chance(0.2);
    let twice = Rule::new(Fault::Refuse(Refusal::AccessDenied)).on(Kind::Get).times(2);
    bucket.plan(Plan::new().with(twice).with(slow));
    let store = bucket.store();
    let mut failed = 0;
    for _ in 0..2_000 {
        failed += i32::from(
            block_on(store.head(&path("a")))
                .is_err_and(|error| matches!(error, Error::Generic { .. })),
        );
    }
    assert!((320..480).contains(&failed), "{failed}");
    for denied in [true, true, false] {
        let error = block_on(store.get(&path("a"))).unwrap_err();
        assert_eq!(matches!(error, Error::PermissionDenied { .. }), denied, "{error}");
    }
}
