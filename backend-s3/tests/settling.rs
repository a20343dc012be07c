//! What is said of a commit whose request went wrong, and what a service that does not keep writers
//! apart is good for.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod common;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backend_s3::{S3Options, Writers};
use common::{Fixture, all, changesets, commit, commit_id, commit_of, identity, on_one_thread};
use futures_lite::future::{block_on, poll_once};
use prophet_bucket::{Conditions, Fault, Kind, Landing, Plan, Refusal, Rule, Settings, Time};
use prophet_store::{Changeset, Environment, Head, ReplicaStore, Sharing, StoreError, Version};

fn commits(fixture: &Fixture) -> usize {
    fixture.bucket.contents().keys().filter(|key| key.contains("/commits/")).count()
}

fn on_commits(fault: Fault) -> Plan {
    Plan::new().with(Rule::new(fault).on(Kind::Create).below("bugs/commits/").times(1))
}

#[test]
fn whatever_hides_the_answer_the_commit_is_found() {
    use Refusal::*;
    let made = changesets(1, 1);
    for fault in [
        Fault::Lose(Dropped),
        Fault::Lose(TimedOut),
        Fault::Lose(InternalError),
        Fault::Lose(SlowDown),
        // The client sent it twice, and the second found the first.
        Fault::Lose(PreconditionFailed),
        Fault::Lose(Conflict),
        // Nothing arrived, or nothing was done.
        Fault::Refuse(Dropped),
        Fault::Refuse(Conflict),
        Fault::Refuse(InternalError),
        Fault::Delay(Landing::After(1)),
        Fault::Delay(Landing::After(3)),
        Fault::Delay(Landing::Never),
    ] {
        let fixture = Fixture::plain();
        let store = fixture.create(&on_one_thread(1));
        fixture.bucket.plan(on_commits(fault));
        let commit = commit_of(&made[0], Head::EMPTY, commit_id(1, 1));
        let head = block_on(store.commit(&commit));
        assert_eq!(head.unwrap(), commit.head(), "{fault:?}\n{}", fixture.bucket.explain());
        fixture.bucket.land();
        assert_eq!(commits(&fixture), 1, "{fault:?}");
        assert_eq!(block_on(store.head()).unwrap(), commit.head(), "{fault:?}");
    }
}

#[test]
fn a_commit_under_way_is_unknown_until_it_is_settled() {
    let (made, options) = (changesets(1, 1), on_one_thread(1).retries(0));
    for other_first in [false, true] {
        let fixture = Fixture::plain();
        let store = fixture.create(&options);
        let other = fixture.open(&options);
        fixture.bucket.plan(on_commits(Fault::Delay(Landing::ByHand)));
        let commit = commit_of(&made[0], Head::EMPTY, commit_id(1, 1));
        let answer = block_on(store.commit(&commit));
        assert!(matches!(answer, Err(StoreError::OutcomeUnknown { .. })), "{answer:?}");
        if other_first {
            let rival = commit_of(&changesets(2, 1)[0], Head::EMPTY, commit_id(2, 1));
            assert_eq!(block_on(other.commit(&rival)).unwrap(), rival.head());
            fixture.bucket.land();
            let answer = block_on(store.commit(&commit));
            let lost =
                matches!(answer, Err(StoreError::StaleBase { head, .. }) if head == rival.head());
            assert!(lost, "{answer:?}");
        } else {
            fixture.bucket.land();
            // A later commit of somebody else, and still it is recognised.
            assert_eq!(block_on(other.head()).unwrap(), commit.head());
            let next = commit_of(&changesets(2, 1)[0], commit.head(), commit_id(2, 1));
            assert_eq!(block_on(other.commit(&next)).unwrap(), next.head());
            assert_eq!(block_on(store.commit(&commit)).unwrap(), commit.head());
            assert_eq!(block_on(store.head()).unwrap(), next.head());
        }
        assert_eq!(commits(&fixture), if other_first { 1 } else { 2 });
    }
}

#[test]
fn what_is_refused_says_why_and_applied_nothing() {
    let made = changesets(1, 1);
    for (refusal, words) in [
        (Refusal::AccessDenied, "check the credentials"),
        (Refusal::TimeTooSkewed, "clock of this machine"),
        (Refusal::NoSuchBucket, "no such bucket"),
        (Refusal::NotImplemented, "NotImplemented"),
    ] {
        let fixture = Fixture::plain();
        let store = fixture.create(&on_one_thread(1));
        fixture.bucket.plan(on_commits(Fault::Refuse(refusal)));
        let commit = commit_of(&made[0], Head::EMPTY, commit_id(1, 1));
        let error = block_on(store.commit(&commit)).unwrap_err();
        assert!(!matches!(error, StoreError::OutcomeUnknown { .. }), "{error}");
        assert!(error.to_string().contains(words), "{refusal:?}: {error}");
        assert_eq!(commits(&fixture), 0);
        // And the handle goes on.
        assert_eq!(block_on(store.commit(&commit)).unwrap(), commit.head());
    }
}

#[test]
fn a_bucket_that_is_not_there_is_not_an_empty_one() {
    let fixture = Fixture::plain();
    let store = fixture.create(&on_one_thread(1));
    fixture.bucket.plan(Plan::new().with(Rule::new(Fault::Refuse(Refusal::NoSuchBucket))));
    let error = block_on(store.head()).unwrap_err();
    assert!(error.to_string().contains("no such bucket"), "{error}");
    let error = fixture.try_open(&on_one_thread(1)).unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains("no such bucket"), "{error}");
}

#[test]
fn a_service_that_lets_several_writers_win_is_found_out() {
    let race = Duration::from_millis(20);
    for conditions in
        [Conditions::Ignored, Conditions::LostInRaces(race), Conditions::NotImplemented]
    {
        let settings = Settings::strict(3).conditions(conditions);
        let fixture = Fixture::new(settings);
        let error = fixture.try_create(&on_one_thread(1).writers(Writers::Several)).unwrap_err();
        assert!(error.to_string().contains("several writers apart"), "{conditions:?}: {error}");
        assert!(fixture.bucket.contents().is_empty(), "{:?}", fixture.bucket.contents().keys());

        let store = fixture.create(&on_one_thread(1));
        assert!(store.warning().unwrap().contains("only one program"), "{conditions:?}");
        assert_eq!(store.facts().capabilities.sharing, Sharing::Exclusive);
        let probes = fixture.bucket.contents().into_keys().filter(|key| key.contains("/probe/"));
        assert_eq!(probes.count(), 0);
        let error = fixture.try_open(&on_one_thread(1)).unwrap_err();
        assert!(matches!(error, StoreError::Locked { .. }), "{error}");
        // One writer at a time works.
        let mut head = Head::EMPTY;
        for changeset in &changesets(1, 10) {
            let commit = commit_of(changeset, head, commit_id(1, head.version.get()));
            head = block_on(store.commit(&commit)).unwrap();
            assert_eq!(block_on(store.commit(&commit)).unwrap(), head, "{conditions:?}");
        }
        block_on(store.close()).unwrap();
        let error = fixture.try_open(&on_one_thread(1).writers(Writers::Several)).unwrap_err();
        assert!(error.to_string().contains("several writers apart"), "{error}");
        let store = fixture.open(&on_one_thread(1));
        assert!(store.warning().is_some());
        assert_eq!(block_on(store.head()).unwrap().version, Version::new(10));
    }
}

#[test]
fn a_service_that_keeps_them_apart_has_no_warning_on_any_seed() {
    for seed in 0..20 {
        let fixture = Fixture::new(Settings::strict(seed));
        let store = fixture.create(&on_one_thread(seed).writers(Writers::Several));
        assert_eq!(store.warning(), None);
        assert_eq!(store.facts().capabilities.sharing, Sharing::Processes);
        let probes = fixture.bucket.contents().into_keys().filter(|key| key.contains("/probe/"));
        assert_eq!(probes.count(), 0);
    }
}

#[test]
fn where_one_writer_is_all_an_unknown_commit_goes_before_any_other() {
    let settings = Settings::plain(3).conditions(Conditions::Ignored);
    let fixture = Fixture::new(settings);
    let store = fixture.create(&on_one_thread(1).retries(0));
    fixture.bucket.plan(on_commits(Fault::Delay(Landing::ByHand)));
    let lost = commit_of(&changesets(1, 1)[0], Head::EMPTY, commit_id(1, 1));
    let answer = block_on(store.commit(&lost));
    assert!(matches!(answer, Err(StoreError::OutcomeUnknown { .. })), "{answer:?}");
    // Another one on the same base would be replaced when the first arrives.
    let rival = commit_of(&changesets(2, 1)[0], Head::EMPTY, commit_id(2, 1));
    let answer = block_on(store.commit(&rival));
    let stale = matches!(answer, Err(StoreError::StaleBase { head, .. }) if head == lost.head());
    assert!(stale, "{answer:?}");
    fixture.bucket.land();
    assert_eq!(block_on(store.head()).unwrap(), lost.head());
    assert_eq!(commits(&fixture), 1);
}

#[test]
fn where_one_writer_is_all_a_refusal_settles_nothing_that_is_on_its_way() {
    for same_again in [false, true] {
        let settings = Settings::plain(3).conditions(Conditions::Ignored);
        let fixture = Fixture::new(settings);
        let store = fixture.create(&on_one_thread(1).retries(0));
        let on_way = commit_of(&changesets(1, 1)[0], Head::EMPTY, commit_id(1, 1));
        fixture.bucket.plan(on_commits(Fault::Delay(Landing::ByHand)));
        let answer = block_on(store.commit(&on_way));
        assert!(matches!(answer, Err(StoreError::OutcomeUnknown { .. })), "{answer:?}");
        // The next attempt is refused, which says nothing about the first.
        fixture.bucket.plan(on_commits(Fault::Refuse(Refusal::AccessDenied)));
        let rival = commit_of(&changesets(2, 1)[0], Head::EMPTY, commit_id(2, 1));
        let answer = block_on(store.commit(if same_again { &on_way } else { &rival }));
        assert!(answer.unwrap_err().to_string().contains("credentials"));
        assert_eq!(commits(&fixture), 0);
        let answer = block_on(store.commit(&rival));
        let stale =
            matches!(answer, Err(StoreError::StaleBase { head, .. }) if head == on_way.head());
        assert!(stale, "{answer:?}");
        fixture.bucket.land();
        assert_eq!(block_on(store.head()).unwrap(), on_way.head());
        assert_eq!(commits(&fixture), 1);
    }
}

#[test]
fn where_one_writer_is_all_the_next_handle_waits_for_what_is_on_its_way() {
    let slow = Duration::from_millis(100);
    for close in [true, false] {
        let settings = Settings::plain(3).conditions(Conditions::Ignored);
        let settings = settings.time(Time::Real).latency(slow, slow);
        let fixture = Fixture::new(settings);
        let store = fixture.create(&S3Options::new());
        let commit = commit_of(&changesets(1, 1)[0], Head::EMPTY, commit_id(1, 1));
        assert!(block_on(poll_once(store.commit(&commit))).is_none(), "it takes a while");
        assert_eq!(commits(&fixture), 0);
        if close {
            block_on(store.close()).unwrap();
            assert_eq!(commits(&fixture), 1);
        }
        drop(store);
        assert_eq!(commits(&fixture), 1);
        let store = fixture.open(&S3Options::new());
        assert_eq!(block_on(store.head()).unwrap(), commit.head());
    }
}

#[test]
fn where_one_writer_is_all_a_handle_that_opens_sees_what_the_last_one_did() {
    let (ours, theirs) = (&changesets(1, 1)[0], &changesets(2, 1)[0]);
    let mut opened = 0;
    for polls in 0..60 {
        let fixture = Fixture::new(Settings::strict(3).conditions(Conditions::Ignored));
        let options = on_one_thread(1);
        let store = fixture.create(&options);
        let mut next = Box::pin(options.open_in(Arc::clone(&fixture.store), "bugs"));
        if (0..polls).any(|_| block_on(poll_once(&mut next)).is_some()) {
            // It was told that another one has the place.
            break;
        }
        let commit = commit_of(ours, Head::EMPTY, commit_id(1, 1));
        block_on(store.commit(&commit)).unwrap();
        block_on(store.close()).unwrap();
        drop(store);
        let next = block_on(next).unwrap();
        opened += 1;
        let rival = commit_of(theirs, Head::EMPTY, commit_id(2, 1));
        let answer = block_on(next.commit(&rival));
        let stale =
            matches!(answer, Err(StoreError::StaleBase { head, .. }) if head == commit.head());
        assert!(stale, "after {polls} polls: {answer:?}");
    }
    assert!(opened > 3, "{opened}");
}

/// The first attempt may still arrive, whatever is said of the second.
#[test]
fn what_is_refused_while_it_may_still_arrive_is_unknown() {
    for refusal in [Refusal::AccessDenied, Refusal::NotImplemented] {
        let fixture = Fixture::plain();
        let store = fixture.create(&on_one_thread(1).retries(1));
        let on = |fault, n| Rule::new(fault).on(Kind::Create).below("bugs/commits/").nth(n);
        let plan = Plan::new().with(on(Fault::Delay(Landing::ByHand), 1));
        fixture.bucket.plan(plan.with(on(Fault::Refuse(refusal), 2)));
        let commit = commit_of(&changesets(1, 1)[0], Head::EMPTY, commit_id(1, 1));
        let answer = block_on(store.commit(&commit));
        let unknown = matches!(answer, Err(StoreError::OutcomeUnknown { .. }));
        assert!(unknown, "{answer:?}\n{}", fixture.bucket.explain());
        fixture.bucket.land();
        assert_eq!(block_on(store.commit(&commit)).unwrap(), commit.head());
    }
}

/// Whose commit is there cannot be told, and that is looked at as often as anything else.
#[test]
fn a_place_that_cannot_be_read_leaves_the_outcome_unknown() {
    for retries in [0, 2] {
        let fixture = Fixture::plain();
        let store = fixture.create(&on_one_thread(1).retries(retries));
        fixture.bucket.insert("bugs/commits/00000000000000000001", vec![0xAB; 40]);
        let commit = commit_of(&changesets(1, 1)[0], Head::EMPTY, commit_id(1, 1));
        let before = fixture.bucket.requests();
        let answer = block_on(store.commit(&commit));
        let unknown = matches!(answer, Err(StoreError::OutcomeUnknown { .. }));
        assert!(unknown, "{answer:?}");
        let tried = fixture.bucket.requests().since(&before).of(Kind::Create).requests;
        assert_eq!(tried, u64::from(retries) + 1);
    }
}

#[test]
fn a_replica_whose_creation_is_not_answered_is_there_once_or_somebody_elses() {
    let on_identity = |fault, times| {
        let rule = Rule::new(fault).on(Kind::Create).below("bugs/prophet.json");
        Plan::new().with(rule.times(times))
    };
    // It was done, and that was not answered.
    for refusal in [Refusal::Dropped, Refusal::InternalError, Refusal::PreconditionFailed] {
        let fixture = Fixture::plain();
        fixture.bucket.plan(on_identity(Fault::Lose(refusal), 1));
        let store = fixture.create(&on_one_thread(1).retries(0));
        assert_eq!(store.facts().identity, fixture.open(&on_one_thread(1)).facts().identity);
    }
    // It was not done, for as often as it is tried, and once less.
    for (times, retries) in [(1, 1), (3, 3), (1, 0), (3, 2)] {
        let fixture = Fixture::plain();
        fixture.bucket.plan(on_identity(Fault::Refuse(Refusal::InternalError), times));
        let created = fixture.try_create(&on_one_thread(1).retries(retries));
        let (enough, retries) = (u64::from(retries) >= times, u64::from(retries));
        assert_eq!(created.is_ok(), enough, "{times} times, {retries} retries: {created:?}");
        let tried = fixture.bucket.requests().of(Kind::Create).requests;
        assert!(tried > times.min(retries), "{tried}");
    }
    // Of two who both found nothing there one makes it.
    let mut met = 0;
    for seed in 0..20 {
        let fixture = Fixture::new(Settings::strict(seed));
        let create = |replica: u8| {
            let store = Arc::clone(&fixture.store);
            async move {
                on_one_thread(replica.into()).create_in(store, "bugs", identity(replica)).await
            }
        };
        let created = all([create(1), create(2)]);
        let (made, refused): (Vec<_>, Vec<_>) = created.into_iter().partition(Result::is_ok);
        let made: Vec<_> = made.into_iter().map(|store| store.unwrap().facts().identity).collect();
        assert_eq!(made, [fixture.open(&on_one_thread(3)).facts().identity]);
        assert!(matches!(refused[0], Err(StoreError::AlreadyExists { .. })), "{refused:?}");
        let tried =
            fixture.bucket.events().iter().filter(|event| event.key == "bugs/prophet.json").count();
        met += usize::from(tried > 2);
    }
    assert!(met > 5, "{met}");
}

/// Waits for nothing, and notes how long it should have.
#[derive(Debug, Default)]
struct Noting(Mutex<Vec<Duration>>);

impl Environment for Noting {
    fn now(&self) -> u64 {
        1_700_000_000_000
    }

    fn random(&self, bytes: &mut [u8]) -> std::io::Result<()> {
        bytes.fill(0x80);
        Ok(())
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.0.lock().unwrap().push(duration);
        Box::pin(std::future::ready(()))
    }
}

#[test]
fn what_may_help_is_tried_so_often_and_after_ever_longer_pauses() {
    for retries in [0, 1, 10] {
        let fixture = Fixture::plain();
        let noting = Arc::new(Noting::default());
        let options = S3Options::new().on_caller(true).environment(noting.clone()).retries(retries);
        let store = fixture.create(&options);
        noting.0.lock().unwrap().clear();
        let rule = Rule::new(Fault::Refuse(Refusal::SlowDown)).on(Kind::Get).below("bugs/commits/");
        fixture.bucket.plan(Plan::new().with(rule));
        let before = fixture.bucket.requests();
        block_on(store.head()).unwrap_err();
        let tried = fixture.bucket.requests().since(&before).of(Kind::Get).requests;
        assert_eq!(tried, u64::from(retries) + 1);
        // Half as much more or less by chance, which is in the middle here.
        let doubled = [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000];
        let expected = doubled[..retries as usize].iter().map(|it| Duration::from_millis(*it));
        assert_eq!(*noting.0.lock().unwrap(), Vec::from_iter(expected));
    }
}

/// Two buckets with the same commits, in the second of which somebody derived at `derived`, and went on to
/// `end`; what they did is in the first one as well then.
fn somebody_else(fixture: &Fixture, made: &[Changeset], derived: usize, end: usize) {
    let elsewhere = Fixture::new(Settings::plain(4).conditions(Conditions::NotImplemented));
    for (key, bytes) in fixture.bucket.contents() {
        elsewhere.bucket.insert(&key, bytes);
    }
    let store = elsewhere.open(&on_one_thread(1).checkpoint_every(0));
    let head = block_on(store.head()).unwrap();
    let from = usize::try_from(head.version.get()).unwrap();
    let head = made[from..derived].iter().fold(head, |head, made| commit(&store, made, head));
    assert!(block_on(store.checkpoint()).unwrap());
    made[derived..end].iter().fold(head, |head, made| commit(&store, made, head));
    for (key, bytes) in elsewhere.bucket.contents() {
        fixture.bucket.insert(&key, bytes);
    }
}

#[test]
fn where_no_condition_is_known_the_root_that_goes_further_counts() {
    let made = changesets(1, 30);
    let options = on_one_thread(1).checkpoint_every(0);
    for (theirs, expected) in
        [(None, 20), (Some((10, 10)), 20), (Some((20, 20)), 20), (Some((25, 26)), 25)]
    {
        let fixture = Fixture::new(Settings::plain(3).conditions(Conditions::NotImplemented));
        let store = fixture.create(&options);
        let version = || {
            let root = fixture.bucket.object("bugs/manifest.json")?;
            let root: serde_json::Value = serde_json::from_slice(&root).unwrap();
            root["version"].as_u64()
        };
        let head = made[..10].iter().fold(Head::EMPTY, |head, made| commit(&store, made, head));
        if let Some((derived, end)) = theirs.filter(|(derived, _)| *derived == 10) {
            somebody_else(&fixture, &made, derived, end);
        }
        let head = made[10..20].iter().fold(head, |head, made| commit(&store, made, head));
        if let Some((derived, end)) = theirs.filter(|(derived, _)| *derived > 10) {
            somebody_else(&fixture, &made, derived, end);
        }
        let ours = theirs.is_none_or(|(derived, _)| derived < 20);
        assert_eq!(block_on(store.checkpoint()).unwrap(), ours, "{theirs:?}");
        assert_eq!(version(), Some(expected), "{theirs:?}");
        // It goes on from there, whoever made it.
        let end = theirs.map_or(20, |(_, end)| end.max(20));
        let now = block_on(store.head()).unwrap();
        assert_eq!(now.version.get(), end as u64);
        assert!(end != 20 || now == head);
        commit(&store, &made[end], now);
        assert!(block_on(store.checkpoint()).unwrap());
        assert_eq!(version(), Some(end as u64 + 1));
        assert!(!block_on(store.checkpoint()).unwrap(), "there is nothing to do");
        assert!(block_on(store.verify()).unwrap().is_sound());
        drop(store);
        assert!(block_on(fixture.open(&options).verify()).unwrap().is_sound());
    }
}

#[test]
fn a_probe_that_is_not_answered_says_nothing_about_the_service() {
    let on_probe = |refusal, times| {
        let rule = Rule::new(Fault::Refuse(refusal)).on(Kind::Create).below("bugs/probe/");
        Plan::new().with(rule.times(times))
    };
    for refusal in [Refusal::SlowDown, Refusal::InternalError, Refusal::Dropped] {
        for times in [1, 2, 7, 16] {
            let fixture = Fixture::new(Settings::strict(7));
            fixture.bucket.plan(on_probe(refusal, times));
            let store = fixture.try_create(&on_one_thread(7).writers(Writers::Several));
            let store = store.unwrap_or_else(|error| panic!("{refusal:?}, {times}: {error}"));
            assert_eq!(store.warning(), None);
        }
        // A service that lets all win, and answers few.
        let fixture = Fixture::new(Settings::strict(7).conditions(Conditions::Ignored));
        fixture.bucket.plan(on_probe(refusal, 5));
        let error = fixture.try_create(&on_one_thread(7).writers(Writers::Several)).unwrap_err();
        assert!(error.to_string().contains("several writers apart"), "{error}");
        // One that answers nothing.
        let fixture = Fixture::new(Settings::strict(7));
        fixture.bucket.plan(on_probe(refusal, 10_000));
        let error = fixture.try_create(&on_one_thread(7)).unwrap_err();
        assert!(error.to_string().contains("too few conditional writes"), "{error}");
        assert!(fixture.bucket.contents().is_empty());
    }
}
