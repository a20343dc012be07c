//! Many writers at once over a bucket that fails: nothing acknowledged is lost, nothing is there
//! twice, and heads never go back.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use std::sync::Arc;

use backend_s3::{S3Options, S3Store};
use common::{all, changesets, identity, on_one_thread, push};
use futures_lite::future::block_on;
use object_store::ObjectStore;
use prophet_bucket::{Bucket, Plan, Settings, fresh_seed};
use prophet_store::{
    Changeset, Head, LogScan, PageLimit, ReplicaStore, ReplicaStoreExt as _, StoreError,
};

const WRITERS: u8 = 16;

/// How many seeds there are: `PROPHET_SEEDS`, or a few; and commits by each writer:
/// `PROPHET_COMMITS`, or as many as are a thousand together.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// The first of them: `PROPHET_SEED`, or another one each time.
fn first() -> u64 {
    let seed = || fresh_seed().unwrap() % 1_000_000_000;
    std::env::var("PROPHET_SEED").map_or_else(|_| seed(), |seed| seed.parse().unwrap())
}

fn seeds() -> u64 {
    number("PROPHET_SEEDS", 3)
}

async fn opened<T>(mut open: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    for _ in 0..200 {
        match open().await {
            Ok(opened) => return opened,
            Err(StoreError::Io { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("it never opened")
}

/// All that a store has of the log and of the notes about it, in order.
async fn everything(store: &S3Store) -> (Vec<prophet_store::LogEntry>, Vec<String>) {
    let mut entries = Vec::new();
    let mut scan = LogScan { limit: PageLimit::items(200), ..LogScan::default() };
    loop {
        let page = store.scan_log(&scan).await.unwrap();
        entries.extend(page.items);
        scan.after = page.more;
        if scan.after.is_none() {
            break;
        }
    }
    let mut notes = Vec::new();
    let mut scan = prophet_store::MetadataScan { prefix: "made/".into(), ..Default::default() };
    loop {
        let page = store.scan_metadata(&scan).await.unwrap();
        notes.extend(page.items.into_iter().map(|(key, _)| key.as_str().to_owned()));
        scan.after = page.more;
        if scan.after.is_none() {
            return (entries, notes);
        }
    }
}

async fn write(
    store: Arc<dyn ObjectStore>,
    options: S3Options,
    author: u8,
    made: &[Changeset],
) -> Vec<Head> {
    let open = async || options.open_in(Arc::clone(&store), "race").await;
    let handle = opened(open).await;
    let (mut heads, mut attempts) = (Vec::<Head>::new(), 0);
    for changeset in made {
        let head = push(&handle, changeset, author, &mut attempts).await;
        assert!(heads.last().is_none_or(|last| last.version < head.version), "heads go back");
        heads.push(head);
    }
    heads
}

fn race(seed: u64, made: &[Vec<Changeset>], fault: f64) {
    // Each third seed's listings are behind.
    let settings = Settings::strict(seed).lag(if seed % 3 == 2 { 5 } else { 0 });
    let bucket = Bucket::with(settings);
    let options = on_one_thread(seed).checkpoint_every(8 + (seed % 40) as usize).retries(4);
    let store: Arc<dyn ObjectStore> = Arc::new(bucket.store());
    let created = block_on(options.create_in(Arc::clone(&store), "race", identity(99)));
    drop(created.unwrap());
    bucket.plan(Plan::rough(fault));
    let heads = all((1..)
        .zip(made)
        .map(|(author, made)| write(Arc::new(bucket.store()), options.clone(), author, made)));
    bucket.plan(Plan::new());
    bucket.land();

    let mut versions: Vec<_> = heads.iter().flatten().map(|head| head.version.get()).collect();
    versions.sort_unstable();
    let total = made.iter().map(Vec::len).sum::<usize>() as u64;
    assert_eq!(versions, (1..=total).collect::<Vec<_>>(), "the versions acknowledged");
    block_on(async {
        let handle = options.open_in(store, "race").await.unwrap();
        assert_eq!(handle.head().await.unwrap().version.get(), total);
        let (entries, notes) = everything(&handle).await;
        assert_eq!(entries.len() as u64, total);
        assert_eq!(notes.len() as u64, total);
        for (heads, made) in heads.iter().zip(made) {
            for (head, changeset) in heads.iter().zip(made) {
                let there = &entries[head.position.get() as usize - 1];
                assert_eq!(there.changeset.digest(), changeset.digest(), "at {head}");
            }
        }
        let found = handle.verify().await.unwrap();
        assert!(found.is_sound(), "{:?}", found.problems);
        let found = handle.audit().await.unwrap();
        // The engine notes what it has seen in the metadata; here no engine is at work.
        let problems = found.problems.iter().filter(|it| !it.contains("version vector"));
        assert_eq!(problems.collect::<Vec<_>>(), [""; 0]);
    });
}

#[test]
fn sixteen_writers_and_a_thousand_commits_lose_nothing() {
    let each = usize::try_from(number("PROPHET_COMMITS", 63)).unwrap();
    let made: Vec<_> = (1..=WRITERS).map(|author| changesets(author, each)).collect();
    let first = first();
    for seed in first..first + seeds() {
        println!("PROPHET_SEED={seed}");
        let fault = [0.0, 0.002, 0.01, 0.03][(seed % 4) as usize];
        race(seed, &made, fault);
    }
}

#[test]
fn a_few_writers_on_a_very_rough_bucket_lose_nothing() {
    let made: Vec<_> = (1..=4).map(|author| changesets(author, 12)).collect();
    let first = first();
    for seed in first..first + seeds() * 4 {
        println!("PROPHET_SEED={seed}");
        race(seed, &made, 0.06);
    }
}
