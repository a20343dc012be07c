//! The history of a record.

use prophet_store::{Direction, HistoryScan, PageLimit, Position, RecordKey, Value};

use crate::failure::{Outcome, ensure_eq, under};
use crate::fixtures::{World, key, origin};
use crate::scan::{walk, walk_from};
use crate::suite::{Context, apply};
use harnesses::Store;

fn scan(record: &RecordKey, direction: Direction) -> HistoryScan {
    HistoryScan { record: record.clone(), after: None, direction, limit: PageLimit::default() }
}

/// The positions of the entries in the history of a record.
async fn positions(store: &Store, record: &RecordKey) -> Outcome<Vec<u64>> {
    let entries =
        walk(&scan(record, Direction::Forward), store, PageLimit::items(2), 1_000).await?;
    Ok(entries.iter().map(|entry| entry.position.get()).collect())
}

pub(crate) async fn edits_are_in_it(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let (one, two) = (key("bug", 1), key("bug", 2));
    let text = |text: &str| [("title", Value::from(text))];
    let commit = world
        .draft()
        .edit(&one, &text("1"))
        .edit(&two, &text("2"))
        .edits(World::IDENTITY.replica, &[(&two, &text("3")), (&one, &text("4"))])
        .edit(&two, &text("5"))
        .delete(&one)
        .finish();
    let store = context.create_with(&[commit]).await?;
    ensure_eq!(L4, positions(&store, &one).await?, [1, 3, 5], "the history of {one}");
    ensure_eq!(L4, positions(&store, &two).await?, [2, 3, 4], "the history of {two}");
    Ok(())
}

pub(crate) async fn nullified_and_settled_records_have_it(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let (record, before, after) = (key("bug", 1), key("before", 1), key("after", 1));
    let text = [("title", Value::from("x"))];
    let commits = [
        world.draft().edit(&record, &text).finish(),
        world.draft().edit(&before, &text).edit(&after, &text).finish(),
        world.draft().meet(origin(1), &record, &text, &[], &[&before], &[]).finish(),
        world.draft().meet(origin(2), &record, &text, &[], &[], &[&after]).finish(),
        world.draft().meet(origin(3), &record, &text, &[], &[&after], &[&before]).finish(),
        world.draft().meet(origin(4), &record, &text, &[], &[&record], &[&record]).finish(),
    ];
    let store = context.create_with(&commits).await?;
    ensure_eq!(L4, positions(&store, &record).await?, [1, 4, 5, 6, 7], "the history of {record}");
    ensure_eq!(L4, positions(&store, &before).await?, [2, 4, 6], "the history of {before}");
    ensure_eq!(L4, positions(&store, &after).await?, [3, 5, 6], "the history of {after}");
    world.model.expect(&store).await
}

pub(crate) async fn votes_are_in_it(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let record = key("bug", 1);
    let (here, there) = (Value::from("here"), Value::from("there"));
    let commits = [
        world.draft().edit(&record, &[("title", here.clone())]).finish(),
        world.draft().meet(origin(1), &record, &[("title", there)], &[], &[], &[]).finish(),
        world.draft().edit(&key("bug", 2), &[("title", here.clone())]).finish(),
        world.draft().vote(origin(2), &record, "title", &here).finish(),
    ];
    let store = context.create_with(&commits).await?;
    ensure_eq!(L4, positions(&store, &record).await?, [1, 2, 4], "the history of {record}");
    world.model.expect(&store).await
}

pub(crate) async fn it_is_of_this_record_alone(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    let scans = world.model.history_scans();
    world.model.expect_scans(&scans, &store).await.map_err(under("L4"))?;
    for stranger in [key("bug", 3), key("bu", 1), key("bugs", 1), key("BUG", 1)] {
        let found = positions(&store, &stranger).await?;
        ensure_eq!(L4, found, Vec::<u64>::new(), "the history of {stranger}, nobody's record");
    }
    Ok(())
}

pub(crate) async fn it_can_be_read_from_anywhere(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let (one, two) = (key("bug", 1), key("bug", 2));
    let store = context.create()?;
    for number in 0..12_u32 {
        let record = if number % 3 == 0 { &one } else { &two };
        let edit = world.draft().edit(record, &[("number", Value::from(number))]).finish();
        apply(&store, &edit).await?;
    }
    let all = [1, 4, 7, 10];
    for after in (0..14).chain([u64::MAX, 1 << 63]) {
        for direction in [Direction::Forward, Direction::Backward] {
            let scan = HistoryScan { after: Some(Position::new(after)), ..scan(&one, direction) };
            let found = walk_from(&scan, &store, scan.after, scan.limit, 10).await;
            let found = found.map_err(under("R5"))?;
            let came: Vec<_> = found.iter().map(|entry| entry.position.get()).collect();
            let expected: Vec<u64> = match direction {
                Direction::Forward => all.into_iter().filter(|at| *at > after).collect(),
                Direction::Backward => all.into_iter().rev().filter(|at| *at < after).collect(),
            };
            ensure_eq!(R5, came, expected, "the positions of {scan:?}");
        }
    }
    Ok(())
}
