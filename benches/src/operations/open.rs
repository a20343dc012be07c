//! Opening a replica.

use futures_lite::future::block_on;
use harnesses::Place;
use prophet_store::{Commit, PullOptions, Replica};

use crate::content;
use crate::crash::Crashes;
use crate::floor::Floor;
use crate::suite::{Operation, Runner};
use crate::turns::{Contest, Other, Run, each};
use crate::worlds::{Worlds, directory, of_database_of};

pub(crate) fn all(runner: &mut Runner, worlds: &Worlds<'_>) {
    let operation = Operation::new("open 10,000", 1).slow();
    runner.bench(operation, || open(worlds));
    let name = "open 10,000 after a crash";
    let place = worlds.harness.place();
    if place.address().is_some() || worlds.harness.faulty_place().is_some() {
        runner.bench(Operation::new(name, 1).slow(), || after_a_crash(worlds));
    } else {
        runner.leave_out(name, "nothing of this store outlives its process");
    }
}

fn opened(place: &dyn Place) -> Replica {
    let store = place.open().expect("the store opens");
    block_on(Replica::options().open_shared(store)).expect("the replica opens")
}

/// A replica that was closed, and is dropped each time. An engine with the same in it.
fn open<'a>(worlds: &'a Worlds<'_>) -> Contest<'a> {
    let source = &worlds.foreign().replica;
    let place = worlds.harness.place();
    let identity = of_database_of(source).expect("there is chance");
    block_on(async {
        let store = place.create(identity).expect("the store makes a replica");
        let replica = Replica::options().open_shared(store).await?;
        replica.pull(source, PullOptions::new()).await?;
        replica.close().await
    })
    .expect("the replica pulls");
    let ours = each(move || (), move |()| opened(&*place));
    let commits = block_on(content::commits(source, 1_000)).expect("memory is read");
    let floors = worlds.floors.iter().filter(|floor| floor.opens());
    floors.fold(Contest::new(ours), |contest, floor| {
        let other = Other { name: floor.name().to_owned(), floor: true };
        contest.against(other, open_engine(floor, &commits))
    })
}

fn open_engine<'a>(floor: &'a Floor, commits: &[Commit]) -> Run<'a> {
    let directory = directory();
    floor.open(directory.path()).fill(commits);
    each(move || (), move |()| floor.open(directory.path()))
}

/// A replica whose process was killed after some edits more, which stay: it grows.
fn after_a_crash<'a>(worlds: &Worlds<'_>) -> Contest<'a> {
    let source = &worlds.foreign().replica;
    let crashes = Crashes::new(worlds.harness, source, worlds.sizes.before_crash);
    let crashes = crashes.expect("something outlives the process");
    Contest::new(each(
        move || crashes.crash(),
        move |crashed| {
            let store = crashed.open();
            let replica = block_on(Replica::options().open_shared(store));
            (replica.expect("the replica opens"), crashed)
        },
    ))
}
