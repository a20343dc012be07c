//! Futures that are dropped before they are done.

use std::pin::Pin;

use futures_lite::future::{Future, poll_once};
use prophet_store::{HistoryScan, OriginScan, PageLimit, StoreError};

use crate::failure::{Outcome, ensure, ensure_eq, ensure_ok, under};
use crate::fixtures::{World, key, metadata_key, origin};
use crate::suite::{Context, apply, persist};
use harnesses::Store;

/// How often a future is polled before it is dropped.
pub(crate) async fn abandon<T>(future: impl Future<Output = T>, polls: usize) {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        if poll_once(&mut future).await.is_some() {
            return;
        }
    }
}

/// Drops a commit after so many polls, again and again, and settles it by sending it again.
async fn abandoned_commits_are_settled(context: &Context<'_>, polls: usize) -> Outcome {
    let store = context.create()?;
    let mut world = World::new();
    for commit in world.rich().into_iter().chain(world.steps(10)) {
        abandon(store.commit(&commit), polls).await;
        let head = store.head().await?;
        let either = head == commit.base() || head == commit.head();
        ensure!(C7, either, "the head is {head} after a commit on {} was dropped", commit.base());
        let answer = persist(&store, &commit).await;
        let expected = Some(&commit.head());
        ensure_eq!(
            C7,
            answer.as_ref().ok(),
            expected,
            "the answer to a dropped commit, sent again"
        );
        ensure_eq!(C4, store.head().await?, commit.head(), "the head after it was settled");
    }
    world.model.expect(&store).await?;
    world.model.expect(&context.reopen(store)?).await
}

pub(crate) async fn a_commit_never_polled(context: &Context<'_>) -> Outcome {
    abandoned_commits_are_settled(context, 0).await
}

pub(crate) async fn a_commit_polled_once(context: &Context<'_>) -> Outcome {
    abandoned_commits_are_settled(context, 1).await
}

pub(crate) async fn another_commit_after_one_dropped(context: &Context<'_>) -> Outcome {
    let store = context.create()?;
    let mut world = World::new();
    for salt in 1..=20 {
        let mut rival = world.rival(salt);
        let dropped = rival.step();
        let next = world.clone().step();
        abandon(store.commit(&dropped), usize::from(salt % 3)).await;
        match persist(&store, &next).await {
            Ok(head) => {
                ensure_eq!(C3, head, next.head(), "the answer to the commit after");
                world.step();
                // A later version was seen: the dropped one is settled, and it lost.
                let answer = persist(&store, &dropped).await;
                let lost = matches!(answer, Err(StoreError::StaleBase { .. }));
                ensure!(C7, lost, "the dropped commit, overtaken, came to {answer:?}");
            }
            Err(StoreError::StaleBase { head, .. }) => {
                ensure_eq!(C7, head, dropped.head(), "what was faster than the commit after");
                world = rival;
            }
            Err(error) => ensure!(C7, false, "the commit after a dropped one came to {error:?}"),
        }
        ensure_eq!(C3, store.head().await?, world.head(), "the head after both");
        world = renamed(world);
    }
    world.model.expect(&store).await
}

/// The rounds take turns in salts, so that whoever won goes on under the first.
fn renamed(world: World) -> World {
    world.rival(200).rival(0)
}

pub(crate) async fn every_read_may_be_dropped(context: &Context<'_>) -> Outcome {
    let (store, mut world) = context.create_rich().await?;
    for polls in [0, 1, 1, 2] {
        drop_reads(&store, polls).await;
        ensure_ok!(C7, store.head().await, "the head after reads were dropped");
        world.model.expect(&store).await.map_err(under("C7"))?;
        apply(&store, &world.step()).await?;
    }
    world.model.expect(&context.reopen(store)?).await
}

async fn drop_reads(store: &Store, polls: usize) {
    let keys = [key("bug", 1), key("bug", 2)];
    let names = [metadata_key("peers/")];
    let (records, log) = (Default::default(), Default::default());
    let (resolutions, metadata) = (Default::default(), Default::default());
    let (limit, direction) = (PageLimit::items(1), Default::default());
    let history = HistoryScan { record: key("bug", 1), after: None, direction, limit };
    let authored = OriginScan { origin: origin(1), after: None, direction, limit };
    let digests = [prophet_store::Digest::from_bytes([1; 32])];
    let reads: [Pin<Box<dyn Future<Output = ()> + '_>>; 12] = [
        Box::pin(async { drop(store.head().await) }),
        Box::pin(async { drop(store.get_records(&keys).await) }),
        Box::pin(async { drop(store.scan_records(&records).await) }),
        Box::pin(async { drop(store.count_records(None).await) }),
        Box::pin(async { drop(store.scan_log(&log).await) }),
        Box::pin(async { drop(store.scan_history(&history).await) }),
        Box::pin(async { drop(store.scan_origin(&authored).await) }),
        Box::pin(async { drop(store.find_changesets(&digests).await) }),
        Box::pin(async { drop(store.scan_resolutions(&resolutions).await) }),
        Box::pin(async { drop(store.get_metadata(&names).await) }),
        Box::pin(async { drop(store.scan_metadata(&metadata).await) }),
        Box::pin(async { drop(store.verify().await) }),
    ];
    for read in reads {
        abandon(read, polls).await;
    }
}

pub(crate) async fn a_close_may_be_dropped(context: &Context<'_>) -> Outcome {
    let (mut store, mut world) = context.create_rich().await?;
    for polls in [0, 1, 2] {
        abandon(store.close(), polls).await;
        // It is closed or it is not; it is never half of it.
        match store.head().await {
            Ok(head) => {
                ensure_eq!(R2, head, world.head(), "the head after a dropped close");
            }
            Err(StoreError::Closed { .. }) => {}
            Err(error) => ensure!(C7, false, "after a dropped close, the head came to {error:?}"),
        }
        drop(store);
        store = ensure_ok!(C7, context.place().open(), "opening after a dropped close");
        apply(&store, &world.step()).await?;
    }
    world.model.expect(&store).await
}

pub(crate) async fn dropped_commits_of_many_threads(context: &Context<'_>) -> Outcome {
    let store = context.create()?;
    let commits = crate::suite::in_threads((1..=4).map(|salt| {
        let store = &store;
        move || {
            futures_lite::future::block_on(async {
                let mut racer = crate::fixtures::Racer::new(salt);
                let mut sent = Vec::new();
                for polls in 0..12 {
                    let (commit, changeset) = racer.commit_on(store.head().await?);
                    abandon(store.commit(&commit), polls % 2).await;
                    match persist(store, &commit).await {
                        Ok(head) => {
                            ensure_eq!(C7, head, commit.head(), "the answer, sent again");
                            racer.won(&changeset);
                            sent.push(head);
                        }
                        Err(StoreError::StaleBase { .. }) => {}
                        Err(error) => ensure!(C7, false, "a commit, sent again, came to {error:?}"),
                    }
                }
                Ok(sent)
            })
        }
    }))?;
    super::commit::one_line(&store, commits.into_iter().flatten().collect()).await
}
