//! What is derived is mended while others go on, and is let go when nobody needs it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod common;

use std::time::Duration;

use backend_s3::S3Store;
use common::{
    Fixture, changesets, commit, commit_id, commit_of, on_one_thread, record_of, texts, words,
};
use futures_lite::future::{block_on, poll_once, zip};
use prophet_bucket::{Conditions, Fault, Kind, Plan, Refusal, Rule, Settings};
use prophet_store::{Changeset, Head, LogScan, PageLimit, Position, RecordScan, ReplicaStore};

#[test]
fn segments_stay_few_and_what_is_needed_is_not_retired() {
    // Of one size; some longer than most; and such as pack to a tenth.
    for what in ["even", "mixed", "packed"] {
        let mut random = 1;
        let made = texts(120, |number| match what {
            "packed" => words(&mut random, 600_000, 300),
            "mixed" if number % 8 == 7 => words(&mut random, 300_000, u64::MAX),
            _ => words(&mut random, 30_000, u64::MAX),
        });
        let fixture = Fixture::plain();
        let options = on_one_thread(1).checkpoint_every(0);
        let store = fixture.create(&options);
        let (mut head, mut most, mut sent) = (Head::EMPTY, 0, 0);
        for changeset in &made {
            head = commit(&store, changeset, head);
            let before = fixture.bucket.requests();
            assert!(block_on(store.checkpoint()).unwrap());
            sent += fixture.bucket.requests().since(&before).total().sent;
            most = most.max(fixture.check_names().segments.len());
        }
        let text: usize = made.iter().map(|it| it.payload_bytes().len()).sum();
        println!("{what}: {most} segments at most, {sent} bytes for {text} of changesets");
        // Each 2 MiB of lines is one that stays.
        assert!(most <= 40 + 2 * text / (2 << 20), "{what}: {most} segments");
        assert!(sent < 10 * text as u64, "{what}: {sent} bytes");
        let found = block_on(fixture.open(&options).verify()).unwrap();
        assert!(found.is_sound(), "{what}: {:?}", found.problems);
    }
}

/// Seventeen checkpoints of five commits each, of which the tables of sixteen are merged.
fn with_checkpoints(store: &S3Store, next: &mut std::slice::Iter<'_, Changeset>) -> Head {
    let mut head = Head::EMPTY;
    for _ in 0..17 {
        head = next.by_ref().take(5).fold(head, |head, it| commit(store, it, head));
        assert!(block_on(store.checkpoint()).unwrap());
    }
    head
}

/// Takes away the largest merged table.
fn lose_a_table(fixture: &Fixture) -> String {
    let names = fixture.names();
    let (name, _) = names.tables.iter().find(|(_, level)| *level > 0).unwrap().clone();
    fixture.bucket.remove(&format!("bugs/{name}"));
    name
}

#[test]
fn what_one_mends_is_not_undone_by_checkpoints_of_others() {
    let made = changesets(1, 400);
    for polls in [1, 3, 10] {
        let fixture = Fixture::new(Settings::strict(polls));
        let options = on_one_thread(1).checkpoint_every(0);
        let other = fixture.create(&options);
        let mut next = made.iter();
        let mut head = with_checkpoints(&other, &mut next);
        let reader = fixture.open(&options);
        let lost = lose_a_table(&fixture);
        let key = [record_of(&made[0])];
        let mut read = Box::pin(reader.get_records(&key));
        let mut pending = 0;
        // The other one makes checkpoints all the time, and never looks at what is gone.
        let found = loop {
            if let Some(found) = block_on(poll_once(&mut read)) {
                break found.unwrap();
            }
            pending += 1;
            if pending % polls == 0 && next.len() > 100 {
                head = commit(&other, next.next().unwrap(), head);
                block_on(other.checkpoint()).unwrap();
            }
        };
        assert!(found.value[0].is_some(), "every {polls} polls");
        // What the other one derives from now on is on what was mended.
        for _ in 0..5 {
            head = commit(&other, next.next().unwrap(), head);
            block_on(other.checkpoint()).unwrap();
        }
        let names = fixture.check_names();
        assert!(names.tables.iter().all(|(name, _)| *name != lost), "every {polls} polls");
        let cold = fixture.open(&options);
        assert_eq!(block_on(cold.head()).unwrap(), head);
        assert!(block_on(cold.get_records(&key)).unwrap().value[0].is_some());
        assert!(block_on(cold.verify()).unwrap().is_sound(), "every {polls} polls");
    }
}

/// Whoever only reads never makes a checkpoint: what it mended is there once it has read, whenever somebody
/// else made one that names what is gone.
#[test]
fn what_a_reader_mends_is_in_the_place_of_what_others_derived_meanwhile() {
    let made = changesets(1, 100);
    let key = [record_of(&made[0])];
    let (mut between, mut polls, mut first, mut twice) = (0, 0, None, 0);
    loop {
        let fixture = Fixture::new(Settings::strict(5));
        let commits_read = || {
            let events = fixture.bucket.events();
            let read = events.iter().filter(|event| event.kind == Kind::Get);
            read.filter(|event| event.key.starts_with("bugs/commits/")).count()
        };
        let options = on_one_thread(1).checkpoint_every(0);
        let other = fixture.create(&options);
        let mut next = made.iter();
        let head = with_checkpoints(&other, &mut next);
        let reader = fixture.open(&options);
        let lost = lose_a_table(&fixture);
        let before = commits_read();
        let mut read = Box::pin(reader.get_records(&key));
        if (0..polls).any(|_| block_on(poll_once(&mut read)).is_some()) {
            break;
        }
        commit(&other, next.next().unwrap(), head);
        between += u64::from(block_on(other.checkpoint()).unwrap());
        assert!(block_on(&mut read).unwrap().value[0].is_some(), "after {polls} polls");
        let names = fixture.check_names();
        assert_eq!(names.generation, 1, "after {polls} polls");
        assert!(names.tables.iter().all(|(name, _)| *name != lost));
        let read = commits_read() - before;
        twice += u64::from(read > *first.get_or_insert(read) + 5);
        polls += 1;
    }
    assert!(between > 20 && polls > between, "{between} of {polls}");
    // But for what comes just after it, it is in the place of the other one and not derived anew again.
    assert!(twice < 5, "{twice} of {polls}");
}

#[test]
fn what_two_readers_mend_at_once_is_published_once() {
    let made = changesets(1, 100);
    for seed in 1..20 {
        let fixture = Fixture::new(Settings::strict(seed));
        let options = on_one_thread(1).checkpoint_every(0);
        with_checkpoints(&fixture.create(&options), &mut made.iter());
        let readers = [fixture.open(&options), fixture.open(&options)];
        lose_a_table(&fixture);
        let (key, written) = ([record_of(&made[0])], || {
            let events = fixture.bucket.events();
            let roots = events.iter().filter(|event| event.key == "bugs/manifest.json");
            roots.filter(|event| event.kind == Kind::Update && event.outcome.applied()).count()
        });
        let before = written();
        let (one, other) =
            block_on(zip(readers[0].get_records(&key), readers[1].get_records(&key)));
        assert!(one.unwrap().value[0].is_some() && other.unwrap().value[0].is_some());
        assert_eq!((written() - before, fixture.check_names().generation), (1, 1), "seed {seed}");
    }
}

#[test]
fn a_handle_that_commits_mends_what_it_reads() {
    let made = changesets(1, 300);
    let fixture = Fixture::new(Settings::strict(3));
    let options = on_one_thread(1).checkpoint_every(0);
    let store = fixture.create(&options);
    let mut next = made.iter();
    let mut head = with_checkpoints(&store, &mut next);
    let lost = lose_a_table(&fixture);
    let limit = PageLimit::items(1_000);
    let scan = RecordScan { limit, ..RecordScan::default() };
    let mut read = Box::pin(store.scan_records(&scan));
    let found = loop {
        if let Some(found) = block_on(poll_once(&mut read)) {
            break found.unwrap();
        }
        if next.len() > 100 {
            head = commit(&store, next.next().unwrap(), head);
        }
    };
    assert!(found.items.len() >= 85);
    assert!(block_on(store.checkpoint()).unwrap());
    assert!(fixture.check_names().tables.iter().all(|(name, _)| *name != lost));
    let cold = fixture.open(&options);
    assert_eq!(block_on(cold.head()).unwrap(), head);
    assert!(block_on(cold.verify()).unwrap().is_sound());
}

/// One of two that read at once mends what both of them found, and what the other one knew of it is no
/// reason to mend it again.
#[test]
fn what_two_found_missing_is_derived_anew_once() {
    let made = changesets(1, 800);
    for seed in 1..8 {
        let fixture = Fixture::new(Settings::strict(seed));
        let options = on_one_thread(1).checkpoint_every(0);
        let store = fixture.create(&options);
        let mut next = made.iter();
        with_checkpoints(&store, &mut next);
        let reader = fixture.open(&options);
        for segment in fixture.names().segments {
            fixture.bucket.remove(&format!("bugs/{segment}"));
        }
        let page = |after: u64| {
            let after = Some(Position::new(after));
            LogScan { after, limit: PageLimit::items(1), ..LogScan::default() }
        };
        let (first, last) = (page(0), page(80));
        let (one, other) = block_on(zip(reader.scan_log(&first), reader.scan_log(&last)));
        assert_eq!(one.unwrap().items[0].changeset, made[0]);
        assert_eq!(other.unwrap().items[0].changeset, made[80]);
        assert!(block_on(reader.checkpoint()).unwrap());
        assert_eq!(fixture.names().generation, 1);

        // Others go on, and take away what the reader still goes by.
        let other = fixture.open(&options);
        let mut head = block_on(other.head()).unwrap();
        for _ in 0..60 {
            head = next.by_ref().take(10).fold(head, |head, it| commit(&other, it, head));
            assert!(block_on(other.checkpoint()).unwrap());
        }
        let read = block_on(reader.get_records(&[record_of(&made[3])])).unwrap();
        assert!(read.value[0].is_some());
        assert_eq!((read.at, fixture.names().generation), (head, 1));
    }
}

/// A merge needs a table that is gone, and nobody reads it.
#[test]
fn a_checkpoint_mends_what_it_needs() {
    let made = changesets(1, 80);
    let fixture = Fixture::new(Settings::plain(3));
    let options = on_one_thread(1).checkpoint_every(2);
    let store = fixture.create(&options);
    let mut head = Head::EMPTY;
    for (number, changeset) in made.iter().enumerate() {
        head = commit(&store, changeset, head);
        if number == 11 {
            let names = fixture.names();
            for name in names.segments.iter().chain(names.tables.iter().map(|(name, _)| name)) {
                fixture.bucket.remove(&format!("bugs/{name}"));
            }
        }
    }
    assert_eq!(store.checkpoint_failure(), None);
    block_on(store.checkpoint()).unwrap();
    fixture.check_names();
    let cold = fixture.open(&options);
    assert_eq!(block_on(cold.head()).unwrap(), head);
    assert!(block_on(cold.verify()).unwrap().is_sound());
}

#[test]
fn a_checkpoint_that_covers_less_does_not_keep_others_from_theirs() {
    let made = changesets(1, 4_500);
    let fixture = Fixture::plain();
    let none = on_one_thread(1).checkpoint_every(0);
    let store = fixture.create(&none);
    let (mut head, mut late) = (Head::EMPTY, None);
    for (number, changeset) in made[..4_200].iter().enumerate() {
        if number == 64 {
            late = Some(fixture.open(&none));
        }
        head = commit(&store, changeset, head);
    }
    // It derived what was too much to be in memory, and before it says so another one is first.
    let ahead = fixture.open(&on_one_thread(1).checkpoint_every(8));
    assert!(block_on(late.unwrap().checkpoint()).unwrap());
    let before = fixture.bucket.requests();
    for changeset in &made[4_200..] {
        head = commit(&ahead, changeset, head);
    }
    let asked = fixture.bucket.requests().since(&before).total();
    assert!(asked.requests < 3 * 300, "{asked:?}");
    assert_eq!((ahead.checkpoint_failure(), ahead.warning()), (None, None));
    assert!(fixture.check_names().version > 4_400);
}

/// It was retired while nobody else knew of that, and others still go by the root that names it.
#[test]
fn what_others_need_until_a_root_is_there_is_not_removed_with_it() {
    let made = changesets(1, 4_800);
    let mut next = made.iter();
    let fixture = Fixture::plain();
    let none = on_one_thread(1).checkpoint_every(0);
    let other = fixture.create(&none);
    let mut head = Head::EMPTY;
    // With one more, sixteen tables are there to be merged.
    for _ in 0..15 {
        head = next.by_ref().take(5).fold(head, |head, it| commit(&other, it, head));
        assert!(block_on(other.checkpoint()).unwrap());
    }
    let before = fixture.check_names();
    head = next.by_ref().take(4_200).fold(head, |head, it| commit(&other, it, head));
    // Too much to be in memory: it is derived, and nobody is told before there are many commits more.
    let ahead = fixture.open(&none);
    head = next.fold(head, |head, it| commit(&ahead, it, head));
    assert!(block_on(ahead.checkpoint()).unwrap());
    let after = fixture.check_names();
    assert!(after.version == 4_800 && after.retired.len() >= 15);
    for (name, _) in &before.tables {
        assert!(after.retired.contains(name));
        assert!(fixture.bucket.object(&format!("bugs/{name}")).is_some(), "{name} is gone");
    }
    let read = block_on(other.get_records(&[record_of(&made[0])])).unwrap();
    assert!(read.at == head && read.value[0].is_some());
}

/// The number of its commit is a round one, the tail is neither as long as it is as a rule, nor longer than
/// it should be, and while the root is looked at a commit with another number is made.
#[test]
fn a_checkpoint_that_is_due_is_made_whatever_comes_meanwhile() {
    let made = changesets(1, 130);
    let fixture = Fixture::new(Settings::strict(3));
    let none = on_one_thread(1).checkpoint_every(0);
    let store = fixture.create(&none);
    let mut head = made[..40].iter().fold(Head::EMPTY, |head, it| commit(&store, it, head));
    assert!(block_on(store.checkpoint()).unwrap());
    drop(store);
    let store = fixture.open(&on_one_thread(1));
    head = made[40..127].iter().fold(head, |head, it| commit(&store, it, head));
    assert_eq!(fixture.names().version, 40);
    let due = commit_of(&made[127], head, commit_id(1, head.version.get()));
    let mut waiting = Box::pin(store.commit(&due));
    let looked = |fixture: &Fixture| fixture.bucket.requests().of(Kind::Get).requests;
    let before = looked(&fixture);
    while looked(&fixture) == before {
        assert!(block_on(poll_once(&mut waiting)).is_none(), "it looks at the root");
    }
    commit(&store, &made[128], due.head());
    block_on(waiting).unwrap();
    assert!(fixture.check_names().version >= 128);
}

/// A program of today does not write over what a newer one left.
#[test]
fn a_newer_root_is_left_alone() {
    for conditions in [Conditions::Kept, Conditions::NotImplemented] {
        leaves_a_newer_root_alone(&Fixture::new(Settings::plain(1).conditions(conditions)));
    }
}

fn leaves_a_newer_root_alone(fixture: &Fixture) {
    let made = changesets(1, 40);
    let options = on_one_thread(1).checkpoint_every(0);
    let store = fixture.create(&options);
    let mut head = made[..20].iter().fold(Head::EMPTY, |head, it| commit(&store, it, head));
    assert!(block_on(store.checkpoint()).unwrap());
    let root = fixture.bucket.object("bugs/manifest.json").unwrap();
    let newer = String::from_utf8(root.to_vec()).unwrap().replace("\"format\":1", "\"format\":2");
    fixture.bucket.insert("bugs/manifest.json", newer.clone().into_bytes());
    head = commit(&store, &made[20], head);
    let error = block_on(store.checkpoint()).unwrap_err().to_string();
    assert!(error.contains("newer"), "{error}");
    for name in fixture.bucket.contents().keys().filter(|name| name.contains("/index/")) {
        fixture.bucket.remove(name);
    }
    let cold = block_on(store.get_records(&[record_of(&made[0])]));
    assert!(cold.unwrap_err().to_string().contains("newer"));
    assert_eq!(fixture.bucket.object("bugs/manifest.json").unwrap(), newer.as_bytes());
    assert_eq!(block_on(store.head()).unwrap(), head);
}

/// What was too much to be in memory was derived, and all of it: nothing is in the tail.
#[test]
fn what_was_derived_to_the_end_is_published_all_the_same() {
    let made = changesets(1, 4_107);
    // By itself with the next commit, however short the tail is; whoever asks for it needs no commit.
    for by_itself in [true, false] {
        let fixture = Fixture::plain();
        let none = on_one_thread(1).checkpoint_every(0);
        let store = fixture.create(&none);
        let version = || {
            let root = fixture.bucket.object("bugs/manifest.json").unwrap();
            let root: serde_json::Value = serde_json::from_slice(&root).unwrap();
            root["version"].as_u64().unwrap()
        };
        let (first, rest) = made.split_at(10);
        let head = first.iter().fold(Head::EMPTY, |head, it| commit(&store, it, head));
        assert!(block_on(store.checkpoint()).unwrap());
        let head = rest[..4_096].iter().fold(head, |head, it| commit(&store, it, head));

        let idle = fixture.open(&none);
        let other = fixture.open(&on_one_thread(1).checkpoint_every(8));
        assert_eq!(version(), 10);
        let expected = match by_itself {
            true => commit(&other, &rest[4_096], head).version.get(),
            false => {
                assert!(block_on(other.checkpoint()).unwrap());
                4_106
            }
        };
        assert_eq!(version(), expected);
        // Another one goes on from what is there, unless that is its own to the byte.
        assert_eq!(block_on(idle.checkpoint()).unwrap(), !by_itself);
        assert_eq!((idle.checkpoint_failure(), version()), (None, expected));
        fixture.check_names();
        assert!(block_on(fixture.open(&none).verify()).unwrap().is_sound());
    }
}

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Objects that no root names, of all kinds.
const STRAYS: [&str; 3] = [
    "bugs/index/00000000000000000001-00000000000000000005-0123456789ab.table",
    "bugs/log/00000001-0123abcd.jsonl.zst",
    "bugs/probe/0123456789abcdef0123456789abcdef-0",
];

#[test]
fn what_nobody_needs_goes_once_it_is_a_day_old() {
    let made = changesets(1, 200);
    let fixture = Fixture::plain();
    let options = on_one_thread(1).checkpoint_every(0);
    let store = fixture.create(&options);
    let mut next = made.iter();
    STRAYS.iter().for_each(|stray| fixture.bucket.insert(stray, "left"));
    // No business of this store's.
    let foreign = [
        "bugs/commits/notes",
        "bugs/log/team/prophet.json",
        "bugs/log/team/commits/00000000000000000001",
        "bugs/log/team/log/00000001-0123abcd.jsonl.zst",
        "bugs/log/access.log",
        "bugs/index/notes.table",
        "bugs/1",
        "log/00000001-0123abcd.jsonl.zst",
    ];
    foreign.iter().for_each(|foreign| fixture.bucket.insert(foreign, "somebody's"));
    let mut head = with_checkpoints(&store, &mut next);
    let mut go_on = |hours: u32| {
        fixture.bucket.advance(hours * HOUR);
        head = commit(&store, next.next().unwrap(), head);
        assert!(block_on(store.checkpoint()).unwrap());
    };
    let sweep = |handle: &S3Store| block_on(handle.sweep());
    for hours in [0, 23] {
        go_on(hours);
        assert_eq!(sweep(&store).unwrap(), 0);
    }
    fixture.bucket.insert(&STRAYS[0].replace("0123", "4567"), "somebody may be about to name it");
    // Nobody knows what is needed.
    fixture.bucket.advance(2 * HOUR);
    let root = fixture.bucket.object("bugs/manifest.json").unwrap();
    for damaged in [Some("no root"), None] {
        match damaged {
            Some(text) => fixture.bucket.insert("bugs/manifest.json", text),
            None => fixture.bucket.remove("bugs/manifest.json"),
        }
        assert!(sweep(&store).is_err());
    }
    fixture.bucket.insert("bugs/manifest.json", root);
    let before = fixture.bucket.contents().len();
    assert!(STRAYS.iter().all(|stray| fixture.bucket.object(stray).is_some()));

    go_on(0);
    // One that is to be kept, by a rule of the bucket's owner, keeps no other.
    let kept = Rule::new(Fault::Refuse(Refusal::AccessDenied)).on(Kind::Delete);
    fixture.bucket.plan(Plan::new().with(kept.below(STRAYS[0])));
    assert!(sweep(&store).is_err());
    let gone = STRAYS.map(|stray| fixture.bucket.object(stray).is_none());
    assert_eq!(gone, [false, true, true]);
    fixture.bucket.plan(Plan::new());
    assert_eq!(sweep(&store).unwrap(), 1);
    assert!(STRAYS.iter().all(|stray| fixture.bucket.object(stray).is_none()));
    let written = 3;
    assert_eq!(fixture.bucket.contents().len(), before - STRAYS.len() + written);
    // What readers of older roots may be at is not for this to remove.
    let names = fixture.check_names();
    assert!(names.retired.len() >= 16);
    assert!(names.retired.iter().all(|it| fixture.bucket.object(&format!("bugs/{it}")).is_some()));
    assert!(foreign.iter().all(|foreign| fixture.bucket.object(foreign).is_some()));
    assert!(block_on(fixture.open(&options).verify()).unwrap().is_sound());

    // Whoever may not write removes nothing, and of very many nobody waits for all.
    for number in 0..1_100 {
        fixture.bucket.insert(&format!("bugs/log/{number:08}-0123abcd.jsonl.zst"), "left");
    }
    let reader = fixture.open(&options.clone().read_only(true));
    go_on(25);
    for (handle, removed) in [(&reader, 0), (&store, 1_000), (&store, 101), (&store, 0)] {
        assert_eq!(sweep(handle).unwrap(), removed);
    }
}

/// Whatever one of them derived on its own, what the root names is there.
#[test]
fn handles_that_take_turns_need_nothing_that_the_other_removed() {
    let made = changesets(1, 400);
    let fixture = Fixture::plain();
    let options = on_one_thread(1).checkpoint_every(0);
    let handles = [fixture.create(&options), fixture.open(&options)];
    let (mut head, mut next) = (Head::EMPTY, made.iter());
    for night in 0..40 {
        let handle = &handles[night % 2];
        block_on(handle.head()).unwrap();
        for changeset in next.by_ref().take(5) {
            head = commit(handle, changeset, head);
        }
        // Not each of them: the other one may have been first.
        let _ = block_on(handle.checkpoint()).unwrap();
        block_on(handle.sweep()).unwrap();
        fixture.check_names();
        fixture.bucket.advance(12 * HOUR);
    }
    let cold = fixture.open(&options);
    assert_eq!(block_on(cold.head()).unwrap(), head);
    assert!(block_on(cold.verify()).unwrap().is_sound());
    // Nothing was derived anew, and all but the last is derived.
    let root = fixture.bucket.object("bugs/manifest.json").unwrap();
    let root: serde_json::Value = serde_json::from_slice(&root).unwrap();
    assert_eq!(root["index"].get("generation"), None);
    assert!(root["version"].as_u64().unwrap() >= 190);
}

#[test]
fn whoever_makes_checkpoints_looks_for_strays_now_and_then() {
    let made = changesets(1, 600);
    let fixture = Fixture::plain();
    let store = fixture.create(&on_one_thread(1).checkpoint_every(2));
    STRAYS.iter().for_each(|stray| fixture.bucket.insert(stray, "left"));
    let before = fixture.bucket.requests();
    let mut head = Head::EMPTY;
    for (number, changeset) in made.iter().enumerate() {
        if number == 300 {
            fixture.bucket.advance(25 * HOUR);
        }
        head = commit(&store, changeset, head);
    }
    assert!(STRAYS.iter().all(|stray| fixture.bucket.object(stray).is_none()));
    fixture.check_names();
    let asked = fixture.bucket.requests().since(&before);
    assert!(asked.of(Kind::List).requests <= 4 * STRAYS.len() as u64, "{asked}");
}
