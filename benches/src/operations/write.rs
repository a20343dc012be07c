//! Edits. All of them let the replica grow: an edit of what was restored is no edit of a replica in use.

use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use futures_util::stream::FuturesUnordered;
use prophet_store::{Commit, Properties, RecordKey, Replica};

use crate::content;
use crate::suite::{Operation, Runner};
use crate::turns::{Contest, each};
use crate::worlds::{Edited, Worlds};

/// So many edits each task makes at a time.
const EDITS_EACH: usize = 8;

pub(crate) fn all(runner: &mut Runner, worlds: &Worlds<'_>) {
    runner.bench(Operation::new("edit", 1), || single(worlds.edited()));
    for (name, tasks) in [
        ("edits by 1 task", 1),
        ("edits by 4 tasks", 4),
        ("edits by 16 tasks", 16),
        ("edits by 64 tasks", 64),
    ] {
        let operation = Operation::new(name, tasks * EDITS_EACH);
        runner.bench(operation, || at_once(worlds.edited(), tasks));
    }
    for (name, edits) in [
        ("import, 1 a commit", 1),
        ("import, 100 a commit", 100),
        ("import, 1,000 a commit", 1_000),
    ] {
        let operation = Operation::new(name, edits);
        runner.bench(operation, || import(worlds.edited(), edits));
    }
}

type Change = (RecordKey, Properties);

fn next(edited: &Edited) -> Change {
    edited.edits.borrow_mut().draw().expect("the values are good")
}

fn commit(edited: &Edited, edits: usize) -> Commit {
    edited.script.borrow_mut().commit(edits).expect("memory is edited")
}

/// One change of one record, durable when it returns.
fn single(edited: &Edited) -> Contest<'_> {
    let replica = &edited.home.replica;
    let ours = each(
        move || next(edited),
        move |(record, properties)| {
            block_on(replica.update(&record, properties)).expect("the replica is edited")
        },
    );
    let bytes = content::payload_bytes(&commit(edited, 1));
    let contest = Contest::new(ours).bytes(bytes);
    against_engines(contest, edited, 1, 1)
}

/// Tasks that each make one edit after the other, all at once. The engine writes what they do in as few
/// commits as there can be: the first edit of all, then the second.
fn at_once(edited: &Edited, tasks: usize) -> Contest<'_> {
    let replica = &edited.home.replica;
    let ours = each(
        move || -> Vec<Vec<Change>> {
            (0..tasks).map(|_| (0..EDITS_EACH).map(|_| next(edited)).collect()).collect()
        },
        move |plan| {
            let tasks = plan.into_iter().map(|edits| edit_all(replica, edits));
            let mut tasks: FuturesUnordered<_> = tasks.collect();
            block_on(async { while tasks.next().await.is_some() {} });
        },
    );
    against_engines(Contest::new(ours), edited, tasks, EDITS_EACH)
}

async fn edit_all(replica: &Replica, edits: Vec<Change>) {
    for (record, properties) in edits {
        replica.update(&record, properties).await.expect("the replica is edited");
    }
}

/// Many changesets in one commit, as when they come from elsewhere.
fn import(edited: &Edited, edits: usize) -> Contest<'_> {
    let replica = &edited.home.replica;
    let ours = each(
        move || -> Vec<Change> { (0..edits).map(|_| next(edited)).collect() },
        move |changes| {
            let changes = &changes;
            let edit = replica.edit(|edit| async move {
                for (record, properties) in changes {
                    edit.begin_changeset("ada@example.org", None)?;
                    edit.update(record, properties.clone()).await?;
                }
                Ok(())
            });
            block_on(edit).expect("the replica is edited")
        },
    );
    let bytes = content::payload_bytes(&commit(edited, edits));
    let contest = Contest::new(ours).bytes(bytes);
    against_engines(contest, edited, edits, 1)
}

/// The same by each engine: so many commits, each of so many edits.
fn against_engines<'a>(
    contest: Contest<'a>,
    edited: &'a Edited,
    edits: usize,
    commits: usize,
) -> Contest<'a> {
    edited.engines.iter().fold(contest, |contest, engine| {
        let run = each(
            move || -> Vec<_> {
                let mut bare = engine.bare.borrow_mut();
                (0..commits).map(|_| bare.prepare(&commit(edited, edits))).collect()
            },
            move |writes| writes.into_iter().for_each(|write| write()),
        );
        contest.against(engine.other.clone(), run)
    })
}
