//! Several handles of one replica in one process.

use futures_lite::future::block_on;
use prophet_store::{PageLimit, StoreError};

use super::commit::{one_line, read_whole};
use crate::failure::{Outcome, ensure_eq, ensure_error, ensure_ok, under};
use crate::fixtures::{Racer, World, key};
use crate::scan::{every_scan, page};
use crate::suite::{Context, apply, in_threads, persist};

pub(crate) async fn what_one_commits_the_other_sees(context: &Context<'_>) -> Outcome {
    let one = context.create()?;
    let other = context.open()?;
    let mut world = World::new();
    for (number, commit) in world.rich().into_iter().enumerate() {
        let (writer, reader) = if number % 2 == 0 { (&one, &other) } else { (&other, &one) };
        apply(writer, &commit).await?;
        ensure_eq!(R2, reader.head().await?, commit.head(), "the head seen by the other handle");
    }
    world.model.expect(&one).await?;
    world.model.expect(&other).await
}

pub(crate) async fn one_base_is_for_one_of_them(context: &Context<'_>) -> Outcome {
    let one = context.create()?;
    let other = context.open()?;
    let mut world = World::new();
    let mut rival = world.rival(1);
    apply(&one, &world.step()).await?;
    let late = rival.step();
    let answer = persist(&other, &late).await;
    ensure_error!(
        C2,
        answer,
        StoreError::StaleBase { head, .. } if head == world.head(),
        "a commit on a head that the other handle has left behind"
    );
    world.model.expect(&other).await
}

pub(crate) async fn a_commit_sent_again_elsewhere(context: &Context<'_>) -> Outcome {
    let one = context.create()?;
    let other = context.open()?;
    let mut world = World::new();
    let commits = world.rich();
    for commit in &commits {
        apply(&one, commit).await?;
        let answer = persist(&other, commit).await;
        let answer = ensure_ok!(C4, answer, "a commit, sent by the other handle");
        ensure_eq!(C4, answer, commit.head(), "the answer to a commit, sent by the other handle");
    }
    for commit in &commits {
        let answer = persist(&other, commit).await;
        let answer = ensure_ok!(C4, answer, "a commit, sent again much later");
        ensure_eq!(C4, answer, commit.head(), "the answer to a commit, sent again much later");
    }
    world.model.expect(&one).await
}

pub(crate) async fn racing_handles_make_one_line(context: &Context<'_>) -> Outcome {
    let first = context.create()?;
    let mut stores = vec![first.clone()];
    for _ in 0..3 {
        stores.push(context.open()?);
    }
    let heads = in_threads(
        (1..).zip(&stores).map(|(salt, store)| move || block_on(Racer::new(salt).run(store, 12))),
    )?;
    let heads: Vec<_> = heads.into_iter().flatten().collect();
    for store in &stores {
        one_line(store, heads.clone()).await?;
    }
    Ok(())
}

pub(crate) async fn a_reader_elsewhere_never_sees_half(context: &Context<'_>) -> Outcome {
    let writer = context.create()?;
    let reader = context.open()?;
    let mut world = World::new();
    let records = ["aa", "mm", "zz"].map(|name| key(name, 1));
    let commits: Vec<_> = (1..=40_i64)
        .map(|number| {
            let properties: &[_] = &[("number", prophet_store::Value::from(number))];
            let changes = [0, 1, 2].map(|index| (&records[index], properties));
            let text = number.to_string();
            let draft = world.draft().edits(World::IDENTITY.replica, &changes);
            let draft = draft.metadata("first", Some(text.as_bytes()));
            draft.metadata("last", Some(text.as_bytes())).finish()
        })
        .collect();
    let last = world.head().version;
    let write = || {
        block_on(async {
            for commit in &commits {
                apply(&writer, commit).await?;
            }
            Ok(())
        })
    };
    let done = std::sync::atomic::AtomicBool::new(false);
    let write = || {
        let outcome = write();
        done.store(true, std::sync::atomic::Ordering::Release);
        outcome
    };
    let read = || {
        block_on(async {
            let mut seen = prophet_store::Version::ZERO;
            loop {
                let end = done.load(std::sync::atomic::Ordering::Acquire);
                seen = read_whole(&reader, &commits, seen).await?;
                if end {
                    ensure_eq!(R2, seen, last, "the version seen once all was acknowledged");
                    return Ok(());
                }
            }
        })
    };
    let tasks: [Box<dyn FnOnce() -> Outcome + Send>; 2] = [Box::new(write), Box::new(read)];
    in_threads(tasks)?;
    Ok(())
}

pub(crate) async fn cursors_work_on_another_handle(context: &Context<'_>) -> Outcome {
    let (one, world) = context.create_rich().await?;
    let other = context.open()?;
    every_scan!(world.model, |scan| {
        let mut found = Vec::new();
        let mut after = None;
        for number in 0..10_000 {
            let store = if number % 2 == 0 { &one } else { &other };
            let page = page(scan, store, after, PageLimit::items(1)).await.map_err(under("R5"))?;
            found.extend(page.items);
            after = page.more;
            if after.is_none() {
                break;
            }
        }
        let expected = crate::scan::Scan::expected(scan, &world.model);
        ensure_eq!(R5, found, expected, "{scan:?}, read by two handles in turn");
    });
    Ok(())
}

pub(crate) async fn closing_one_leaves_the_other(context: &Context<'_>) -> Outcome {
    let one = context.create()?;
    let other = context.open()?;
    let mut world = World::new();
    apply(&one, &world.step()).await?;
    one.close().await?;
    ensure_error!(O3, one.head().await, StoreError::Closed { .. }, "the head of the closed one");
    let answer = persist(&other, &world.step()).await;
    ensure_ok!(O3, answer, "a commit by the handle that is left");
    world.model.expect(&other).await?;
    let third = context.open()?;
    drop(one);
    apply(&third, &world.step()).await?;
    world.model.expect(&other).await
}
