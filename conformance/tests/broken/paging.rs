//! Stores that are wrong about pages and cursors, whatever is on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use futures_lite::future::block_on;
use prophet_store::{Direction, MetadataKey, MetadataScan, PageLimit, Position};

use crate::fault::{Fault, fault};
use crate::wrapped::hooks::AnyPage;
use crate::wrapped::{Hooks, locked};

pub(crate) fn faults() -> Vec<Fault> {
    let mut faults = of_cursors();
    faults.extend(of_sizes());
    faults.extend([
        fault("drops more", &["paging::pages_of_every_size_make_the_whole"])
            .hooks(|_, hooks| hooks.page(|page| page.end())),
        fault("stands still", &["paging::pages_of_every_size_make_the_whole"]).hooks(|_, hooks| {
            hooks.page(|page| {
                if page.more().is_some() && page.after().is_some() {
                    page.stand_still();
                }
            })
        }),
        fault("never ends", &["paging::more_is_none_at_the_end"])
            .hooks(|_, hooks| hooks.page(|page| page.go_on())),
        fault("goes on where nothing is", &["paging::an_empty_store_ends_at_once"]).hooks(
            |_, hooks| {
                hooks.metadata_page(|_, page| {
                    if page.items.is_empty() && page.more.is_none() {
                        page.more = MetadataKey::new("~").ok();
                    }
                })
            },
        ),
    ]);
    faults
}

/// Finds nothing beyond a cursor that is not among these, to which it adds those it gives out.
pub(crate) fn knows_cursors(
    hooks: Hooks,
    known: impl Fn(&mut dyn FnMut(&mut BTreeSet<String>)) + Send + Sync + 'static,
) -> Hooks {
    hooks.page(move |page: &mut dyn AnyPage| {
        known(&mut |known| {
            if page.after().is_some_and(|after| !known.contains(&after)) {
                page.clear();
                page.end();
            }
            known.extend(page.more());
        });
    })
}

fn of_cursors() -> Vec<Fault> {
    vec![
        fault("shows the cursor again", &["paging::pages_of_every_size_make_the_whole"]).hooks(
            |_, hooks| {
                hooks.log_scan(|scan| {
                    if scan.direction == Direction::Forward {
                        let before = |after: Position| Position::new(after.get().saturating_sub(1));
                        scan.after = scan.after.map(before);
                    }
                })
            },
        ),
        fault("skips what follows the cursor", &["paging::pages_of_every_size_make_the_whole"])
            .hooks(|_, hooks| {
                hooks.page(|page| {
                    if page.after().is_some() {
                        page.drop_first();
                    }
                })
            }),
        fault(
            "goes on from cursors that it gave out alone",
            &["paging::any_item_is_a_place_to_go_on_from"],
        )
        .hooks(|handle, hooks| {
            let kept = handle.kept.clone();
            knows_cursors(hooks, move |known| known(&mut locked(&kept.names)))
        }),
        fault("forgets cursors with the handle", &["paging::cursors_survive_a_reopen"]).hooks(
            |_, hooks| {
                let names = Mutex::default();
                knows_cursors(hooks, move |known| known(&mut locked(&names)))
            },
        ),
        fault(
            "counts instead of cursors",
            &[
                "paging::scans_go_on_while_others_write",
                "paging::scans_of_one_item_pages_go_on_too",
            ],
        )
        .hooks(|handle, hooks| {
            // How many items there were up to each cursor when it was given out.
            let counts = Mutex::new(BTreeMap::new());
            let inner = handle.inner.clone();
            hooks.metadata_page(move |scan, page| {
                let mut counts = locked(&counts);
                let skipped = scan.after.as_ref().and_then(|after| counts.get(after)).copied();
                let skipped = skipped.unwrap_or(0);
                let limit = PageLimit { items: usize::MAX, bytes: usize::MAX };
                let all = MetadataScan { after: None, limit, ..scan.clone() };
                let Ok(all) = block_on(inner.scan_metadata(&all)) else { return };
                let left = all.items.iter().skip(skipped).cloned();
                page.items = left.take(scan.limit.items).collect();
                page.more = page.items.last().map(|(key, _)| key.clone());
                if let Some(more) = &page.more {
                    counts.insert(more.clone(), skipped + page.items.len());
                }
            })
        }),
    ]
}

fn of_sizes() -> Vec<Fault> {
    vec![
        fault(
            "ignores how many items are asked for",
            &["paging::pages_of_every_size_make_the_whole"],
        )
        .hooks(|_, hooks| hooks.limit(|limit| limit.items = usize::MAX)),
        fault("ignores how many bytes are asked for", &["paging::a_page_holds_bounded_bytes"])
            .hooks(|_, hooks| hooks.limit(|limit| limit.bytes = usize::MAX)),
        fault("ends at a page of no bytes", &["paging::pages_of_few_bytes_make_the_whole"]).hooks(
            |_, hooks| {
                hooks.log_page(|scan, page| {
                    if scan.limit.bytes == 0 {
                        page.items.clear();
                        page.more = None;
                    }
                })
            },
        ),
        fault(
            "leaves out what is larger than a page",
            &["paging::an_item_larger_than_a_page_comes"],
        )
        .hooks(|_, hooks| {
            hooks.record_page(|scan, page| {
                page.items.retain(|state| state.approximate_size() <= scan.limit.bytes);
            })
        }),
    ]
}
