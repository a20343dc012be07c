//! What was acknowledged stays.

use crate::child::{Child, told};
use crate::failure::{Outcome, ensure_eq, ensure_ok, under};
use crate::fixtures::World;
use crate::suite::{Context, apply};

pub(crate) async fn commits_survive_a_drop(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    let store = context.reopen(store)?;
    world.model.expect(&store).await.map_err(under("D1"))?;
    let store = context.reopen(store)?;
    world.model.expect(&store).await.map_err(under("D1"))
}

pub(crate) async fn commits_survive_a_close(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    store.close().await?;
    drop(store);
    world.model.expect(&context.open()?).await.map_err(under("D1"))
}

pub(crate) async fn a_new_replica_survives_a_drop(context: &Context<'_>) -> Outcome {
    drop(context.create()?);
    let store = ensure_ok!(D1, context.place().open(), "opening what was made and dropped");
    let mut world = World::new();
    world.model.expect(&store).await?;
    apply(&store, &world.step()).await?;
    world.model.expect(&store).await
}

pub(crate) async fn every_commit_survives_its_own_reopen(context: &Context<'_>) -> Outcome {
    let mut store = context.create()?;
    let mut model = crate::fixtures::Model::EMPTY;
    for commit in World::new().rich() {
        apply(&store, &commit).await?;
        model.take_in(&commit);
        store = context.reopen(store)?;
        model.expect(&store).await.map_err(under("D1"))?;
    }
    Ok(())
}

pub(crate) async fn commits_survive_the_end_of_the_process(context: &Context<'_>) -> Outcome {
    let store = context.create()?;
    let mut world = World::new();
    apply(&store, &world.step()).await?;
    store.close().await?;
    drop(store);
    for number in 1..4 {
        let mut child = Child::start(context)?;
        ensure_eq!(D1, child.call("open")?, "done", "opening in process {number}");
        ensure_eq!(D1, child.call(&format!("expect {number}"))?, "done", "what it finds");
        world.step();
        let head = child.call(&format!("steps {number} 1"))?;
        ensure_eq!(C3, head, told(&world.head()), "a commit in process {number}");
        // It ends here, with nothing closed or dropped.
        drop(child);
    }
    world.model.expect(&context.open()?).await.map_err(under("D1"))
}
