//! How many requests everything takes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod common;

use std::sync::Arc;

use backend_s3::{S3Options, S3Store};
use common::{all, changesets, commit_id, commit_of, commit_of_all, identity, on_one_thread};
use futures_lite::future::block_on;
use object_store::ObjectStore;
use prophet_bucket::{Bucket, Kind, Requests, Settings};
use prophet_store::{
    Changeset, Commit, Direction, Head, HistoryScan, LogScan, MetadataScan, PageLimit, Position,
    Properties, PullOptions, RecordScan, Replica, ReplicaStore,
};

struct Fixture {
    bucket: Bucket,
    store: Arc<dyn ObjectStore>,
    options: S3Options,
}

impl Fixture {
    fn new() -> Self {
        let bucket = Bucket::with(Settings::plain(1));
        let store: Arc<dyn ObjectStore> = Arc::new(bucket.store());
        Self { bucket, store, options: on_one_thread(1) }
    }

    async fn create(&self) -> S3Store {
        self.options.create_in(Arc::clone(&self.store), "bugs", identity(9)).await.unwrap()
    }

    async fn open(&self) -> S3Store {
        self.options.open_in(Arc::clone(&self.store), "bugs").await.unwrap()
    }

    /// What was asked for by this.
    async fn counted<T>(&self, work: impl Future<Output = T>) -> (T, Requests) {
        let before = self.bucket.requests();
        let came = work.await;
        (came, self.bucket.requests().since(&before))
    }
}

async fn commit(store: &S3Store, changeset: &Changeset, base: Head) -> Commit {
    let commit = commit_of(changeset, base, commit_id(1, base.version.get()));
    assert_eq!(store.commit(&commit).await.unwrap(), commit.head());
    commit
}

#[test]
fn a_commit_is_one_put_a_head_one_get_and_a_warm_read_nothing() {
    let fixture = Fixture::new();
    block_on(async {
        let (store, made) = (fixture.create().await, changesets(1, 20));
        let mut head = Head::EMPTY;
        for changeset in &made {
            let (commit, asked) = fixture.counted(commit(&store, changeset, head)).await;
            head = commit.head();
            assert_eq!(
                (asked.of(Kind::Create).requests, asked.total().requests),
                (1, 1),
                "{asked}"
            );
            let (there, asked) = fixture.counted(store.head()).await;
            assert_eq!(there.unwrap(), head);
            assert_eq!((asked.of(Kind::Get).requests, asked.total().requests), (1, 1), "{asked}");
            let key = commit.records().keys().next().unwrap().clone();
            let (_, asked) = fixture
                .counted(async {
                    assert!(store.get_records(&[key]).await.unwrap().value[0].is_some());
                    store.scan_log(&LogScan::default()).await.unwrap();
                    store.scan_records(&RecordScan::default()).await.unwrap();
                    store.scan_metadata(&MetadataScan::default()).await.unwrap();
                    store.find_changesets(&[changeset.digest()]).await.unwrap();
                })
                .await;
            assert_eq!(asked.total().requests, 0, "{asked}");
        }
    });
}

/// `PROPHET_COMMITS` says how many; some hundreds otherwise.
#[test]
fn checkpoints_cost_little_and_spare_much() {
    let count = std::env::var("PROPHET_COMMITS").ok().and_then(|text| text.parse().ok());
    let commits: usize = count.unwrap_or(1_500);
    let fixture = Fixture::new();
    block_on(async {
        let (store, made) = (fixture.create().await, changesets(1, commits));
        let (mut head, mut records) = (Head::EMPTY, Vec::new());
        let before = fixture.bucket.requests();
        for changeset in &made {
            let commit = commit(&store, changeset, head).await;
            head = commit.head();
            records.extend(commit.records().keys().cloned());
        }
        let asked = fixture.bucket.requests().since(&before);
        println!("{commits} commits:\n{asked}");
        let (creates, puts) = (asked.of(Kind::Create), asked.of(Kind::Put));
        let updates = asked.of(Kind::Update);
        assert_eq!(creates.requests as usize, commits, "each commit is one conditional PUT");
        let looked = asked.of(Kind::Get).requests + asked.of(Kind::List).requests;
        println!("{looked} GETs and LISTs");
        assert!(looked as usize <= 8 + commits / 512, "whoever is alone need not look for a root");
        let more = (puts.requests + updates.requests) as f64 / commits as f64;
        let bytes = (puts.sent + updates.sent) as f64 / creates.sent as f64;
        println!("a commit: {more:.3} PUT more, {bytes:.2} times its bytes more");
        assert!(more < 0.1, "{more} PUT a commit");
        assert!(bytes < 2.0, "{bytes} times the bytes of commits");

        // Opening: two requests, two for up to 64 commits of the tail, and one for each 64 more.
        let root = fixture.bucket.object("bugs/manifest.json").unwrap();
        let root = String::from_utf8(root.to_vec()).unwrap();
        let (_, derived) = root.split_once("\"version\":").unwrap();
        let derived: usize = derived.split(',').next().unwrap().parse().unwrap();
        let tail = commits - derived;
        let (cold, asked) = fixture.counted(fixture.open()).await;
        println!("opening with {tail} commits in the tail:\n{asked}");
        assert!(asked.total().requests as usize <= 3 + tail.div_ceil(64), "{asked}");
        let most = root.len() + 32_000 * (1 + tail.div_ceil(64));
        assert!(asked.total().received < most as u64, "{asked}");
        assert_eq!(cold.head().await.unwrap(), head);

        // Cold point reads, each by a handle of its own: the ends of all tables that the root does not have,
        // and a block. Of 2,000 look-ups in a table that does not have the key, one reads a block of it in
        // vain.
        let usual = 2;
        let (mut most, mut more, mut reads) = (0, 0, 0);
        let mut count = |asked: &Requests| {
            let requests = asked.total().requests;
            (most, reads) = (requests.max(most), reads + 1);
            more += u64::from(requests > usual);
        };
        let opened = async || {
            let store = fixture.open().await;
            store.head().await.unwrap();
            store
        };
        for at in (0..commits - tail).step_by(40.max(commits / 200)) {
            let cold = opened().await;
            let key = records[at].clone();
            let (read, asked) = fixture.counted(cold.get_records(std::slice::from_ref(&key))).await;
            assert!(read.unwrap().value[0].is_some());
            count(&asked);
            let (read, asked) = fixture.counted(cold.get_records(&[key])).await;
            assert!(read.unwrap().value[0].is_some());
            assert_eq!(asked.total().requests, 0, "the same again: {asked}");

            let cold = opened().await;
            let digest = made[at].digest();
            let (found, asked) = fixture.counted(cold.find_changesets(&[digest])).await;
            assert_eq!(found.unwrap().value, [Some(Position::new(at as u64 + 1))]);
            count(&asked);

            let cold = opened().await;
            let after = Some(Position::new(at as u64));
            let scan = LogScan { after, limit: PageLimit::items(1), ..LogScan::default() };
            let (page, asked) = fixture.counted(cold.scan_log(&scan)).await;
            assert_eq!(page.unwrap().items[0].changeset, made[at]);
            assert!(asked.total().requests <= 1, "log entry {at}: {asked}");
        }
        println!(
            "of {reads} cold point reads {more} took more than {usual} requests, none more than {most}"
        );
        assert!(
            most <= usual + 1 && more * 20 <= reads,
            "{more} of {reads} took more than {usual}, up to {most}"
        );

        // What touched a record: as a point read, and an entry of the log.
        let tables = root.matches("\"level\":").count();
        let cold = opened().await;
        let scan = HistoryScan {
            record: records[3].clone(),
            after: None,
            direction: Direction::Forward,
            limit: PageLimit::default(),
        };
        let (page, asked) = fixture.counted(cold.scan_history(&scan)).await;
        assert_eq!(page.unwrap().items.len(), 1);
        println!("a history, of {tables} tables:\n{asked}");
        assert!(asked.total().requests <= usual + 2, "{asked}");
        let cold = opened().await;
        let limit = PageLimit { items: commits, bytes: 1 << 30 };
        let scan = RecordScan { limit, ..RecordScan::default() };
        let (page, asked) = fixture.counted(cold.scan_records(&scan)).await;
        assert_eq!(page.unwrap().items.len(), commits);
        println!("all records:\n{asked}");
        let runs = asked.total().received as usize / 100_000;
        assert!(asked.total().requests as usize <= 2 * tables + runs, "{asked}");

        let objects = fixture.bucket.contents();
        let named = |directory: &str| objects.keys().filter(|key| key.contains(directory)).count();
        let longest = objects.iter().filter(|(key, _)| key.contains("/index/"));
        let longest = longest.map(|(_, bytes)| bytes.len()).max().unwrap_or(0);
        println!("{} tables, {} segments", named("/index/"), named("/log/"));
        println!("the longest table has {longest} bytes with what it brings along");
        let segments = 60 + commits / 2_000;
        assert!(named("/index/") < 50 && named("/log/") < segments, "what is not needed goes");
    });
}

#[test]
fn of_many_writers_about_one_makes_each_checkpoint() {
    let bucket = Bucket::with(Settings::strict(5));
    let options = on_one_thread(5).checkpoint_every(32);
    let store: Arc<dyn ObjectStore> = Arc::new(bucket.store());
    block_on(options.create_in(Arc::clone(&store), "bugs", identity(9))).unwrap();
    let before = bucket.requests();
    let made: Vec<_> = (1..=8).map(|author| changesets(author, 40)).collect();
    all((1..).zip(&made).map(|(author, made)| {
        let (store, options) = (Arc::clone(&store), options.clone());
        async move {
            let handle = options.open_in(store, "bugs").await.unwrap();
            let mut attempts = 0;
            for changeset in made {
                common::push(&handle, changeset, author, &mut attempts).await;
            }
        }
    }));
    let asked = bucket.requests().since(&before);
    println!("{asked}");
    // 320 commits make ten checkpoints.
    assert!(asked.of(Kind::Update).requests <= 20, "{asked}");
    assert!(asked.of(Kind::Update).requests >= 5, "{asked}");
}

#[test]
fn pulling_where_nothing_is_new_is_one_request() {
    let fixture = Fixture::new();
    block_on(async {
        let replica = Replica::open(fixture.create().await).await.unwrap();
        let properties = || Properties::try_from([("title", "It fails")]).unwrap();
        for _ in 0..5 {
            replica.create("bug", properties()).await.unwrap();
        }
        let memory = prophet_store::MemoryStore::new(identity(10));
        let other = Replica::open(memory).await.unwrap();
        other.pull(&replica, PullOptions::default()).await.unwrap();
        let (pulled, asked) = fixture.counted(other.pull(&replica, PullOptions::default())).await;
        pulled.unwrap();
        assert_eq!(asked.total().requests, 1, "{asked}");
    });
}

/// `PROPHET_CHANGESETS` says how many; some thousands otherwise.
#[test]
fn opening_costs_the_same_however_long_the_history_is() {
    let count = std::env::var("PROPHET_CHANGESETS").ok().and_then(|text| text.parse().ok());
    let count: usize = count.unwrap_or(6_000);
    let made = changesets(1, count);
    let fixture = Fixture::new();
    block_on(async {
        let store = fixture.create().await;
        let mut head = Head::EMPTY;
        for changesets in made.chunks(count / 200) {
            let commit = commit_of_all(changesets, head, commit_id(2, head.version.get()));
            head = store.commit(&commit).await.unwrap();
        }
        store.checkpoint().await.unwrap();
        let root = fixture.bucket.object("bugs/manifest.json").unwrap().len();
        let all: usize = fixture.bucket.contents().values().map(|bytes| bytes.len()).sum();
        let (cold, asked) = fixture.counted(fixture.open()).await;
        let received = asked.total().received;
        println!(
            "{count} changesets, {all} bytes in all, {root} of them in the root; opening:\n{asked}"
        );
        assert_eq!(asked.total().requests, 2, "{asked}");
        cold.head().await.unwrap();
        assert!(received < 50_000 + 3 * count as u64 / 10 && received * 20 < all as u64, "{asked}");
        let digest = made[count / 3].digest();
        let (found, asked) = fixture.counted(cold.find_changesets(&[digest])).await;
        assert_eq!(found.unwrap().value, [Some(Position::new(count as u64 / 3 + 1))]);
        println!("a changeset:\n{asked}");
        assert!(asked.total().requests <= 3, "{asked}");
        let after = Some(Position::new(count as u64 / 2));
        let scan = LogScan { after, limit: PageLimit::items(1), ..LogScan::default() };
        let (page, asked) = fixture.counted(cold.scan_log(&scan)).await;
        assert_eq!(page.unwrap().items[0].changeset, made[count / 2]);
        assert_eq!(asked.total().requests, 1, "{asked}");
        assert!(asked.total().received < 400_000, "{asked}");
        assert_eq!(cold.head().await.unwrap(), head);
    });
}

/// The object of a table does not bring along what is much longer than the table is.
#[test]
fn where_the_ends_of_tables_are_far_apart_each_part_is_one_request() {
    let (long, short) = (60_000, 2_500);
    let made = changesets(1, long + 4 * short);
    let fixture = Fixture::new();
    block_on(async {
        let store = fixture.create().await;
        let mut head = Head::EMPTY;
        let (first, rest) = made.split_at(long);
        for changesets in std::iter::once(first).chain(rest.chunks(short)) {
            let commit = commit_of_all(changesets, head, commit_id(2, head.version.get()));
            head = store.commit(&commit).await.unwrap();
            store.checkpoint().await.unwrap();
        }
        let root = fixture.bucket.object("bugs/manifest.json").unwrap();
        let root: serde_json::Value = serde_json::from_slice(&root).unwrap();
        let tables = root["index"]["tables"].as_array().unwrap();
        let sizes = |what: &str| tables.iter().map(|it| it[what].as_u64().unwrap_or(0)).collect();
        let (ends, packed): (Vec<u64>, Vec<u64>) = (sizes("ends"), sizes("pack"));
        println!("ends of {ends:?} bytes, with those of others {packed:?}");
        // All of the short ones are together, and the long one is alone.
        assert_eq!(packed[0], ends[1..4].iter().sum::<u64>());
        for (number, changeset) in made.iter().enumerate().step_by(2_000) {
            let cold = fixture.open().await;
            cold.head().await.unwrap();
            let (found, asked) = fixture.counted(cold.find_changesets(&[changeset.digest()])).await;
            assert_eq!(found.unwrap().value, [Some(Position::new(number as u64 + 1))]);
            let expected = if number < long { 3 } else { 2 };
            assert!(asked.total().requests <= expected, "{number}: {asked}");
        }
        assert!(fixture.open().await.verify().await.unwrap().is_sound());
    });
}

#[test]
fn whoever_goes_on_to_a_new_table_reads_no_others_again() {
    let made = changesets(1, 1_500);
    let fixture = Fixture::new();
    let options = on_one_thread(1).checkpoint_every(4);
    block_on(async {
        let created = options.create_in(Arc::clone(&fixture.store), "bugs", identity(9));
        let store = created.await.unwrap();
        let reader = options.open_in(Arc::clone(&fixture.store), "bugs").await.unwrap();
        let unknown = [changesets(2, 1)[0].digest()];
        let (mut head, mut received) = (Head::EMPTY, Vec::new());
        for (number, changeset) in made.iter().enumerate() {
            head = commit(&store, changeset, head).await.head();
            if number >= 1_000 {
                reader.head().await.unwrap();
                let (found, asked) = fixture.counted(reader.find_changesets(&unknown)).await;
                assert_eq!(found.unwrap().value, [None]);
                received.extend(Some(asked.total().received).filter(|bytes| *bytes > 0));
            }
        }
        println!("{received:?} bytes for the ends of tables");
        // First those of all tables, and then those of each new one, once of one that is long.
        let (all, new) = received.split_first().unwrap();
        assert!(new.len() >= 5, "{received:?}");
        assert!(new.iter().filter(|bytes| *bytes * 10 > *all).count() <= 1, "{received:?}");
    });
}
