//! Pulls.

use futures_lite::future::block_on;
use prophet_store::PullOptions;

use crate::content;
use crate::floor::{Bare, Floor};
use crate::suite::{Operation, Runner};
use crate::turns::{Contest, Other, each, tight};
use crate::worlds::{Dispute, Edited, Foreign, Pair, Worlds, directory};

pub(crate) fn all(runner: &mut Runner, worlds: &Worlds<'_>) {
    let sizes = worlds.sizes;
    let operation = Operation::new("integrate 10,000", sizes.changesets).slow();
    runner.bench(operation, || integrate(worlds, worlds.foreign()));
    runner.bench(Operation::new("pull, nothing new", 1), || pull_nothing(worlds.pair()));
    let operation = Operation::new("pull, 100 new", sizes.few);
    runner.bench(operation, || pull_few(worlds.pair(), worlds.edited(), sizes.few));
    let operation = Operation::new("merge, 1,000 conflicts", sizes.conflicts).slow();
    runner.bench(operation, || merge(worlds, worlds.dispute(), sizes.conflicts as u64));
}

/// An engine in a fresh directory, with something in it, and writes that are ready.
fn ready<'a>(
    floor: &'a Floor,
    before: &'a [prophet_store::Commit],
    commits: &'a [prophet_store::Commit],
) -> crate::turns::Run<'a> {
    each(
        move || {
            let directory = directory();
            let mut bare: Box<dyn Bare> = floor.open(directory.path());
            bare.fill(before);
            let writes: Vec<_> = commits.iter().map(|commit| bare.prepare(commit)).collect();
            (writes, bare, directory)
        },
        move |(writes, bare, directory)| {
            writes.into_iter().for_each(|write| write());
            (bare, directory)
        },
    )
}

fn other(floor: &Floor) -> Other {
    Other { name: floor.name().to_owned(), floor: true }
}

/// A first pull of all that a replica in memory has, into a new replica each time. The engine writes the
/// same, in as many commits.
fn integrate<'a>(worlds: &'a Worlds<'_>, foreign: &'a Foreign) -> Contest<'a> {
    let changesets = worlds.sizes.changesets as u64;
    let ours = each(
        move || worlds.empty_home(&foreign.replica),
        move |home| {
            let pulled = block_on(home.replica.pull(&foreign.replica, PullOptions::new()));
            let pulled = pulled.expect("the replica pulls");
            assert_eq!(pulled.integrated, changesets, "all of it is new");
            home
        },
    );
    let contest = Contest::new(ours).bytes(foreign.bytes);
    worlds.floors.iter().fold(contest, |contest, floor| {
        contest.against(other(floor), ready(floor, &[], &foreign.commits))
    })
}

/// A pull from a replica in memory that has nothing new.
fn pull_nothing(pair: &Pair) -> Contest<'_> {
    // What an earlier bench may have left.
    block_on(pair.behind.replica.pull(&pair.ahead, PullOptions::new())).expect("the replica pulls");
    Contest::new(tight(move || {
        let pulled = block_on(pair.behind.replica.pull(&pair.ahead, PullOptions::new()));
        let pulled = pulled.expect("the replica pulls");
        assert_eq!(pulled.integrated, 0, "nothing is new");
        pulled
    }))
}

/// A pull of a few changesets from a replica in memory. Both replicas grow. The engine writes as many
/// changesets in one commit.
fn pull_few<'a>(pair: &'a Pair, edited: &'a Edited, few: usize) -> Contest<'a> {
    let mut number = 0;
    let ours = each(
        move || {
            number += few;
            let updated = content::update(&pair.ahead, &pair.records, number);
            block_on(updated).expect("memory is edited");
        },
        move |()| {
            let pulled = block_on(pair.behind.replica.pull(&pair.ahead, PullOptions::new()));
            let pulled = pulled.expect("the replica pulls");
            assert_eq!(pulled.integrated, few as u64, "all of it is new");
            pulled
        },
    );
    let floors = edited.engines.iter().filter(|engine| engine.other.floor);
    floors.fold(Contest::new(ours), |contest, engine| {
        let run = each(
            move || {
                let commit = edited.script.borrow_mut().commit(few).expect("memory is edited");
                engine.bare.borrow_mut().prepare(&commit)
            },
            move |write| write(),
        );
        contest.against(engine.other.clone(), run)
    })
}

/// A pull from a replica that disagrees about every record, into a new replica each time. The engine
/// writes the same changesets with their states, in one commit.
fn merge<'a>(worlds: &'a Worlds<'_>, dispute: &'a Dispute, conflicts: u64) -> Contest<'a> {
    let ours = each(
        move || worlds.home_of(&dispute.ours),
        move |home| {
            let pulled = block_on(home.replica.pull(&dispute.theirs, PullOptions::new()));
            let pulled = pulled.expect("the replica pulls");
            assert_eq!(pulled.conflicts, conflicts, "each record is contested");
            home
        },
    );
    let (before, merged) = dispute.commits.split_at(2);
    let bytes = merged.iter().map(content::payload_bytes).sum();
    worlds.floors.iter().fold(Contest::new(ours).bytes(bytes), |contest, floor| {
        contest.against(other(floor), ready(floor, before, merged))
    })
}
