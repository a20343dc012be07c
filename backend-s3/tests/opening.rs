//! What opening takes, between checkpoints and where commits are long.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Fixture, changesets, commit, commit_id, on_one_thread, texts, words};
use futures_lite::future::block_on;
use prophet_bucket::{Kind, Settings};
use prophet_store::{Commit, Head, MetadataKey, ReplicaStore};

/// However long the root is, and so the time between checkpoints otherwise.
#[test]
fn commits_that_none_brings_along_are_few_between_checkpoints() {
    let mut random = 1;
    let made = texts(1_500, |_| words(&mut random, 9_000, u64::MAX));
    let fixture = Fixture::plain();
    let store = fixture.create(&on_one_thread(1));
    let (mut head, mut longest) = (Head::EMPTY, 0);
    for changeset in &made {
        head = commit(&store, changeset, head);
        let root = fixture.bucket.object("bugs/manifest.json").unwrap().len();
        let tail = head.version.get() - fixture.names().version;
        assert!(tail < 96, "{tail} commits since a root of {root} bytes");
        longest = longest.max(root);
    }
    assert!(longest > 16 << 10, "{longest} bytes");
}

#[test]
fn long_tails_and_long_commits_take_few_requests() {
    let options = on_one_thread(1).checkpoint_every(0);
    let reading = options.clone().read_only(true);
    for tail in [0, 1, 8, 63, 64, 65, 500, 999, 1_000, 1_100, 2_500] {
        let fixture = Fixture::plain();
        let store = fixture.create(&options);
        let made = changesets(1, tail);
        made.iter().fold(Head::EMPTY, |head, changeset| commit(&store, changeset, head));
        let requests = fixture.opening(&reading) as usize;
        // The root, listings, two and the 64s, and one more for each piece of a thousand.
        let most = 2 + tail / 1_000 + 1 + tail.div_ceil(64) + 2 * (tail / 1_000);
        assert!(requests <= most, "{requests} requests for {tail} commits");
    }
    for (bytes, most) in [(300, 4), (1_000, 4), (5_000, 4), (7_500, 4)] {
        let mut random = 1;
        let made = texts(63, |_| words(&mut random, bytes, u64::MAX));
        let fixture = Fixture::plain();
        let store = fixture.create(&options);
        let head = made.iter().fold(Head::EMPTY, |head, it| commit(&store, it, head));
        let written = fixture.bucket.requests().of(Kind::Create).sent / 63;
        let requests = fixture.opening(&options);
        println!(
            "63 commits of a text of {bytes} bytes: {requests} requests, {written} bytes each"
        );
        assert!(requests <= most, "{requests} requests for texts of {bytes} bytes");
        assert_eq!(block_on(fixture.open(&options).head()).unwrap(), head);
    }
    for long in [60, 30] {
        let fixture = Fixture::plain();
        let store = fixture.create(&options);
        let mut head = Head::EMPTY;
        for version in 1..=64 {
            let value = vec![7; if version == long { 40_000 } else { 10 }];
            let key = MetadataKey::new("k").unwrap();
            let commit = Commit::new(commit_id(1, version), head);
            let commit = commit.with_metadata(key, Some(value)).unwrap();
            head = block_on(store.commit(&commit)).unwrap();
        }
        let requests = fixture.opening(&options);
        assert!(requests <= 8, "{requests} requests, with the {long}th of 40 KB");
    }
}

/// It is opened after each of 300 commits. Texts are in each twice, in a changeset and in a record, so from
/// 8 KB on commits have more than can be brought along, and each is a request.
#[test]
fn opening_between_checkpoints_of_long_commits_takes_few_requests() {
    let options = on_one_thread(1);
    let reading = options.clone().read_only(true);
    let (brought, long) = ((4, 0.5), (66, 3.0));
    let texts_of = [1_000, 3_000, 5_000, 7_500].map(|bytes| (bytes, brought));
    for (bytes, (opening, again)) in texts_of.into_iter().chain([(9_000, long), (30_000, long)]) {
        let mut random = 1;
        let made = texts(300, |_| words(&mut random, bytes, u64::MAX));
        let fixture = Fixture::plain();
        let store = fixture.create(&options);
        let (mut head, mut most, mut longest) = (Head::EMPTY, 0, 0);
        let mut sent = [Kind::Create, Kind::Put, Kind::Update].map(|kind| (kind, 0, 0));
        for changeset in &made {
            let before = fixture.bucket.requests();
            head = commit(&store, changeset, head);
            let asked = fixture.bucket.requests().since(&before);
            for (kind, requests, bytes) in &mut sent {
                *requests += asked.of(*kind).requests;
                *bytes += asked.of(*kind).sent;
            }
            most = most.max(fixture.opening(&reading));
            let tail = head.version.get() - fixture.names().version;
            longest = longest.max(tail);
        }
        let [(_, commits, committed), put, root] = sent;
        let puts = (put.1 + root.1) as f64 / commits as f64;
        let derived = (put.2 + root.2) as f64 / committed as f64;
        println!(
            "texts of {bytes} bytes: {most} requests at most, {longest} commits in the tail at most; \
             a commit: {} bytes, {puts:.3} PUT more, {derived:.2} times its bytes more",
            committed / commits
        );
        assert!(most <= opening, "{most} requests for texts of {bytes} bytes");
        assert!(puts < 0.1 && derived < again, "texts of {bytes} bytes: {puts} PUT, {derived}");
    }
}

/// Commits that are too long to be brought along are read at once, and not one after the other.
#[test]
fn long_commits_take_few_rounds() {
    let each = Duration::from_millis(10);
    let fixture = Fixture::new(Settings::plain(1).latency(each, each));
    let options = on_one_thread(1).checkpoint_every(0);
    let store = fixture.create(&options);
    let mut random = 1;
    let made = texts(63, |_| words(&mut random, 50_000, u64::MAX));
    made.iter().fold(Head::EMPTY, |head, it| commit(&store, it, head));
    let before = fixture.bucket.elapsed();
    drop(fixture.open(&options));
    let took = fixture.bucket.elapsed() - before;
    // The root, a listing, four rounds and what is left, there and back each.
    assert!(took <= each * 2 * 7 && took >= each * 2 * 3, "{took:?}");
}

#[test]
fn what_is_no_commit_among_them_stops_nobody() {
    let fixture = Fixture::plain();
    let options = on_one_thread(1).checkpoint_every(0);
    let store = fixture.create(&options);
    let head = changesets(1, 3).iter().fold(Head::EMPTY, |head, it| commit(&store, it, head));
    for number in 0..1_200 {
        fixture.bucket.insert(&format!("bugs/commits/0-{number:05}"), vec![1]);
        fixture.bucket.insert(&format!("bugs/commits/x{number:05}"), vec![1]);
    }
    let cold = fixture.open(&options);
    assert_eq!(block_on(cold.head()).unwrap(), head);
    // One that claims to be far ahead is damage, and no reason to ask for all in between.
    fixture.bucket.insert("bugs/commits/09999999999999999999", vec![1]);
    fixture.bucket.insert("bugs/commits/00000000000000000009", vec![1]);
    let before = fixture.bucket.requests();
    let opened = block_on(options.open_in(Arc::clone(&fixture.store), "bugs"));
    assert!(opened.is_err());
    assert!(fixture.bucket.requests().since(&before).total().requests < 3_000);
}

/// What is read for one entry of a segment is some 64 KB, and the root has no more to say than that takes.
#[test]
fn segments_are_read_in_pieces_of_one_length() {
    let fixture = Fixture::plain();
    let store = fixture.create(&on_one_thread(1).checkpoint_every(0));
    let mut random = 1;
    let made = texts(400, |_| words(&mut random, 2_000, u64::MAX));
    made.iter().fold(Head::EMPTY, |head, it| commit(&store, it, head));
    assert!(block_on(store.checkpoint()).unwrap());
    let root = fixture.bucket.object("bugs/manifest.json").unwrap();
    let root: serde_json::Value = serde_json::from_slice(&root).unwrap();
    let pieces: Vec<u64> = serde_json::from_value(root["index"]["chunks"][0].clone()).unwrap();
    let offsets = pieces.chunks(2).map(|piece| piece[0]);
    let bytes = root["segments"][0]["bytes"].as_u64().unwrap();
    let mut before = 0;
    for offset in offsets.chain([bytes]) {
        let piece = offset - before;
        assert!((64 << 10..100 << 10).contains(&piece) || offset == bytes, "{piece} bytes: {root}");
        before = offset;
    }
    assert!(pieces.len() >= 2 * 3, "{} pieces of {bytes} bytes", pieces.len() / 2);
}
