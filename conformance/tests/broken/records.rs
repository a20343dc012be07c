//! Stores that are wrong about records.

use futures_lite::future::block_on;
use prophet_store::{Existence, Page, PageLimit, RecordKey, RecordScan, RecordState, Register};

use crate::fault::{Fault, fault};
use crate::tools::rewritten;

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        fault("sorts batches", &["records::batches_answer_in_the_order_asked"])
            .hooks(|_, hooks| hooks.keys(|keys| keys.sort())),
        fault("answers an empty batch with all", &["records::an_empty_batch_is_answered"]).hooks(
            |handle, hooks| {
                let inner = handle.inner.clone();
                hooks.records(move |keys, read| {
                    let all = block_on(inner.scan_records(&RecordScan::default()));
                    if let (true, Ok(all)) = (keys.is_empty(), all) {
                        read.value = all.items.into_iter().map(Some).collect();
                    }
                })
            },
        ),
        fault(
            "answers as many questions as a statement may have",
            &["records::a_large_batch_is_answered"],
        )
        .hooks(|_, hooks| hooks.records(|_, read| read.value.truncate(32_766))),
        fault("hides deleted records", &["records::deleted_records_are_there"]).hooks(
            |_, hooks| {
                hooks.state(|state| (state.existence() != Existence::Deleted).then_some(state))
            },
        ),
        fault("never replaces records", &["records::a_later_state_replaces_the_earlier"]).hooks(
            |_, hooks| {
                let first = std::sync::Mutex::new(std::collections::BTreeMap::new());
                hooks.state(move |state| {
                    let mut first = crate::wrapped::locked(&first);
                    Some(first.entry(state.key().clone()).or_insert(state).clone())
                })
            },
        ),
        fault("keeps one write of a register", &["records::contested_registers_keep_all_writes"])
            .hooks(|_, hooks| {
                hooks.state(|state| {
                    let kept = |register: &Register| register.writes().last().cloned();
                    let last: Vec<_> = state.properties().values().filter_map(kept).collect();
                    let keep = |write: &_| last.contains(write).then(|| write.clone());
                    Some(rewritten(&state, Clone::clone, keep))
                })
            }),
        fault("orders records backwards", &["records::types_and_ids_order_records"])
            .hooks(|_, hooks| hooks.record_page(|_, page| page.items.reverse())),
        fault("takes types for prefixes", &["records::a_type_is_not_a_prefix"]).hooks(
            |handle, hooks| {
                let inner = handle.inner.clone();
                hooks.record_page(move |scan, page| {
                    let Some(wanted) = &scan.record_type else { return };
                    let all = RecordScan { record_type: None, ..scan.clone() };
                    if let Ok(Page { items, more, at }) = block_on(inner.scan_records(&all)) {
                        *page = Page { items, more, at };
                        page.items.retain(|state| {
                            state.key().record_type().as_str().starts_with(wanted.as_str())
                        });
                    }
                })
            },
        ),
        fault(
            "takes the id of a cursor without its type",
            &["records::a_cursor_may_be_of_another_type"],
        )
        .hooks(|_, hooks| {
            hooks.record_scan(|scan| {
                if let (Some(record_type), Some(after)) = (&scan.record_type, &scan.after) {
                    scan.after = Some(RecordKey::new(record_type.clone(), after.id()));
                }
            })
        }),
        fault("counts what is deleted", &["records::what_exists_is_counted"]).hooks(
            |handle, hooks| {
                let inner = handle.inner.clone();
                hooks.counts(move |record_type, read| {
                    let record_type = record_type.cloned();
                    let limit = PageLimit::items(usize::MAX);
                    let all = RecordScan { record_type, limit, ..RecordScan::default() };
                    let Ok(all) = block_on(inner.scan_records(&all)) else { return };
                    read.value.clear();
                    for state in all.items {
                        *read.value.entry(state.key().record_type().clone()).or_default() += 1;
                    }
                })
            },
        ),
        fault("counts what is undecided as gone", &["records::what_exists_is_counted"]).hooks(
            |handle, hooks| {
                let inner = handle.inner.clone();
                hooks.counts(move |_, read| {
                    let Ok(all) = block_on(inner.scan_records(&RecordScan::default())) else {
                        return;
                    };
                    let disputed = |state: &&RecordState| state.existence_register().is_contested();
                    for state in all.items.iter().filter(disputed) {
                        if let Some(count) = read.value.get_mut(state.key().record_type()) {
                            *count -= 1;
                        }
                    }
                })
            },
        ),
        fault("names types of which nothing is left", &["records::what_exists_is_counted"]).hooks(
            |handle, hooks| {
                let inner = handle.inner.clone();
                hooks.counts(move |record_type, read| {
                    let record_type = record_type.cloned();
                    let all = RecordScan { record_type, ..RecordScan::default() };
                    let Ok(all) = block_on(inner.scan_records(&all)) else { return };
                    for state in all.items {
                        read.value.entry(state.key().record_type().clone()).or_default();
                    }
                })
            },
        ),
        fault("counts all types for one", &["records::what_exists_is_counted"]).hooks(
            |handle, hooks| {
                let inner = handle.inner.clone();
                hooks.counts(move |_, read| {
                    if let Ok(all) = block_on(inner.count_records(None)) {
                        *read = all;
                    }
                })
            },
        ),
    ]
}
