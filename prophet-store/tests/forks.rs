//! Copied and restored replicas: seen at the first meeting, and nothing lost.

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
use support::peers::{Meeting, Peer, bug, in_every_order, meet, peers, pull, status};

fn shown(status: &str) -> Option<String> {
    Some(status.to_owned())
}

fn tally<const N: usize>(votes: [(&str, usize); N]) -> Vec<(String, usize)> {
    votes.map(|(value, votes)| (value.to_owned(), votes)).to_vec()
}

async fn id(peer: &Peer) -> ReplicaId {
    peer.author().await.unwrap()
}

/// How many tips of an origin it has seen.
async fn branches(peer: &Peer, origin: ReplicaId) -> usize {
    peer.vector().await.unwrap().of(origin).len()
}

async fn log(peer: &Peer) -> Vec<Changeset> {
    let entries: Vec<LogEntry> = peer.log(None, Direction::Forward).try_collect().await.unwrap();
    entries.into_iter().map(|entry| entry.changeset).collect()
}

/// Ada, who sets the status to "fixed", and a copy of her that sets it to "invalid", a little
/// later; nobody knows yet.
async fn copied() -> (Peer, Peer) {
    let ada = Peer::new(1).await;
    ada.create(&bug(), "new").await;
    let copy = ada.copied().await;
    ada.at(2_000).set("fixed").await;
    copy.at(3_000).set("invalid").await;
    (ada, copy)
}

// Copies.

#[test]
fn a_copied_replica_is_found_at_the_first_meeting_and_goes_on_under_a_new_id() {
    block_on(async {
        let ada = Peer::new(1).await;
        ada.create(&bug(), "new").await;
        let copy = ada.copied().await;
        let kept = ada.set("fixed").await;
        let came = copy.set("invalid").await;
        let id = ada.author().await.unwrap();

        let report = pull(&ada, &copy).await;
        let [fork] = report.forks.as_slice() else { panic!("{report:?}") };
        assert_eq!((fork.origin, fork.sequence.get()), (id, 2));
        assert_eq!((fork.known, fork.came), (kept, came), "both digests are reported");
        assert_eq!(fork.continued_as, Some(ada.author().await.unwrap()));
        assert_ne!(ada.author().await.unwrap(), id);
        assert_eq!(ada.vector().await.unwrap().of(id).len(), 2, "both branches are integrated");
        assert_eq!(ada.open_conflicts().await, 1, "they disagree like any two replicas");
    });
}

#[test]
fn the_report_says_in_words_who_was_copied_and_how_it_goes_on() {
    block_on(async {
        let (ada, copy) = copied().await;
        let old = id(&ada).await;
        let report = pull(&ada, &copy).await.to_string();
        for part in [&old.to_string(), &id(&ada).await.to_string(), "changeset 2", "copied"] {
            assert!(report.contains(part), "{part}: {report}");
        }
    });
}

#[test]
fn both_copies_go_on_under_new_ids_and_are_no_fork_from_then_on() {
    in_every_order(async |meeting| {
        let (ada, copy) = copied().await;
        let old = id(&ada).await;
        meeting.of(&[&ada, &copy]).await;
        let ids = [old, id(&ada).await, id(&copy).await];
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[2] != ids[0], "{ids:?}");
        assert_eq!(ada.status().await, shown("invalid"));
        ada.set("one").await;
        copy.set("other").await;
        let reports = [pull(&ada, &copy).await, pull(&copy, &ada).await];
        assert!(reports.iter().all(|report| report.forks.is_empty()), "{reports:?}");
        meeting.of(&[&ada, &copy]).await;
        assert_eq!([id(&ada).await, id(&copy).await], ids[1..], "no other id is needed");
        assert_eq!(branches(&ada, old).await, 2);
        for id in &ids[1..] {
            assert_eq!(branches(&ada, *id).await, 1);
        }
        assert_eq!(ada.open_conflicts().await, 1);
    });
}

#[test]
fn meeting_writes_nothing_and_the_first_edit_says_what_it_goes_on_from() {
    block_on(async {
        let (ada, copy) = copied().await;
        let old = id(&ada).await;
        let kept = ada.vector().await.unwrap().of(old)[0].digest;
        pull(&ada, &copy).await;
        assert_eq!(log(&ada).await.len(), 3, "the creation and both writes, nothing authored anew");
        let closed = ada.set("closed").await;
        let log = log(&ada).await;
        let [.., continuation, edit] = log.as_slice() else { panic!("{log:?}") };
        assert_eq!(log.len(), 5);
        assert_eq!(continuation.payload(), &Payload::Continuation { replica: old, tip: kept });
        let header = continuation.header();
        assert_eq!((header.origin, header.sequence), (id(&ada).await, Sequence::FIRST));
        assert_eq!(edit.digest(), closed);
        assert_eq!(edit.header().previous, Some(continuation.digest()));
        assert_eq!(ada.status().await, shown("closed"));
        assert_eq!(ada.open_conflicts().await, 0, "it saw both branches");
        ada.set("closed again").await;
        assert_eq!(ada.log(None, Direction::Forward).count().await, 6, "it is said only once");
    });
}

#[test]
fn the_new_id_is_remembered() {
    block_on(async {
        let (ada, copy) = copied().await;
        pull(&ada, &copy).await;
        let id = ada.author().await.unwrap();
        let volume = ada.volume.clone();
        drop(ada);
        let ada = Replica::open(MemoryStore::open(&volume).unwrap()).await.unwrap();
        assert_eq!(ada.author().await.unwrap(), id);
    });
}

#[test]
fn a_third_replica_is_told_of_the_fork_once_and_keeps_its_own_id() {
    block_on(async {
        let (ada, copy) = copied().await;
        let bob = Peer::new(2).await;
        assert_eq!(pull(&bob, &ada).await.forks, []);
        let report = pull(&bob, &copy).await;
        let [fork] = report.forks.as_slice() else { panic!("{report:?}") };
        assert_eq!((fork.origin, fork.continued_as), (id(&ada).await, None));
        assert_eq!(id(&bob).await, ReplicaId::from_bytes([2; 16]));
        assert_eq!(pull(&bob, &copy).await.forks, []);
        copy.set("invalid, really").await;
        assert_eq!(pull(&bob, &copy).await.forks, [], "the branch is known already");
        assert_eq!(branches(&bob, id(&ada).await).await, 2);
    });
}

#[test]
fn a_third_replica_that_gets_both_branches_at_once_is_told_too() {
    block_on(async {
        let (ada, copy) = copied().await;
        let (bob, eve) = (Peer::new(2).await, Peer::new(3).await);
        pull(&bob, &ada).await;
        pull(&bob, &copy).await;
        let report = pull(&eve, &bob).await;
        assert_eq!(report.forks.len(), 1, "{report:?}");
        assert_eq!(report.integrated, 3);
    });
}

#[test]
fn a_copy_is_found_through_others_though_the_copies_never_meet() {
    block_on(async {
        let (ada, copy) = copied().await;
        let bob = Peer::new(2).await;
        let old = id(&ada).await;
        pull(&bob, &copy).await;
        let report = pull(&ada, &bob).await;
        assert_eq!(report.forks.len(), 1);
        assert_ne!(id(&ada).await, old);
        // The copy does not know, and goes on as it was: nobody else uses that id any more.
        copy.set("invalid, really").await;
        ada.set("fixed, really").await;
        meet(&[&ada, &bob]).await;
        pull(&bob, &copy).await;
        meet(&[&ada, &bob, &copy]).await;
        assert_eq!(branches(&bob, old).await, 2);
        assert_ne!(id(&copy).await, old, "now it knows too");
    });
}

#[test]
fn branches_whose_peers_met_different_others_end_up_equal() {
    in_every_order(async |meeting| {
        let (ada, copy) = copied().await;
        let [bob, eve] = [Peer::new(2).await, Peer::new(3).await];
        meet(&[&ada, &bob]).await;
        meet(&[&copy, &eve]).await;
        bob.at(4_000).set("closed").await;
        eve.at(5_000).set("reopened").await;
        ada.put("owner", Some("ada".into())).await;
        copy.put("owner", Some("the copy".into())).await;
        meet(&[&ada, &bob]).await;
        meet(&[&copy, &eve]).await;
        meeting.of(&[&ada, &copy, &bob, &eve]).await;
        for peer in [&ada, &copy, &bob, &eve] {
            assert_eq!(peer.status().await, shown("reopened"));
            assert_eq!(
                peer.tally(&status()).await,
                tally([("\"closed\"", 0), ("\"reopened\"", 0)])
            );
            assert_eq!(peer.counts().await, (2, 0, 0), "the owner is contested too");
            assert_eq!(branches(peer, ReplicaId::from_bytes([1; 16])).await, 2);
            let audit = peer.store().audit().await.unwrap();
            assert!(audit.is_sound(), "{:?}", audit.problems);
        }
    });
}

#[test]
fn branches_that_grew_long_before_they_met() {
    in_every_order(async |meeting| {
        let (ada, copy) = copied().await;
        let bob = Peer::new(2).await;
        pull(&bob, &ada).await;
        for number in 0..20 {
            ada.put("count", Some(number.into())).await;
            copy.put("count", Some((number + 100).into())).await;
            if number == 10 {
                pull(&bob, &copy).await;
            }
        }
        meeting.of(&[&ada, &copy, &bob]).await;
        for peer in [&ada, &copy, &bob] {
            assert_eq!(log(peer).await.len(), 1 + 2 * 21);
            assert_eq!(branches(peer, ReplicaId::from_bytes([1; 16])).await, 2);
        }
    });
}

#[test]
fn a_fork_at_sequence_1() {
    in_every_order(async |meeting| {
        let (one, other) = (Peer::new(1).await, Peer::new(1).await);
        let old = id(&one).await;
        one.at(3_000).create(&bug(), "new").await;
        other.at(2_000).create(&bug(), "open").await;
        let report = match meeting {
            Meeting::Backward => pull(&other, &one).await,
            _ => pull(&one, &other).await,
        };
        let [fork] = report.forks.as_slice() else { panic!("{report:?}") };
        assert_eq!((fork.origin, fork.sequence), (old, Sequence::FIRST));
        meeting.of(&[&one, &other]).await;
        assert_eq!(branches(&one, old).await, 2);
        assert!(id(&one).await != old && id(&other).await != old);
        assert_ne!(id(&one).await, id(&other).await);
        assert_eq!(one.status().await, shown("new"));
        assert_eq!(one.open_conflicts().await, 1);
        one.set("closed").await;
        meeting.of(&[&one, &other]).await;
        assert_eq!(other.status().await, shown("closed"));
    });
}

#[test]
fn three_copies_of_one_replica() {
    in_every_order(async |meeting| {
        let ada = Peer::new(1).await;
        ada.create(&bug(), "new").await;
        let (copy, third) = (ada.copied().await, ada.copied().await);
        let old = id(&ada).await;
        ada.at(2_000).set("fixed").await;
        copy.at(3_000).set("invalid").await;
        third.at(4_000).set("closed").await;
        meeting.of(&[&ada, &copy, &third]).await;
        let ids = [id(&ada).await, id(&copy).await, id(&third).await];
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[2] != ids[0] && !ids.contains(&old));
        assert_eq!(branches(&third, old).await, 3);
        assert_eq!(
            ada.tally(&status()).await,
            tally([("\"closed\"", 0), ("\"fixed\"", 0), ("\"invalid\"", 0)])
        );
        for peer in [&ada, &copy, &third] {
            peer.vote("fixed").await;
        }
        meeting.of(&[&ada, &copy, &third]).await;
        assert_eq!(ids, [id(&ada).await, id(&copy).await, id(&third).await]);
        assert_eq!(
            ada.tally(&status()).await,
            tally([("\"closed\"", 0), ("\"fixed\"", 3), ("\"invalid\"", 0)]),
            "they are three replicas now"
        );
    });
}

#[test]
fn a_copy_of_a_replica_that_has_gone_on_but_written_nothing_since() {
    in_every_order(async |meeting| {
        let (ada, copy) = copied().await;
        pull(&ada, &copy).await;
        let second = id(&ada).await;
        let twin = ada.copied().await;
        ada.at(4_000).set("closed").await;
        twin.at(5_000).set("reopened").await;
        meeting.of(&[&ada, &twin, &copy]).await;
        assert_eq!(branches(&copy, second).await, 2, "a fork at its first changeset");
        assert!(id(&ada).await != second && id(&twin).await != second);
        assert_eq!(ada.status().await, shown("reopened"));
        ada.set("done").await;
        meeting.of(&[&ada, &twin, &copy]).await;
        assert_eq!(copy.status().await, shown("done"));
    });
}

#[test]
fn history_tells_what_came_from_the_copy_and_what_is_its_own() {
    block_on(async {
        let (ada, copy) = copied().await;
        pull(&ada, &copy).await;
        ada.set("closed").await;
        let history: Vec<_> = ada.history(&bug(), Direction::Forward).try_collect().await.unwrap();
        let arrived: Vec<_> = history.iter().map(|entry: &HistoryEntry| entry.arrived).collect();
        assert_eq!(arrived, [false, false, true, false], "the third is what the copy wrote");
    });
}

#[test]
fn an_untouched_copy_is_no_fork() {
    block_on(async {
        let ada = Peer::new(1).await;
        ada.create(&bug(), "new").await;
        let copy = ada.copied().await;
        let bob = Peer::new(2).await;
        pull(&bob, &copy).await;
        bob.set("fixed").await;
        pull(&copy, &bob).await;
        let report = pull(&ada, &copy).await;
        assert_eq!((report.integrated, report.forks.len()), (1, 0));
        assert_eq!(id(&ada).await, id(&copy).await, "until one of them writes, they are one");
    });
}

// Backups.

#[test]
fn a_restored_backup_adopts_what_it_wrote_later_and_then_goes_on() {
    in_every_order(async |meeting| {
        let [ada, bob] = peers().await;
        let backup = ada.copied().await;
        ada.set("fixed").await;
        let last = ada.put("owner", Some("ada".into())).await;
        pull(&bob, &ada).await;
        let old = id(&ada).await;
        drop(ada);

        let ada = backup;
        let report = pull(&ada, &bob).await;
        assert_eq!((report.integrated, report.forks.len()), (2, 0), "{report:?}");
        assert_eq!(id(&ada).await, old, "it is itself");
        assert_eq!(ada.status().await, shown("fixed"));
        let closed = ada.set("closed").await;
        let header = ada.changeset(closed).await.unwrap().changeset.header().clone();
        assert_eq!((header.origin, header.sequence.get()), (old, 4));
        assert_eq!(header.previous, Some(last));
        assert_eq!(header.parents, [], "there is nothing else that it had seen");
        let report = pull(&bob, &ada).await;
        assert_eq!(report.forks, []);
        meeting.of(&[&ada, &bob]).await;
        assert_eq!(bob.status().await, shown("closed"));
        assert_eq!(bob.counts().await, (0, 0, 0));
        assert_eq!(branches(&bob, old).await, 1);
    });
}

#[test]
fn a_replica_restored_from_nothing_adopts_all_that_it_ever_wrote() {
    block_on(async {
        let [ada, bob] = peers().await;
        ada.set("fixed").await;
        pull(&bob, &ada).await;
        let restored = Peer::new(1).await;
        let report = pull(&restored, &bob).await;
        assert_eq!((report.integrated, report.forks.len()), (2, 0));
        restored.set("closed").await;
        assert_eq!(pull(&bob, &restored).await.forks, []);
        assert_eq!(bob.status().await, shown("closed"));
    });
}

#[test]
fn an_adopted_vote_is_its_own() {
    block_on(async {
        let [ada, bob, eve] = peers().await;
        ada.at(2_000).set("fixed").await;
        bob.at(3_000).set("invalid").await;
        meet(&[&ada, &bob, &eve]).await;
        let backup = ada.copied().await;
        ada.vote("fixed").await;
        pull(&bob, &ada).await;
        drop(ada);
        pull(&backup, &bob).await;
        assert_eq!(backup.vote("fixed").await, None, "it has voted so already");
        backup.vote("invalid").await;
        meet(&[&backup, &bob, &eve]).await;
        assert_eq!(eve.tally(&status()).await, tally([("\"fixed\"", 0), ("\"invalid\"", 1)]));
    });
}

#[test]
fn restored_and_edited_before_it_met_anybody_is_forked() {
    in_every_order(async |meeting| {
        let [ada, bob] = peers().await;
        let backup = ada.copied().await;
        ada.at(2_000).set("fixed").await;
        pull(&bob, &ada).await;
        let old = id(&ada).await;
        drop(ada);

        let ada = backup;
        ada.at(3_000).set("invalid").await;
        let report = pull(&ada, &bob).await;
        let [fork] = report.forks.as_slice() else { panic!("{report:?}") };
        assert_eq!((fork.origin, fork.sequence.get()), (old, 2));
        assert_eq!(fork.continued_as, Some(id(&ada).await));
        assert_eq!(ada.open_conflicts().await, 1, "and nothing is lost");
        ada.set("closed").await;
        meeting.of(&[&ada, &bob]).await;
        assert_eq!(bob.status().await, shown("closed"));
        assert_eq!(branches(&bob, old).await, 2);
    });
}

#[test]
fn what_it_adopts_may_come_with_what_others_wrote_in_between() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = peers().await;
        let backup = ada.copied().await;
        ada.set("fixed").await;
        meet(&[&ada, &bob]).await;
        bob.put("owner", Some("bob".into())).await;
        meet(&[&ada, &bob]).await;
        ada.put("owner", Some("ada".into())).await;
        meet(&[&ada, &bob, &eve]).await;
        drop(ada);
        pull(&backup, &eve).await;
        assert_eq!(backup.shows("owner").await, shown("ada"));
        backup.put("owner", Some("ada again".into())).await;
        meeting.of(&[&backup, &bob, &eve]).await;
        assert_eq!(bob.shows("owner").await, shown("ada again"));
        assert_eq!(bob.counts().await, (0, 0, 0));
        let audit = backup.store().audit().await.unwrap();
        assert!(audit.is_sound(), "{:?}", audit.problems);
    });
}

// Votes.

/// Ada, Bob and Eve know a conflict; "fixed" is Ada's, "invalid" is Bob's, and later.
async fn contested() -> [Peer; 3] {
    let all = peers().await;
    let [ada, bob, eve] = &all;
    ada.at(2_000).set("fixed").await;
    bob.at(3_000).set("invalid").await;
    meet(&[ada, bob, eve]).await;
    all
}

/// Makes copies different without saying anything about the status.
async fn part(ada: &Peer, copy: &Peer) {
    ada.put("place", Some("here".into())).await;
    copy.put("place", Some("there".into())).await;
}

#[test]
fn a_vote_from_before_the_copy_counts_once_and_both_copies_can_replace_it() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = contested().await;
        ada.vote("fixed").await;
        let copy = ada.copied().await;
        part(&ada, &copy).await;
        let all = [&ada, &copy, &bob, &eve];
        meeting.of(&all).await;
        assert_eq!(bob.tally(&status()).await, tally([("\"fixed\"", 1), ("\"invalid\"", 0)]));
        assert_eq!(ada.vote("fixed").await, None, "it is the vote of each of them");
        assert_eq!(copy.vote("fixed").await, None);
        ada.vote("invalid").await;
        meeting.of(&all).await;
        assert_eq!(bob.tally(&status()).await, tally([("\"fixed\"", 0), ("\"invalid\"", 1)]));
        copy.vote("fixed").await;
        meeting.of(&all).await;
        assert_eq!(
            bob.tally(&status()).await,
            tally([("\"fixed\"", 1), ("\"invalid\"", 1)]),
            "two replicas, two votes"
        );
    });
}

#[test]
fn of_votes_under_the_forked_id_the_latest_counts_and_the_other_never() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = contested().await;
        let copy = ada.copied().await;
        ada.vote("fixed").await;
        part(&ada, &copy).await;
        copy.vote("invalid").await;
        meeting.of(&[&ada, &copy, &bob, &eve]).await;
        assert_eq!(
            eve.tally(&status()).await,
            tally([("\"fixed\"", 0), ("\"invalid\"", 1)]),
            "the copy voted with a later sequence"
        );
        let conflict = eve.conflict_on(&status()).await.unwrap();
        assert_eq!(conflict.votes.len(), 2, "both are shown");
    });
}

#[test]
fn a_continued_replica_replaces_the_vote_of_its_own_branch() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = contested().await;
        let copy = ada.copied().await;
        part(&ada, &copy).await;
        copy.vote("fixed").await;
        let all = [&ada, &copy, &bob, &eve];
        meeting.of(&all).await;
        assert_eq!(copy.vote("fixed").await, None, "it has voted so already");
        copy.vote("invalid").await;
        meeting.of(&all).await;
        assert_eq!(eve.tally(&status()).await, tally([("\"fixed\"", 0), ("\"invalid\"", 1)]));
    });
}

#[test]
fn a_continued_replica_does_not_replace_the_vote_of_the_other_copy() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = contested().await;
        let copy = ada.copied().await;
        part(&ada, &copy).await;
        copy.vote("fixed").await;
        let all = [&ada, &copy, &bob, &eve];
        meeting.of(&all).await;
        ada.vote("invalid").await;
        meeting.of(&all).await;
        assert_eq!(eve.tally(&status()).await, tally([("\"fixed\"", 1), ("\"invalid\"", 1)]));
        copy.vote("invalid").await;
        meeting.of(&all).await;
        assert_eq!(eve.tally(&status()).await, tally([("\"fixed\"", 0), ("\"invalid\"", 2)]));
    });
}

#[test]
fn nobody_votes_twice_though_both_voted_under_the_forked_id() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = contested().await;
        let copy = ada.copied().await;
        ada.vote("fixed").await;
        part(&ada, &copy).await;
        copy.vote("invalid").await;
        let all = [&ada, &copy, &bob, &eve];
        meeting.of(&all).await;
        ada.vote("fixed").await;
        meeting.of(&all).await;
        assert_eq!(eve.tally(&status()).await, tally([("\"fixed\"", 1), ("\"invalid\"", 1)]));
        copy.vote("fixed").await;
        meeting.of(&all).await;
        assert_eq!(
            eve.tally(&status()).await,
            tally([("\"fixed\"", 2), ("\"invalid\"", 0)]),
            "one vote for each of the two, and none left of the forked id"
        );
    });
}

#[test]
fn a_superseded_vote_of_one_branch_does_not_bring_back_that_of_the_other() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = contested().await;
        let copy = ada.copied().await;
        ada.vote("invalid").await;
        part(&ada, &copy).await;
        copy.vote("fixed").await;
        let all = [&ada, &copy, &bob, &eve];
        meeting.of(&all).await;
        assert_eq!(eve.tally(&status()).await, tally([("\"fixed\"", 1), ("\"invalid\"", 0)]));
        // Bob's write supersedes the vote that counts, and the same values disagree again.
        bob.at(4_000).set("invalid").await;
        eve.at(5_000).set("fixed").await;
        meeting.of(&all).await;
        assert_eq!(eve.tally(&status()).await, tally([("\"fixed\"", 0), ("\"invalid\"", 0)]));
        assert_eq!(eve.rule().await, Rule::LatestWrite);
    });
}

#[test]
fn a_continued_replica_is_not_asked_about_what_it_voted_on_under_its_old_id() {
    block_on(async {
        let [ada, bob, eve] = contested().await;
        ada.vote("fixed").await;
        let copy = ada.copied().await;
        part(&ada, &copy).await;
        meet(&[&ada, &copy]).await;
        // A tie, and another write of one of the values: the conflict comes again.
        bob.vote("invalid").await;
        let dan = Peer::new(4).await;
        dan.at(2_500).create(&bug(), "invalid").await;
        pull(&bob, &dan).await;
        for peer in [&ada, &copy] {
            let asked = |conflict: &Conflict| match conflict.register == status() {
                true => panic!("asked about {conflict:?}"),
                false => Choice::LeaveOpen,
            };
            peer.pull(&bob.replica, PullOptions::new().ask(asked)).await.unwrap();
            assert_eq!(peer.tally(&status()).await, tally([("\"fixed\"", 1), ("\"invalid\"", 1)]));
        }
        drop(eve);
    });
}

#[test]
fn a_replica_that_goes_on_twice_still_replaces_its_first_vote() {
    in_every_order(async |meeting| {
        let [ada, bob, eve] = contested().await;
        ada.vote("fixed").await;
        let copy = ada.copied().await;
        part(&ada, &copy).await;
        meeting.of(&[&ada, &copy, &bob]).await;
        ada.put("place", Some("nowhere".into())).await;
        let second = ada.copied().await;
        part(&ada, &second).await;
        let all = [&ada, &copy, &second, &bob, &eve];
        meeting.of(&all).await;
        assert_eq!(eve.tally(&status()).await, tally([("\"fixed\"", 1), ("\"invalid\"", 0)]));
        assert_eq!(second.vote("fixed").await, None, "it is its vote, two ids ago");
        second.vote("invalid").await;
        meeting.of(&all).await;
        assert_eq!(eve.tally(&status()).await, tally([("\"fixed\"", 0), ("\"invalid\"", 1)]));
    });
}

/// What comes before the branch is in an earlier batch, of which nothing was integrated.
#[test]
fn a_forked_origin_is_gone_through_before_it_is_pulled() {
    block_on(async {
        let (ada, copy) = copied().await;
        for number in 0..3 {
            let to = Some(Value::from(i64::try_from(number).unwrap()));
            ada.at(4_000 + number).put("owner", to.clone()).await;
            copy.at(5_000 + number).put("place", to).await;
        }
        pull(&ada, &copy).await;
        let conflict = ada.conflicts().next().await.unwrap().unwrap();
        ada.resolve(&conflict, Some("fixed".into())).await.unwrap();
        for size in [1, 2, 3, 100] {
            let bob = Peer::new(2).await;
            let options = PullOptions::new().batches_of(size).fail_on_conflict();
            let pulled = bob.pull(&ada.replica, options).await.unwrap();
            assert_eq!(pulled.integrated, log(&ada).await.len() as u64, "batches of {size}");
            assert_eq!(log(&bob).await.len(), log(&ada).await.len());
        }
    });
}
