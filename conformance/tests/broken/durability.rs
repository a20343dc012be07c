//! Stores that lose what they acknowledged.

use std::sync::atomic::Ordering;

use conformance::Store;
use futures_lite::future::block_on;
use prophet_store::StoreError;

use crate::fault::{Fault, Inner, fault};
use crate::tools::{head_of, send};
use crate::wrapped::file::FileOptions;
use crate::wrapped::{Handle, Hooks, Kept, locked};

/// Keeps each commit that is made.
fn recorded(handle: &Handle, hooks: Hooks) -> Hooks {
    let (inner, kept) = (handle.inner.clone(), handle.kept.clone());
    hooks.send(move |commit| {
        let before = head_of(&inner)?;
        let answer = send(&inner, commit)?;
        if commit.base() == before {
            locked(&kept.commits).push(commit.clone());
        }
        Ok(answer)
    })
}

/// Opens another replica in the place of the one that was there, with these commits in it.
fn restored(kept: &Kept, count: usize) -> Result<Store, StoreError> {
    let identity = kept.place().open()?.facts().identity;
    let store = kept.renew().create(identity)?;
    let mut commits = locked(&kept.commits);
    commits.truncate(count);
    for commit in commits.iter() {
        block_on(store.commit(commit))?;
    }
    Ok(store)
}

fn but_the_last(kept: &Kept) -> usize {
    locked(&kept.commits).len().saturating_sub(1)
}

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        fault("loses all when dropped", &["durability::commits_survive_a_drop"])
            .hooks(recorded)
            .open(|kept| restored(kept, 0)),
        fault(
            "loses the last commit when dropped",
            &["durability::every_commit_survives_its_own_reopen"],
        )
        .hooks(recorded)
        .open(|kept| restored(kept, but_the_last(kept))),
        fault("loses the last commit when closed", &["durability::commits_survive_a_close"])
            .hooks(|handle, hooks| {
                let (inner, kept) = (handle.inner.clone(), handle.kept.clone());
                recorded(handle, hooks).close(move || {
                    kept.flag.store(true, Ordering::Release);
                    block_on(inner.close())
                })
            })
            .open(|kept| match kept.flag.swap(false, Ordering::AcqRel) {
                true => restored(kept, but_the_last(kept)),
                false => kept.place().open(),
            }),
        fault("is made by its first commit", &["durability::a_new_replica_survives_a_drop"])
            .hooks(recorded)
            .open(|kept| match locked(&kept.commits).is_empty() {
                true => Err(StoreError::not_found("it")),
                false => kept.place().open(),
            }),
        fault("writes when it is closed", &["durability::commits_survive_the_end_of_the_process"])
            .over(Inner::File(FileOptions { writes_at_the_end: true, ..FileOptions::SHARED })),
    ]
}
