//! What two or more people do to one record without knowing of each other, and what all of them
//! see once they have met: each rule by its name.

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

use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_store::*;
use support::peers::{Meeting, Peer, bug, in_every_order, peers, pull, status};

const EXISTENCE: RegisterName = RegisterName::Existence;

/// Ada sets the status to "fixed", and Bob, a little later, to "invalid".
async fn disagree(ada: &Peer, bob: &Peer) {
    ada.at(2_000).set("fixed").await;
    bob.at(3_000).set("invalid").await;
}

fn shown(status: &str) -> Option<String> {
    Some(status.to_owned())
}

fn tally<const N: usize>(votes: [(&str, usize); N]) -> Vec<(String, usize)> {
    let mut tally = votes.map(|(value, votes)| (value.to_owned(), votes));
    tally.sort_unstable();
    tally.to_vec()
}

fn register(name: &str) -> RegisterName {
    RegisterName::Property(PropertyName::new(name).unwrap())
}

async fn delete(peer: &Peer) {
    peer.delete(&bug()).await.unwrap();
}

async fn undelete(peer: &Peer) {
    peer.undelete(&bug()).await.unwrap();
}

/// Creates the bug, with these properties and no others.
async fn create<const N: usize>(peer: &Peer, properties: [(&str, &str); N]) {
    let properties = Properties::try_from(properties).unwrap();
    let created = peer.edit(|edit| {
        let properties = properties.clone();
        async move { edit.create_at(&bug(), properties).await }
    });
    created.await.unwrap();
}

// Writes against writes.

#[test]
fn identical_concurrent_writes_are_no_conflict() {
    in_every_order(async |meeting| {
        let [ada, bob] = peers().await;
        ada.at(2_000).set("fixed").await;
        bob.at(3_000).set("fixed").await;
        meeting.of(&[&ada, &bob]).await;
        for peer in [&ada, &bob] {
            assert_eq!(peer.status().await, shown("fixed"));
            assert_eq!(peer.rule().await, Rule::Agreed);
            assert_eq!(peer.counts().await, (0, 0, 0));
            assert_eq!(peer.conflicts_of(&bug()).await.unwrap(), []);
        }
    });
}

#[test]
fn writes_to_different_properties_are_no_conflict() {
    in_every_order(async |meeting| {
        let [ada, bob] = peers().await;
        ada.set("fixed").await;
        bob.put("owner", Some("bob".into())).await;
        meeting.of(&[&ada, &bob]).await;
        assert_eq!(ada.status().await, shown("fixed"));
        assert_eq!(ada.shows("owner").await, shown("bob"));
        assert_eq!(ada.counts().await, (0, 0, 0));
    });
}

#[test]
fn of_two_writers_the_latest_is_visible_and_the_conflict_is_open_and_listed() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        disagree(&ada, &bob).await;
        meeting.of(&[&ada, &bob, &eve]).await;
        for peer in [&ada, &bob, &eve] {
            assert_eq!(peer.status().await, shown("invalid"));
            let conflicts: Vec<_> = peer.conflicts().try_collect().await.unwrap();
            let [conflict] = conflicts.as_slice() else { panic!("{conflicts:?}") };
            assert_eq!((&conflict.record, &conflict.register), (&bug(), &status()));
            let values: Vec<_> = conflict.values().flatten().cloned().collect();
            assert_eq!(values, ["fixed".into(), "invalid".into()]);
            assert_eq!(conflict.visible, Some("invalid".into()));
            assert_eq!(conflict.rule, Rule::LatestWrite);
            assert_eq!(conflict.votes, []);
            let writers = conflict.candidates.iter().flat_map(|candidate| &candidate.writes);
            let writers: Vec<_> = writers.map(ToString::to_string).collect();
            assert_eq!(writers, ["peer 1", "peer 2"]);
            assert_eq!(peer.counts().await, (1, 0, 0));
        }
    });
}

#[test]
fn the_loser_is_named_in_the_history_with_the_rule() {
    block_on(async {
        let [ada, bob, eve] = peers().await;
        disagree(&ada, &bob).await;
        Meeting::Forward.of(&[&ada, &bob, &eve]).await;
        assert_eq!(
            ada.story().await,
            [
                "created",
                "status: \"new\"",
                "status: \"new\" -> \"fixed\"",
                "(set back) status: \"fixed\" -> \"new\"",
                "status: \"new\" -> \"invalid\"",
                "(conflict) status: \"invalid\" wins, still open, latest write",
            ]
        );
        assert_eq!(
            bob.story().await,
            [
                "created",
                "status: \"new\"",
                "status: \"new\" -> \"invalid\"",
                "(set back) status: \"invalid\" -> \"new\"",
                "status: \"new\" -> \"fixed\"",
                "(settled) status: \"fixed\" -> \"invalid\", still open, latest write",
            ]
        );
        let story = eve.story().await.join("\n");
        for part in ["\"fixed\"", "\"invalid\"", "still open, latest write"] {
            assert!(story.contains(part), "{part}: {story}");
        }
    });
}

#[test]
fn at_the_same_time_the_greater_digest_is_the_latest() {
    in_every_order(async |meeting| {
        let [ada, bob] = peers().await;
        let (fixed, invalid) = (ada.set("fixed").await, bob.set("invalid").await);
        let time = ada.changeset(fixed).await.unwrap().changeset.header().time;
        assert_eq!(bob.changeset(invalid).await.unwrap().changeset.header().time, time);
        meeting.of(&[&ada, &bob]).await;
        let latest = if fixed > invalid { "fixed" } else { "invalid" };
        assert_eq!(bob.status().await, shown(latest));
    });
}

#[test]
fn a_later_write_by_someone_who_saw_both_settles() {
    for to in ["closed", "fixed", "invalid"] {
        in_every_order(async |meeting| {
            let [ada, bob, eve] = peers().await;
            disagree(&ada, &bob).await;
            pull(&eve, &ada).await;
            pull(&eve, &bob).await;
            eve.set(to).await;
            meeting.of(&[&ada, &bob, &eve]).await;
            for peer in [&ada, &bob, &eve] {
                assert_eq!(peer.status().await, shown(to));
                assert_eq!(peer.rule().await, Rule::Agreed);
                assert_eq!(peer.counts().await, (0, 0, 0));
            }
        });
    }
}

#[test]
fn a_later_write_by_someone_who_saw_only_one_settles_nothing() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        disagree(&ada, &bob).await;
        pull(&eve, &ada).await;
        eve.at(4_000).set("closed").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        assert_eq!(bob.tally(&status()).await, tally([("\"closed\"", 0), ("\"invalid\"", 0)]));
        assert_eq!(bob.status().await, shown("closed"));
        assert_eq!(bob.open_conflicts().await, 1);
    });
}

#[test]
fn a_conflict_of_three_values_and_of_four() {
    in_every_order(async |meeting| {
        let [ada, bob, eve, dan] = peers().await;
        disagree(&ada, &bob).await;
        eve.at(4_000).set("closed").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        assert_eq!(ada.status().await, shown("closed"));
        assert_eq!(
            ada.tally(&status()).await,
            tally([("\"closed\"", 0), ("\"fixed\"", 0), ("\"invalid\"", 0)])
        );
        dan.at(2_500).put("status", None).await;
        meeting.of(&[&ada, &bob, &eve, &dan]).await;
        assert_eq!(ada.status().await, shown("closed"));
        assert_eq!(
            ada.tally(&status()).await,
            tally([("absent", 0), ("\"closed\"", 0), ("\"fixed\"", 0), ("\"invalid\"", 0)])
        );
        assert_eq!(ada.open_conflicts().await, 1, "it is one conflict");
    });
}

#[test]
fn the_same_disagreement_is_the_same_conflict_whoever_has_it() {
    block_on(async {
        let [ada, bob] = peers().await;
        disagree(&ada, &bob).await;
        Meeting::Forward.of(&[&ada, &bob]).await;
        let [carl, dora, emil] = peers().await;
        disagree(&emil, &dora).await;
        carl.at(9_000).set("fixed").await;
        Meeting::Backward.of(&[&carl, &dora, &emil]).await;
        let ids = [&ada, &emil].map(async |peer| peer.conflict_on(&status()).await.unwrap().id);
        let [one, other] = ids;
        assert_eq!(one.await, other.await);
    });
}

#[test]
fn empty_text_and_absent_disagree() {
    in_every_order(async |meeting| {
        let [ada, bob] = peers().await;
        ada.at(2_000).set("").await;
        bob.at(3_000).put("status", None).await;
        meeting.of(&[&ada, &bob]).await;
        assert_eq!(ada.tally(&status()).await, tally([("absent", 0), ("\"\"", 0)]));
        assert_eq!(ada.status().await, None, "absent is visible as any other value would be");
        assert_eq!(ada.open_conflicts().await, 1);
        ada.vote("").await;
        meeting.of(&[&ada, &bob]).await;
        assert_eq!(bob.status().await, shown(""));
    });
}

#[test]
fn one_and_one_point_zero_disagree() {
    in_every_order(async |meeting| {
        let [ada, bob] = peers().await;
        ada.at(2_000).put("votes", Some(1.into())).await;
        bob.at(3_000).put("votes", Some(Value::try_from(1.0).unwrap())).await;
        meeting.of(&[&ada, &bob]).await;
        assert_eq!(ada.open_conflicts().await, 1);
        let record = ada.get(&bug()).await.unwrap().unwrap();
        assert_eq!(record.get("votes"), Some(&Value::try_from(1.0).unwrap()));
    });
}

#[test]
fn minus_zero_and_zero_are_the_same() {
    in_every_order(async |meeting| {
        let [ada, bob] = peers().await;
        ada.put("votes", Some(Value::try_from(0.0).unwrap())).await;
        bob.put("votes", Some(Value::try_from(-0.0).unwrap())).await;
        meeting.of(&[&ada, &bob]).await;
        assert_eq!(ada.counts().await, (0, 0, 0));
    });
}

#[test]
fn a_value_merged_by_hand_settles_and_is_marked_so() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        disagree(&ada, &bob).await;
        meeting.of(&[&ada, &bob, &eve]).await;
        let conflict = eve.conflict_on(&status()).await.unwrap();
        let merged = eve.resolve(&conflict, Some("fixed or invalid".into())).await.unwrap();
        let entry = eve.changeset(merged.unwrap()).await.unwrap();
        assert_eq!(entry.changeset.header().kind, Kind::Merge);
        meeting.of(&[&ada, &bob, &eve]).await;
        for peer in [&ada, &bob, &eve] {
            assert_eq!(peer.status().await, shown("fixed or invalid"));
            assert_eq!(peer.rule().await, Rule::Agreed);
            assert_eq!(peer.counts().await, (0, 0, 0));
            let last = peer.history(&bug(), Direction::Backward).next().await.unwrap().unwrap();
            assert!(last.to_string().contains("peer 3  (merge)"), "{last}");
        }
        assert_eq!(ada.votes(conflict.id).await.unwrap(), [], "a merge is no vote");
    });
}

// Votes.

#[test]
fn one_vote_decides() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        disagree(&ada, &bob).await;
        meeting.of(&[&ada, &bob, &eve]).await;
        let cast = eve.vote("fixed").await.unwrap();
        let entry = eve.changeset(cast).await.unwrap();
        assert_eq!(entry.changeset.header().kind, Kind::Resolution);
        meeting.of(&[&ada, &bob, &eve]).await;
        for peer in [&ada, &bob, &eve] {
            assert_eq!(peer.status().await, shown("fixed"));
            assert_eq!(peer.rule().await, Rule::Majority);
            assert_eq!(peer.counts().await, (0, 1, 0));
            assert_eq!(peer.open_conflicts().await, 0, "what is decided is not listed");
        }
    });
}

#[test]
fn applying_the_votes_of_others_casts_none() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        disagree(&ada, &bob).await;
        meeting.of(&[&ada, &bob, &eve]).await;
        eve.vote("fixed").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        let conflict = ada.conflict_on(&status()).await.unwrap();
        assert_eq!(conflict.votes.len(), 1);
        let log: Vec<_> = ada.log(None, Direction::Forward).try_collect().await.unwrap();
        assert_eq!(log.len(), 4, "one creation, two writes, one vote: {log:?}");
    });
}

#[test]
fn a_tie_leaves_it_open() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        disagree(&ada, &bob).await;
        meeting.of(&[&ada, &bob, &eve]).await;
        ada.vote("fixed").await;
        bob.vote("invalid").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        assert_eq!(eve.tally(&status()).await, tally([("\"fixed\"", 1), ("\"invalid\"", 1)]));
        assert_eq!(eve.status().await, shown("invalid"));
        assert_eq!(eve.rule().await, Rule::LatestWrite);
        assert_eq!(eve.open_conflicts().await, 1);
    });
}

#[test]
fn two_votes_to_one_decide() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        disagree(&ada, &bob).await;
        meeting.of(&[&ada, &bob, &eve]).await;
        ada.vote("fixed").await;
        bob.vote("invalid").await;
        eve.vote("fixed").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        assert_eq!(bob.tally(&status()).await, tally([("\"fixed\"", 2), ("\"invalid\"", 1)]));
        assert_eq!(bob.status().await, shown("fixed"));
        assert_eq!(bob.rule().await, Rule::Majority);
    });
}

#[test]
fn most_votes_without_a_strict_majority_show_but_do_not_decide() {
    in_every_order(async |meeting| {
        let [ada, bob, eve, dan] = peers().await;
        disagree(&ada, &bob).await;
        eve.at(4_000).set("closed").await;
        let all = [&ada, &bob, &eve, &dan];
        meeting.of(&all).await;
        for (peer, choice) in all.into_iter().zip(["fixed", "invalid", "closed", "fixed"]) {
            peer.vote(choice).await;
        }
        meeting.of(&all).await;
        assert_eq!(
            dan.tally(&status()).await,
            tally([("\"closed\"", 1), ("\"fixed\"", 2), ("\"invalid\"", 1)]),
            "two of four is not more than half"
        );
        assert_eq!(dan.status().await, shown("fixed"));
        assert_eq!(dan.rule().await, Rule::MostVotes);
        assert_eq!(dan.open_conflicts().await, 1);
    });
}

#[test]
fn a_vote_can_be_changed_and_the_last_word_counts() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        disagree(&ada, &bob).await;
        meeting.of(&[&ada, &bob, &eve]).await;
        eve.at(5_000).vote("fixed").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        eve.at(6_000).vote("invalid").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        for peer in [&ada, &bob, &eve] {
            assert_eq!(peer.tally(&status()).await, tally([("\"fixed\"", 0), ("\"invalid\"", 1)]));
            assert_eq!(peer.status().await, shown("invalid"));
            let conflict = peer.conflict_on(&status()).await.unwrap();
            let votes: Vec<_> = conflict.votes.iter().map(|vote| vote.choice.clone()).collect();
            assert_eq!(votes, [Some("fixed".into()), Some("invalid".into())], "oldest first");
        }
    });
}

#[test]
fn a_superseded_vote_never_makes_an_earlier_one_count_again() {
    in_every_order(async |meeting| {
        let [ada, bob, eve, dan] = peers().await;
        let all = [&ada, &bob, &eve, &dan];
        disagree(&ada, &bob).await;
        meeting.of(&all).await;
        eve.vote("fixed").await;
        eve.vote("invalid").await;
        meeting.of(&all).await;
        // The same conflict again. Bob's write supersedes the vote for the other value.
        bob.at(4_000).set("fixed").await;
        dan.at(5_000).set("invalid").await;
        meeting.of(&all).await;
        assert_eq!(ada.tally(&status()).await, tally([("\"fixed\"", 0), ("\"invalid\"", 0)]));
        assert_eq!(ada.open_conflicts().await, 1);
        assert_eq!(ada.status().await, shown("invalid"));
        let conflict = ada.conflict_on(&status()).await.unwrap();
        assert_eq!(conflict.votes.len(), 2, "earlier decisions are shown");
    });
}

#[test]
fn a_write_supersedes_the_votes_it_saw_for_other_values() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        disagree(&ada, &bob).await;
        meeting.of(&[&ada, &bob, &eve]).await;
        ada.vote("fixed").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        // Deliberately, and concurrently the opposite: the same two values disagree again.
        bob.at(4_000).set("invalid").await;
        eve.at(3_500).set("fixed").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        assert_eq!(ada.tally(&status()).await, tally([("\"fixed\"", 0), ("\"invalid\"", 0)]));
        assert_eq!(ada.status().await, shown("invalid"));
        assert_eq!(ada.rule().await, Rule::LatestWrite);
    });
}

#[test]
fn a_write_supersedes_votes_whatever_values_they_were_cast_on() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        let all = [&ada, &bob, &eve];
        disagree(&ada, &bob).await;
        eve.at(4_000).set("closed").await;
        meeting.of(&all).await;
        eve.vote("fixed").await;
        meeting.of(&all).await;
        bob.at(5_000).set("reopened").await;
        meeting.of(&all).await;
        // Two of the three values, which the vote would rank if it were alive.
        ada.at(6_000).set("fixed").await;
        bob.at(7_000).set("invalid").await;
        meeting.of(&all).await;
        assert_eq!(eve.status().await, shown("invalid"));
        assert_eq!(eve.rule().await, Rule::LatestWrite);
    });
}

#[test]
fn a_write_supersedes_votes_though_no_conflict_is_open() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        let all = [&ada, &bob, &eve];
        disagree(&ada, &bob).await;
        meeting.of(&all).await;
        eve.vote("fixed").await;
        eve.set("fixed").await;
        meeting.of(&all).await;
        assert_eq!(ada.counts().await, (0, 0, 0), "settled, and the vote is still there");
        bob.at(4_000).set("closed").await;
        meeting.of(&all).await;
        ada.at(5_000).set("fixed").await;
        bob.at(6_000).set("invalid").await;
        meeting.of(&all).await;
        assert_eq!(eve.tally(&status()).await, tally([("\"fixed\"", 0), ("\"invalid\"", 0)]));
        assert_eq!(eve.status().await, shown("invalid"));
    });
}

#[test]
fn agreeing_with_a_majority_does_not_defeat_it() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        disagree(&ada, &bob).await;
        meeting.of(&[&ada, &bob, &eve]).await;
        ada.vote("fixed").await;
        pull(&bob, &ada).await;
        // Bob saw the vote and agrees with it; Eve did not, and writes the opposite later.
        bob.at(4_000).set("fixed").await;
        eve.at(5_000).set("invalid").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        assert_eq!(eve.tally(&status()).await, tally([("\"fixed\"", 1), ("\"invalid\"", 0)]));
        assert_eq!(eve.status().await, shown("fixed"));
        assert_eq!(eve.rule().await, Rule::Majority);
    });
}

#[test]
fn a_vote_does_not_count_on_a_conflict_of_other_values() {
    in_every_order(async |meeting| {
        let [ada, bob, eve, dan] = peers().await;
        let all = [&ada, &bob, &eve, &dan];
        disagree(&ada, &bob).await;
        eve.at(4_000).set("closed").await;
        meeting.of(&all).await;
        // Nobody who now writes has seen this vote, which is on three values.
        dan.vote("fixed").await;
        ada.at(5_000).set("fixed").await;
        bob.at(6_000).set("invalid").await;
        meeting.of(&all).await;
        assert_eq!(eve.tally(&status()).await, tally([("\"fixed\"", 0), ("\"invalid\"", 0)]));
        assert_eq!(eve.status().await, shown("invalid"));
        assert_eq!(
            eve.rule().await,
            Rule::LatestWrite,
            "nor does it rank: three are not among two"
        );
    });
}

#[test]
fn votes_on_two_of_three_values_rank_but_do_not_decide() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        disagree(&ada, &bob).await;
        meeting.of(&[&ada, &bob]).await;
        ada.vote("fixed").await;
        eve.at(4_000).set("closed").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        for peer in [&ada, &bob, &eve] {
            assert_eq!(peer.status().await, shown("fixed"), "though another was written last");
            assert_eq!(peer.rule().await, Rule::MostRelatedVotes);
            assert_eq!(peer.open_conflicts().await, 1);
            let conflict = peer.conflict_on(&status()).await.unwrap();
            let related = conflict.candidates.iter().find(|one| !one.related.is_empty()).unwrap();
            assert_eq!(related.value, Some("fixed".into()));
        }
        eve.vote("closed").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        assert_eq!(ada.status().await, shown("closed"), "a vote on all three comes first");
        assert_eq!(ada.rule().await, Rule::Majority);
    });
}

#[test]
fn a_vote_supersedes_the_voters_earlier_ones_whatever_values_they_were_cast_on() {
    in_every_order(async |meeting| {
        let [ada, bob, eve, dan] = peers().await;
        let all = [&ada, &bob, &eve, &dan];
        disagree(&ada, &bob).await;
        meeting.of(&[&ada, &bob]).await;
        ada.vote("fixed").await;
        eve.at(4_000).set("closed").await;
        meeting.of(&all).await;
        ada.vote("invalid").await;
        dan.vote("closed").await;
        meeting.of(&all).await;
        let conflict = ada.conflict_on(&status()).await.unwrap();
        let related = conflict.candidates.iter().map(|one| one.related.len()).sum::<usize>();
        assert_eq!(related, 0, "nobody speaks twice");
        assert_eq!(
            ada.tally(&status()).await,
            tally([("\"closed\"", 1), ("\"fixed\"", 0), ("\"invalid\"", 1)])
        );
    });
}

#[test]
fn the_votes_of_a_settled_conflict_can_still_be_read() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        disagree(&ada, &bob).await;
        meeting.of(&[&ada, &bob, &eve]).await;
        let id = eve.conflict_on(&status()).await.unwrap().id;
        eve.at(4_000).vote("fixed").await;
        bob.at(5_000).vote("invalid").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        ada.set("closed").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        assert_eq!(bob.conflicts_of(&bug()).await.unwrap(), []);
        let votes = bob.votes(id).await.unwrap();
        let votes: Vec<_> =
            votes.iter().map(|vote| (vote.by.to_string(), vote.choice.clone())).collect();
        assert_eq!(
            votes,
            [
                ("peer 3".to_owned(), Some("fixed".into())),
                ("peer 2".to_owned(), Some("invalid".into()))
            ]
        );
    });
}

#[test]
fn replicas_that_all_prefer_their_own_side_end_up_equal() {
    // In the original, A pulls B, B pulls C and C pulls A led to A=a, B=a, C=b for good.
    async fn prefer_own(target: &Peer, source: &Peer) {
        let options = PullOptions::new().prefer(Side::Target);
        target.pull(&source.replica, options).await.unwrap();
    }
    in_every_order(async |meeting| {
        let [a, b, c] = peers().await;
        a.at(2_000).set("a").await;
        b.at(3_000).set("b").await;
        c.at(4_000).set("c").await;
        prefer_own(&b, &c).await;
        prefer_own(&c, &a).await;
        let all = match meeting {
            Meeting::Backward => [&c, &b, &a],
            _ => [&a, &b, &c],
        };
        for _ in 0..3 {
            for target in all {
                for source in all.into_iter().filter(|source| !std::ptr::eq(*source, target)) {
                    prefer_own(target, source).await;
                }
            }
        }
        let first = all[0].status().await;
        for peer in all {
            assert_eq!(peer.status().await, first);
            assert_eq!(peer.rule().await, Rule::Majority);
        }
        meeting.of(&all).await;
        let first = if matches!(meeting, Meeting::Backward) { "c" } else { "a" };
        assert_eq!(a.status().await, shown(first), "who met all three first decided alone");
    });
}

// Existence.

#[test]
fn deleting_on_both_sides_is_no_conflict() {
    in_every_order(async |meeting| {
        let [ada, bob] = peers().await;
        delete(&ada).await;
        delete(&bob).await;
        meeting.of(&[&ada, &bob]).await;
        assert!(!ada.exists().await);
        assert_eq!(ada.rule_of(&EXISTENCE).await, Rule::Agreed);
        assert_eq!(ada.counts().await, (0, 0, 0));
    });
}

#[test]
fn a_delete_against_an_update_leaves_the_record_visible_and_the_conflict_open() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        delete(ada.at(9_000)).await;
        bob.at(2_000).set("fixed").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        for peer in [&ada, &bob, &eve] {
            assert_eq!(peer.status().await, shown("fixed"), "whoever was later");
            assert_eq!(peer.rule_of(&EXISTENCE).await, Rule::Alive);
            let conflicts: Vec<_> = peer.conflicts().try_collect().await.unwrap();
            let [conflict] = conflicts.as_slice() else { panic!("{conflicts:?}") };
            assert_eq!(conflict.register, EXISTENCE);
            let values: Vec<_> = conflict.values().flatten().cloned().collect();
            assert_eq!(values, [false.into(), true.into()]);
            assert_eq!(conflict.visible, Some(true.into()));
        }
    });
}

#[test]
fn a_vote_for_the_deletion_hides_the_record_and_one_for_life_keeps_it() {
    for alive in [false, true] {
        in_every_order(async |meeting| {
            let [ada, bob, eve] = peers().await;
            delete(&ada).await;
            bob.set("fixed").await;
            meeting.of(&[&ada, &bob, &eve]).await;
            eve.vote_alive(alive).await;
            meeting.of(&[&ada, &bob, &eve]).await;
            for peer in [&ada, &bob, &eve] {
                assert_eq!(peer.exists().await, alive);
                assert_eq!(peer.rule_of(&EXISTENCE).await, Rule::Majority);
                assert_eq!(peer.counts().await, (0, 1, 0));
            }
        });
    }
}

#[test]
fn an_update_that_nobody_voting_knew_of_is_not_buried() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        delete(&ada).await;
        bob.set("fixed").await;
        eve.put("owner", Some("eve".into())).await;
        meeting.of(&[&ada, &bob]).await;
        ada.vote_alive(false).await;
        bob.vote_alive(false).await;
        meeting.of(&[&ada, &bob]).await;
        assert!(!ada.exists().await);
        meeting.of(&[&ada, &bob, &eve]).await;
        for peer in [&ada, &bob, &eve] {
            assert_eq!(peer.shows("owner").await, shown("eve"));
            assert_eq!(peer.status().await, shown("fixed"));
            assert_eq!(peer.rule_of(&EXISTENCE).await, Rule::Alive);
            assert_eq!(peer.open_conflicts().await, 1);
            assert_eq!(peer.tally(&EXISTENCE).await, tally([("false", 0), ("true", 0)]));
            let conflict = peer.conflict_on(&EXISTENCE).await.unwrap();
            assert_eq!(conflict.votes.len(), 2, "earlier decisions are shown");
        }
        assert!(ada.vote_alive(false).await.is_some(), "knowing of it, it is another vote");
        meeting.of(&[&ada, &bob, &eve]).await;
        assert!(!eve.exists().await);
    });
}

#[test]
fn an_edit_while_a_deletion_is_contested_settles_nothing() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        delete(&ada).await;
        bob.set("fixed").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        eve.set("fixed, really").await;
        bob.put("title", Some("A typo less".into())).await;
        meeting.of(&[&ada, &bob, &eve]).await;
        assert_eq!(ada.status().await, shown("fixed, really"));
        assert_eq!(ada.rule_of(&EXISTENCE).await, Rule::Alive);
        assert_eq!(ada.open_conflicts().await, 1, "whether it is to exist is still open");
        ada.vote_alive(false).await;
        meeting.of(&[&ada, &bob, &eve]).await;
        assert!(!bob.exists().await);
    });
}

#[test]
fn an_update_supersedes_no_vote_on_existence() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        delete(&ada).await;
        bob.set("fixed").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        eve.vote_alive(true).await;
        meeting.of(&[&ada, &bob, &eve]).await;
        bob.set("fixed, really").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        assert_eq!(ada.tally(&EXISTENCE).await, tally([("false", 0), ("true", 1)]));
        assert_eq!(ada.rule_of(&EXISTENCE).await, Rule::Majority);
    });
}

#[test]
fn deleting_again_having_seen_the_update_settles() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        delete(&ada).await;
        bob.set("fixed").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        eve.vote_alive(true).await;
        pull(&bob, &eve).await;
        delete(&bob).await;
        meeting.of(&[&ada, &bob, &eve]).await;
        assert!(!ada.exists().await);
        assert_eq!(ada.rule_of(&EXISTENCE).await, Rule::Agreed);
        assert_eq!(ada.counts().await, (0, 0, 0));
    });
}

#[test]
fn a_delete_supersedes_the_votes_on_existence_that_it_saw() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        let all = [&ada, &bob, &eve];
        delete(&ada).await;
        bob.set("fixed").await;
        meeting.of(&all).await;
        eve.vote_alive(true).await;
        meeting.of(&all).await;
        // Bob deletes it all the same, and the conflict goes on, for Ada edits.
        delete(&bob).await;
        ada.set("fixed, really").await;
        meeting.of(&all).await;
        assert_eq!(eve.tally(&EXISTENCE).await, tally([("false", 0), ("true", 0)]));
        assert_eq!(eve.rule_of(&EXISTENCE).await, Rule::Alive);
    });
}

#[test]
fn an_undelete_supersedes_the_votes_on_existence_that_it_saw() {
    in_every_order(async |meeting| {
        let [ada, bob, eve, dan] = peers().await;
        delete(&ada).await;
        bob.set("fixed").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        eve.vote_alive(true).await;
        ada.vote_alive(false).await;
        bob.vote_alive(false).await;
        meeting.of(&[&ada, &bob, &eve]).await;
        assert!(!eve.exists().await);
        undelete(&ada).await;
        // Dan, who knows of none of this, makes it the same conflict again.
        delete(&dan).await;
        meeting.of(&[&ada, &bob, &eve, &dan]).await;
        assert_eq!(eve.tally(&EXISTENCE).await, tally([("false", 0), ("true", 0)]));
        assert_eq!(eve.rule_of(&EXISTENCE).await, Rule::Alive);
    });
}

#[test]
fn an_undelete_settles() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        delete(&ada).await;
        bob.set("fixed").await;
        pull(&eve, &ada).await;
        undelete(&eve).await;
        meeting.of(&[&ada, &bob, &eve]).await;
        for peer in [&ada, &bob, &eve] {
            assert_eq!(peer.status().await, shown("fixed"));
            assert_eq!(peer.rule_of(&EXISTENCE).await, Rule::Agreed);
            assert_eq!(peer.counts().await, (0, 0, 0));
        }
    });
}

#[test]
fn an_undelete_settles_what_votes_had_decided() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        delete(&ada).await;
        bob.set("fixed").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        ada.vote_alive(false).await;
        meeting.of(&[&ada, &bob, &eve]).await;
        undelete(&eve).await;
        meeting.of(&[&ada, &bob, &eve]).await;
        assert_eq!(ada.status().await, shown("fixed"));
        assert_eq!(ada.rule_of(&EXISTENCE).await, Rule::Agreed);
    });
}

#[test]
fn undeleting_what_is_visible_but_contested_says_how_to_keep_it() {
    block_on(async {
        let [ada, bob] = peers().await;
        delete(&ada).await;
        bob.set("fixed").await;
        Meeting::Forward.of(&[&ada, &bob]).await;
        let error = ada.undelete(&bug()).await.unwrap_err().to_string();
        assert!(error.contains("contested") && error.contains("vote"), "{error}");
    });
}

#[test]
fn created_on_two_sides_with_the_same_properties_is_no_conflict() {
    in_every_order(async |meeting| {
        let (ada, bob) = (Peer::new(1).await, Peer::new(2).await);
        create(&ada, [("status", "new"), ("title", "Crash")]).await;
        create(&bob, [("status", "new"), ("title", "Crash")]).await;
        meeting.of(&[&ada, &bob]).await;
        assert_eq!(ada.counts().await, (0, 0, 0));
        assert_eq!(ada.status().await, shown("new"));
    });
}

#[test]
fn created_on_two_sides_with_different_properties_they_disagree_about_those_alone() {
    in_every_order(async |meeting| {
        let (ada, bob) = (Peer::new(1).await, Peer::new(2).await);
        create(ada.at(3_000), [("status", "new"), ("title", "Crash"), ("owner", "ada")]).await;
        create(bob.at(2_000), [("status", "open"), ("title", "Crash"), ("place", "here")]).await;
        meeting.of(&[&ada, &bob]).await;
        for peer in [&ada, &bob] {
            let conflicts: Vec<_> = peer.conflicts().try_collect().await.unwrap();
            let registers: Vec<_> = conflicts.iter().map(|one| one.register.clone()).collect();
            assert_eq!(registers, [status()]);
            assert_eq!(peer.status().await, shown("new"));
            assert_eq!(peer.shows("owner").await, shown("ada"), "what only one side set is there");
            assert_eq!(peer.shows("place").await, shown("here"));
        }
    });
}

#[test]
fn existence_and_a_property_can_be_contested_at_once() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        let all = [&ada, &bob, &eve];
        bob.at(2_000).set("fixed").await;
        eve.at(3_000).set("invalid").await;
        delete(&ada).await;
        meeting.of(&all).await;
        assert_eq!(ada.counts().await, (2, 0, 0));
        assert_eq!(ada.status().await, shown("invalid"));
        eve.vote_alive(false).await;
        meeting.of(&all).await;
        assert_eq!(ada.counts().await, (0, 1, 1), "the deletion hides the other one");
        assert_eq!(ada.open_conflicts().await, 0);
        ada.vote_alive(true).await;
        meeting.of(&all).await;
        assert_eq!(ada.counts().await, (2, 0, 0), "a tie, and so all is visible again");
        bob.vote("fixed").await;
        meeting.of(&all).await;
        assert_eq!(eve.counts().await, (1, 1, 0));
        assert_eq!(eve.status().await, shown("fixed"));
    });
}

#[test]
fn created_anew_a_record_has_what_it_was_given_and_what_was_written_meanwhile() {
    in_every_order(async |meeting| {
        let (ada, bob) = (Peer::new(1).await, Peer::new(2).await);
        create(&ada, [("status", "new"), ("title", "Crash")]).await;
        pull(&bob, &ada).await;
        delete(&ada).await;
        create(&ada, [("status", "fresh")]).await;
        bob.put("owner", Some("bob".into())).await;
        meeting.of(&[&ada, &bob]).await;
        for peer in [&ada, &bob] {
            assert_eq!(peer.counts().await, (0, 0, 0), "both say that it exists");
            assert_eq!(peer.status().await, shown("fresh"));
            assert_eq!(peer.shows("title").await, None, "the new creation did not set it");
            assert_eq!(
                peer.shows("owner").await,
                shown("bob"),
                "only an update knew it: it joins in"
            );
        }
    });
}

#[test]
fn created_anew_against_an_update_of_what_it_was() {
    in_every_order(async |meeting| {
        let (ada, bob) = (Peer::new(1).await, Peer::new(2).await);
        create(&ada, [("status", "new"), ("title", "Crash")]).await;
        pull(&bob, &ada).await;
        delete(&ada).await;
        create(ada.at(3_000), [("status", "fresh")]).await;
        bob.at(2_000).put("title", Some("Crash at start".into())).await;
        meeting.of(&[&ada, &bob]).await;
        let title = register("title");
        assert_eq!(ada.tally(&title).await, tally([("absent", 0), ("\"Crash at start\"", 0)]));
        assert_eq!(ada.shows("title").await, None);
        assert_eq!(ada.counts().await, (1, 0, 0));
    });
}

#[test]
fn created_anew_on_one_side_and_undeleted_on_the_other() {
    in_every_order(async |meeting| {
        let [ada, bob] = peers().await;
        delete(&ada).await;
        Meeting::Forward.of(&[&ada, &bob]).await;
        create(&ada, [("status", "fresh")]).await;
        undelete(&bob).await;
        assert_eq!(bob.status().await, shown("new"));
        meeting.of(&[&ada, &bob]).await;
        assert_eq!(ada.status().await, shown("fresh"), "an undelete writes no property");
        assert_eq!(ada.counts().await, (0, 0, 0));
    });
}

#[test]
fn created_anew_on_both_sides_the_properties_disagree() {
    in_every_order(async |meeting| {
        let [ada, bob] = peers().await;
        delete(&ada).await;
        Meeting::Forward.of(&[&ada, &bob]).await;
        create(ada.at(3_000), [("status", "fresh")]).await;
        create(bob.at(2_000), [("status", "again")]).await;
        meeting.of(&[&ada, &bob]).await;
        assert_eq!(ada.counts().await, (1, 0, 0));
        assert_eq!(ada.status().await, shown("fresh"));
        assert_eq!(ada.rule_of(&EXISTENCE).await, Rule::Agreed);
    });
}

#[test]
fn created_anew_after_a_vote_for_the_deletion() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        let all = [&ada, &bob, &eve];
        ada.delete(&bug()).await.unwrap();
        bob.at(2_000).set("fixed").await;
        eve.at(3_000).set("invalid").await;
        meeting.of(&all).await;
        ada.vote_alive(false).await;
        meeting.of(&all).await;
        assert_eq!(bob.counts().await, (0, 1, 1));
        create(&bob, [("title", "Crash")]).await;
        meeting.of(&all).await;
        for peer in all {
            assert_eq!(peer.counts().await, (0, 0, 0), "all of that is over");
            assert_eq!(peer.status().await, None);
            assert_eq!(peer.shows("title").await, shown("Crash"));
        }
    });
}

#[test]
fn an_update_that_meets_a_hidden_record_brings_all_of_it_back() {
    block_on(async {
        let (ada, bob) = (Peer::new(1).await, Peer::new(2).await);
        create(&ada, [("status", "new"), ("title", "Crash")]).await;
        pull(&bob, &ada).await;
        delete(&ada).await;
        bob.set("fixed").await;
        pull(&ada, &bob).await;
        assert_eq!(ada.status().await, shown("fixed"));
        assert_eq!(ada.shows("title").await, shown("Crash"));
        assert_eq!(
            ada.story().await[3..],
            [
                "deleted",
                "status: \"new\" removed",
                "title: \"Crash\" removed",
                "(set back) undeleted",
                "(set back) status: \"new\"",
                "status: \"new\" -> \"fixed\"",
                "(conflict) remains alive, still open, and alive until decided",
                "(settled) title: \"Crash\"",
            ]
        );
        pull(&bob, &ada).await;
        assert_eq!(
            bob.story().await[4..],
            [
                "(set back) status: \"fixed\" -> \"new\"",
                "deleted",
                "status: \"new\" removed",
                "title: \"Crash\" removed",
                "(settled) undeleted, still open, and alive until decided",
                "(settled) status: \"fixed\"",
                "(settled) title: \"Crash\"",
            ]
        );
    });
}

#[test]
fn hidden_conflicts_are_kept_and_counted_but_not_listed() {
    in_every_order(async |meeting| {
        let [ada, bob] = peers().await;
        disagree(&ada, &bob).await;
        meeting.of(&[&ada, &bob]).await;
        delete(&ada).await;
        meeting.of(&[&ada, &bob]).await;
        for peer in [&ada, &bob] {
            assert!(!peer.exists().await);
            assert_eq!(peer.counts().await, (0, 0, 1));
            assert_eq!(peer.open_conflicts().await, 0);
            let contested = Query::of("bug").unwrap().contested();
            assert_eq!(peer.count(&contested).await.unwrap(), 0);
            assert_eq!(peer.conflicts_of(&bug()).await.unwrap().len(), 1);
            let why = peer.why(&bug(), &status()).await.unwrap().to_string();
            assert!(why.contains("hidden, for the record is deleted"), "{why}");
        }
        undelete(&bob).await;
        meeting.of(&[&ada, &bob]).await;
        assert_eq!(ada.counts().await, (1, 0, 0));
        assert_eq!(ada.status().await, shown("invalid"), "as it was");
    });
}

#[test]
fn a_conflict_that_comes_about_while_the_record_is_hidden_is_kept() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        disagree(&ada, &bob).await;
        pull(&eve, &ada).await;
        pull(&eve, &bob).await;
        delete(&eve).await;
        meeting.of(&[&ada, &bob, &eve]).await;
        for peer in [&ada, &bob, &eve] {
            assert_eq!(peer.counts().await, (0, 0, 1));
        }
    });
}

// Clocks.

#[test]
fn a_clock_far_ahead_is_accepted_and_does_not_win_for_ever() {
    in_every_order(async |meeting| {
        let [ada, bob, eve, dan] = peers().await;
        ada.at(u64::MAX).set("fixed").await;
        pull(&bob, &ada).await;
        let later = bob.at(5_000).set("invalid").await;
        let time = bob.changeset(later).await.unwrap().changeset.header().time;
        assert!(time.millis() < 70_000, "nobody else's clock is taken along: {time}");
        eve.at(6_000).set("closed").await;
        meeting.of(&[&ada, &bob, &eve]).await;
        assert_eq!(eve.status().await, shown("invalid"), "it saw the one from the future");
        assert_eq!(eve.rule().await, Rule::LatestWrite);
        pull(&dan, &bob).await;
        dan.at(7_000).set("reopened").await;
        meeting.of(&[&ada, &bob, &eve, &dan]).await;
        assert_eq!(ada.status().await, shown("reopened"));
        assert_eq!(ada.rule().await, Rule::Agreed);
    });
}

#[test]
fn a_write_that_builds_on_one_from_the_future_ranks_with_it_however_indirectly() {
    in_every_order(async |meeting| {
        let [ada, bob, eve, dan] = peers().await;
        ada.at(1 << 60).set("fixed").await;
        pull(&bob, &ada).await;
        bob.at(5_000).set("invalid").await;
        pull(&dan, &bob).await;
        dan.at(5_500).set("reopened").await;
        eve.at(6_000).set("closed").await;
        meeting.of(&[&ada, &bob, &eve, &dan]).await;
        assert_eq!(ada.status().await, shown("reopened"));
        assert_eq!(ada.tally(&status()).await, tally([("\"closed\"", 0), ("\"reopened\"", 0)]));
    });
}

#[test]
fn at_the_end_of_time_clocks_do_not_overflow() {
    in_every_order(async |meeting| {
        let [ada, bob] = peers().await;
        ada.at(u64::MAX);
        for status in ["one", "two", "three"] {
            ada.set(status).await;
        }
        bob.at(u64::MAX).set("other").await;
        meeting.of(&[&ada, &bob]).await;
        assert_eq!(bob.tally(&status()).await, tally([("\"other\"", 0), ("\"three\"", 0)]));
        assert_eq!(bob.status().await, shown("three"), "the counter still tells them apart");
    });
}

// Telling people.

#[test]
fn why_says_who_wrote_what_which_rule_decided_and_what_would_flip_it() {
    block_on(async {
        let [ada, bob, eve] = peers().await;
        disagree(&ada, &bob).await;
        Meeting::Forward.of(&[&ada, &bob, &eve]).await;
        let why = eve.why(&bug(), &status()).await.unwrap();
        assert_eq!((&why.record, &why.register), (&bug(), &status()));
        assert_eq!((why.existence, why.rule), (Existence::Alive, Some(Rule::LatestWrite)));
        assert_eq!(why.value, Some("invalid".into()));
        assert_eq!(why.conflict, eve.conflict_on(&status()).await.map(|conflict| conflict.id));
        let flips: Vec<_> = why.flips.iter().map(|flip| (flip.value.clone(), flip.votes)).collect();
        assert_eq!(flips, [(Some("fixed".into()), 1), (Some("invalid".into()), 1)]);
        assert_eq!(
            why.to_string(),
            format!(
                "property \"status\" of {} is \"invalid\": open; no vote counts, and it was \
                 written last
  \"fixed\"
    written by peer 1 (1970-01-01T00:00:02.000Z)
  \"invalid\"
    written by peer 2 (1970-01-01T00:00:03.000Z)
  1 more vote for \"fixed\" would decide for it
  1 more vote for \"invalid\" would decide for it
  a later edit, by somebody who has seen all of this, would settle it",
                bug()
            )
        );

        eve.at(4_000).vote("fixed").await;
        let why = eve.why(&bug(), &status()).await.unwrap();
        let flips: Vec<_> = why.flips.iter().map(|flip| (flip.value.clone(), flip.votes)).collect();
        assert_eq!(flips, [(Some("invalid".into()), 2)], "one vote more only makes it a tie");
        assert_eq!(
            why.to_string(),
            format!(
                "property \"status\" of {} is \"fixed\": decided, 1 of 1 vote for it
  \"fixed\"
    written by peer 1 (1970-01-01T00:00:02.000Z)
    voted for by peer 3 (1970-01-01T00:00:04.000Z)
  \"invalid\"
    written by peer 2 (1970-01-01T00:00:03.000Z)
  2 more votes for \"invalid\" would decide for it
  a later edit, by somebody who has seen all of this, would settle it",
                bug()
            )
        );

        eve.at(5_000).vote("invalid").await;
        let why = eve.why(&bug(), &status()).await.unwrap().to_string();
        let once =
            "peer 3 (1970-01-01T00:00:04.000Z) once voted for \"fixed\", which counts no more";
        assert!(why.contains(once), "{why}");
    });
}

#[test]
fn why_says_of_no_value_that_it_was_written_last_when_it_was_not() {
    block_on(async {
        let [ada, bob, eve, dan, fay] = peers().await;
        let all = [&ada, &bob, &eve, &dan, &fay];
        disagree(&ada, &bob).await;
        eve.at(4_000).set("closed").await;
        Meeting::Forward.of(&all).await;
        let choices = ["fixed", "fixed", "invalid", "invalid", "closed"];
        for (peer, choice) in all.into_iter().zip(choices) {
            peer.vote(choice).await;
        }
        Meeting::Forward.of(&all).await;
        let why = ada.why(&bug(), &status()).await.unwrap();
        assert_eq!(why.value, Some("invalid".into()), "the later of the two with two votes");
        assert!(!why.to_string().contains("votes are level, and it was written last"), "{why}");
    });
}

#[test]
fn what_why_says_would_flip_a_conflict_does_flip_it() {
    block_on(async {
        let [ada, bob, eve, dan, fay] = peers().await;
        let all = [&ada, &bob, &eve, &dan, &fay];
        disagree(&ada, &bob).await;
        Meeting::Forward.of(&all).await;
        ada.vote("fixed").await;
        Meeting::Forward.of(&[&ada, &bob]).await;
        bob.vote("invalid").await;
        Meeting::Forward.of(&all).await;
        let why = ada.why(&bug(), &status()).await.unwrap();
        assert!(why.to_string().contains("1 more vote for \"fixed\" would decide for it"), "{why}");
        eve.vote("fixed").await;
        Meeting::Forward.of(&all).await;
        assert_eq!((ada.status().await, ada.rule().await), (shown("fixed"), Rule::Majority));
        let why = ada.why(&bug(), &status()).await.unwrap();
        let flips: Vec<_> = why.flips.iter().map(|flip| flip.votes).collect();
        assert_eq!(flips, [2]);
        dan.vote("invalid").await;
        fay.vote("invalid").await;
        Meeting::Forward.of(&all).await;
        assert_eq!((ada.status().await, ada.rule().await), (shown("invalid"), Rule::Majority));
    });
}

#[test]
fn why_tells_of_existence_in_words_and_of_what_nobody_wrote() {
    block_on(async {
        let [ada, bob] = peers().await;
        delete(ada.at(2_000)).await;
        bob.at(3_000).set("fixed").await;
        Meeting::Forward.of(&[&ada, &bob]).await;
        assert_eq!(
            ada.why(&bug(), &EXISTENCE).await.unwrap().to_string(),
            format!(
                "existence of {} is alive: open, and alive until somebody decides
  deleted
    written by peer 1 (1970-01-01T00:00:02.000Z)
  alive
    written by peer 2 (1970-01-01T00:00:03.000Z)
  1 more vote for deleted would decide for it
  1 more vote for alive would decide for it
  deleting it, by somebody who has seen all of this, would settle it",
                bug()
            )
        );
        let why = ada.why(&bug(), &register("owner")).await.unwrap();
        assert_eq!((why.rule, why.value.clone(), why.candidates.len()), (None, None, 0));
        assert!(why.to_string().contains("was never written here"), "{why}");
    });
}

#[test]
fn what_why_says_would_settle_a_deletion_does() {
    block_on(async {
        let [ada, bob] = peers().await;
        delete(&ada).await;
        bob.set("fixed").await;
        Meeting::Forward.of(&[&ada, &bob]).await;
        let why = ada.why(&bug(), &EXISTENCE).await.unwrap().to_string();
        assert!(why.contains("deleting it, by somebody who has seen all of this"), "{why}");
        ada.set("closed").await;
        assert_eq!(ada.rule_of(&EXISTENCE).await, Rule::Alive, "an edit settles no deletion");
        delete(&ada).await;
        assert_eq!(ada.rule_of(&EXISTENCE).await, Rule::Agreed);
    });
}

#[test]
fn a_record_says_what_of_it_is_contested() {
    block_on(async {
        let [ada, bob] = peers().await;
        disagree(&ada, &bob).await;
        assert!(ada.get(&bug()).await.unwrap().unwrap().contested().is_empty());
        Meeting::Forward.of(&[&ada, &bob]).await;
        for voted in [false, true] {
            if voted {
                ada.vote("fixed").await;
            }
            let record = ada.get(&bug()).await.unwrap().unwrap();
            let contested: Vec<_> = record.contested().iter().collect();
            let values = vec![Some(Value::from("fixed")), Some("invalid".into())];
            assert_eq!(contested, [(&status(), &values)], "decided or not");
        }
        let of = ada.find(&Query::of("bug").unwrap()).next().await.unwrap().unwrap();
        assert!(of.contested().contains_key(&status()));
        ada.set("closed").await;
        assert!(ada.get(&bug()).await.unwrap().unwrap().contested().is_empty());
    });
}

#[test]
fn contested_records_are_found_by_a_query_from_json_too() {
    block_on(async {
        let [ada, bob] = peers().await;
        ada.replica
            .create("bug", Properties::try_from([("status", "new")]).unwrap())
            .await
            .unwrap();
        ada.replica
            .create("note", Properties::try_from([("text", "a note")]).unwrap())
            .await
            .unwrap();
        let contested = Query::of("bug").unwrap().contested();
        assert_eq!(ada.count(&contested).await.unwrap(), 0);
        disagree(&ada, &bob).await;
        Meeting::Forward.of(&[&ada, &bob]).await;
        let json = serde_json::to_string(&contested).unwrap();
        assert!(json.contains(r#""contested":true"#), "{json}");
        let read: Query = serde_json::from_str(&json).unwrap();
        assert_eq!(read, contested);
        let plain: Query = serde_json::from_str(r#"{"type": "bug"}"#).unwrap();
        assert_eq!(plain, Query::of("bug").unwrap(), "what is not said is not asked");

        let found: Vec<_> = ada.find(&read).try_collect().await.unwrap();
        assert_eq!(found.iter().map(Record::key).collect::<Vec<_>>(), [&bug()]);
        assert_eq!(ada.count(&plain).await.unwrap(), 2);
        let open = contested.clone().filter(property("status").unwrap().eq("fixed"));
        assert_eq!(ada.count(&open).await.unwrap(), 0, "what is visible is what is compared");
        ada.vote("fixed").await;
        assert_eq!(ada.count(&open).await.unwrap(), 1, "decided, and still contested");
        ada.set("closed").await;
        assert_eq!(ada.count(&contested).await.unwrap(), 0);
        let then = ada.as_of(ada.head().await.unwrap().position).await.unwrap();
        let error = then.find(&contested).next().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("is not kept"), "{error}");
    });
}

#[test]
fn conflicts_of_one_type_come_together_by_id() {
    block_on(async {
        let (ada, bob) = (Peer::new(1).await, Peer::new(2).await);
        let types = ["a", "b", "c", "d", "e", "f"];
        for name in types {
            ada.replica
                .create(name, Properties::try_from([("status", "new")]).unwrap())
                .await
                .unwrap();
            ada.replica
                .create(name, Properties::try_from([("status", "new")]).unwrap())
                .await
                .unwrap();
        }
        pull(&bob, &ada).await;
        for (peer, to) in [(&ada, "fixed"), (&bob, "invalid")] {
            for name in types {
                let of_type = peer.find(&Query::of(name).unwrap());
                let found: Vec<_> = of_type.try_collect().await.unwrap();
                for record in found {
                    let set = Properties::try_from([("status", to)]).unwrap();
                    peer.update(record.key(), set).await.unwrap();
                }
            }
        }
        pull(&ada, &bob).await;
        let conflicts: Vec<_> = ada.conflicts().try_collect().await.unwrap();
        assert_eq!(conflicts.len(), 12);
        let records: Vec<_> = conflicts.into_iter().map(|conflict| conflict.record).collect();
        let of_one_type: Vec<_> =
            records.chunk_by(|one, other| one.record_type() == other.record_type()).collect();
        assert_eq!(of_one_type.len(), types.len(), "{records:#?}");
        assert!(of_one_type.iter().all(|records| records.is_sorted()), "{records:#?}");
    });
}

#[test]
fn history_tells_of_votes_decisions_and_what_settled_them() {
    block_on(async {
        let [ada, bob] = peers().await;
        disagree(&ada, &bob).await;
        pull(&ada, &bob).await;
        ada.vote("fixed").await;
        ada.vote("invalid").await;
        ada.set("closed").await;
        assert_eq!(
            ada.story().await[3..],
            [
                "(set back) status: \"fixed\" -> \"new\"",
                "status: \"new\" -> \"invalid\"",
                "(conflict) status: \"invalid\" wins, still open, latest write",
                "status: voted for \"fixed\" over \"invalid\"",
                "(settled) status: \"invalid\" -> \"fixed\", by majority of votes",
                "status: voted for \"invalid\" over \"fixed\"",
                "(settled) status: \"fixed\" -> \"invalid\", by majority of votes",
                "status: \"invalid\" -> \"closed\"",
            ]
        );
        let entries: Vec<HistoryEntry> =
            ada.history(&bug(), Direction::Forward).try_collect().await.unwrap();
        assert_eq!(entries[2].changes[2].rule, Some(Rule::LatestWrite));
        assert_eq!(entries[3].votes[0].choice, Some("fixed".into()));
        assert_eq!(entries[3].kind, Kind::Resolution);
        assert!(entries[2].arrived && !entries[3].arrived);
        assert!(entries[3].to_string().contains("peer 1  (resolution)"), "{}", entries[3]);
    });
}

#[test]
fn history_tells_of_a_deletion_that_was_voted_on() {
    block_on(async {
        let [ada, bob] = peers().await;
        delete(&ada).await;
        bob.set("fixed").await;
        pull(&bob, &ada).await;
        bob.vote_alive(false).await;
        assert_eq!(
            bob.story().await[3..],
            [
                "(set back) status: \"fixed\" -> \"new\"",
                "deleted",
                "status: \"new\" removed",
                "(settled) undeleted, still open, and alive until decided",
                "(settled) status: \"fixed\"",
                "voted for deleted over alive",
                "(settled) deleted, by majority of votes",
                "(settled) status: \"fixed\" removed",
            ]
        );
    });
}
