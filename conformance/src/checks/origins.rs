//! What an origin authored.

use prophet_store::{
    Changeset, Digest, Direction, OriginScan, PageLimit, Payload, ReplicaId, Sequence, Value,
};

use crate::failure::{Outcome, ensure, ensure_eq, under};
use crate::fixtures::{World, key, origin};
use crate::scan::{Scan, walk, walk_from};
use crate::suite::{Context, apply};

fn scan(origin: ReplicaId, direction: Direction) -> OriginScan {
    OriginScan { origin, after: None, direction, limit: PageLimit::default() }
}

pub(crate) async fn origins_are_apart(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let store = context.create()?;
    for number in 0..30_u32 {
        let author = origin(u8::try_from(number % 4).unwrap_or_default());
        let record = key("bug", u8::try_from(number % 3).unwrap_or_default());
        let edit = world.draft().edits(author, &[(&record, &[("n", Value::from(number))])]);
        let edit = edit.finish();
        apply(&store, &edit).await?;
    }
    let scans = world.model.origin_scans();
    world.model.expect_scans(&scans, &store).await.map_err(under("L2"))?;
    world.model.expect(&store).await
}

/// A world where one origin has three branches, whose digests are in no order.
fn forked() -> World {
    let mut world = World::new();
    let author = origin(1);
    for branch in ["one", "two", "three", "four", "five"] {
        let record = key("fork", 1);
        let mut previous = None;
        let mut draft = world.draft();
        for sequence in 1..=3 {
            let value = Value::from(format!("{branch} {sequence}"));
            let properties = [(branch, value)];
            let change = draft.world.change(&record, &properties, true);
            let mut authored = draft.world.authored(author, Payload::Edit(vec![change]));
            authored.sequence = Sequence::new(sequence).expect("it is not zero");
            authored.previous = previous;
            let changeset = Changeset::author(authored).expect("the changeset is good");
            previous = Some(changeset.digest());
            draft = draft.append(changeset, Vec::new(), Vec::new());
        }
        draft.finish();
    }
    world
}

pub(crate) async fn forks_are_all_there(context: &Context<'_>) -> Outcome {
    let world = forked();
    let store = context.create()?;
    // The whole log in one commit: the head is that of the last of the world's own commits.
    let mut commit = prophet_store::Commit::new(World::new().commit_id(), store.head().await?);
    for entry in &world.model.log {
        commit = commit.with_entry(entry.clone())?;
    }
    for state in world.model.records.values() {
        commit = commit.with_record(state.clone())?;
    }
    apply(&store, &commit).await?;
    for direction in [Direction::Forward, Direction::Backward] {
        let scan = scan(origin(1), direction);
        let expected = scan.expected(&world.model);
        ensure_eq!(L2, expected.len(), 15, "the changesets that the check made");
        for items in [1, 2, 3, 4, 1_000] {
            let found = walk(&scan, &store, PageLimit::items(items), 100).await?;
            ensure_eq!(L2, found, expected, "all branches, by sequence and digest, in {scan:?}");
        }
    }
    let digests: Vec<_> = world.model.log.iter().map(|it| it.changeset.digest()).collect();
    let found = store.find_changesets(&digests).await?;
    ensure!(L2, found.value.iter().all(Option::is_some), "not every branch is found by digest");
    Ok(())
}

pub(crate) async fn a_scan_may_begin_between_branches(context: &Context<'_>) -> Outcome {
    let world = forked();
    let mut commit =
        prophet_store::Commit::new(World::new().commit_id(), prophet_store::Head::EMPTY);
    for entry in &world.model.log {
        commit = commit.with_entry(entry.clone())?;
    }
    for state in world.model.records.values() {
        commit = commit.with_record(state.clone())?;
    }
    let store = context.create_with(&[commit]).await?;
    let low = Digest::from_bytes([0; 32]);
    let high = Digest::from_bytes([0xFF; 32]);
    let mut cursors: Vec<_> = [1, 2, 3, 4, 1 << 31, 1 << 63, u64::MAX]
        .iter()
        .filter_map(|number| Sequence::new(*number))
        .flat_map(|sequence| [(sequence, low), (sequence, high)])
        .collect();
    let all = scan(origin(1), Direction::Forward).expected(&world.model);
    cursors.extend(all.iter().map(OriginScan::cursor));
    for after in cursors {
        for direction in [Direction::Forward, Direction::Backward] {
            let scan = OriginScan { after: Some(after), ..scan(origin(1), direction) };
            let found = walk_from(&scan, &store, scan.after, scan.limit, 10).await;
            let found = found.map_err(under("R5"))?;
            let beyond = scan.expected(&world.model).into_iter();
            let expected: Vec<_> =
                beyond.filter(|it| scan.is_before(&after, &OriginScan::cursor(it))).collect();
            ensure_eq!(R5, found, expected, "what {scan:?} finds");
        }
    }
    Ok(())
}

pub(crate) async fn an_unknown_origin_has_nothing(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    for stranger in
        [origin(0x42), ReplicaId::from_bytes([0; 16]), ReplicaId::from_bytes([0xFF; 16])]
    {
        for direction in [Direction::Forward, Direction::Backward] {
            let page = store.scan_origin(&scan(stranger, direction)).await?;
            ensure!(L2, page.items.is_empty(), "{stranger} authored nothing, yet {page:?}");
            ensure_eq!(R4, page.more, None, "how a scan of nothing ends");
            ensure_eq!(R1, page.at, world.head(), "the head of a scan of nothing");
        }
    }
    Ok(())
}
