//! Edits at the same time, and what happens where a store fails at the worst moment.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(dead_code, reason = "what the tests of the engine share, not all of them use")]

mod support {
    pub(crate) mod store;
}

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;

use futures_lite::future::{block_on, poll_once};
use futures_lite::{FutureExt as _, StreamExt as _};
use prophet_store::*;
use support::store::{Act, Late, Scripted, Still, identity, name, names, open, properties};

#[test]
fn an_edit_that_changes_nothing_waits_for_what_it_saw() {
    block_on(async {
        let (replica, store) = open(Scripted::slow(&[Act::Works, Act::Full])).await;
        let key = replica.create("person", name("Ada")).await.unwrap();
        // The first update is staged, and will fail; the second sees what it has staged.
        let update = || replica.update(&key, name("Grace"));
        let results = join_all(vec![update().boxed(), update().boxed()]).await;
        assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1);
        let written = results.iter().filter(|result| matches!(result, Ok(Some(_)))).count();
        assert_eq!(written, 1, "the second wrote what the first could not: {results:?}");
        assert!(store.audit().await.unwrap().is_sound());
    });
}

#[test]
fn edits_made_at_the_same_time_share_commits() {
    block_on(async {
        let (replica, store) = open(Scripted::slow(&[])).await;
        let edits: Vec<_> = (0..64)
            .map(|n| {
                let replica = replica.clone();
                async move { replica.create("person", properties([("n", n.into())])).await.unwrap() }
                    .boxed()
            })
            .collect();
        let keys = join_all(edits).await;
        assert_eq!(keys.len(), 64);
        let commits = store.commits.load(Ordering::SeqCst);
        assert!(commits <= 3, "64 edits took {commits} commits");
        assert_eq!(replica.head().await.unwrap().position, Position::new(64));
        assert!(store.audit().await.unwrap().is_sound());
    });
}

/// A copy of what is in a store, that authors as the original does.
async fn copy_of(store: &Scripted, drawn: u64) -> Replica {
    let copy = MemoryStore::new(identity());
    store.copy_to(&copy).await.unwrap();
    let environment = Still { drawn: drawn.into(), ..Still::default() };
    Replica::options().environment(environment).open(copy).await.unwrap()
}

/// What a commit under way brings is neither in the store when that is asked, nor staged when it answers.
#[test]
fn a_fork_is_found_by_what_is_under_way() {
    block_on(async {
        let (replica, store) = open(Scripted::late(Late::Origins)).await;
        replica.create("person", name("Ada")).await.unwrap();
        let copy = copy_of(&store, 1_000_000).await;
        copy.create("person", name("Bob")).await.unwrap();
        let edit = replica.create("person", name("Eve"));
        let pull = replica.pull(&copy, PullOptions::new());
        let (created, pulled) = futures_lite::future::zip(edit, pull).await;
        created.unwrap();
        assert_eq!(pulled.unwrap().forks.len(), 1);
        let other = Identity { replica: ReplicaId::from_bytes([3; 16]), ..identity() };
        let other = Replica::clone_of(MemoryStore::new(other), &replica).await.unwrap();
        assert_eq!(names(other.find(&Query::of("person").unwrap())).await.len(), 3);
        assert!(store.audit().await.unwrap().is_sound());
    });
}

#[test]
fn two_pulls_of_the_same_bring_it_once() {
    block_on(async {
        let (replica, store) = open(Scripted::late(Late::Changesets)).await;
        let other = Identity { replica: ReplicaId::from_bytes([3; 16]), ..identity() };
        let source = Replica::open(MemoryStore::new(other)).await.unwrap();
        for _ in 0..3 {
            source.create("person", name("Ada")).await.unwrap();
        }
        let pull = || replica.pull(&source, PullOptions::new());
        let (one, two) = futures_lite::future::zip(pull(), pull()).await;
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!((one.integrated + two.integrated, one.already_seen + two.already_seen), (3, 3));
        assert!(store.audit().await.unwrap().is_sound());
    });
}

/// What one brings the other is given as well, however much that is.
#[test]
fn two_pulls_of_very_much_both_come_to_their_end() {
    block_on(async {
        let (replica, _) = open(Scripted::slow(&[])).await;
        let other = Identity { replica: ReplicaId::from_bytes([3; 16]), ..identity() };
        let source = Replica::open(MemoryStore::new(other)).await.unwrap();
        for _ in 0..10_500 {
            source.create("person", Properties::default()).await.unwrap();
        }
        let pull = || replica.pull(&source, PullOptions::new().batches_of(100));
        let (one, two) = futures_lite::future::zip(pull(), pull()).await;
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(one.integrated + two.integrated, 10_500);
        assert!(one.already_seen.max(two.already_seen) > 10_000, "{one:?} {two:?}");
    });
}

async fn join_all<T>(mut futures: Vec<Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> Vec<T> {
    let mut done: BTreeMap<usize, T> = BTreeMap::new();
    futures_lite::future::poll_fn(|context| {
        for (index, future) in futures.iter_mut().enumerate() {
            if !done.contains_key(&index)
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                done.insert(index, value);
            }
        }
        if done.len() == futures.len() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_values().collect()
}

#[test]
fn one_edit_of_a_group_that_fails_leaves_alone() {
    block_on(async {
        let (replica, _) = open(Scripted::slow(&[])).await;
        let edits: Vec<_> = (0..10)
            .map(|n| {
                let replica = replica.clone();
                async move {
                    replica
                        .edit(|edit| async move {
                            edit.create("person", properties([("n", n.into())])).await?;
                            if n == 4 { Err(Error::app("not this one")) } else { Ok(()) }
                        })
                        .await
                        .is_ok()
                }
                .boxed()
            })
            .collect();
        let results = join_all(edits).await;
        assert_eq!(results.iter().filter(|ok| **ok).count(), 9);
        assert_eq!(replica.count(&Query::of("person").unwrap()).await.unwrap(), 9);
    });
}

#[test]
fn a_lost_answer_is_settled_by_sending_the_same_commit_again() {
    block_on(async {
        for act in [Act::Lost, Act::Vanishes] {
            let (replica, store) = open(Scripted::slow(&[act])).await;
            replica.create("person", name("Ada")).await.unwrap();
            assert_eq!(store.commits.load(Ordering::SeqCst), 2);
            assert_eq!(replica.head().await.unwrap().position, Position::new(1), "once");
        }
    });
}

#[test]
fn nothing_new_is_made_while_an_outcome_is_unknown() {
    block_on(async {
        // Five attempts for the first edit, five more when the second asks what became of it.
        let script = [[Act::Vanishes; 5], [Act::Lost; 5]].concat();
        let (replica, store) = open(Scripted::slow(&script)).await;
        let first = replica.create("person", name("Ada")).await.unwrap_err();
        assert_eq!(first.as_store().unwrap().action(), Action::Reconcile);
        let second = replica.create("person", name("Bob")).await.unwrap_err();
        assert_eq!(second.as_store().unwrap().action(), Action::Reconcile);
        replica.create("person", name("Eve")).await.unwrap();
        let people = Query::of("person").unwrap();
        assert_eq!(names(replica.find(&people)).await, ["Ada", "Eve"], "Bob was never made");
        assert!(store.audit().await.unwrap().is_sound());
    });
}

#[test]
fn a_definite_failure_fails_the_edit_and_nothing_else() {
    block_on(async {
        let (replica, _) = open(Scripted::slow(&[Act::Full])).await;
        let error = replica.create("person", name("Ada")).await.unwrap_err();
        assert!(error.to_string().contains("no room"), "{error}");
        replica.create("person", name("Bob")).await.unwrap();
        assert_eq!(names(replica.find(&Query::of("person").unwrap())).await, ["Bob"]);
    });
}

#[test]
fn an_edit_dropped_at_any_point_leaves_the_others_working() {
    block_on(async {
        for polls in 0..6 {
            let (replica, store) = open(Scripted::slow(&[])).await;
            let mut dropped = replica.create("person", name("dropped")).boxed();
            for _ in 0..polls {
                if poll_once(&mut dropped).await.is_some() {
                    break;
                }
            }
            drop(dropped);
            replica.create("person", name("kept")).await.unwrap();
            let found = names(replica.find(&Query::of("person").unwrap())).await;
            assert!(found.contains(&"kept".to_owned()), "after {polls} polls: {found:?}");
            assert!(found.len() <= 2);
            assert!(store.audit().await.unwrap().is_sound());
        }
    });
}

fn is_unknown(error: &Error) -> bool {
    matches!(error.as_store(), Some(StoreError::OutcomeUnknown { .. }))
}

#[test]
fn a_refusal_after_a_lost_answer_does_not_say_that_nothing_was_applied() {
    block_on(async {
        let one_by_one = [Act::Lost, Act::Closed, Act::Closed];
        let all_busy = [Act::Lost, Act::Busy, Act::Busy, Act::Busy, Act::Busy];
        for script in [&one_by_one[..], &all_busy] {
            let (replica, _) = open(Scripted::new(script)).await;
            let error = replica.create("person", name("Ada")).await.unwrap_err();
            assert!(is_unknown(&error), "it was applied, but the answer is: {error}");
            if script.len() == one_by_one.len() {
                let error = replica.create("person", name("Grace")).await.unwrap_err();
                assert!(is_unknown(&error), "nothing new is made before it is settled: {error}");
                let why = std::error::Error::source(error.as_store().unwrap()).unwrap();
                assert!(why.to_string().contains("closed"), "{why}");
            }
            replica.create("person", name("Grace")).await.unwrap();
            assert_eq!(replica.count(&Query::of("person").unwrap()).await.unwrap(), 2);
            assert!(replica.store().audit().await.unwrap().is_sound());
        }
    });
}

#[test]
fn a_refusal_after_a_dropped_commit_does_not_say_that_nothing_was_applied() {
    block_on(async {
        let script = [Act::Silent, Act::Works, Act::Silent, Act::Closed];
        let (replica, _) = open(Scripted::new(&script)).await;
        let create = |text| Box::pin(replica.create("person", name(text)));
        let (mut first, mut second, mut third) = (create("Ada"), create("Grace"), create("Edsger"));
        for edit in [&mut first, &mut second, &mut third] {
            assert!(poll_once(edit).await.is_none());
        }
        drop(first);
        // The second settles that, and then carries out its own commit and the third's.
        assert!(poll_once(&mut second).await.is_none());
        drop(second);
        let error = third.await.unwrap_err();
        assert!(is_unknown(&error), "it was applied, but the answer is: {error}");
        replica.create("person", name("Barbara")).await.unwrap();
        assert_eq!(replica.count(&Query::of("person").unwrap()).await.unwrap(), 4);
        assert!(replica.store().audit().await.unwrap().is_sound());
    });
}

#[test]
fn what_a_rule_refused_in_a_changeset_is_not_left_out_of_the_edit() {
    block_on(async {
        let rules = RecordRules::new()
            .validate("name", |name| name.map(|_| ()).ok_or_else(|| "is needed".to_owned()))
            .unwrap();
        let options = Replica::options().environment(Still::default());
        let options = options.rules("person", rules).unwrap();
        let replica = options.open(MemoryStore::new(identity())).await.unwrap();
        let edited = replica
            .edit(|edit| async move {
                edit.create("person", Properties::new()).await?;
                assert!(edit.begin_changeset(Creator::empty(), None).is_err());
                edit.create("person", name("Ada")).await
            })
            .await;
        assert!(matches!(edited, Err(Error::Rejected(_))), "{edited:?}");
        assert_eq!(replica.head().await.unwrap(), Head::EMPTY);

        let edited = replica
            .edit(|edit| async move {
                let key = edit.create("person", Properties::new()).await?;
                assert!(edit.begin_changeset(Creator::empty(), None).is_err());
                edit.update(&key, name("Ada")).await?;
                edit.begin_changeset(Creator::empty(), None)
            })
            .await
            .unwrap();
        assert_eq!(edited.changesets.len(), 1, "what was refused can be put right");
    });
}

#[test]
fn a_copy_takes_no_more_at_once_than_an_entry_and_a_page() {
    const MEBIBYTE: usize = 1 << 20;
    block_on(async {
        let (replica, _) = open(Scripted::new(&[])).await;
        for n in 0..12 {
            let photo = Properties::try_from([("photo", Value::from(vec![n; MEBIBYTE]))]).unwrap();
            replica.create("photo", photo).await.unwrap();
            let metadata = MetadataKey::new(format!("app/{n}")).unwrap();
            let commit =
                Commit::new(CommitId::from_bytes([n + 1; 16]), replica.head().await.unwrap());
            let commit = commit.with_metadata(metadata, Some(vec![n; MEBIBYTE])).unwrap();
            replica.store().commit(&commit).await.unwrap();
        }
        // Small entries, all on one page of the log, that touch large records.
        let photos: Vec<_> =
            replica.find(&Query::of("photo").unwrap()).map(|photo| photo.unwrap()).collect().await;
        for photo in &photos {
            replica.update(photo.key(), name("Ada")).await.unwrap();
        }
        let target = Scripted::new(&[]);
        replica.store().copy_to(&target).await.unwrap();
        let largest = target.largest.load(Ordering::SeqCst);
        assert!(largest < 7 * MEBIBYTE as u64, "a commit of {largest} bytes");
        assert!(target.audit().await.unwrap().is_sound());
        assert_eq!(target.stream_metadata(MetadataScan::default()).count().await, 12);
        let scan = RecordScan::default();
        let copied: Vec<_> = target.stream_records(scan.clone()).try_collect().await.unwrap();
        let records: Vec<_> = replica.store().stream_records(scan).try_collect().await.unwrap();
        assert_eq!(copied, records);
    });
}
