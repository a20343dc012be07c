//! Reading records.

use prophet_store::{PageLimit, RecordCounts, RecordScan, Value};

use crate::failure::{Outcome, ensure, ensure_eq, under};
use crate::fixtures::{World, key, origin, record_kind};
use crate::scan::{walk, walk_from};
use crate::suite::{Context, apply};

pub(crate) async fn batches_answer_in_the_order_asked(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    let (one, two, none) = (key("bug", 1), key("bug", 2), key("bug", 0xEE));
    let keys = [&two, &none, &one, &one, &none, &two, &one].map(Clone::clone);
    let read = store.get_records(&keys).await?;
    let expected: Vec<_> = keys.iter().map(|key| world.model.records.get(key).cloned()).collect();
    ensure_eq!(R7, read.value, expected, "the records {keys:?}");
    ensure_eq!(R1, read.at, world.head(), "the head they were read at");
    Ok(())
}

pub(crate) async fn an_empty_batch_is_answered(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    let read = store.get_records(&[]).await?;
    ensure!(R7, read.value.is_empty(), "no record was asked for, {} came", read.value.len());
    ensure_eq!(R1, read.at, world.head(), "the head of an empty batch");
    Ok(())
}

pub(crate) async fn a_large_batch_is_answered(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    // More than the parameters that an SQL statement may have.
    let keys: Vec<_> = (0..40_000_u32)
        .map(|number| key(if number % 3 == 0 { "bug" } else { "Bug" }, (number % 7) as u8))
        .collect();
    let read = store.get_records(&keys).await?;
    let expected: Vec<_> = keys.iter().map(|key| world.model.records.get(key).cloned()).collect();
    ensure!(R7, read.value == expected, "a batch of {} records is not as asked", keys.len());
    Ok(())
}

pub(crate) async fn deleted_records_are_there(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let record = key("bug", 1);
    let commits = [
        world.draft().edit(&record, &[("title", Value::from("gone soon"))]).finish(),
        world.draft().delete(&record).finish(),
    ];
    let store = context.create_with(&commits).await?;
    let read = store.get_records(std::slice::from_ref(&record)).await?;
    let expected = world.model.records.get(&record).cloned();
    ensure_eq!(V1, read.value, [expected], "a deleted record");
    world.model.expect(&store).await
}

pub(crate) async fn a_later_state_replaces_the_earlier(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let (record, neighbour) = (key("bug", 1), key("bug", 2));
    let store = context.create()?;
    let first = world
        .draft()
        .edit(&record, &[("a", Value::from("a".repeat(5_000))), ("b", Value::from(1))])
        .edit(&neighbour, &[("a", Value::from("stays"))])
        .finish();
    apply(&store, &first).await?;
    for text in ["", "short", "longer than before", "s"] {
        apply(&store, &world.draft().edit(&record, &[("a", Value::from(text))]).finish()).await?;
        world.model.expect(&store).await?;
    }
    Ok(())
}

pub(crate) async fn contested_registers_keep_all_writes(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let record = key("bug", 1);
    let store = context.create()?;
    apply(&store, &world.draft().edit(&record, &[("title", Value::from("here"))]).finish()).await?;
    for number in 1..=20 {
        let text = Value::from(format!("there {}", number / 2));
        let met =
            world.draft().meet(origin(number), &record, &[("title", text)], &[], &[], &[]).finish();
        apply(&store, &met).await?;
    }
    let writes = world.model.records[&record].properties()["title"].writes().len();
    ensure_eq!(V1, writes, 21, "the live writes that the check made");
    world.model.expect(&store).await?;
    world.model.expect(&context.reopen(store)?).await
}

pub(crate) async fn types_and_ids_order_records(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let mut draft = world.draft();
    // Made in an order of its own, with ids whose high bytes would sort wrongly if signed.
    for name in ["b", "ab", "a", "B", "a/", "a ", "é", "z", "aa", "Z", "_", "a\u{10ffff}", "a!"] {
        for number in [0xFF, 0x00, 0x80, 0x7F, 0x01] {
            draft = draft.edit(&key(name, number), &[("n", Value::from(u32::from(number)))]);
        }
    }
    let commit = draft.finish();
    let store = context.create_with(&[commit]).await?;
    for scan in world.model.record_scans() {
        for items in [1, 2, 1_000] {
            let found = walk(&scan, &store, PageLimit::items(items), 1_000).await?;
            let keys: Vec<_> = found.iter().map(|state| state.key().clone()).collect();
            let sorted = keys.is_sorted_by(|one, other| one < other);
            ensure!(R3, sorted, "records of {scan:?} out of order: {keys:?}");
            let expected = crate::scan::Scan::expected(&scan, &world.model);
            ensure_eq!(R3, found, expected, "the records of {scan:?}");
        }
    }
    Ok(())
}

pub(crate) async fn a_type_is_not_a_prefix(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let mut draft = world.draft();
    for name in ["bug", "bugs", "bu", "bug/", "bug ", "Bug", "bug\u{301}"] {
        draft = draft.edit(&key(name, 1), &[("type", Value::from(name))]);
    }
    let commit = draft.finish();
    let store = context.create_with(&[commit]).await?;
    let scan = RecordScan { record_type: Some(record_kind("bug")), ..RecordScan::default() };
    let found = walk(&scan, &store, PageLimit::default(), 10).await?;
    let keys: Vec<_> = found.iter().map(|state| state.key().clone()).collect();
    ensure_eq!(V1, keys, [key("bug", 1)], "the records of type bug");
    world.model.expect(&store).await
}

pub(crate) async fn a_cursor_may_be_of_another_type(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    let record_type = Some(record_kind("bug"));
    let all = [key("bug", 1), key("bug", 2)];
    let cases = [
        (key("aaa", 0xFF), &all[..]),
        (key("bug", 0), &all[..]),
        (key("bug", 1), &all[1..]),
        (key("bug", 2), &[]),
        (key("bugs", 0), &[]),
        (key("zzz", 0), &[]),
    ];
    for (after, expected) in cases {
        let scan = RecordScan { record_type: record_type.clone(), ..RecordScan::default() };
        let found = walk_from(&scan, &store, Some(after.clone()), scan.limit, 10).await;
        let found = found.map_err(under("R5"))?;
        let keys: Vec<_> = found.iter().map(|state| state.key().clone()).collect();
        ensure_eq!(R5, keys, expected, "the records of type bug after {after}");
    }
    world.model.expect(&store).await
}

pub(crate) async fn what_exists_is_counted(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let mut draft = world.draft();
    for name in ["bug", "bugs", "bu", "Bug", "bug\u{301}", "gone"] {
        for number in 1..4 {
            draft = draft.edit(&key(name, number), &[("n", Value::from(u32::from(number)))]);
        }
    }
    let mut commits = vec![draft.finish()];
    let draft = world.draft().delete(&key("bug", 1)).delete(&key("bug", 2));
    let draft = draft.delete(&key("gone", 1)).delete(&key("gone", 2)).delete(&key("gone", 3));
    // Deleted here, and created elsewhere without sight of that.
    let disputed = [("n", Value::from(7))];
    let draft = draft.meet(origin(2), &key("bug", 2), &disputed, &[], &[], &[]);
    commits.push(draft.finish());
    let store = context.create_with(&commits).await?;
    let counts = |counts: &[(&str, u64)]| -> RecordCounts {
        counts.iter().map(|(name, count)| (record_kind(name), *count)).collect()
    };
    let all = [("bug", 2), ("bugs", 3), ("bu", 3), ("Bug", 3), ("bug\u{301}", 3)];
    let cases = [
        (None, counts(&all)),
        (Some("bug"), counts(&[("bug", 2)])),
        (Some("bugs"), counts(&[("bugs", 3)])),
        (Some("gone"), counts(&[])),
        (Some("b"), counts(&[])),
    ];
    for (record_type, expected) in cases {
        let read = store.count_records(record_type.map(record_kind).as_ref()).await?;
        ensure_eq!(R8, read.value, expected, "how many records of {record_type:?} there are");
        ensure_eq!(R1, read.at, world.model.head, "the head that they were counted at");
    }
    world.model.expect(&store).await
}
