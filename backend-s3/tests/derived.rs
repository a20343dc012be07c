//! What is derived may fail to be written, be damaged or be gone: nothing that counts is lost by it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod common;

use std::sync::Arc;

use backend_s3::{S3Options, S3Store};
use common::{changesets, commit_id, commit_of, identity, on_one_thread};
use futures_lite::future::block_on;
use object_store::path::Path;
use object_store::{Attribute, ObjectStore, ObjectStoreExt as _};
use prophet_bucket::{Bucket, Fault, Kind, Plan, Refusal, Rule, Settings};
use prophet_files::{ObjectTree, PublishedSource};
use prophet_store::{
    Changeset, Head, LogEntry, LogScan, MemoryStore, MetadataScan, PageLimit, Properties,
    PullOptions, RecordScan, RecordState, Replica, ReplicaStore, StoreError,
};

type Content = (Head, Vec<LogEntry>, Vec<RecordState>, usize);

/// All that a handle shows, read in small pages.
async fn content(store: &S3Store) -> Result<Content, StoreError> {
    let limit = PageLimit::items(7);
    let (mut entries, mut records, mut notes) = (Vec::new(), Vec::new(), 0);
    let mut scan = LogScan { limit, ..LogScan::default() };
    loop {
        let page = store.scan_log(&scan).await?;
        entries.extend(page.items);
        scan.after = page.more;
        if scan.after.is_none() {
            break;
        }
    }
    let mut scan = RecordScan { limit, ..RecordScan::default() };
    loop {
        let page = store.scan_records(&scan).await?;
        records.extend(page.items);
        scan.after = page.more;
        if scan.after.is_none() {
            break;
        }
    }
    let mut scan = MetadataScan { limit, ..MetadataScan::default() };
    loop {
        let page = store.scan_metadata(&scan).await?;
        notes += page.items.len();
        scan.after = page.more;
        if scan.after.is_none() {
            break;
        }
    }
    Ok((store.head().await?, entries, records, notes))
}

struct Fixture {
    bucket: Bucket,
    store: Arc<dyn ObjectStore>,
    options: S3Options,
}

impl Fixture {
    /// A replica with checkpoints after so many commits each.
    fn new(options: S3Options, made: &[Changeset]) -> (Self, Content) {
        let bucket = Bucket::with(Settings::plain(1));
        let store: Arc<dyn ObjectStore> = Arc::new(bucket.store());
        let fixture = Self { bucket, store, options };
        let before = block_on(async {
            let created =
                fixture.options.create_in(Arc::clone(&fixture.store), "bugs", identity(9));
            let store = created.await.unwrap();
            let mut head = Head::EMPTY;
            for changeset in made {
                let commit = commit_of(changeset, head, commit_id(1, head.version.get()));
                head = store.commit(&commit).await.unwrap();
            }
            content(&store).await.unwrap()
        });
        assert_eq!(before.1.len(), made.len());
        (fixture, before)
    }

    async fn open(&self) -> Result<S3Store, StoreError> {
        self.options.open_in(Arc::clone(&self.store), "bugs").await
    }

    fn keys(&self) -> Vec<String> {
        self.bucket.contents().into_keys().collect()
    }
}

fn is_derived(key: &str) -> bool {
    key.ends_with("manifest.json") || key.contains("/index/") || key.contains("/log/")
}

#[test]
fn a_checkpoint_that_fails_at_any_request_loses_nothing_and_the_next_one_mends_it() {
    let made = changesets(1, 40);
    for lost in [false, true] {
        let fault = match lost {
            false => Fault::Refuse(Refusal::AccessDenied),
            true => Fault::Lose(Refusal::Dropped),
        };
        for nth in 1..=60 {
            // The sixteenth checkpoint merges tables and segments, and takes old ones away.
            let options = on_one_thread(1).checkpoint_every(2).retries(0);
            let (fixture, before) = Fixture::new(options.clone(), &made[..31]);
            let mut head = before.0;
            block_on(async {
                let store = fixture.open().await.unwrap();
                let commit = commit_of(&made[31], head, commit_id(1, head.version.get()));
                let name = format!("bugs/commits/{:020}", commit.head().version.get());
                let events = fixture.bucket.requests().total().requests;
                // Only what comes after the commit itself.
                fixture.bucket.plan(Plan::new().with(Rule::new(fault).nth(nth + 1)));
                head = store.commit(&commit).await.unwrap();
                let struck = fixture.bucket.requests().total().requests - events > nth;
                fixture.bucket.plan(Plan::new());
                assert!(fixture.bucket.object(&name).is_some());
                for changeset in &made[32..] {
                    let commit = commit_of(changeset, head, commit_id(1, head.version.get()));
                    head = store.commit(&commit).await.unwrap();
                }
                let here = content(&store).await.unwrap();
                let cold = fixture.open().await.unwrap();
                assert_eq!(content(&cold).await.unwrap(), here, "request {nth}");
                assert_eq!(here.1.len(), made.len());
                let found = cold.verify().await.unwrap();
                assert!(found.is_sound(), "request {nth}: {:?}", found.problems);
                assert!(struck || nth > 20, "there are fewer than {nth} requests");
            });
        }
    }
}

/// The root is there, and only nobody was told: it counts, and the next one is put in its place at once.
#[test]
fn a_root_whose_answer_is_lost_is_gone_on_from() {
    let made = changesets(1, 12);
    for lost in [Refusal::Dropped, Refusal::TimedOut, Refusal::PreconditionFailed] {
        let options = on_one_thread(1).checkpoint_every(0);
        let (fixture, before) = Fixture::new(options, &made[..1]);
        let mut head = before.0;
        block_on(async {
            let store = fixture.open().await.unwrap();
            for (number, changesets) in made[1..].chunks(3).enumerate() {
                for changeset in changesets {
                    let commit = commit_of(changeset, head, commit_id(1, head.version.get()));
                    head = store.commit(&commit).await.unwrap();
                }
                let on_root = |kind| Rule::new(Fault::Lose(lost)).on(kind).below("bugs/manifest");
                let plan = [Kind::Update, Kind::Create].map(|kind| on_root(kind).times(1));
                if number == 1 {
                    fixture.bucket.plan(plan.into_iter().fold(Plan::new(), Plan::with));
                }
                let before = fixture.bucket.requests();
                assert!(store.checkpoint().await.unwrap(), "{lost:?}, {number}");
                let asked = fixture.bucket.requests().since(&before);
                let roots = asked.of(Kind::Update).requests + asked.of(Kind::Create).requests;
                assert!(roots <= 1 + u64::from(number == 1), "{lost:?}, {number}: {asked}");
                assert_eq!(asked.of(Kind::Get).requests, u64::from(number == 1), "{asked}");
                fixture.bucket.plan(Plan::new());
                let done = fixture.bucket.requests();
                assert!(!store.checkpoint().await.unwrap(), "there is nothing more to do");
                assert_eq!(fixture.bucket.requests().since(&done).total().requests, 0);
            }
            // Who makes none by itself is not behind with any, and who may not write makes none.
            let warnings = [store.warning(), fixture.open().await.unwrap().warning()];
            assert_eq!(warnings, [None, None]);
            let commit = commit_of(&changesets(2, 1)[0], head, commit_id(2, 1));
            store.commit(&commit).await.unwrap();
            let reader = fixture.options.clone().read_only(true);
            let reader = reader.open_in(Arc::clone(&fixture.store), "bugs").await.unwrap();
            let done = fixture.bucket.requests();
            assert!(!reader.checkpoint().await.unwrap());
            assert_eq!(fixture.bucket.requests().since(&done).total().requests, 0);
        });
    }
}

#[test]
fn checkpoints_that_fail_are_told_of_and_tried_ever_less_often() {
    let made = changesets(1, 120);
    let options = on_one_thread(1).checkpoint_every(2).retries(0);
    let (fixture, before) = Fixture::new(options, &made[..1]);
    let mut head = before.0;
    let refused = Rule::new(Fault::Refuse(Refusal::AccessDenied)).on(Kind::Put).below("bugs/");
    fixture.bucket.plan(Plan::new().with(refused));
    block_on(async {
        let store = fixture.open().await.unwrap();
        assert_eq!((store.checkpoint_failure(), store.warning()), (None, None));
        let before = fixture.bucket.requests();
        for changeset in &made[1..50] {
            let commit = commit_of(changeset, head, commit_id(1, head.version.get()));
            head = store.commit(&commit).await.unwrap();
        }
        let asked = fixture.bucket.requests().since(&before);
        // After 2, 4, 8 and 16 commits more, two objects each: not after each of 49.
        assert!((4..=14).contains(&asked.of(Kind::Put).requests), "{asked}");
        let why = store.checkpoint_failure().unwrap();
        assert!(why.contains("denied"), "{why}");
        let warning = fixture.open().await.unwrap().warning().unwrap();
        assert!(warning.contains("the last checkpoint is 50 commits ago"), "{warning}");

        store.checkpoint().await.unwrap_err();

        // Another handle does better, and once this one looks, there is nothing to tell.
        fixture.bucket.plan(Plan::new());
        let options = fixture.options.clone().checkpoint_every(0);
        let other = options.open_in(Arc::clone(&fixture.store), "bugs").await.unwrap();
        assert!(other.checkpoint().await.unwrap());
        for changeset in &made[50..60] {
            let commit = commit_of(changeset, head, commit_id(1, head.version.get()));
            head = other.commit(&commit).await.unwrap();
        }
        assert_eq!(store.head().await.unwrap(), head);
        assert_eq!(store.checkpoint_failure(), None);
        for changeset in &made[60..] {
            let commit = commit_of(changeset, head, commit_id(1, head.version.get()));
            head = store.commit(&commit).await.unwrap();
        }
        assert_eq!((store.checkpoint_failure(), store.warning()), (None, None));
    });
}

#[test]
fn without_what_is_derived_everything_is_found() {
    let (fixture, before) = Fixture::new(on_one_thread(1).checkpoint_every(3), &changesets(1, 80));
    let derived: Vec<_> = fixture.keys().into_iter().filter(|key| is_derived(key)).collect();
    assert!(derived.len() > 6, "{derived:?}");
    block_on(async {
        // Each by itself, under a handle that knows it and for one that does not.
        for key in &derived {
            let warm = fixture.open().await.unwrap();
            fixture.bucket.remove(key);
            assert_eq!(content(&warm).await.unwrap(), before, "{key}, open");
            let cold = fixture.open().await.unwrap();
            assert_eq!(content(&cold).await.unwrap(), before, "{key}");
        }
        let warm = fixture.open().await.unwrap();
        for key in fixture.keys().iter().filter(|key| is_derived(key)) {
            fixture.bucket.remove(key);
        }
        assert_eq!(content(&warm).await.unwrap(), before, "everything, open");
        for key in fixture.keys().iter().filter(|key| is_derived(key)) {
            fixture.bucket.remove(key);
        }
        // Who may only read finds it all the same, and writes nothing.
        let keys = fixture.keys();
        let reader = fixture.options.clone().read_only(true);
        let reader = reader.open_in(Arc::clone(&fixture.store), "bugs").await.unwrap();
        assert_eq!(content(&reader).await.unwrap(), before, "everything, reading only");
        assert_eq!(fixture.keys(), keys);
        let cold = fixture.open().await.unwrap();
        assert_eq!(content(&cold).await.unwrap(), before, "everything");
        assert!(cold.verify().await.unwrap().is_sound());
    });
}

#[test]
fn damaged_bytes_are_an_error_or_do_no_harm() {
    let (fixture, before) = Fixture::new(on_one_thread(1).checkpoint_every(3), &changesets(1, 50));
    let whole = fixture.bucket.contents();
    let mut refused = 0;
    block_on(async {
        for (key, bytes) in &whole {
            let places = [0, 1, 3, 5, bytes.len() / 3, bytes.len() / 2, bytes.len() - 2];
            for at in places {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= 0x20;
                for (key, bytes) in &whole {
                    fixture.bucket.insert(key, bytes.clone());
                }
                fixture.bucket.insert(key, damaged);
                let shown = match fixture.open().await {
                    Ok(store) => content(&store).await,
                    Err(error) => Err(error),
                };
                match shown {
                    Ok(shown) => assert_eq!(shown, before, "{key}, byte {at}"),
                    Err(error) => {
                        refused += 1;
                        let only = key.contains("/commits/") || key.ends_with("prophet.json");
                        assert!(only, "{key}, byte {at}: {error}");
                        let known = matches!(
                            error,
                            StoreError::Corrupt { .. }
                                | StoreError::NotAReplica { .. }
                                | StoreError::NewerFormat { .. }
                        );
                        assert!(known, "{key}, byte {at}: {error}");
                    }
                }
                // A commit that is in what is derived is looked at by whoever verifies.
                if key.contains("/commits/") {
                    let store = match fixture.open().await {
                        Ok(store) => store,
                        Err(_) => continue,
                    };
                    let found = store.verify().await.unwrap();
                    assert!(!found.is_sound(), "{key}, byte {at}");
                }
            }
        }
    });
    assert!(refused > 0, "commits of the tail are damaged too");
}

#[test]
fn a_commit_that_is_gone_is_noticed_or_known_from_a_later_one() {
    let made = changesets(1, 12);
    let (fixture, before) = Fixture::new(on_one_thread(1).checkpoint_every(8), &made);
    block_on(async {
        let name = |version: u64| format!("bugs/commits/{version:020}");
        // The last of the root, and the last one of all: no other object has them.
        let gone = async |version: u64| {
            let bytes = fixture.bucket.object(&name(version)).unwrap();
            fixture.bucket.remove(&name(version));
            let opened = fixture.open().await;
            fixture.bucket.insert(&name(version), bytes);
            opened
        };
        let error = gone(8).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        // The object of the twelfth brings this one along, and verify says that it is not where it was.
        for version in [9, 10, 11] {
            let bytes = fixture.bucket.object(&name(version)).unwrap();
            fixture.bucket.remove(&name(version));
            let store = fixture.open().await.unwrap();
            assert_eq!(content(&store).await.unwrap(), before, "without {version}");
            let found = store.verify().await.unwrap();
            assert!(found.problems[0].contains("the commit is not there"), "{:?}", found.problems);
            fixture.bucket.insert(&name(version), bytes);
        }
        // Without a root it is derived anew, and that stops at no gap either.
        let root = fixture.bucket.object("bugs/manifest.json").unwrap();
        fixture.bucket.remove("bugs/manifest.json");
        let error = gone(8).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        assert_eq!(fixture.bucket.object("bugs/manifest.json"), None);
        fixture.bucket.insert("bugs/manifest.json", root);
        fixture.bucket.remove(&name(3));
        let found = fixture.open().await.unwrap().verify().await.unwrap();
        assert!(!found.is_sound());
    });
}

#[test]
fn a_commit_that_does_not_follow_the_one_before_it_is_damage() {
    let (ours, theirs) = (changesets(1, 4), changesets(2, 4));
    let options = on_one_thread(1).checkpoint_every(0);
    let (fixture, _) = Fixture::new(options.clone(), &ours[..2]);
    let (elsewhere, before) = Fixture::new(options, &[]);
    block_on(async {
        let (store, mut head) = (elsewhere.open().await.unwrap(), before.0);
        for changeset in &theirs {
            let commit = commit_of(changeset, head, commit_id(2, head.version.get()));
            head = store.commit(&commit).await.unwrap();
        }
        let warm = fixture.open().await.unwrap();
        assert!(warm.checkpoint().await.unwrap());
        let read = warm.get_metadata(&[]).await.unwrap().at;
        // A copy of another line of commits of the same replica, of which this one is the beginning of none.
        for version in [3, 4] {
            let name = format!("bugs/commits/{version:020}");
            fixture.bucket.insert(&name, elsewhere.bucket.object(&name).unwrap());
        }
        let cold = fixture.open().await.unwrap_err();
        for error in [warm.head().await.unwrap_err(), cold] {
            assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
            assert!(error.to_string().contains("the one before it led to"), "{error}");
        }
        // What it knew it still knows.
        assert_eq!(warm.get_metadata(&[]).await.unwrap().at, read);
        let commit = commit_of(&ours[2], read, commit_id(1, 9));
        assert!(warm.commit(&commit).await.is_err());
        assert_eq!(warm.get_metadata(&[]).await.unwrap().at, read);
    });
}

/// Whatever a listing does not show is found all the same, by whoever opens and whoever derives anew.
#[test]
fn a_listing_that_is_behind_hides_nothing() {
    let made = changesets(1, 150);
    // Up to which version something is derived, and which one is the last that listings show.
    for (derived, shown) in [(0, 0), (0, 1), (0, 70), (64, 20), (64, 64), (64, 100), (100, 130)] {
        let (fixture, before) = Fixture::new(on_one_thread(1).checkpoint_every(0), &[]);
        let mut head = before.0;
        block_on(async {
            let store = fixture.open().await.unwrap();
            for (version, changeset) in made.iter().enumerate() {
                if version == derived {
                    store.checkpoint().await.unwrap();
                }
                if version == shown {
                    fixture.bucket.freeze_listings();
                }
                let commit = commit_of(changeset, head, commit_id(1, head.version.get()));
                head = store.commit(&commit).await.unwrap();
            }
            let all = content(&store).await.unwrap();
            assert_eq!(all.1.len(), made.len());
            let cold = fixture.open().await.unwrap();
            assert_eq!(content(&cold).await.unwrap(), all, "{derived}, {shown}");
            fixture.bucket.remove("bugs/manifest.json");
            let anew = fixture.open().await.unwrap();
            assert_eq!(content(&anew).await.unwrap(), all, "anew: {derived}, {shown}");
        });
    }
}

#[test]
fn a_handle_that_slept_for_long_goes_on() {
    let made = changesets(1, 300);
    let (fixture, before) = Fixture::new(on_one_thread(1).checkpoint_every(4), &made[..20]);
    block_on(async {
        let sleeper = fixture.open().await.unwrap();
        let reader = fixture.open().await.unwrap();
        let verifier = fixture.open().await.unwrap();
        // Has asked for the head once, and is sure of it.
        let sure = fixture.open().await.unwrap();
        assert_eq!(sure.head().await.unwrap(), before.0);
        let writer = fixture.open().await.unwrap();
        let mut head = before.0;
        for changeset in &made[20..] {
            let commit = commit_of(changeset, head, commit_id(1, head.version.get()));
            head = writer.commit(&commit).await.unwrap();
        }
        let asked = fixture.bucket.requests();
        assert_eq!(sleeper.head().await.unwrap(), head);
        let asked = fixture.bucket.requests().since(&asked);
        assert!(asked.total().requests < 40, "{asked}");
        assert_eq!(content(&sleeper).await.unwrap(), content(&writer).await.unwrap());
        for handle in [&verifier, &sure] {
            let found = handle.verify().await.unwrap();
            assert!(found.is_sound(), "{:?}", found.problems);
            assert_eq!(found.entries, 300);
        }
        // One that does not ask for the head meets tables that are gone, and goes on all the same.
        let (_, entries, ..) = content(&reader).await.unwrap();
        assert!(entries.len() >= 20);
        assert_eq!(content(&reader).await.unwrap(), content(&writer).await.unwrap());
    });
}

#[test]
fn what_is_newer_is_left_alone() {
    let (fixture, _) = Fixture::new(on_one_thread(1).checkpoint_every(4), &changesets(1, 6));
    block_on(async {
        fixture.bucket.remove("bugs/manifest.json");
        let text = fixture.bucket.object("bugs/prophet.json").unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        let newer = text.replace("\"format\":1", "\"format\":2");
        assert_ne!(newer, text);
        fixture.bucket.insert("bugs/prophet.json", newer);
        let keys = fixture.keys();
        let error = fixture.open().await.unwrap_err();
        assert!(matches!(error, StoreError::NewerFormat { found: 2, .. }), "{error}");
        assert_eq!(fixture.keys(), keys);
        fixture.bucket.insert("bugs/prophet.json", "{\"prophet\":\"replica\",\"format\":1}");
        let error = fixture.open().await.unwrap_err();
        assert!(matches!(error, StoreError::NotAReplica { .. }), "{error}");
    });
}

#[test]
fn the_bucket_is_a_published_tree_that_others_pull_from() {
    let (fixture, _) = Fixture::new(on_one_thread(1), &[]);
    block_on(async {
        let store = fixture.options.clone().checkpoint_every(5);
        let store = store.open_in(Arc::clone(&fixture.store), "bugs").await.unwrap();
        let bucket = Arc::new(store);
        let ada = Replica::options().open_shared(Arc::clone(&bucket) as Arc<_>).await.unwrap();
        for number in 0..100_i64 {
            ada.create("bug", Properties::try_from([("number", number)]).unwrap()).await.unwrap();
        }
        bucket.checkpoint().await.unwrap();
        let tree = ObjectTree::new(Arc::clone(&fixture.store), Path::from("bugs"));
        let source = PublishedSource::open(tree).await.unwrap();
        assert_eq!(source.manifest().head.position.get(), 100);
        let bob = Replica::clone_of(MemoryStore::new(identity(10)), &source).await.unwrap();
        let same = ada.store().scan_records(&RecordScan::default()).await.unwrap().items;
        let here = bob.store().scan_records(&RecordScan::default()).await.unwrap().items;
        assert_eq!(here, same);

        let bug = ada.create("bug", Properties::try_from([("number", 7)]).unwrap()).await.unwrap();
        bucket.checkpoint().await.unwrap();
        bob.pull(&source, PullOptions::default()).await.unwrap();
        assert!(bob.get(&bug).await.unwrap().is_some());
        let before = fixture.bucket.requests();
        bob.pull(&source, PullOptions::default()).await.unwrap();
        let asked = fixture.bucket.requests().since(&before);
        assert_eq!(asked.of(Kind::Get).requests, asked.total().requests);
        assert_eq!(asked.total().requests, 1, "{asked}");
        // Caches are told what never changes, and what does.
        let objects = fixture.bucket.contents();
        let (mut segments, mut roots) = (0, 0);
        for name in objects.keys() {
            let got = fixture.store.get(&Path::from(name.as_str())).await.unwrap();
            let caching = got.attributes.get(&Attribute::CacheControl).map(|it| it.to_string());
            if name.contains("/commits/") {
                // Not every service takes them, and commits are nobody's to fetch.
                assert_eq!(caching, None);
            } else if name.ends_with(".zst") {
                assert_eq!(caching.as_deref(), Some("public, max-age=31536000, immutable"));
                segments += 1;
            } else if name.ends_with("manifest.json") {
                assert_eq!(caching.as_deref(), Some("no-cache"));
                roots += 1;
            }
        }
        assert!(segments > 0 && roots == 1);
        // Nobody publishes another replica over it.
        let tree = ObjectTree::new(Arc::clone(&fixture.store), Path::from("bugs"));
        let published = prophet_files::publish(&bob, &tree, Default::default()).await;
        assert!(published.is_err());
    });
}
