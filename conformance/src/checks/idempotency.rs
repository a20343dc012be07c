//! Commits sent again.

use prophet_store::{Commit, CommitId, Head, StoreError, Value};

use crate::failure::{Outcome, ensure_eq, ensure_error, under};
use crate::fixtures::{World, key, metadata_key};
use crate::suite::{Context, apply, persist};
use harnesses::Store;

async fn again(store: &Store, commit: &Commit, when: &str) -> Outcome {
    let answer = persist(store, commit).await;
    ensure_eq!(C4, answer.as_ref().ok(), Some(&commit.head()), "the answer to a commit {when}");
    Ok(())
}

pub(crate) async fn a_commit_sent_twice_is_applied_once(context: &Context<'_>) -> Outcome {
    let store = context.create()?;
    let commits = World::new().rich();
    let mut model = crate::fixtures::Model::EMPTY;
    for commit in &commits {
        apply(&store, commit).await?;
        model.take_in(commit);
        again(&store, commit, "sent again at once").await?;
        again(&store, commit, "sent a third time").await?;
        model.expect(&store).await.map_err(under("C4"))?;
    }
    Ok(())
}

pub(crate) async fn all_commits_sent_again_later(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let mut commits = world.rich();
    let store = context.create_with(&commits).await?;
    let more = world.steps(3);
    for commit in &more {
        apply(&store, commit).await?;
    }
    commits.extend(more);
    for commit in commits.iter().rev().chain(&commits) {
        again(&store, commit, "sent again after others").await?;
    }
    world.model.expect(&store).await
}

pub(crate) async fn commits_sent_again_after_reopen(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let commits = world.rich();
    let mut store = context.create_with(&commits).await?;
    for _ in 0..2 {
        store = context.reopen(store)?;
        for commit in &commits {
            again(&store, commit, "sent again after a reopen").await?;
        }
        world.model.expect(&store).await?;
    }
    apply(&store, &world.step()).await?;
    world.model.expect(&store).await
}

pub(crate) async fn overwritten_effects_stay_overwritten(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let record = key("bug", 1);
    let set = |world: &mut World, text: &str| {
        world
            .draft()
            .edit(&record, &[("title", Value::from(text))])
            .metadata("title", Some(text.as_bytes()))
            .metadata("once", (text == "old").then_some(b"here"))
            .finish()
    };
    let old = set(&mut world, "old");
    let note = world.note();
    let new = set(&mut world, "new");
    let newer = world.note();
    let store = context.create_with(&[old.clone(), note.clone(), new, newer]).await?;
    for _ in 0..2 {
        again(&store, &old, "whose effects were overwritten").await?;
        again(&store, &note, "whose metadata was overwritten").await?;
        world.model.expect(&store).await.map_err(under("C4"))?;
    }
    let store = context.reopen(store)?;
    again(&store, &old, "whose effects were overwritten before the reopen").await?;
    world.model.expect(&store).await.map_err(under("C4"))
}

pub(crate) async fn the_last_1024_ids_are_remembered(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let note = world.note();
    let empty = world.draft().finish();
    let store = context.create_with(&[note.clone(), empty.clone()]).await?;
    for _ in 0..1_022 {
        apply(&store, &world.note()).await?;
    }
    ensure_eq!(C3, world.head().version.get(), 1_024, "how many commits there are");
    again(&store, &note, "1,023 commits later").await?;
    again(&store, &empty, "1,022 commits later").await?;
    let store = context.reopen(store)?;
    again(&store, &note, "1,023 commits and a reopen later").await?;
    again(&store, &empty, "1,022 commits and a reopen later").await?;
    world.model.expect(&store).await
}

pub(crate) async fn changesets_are_recognised_for_ever(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let mut early = world.rich();
    early.extend(world.steps(2));
    early.retain(|commit| !commit.entries().is_empty());
    let all = {
        let mut world = World::new();
        let mut all = world.rich();
        all.extend(world.steps(2));
        all
    };
    let store = context.create_with(&all).await?;
    for _ in 0..2_050 {
        apply(&store, &world.note()).await?;
    }
    for commit in &early {
        again(&store, commit, "with changesets, sent more than 2,000 commits later").await?;
    }
    let store = context.reopen(store)?;
    for commit in &early {
        again(&store, commit, "with changesets, more than 2,000 commits and a reopen later")
            .await?;
    }
    // Half of it is in the log: that is another commit.
    let mut rival = World::new();
    let twin = rival.rich().swap_remove(0);
    let half = Commit::new(CommitId::from_bytes([0x99; 16]), Head::EMPTY)
        .with_entry(twin.entries()[0].clone())?;
    let mut other = World::new().rival(9);
    let entry = other.step().entries()[0].clone();
    let half =
        half.with_entry(prophet_store::LogEntry { position: half_position(&twin), ..entry })?;
    let answer = persist(&store, &half).await;
    ensure_error!(
        C4,
        answer,
        StoreError::StaleBase { head, .. } if head == world.head(),
        "a commit of which one changeset is in the log and one is not"
    );
    world.model.expect(&store).await
}

fn half_position(twin: &Commit) -> prophet_store::Position {
    twin.entries()[0].position.next()
}

pub(crate) async fn a_stranger_at_the_same_version_is_stale(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    let strangers = {
        let mut rival = World::new().rival(5);
        [rival.step(), rival.note(), rival.draft().finish()]
    };
    for stranger in &strangers {
        let answer = persist(&store, stranger).await;
        ensure_error!(
            C4,
            answer,
            StoreError::StaleBase { head, .. } if head == world.head(),
            "another commit than the one that was applied at its version"
        );
    }
    world.model.expect(&store).await
}

pub(crate) async fn the_same_content_with_another_id_is_stale(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let note = world.note();
    let step = world.step();
    let store = context.create_with(&[note.clone(), step.clone()]).await?;
    let mut twin = Commit::new(CommitId::from_bytes([0x31; 16]), note.base());
    for (key, value) in note.metadata() {
        twin = twin.with_metadata(key.clone(), value.clone())?;
    }
    let answer = persist(&store, &twin).await;
    ensure_error!(C4, answer, StoreError::StaleBase { .. }, "the content of a commit, another id");
    world.model.expect(&store).await
}

pub(crate) async fn an_id_counts_only_at_its_version(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let commits = world.steps(4);
    let store = context.create_with(&commits).await?;
    let base = commits[2].base();
    let moved = Commit::new(CommitId::from_bytes([0x32; 16]), base)
        .with_metadata(metadata_key("moved"), Some(Vec::new()))?;
    let answer = persist(&store, &moved).await;
    ensure_error!(C4, answer, StoreError::StaleBase { .. }, "a commit nobody made, on an old head");
    for commit in &commits {
        again(&store, commit, "sent again after a stranger").await?;
    }
    world.model.expect(&store).await
}
