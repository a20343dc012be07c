//! Processes that are killed, at moments that differ from run to run.

use futures_lite::future::block_on;
use prophet_store::{LogScan, PageLimit};
use proptest::collection::vec;

use crate::child::{Child, heard, told};
use crate::failure::{Failure, Outcome, ensure, ensure_eq};
use crate::fixtures::{Racer, World};
use crate::scan::walk;
use crate::suite::{Context, apply};
use harnesses::{Place, Store};

/// More commits than any process lives for.
const MANY: usize = 400;

/// Another process commits until it has answered so often, and a little more.
fn killed_while_writing(
    context: &Context<'_>,
    place: &dyn Place,
    world: &mut World,
    (count, microseconds): (usize, u64),
) -> Outcome {
    let mut child = Child::start_at(context, place)?;
    ensure_eq!(D2, child.call("open")?, "done", "opening in another process");
    child.ask(&format!("run {} {MANY}", world.head().version))?;
    for answer in child.killed_after(count, microseconds)? {
        world.step();
        ensure_eq!(C3, answer, told(&world.head()), "what another process was answered");
    }
    Ok(())
}

fn opened(place: &dyn Place, after: &str) -> Outcome<Store> {
    let failed =
        |error| Failure::new("D2", format!("opening after {after} fails\n      came: {error:?}"));
    place.open().map_err(failed)
}

/// All that was acknowledged is there, and at most one commit more.
async fn nothing_is_lost(store: &Store, world: &mut World) -> Outcome {
    let acknowledged = world.head();
    let mut more = store.head().await? != acknowledged;
    if !more {
        let found = world.model.expect(store).await;
        // Where somebody else carries it out, as a server does, it may appear only now.
        more = found.is_err() && store.head().await? != acknowledged;
        if !more {
            found?;
        }
    }
    if more {
        let head = store.head().await?;
        world.step();
        ensure_eq!(D3, head, world.head(), "the head, where {acknowledged} was acknowledged");
        world.model.expect(store).await?;
    }
    let report = store.verify().await?;
    ensure!(D3, report.is_sound(), "verify finds {:?}", report.problems);
    // Where the last one may still appear, it is this very commit.
    apply(store, &world.step()).await?;
    world.model.expect(store).await
}

pub(crate) async fn a_killed_process_loses_nothing_acknowledged(context: &Context<'_>) -> Outcome {
    let rounds = vec((0_usize..12, 0_u64..1_500), 1..6);
    context.cases(5).erratic().run(&rounds, |rounds| {
        block_on(async {
            let place = context.harness().place();
            drop(place.create(World::IDENTITY)?);
            let mut world = World::new();
            for round in rounds {
                killed_while_writing(context, &*place, &mut world, round)?;
                let store = opened(&*place, "a process was killed")?;
                nothing_is_lost(&store, &mut world).await?;
            }
            Ok(())
        })
    })
}

pub(crate) async fn a_process_killed_while_opening(context: &Context<'_>) -> Outcome {
    let opening = vec(0_u64..2_500, 1..5);
    let rounds = vec(((0_usize..8, 0_u64..500), opening), 1..4);
    context.cases(4).erratic().run(&rounds, |rounds| {
        block_on(async {
            let place = context.harness().place();
            drop(place.create(World::IDENTITY)?);
            let mut world = World::new();
            for (round, openings) in rounds {
                // So that there is something to recover from.
                killed_while_writing(context, &*place, &mut world, round)?;
                for microseconds in openings {
                    let mut child = Child::start_at(context, &*place)?;
                    child.call("ready")?;
                    child.ask("open")?;
                    let answers = child.killed_after(0, microseconds)?;
                    ensure!(D2, answers.is_empty(), "opening came to {answers:?}");
                }
                let store = opened(&*place, "processes were killed while opening")?;
                nothing_is_lost(&store, &mut world).await?;
            }
            Ok(())
        })
    })
}

pub(crate) async fn killed_among_others(context: &Context<'_>) -> Outcome {
    context.cases(3).erratic().run(&(0_usize..20, 0_u64..1_500), |(count, microseconds)| {
        block_on(one_is_killed(context, count, microseconds))
    })
}

async fn one_is_killed(context: &Context<'_>, count: usize, microseconds: u64) -> Outcome {
    const EACH: usize = 20;
    let place = context.harness().place();
    let store = place.create(World::IDENTITY)?;
    let mut children = Vec::new();
    for salt in 1..=3_u8 {
        let mut child = Child::start_at(context, &*place)?;
        ensure_eq!(O2, child.call("open")?, "done", "opening in another process");
        children.push((salt, child));
    }
    for (salt, child) in &mut children {
        let commits = if *salt == 1 { MANY } else { EACH };
        child.ask(&format!("racing {salt} {commits}"))?;
    }
    let mut acknowledged = Vec::new();
    for (salt, mut child) in children {
        let answers = if salt == 1 {
            child.killed_after(count, microseconds)?
        } else {
            let answers = child.answers()?;
            ensure_eq!(C3, answers.len(), EACH, "the commits of one that goes on");
            answers
        };
        for answer in answers {
            acknowledged.push((salt, heard(&answer)?));
        }
    }
    // From here on nothing of the dead one appears any more.
    let last = Racer::new(4).run(&store, 2).await?;
    acknowledged.extend(last.into_iter().map(|head| (4, head)));
    let log = walk(&LogScan::default(), &store, PageLimit::default(), 10_000).await?;
    for (salt, head) in &acknowledged {
        ensure_eq!(C3, head.position.get(), head.version.get(), "the position of one entry each");
        let index = usize::try_from(head.position.get() - 1).unwrap_or(usize::MAX);
        let origin = log.get(index).map(|entry| entry.changeset.header().origin);
        let expected = Some(Racer::new(*salt).origin());
        ensure_eq!(D3, origin, expected, "whose the commit is that led to {head}");
    }
    let mut versions: Vec<_> = acknowledged.iter().map(|(_, head)| head.version).collect();
    versions.sort_unstable();
    versions.dedup();
    ensure_eq!(C3, versions.len(), acknowledged.len(), "how many versions were acknowledged");
    let more = log.len() - acknowledged.len();
    ensure!(D3, more <= 1, "{more} commits are there that nobody was told of");
    for store in [store, opened(&*place, "a process was killed among others")?] {
        let report = store.verify().await?;
        ensure!(D3, report.is_sound(), "verify finds {:?}", report.problems);
    }
    Ok(())
}
