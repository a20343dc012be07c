//! Stores that are wrong after a future was dropped.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use prophet_store::StoreError;

use crate::fault::{Fault, fault};
use crate::tools::send;
use crate::wrapped::hooks::Call;
use crate::wrapped::{Hooks, locked};

fn in_use() -> StoreError {
    StoreError::io("it", "waiting", "it is in use for ever")
}

/// Is in use while one of these calls is under way, and for ever where one was dropped.
fn is_in_use_by(hooks: Hooks, by: fn(Call) -> bool) -> Hooks {
    let flag = Arc::new(AtomicBool::new(false));
    let over = flag.clone();
    hooks
        .before(move |call| match by(call) && flag.swap(true, Ordering::AcqRel) {
            true => Err(in_use()),
            false => Ok(()),
        })
        .after(move |call| {
            if by(call) {
                over.store(false, Ordering::Release);
            }
        })
}

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        fault("is in use once a commit is called", &["cancellation::a_commit_never_polled"]).hooks(
            |handle, hooks| {
                let called = Arc::new(AtomicUsize::new(0));
                let (count, over) = (called.clone(), called.clone());
                let inner = handle.inner.clone();
                hooks
                    .called(move |_| {
                        called.fetch_add(1, Ordering::AcqRel);
                    })
                    .send(move |commit| match count.load(Ordering::Acquire) {
                        1 => send(&inner, commit),
                        _ => Err(in_use()),
                    })
                    .after(move |call| {
                        if call == Call::Commit {
                            over.fetch_sub(1, Ordering::AcqRel);
                        }
                    })
            },
        ),
        fault("stays in use when a commit is dropped", &["cancellation::a_commit_polled_once"])
            .hooks(|_, hooks| is_in_use_by(hooks, |call| call == Call::Commit)),
        fault("stays in use when a read is dropped", &["cancellation::every_read_may_be_dropped"])
            .hooks(|_, hooks| {
                is_in_use_by(hooks, |call| !matches!(call, Call::Commit | Call::Close))
            }),
        fault("takes a dropped commit for applied", TAKEN_FOR_APPLIED).hooks(|handle, hooks| {
            let inner = handle.inner.clone();
            let begun: Arc<Mutex<BTreeSet<_>>> = Arc::default();
            let again: Arc<Mutex<BTreeSet<_>>> = Arc::default();
            let seen = again.clone();
            hooks
                .begun(move |commit| {
                    if !locked(&begun).insert(commit.id()) {
                        locked(&again).insert(commit.id());
                    }
                })
                .send(move |commit| match locked(&seen).contains(&commit.id()) {
                    true => Ok(commit.head()),
                    false => send(&inner, commit),
                })
        }),
        fault("is half closed when a close is dropped", &["cancellation::a_close_may_be_dropped"])
            .hooks(|_, hooks| {
                let closing = Arc::new(AtomicBool::new(false));
                let over = closing.clone();
                hooks
                    .before(move |call| match call {
                        Call::Close => {
                            closing.store(true, Ordering::Release);
                            Ok(())
                        }
                        _ if closing.load(Ordering::Acquire) => Err(in_use()),
                        _ => Ok(()),
                    })
                    .after(move |call| {
                        if call == Call::Close {
                            over.store(false, Ordering::Release);
                        }
                    })
            }),
    ]
}

const TAKEN_FOR_APPLIED: &[&str] = &[
    "cancellation::another_commit_after_one_dropped",
    "cancellation::dropped_commits_of_many_threads",
];
