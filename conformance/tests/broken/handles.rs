//! Stores that are wrong where there are several handles, or several processes.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use futures_lite::future::block_on;
use prophet_store::{CommitId, StoreError};

use crate::commit::tears_batches;
use crate::fault::{Fault, Inner, SHARED, fault};
use crate::paging::knows_cursors;
use crate::tools::{head_of, refused, send};
use crate::wrapped::file::FileOptions;
use crate::wrapped::locked;

fn shared(change: fn(&mut FileOptions)) -> Inner {
    let mut options = FileOptions::SHARED;
    change(&mut options);
    Inner::File(options)
}

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        fault(
            "reads nothing of what others write",
            &[
                "handles::what_one_commits_the_other_sees",
                "processes::what_another_commits_is_seen",
            ],
        )
        .over(shared(|options| options.reads_nothing_new = true)),
        fault("commits to the head it knows", &["handles::one_base_is_for_one_of_them"])
            .over(shared(|options| options.commits_blindly = true)),
        fault(
            "looks at the base without a lock",
            &["handles::racing_handles_make_one_line", "processes::racing_processes_make_one_line"],
        )
        .over(shared(|options| options.unlocked = true))
        .tries(20),
        fault(
            "recognises the commits of its handle",
            &[
                "handles::a_commit_sent_again_elsewhere",
                "processes::a_commit_sent_again_from_elsewhere",
            ],
        )
        .over(SHARED)
        .hooks(|handle, hooks| {
            let inner = handle.inner.clone();
            let own: Mutex<BTreeSet<CommitId>> = Mutex::default();
            hooks.send(move |commit| {
                let head = head_of(&inner)?;
                if commit.base() != head && !locked(&own).contains(&commit.id()) {
                    return refused(commit, head);
                }
                let answer = send(&inner, commit)?;
                locked(&own).insert(commit.id());
                Ok(answer)
            })
        }),
        fault("tears batches of other handles", &["handles::a_reader_elsewhere_never_sees_half"])
            .over(SHARED)
            .tries(50)
            .hooks(tears_batches),
        fault("knows the cursors of its handle", &["handles::cursors_work_on_another_handle"])
            .over(SHARED)
            .hooks(|_, hooks| {
                let names = Mutex::default();
                knows_cursors(hooks, move |known| known(&mut locked(&names)))
            }),
        fault("closes all handles at once", &["handles::closing_one_leaves_the_other"])
            .over(SHARED)
            .hooks(|handle, hooks| {
                let (inner, kept) = (handle.inner.clone(), handle.kept.clone());
                let closed = handle.kept.clone();
                hooks
                    .close(move || {
                        kept.flag.store(true, Ordering::Release);
                        block_on(inner.close())
                    })
                    .before(move |_| match closed.flag.load(Ordering::Acquire) {
                        true => Err(StoreError::closed("all of it")),
                        false => Ok(()),
                    })
            }),
        fault("locks nobody out", &["processes::another_process_is_locked_out"])
            .over(Inner::File(FileOptions { unlocked: true, ..FileOptions::EXCLUSIVE })),
        fault("makes what another process opens", &["processes::nothing_elsewhere_is_not_found"])
            .over(shared(|options| options.opens_nothing = true)),
    ]
}
