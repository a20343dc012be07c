//! Looking for damage: every commit, and everything derived from them against them.

use std::collections::VecDeque;

use prophet_store::{Position, StoreError, Verification, Version};

use crate::carry::LONGEST;
use crate::commit_object::Decoded;
use crate::follow::read_commit;
use crate::index::{open_pack, packs, table_error};
use crate::layout;
use crate::shared::Shared;
use crate::state::State;
use crate::together::together;

/// So many commits are read at once.
const WINDOW: u64 = 32;
/// No object brings more commits along than so many.
const LATELY: usize = 64;
/// Where everything is damage, the first of it says enough.
const MOST_PROBLEMS: usize = 1_000;

/// Reads all of the replica at one head.
pub(crate) async fn verify(shared: &Shared, state: &State) -> Result<Verification, StoreError> {
    let mut problems = Vec::new();
    for pack in packs(&state.root.tables) {
        let opened = open_pack(&shared.bucket, &shared.trouble, &pack).await;
        note(&mut problems, opened)?;
        for table in pack.iter().filter_map(|table| table.get()) {
            let place = table.place().to_owned();
            let sound = table.verify().await;
            let sound = sound.map_err(|error| table_error(&place, &shared.trouble, error));
            note(&mut problems, sound)?;
        }
    }
    commits(shared, state, &mut problems).await?;
    let mut found = prophet_kv::verify(&shared.reads(state)).await?;
    problems.append(&mut found.problems);
    problems.truncate(MOST_PROBLEMS);
    found.problems = problems;
    Ok(found)
}

fn note<T>(
    problems: &mut Vec<String>,
    result: Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    match result {
        Ok(fine) => Ok(Some(fine)),
        Err(error @ (StoreError::Corrupt { .. } | StoreError::NewerFormat { .. })) => {
            if problems.len() < MOST_PROBLEMS {
                problems.push(error.to_string());
            }
            Ok(None)
        }
        Err(other) => Err(other),
    }
}

/// Whether the commits are one line up to the head, and the log is what they say.
async fn commits(
    shared: &Shared,
    state: &State,
    problems: &mut Vec<String>,
) -> Result<(), StoreError> {
    let (bucket, identity) = (&shared.bucket, shared.identity);
    let reads = shared.reads(state);
    let last = state.head.version.get();
    let mut head = Some(prophet_store::Head::EMPTY);
    // The commits before, as bytes, the latest first.
    let mut lately = VecDeque::new();
    let mut next = 1;
    while next <= last {
        let window = next..=last.min(next + WINDOW - 1);
        next += WINDOW;
        let versions = window.clone().map(Version::new);
        let read = together(versions.map(|version| read_commit(bucket, identity, version))).await;
        for (version, commit) in window.zip(read) {
            let place = || bucket.place_of(&layout::commit(Version::new(version)));
            let missing = || StoreError::corrupt(place(), "the commit is not there");
            let commit = commit.and_then(|commit| commit.ok_or_else(missing));
            let Some(Decoded { commit, content, before }) = note(problems, commit)? else {
                head = None;
                lately.clear();
                continue;
            };
            if lately.iter().zip(&before).any(|(there, brought)| there != brought) {
                let what = "it brings along a commit that is another one in its own place";
                note::<()>(problems, Err(StoreError::corrupt(place(), what)))?;
            }
            match content.len() {
                ..=LONGEST => lately.push_front(content),
                _ => lately.clear(),
            }
            lately.truncate(LATELY);
            if head.is_some_and(|head| head != commit.base()) {
                let what = StoreError::corrupt(place(), "it does not follow the one before it");
                note::<()>(problems, Err(what))?;
            }
            head = Some(commit.head());
            for entry in commit.entries() {
                let same = prophet_kv::Entries::entry_at(reads.entries(), entry.position).await;
                let same = same.and_then(|there| match there == *entry {
                    true => Ok(()),
                    false => Err(differs(&place(), entry.position)),
                });
                note(problems, same)?;
            }
        }
    }
    if let Some(head) = head
        && head != state.head
    {
        let what = format!("the commits end at {head}, not {}", state.head);
        note::<()>(problems, Err(StoreError::corrupt(&*bucket.place, what)))?;
    }
    Ok(())
}

fn differs(place: &str, position: Position) -> StoreError {
    let what = format!("log entry {position} is another one in what is derived from it");
    StoreError::corrupt(place, what)
}
