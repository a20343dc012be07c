//! Who decides about the conflicts that a pull brings: the votes at hand, then the side that the
//! merger prefers, then whoever is asked; and nobody twice.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]
#![allow(dead_code, reason = "what the tests of the engine share, not all of them use")]

mod support {
    pub(crate) mod peers;
}

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_store::*;
use support::peers::{Peer, bug, in_every_order, meet, peers, pull, status};

const EXISTENCE: RegisterName = RegisterName::Existence;

fn shown(status: &str) -> Option<String> {
    Some(status.to_owned())
}

fn shown_value(value: Option<&Value>) -> Option<String> {
    value.map(|value| value.as_text().unwrap().to_owned())
}

fn tally<const N: usize>(votes: [(&str, usize); N]) -> Vec<(String, usize)> {
    votes.map(|(value, votes)| (value.to_owned(), votes)).to_vec()
}

/// Ada has set the status to "fixed", and Bob, a little later, to "invalid"; Eve knows of neither.
async fn disagreeing() -> [Peer; 3] {
    let all = peers().await;
    let [ada, bob, _] = &all;
    ada.at(2_000).set("fixed").await;
    bob.at(3_000).set("invalid").await;
    all
}

async fn pull_with(target: &Peer, source: &Peer, options: PullOptions<'_>) -> PullReport {
    target.pull(&source.replica, options).await.unwrap()
}

fn prefer(side: Side) -> PullOptions<'static> {
    PullOptions::new().prefer(side)
}

/// How many changesets a replica authored.
async fn authored(peer: &Peer) -> u64 {
    let author = peer.author().await.unwrap();
    peer.vector().await.unwrap().of(author).last().map_or(0, |tip| tip.sequence.get())
}

/// Fails if anybody is asked.
fn nobody_is_asked() -> PullOptions<'static> {
    PullOptions::new().ask(|conflict: &Conflict| panic!("asked about {conflict:?}"))
}

// Sides.

#[test]
fn who_prefers_the_target_votes_for_what_was_visible_there() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = disagreeing().await;
        let report = pull_with(&ada, &bob, prefer(Side::Target)).await;
        assert_eq!((report.conflicts, report.by_policy, report.open), (1, 1, 0), "{report}");
        assert_eq!(ada.status().await, shown("fixed"));
        meeting.of(&[&ada, &bob, &eve]).await;
        assert_eq!(bob.tally(&status()).await, tally([("\"fixed\"", 1), ("\"invalid\"", 0)]));
        assert_eq!(bob.status().await, shown("fixed"));
    });
}

#[test]
fn who_prefers_the_source_votes_for_what_came() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = disagreeing().await;
        let report = pull_with(&bob, &ada, prefer(Side::Source)).await;
        assert_eq!((report.conflicts, report.by_policy, report.open), (1, 1, 0), "{report}");
        assert_eq!(bob.status().await, shown("fixed"));
        meeting.of(&[&ada, &bob, &eve]).await;
        let conflict = eve.conflict_on(&status()).await.unwrap();
        let [vote] = conflict.votes.as_slice() else { panic!("{conflict:?}") };
        assert_eq!(
            (vote.choice.clone(), vote.by.to_string()),
            (Some("fixed".into()), "peer 2".into())
        );
        assert_eq!(eve.status().await, shown("fixed"));
    });
}

#[test]
fn who_prefers_the_source_takes_the_best_of_what_was_unseen() {
    block_on(async {
        let [ada, bob, eve] = disagreeing().await;
        let dan = Peer::new(4).await;
        pull(&dan, &eve).await;
        dan.at(9_000).set("mine").await;
        pull(&ada, &bob).await;
        pull_with(&dan, &ada, prefer(Side::Source)).await;
        assert_eq!(dan.status().await, shown("invalid"), "the later of the two that came");
    });
}

#[test]
fn a_side_may_be_absence() {
    for (side, expected) in [(Side::Target, None), (Side::Source, shown("invalid"))] {
        block_on(async {
            let [ada, bob] = peers().await;
            ada.put("status", None).await;
            bob.set("invalid").await;
            pull_with(&ada, &bob, prefer(side)).await;
            assert_eq!(ada.status().await, expected);
            assert_eq!(ada.rule().await, Rule::Majority);
        });
    }
}

#[test]
fn sides_decide_about_existence_too() {
    for (side, expected) in [(Side::Target, false), (Side::Source, true)] {
        in_every_order(async |meeting| {
            let [ada, bob, eve] = peers().await;
            ada.delete(&bug()).await.unwrap();
            bob.set("fixed").await;
            let report = pull_with(&ada, &bob, prefer(side)).await;
            assert_eq!(report.by_policy, 1);
            assert_eq!(ada.exists().await, expected);
            meeting.of(&[&ada, &bob, &eve]).await;
            assert_eq!(eve.exists().await, expected);
            assert_eq!(eve.rule_of(&EXISTENCE).await, Rule::Majority);
        });
    }
}

#[test]
fn of_a_contested_existence_that_was_unseen_the_best_is_alive() {
    block_on(async {
        let [ada, bob, eve] = peers().await;
        bob.at(2_000).set("fixed").await;
        ada.at(9_000).delete(&bug()).await.unwrap();
        pull(&ada, &bob).await;
        assert!(ada.exists().await, "so it is at the source");
        pull_with(&eve, &ada, prefer(Side::Source)).await;
        assert!(eve.exists().await, "and that is the side which was preferred");
    });
}

#[test]
fn what_was_not_there_before_the_pull_is_on_no_side_of_the_target() {
    block_on(async {
        let (ada, bob) = (Peer::new(1).await, Peer::new(2).await);
        ada.at(3_000).create(&bug(), "new").await;
        bob.at(2_000).create(&bug(), "open").await;
        pull(&ada, &bob).await;
        let eve = Peer::new(3).await;
        let report = pull_with(&eve, &ada, prefer(Side::Target)).await;
        assert_eq!((report.by_policy, report.open), (0, 1));
        let asked = Mutex::new(0);
        let fay = Peer::new(4).await;
        let options = prefer(Side::Target).ask(|_: &Conflict| {
            *asked.lock().unwrap() += 1;
            Choice::Value(Some("open".into()))
        });
        let report = pull_with(&fay, &ada, options).await;
        assert_eq!((report.by_policy, *asked.lock().unwrap()), (1, 1), "then somebody is asked");
        assert_eq!(fay.status().await, shown("open"));
    });
}

#[test]
fn where_a_side_decides_nobody_is_asked() {
    block_on(async {
        let [ada, bob, _] = disagreeing().await;
        let report = pull_with(&ada, &bob, nobody_is_asked().prefer(Side::Target)).await;
        assert_eq!(report.by_policy, 1);
    });
}

#[test]
fn where_the_votes_at_hand_decide_nothing_is_voted_and_nobody_is_asked() {
    for side in [None, Some(Side::Target), Some(Side::Source)] {
        block_on(async {
            let [ada, bob, eve] = disagreeing().await;
            pull(&eve, &ada).await;
            pull(&eve, &bob).await;
            eve.vote("fixed").await;
            let before = authored(&bob).await;
            let options = match side {
                Some(side) => nobody_is_asked().prefer(side),
                None => nobody_is_asked(),
            };
            let report = pull_with(&bob, &eve, options).await;
            assert_eq!(
                (report.conflicts, report.by_majority, report.by_policy, report.open),
                (1, 1, 0, 0)
            );
            assert_eq!(authored(&bob).await, before, "a view, never a write");
            assert_eq!(bob.status().await, shown("fixed"));
        });
    }
}

#[test]
fn where_its_own_vote_counts_nothing_is_voted_and_nobody_is_asked() {
    for side in [None, Some(Side::Target), Some(Side::Source)] {
        block_on(async {
            let [ada, bob, eve, dan] = peers().await;
            ada.at(2_000).set("fixed").await;
            bob.at(3_000).set("invalid").await;
            // Dan writes what Bob does, so something new comes though the conflict is the same.
            dan.at(4_000).set("invalid").await;
            meet(&[&ada, &bob, &eve]).await;
            ada.vote("fixed").await;
            eve.vote("invalid").await;
            pull(&eve, &dan).await;
            let before = authored(&ada).await;
            let options = match side {
                Some(side) => nobody_is_asked().prefer(side),
                None => nobody_is_asked(),
            };
            let report = pull_with(&ada, &eve, options).await;
            assert_eq!((report.conflicts, report.by_policy, report.open), (1, 0, 1));
            assert_eq!(authored(&ada).await, before);
        });
    }
}

#[test]
fn two_who_both_prefer_the_source_do_not_swap_values_for_ever() {
    block_on(async {
        let [ada, bob, _] = disagreeing().await;
        for _ in 0..3 {
            pull_with(&ada, &bob, prefer(Side::Source)).await;
            pull_with(&bob, &ada, prefer(Side::Source)).await;
        }
        meet(&[&ada, &bob]).await;
        assert_eq!(ada.status().await, shown("invalid"), "Ada met it first and took Bob's");
        assert_eq!(authored(&ada).await + authored(&bob).await, 4, "one vote, and no more");
    });
}

#[test]
fn a_pushed_conflict_is_decided_at_the_target_and_by_it() {
    block_on(async {
        let [ada, bob, _] = disagreeing().await;
        let report = ada.push(&bob, prefer(Side::Target)).await.unwrap();
        assert_eq!((report.source, report.by_policy), (ada.author().await.unwrap(), 1));
        assert_eq!(bob.status().await, shown("invalid"), "the side of the target");
        let conflict = bob.conflict_on(&status()).await.unwrap();
        assert_eq!(conflict.votes[0].by.replica, bob.author().await.unwrap());
        assert_eq!(authored(&ada).await, 2, "who pushes writes nothing");
    });
}

// Asking.

#[test]
fn whoever_is_asked_gets_the_candidates_and_the_earlier_votes() {
    block_on(async {
        let [ada, bob, eve, dan] = peers().await;
        let all = [&ada, &bob, &eve];
        ada.at(2_000).set("fixed").await;
        bob.at(3_000).set("invalid").await;
        meet(&all).await;
        eve.at(4_000).vote("invalid").await;
        meet(&all).await;
        // The same again: the vote was overruled, and is an earlier decision.
        ada.at(5_000).set("fixed").await;
        bob.at(6_000).set("invalid").await;
        meet(&all).await;
        let asked = Mutex::new(Vec::new());
        let options = PullOptions::new().ask(|conflict: &Conflict| {
            asked.lock().unwrap().push(conflict.clone());
            Choice::Value(Some("fixed".into()))
        });
        let report = pull_with(&dan, &eve, options).await;
        assert_eq!((report.by_policy, report.open), (1, 0));
        let asked = asked.into_inner().unwrap();
        let [conflict] = asked.as_slice() else { panic!("{asked:?}") };
        assert_eq!((&conflict.record, &conflict.register), (&bug(), &status()));
        let values: Vec<_> = conflict.values().flatten().cloned().collect();
        assert_eq!(values, ["fixed".into(), "invalid".into()]);
        let writers = conflict.candidates.iter().map(|one| one.writes[0].to_string());
        assert_eq!(writers.collect::<Vec<_>>(), ["peer 1", "peer 2"]);
        let votes = conflict.votes.iter().map(|vote| (vote.by.to_string(), vote.choice.clone()));
        assert_eq!(votes.collect::<Vec<_>>(), [("peer 3".to_owned(), Some("invalid".into()))]);
        assert_eq!(conflict.visible, Some("invalid".into()));
        assert_eq!(dan.status().await, shown("fixed"));
        meet(&[&ada, &bob, &eve, &dan]).await;
        assert_eq!(ada.status().await, shown("fixed"));
    });
}

/// Answers after a while, as people do.
struct Slow<'a> {
    answers: Vec<Result<Choice, Error>>,
    asked: &'a Mutex<Vec<Conflict>>,
}

#[async_trait]
impl Resolver for Slow<'_> {
    async fn resolve(&mut self, conflict: &Conflict) -> Result<Choice, Error> {
        self.asked.lock().unwrap().push(conflict.clone());
        for _ in 0..3 {
            futures_lite::future::yield_now().await;
        }
        self.answers.remove(0)
    }
}

#[test]
fn who_has_to_wait_for_an_answer_can_be_asked_too() {
    block_on(async {
        let [ada, bob, _] = disagreeing().await;
        let asked = Mutex::default();
        let answers = vec![Ok(Choice::Value(Some("fixed".into())))];
        let slow = Slow { answers, asked: &asked };
        let report = pull_with(&bob, &ada, PullOptions::new().ask_later(slow)).await;
        assert_eq!(report.by_policy, 1);
        assert_eq!(asked.lock().unwrap().len(), 1);
        assert_eq!(bob.status().await, shown("fixed"));
    });
}

#[test]
fn what_the_resolver_says_went_wrong_ends_the_pull_and_leaves_the_conflict_open() {
    block_on(async {
        let [ada, bob, _] = disagreeing().await;
        let asked = Mutex::default();
        let slow = Slow { answers: vec![Err(Error::app("nobody is there"))], asked: &asked };
        let options = PullOptions::new().ask_later(slow);
        let error = bob.pull(&ada.replica, options).await.unwrap_err();
        assert_eq!(error.to_string(), "nobody is there");
        assert_eq!(bob.open_conflicts().await, 1, "the changesets stay");
        assert_eq!(bob.vector().await.unwrap().tips().count(), 2);
    });
}

#[test]
fn answers_given_before_the_resolver_fails_are_kept() {
    block_on(async {
        let [ada, bob, _] = disagreeing().await;
        ada.put("owner", Some("ada".into())).await;
        bob.put("owner", Some("bob".into())).await;
        let asked = Mutex::default();
        let answers = vec![
            Ok(Choice::Value(Some("ada".into()))),
            Err(Error::app("I have to go, the rest tomorrow")),
        ];
        let options = PullOptions::new().ask_later(Slow { answers, asked: &asked });
        bob.pull(&ada.replica, options).await.unwrap_err();
        assert_eq!(asked.lock().unwrap().len(), 2);
        assert_eq!(bob.open_conflicts().await, 1, "what was answered would be asked again");
    });
}

#[test]
fn what_somebody_answers_is_kept_before_they_are_asked_again() {
    /// Takes so long, and notes how much was open when it was asked.
    struct Person<'a>(&'a Peer, u64, &'a Mutex<Vec<usize>>);

    #[async_trait]
    impl Resolver for Person<'_> {
        async fn resolve(&mut self, conflict: &Conflict) -> Result<Choice, Error> {
            let Self(peer, thinks, open) = self;
            let now = peer.open_conflicts().await;
            open.lock().unwrap().push(now);
            peer.environment.now.fetch_add(*thinks, Ordering::SeqCst);
            Ok(Choice::Value(conflict.candidates[0].value.clone()))
        }
    }
    block_on(async {
        for (thinks, expected) in
            [(3_000, [3, 2, 1]), (500, [3, 2, 1]), (250, [3, 3, 1]), (249, [3, 3, 3])]
        {
            let [ada, bob, _] = disagreeing().await;
            for property in ["owner", "place"] {
                ada.put(property, Some("here".into())).await;
                bob.put(property, Some("there".into())).await;
            }
            let open = Mutex::default();
            let asked = PullOptions::new().ask_later(Person(&bob, thinks, &open));
            let report = pull_with(&bob, &ada, asked).await;
            assert_eq!(*open.lock().unwrap(), expected, "{thinks} ms");
            assert_eq!((report.by_policy, bob.open_conflicts().await), (3, 0));
        }
    });
}

/// Whoever wrote it had not seen the vote by which something else was visible here.
#[test]
fn undo_brings_back_what_was_visible_here() {
    block_on(async {
        let [ada, bob, _] = disagreeing().await;
        meet(&[&ada, &bob]).await;
        let seen_there = bob.status().await;
        let conflict = ada.conflicts().next().await.unwrap().unwrap();
        let other =
            conflict.values().find(|value| shown_value(*value) != seen_there).unwrap().cloned();
        ada.resolve(&conflict, other.clone()).await.unwrap();
        assert_ne!(ada.status().await, seen_there);
        let before = ada.head().await.unwrap().position;
        bob.set("closed").await;
        pull(&ada, &bob).await;
        assert_eq!(ada.status().await, shown("closed"));
        let last = ada.log(None, Direction::Backward).next().await.unwrap().unwrap();
        ada.undo(last.changeset.digest()).await.unwrap();
        assert_eq!(ada.status().await, shown_value(other.as_ref()));
        let then = ada.as_of(before).await.unwrap().get(&bug()).await.unwrap().unwrap();
        assert_eq!(then.get("status").cloned(), other);
    });
}

#[test]
fn an_edit_made_while_somebody_thinks_spoils_that_answer_and_no_other() {
    struct Editing<'a>(&'a Peer);

    #[async_trait]
    impl Resolver for Editing<'_> {
        async fn resolve(&mut self, conflict: &Conflict) -> Result<Choice, Error> {
            if conflict.register == status() {
                // Meanwhile the status is settled by hand.
                self.0.set("closed").await;
                return Ok(Choice::Value(Some("fixed".into())));
            }
            Ok(Choice::Value(Some("ada".into())))
        }
    }
    block_on(async {
        let [ada, bob, _] = disagreeing().await;
        ada.put("owner", Some("ada".into())).await;
        bob.put("owner", Some("bob".into())).await;
        let options = PullOptions::new().ask_later(Editing(&bob));
        let pulled = bob.pull(&ada.replica, options).await;
        assert_eq!(bob.status().await, shown("closed"), "the edit came later");
        assert_eq!(bob.shows("owner").await, shown("ada"), "that was answered: {pulled:?}");
    });
}

#[test]
fn left_open_no_vote_is_cast() {
    block_on(async {
        let [ada, bob, _] = disagreeing().await;
        let before = authored(&bob).await;
        let options = PullOptions::new().ask(|_: &Conflict| Choice::LeaveOpen);
        let report = pull_with(&bob, &ada, options).await;
        assert_eq!((report.conflicts, report.by_policy, report.open), (1, 0, 1));
        assert_eq!(authored(&bob).await, before);
        assert_eq!(bob.open_conflicts().await, 1);
    });
}

#[test]
fn without_a_policy_it_is_left_open() {
    block_on(async {
        let [ada, bob, _] = disagreeing().await;
        let report = pull(&bob, &ada).await;
        assert_eq!((report.conflicts, report.by_policy, report.open), (1, 0, 1));
        assert!(report.to_string().contains("1 left open"), "{report}");
    });
}

#[test]
fn an_answer_that_nobody_wrote_is_a_merge() {
    block_on(async {
        let [ada, bob, _] = disagreeing().await;
        let merged = |_: &Conflict| Choice::Value(Some("both".into()));
        let report = pull_with(&bob, &ada, PullOptions::new().ask(merged)).await;
        assert_eq!(report.by_policy, 1);
        assert_eq!(bob.status().await, shown("both"));
        assert_eq!(bob.rule().await, Rule::Agreed);
        let last = bob.log(None, Direction::Backward).next().await.unwrap().unwrap();
        assert_eq!(last.changeset.header().kind, Kind::Merge);
    });
}

#[test]
fn a_merge_of_a_property_does_not_undo_a_vote_for_the_deletion_given_with_it() {
    block_on(async {
        let [ada, bob, eve] = disagreeing().await;
        eve.delete(&bug()).await.unwrap();
        pull(&ada, &bob).await;
        let options = PullOptions::new().ask(|conflict: &Conflict| match conflict.register {
            RegisterName::Existence => Choice::Value(Some(false.into())),
            RegisterName::Property(_) => Choice::Value(Some("both".into())),
        });
        pull_with(&eve, &ada, options).await;
        assert!(!eve.exists().await, "the vote was for the deletion");
    });
}

#[test]
fn existence_is_alive_or_deleted_and_nothing_else() {
    block_on(async {
        let [ada, bob] = peers().await;
        ada.delete(&bug()).await.unwrap();
        bob.set("fixed").await;
        pull(&ada, &bob).await;
        let conflict = ada.conflict_on(&EXISTENCE).await.unwrap();
        for choice in [None, Some("maybe".into())] {
            let error = ada.resolve(&conflict, choice).await.unwrap_err();
            assert!(matches!(error, Error::NotAChoice { .. }), "{error}");
            let error = error.to_string();
            assert!(error.contains("true for alive or false for deleted"), "{error}");
        }
    });
}

#[test]
fn it_is_asked_once_after_the_last_batch() {
    block_on(async {
        let [ada, bob, eve] = disagreeing().await;
        // Ada settles the conflict only after more changesets than fit in a batch.
        pull(&ada, &bob).await;
        let many = ada.edit(|edit| async move {
            for number in 0..1_500 {
                edit.begin_changeset("ada", None)?;
                let count = Properties::try_from([("count", Value::Integer(number))])?;
                edit.update(&bug(), count).await?;
            }
            Ok(())
        });
        many.await.unwrap();
        ada.set("closed").await;
        eve.put("owner", Some("eve".into())).await;
        let batches = Mutex::new(0);
        let options =
            nobody_is_asked().batches_of(1_000).progress(|_| *batches.lock().unwrap() += 1);
        let report = pull_with(&eve, &ada, options).await;
        assert_eq!((*batches.lock().unwrap(), report.conflicts), (2, 0));
        assert_eq!(eve.status().await, shown("closed"));
    });
}

#[test]
fn a_conflict_left_open_earlier_is_not_asked_about_again() {
    block_on(async {
        let [ada, bob, eve] = disagreeing().await;
        pull(&bob, &ada).await;
        eve.put("owner", Some("eve".into())).await;
        let report = pull_with(&bob, &eve, nobody_is_asked()).await;
        assert_eq!((report.integrated, report.conflicts), (1, 0), "this pull did not bring it");
        assert_eq!(bob.open_conflicts().await, 1);
    });
}

#[test]
fn when_values_join_a_conflict_it_is_another_one_and_asked_about() {
    block_on(async {
        let [ada, bob, eve] = disagreeing().await;
        pull_with(&bob, &ada, prefer(Side::Target)).await;
        eve.at(4_000).set("closed").await;
        let asked = Mutex::new(Vec::new());
        let options = PullOptions::new().ask(|conflict: &Conflict| {
            asked.lock().unwrap().push(conflict.candidates.len());
            Choice::Value(Some("closed".into()))
        });
        pull_with(&bob, &eve, options).await;
        assert_eq!(*asked.lock().unwrap(), [3]);
        assert_eq!(bob.status().await, shown("closed"));
    });
}

#[test]
fn more_conflicts_than_fit_in_one_commit_are_all_decided() {
    block_on(async {
        let (ada, bob) = (Peer::new(1).await, Peer::new(2).await);
        for number in 1..=600_u16 {
            let id = [number.to_be_bytes(); 8].concat().try_into().unwrap();
            let key = RecordKey::new(RecordType::new("bug").unwrap(), RecordId::from_bytes(id));
            ada.create(&key, "new").await;
            bob.create(&key, "open").await;
        }
        let asked = Mutex::new(0);
        let options = PullOptions::new().ask(|conflict: &Conflict| {
            *asked.lock().unwrap() += 1;
            Choice::Value(conflict.visible.clone())
        });
        let report = pull_with(&bob, &ada, options).await;
        assert_eq!((report.conflicts, report.by_policy, report.open), (600, 600, 0));
        assert_eq!(*asked.lock().unwrap(), 600);
        assert_eq!(bob.counts().await, (0, 600, 0));
    });
}

#[test]
fn what_was_written_here_during_the_pull_is_not_of_the_side_of_the_source() {
    block_on(async {
        let [ada, bob, _] = peers().await;
        let many = ada.edit(|edit| async move {
            for number in 0..1_000 {
                edit.begin_changeset("ada", None)?;
                let count = Properties::try_from([("count", Value::Integer(number))])?;
                edit.update(&bug(), count).await?;
            }
            Ok(())
        });
        many.await.unwrap();
        ada.at(2_000).set("fixed").await;
        // After the first batch, and later than what the second one brings.
        let options = prefer(Side::Source).batches_of(1_000).progress(|progress| {
            if progress.done == 1_000 {
                block_on(bob.at(9_000).set("mine"));
            }
        });
        pull_with(&bob, &ada, options).await;
        assert_eq!(bob.status().await, shown("fixed"));
    });
}

#[test]
fn a_pull_that_goes_on_asks_about_what_the_interrupted_one_brought() {
    /// Gives one changeset of Ada's and breaks off.
    struct Broken<'a>(&'a Peer, usize);

    #[async_trait]
    impl ChangesetSource for Broken<'_> {
        async fn offer(&self, seen: &VersionVector) -> Result<Offer, Error> {
            self.0.offer(seen).await
        }

        fn changesets(&self, offer: &Offer, known: &VersionVector) -> Streamed<'_, Changeset> {
            let gone = futures_lite::stream::once(Err(Error::app("the connection is gone")));
            Box::pin(self.0.replica.changesets(offer, known).take(self.1).chain(gone))
        }
    }
    block_on(async {
        let [ada, bob, _] = disagreeing().await;
        ada.put("owner", Some("ada".into())).await;
        let broken = bob.pull(&Broken(&ada, 1), prefer(Side::Target)).await;
        assert_eq!(broken.unwrap_err().to_string(), "the connection is gone");
        assert_eq!(bob.open_conflicts().await, 1);
        let report = pull_with(&bob, &ada, prefer(Side::Target)).await;
        assert_eq!(report.integrated, 1);
        assert_eq!(bob.open_conflicts().await, 0, "the merger prefers the target: {report}");
    });
}

// Failing.

#[test]
fn with_fail_on_conflict_nothing_is_integrated_and_the_registers_are_named() {
    block_on(async {
        let [ada, bob, _] = disagreeing().await;
        ada.put("owner", Some("ada".into())).await;
        bob.delete(&bug()).await.unwrap();
        let before = bob.head().await.unwrap();
        let options = PullOptions::new().fail_on_conflict();
        let error = bob.pull(&ada.replica, options).await.unwrap_err();
        let Error::ConflictsFound { conflicts, .. } = &error else { panic!("{error}") };
        let registers: Vec<_> = conflicts.iter().map(|(_, register)| register.clone()).collect();
        assert_eq!(registers, [EXISTENCE, status()], "what the contested life would show again");
        let error = error.to_string();
        for part in ["nothing was integrated", "existence", "\"status\"", &bug().to_string()] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert_eq!(bob.head().await.unwrap(), before);
        assert_eq!(pull(&bob, &ada).await.integrated, 2, "without it, it is as always");
    });
}

#[test]
fn with_fail_on_conflict_what_brings_none_is_integrated() {
    block_on(async {
        let [ada, bob, eve] = disagreeing().await;
        eve.set("fixed").await;
        let report = pull_with(&eve, &ada, PullOptions::new().fail_on_conflict()).await;
        assert_eq!((report.integrated, report.conflicts), (1, 0), "the same write is no conflict");
        pull(&ada, &bob).await;
        ada.set("closed").await;
        let report = pull_with(&bob, &ada, PullOptions::new().fail_on_conflict()).await;
        assert_eq!((report.integrated, report.conflicts), (2, 0), "it is settled further on");
    });
}

#[test]
fn with_fail_on_conflict_what_votes_decide_is_integrated() {
    block_on(async {
        let [ada, bob, eve] = disagreeing().await;
        pull(&eve, &ada).await;
        pull(&eve, &bob).await;
        eve.vote("fixed").await;
        let report = pull_with(&bob, &eve, PullOptions::new().fail_on_conflict()).await;
        assert_eq!((report.conflicts, report.by_majority, report.open), (1, 1, 0));
        assert_eq!(bob.status().await, shown("fixed"));
    });
}

#[test]
fn with_fail_on_conflict_one_that_was_open_before_does_not_count() {
    block_on(async {
        let [ada, bob, eve] = disagreeing().await;
        pull(&bob, &ada).await;
        eve.put("owner", Some("eve".into())).await;
        let report = pull_with(&bob, &eve, PullOptions::new().fail_on_conflict()).await;
        assert_eq!((report.integrated, report.conflicts), (1, 0));
    });
}

#[test]
fn with_fail_on_conflict_more_than_a_batch_is_not_integrated_either() {
    block_on(async {
        let [ada, bob, _] = disagreeing().await;
        let many = ada.edit(|edit| async move {
            for number in 0..1_500 {
                edit.begin_changeset("ada", None)?;
                let count = Properties::try_from([("count", Value::Integer(number))])?;
                edit.update(&bug(), count).await?;
            }
            Ok(())
        });
        many.await.unwrap();
        let before = bob.head().await.unwrap();
        let options = PullOptions::new().fail_on_conflict();
        let error = bob.pull(&ada.replica, options).await.unwrap_err();
        assert!(matches!(error, Error::ConflictsFound { .. }), "{error}");
        assert_eq!(bob.head().await.unwrap(), before);
    });
}

// Deciding.

#[test]
fn resolving_says_nothing_where_the_same_vote_still_counts() {
    block_on(async {
        let [ada, bob, eve] = disagreeing().await;
        meet(&[&ada, &bob, &eve]).await;
        let conflict = eve.conflict_on(&status()).await.unwrap();
        let first = eve.resolve(&conflict, Some("fixed".into())).await.unwrap();
        assert!(first.is_some());
        let head = eve.head().await.unwrap();
        assert_eq!(eve.resolve(&conflict, Some("fixed".into())).await.unwrap(), None);
        assert_eq!(eve.head().await.unwrap(), head);
        assert!(eve.resolve(&conflict, Some("invalid".into())).await.unwrap().is_some());
        assert!(eve.resolve(&conflict, Some("fixed".into())).await.unwrap().is_some(), "and back");
    });
}

#[test]
fn a_vote_that_was_overruled_can_be_cast_again() {
    block_on(async {
        let [ada, bob, eve] = disagreeing().await;
        meet(&[&ada, &bob, &eve]).await;
        eve.vote("fixed").await;
        meet(&[&ada, &bob, &eve]).await;
        bob.at(4_000).set("invalid").await;
        ada.at(5_000).set("fixed").await;
        meet(&[&ada, &bob, &eve]).await;
        assert!(eve.vote("fixed").await.is_some(), "the earlier one counts no more");
        assert_eq!(eve.rule().await, Rule::Majority);
    });
}

#[test]
fn resolving_what_has_changed_since_it_was_read_is_refused() {
    block_on(async {
        let [ada, bob, eve] = disagreeing().await;
        pull(&bob, &ada).await;
        let stale = bob.conflict_on(&status()).await.unwrap();
        eve.set("closed").await;
        pull(&bob, &eve).await;
        let error = bob.resolve(&stale, Some("fixed".into())).await.unwrap_err();
        assert!(matches!(error, Error::ConflictChanged { over: false, .. }), "{error}");
        for part in ["\"status\"", &bug().to_string(), "other values", "look at it again"] {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
        bob.set("done").await;
        let error = bob.resolve(&stale, Some("fixed".into())).await.unwrap_err();
        assert!(matches!(error, Error::ConflictChanged { over: true, .. }), "{error}");
        assert!(error.to_string().contains("not contested any more"), "{error}");
        assert_eq!(bob.status().await, shown("done"));
    });
}

#[test]
fn a_vote_by_somebody_else_does_not_make_a_conflict_stale() {
    block_on(async {
        let [ada, bob, eve] = disagreeing().await;
        meet(&[&ada, &bob, &eve]).await;
        let read = bob.conflict_on(&status()).await.unwrap();
        eve.vote("fixed").await;
        pull(&bob, &eve).await;
        bob.resolve(&read, Some("invalid".into())).await.unwrap().unwrap();
        assert_eq!(bob.tally(&status()).await, tally([("\"fixed\"", 1), ("\"invalid\"", 1)]));
    });
}

// Asked once.

/// Random numbers that are the same for the same seed (SplitMix64).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(end).unwrap()).unwrap()
    }
}

/// Twenty replicas of which some disagree about two values pull from one another at random, until
/// all have met. Whoever is asked tosses a coin. How many times anybody was asked.
async fn prompts(seed: u64, writers: usize) -> usize {
    let mut random = Seeded(seed);
    let peers = peers::<20>().await;
    for (number, peer) in peers.iter().take(writers).enumerate() {
        peer.at(2_000).set(["fixed", "invalid"][number % 2]).await;
    }
    let asked = Mutex::new(Vec::new());
    let mut met = false;
    while !met {
        for _ in 0..20 {
            let target = random.below(20);
            let source = (target + 1 + random.below(19)) % 20;
            let me = peers[target].author().await.unwrap();
            let coin = random.below(2);
            let options = PullOptions::new().ask(|conflict: &Conflict| {
                let own = |vote: &&Attribution| vote.replica == me;
                let votes: Vec<_> = conflict.candidates.iter().map(|one| &one.votes).collect();
                let voted = votes.iter().copied().flatten().find(own);
                assert_eq!(voted, None, "seed {seed}: asked though it has voted: {conflict:?}");
                let cast: usize = votes.iter().map(|votes| votes.len()).sum();
                let most = votes.iter().map(|votes| votes.len()).max().unwrap();
                assert!(2 * most <= cast, "seed {seed}: asked though they decide: {conflict:?}");
                asked.lock().unwrap().push(target);
                Choice::Value(conflict.candidates[coin].value.clone())
            });
            pull_with(&peers[target], &peers[source], options).await;
        }
        let first = peers[0].vector().await.unwrap();
        met = true;
        for peer in &peers[1..] {
            met &= peer.vector().await.unwrap() == first;
        }
    }
    let shown = (peers[0].status().await, peers[0].rule().await);
    for peer in &peers {
        assert_eq!((peer.status().await, peer.rule().await), shown, "seed {seed}");
    }
    let mut asked = asked.into_inner().unwrap();
    let prompts = asked.len();
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), prompts, "seed {seed}: somebody was asked twice");
    prompts
}

#[test]
fn of_twenty_replicas_that_meet_one_conflict_nobody_is_asked_twice_nor_about_what_votes_decide() {
    block_on(async {
        for (writers, seeds) in [(2, 4), (20, 12)] {
            let mut all = Vec::new();
            for seed in 0..seeds {
                all.push(prompts(seed, writers).await);
            }
            let (min, max) = (all.iter().min().unwrap(), all.iter().max().unwrap());
            let mean = all.iter().sum::<usize>() as f64 / all.len() as f64;
            println!("20 replicas, {writers} of which write: {min} / {mean:.1} / {max} prompts");
            assert!(*max <= 20, "at most one each");
        }
    });
}
