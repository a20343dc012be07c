//! The same seed does the same again; and writers that race, in process.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::time::Duration;

use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutResult};
use prophet_bucket::*;

async fn create(store: &BucketStore, key: &str, text: String) -> Result<PutResult, Error> {
    let path = Path::parse(key).unwrap();
    store.put_opts(&path, text.into(), PutMode::Create.into()).await
}

/// All of them at once, on one thread. What they come to.
fn together<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(|one| (Box::pin(one), None)).collect();
    block_on(std::future::poll_fn(|context| {
        let mut open = false;
        for (one, done) in &mut all {
            if done.is_none() {
                match one.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *done = Some(value),
                    std::task::Poll::Pending => open = true,
                }
            }
        }
        if open { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    }));
    all.into_iter().map(|(_, done)| done.unwrap()).collect()
}

/// Writers that each put ten commits on top of what they see, however often they must try.
fn history(seed: u64) -> (Vec<Event>, Duration, Vec<String>) {
    let bucket = Bucket::new(seed);
    bucket.plan(Plan::rough(0.03));
    let writer = |name: usize| {
        let store = bucket.store();
        async move {
            let mut heard = Vec::new();
            for number in 0..10 {
                let key = format!("log/{number:03}");
                heard.push(format!("{:?}", create(&store, &key, format!("{name}")).await));
                let listed: Vec<_> = store.list(None).collect().await;
                heard.push(format!("{listed:?}"));
            }
            heard
        }
    };
    let heard = together((0..4).map(writer).collect());
    (bucket.events(), bucket.elapsed(), heard.concat())
}

#[test]
fn the_same_seed_does_the_same_again() {
    let mut different = 0;
    for seed in 0..50 {
        let (once, again) = (history(seed), history(seed));
        assert_eq!(once, again, "seed {seed}");
        different += i32::from(once.0 != history(seed + 1).0);
    }
    assert_eq!(different, 50);
}

#[test]
fn the_seed_is_told_when_a_test_fails() {
    let bucket = Bucket::new(4_711);
    block_on(create(&bucket.store(), "log/1", "a".into())).unwrap();
    let told = bucket.explain();
    assert!(told.contains("4711") && told.contains("1 Create log/1: Done"), "{told}");
}

/// How many of so many writers of one key are told that they won, and whose object is there.
fn race(bucket: &Bucket, round: usize, writers: usize) -> (Vec<usize>, String) {
    let key = format!("log/{round:03}");
    let stores: Vec<_> = (0..writers).map(|_| bucket.store()).collect();
    let all = stores.iter().enumerate();
    let all = all.map(|(number, store)| create(store, &key, number.to_string())).collect();
    let heard = together(all);
    let won = heard.iter().enumerate().filter(|(_, heard)| heard.is_ok());
    let bytes = bucket.object(&key).unwrap();
    (won.map(|(number, _)| number).collect(), String::from_utf8(bytes.to_vec()).unwrap())
}

#[test]
fn one_racer_wins_and_it_is_not_always_the_first() {
    let bucket = Bucket::new(1);
    let mut winners = std::collections::BTreeSet::new();
    for round in 0..200 {
        let (won, there) = race(&bucket, round, 16);
        assert_eq!(won.len(), 1);
        assert_eq!(won.first().unwrap().to_string(), there);
        winners.extend(won);
    }
    assert!(winners.len() > 10, "{winners:?}");
}

#[test]
fn ignored_conditions_let_everybody_win() {
    let bucket = Bucket::with(Settings::strict(1).conditions(Conditions::Ignored));
    for text in ["one", "two"] {
        block_on(create(&bucket.store(), "a", text.into())).unwrap();
        assert_eq!(bucket.object("a").unwrap(), text);
    }
    assert_eq!(race(&bucket, 1, 16).0.len(), 16);

    bucket.conditions(Conditions::NotImplemented);
    let error = block_on(create(&bucket.store(), "b", "one".into())).unwrap_err();
    assert!(matches!(error, Error::Generic { .. }), "{error:?}");
    let path = Path::parse("b").unwrap();
    block_on(bucket.store().put(&path, "without a condition".into())).unwrap();
}

#[test]
fn conditions_lost_in_races_hold_in_sequence() {
    let conditions = Conditions::LostInRaces(Duration::from_millis(20));
    let bucket = Bucket::with(Settings::strict(1).conditions(conditions));
    let mut bad = 0;
    for round in 0..200 {
        let (won, _) = race(&bucket, round, 16);
        bad += i32::from(won.len() > 1);
        let key = format!("log/{round:03}");
        let error = block_on(create(&bucket.store(), &key, "late".into())).unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "in sequence they hold");
    }
    assert!(bad > 150, "{bad} of 200 rounds");
}

#[test]
fn threads_race_in_real_time() {
    let settings = Settings::strict(1).time(Time::Real);
    let settings = settings.latency(Duration::ZERO, Duration::from_millis(2));
    let bucket = Bucket::with(settings);
    for (conditions, all) in
        [(Conditions::Kept, false), (Conditions::LostInRaces(Duration::from_millis(50)), true)]
    {
        bucket.conditions(conditions);
        let mut bad = 0;
        for round in 0..10 {
            let key = format!("{all}/{round}");
            let start = std::sync::Barrier::new(4);
            let won = std::thread::scope(|scope| {
                let racers: Vec<_> = (0..4)
                    .map(|_| {
                        let (store, key, start) = (bucket.store(), &key, &start);
                        scope.spawn(move || {
                            start.wait();
                            block_on(create(&store, key, "a".into())).is_ok()
                        })
                    })
                    .collect();
                racers.into_iter().map(|it| it.join().unwrap()).filter(|won| *won).count()
            });
            assert!(won >= 1);
            bad += i32::from(won > 1);
        }
        assert_eq!(bad > 5, all, "{bad} of 10 rounds");
    }
}

#[test]
fn whoever_is_not_polled_holds_nobody_up() {
    let bucket = Bucket::new(3);
    let store = bucket.store();
    block_on(async {
        // It waits to be served, and is then left alone.
        let path = Path::parse("a").unwrap();
        let mut left = Box::pin(store.get(&path));
        assert!(futures_lite::future::poll_once(&mut left).await.is_none());
        for number in 0..20 {
            create(&store, &format!("log/{number}"), "a".into()).await.unwrap();
        }
        assert!(matches!(left.await, Err(Error::NotFound { .. })));
    });
}

/// Puts a token under the next free number. Whoever is careful looks at what is there after every
/// error; the other believes that what exists is somebody else's.
async fn commit(store: &BucketStore, token: &str, careful: bool) {
    let mut number = 1;
    loop {
        let key = format!("log/{number:03}");
        let error = match create(store, &key, token.to_owned()).await {
            Ok(_) => return,
            Err(error) => error,
        };
        if !careful {
            number += i32::from(matches!(error, Error::AlreadyExists { .. }));
            continue;
        }
        let path = Path::parse(&key).unwrap();
        let there = loop {
            match store.get(&path).await {
                Ok(got) => match got.bytes().await {
                    Ok(bytes) => break Some(bytes),
                    Err(_) => continue,
                },
                Err(Error::NotFound { .. }) => break None,
                Err(_) => continue,
            }
        };
        match there {
            Some(bytes) if bytes == token => return,
            Some(_) => number += 1,
            // It may still land: nothing else is tried before this number is taken.
            None => {}
        }
    }
}

#[test]
fn a_writer_that_believes_what_it_hears_commits_twice_and_leaves_gaps() {
    let wrong = |seed, careful| {
        let bucket = Bucket::new(seed);
        bucket.plan(Plan::rough(0.03));
        let stores: Vec<_> = (0..4).map(|_| bucket.store()).collect();
        let writers = stores.iter().enumerate().map(|(writer, store)| async move {
            for number in 0..5 {
                commit(store, &format!("{writer}-{number}"), careful).await;
            }
        });
        together(writers.collect());
        bucket.land();
        let log = bucket.contents();
        // A 409, after which nothing is there, leaves a gap.
        let gaps = !log
            .keys()
            .eq(&(1..=log.len()).map(|number| format!("log/{number:03}")).collect::<Vec<_>>());
        let tokens: std::collections::BTreeSet<_> = log.values().collect();
        (log.len() != tokens.len(), gaps, tokens.len())
    };
    let believing: Vec<_> = (0..200).map(|seed| wrong(seed, false)).collect();
    let twice = believing.iter().filter(|it| it.0).count();
    let gaps = believing.iter().filter(|it| it.1).count();
    assert!(twice > 150 && gaps > 0, "{twice} and {gaps} of 200");
    for seed in 0..200 {
        assert_eq!(wrong(seed, true), (false, false, 20), "seed {seed}");
    }
}
