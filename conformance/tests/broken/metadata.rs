//! Stores that are wrong about metadata and about votes.

use futures_lite::future::block_on;
use prophet_store::{ConflictId, MetadataKey, ResolutionScan};

use crate::fault::{Fault, fault};
use crate::tools::rewrites;

pub(crate) fn faults() -> Vec<Fault> {
    let mut faults = of_votes();
    faults.extend([
        fault("folds metadata keys", &["metadata::every_key_is_a_key_of_its_own"]).hooks(
            |handle, hooks| {
                rewrites(handle, hooks, |parts| {
                    for (key, _) in &mut parts.metadata {
                        *key = MetadataKey::new(key.as_str().to_lowercase())
                            .unwrap_or_else(|_| key.clone());
                    }
                })
            },
        ),
        fault("takes metadata for text", &["metadata::every_value_comes_back"]).hooks(
            |handle, hooks| {
                rewrites(handle, hooks, |parts| {
                    for value in parts.metadata.iter_mut().filter_map(|(_, value)| value.as_mut()) {
                        *value = String::from_utf8_lossy(value).into_owned().into_bytes();
                    }
                })
            },
        ),
        fault("takes absent metadata for empty", &["metadata::the_empty_value_is_not_absent"])
            .hooks(|_, hooks| {
                hooks.metadata(|read| {
                    for value in &mut read.value {
                        value.get_or_insert_default();
                    }
                })
            }),
        fault("keeps removed metadata", &["metadata::keys_are_set_replaced_and_removed"]).hooks(
            |handle, hooks| {
                rewrites(handle, hooks, |parts| {
                    for (_, value) in &mut parts.metadata {
                        value.get_or_insert_default();
                    }
                })
            },
        ),
        fault("orders metadata without case", &["metadata::order_is_bytewise"]).hooks(
            |_, hooks| {
                hooks.metadata_page(|_, page| {
                    page.items.sort_by_key(|(key, _)| key.as_str().to_lowercase());
                })
            },
        ),
        fault("takes prefixes for patterns", &["metadata::prefixes_are_taken_literally"]).hooks(
            |_, hooks| {
                hooks.metadata_scan(|scan| {
                    if scan.prefix.contains(['%', '_']) {
                        scan.prefix.clear();
                    }
                })
            },
        ),
        fault(
            "takes a cursor outside the prefix for none",
            &["metadata::a_cursor_may_be_outside_the_prefix"],
        )
        .hooks(|_, hooks| {
            hooks.metadata_scan(|scan| {
                let prefix = &scan.prefix;
                scan.after.take_if(|after| !after.as_str().starts_with(prefix.as_str()));
            })
        }),
        fault("sorts the keys of a batch", &["metadata::batches_answer_in_the_order_asked"])
            .hooks(|_, hooks| hooks.names(|names| names.sort())),
    ]);
    faults
}

fn of_votes() -> Vec<Fault> {
    vec![
        fault("keeps one vote of a conflict", &["resolutions::votes_are_found_by_conflict"]).hooks(
            |_, hooks| {
                hooks.resolution_page(|_, page| {
                    page.items.dedup_by_key(|resolution| resolution.conflict());
                })
            },
        ),
        fault("goes on at the next conflict", &["resolutions::a_scan_may_begin_anywhere"]).hooks(
            |_, hooks| {
                hooks.resolution_page(|scan, page| {
                    let over = scan.after.map(|(conflict, _)| conflict);
                    page.items.retain(|resolution| Some(resolution.conflict()) != over);
                })
            },
        ),
        fault("forgets what a vote supersedes", &["resolutions::votes_come_back_whole"]).hooks(
            |_, hooks| {
                hooks.resolution_page(|_, page| {
                    for resolution in &mut page.items {
                        resolution.vote.supersedes.clear();
                    }
                })
            },
        ),
        fault(
            "finds conflicts by what they begin with",
            &["resolutions::an_unknown_conflict_has_no_votes"],
        )
        .hooks(|handle, hooks| {
            let inner = handle.inner.clone();
            hooks.resolution_page(move |scan, page| {
                let Some(conflict) = scan.conflict.filter(|_| page.items.is_empty()) else {
                    return;
                };
                let mut near = *conflict.as_bytes();
                near[31] ^= 1;
                let conflict = Some(ConflictId::from_bytes(near));
                let near = ResolutionScan { conflict, ..*scan };
                if let Ok(found) = block_on(inner.scan_resolutions(&near)) {
                    *page = found;
                }
            })
        }),
    ]
}
