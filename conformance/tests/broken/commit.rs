//! Stores that are wrong about commits.

use std::collections::BTreeSet;

use futures_lite::future::block_on;
use prophet_store::{RecordKey, StoreError};

use crate::fault::{Fault, fault};
use crate::tools::{Parts, answers, head_of, refused, rewrites, send};
use crate::wrapped::{Handle, Hooks, locked};

pub(crate) fn faults() -> Vec<Fault> {
    let mut faults = of_bases();
    faults.extend(of_refusals());
    faults.extend(of_reading());
    faults.extend([
        fault("answers with the base", &["commit::every_commit_moves_the_head"]).hooks(
            |handle, hooks| {
                let inner = handle.inner.clone();
                hooks.send(move |commit| send(&inner, commit).map(|_| commit.base()))
            },
        ),
        fault("refuses empty commits", &["commit::an_empty_commit_counts"]).hooks(
            |handle, hooks| {
                answers(handle, hooks, |commit, _| {
                    let empty = commit.entries().is_empty() && commit.metadata().is_empty();
                    empty.then(|| Err(StoreError::invalid_commit("it is empty")))
                })
            },
        ),
        fault("takes 256 entries of a commit", &["commit::many_entries_in_one_commit"])
            .hooks(|handle, hooks| rewrites(handle, hooks, |parts| parts.entries.truncate(256))),
        fault("takes 100 records of a commit", &["commit::one_changeset_of_many_records"])
            .hooks(|handle, hooks| rewrites(handle, hooks, |parts| parts.records.truncate(100))),
        fault("drops metadata beside entries", &["commit::content_is_right_after_every_commit"])
            .hooks(|handle, hooks| {
                rewrites(handle, hooks, |parts| {
                    if !parts.entries.is_empty() {
                        parts.metadata.clear();
                    }
                })
            }),
    ]);
    faults
}

fn of_bases() -> Vec<Fault> {
    vec![
        fault(
            "ignores the base",
            &["commit::stale_base_is_refused", "commit::of_racing_commits_one_wins"],
        )
        .hooks(|handle, hooks| {
            let inner = handle.inner.clone();
            hooks.send(move |commit| {
                let head = head_of(&inner)?;
                match commit.base() == head || commit.id() == head.commit {
                    true => send(&inner, commit),
                    false => Parts::of(commit).on(head).sent_to(&inner),
                }
            })
        }),
        fault("ignores the id of the base", &["commit::all_three_parts_of_the_base_count"]).hooks(
            |handle, hooks| {
                let inner = handle.inner.clone();
                hooks.send(move |commit| {
                    let (head, base) = (head_of(&inner)?, commit.base());
                    let same = (base.version, base.position) == (head.version, head.position);
                    let base = if same { head } else { base };
                    Parts::of(commit).on(base).sent_to(&inner)
                })
            },
        ),
        fault("takes a base that is yet to come", &["commit::a_base_in_the_future_is_refused"])
            .hooks(|handle, hooks| {
                let inner = handle.inner.clone();
                hooks.send(move |commit| {
                    let head = head_of(&inner)?;
                    match commit.base().version > head.version {
                        true => Parts::of(commit).on(head).sent_to(&inner),
                        false => send(&inner, commit),
                    }
                })
            }),
        fault("looks at the base before it waits", &["commit::racing_writers_make_one_line"])
            .tries(50)
            .hooks(|handle, hooks| {
                let inner = handle.inner.clone();
                hooks.send(move |commit| {
                    let head = head_of(&inner)?;
                    if commit.base() != head {
                        return send(&inner, commit);
                    }
                    (0..50).for_each(|_| std::thread::yield_now());
                    Parts::of(commit).on(head_of(&inner)?).sent_to(&inner)?;
                    Ok(commit.head())
                })
            }),
        fault("names the wrong head", &["commit::stale_base_is_refused"]).hooks(|handle, hooks| {
            let inner = handle.inner.clone();
            hooks.send(move |commit| match send(&inner, commit) {
                Err(StoreError::StaleBase { base, .. }) => refused(commit, base),
                answer => answer,
            })
        }),
    ]
}

fn of_refusals() -> Vec<Fault> {
    vec![
        fault("applies a refused commit with the next", &["commit::a_refused_commit_stays_away"])
            .hooks(|handle, hooks| {
                let (inner, kept) = (handle.inner.clone(), handle.kept.clone());
                hooks.send(move |commit| {
                    let mut parts = Parts::of(commit);
                    let late = std::mem::take(&mut *locked(&kept.commits));
                    let late = late.iter().flat_map(|late| Parts::of(late).metadata);
                    parts.metadata.extend(late);
                    let answer = parts.sent_to(&inner);
                    if answer.is_err() {
                        locked(&kept.commits).push(commit.clone());
                    }
                    answer
                })
            }),
        fault(
            "takes the changesets of refused commits for known",
            &["commit::what_was_refused_can_be_made_anew"],
        )
        .hooks(|handle, hooks| {
            let (inner, kept) = (handle.inner.clone(), handle.kept.clone());
            hooks.send(move |commit| {
                let digests = commit.entries().iter().map(|entry| entry.changeset.digest());
                let mut known = locked(&kept.digests);
                if digests.clone().any(|digest| known.contains(&digest)) {
                    return Err(StoreError::invalid_commit("a changeset was seen before"));
                }
                let answer = send(&inner, commit);
                if answer.is_err() {
                    known.extend(digests);
                }
                answer
            })
        }),
        fault("skips known changesets", &["commit::a_changeset_in_the_log_is_refused"]).hooks(
            |handle, hooks| {
                let inner = handle.inner.clone();
                hooks.send(move |commit| {
                    let mut parts = Parts::of(commit);
                    if commit.base() == head_of(&inner)? {
                        parts.entries.retain(|entry| {
                            let digests = [entry.changeset.digest()];
                            let found = block_on(inner.find_changesets(&digests));
                            found.is_ok_and(|found| found.value == [None])
                        });
                    }
                    parts.sent_to(&inner)
                })
            },
        ),
        fault("skips repeated changesets", &["commit::a_changeset_twice_is_refused"]).hooks(
            |handle, hooks| {
                rewrites(handle, hooks, |parts| {
                    let mut seen = BTreeSet::new();
                    parts.entries.retain(|entry| seen.insert(entry.changeset.digest()));
                })
            },
        ),
    ]
}

/// Reads the last record of a batch later than the others.
pub(crate) fn tears_batches(handle: &Handle, hooks: Hooks) -> Hooks {
    let inner = handle.inner.clone();
    hooks.records(move |keys, read| {
        // Until somebody has committed, if anybody does.
        for _ in 0..200 {
            if head_of(&inner).is_ok_and(|head| head != read.at) {
                break;
            }
            std::thread::yield_now();
        }
        let last: Option<&RecordKey> = keys.last();
        let later = block_on(inner.get_records(last.map_or(&[], std::slice::from_ref)));
        if let (Ok(later), Some(last)) = (later, read.value.last_mut()) {
            *last = later.value.into_iter().next().flatten();
        }
    })
}

fn of_reading() -> Vec<Fault> {
    vec![
        fault("tears batches", &["commit::readers_never_see_half_a_commit"])
            .tries(50)
            .hooks(tears_batches),
        fault("reads at an old head", &["commit::commits_are_seen_at_once"]).hooks(
            |handle, hooks| {
                let (inner, kept) = (handle.inner.clone(), handle.kept.clone());
                let old = handle.kept.clone();
                hooks
                    .send(move |commit| {
                        *locked(&kept.head) = head_of(&inner)?;
                        send(&inner, commit)
                    })
                    .at(move |head| *head = *locked(&old.head))
            },
        ),
    ]
}
