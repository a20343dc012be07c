//! Stores that do whatever the contract leaves to them, and have to pass the whole suite: a check
//! that one of these fails asks for more than was promised.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod wrapped;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use conformance::{Harness, MemoryHarness};
use futures_lite::future::block_on;
use prophet_store::{MetadataKey, PropertyName, StoreError};
use wrapped::file::{FileHarness, FileOptions};
use wrapped::{Change, Handle, Hooks, Wrapping, locked};

fn over_memory(name: &'static str, change: Change) -> impl Harness {
    Wrapping::new(Arc::new(MemoryHarness::new()), name, change)
}

/// One item a page, however many are asked for.
fn short_pages() -> impl Harness {
    let hooks = |_: &Handle, hooks: Hooks| hooks.limit(|limit| limit.items = 1);
    over_memory("short pages", Change { hooks, ..Change::NONE })
}

/// Every call is pending a few times before it begins. Every scan ends with an empty page, and goes on from what is not there where it can. What does
/// not satisfy a hint is left out, and pages with nothing on them are not. Whoever creates over a
/// replica that is open is told that it is locked.
fn roundabout() -> impl Harness {
    let hooks = |handle: &Handle, hooks: Hooks| {
        let inner = handle.inner.clone();
        hooks
            .yields(3)
            .page(|page| {
                if page.more().is_none() && page.len() > 0 {
                    page.go_on();
                }
            })
            .record_page(|scan, page| {
                let Some(hint) = &scan.hint else { return };
                page.items.retain(|state| {
                    hint.holds(&|name: &PropertyName| state.visible_property(name.as_str()))
                });
            })
            .metadata_page(move |_, page| {
                let Some(more) = &page.more else { return };
                let Ok(beyond) = MetadataKey::new(format!("{more}\0")) else { return };
                let read = block_on(inner.get_metadata(std::slice::from_ref(&beyond)));
                if read.is_ok_and(|read| read.value == [None]) {
                    page.more = Some(beyond);
                }
            })
    };
    let create = |kept: &wrapped::Kept, identity| match kept.place().open() {
        Err(StoreError::Locked { .. }) => Err(StoreError::locked("it", "it is open")),
        _ => kept.place().create(identity),
    };
    over_memory("roundabout", Change { hooks, create, ..Change::NONE })
}

/// Commits are answered with `Busy` more often than not, or with `OutcomeUnknown`: whether they were
/// applied before it, are at the next call, or never.
fn unreliable() -> impl Harness {
    let hooks = |handle: &Handle, hooks: Hooks| {
        let (inner, kept) = (handle.inner.clone(), handle.kept.clone());
        let (later, late) = (handle.inner.clone(), handle.kept.clone());
        hooks
            .before(move |_| {
                for commit in std::mem::take(&mut *locked(&late.commits)) {
                    // Whoever sends it again is told what came of it.
                    let _ = block_on(later.commit(&commit));
                }
                Ok(())
            })
            .send(move |commit| {
                block_on(inner.head())?;
                let unknown = || Err(StoreError::outcome_unknown(commit.id(), "it", None));
                match kept.count.fetch_add(1, Ordering::AcqRel) % 7 {
                    0 => Err(StoreError::busy("it", "somebody else is at it")),
                    1 => unknown(),
                    3 => block_on(inner.commit(commit)).and_then(|_| unknown()),
                    5 => {
                        locked(&kept.commits).push(commit.clone());
                        unknown()
                    }
                    _ => block_on(inner.commit(commit)),
                }
            })
    };
    over_memory("unreliable", Change { hooks, ..Change::NONE })
}

conformance::suite!(
    one_item_a_page,
    short_pages(),
    without = [address, several_processes, read_only, faults, power_loss, damage]
);
conformance::suite!(
    roundabout_scans,
    roundabout(),
    without = [address, several_processes, read_only, faults, power_loss, damage]
);
conformance::suite!(
    unreliable_commits,
    unreliable(),
    without = [address, several_processes, read_only, faults, power_loss, damage]
);
conformance::suite!(
    file_among_others,
    FileHarness(FileOptions { company: true, ..FileOptions::SHARED }),
    without = [faults, power_loss, damage]
);
