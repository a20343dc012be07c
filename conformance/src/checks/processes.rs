//! Several processes.

use futures_lite::future::block_on;
use prophet_store::StoreError;

use super::commit::one_line;
use crate::child::{Child, heard, told};
use crate::failure::{Outcome, ensure, ensure_eq, ensure_error};
use crate::fixtures::{Racer, World};
use crate::suite::{Context, apply, in_threads};

pub(crate) async fn what_another_commits_is_seen(context: &Context<'_>) -> Outcome {
    let store = context.create()?;
    let mut world = World::new();
    apply(&store, &world.step()).await?;
    let mut child = Child::start(context)?;
    ensure_eq!(R2, child.call("open")?, "done", "opening in another process");
    ensure_eq!(R2, child.call("head")?, told(&world.head()), "the head in another process");
    ensure_eq!(C1, child.call("expect 1")?, "done", "the content in another process");
    for number in 1..5 {
        world.step();
        let head = child.call(&format!("steps {number} 1"))?;
        ensure_eq!(C3, head, told(&world.head()), "a commit in another process");
        ensure_eq!(R2, store.head().await?, world.head(), "its head, seen here");
    }
    world.model.expect(&store).await?;
    apply(&store, &world.step()).await?;
    ensure_eq!(R2, child.call("head")?, told(&world.head()), "the head seen there");
    ensure_eq!(C1, child.call("expect 6")?, "done", "the content seen there");
    Ok(())
}

pub(crate) async fn racing_processes_make_one_line(context: &Context<'_>) -> Outcome {
    const COUNT: usize = 15;
    let store = context.create()?;
    let mut children = [Child::start(context)?, Child::start(context)?];
    for child in &mut children {
        ensure_eq!(O2, child.call("open")?, "done", "opening in another process");
    }
    for (salt, child) in (2..).zip(&mut children) {
        child.ask(&format!("race {salt} {COUNT}"))?;
    }
    let heads = in_threads([|| block_on(Racer::new(1).run(&store, COUNT))])?;
    let mut heads: Vec<_> = heads.into_iter().flatten().collect();
    let mut elsewhere = Vec::new();
    for child in &mut children {
        let answer = child.answer()?;
        ensure!(C3, !answer.contains("failed"), "another process in the race {answer}");
        elsewhere.extend(answer.split(',').map(str::to_owned));
    }
    ensure_eq!(C3, elsewhere.len(), 2 * COUNT, "the commits of the other processes");
    for head in &elsewhere {
        heads.push(heard(head)?);
    }
    one_line(&store, heads).await
}

pub(crate) async fn a_commit_sent_again_from_elsewhere(context: &Context<'_>) -> Outcome {
    let store = context.create()?;
    let mut world = World::new();
    for commit in world.steps(3) {
        apply(&store, &commit).await?;
    }
    let mut child = Child::start(context)?;
    ensure_eq!(O2, child.call("open")?, "done", "opening in another process");
    // The very commits that were made here.
    let head = child.call("steps 0 3")?;
    ensure_eq!(C4, head, told(&world.head()), "the answers to commits sent again from elsewhere");
    world.model.expect(&store).await
}

pub(crate) async fn another_process_is_locked_out(context: &Context<'_>) -> Outcome {
    let store = context.create()?;
    let mut world = World::new();
    apply(&store, &world.step()).await?;
    let mut child = Child::start(context)?;
    ensure_eq!(O2, child.call("open")?, "Locked", "opening elsewhere what is open here");
    apply(&store, &world.step()).await?;
    store.close().await?;
    drop(store);
    ensure_eq!(O2, child.call("open")?, "done", "opening elsewhere what was closed here");
    ensure_eq!(D1, child.call("expect 2")?, "done", "the content in another process");
    let opened = context.place().open();
    ensure_error!(O2, opened, StoreError::Locked { .. }, "opening here what is open elsewhere");
    ensure_eq!(O2, child.call("close")?, "done", "closing elsewhere");
    world.model.expect(&context.open()?).await
}

pub(crate) async fn nothing_elsewhere_is_not_found(context: &Context<'_>) -> Outcome {
    let mut child = Child::start(context)?;
    ensure_eq!(O1, child.call("open")?, "NotFound", "opening nothing in another process");
    let store = context.create()?;
    World::new().model.expect(&store).await
}
