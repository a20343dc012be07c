//! Stores that are wrong about commits sent again.

use prophet_store::{Commit, CommitId, Head};

use crate::fault::{Fault, fault};
use crate::tools::{Parts, answers, head_of, refused, send};
use crate::wrapped::{Handle, Hooks, locked};

/// How many commits were made since this one.
fn age(commit: &Commit, head: Head) -> u64 {
    head.version.get().saturating_sub(commit.head().version.get())
}

/// Does not recognise some of those commits that are not on the head.
fn forgets(
    handle: &Handle,
    hooks: Hooks,
    forgotten: impl Fn(&Commit, Head) -> bool + Send + Sync + 'static,
) -> Hooks {
    answers(handle, hooks, move |commit, head| {
        let forgets = commit.base() != head && forgotten(commit, head);
        forgets.then(|| refused(commit, head))
    })
}

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        fault("forgets commits", &["idempotency::a_commit_sent_twice_is_applied_once"])
            .hooks(|handle, hooks| forgets(handle, hooks, |_, _| true)),
        fault("forgets all but the last commit", &["idempotency::all_commits_sent_again_later"])
            .hooks(|handle, hooks| forgets(handle, hooks, |commit, head| age(commit, head) > 0)),
        fault("forgets commits with the handle", &["idempotency::commits_sent_again_after_reopen"])
            .hooks(|handle, hooks| {
                let reopened = handle.number > 0;
                forgets(handle, hooks, move |_, _| reopened)
            }),
        fault("remembers a thousand commits", &["idempotency::the_last_1024_ids_are_remembered"])
            .hooks(|handle, hooks| {
                forgets(handle, hooks, |commit, head| age(commit, head) >= 1_000)
            }),
        fault("forgets old changesets", &["idempotency::changesets_are_recognised_for_ever"])
            .hooks(|handle, hooks| {
                forgets(handle, hooks, |commit, head| age(commit, head) >= 1_024)
            }),
        fault("applies effects again", &["idempotency::overwritten_effects_stay_overwritten"])
            .hooks(|handle, hooks| {
                let inner = handle.inner.clone();
                hooks.send(move |commit| {
                    let head = head_of(&inner)?;
                    let answer = send(&inner, commit)?;
                    if commit.base() != head {
                        let mut id = *commit.id().as_bytes();
                        id[0] ^= 0xFF;
                        let mut again = Parts::of(commit).on(head);
                        again.id = CommitId::from_bytes(id);
                        again.entries.clear();
                        again.sent_to(&inner)?;
                    }
                    Ok(answer)
                })
            }),
        fault(
            "recognises commits by their version",
            &[
                "idempotency::a_stranger_at_the_same_version_is_stale",
                "idempotency::an_id_counts_only_at_its_version",
            ],
        )
        .hooks(|handle, hooks| {
            answers(handle, hooks, |commit, head| {
                let old = commit.base() != head && age(commit, head) > 0;
                old.then(|| Ok(commit.head()))
            })
        }),
        fault(
            "recognises commits by their metadata",
            &["idempotency::the_same_content_with_another_id_is_stale"],
        )
        .hooks(|handle, hooks| {
            let (inner, kept) = (handle.inner.clone(), handle.kept.clone());
            hooks.send(move |commit| {
                let mut commits = locked(&kept.commits);
                let same = |old: &&Commit| {
                    old.base() == commit.base() && old.metadata() == commit.metadata()
                };
                if commits.iter().any(|old| same(&old)) {
                    return Ok(commit.head());
                }
                let answer = send(&inner, commit)?;
                commits.push(commit.clone());
                Ok(answer)
            })
        }),
        fault("answers with the head of today", &["idempotency::all_commits_sent_again_later"])
            .hooks(|handle, hooks| {
                let inner = handle.inner.clone();
                hooks.send(move |commit| send(&inner, commit).and_then(|_| head_of(&inner)))
            }),
    ]
}
