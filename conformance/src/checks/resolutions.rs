//! The resolution database.

use prophet_store::{
    ConflictId, Digest, PageLimit, Payload, RegisterName, ResolutionScan, Value, Vote,
};

use crate::failure::{Outcome, ensure, ensure_eq, under};
use crate::fixtures::{World, every_kind, key, origin, property_name};
use crate::scan::{Scan, walk, walk_from};
use crate::suite::{Context, apply};
use harnesses::Store;

/// Votes of several replicas on several conflicts.
async fn voted(context: &Context<'_>) -> Outcome<(Store, World)> {
    let mut world = World::new();
    let store = context.create()?;
    for number in 1..=4 {
        let record = key("bug", number);
        let (here, there) = (Value::from("here"), Value::from(u32::from(number)));
        let conflict = world
            .draft()
            .edit(&record, &[("title", here.clone())])
            .meet(origin(1), &record, &[("title", there.clone())], &[], &[], &[])
            .finish();
        apply(&store, &conflict).await?;
        let mut draft = world.draft();
        for voter in 1..=6 {
            let choice = if voter % 2 == 0 { &here } else { &there };
            draft = draft.vote(origin(voter), &record, "title", choice);
        }
        apply(&store, &draft.finish()).await?;
    }
    ensure_eq!(V1, world.model.resolutions.len(), 24, "the votes that the check made");
    Ok((store, world))
}

pub(crate) async fn votes_are_found_by_conflict(context: &Context<'_>) -> Outcome {
    let (store, world) = voted(context).await?;
    for scan in world.model.resolution_scans() {
        for items in [1, 2, 5, 6, 7, 1_000] {
            let found = walk(&scan, &store, PageLimit::items(items), 100).await?;
            ensure_eq!(R3, found, scan.expected(&world.model), "what {scan:?} finds");
        }
    }
    world.model.expect(&context.reopen(store)?).await
}

pub(crate) async fn a_scan_may_begin_anywhere(context: &Context<'_>) -> Outcome {
    let (store, world) = voted(context).await?;
    let mut cursors: Vec<_> = world.model.resolutions.keys().copied().collect();
    for (conflict, changeset) in cursors.clone() {
        let mut next = *changeset.as_bytes();
        next[31] ^= 1;
        cursors.push((conflict, Digest::from_bytes(next)));
        cursors.push((conflict, Digest::from_bytes([0; 32])));
        cursors.push((conflict, Digest::from_bytes([0xFF; 32])));
    }
    for byte in [0, 0x7F, 0x80, 0xFF] {
        cursors.push((ConflictId::from_bytes([byte; 32]), Digest::from_bytes([byte; 32])));
    }
    for scan in world.model.resolution_scans() {
        let all = scan.expected(&world.model);
        for after in &cursors {
            let scan = ResolutionScan { after: Some(*after), ..scan };
            let found = walk_from(&scan, &store, scan.after, scan.limit, 10).await;
            let found = found.map_err(under("R5"))?;
            let beyond = all.iter().filter(|it| ResolutionScan::cursor(it) > *after).cloned();
            ensure_eq!(R5, found, beyond.collect::<Vec<_>>(), "what {scan:?} finds");
        }
    }
    Ok(())
}

pub(crate) async fn votes_come_back_whole(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let store = context.create()?;
    let record = key("bug", 1);
    let create = world.draft().edit(&record, &[("title", Value::from("x"))]).finish();
    apply(&store, &create).await?;
    let values = every_kind();
    let mut votes = Vec::new();
    let mut vote = |register, candidates, choice, supersedes| {
        let vote = Vote::new(record.clone(), register, candidates, choice, supersedes);
        votes.push(vote.expect("the vote is good"));
    };
    let truth = |truth| Some(Value::from(truth));
    vote(RegisterName::Existence, vec![truth(true), truth(false)], truth(false), Vec::new());
    let all: Vec<_> = values.iter().cloned().map(Some).chain([None]).collect();
    let register = |name: &str| RegisterName::Property(property_name(name));
    vote(register("absent wins"), all.clone(), None, Vec::new());
    let superseded = (0..40).map(|byte| Digest::from_bytes([byte; 32])).collect();
    vote(register("long memory"), all, Some(Value::from("")), superseded);
    for (number, value) in values.iter().enumerate() {
        let name = format!("kind {number}");
        let candidates = vec![Some(value.clone()), None];
        let choice = (number % 2 == 0).then(|| value.clone());
        vote(register(&name), candidates, choice, Vec::new());
    }
    // One changeset votes on many conflicts.
    apply(&store, &world.draft().author(origin(1), Payload::Resolution(votes)).finish()).await?;
    world.model.expect(&store).await?;
    world.model.expect(&context.reopen(store)?).await
}

pub(crate) async fn an_unknown_conflict_has_no_votes(context: &Context<'_>) -> Outcome {
    let (store, world) = voted(context).await?;
    let known = world.model.resolutions.keys().next().map(|(conflict, _)| *conflict.as_bytes());
    let mut near = known.expect("there are votes");
    near[31] ^= 1;
    for bytes in [[0; 32], [0xFF; 32], near] {
        let conflict = Some(ConflictId::from_bytes(bytes));
        let scan = ResolutionScan { conflict, ..ResolutionScan::default() };
        let page = store.scan_resolutions(&scan).await?;
        ensure!(R3, page.items.is_empty(), "{scan:?} finds {:?}", page.items);
        ensure_eq!(R4, page.more, None, "how a scan of nothing ends");
        ensure_eq!(R1, page.at, world.head(), "the head of a scan of nothing");
    }
    Ok(())
}
