//! Commits: conditional, atomic, in one line.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_lite::future::block_on;
use prophet_store::{
    Commit, CommitId, Head, LogScan, PageLimit, Position, RecordScan, StoreError, Value, Version,
};

use crate::failure::{Outcome, ensure, ensure_eq, ensure_error, ensure_ok, under};
use crate::fixtures::{Model, Racer, World, key, metadata_key};
use crate::scan::{page, walk};
use crate::suite::{Context, apply, in_threads, persist};
use harnesses::Store;

pub(crate) async fn every_commit_moves_the_head(context: &Context<'_>) -> Outcome {
    let store = context.create()?;
    let mut world = World::new();
    for (number, commit) in (1..).zip(world.rich()) {
        let before = store.head().await?;
        let head = persist(&store, &commit).await?;
        let expected = Head {
            version: Version::new(number),
            position: Position::new(before.position.get() + commit.entries().len() as u64),
            commit: commit.id(),
        };
        ensure_eq!(C3, head, expected, "the answer to commit {number}");
        ensure_eq!(R2, store.head().await?, expected, "the head after commit {number}");
    }
    world.model.expect(&store).await
}

pub(crate) async fn content_is_right_after_every_commit(context: &Context<'_>) -> Outcome {
    let store = context.create()?;
    let mut model = Model::EMPTY;
    for commit in World::new().rich() {
        apply(&store, &commit).await?;
        model.take_in(&commit);
        model.expect(&store).await.map_err(under("C1"))?;
    }
    Ok(())
}

pub(crate) async fn an_empty_commit_counts(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let store = context.create()?;
    for _ in 0..3 {
        let answer = persist(&store, &world.draft().finish()).await;
        let head = ensure_ok!(C3, answer, "a commit of nothing");
        ensure_eq!(C3, head, world.head(), "the answer to a commit of nothing");
        world.model.expect(&store).await?;
    }
    apply(&store, &world.step()).await?;
    world.model.expect(&store).await
}

pub(crate) async fn stale_base_is_refused(context: &Context<'_>) -> Outcome {
    let (store, mut world) = context.create_rich().await?;
    let mut rival = world.rival(1);
    let lost = [rival.step(), rival.note()];
    apply(&store, &world.step()).await?;
    let late = world.rival(2).draft().finish();
    apply(&store, &world.step()).await?;
    for stale in [&lost[0], &late] {
        let answer = persist(&store, stale).await;
        ensure_error!(
            C2,
            answer,
            StoreError::StaleBase { base, head, .. }
                if base == stale.base() && head == world.head(),
            "a commit on {} where the head is {}",
            stale.base(),
            world.head()
        );
        world.model.expect(&store).await?;
    }
    Ok(())
}

pub(crate) async fn a_base_in_the_future_is_refused(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    let mut ahead = world.clone();
    ahead.step();
    let future = [ahead.rival(1).step(), ahead.rival(2).draft().finish()];
    for commit in future {
        let answer = persist(&store, &commit).await;
        ensure_error!(
            C2,
            answer,
            StoreError::StaleBase { head, .. } if head == world.head(),
            "a commit on a head that is yet to come"
        );
    }
    world.model.expect(&store).await
}

pub(crate) async fn all_three_parts_of_the_base_count(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    let Head { version, position, commit } = world.head();
    let wrong = [
        Head { version: version.next(), ..world.head() },
        Head { version: Version::new(version.get() - 1), ..world.head() },
        Head { position: position.next(), ..world.head() },
        Head { position: Position::new(position.get() - 1), ..world.head() },
        Head { commit: CommitId::from_bytes([0x77; 16]), ..world.head() },
        Head { version, position, commit: CommitId::from_bytes([0; 16]) },
        Head::EMPTY,
    ];
    ensure!(C2, commit != Head::EMPTY.commit, "the content has commits");
    for (number, base) in (1..).zip(wrong) {
        let commit = Commit::new(CommitId::from_bytes([number; 16]), base)
            .with_metadata(metadata_key("wrong"), Some(vec![number]))?;
        let answer = persist(&store, &commit).await;
        ensure_error!(
            C2,
            answer,
            StoreError::StaleBase { head, .. } if head == world.head(),
            "a commit on {base}, which is not {}",
            world.head()
        );
    }
    world.model.expect(&store).await
}

pub(crate) async fn a_refused_commit_stays_away(context: &Context<'_>) -> Outcome {
    let (store, mut world) = context.create_rich().await?;
    let stale = world.rival(1).step();
    apply(&store, &world.step()).await?;
    for _ in 0..3 {
        let answer = persist(&store, &stale).await;
        ensure_error!(C5, answer, StoreError::StaleBase { .. }, "a commit refused before");
        let answer = persist(&store, &world.step()).await;
        ensure_ok!(C5, answer, "the commit after one that was refused");
        world.model.expect(&store).await.map_err(under("C5"))?;
    }
    let store = context.reopen(store)?;
    let answer = persist(&store, &stale).await;
    ensure_error!(C5, answer, StoreError::StaleBase { .. }, "a commit refused before the reopen");
    world.model.expect(&store).await.map_err(under("C5"))
}

pub(crate) async fn what_was_refused_can_be_made_anew(context: &Context<'_>) -> Outcome {
    let store = context.create()?;
    let mut world = World::new();
    let mut racer = Racer::new(1);
    let (stale, changeset) = racer.commit_on(world.head());
    apply(&store, &world.step()).await?;
    ensure_error!(
        C2,
        persist(&store, &stale).await,
        StoreError::StaleBase { .. },
        "a stale commit"
    );
    // The very same changeset, at another position and in another commit.
    let (anew, same) = racer.commit_on(store.head().await?);
    ensure_eq!(C5, same.digest(), changeset.digest(), "the changeset made anew");
    ensure_ok!(C5, persist(&store, &anew).await, "what was refused, made anew");
    let found = store.find_changesets(&[same.digest()]).await?;
    ensure_eq!(C5, found.value, [Some(anew.head().position)], "where the changeset is");
    Ok(())
}

pub(crate) async fn a_changeset_in_the_log_is_refused(context: &Context<'_>) -> Outcome {
    let (store, mut world) = context.create_rich().await?;
    let before = world.model.clone();
    let old = before.log.iter().step_by(3).map(|entry| entry.changeset.clone());
    for changeset in old.collect::<Vec<_>>() {
        let mut rival = world.rival(1);
        let fresh = rival
            .draft()
            .edit(&key("bug", 9), &[("title", Value::from("new"))])
            .append(changeset.clone(), Vec::new(), Vec::new())
            .metadata("half", Some(b"a commit"))
            .finish();
        for _ in 0..2 {
            let answer = persist(&store, &fresh).await;
            ensure_error!(
                C8,
                answer,
                StoreError::InvalidCommit { .. },
                "a commit with a changeset that is in the log, {:?}",
                changeset.digest()
            );
            before.expect(&store).await?;
        }
    }
    apply(&store, &world.step()).await?;
    let store = context.reopen(store)?;
    world.model.expect(&store).await
}

pub(crate) async fn a_changeset_twice_is_refused(context: &Context<'_>) -> Outcome {
    let (store, mut world) = context.create_rich().await?;
    let before = world.model.clone();
    let mut rival = world.rival(1);
    let draft = rival
        .draft()
        .edit(&key("bug", 9), &[("title", Value::from("new"))])
        .edit(&key("bug", 8), &[("title", Value::from("newer"))]);
    let first = draft.world.model.log.iter().rev().nth(1).map(|entry| entry.changeset.clone());
    let twice = draft.append(first.expect("two were made"), Vec::new(), Vec::new()).finish();
    for _ in 0..2 {
        let answer = persist(&store, &twice).await;
        ensure_error!(
            C8,
            answer,
            StoreError::InvalidCommit { .. },
            "a commit with one changeset twice"
        );
        before.expect(&store).await?;
    }
    apply(&store, &world.step()).await?;
    world.model.expect(&store).await
}

pub(crate) async fn of_racing_commits_one_wins(context: &Context<'_>) -> Outcome {
    const THREADS: u8 = 4;
    let store = context.create()?;
    let mut racers: Vec<_> = (1..=THREADS).map(Racer::new).collect();
    let mut wins = Vec::new();
    for round in 1..=25 {
        let base = store.head().await?;
        ensure_eq!(C3, base.version.get(), round - 1, "the version before round {round}");
        let tries: Vec<_> = racers.iter_mut().map(|racer| racer.commit_on(base)).collect();
        let answers = in_threads(tries.iter().map(|(commit, _)| {
            let store = &store;
            move || Ok(block_on(persist(store, commit)))
        }))?;
        let mut winner = None;
        for (((commit, changeset), racer), answer) in tries.iter().zip(&mut racers).zip(&answers) {
            match answer {
                Ok(head) => {
                    ensure_eq!(C3, *head, commit.head(), "the answer to the winner");
                    ensure!(C3, winner.is_none(), "two commits on {base} succeeded");
                    racer.won(changeset);
                    winner = Some(commit);
                    wins.push(changeset.digest());
                }
                Err(StoreError::StaleBase { .. }) => {}
                Err(error) => {
                    ensure!(C2, false, "a commit on {base} in a race came to {error:?}");
                }
            }
        }
        let Some(winner) = winner else {
            ensure!(C2, false, "no commit on {base} won, though it was the head");
            return Ok(());
        };
        let head = store.head().await?;
        ensure_eq!(C3, head, winner.head(), "the head after round {round}");
        for answer in &answers {
            if let Err(StoreError::StaleBase { head: named, .. }) = answer {
                ensure_eq!(C2, *named, head, "the head that a loser is told");
            }
        }
    }
    let log = walk(&LogScan::default(), &store, PageLimit::default(), 10).await?;
    let digests: Vec<_> = log.iter().map(|entry| entry.changeset.digest()).collect();
    ensure_eq!(C3, digests, wins, "the log after the races");
    Ok(())
}

pub(crate) async fn racing_writers_make_one_line(context: &Context<'_>) -> Outcome {
    let store = context.create()?;
    let heads = in_threads((1..=4).map(|salt| {
        let store = &store;
        move || block_on(Racer::new(salt).run(store, 15))
    }))?;
    one_line(&store, heads.into_iter().flatten().collect()).await
}

/// The acknowledged heads, of racers that made all commits there are, are one line.
pub(crate) async fn one_line(store: &Store, mut heads: Vec<Head>) -> Outcome {
    heads.sort_by_key(|head| head.version);
    for (number, head) in (1..).zip(&heads) {
        ensure_eq!(C3, head.version.get(), number, "the versions of all commits");
        ensure_eq!(C3, head.position.get(), number, "their positions, of one entry each");
    }
    ensure_eq!(R2, Some(store.head().await?), heads.last().copied(), "the head at the end");
    let mut after = None;
    let mut entries = Vec::new();
    loop {
        let page = page(&LogScan::default(), store, after, PageLimit::default()).await?;
        entries.extend(page.items);
        after = page.more;
        if after.is_none() {
            break;
        }
    }
    ensure_eq!(L1, entries.len(), heads.len(), "the entries of commits of one entry each");
    for (number, entry) in (1..).zip(&entries) {
        ensure_eq!(L1, entry.position.get(), number, "a position in the log");
    }
    Ok(())
}

const COUNTED: [&str; 3] = ["aa", "mm", "zz"];

/// A commit that sets all that is counted, everywhere, to its own number.
fn count(world: &mut World) -> Commit {
    let number = Value::from(i64::try_from(world.head().version.get() + 1).unwrap_or_default());
    let records = COUNTED.map(|name| key(name, 1));
    let properties: &[_] = &[("number", number.clone())];
    let changes = [0, 1, 2].map(|index| (&records[index], properties));
    let text = number.to_string();
    world
        .draft()
        .edits(World::IDENTITY.replica, &changes)
        .metadata("first", Some(text.as_bytes()))
        .metadata("last", Some(text.as_bytes()))
        .finish()
}

pub(crate) async fn readers_never_see_half_a_commit(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let commits: Vec<_> = (0..60).map(|_| count(&mut world)).collect();
    let store = context.create()?;
    let done = AtomicBool::new(false);
    let write = || {
        let outcome = block_on(async {
            for commit in &commits {
                apply(&store, commit).await?;
            }
            Ok(())
        });
        done.store(true, Ordering::Release);
        outcome
    };
    let read = || {
        block_on(async {
            let mut seen = Version::ZERO;
            loop {
                let last = done.load(Ordering::Acquire);
                seen = read_whole(&store, &commits, seen).await?;
                if last {
                    return Ok(());
                }
            }
        })
    };
    let tasks: [Box<dyn FnOnce() -> Outcome + Send>; 3] =
        [Box::new(write), Box::new(read), Box::new(read)];
    in_threads(tasks)?;
    world.model.expect(&store).await
}

/// Whatever is read agrees with the head that it names, and heads do not go back.
pub(crate) async fn read_whole(
    store: &Store,
    commits: &[Commit],
    seen: Version,
) -> Outcome<Version> {
    let check_head = |at: Head, seen: Version| -> Outcome<i64> {
        ensure!(R2, at.version >= seen, "a read at {at} after one at version {seen}");
        let version = usize::try_from(at.version.get()).unwrap_or_default();
        let expected = match version.checked_sub(1) {
            None => Head::EMPTY,
            Some(index) => commits.get(index).map_or(Head::EMPTY, Commit::head),
        };
        ensure_eq!(C1, at, expected, "a head that was read");
        Ok(i64::try_from(version).unwrap_or_default())
    };
    let head = store.head().await?;
    check_head(head, seen)?;

    let read = store.get_records(&COUNTED.map(|name| key(name, 1))).await?;
    let number = check_head(read.at, head.version)?;
    for state in read.value {
        let came = state.as_ref().and_then(|state| state.visible_property("number"));
        let expected = (number > 0).then(|| Value::from(number));
        ensure_eq!(R1, came, expected.as_ref(), "a record in a batch read at {}", read.at);
    }

    let page = store.scan_records(&RecordScan::default()).await?;
    let number = check_head(page.at, read.at.version)?;
    let count = if number > 0 { COUNTED.len() } else { 0 };
    // A page may hold less than it was asked to.
    let complete = if page.more.is_none() { count } else { page.items.len().min(count) };
    ensure_eq!(R1, page.items.len(), complete, "the records in a page at {}", page.at);
    for state in &page.items {
        let came = state.visible_property("number");
        ensure_eq!(R1, came, Some(&Value::from(number)), "a record in a page at {}", page.at);
        ensure_eq!(R1, state.changed(), page.at.position, "when it changed, at {}", page.at);
    }

    let metadata = store.get_metadata(&["first", "last"].map(metadata_key)).await?;
    let number = check_head(metadata.at, page.at.version)?;
    for value in metadata.value {
        let expected = (number > 0).then(|| number.to_string().into_bytes());
        ensure_eq!(R1, value, expected, "metadata in a batch at {}", metadata.at);
    }

    let scan = LogScan { limit: PageLimit::items(1_000), ..LogScan::default() };
    let log = store.scan_log(&scan).await?;
    check_head(log.at, metadata.at.version)?;
    if log.more.is_none() {
        let len = log.items.len() as u64;
        ensure_eq!(R1, len, log.at.position.get(), "the whole log at {}", log.at);
    }

    let digests: Vec<_> =
        commits.iter().flat_map(Commit::entries).map(|entry| entry.changeset.digest()).collect();
    let found = store.find_changesets(&digests).await?;
    check_head(found.at, log.at.version)?;
    let positions = found.value.iter().flatten().count() as u64;
    ensure_eq!(R1, positions, found.at.position.get(), "changesets found at {}", found.at);
    Ok(found.at.version)
}

pub(crate) async fn commits_are_seen_at_once(context: &Context<'_>) -> Outcome {
    let store = context.create()?;
    let mut world = World::new();
    for _ in 0..20 {
        apply(&store, &count(&mut world)).await?;
        // Each kind of read on its own: what was acknowledged before is in all of them.
        let number = Value::from(i64::try_from(world.head().version.get()).unwrap_or_default());
        let read = store.get_records(&[key("mm", 1)]).await?;
        let state = read.value.first().cloned().flatten();
        let came = state.as_ref().and_then(|state| state.visible_property("number"));
        ensure_eq!(R2, came, Some(&number), "a record just written");
        ensure_eq!(R2, read.at, world.head(), "the head that it was read at");
        let scan = LogScan { direction: prophet_store::Direction::Backward, ..LogScan::default() };
        let page = store.scan_log(&scan).await?;
        let last = page.items.first().map(|entry| entry.position);
        ensure_eq!(R2, last, Some(world.head().position), "the last entry, just written");
    }
    Ok(())
}

pub(crate) async fn many_entries_in_one_commit(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let store = context.create()?;
    let mut draft = world.draft();
    for number in 0..500_u32 {
        let record = key("many", u8::try_from(number % 200).unwrap_or_default());
        draft = draft.edit(&record, &[("number", Value::from(number))]);
    }
    apply(&store, &draft.finish()).await?;
    world.model.expect(&store).await?;
    apply(&store, &world.step()).await?;
    world.model.expect(&store).await
}

pub(crate) async fn one_changeset_of_many_records(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let keys: Vec<_> = (0..=255).map(|number| key("many", number)).collect();
    let properties: &[_] = &[("text", Value::from("x"))];
    let changes: Vec<_> = keys.iter().map(|key| (key, properties)).collect();
    let commit = world.draft().edits(World::IDENTITY.replica, &changes).finish();
    let store = context.create()?;
    apply(&store, &commit).await?;
    world.model.expect(&store).await.map_err(under("C1"))
}
