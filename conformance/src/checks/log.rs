//! The log.

use prophet_store::{Direction, LogScan, PageLimit, Value};

use crate::failure::{Outcome, ensure, ensure_eq, under};
use crate::fixtures::{Model, World, key};
use crate::scan::{walk, walk_from};
use crate::suite::{Context, apply, persist};

pub(crate) async fn positions_have_no_gaps(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    for scan in Model::log_scans() {
        let entries = walk(&scan, &store, PageLimit::items(3), 1_000).await?;
        let mut positions: Vec<_> = entries.iter().map(|entry| entry.position.get()).collect();
        if scan.direction == Direction::Backward {
            positions.reverse();
        }
        let expected: Vec<_> = (1..=world.head().position.get()).collect();
        ensure_eq!(L1, positions, expected, "the positions of {scan:?}");
    }
    Ok(())
}

pub(crate) async fn entries_come_back_whole(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    let page = walk(&LogScan::default(), &store, PageLimit::items(2), 1_000).await?;
    for (came, expected) in page.iter().zip(&world.model.log) {
        let at = expected.position;
        ensure_eq!(V1, came.changeset.header(), expected.changeset.header(), "a header at {at}");
        let digest = came.changeset.digest();
        ensure_eq!(V1, digest, expected.changeset.digest(), "a digest at {at}");
        ensure_eq!(V1, came.changeset.payload(), expected.changeset.payload(), "a payload at {at}");
        ensure_eq!(V1, came.nullify, expected.nullify, "what was nullified at {at}");
        ensure_eq!(V1, came.settle, expected.settle, "what was settled at {at}");
    }
    ensure_eq!(L1, page.len(), world.model.log.len(), "the length of the log");
    Ok(())
}

pub(crate) async fn entries_never_change(context: &Context<'_>) -> Outcome {
    let (store, mut world) = context.create_rich().await?;
    let before = world.model.log.clone();
    for number in 0..30_u32 {
        let edit = world.draft().edit(&key("bug", 2), &[("kind 0", Value::from(number))]).finish();
        apply(&store, &edit).await?;
    }
    let store = context.reopen(store)?;
    let now = walk(&LogScan::default(), &store, PageLimit::items(7), 1_000).await?;
    ensure!(L1, now.starts_with(&before), "the first {} entries have changed", before.len());
    ensure_eq!(L1, now, world.model.log, "the log");
    Ok(())
}

pub(crate) async fn changesets_are_found_by_digest(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    let mut digests: Vec<_> =
        world.model.log.iter().map(|entry| entry.changeset.digest()).rev().collect();
    let mut expected: Vec<_> =
        world.model.log.iter().map(|entry| Some(entry.position)).rev().collect();
    // One that is not there, next to one that is, and every question twice.
    let mut near = *digests[0].as_bytes();
    near[31] ^= 1;
    digests.insert(1, prophet_store::Digest::from_bytes(near));
    expected.insert(1, None);
    digests.extend(digests.clone());
    expected.extend(expected.clone());
    let found = store.find_changesets(&digests).await?;
    ensure_eq!(R7, found.value, expected, "the positions of changesets, in the order asked");
    ensure_eq!(R1, found.at, world.head(), "the head they were found at");
    let none = store.find_changesets(&[]).await?;
    ensure!(R7, none.value.is_empty(), "nothing was asked for, {} came", none.value.len());
    ensure_eq!(R1, none.at, world.head(), "the head of an empty look-up");
    Ok(())
}

pub(crate) async fn refused_changesets_are_not_found(context: &Context<'_>) -> Outcome {
    let (store, mut world) = context.create_rich().await?;
    let refused = world.rival(3).step();
    apply(&store, &world.step()).await?;
    ensure!(C2, persist(&store, &refused).await.is_err(), "a stale commit succeeded");
    let digest = refused.entries()[0].changeset.digest();
    let found = store.find_changesets(&[digest]).await?;
    ensure_eq!(C2, found.value, [None], "the changeset of a refused commit");
    world.model.expect(&store).await
}

pub(crate) async fn a_scan_may_begin_anywhere(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    let log = &world.model.log;
    let last = world.head().position.get();
    for after in (0..last + 3).chain([1 << 31, 1 << 32, i64::MAX as u64, 1 << 63, u64::MAX]) {
        for direction in [Direction::Forward, Direction::Backward] {
            let limit = PageLimit { items: 1_000, bytes: usize::MAX };
            let after_it = Some(prophet_store::Position::new(after));
            let scan = LogScan { after: after_it, direction, limit };
            let found = walk_from(&scan, &store, after_it, limit, 10).await;
            let found = found.map_err(under("R5"))?;
            let came: Vec<_> = found.iter().map(|entry| entry.position.get()).collect();
            let positions = log.iter().map(|entry| entry.position.get());
            let expected: Vec<_> = match direction {
                Direction::Forward => positions.filter(|position| *position > after).collect(),
                Direction::Backward => {
                    positions.rev().filter(|position| *position < after).collect()
                }
            };
            ensure_eq!(R5, came, expected, "the positions of {scan:?}");
        }
    }
    Ok(())
}

pub(crate) async fn a_long_log_is_read_in_pages(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let store = context.create()?;
    for _ in 0..5 {
        let mut draft = world.draft();
        for number in 0..300_u32 {
            draft = draft.edit(&key("long", 1), &[("number", Value::from(number))]);
        }
        apply(&store, &draft.finish()).await?;
    }
    for scan in Model::log_scans() {
        let found = walk(&scan, &store, PageLimit::items(100), 10_000).await?;
        let expected = crate::scan::Scan::expected(&scan, &world.model);
        ensure!(L1, found == expected, "a log of 1,500 entries does not come back in {scan:?}");
    }
    Ok(())
}
