//! Stores that are wrong about the log, and about the ways to find something in it.

use std::collections::BTreeSet;

use futures_lite::future::block_on;
use prophet_store::{
    ChangeKind, Digest, Direction, HistoryScan, LogEntry, OriginScan, PageLimit, Position,
    RecordKey, ReplicaId,
};

use crate::fault::{Fault, fault};
use crate::tools::send;
use crate::wrapped::{Hooks, locked};

pub(crate) fn faults() -> Vec<Fault> {
    let mut faults = of_entries();
    faults.extend(of_histories());
    faults.extend(of_origins());
    faults
}

fn of_entries() -> Vec<Fault> {
    vec![
        fault("skips a position", &["log::positions_have_no_gaps"]).hooks(|_, hooks| {
            hooks.log_page(|_, page| page.items.retain(|entry| entry.position.get() != 3))
        }),
        fault("drops adjustments", &["log::entries_come_back_whole"]).hooks(|_, hooks| {
            hooks.entry(|entry| LogEntry { nullify: Vec::new(), settle: Vec::new(), ..entry })
        }),
        fault("keeps ten entries", &["log::entries_never_change"]).hooks(|_, hooks| {
            hooks.log_page(|_, page| {
                let first = page.at.position.get().saturating_sub(10);
                page.items.retain(|entry| entry.position.get() > first);
            })
        }),
        fault("forgets entries after the thousandth", &["log::a_long_log_is_read_in_pages"]).hooks(
            |_, hooks| {
                hooks.log_page(|_, page| page.items.retain(|entry| entry.position.get() <= 1_000))
            },
        ),
        fault("reads positions as signed", &["log::a_scan_may_begin_anywhere"]).hooks(
            |_, hooks| {
                hooks.log_scan(|scan| {
                    if scan.after.is_some_and(|after| i64::try_from(after.get()).is_err()) {
                        scan.after = Some(Position::ZERO);
                    }
                })
            },
        ),
        fault("finds nothing twice", &["log::changesets_are_found_by_digest"]).hooks(|_, hooks| {
            hooks.found(|digests, read| {
                let mut seen = BTreeSet::new();
                for (digest, found) in digests.iter().zip(&mut read.value) {
                    if !seen.insert(digest) {
                        *found = None;
                    }
                }
            })
        }),
        fault("finds what was refused", &["log::refused_changesets_are_not_found"]).hooks(
            |handle, hooks| {
                let (inner, kept) = (handle.inner.clone(), handle.kept.clone());
                let refused = handle.kept.clone();
                hooks
                    .send(move |commit| {
                        let answer = send(&inner, commit);
                        if answer.is_err() {
                            let digests = commit.entries().iter();
                            let digests = digests.map(|entry| entry.changeset.digest());
                            locked(&kept.digests).extend(digests);
                        }
                        answer
                    })
                    .found(move |digests, read| {
                        for (digest, found) in digests.iter().zip(&mut read.value) {
                            if locked(&refused.digests).contains(digest) {
                                *found = found.or(Some(read.at.position));
                            }
                        }
                    })
            },
        ),
    ]
}

fn changes(entry: &LogEntry, record: &RecordKey) -> bool {
    entry.changeset.changes().iter().any(|change| change.record == *record)
}

fn votes(entry: &LogEntry, record: &RecordKey) -> bool {
    entry.changeset.payload().votes().iter().any(|vote| vote.record == *record)
}

/// Leaves entries out of histories.
fn keeps(hooks: Hooks, keep: fn(&LogEntry, &RecordKey) -> bool) -> Hooks {
    hooks.history_page(move |scan, page| page.items.retain(|entry| keep(entry, &scan.record)))
}

fn of_histories() -> Vec<Fault> {
    vec![
        fault("finds an entry by its first record", &["history::edits_are_in_it"]).hooks(
            |_, hooks| {
                keeps(hooks, |entry, record| {
                    let first = entry.changeset.changes().first();
                    first.is_none_or(|change| {
                        change.record == *record || change.kind == ChangeKind::Create
                    })
                })
            },
        ),
        fault(
            "keeps changes and votes in histories",
            &["history::nullified_and_settled_records_have_it"],
        )
        .hooks(|_, hooks| {
            keeps(hooks, |entry, record| changes(entry, record) || votes(entry, record))
        }),
        fault("keeps no votes in histories", &["history::votes_are_in_it"])
            .hooks(|_, hooks| keeps(hooks, |entry, record| !votes(entry, record))),
        fault(
            "finds the histories of longer types as well",
            &["history::it_is_of_this_record_alone"],
        )
        .hooks(|handle, hooks| {
            let inner = handle.inner.clone();
            hooks.history_page(move |scan, page| {
                let own = scan.record.record_type();
                if own.as_str().len() > 2 || !page.items.is_empty() {
                    return;
                }
                let longer = own.as_str().to_owned() + "g";
                let longer = prophet_store::RecordType::new(longer).expect("it is short");
                let record = RecordKey::new(longer, scan.record.id());
                if let Ok(found) = block_on(inner.scan_history(&HistoryScan { record, ..*scan })) {
                    *page = found;
                }
            })
        }),
        fault(
            "goes on in a history from its own entries alone",
            &["history::it_can_be_read_from_anywhere"],
        )
        .hooks(|handle, hooks| {
            let inner = handle.inner.clone();
            hooks.history_page(move |scan, page| {
                let limit = PageLimit { items: usize::MAX, bytes: usize::MAX };
                let all = HistoryScan { after: None, limit, ..scan.clone() };
                let known = |after: Position| {
                    let all = block_on(inner.scan_history(&all));
                    all.is_ok_and(|all| all.items.iter().any(|entry| entry.position == after))
                };
                if scan.after.is_some_and(|after| !known(after)) {
                    page.items.clear();
                    page.more = None;
                }
            })
        }),
    ]
}

fn of_origins() -> Vec<Fault> {
    vec![
        fault("takes near origins for one", &["origins::origins_are_apart"]).hooks(|_, hooks| {
            hooks.origin_scan(|scan| {
                let bytes = scan.origin.as_bytes().map(|byte| byte & !1);
                scan.origin = ReplicaId::from_bytes(bytes);
            })
        }),
        fault(
            "keeps one branch of a fork",
            &["origins::forks_are_all_there", "formats::changesets_of_every_version_come_back"],
        )
        .hooks(|_, hooks| {
            hooks.origin_page(|_, page| page.items.dedup_by_key(|authorship| authorship.sequence))
        }),
        fault("goes on at the next sequence", &["origins::a_scan_may_begin_between_branches"])
            .hooks(|_, hooks| {
                hooks.origin_scan(|scan| {
                    let end = match scan.direction {
                        Direction::Forward => [0xFF; 32],
                        Direction::Backward => [0; 32],
                    };
                    scan.after =
                        scan.after.map(|(sequence, _)| (sequence, Digest::from_bytes(end)));
                })
            }),
        fault("takes strangers for itself", &["origins::an_unknown_origin_has_nothing"]).hooks(
            |handle, hooks| {
                let inner = handle.inner.clone();
                hooks.origin_page(move |scan, page| {
                    if page.items.is_empty() && scan.after.is_none() {
                        let own = OriginScan { origin: inner.facts().identity.replica, ..*scan };
                        if let Ok(found) = block_on(inner.scan_origin(&own)) {
                            *page = found;
                        }
                    }
                })
            },
        ),
    ]
}
