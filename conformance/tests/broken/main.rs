//! Stores that break one rule each, and the checks that have to notice.
//!
//! A check that cannot fail is worth nothing, so each of these stores names its killers.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "this is test support: what is made here is known to be good"
)]

mod store;

use std::collections::BTreeSet;

use conformance::{Check, Power, Suite};
use store::{BrokenHarness, Fault};

/// The named killers of each broken store.
const KILLERS: &[(Fault, &[&str])] = &[
    (
        Fault::IgnoresTheBase,
        &["commit::stale_base_is_refused", "commit::of_racing_commits_one_wins"],
    ),
    (Fault::IgnoresTheIdOfTheBase, &["commit::all_three_parts_of_the_base_count"]),
    (Fault::NamesTheWrongHead, &["commit::stale_base_is_refused"]),
    (Fault::AnswersWithTheBase, &["commit::every_commit_moves_the_head"]),
    (Fault::RefusesEmptyCommits, &["commit::an_empty_commit_counts"]),
    (Fault::KeepsTheMetadataOfRefusedCommits, &["commit::a_refused_commit_stays_away"]),
    (Fault::SkipsKnownChangesets, &["commit::a_changeset_in_the_log_is_refused"]),
    (Fault::SkipsRepeatedChangesets, &["commit::a_changeset_twice_is_refused"]),
    (Fault::TearsBatches, &["commit::readers_never_see_half_a_commit"]),
    (Fault::ReadsAtAnOldHead, &["commit::commits_are_seen_at_once"]),
    (Fault::ForgetsCommits, &["idempotency::a_commit_sent_twice_is_applied_once"]),
    (Fault::ForgetsAllButTheLastCommit, &["idempotency::all_commits_sent_again_later"]),
    (Fault::ForgetsCommitsOnReopen, &["idempotency::commits_sent_again_after_reopen"]),
    (Fault::RemembersAThousandCommits, &["idempotency::the_last_1024_ids_are_remembered"]),
    (Fault::ForgetsOldChangesets, &["idempotency::changesets_are_recognised_for_ever"]),
    (Fault::AppliesAgain, &["idempotency::overwritten_effects_stay_overwritten"]),
    (Fault::TakesAnyOldCommitForApplied, &["idempotency::a_stranger_at_the_same_version_is_stale"]),
    (Fault::AnswersWithTheHeadOfToday, &["idempotency::all_commits_sent_again_later"]),
    (Fault::SortsBatches, &["records::batches_answer_in_the_order_asked"]),
    (Fault::HidesDeletedRecords, &["records::deleted_records_are_there"]),
    (Fault::NeverReplacesRecords, &["records::a_later_state_replaces_the_earlier"]),
    (Fault::KeepsOneWrite, &["records::contested_registers_keep_all_writes"]),
    (Fault::OrdersRecordsBackwards, &["records::types_and_ids_order_records"]),
    (Fault::TakesTypesForPrefixes, &["records::a_type_is_not_a_prefix"]),
    (Fault::DropsAdjustments, &["log::entries_come_back_whole"]),
    (Fault::SkipsAPosition, &["log::positions_have_no_gaps"]),
    (Fault::KeepsTenEntries, &["log::entries_never_change"]),
    (Fault::ReadsPositionsAsSigned, &["log::a_scan_may_begin_anywhere"]),
    (Fault::FindsNothingTwice, &["log::changesets_are_found_by_digest"]),
    (Fault::HistoryOfChangesOnly, &["history::nullified_and_settled_records_have_it"]),
    (Fault::HistoryWithoutVotes, &["history::votes_are_in_it"]),
    (Fault::OneBranchOfAFork, &["origins::forks_are_all_there"]),
    (Fault::OneVoteOfAConflict, &["resolutions::votes_are_found_by_conflict"]),
    (Fault::FoldsMetadataKeys, &["metadata::every_key_is_a_key_of_its_own"]),
    (Fault::AbsentMetadataIsEmpty, &["metadata::the_empty_value_is_not_absent"]),
    (Fault::KeepsRemovedMetadata, &["metadata::keys_are_set_replaced_and_removed"]),
    (Fault::OrdersMetadataByCase, &["metadata::order_is_bytewise"]),
    (Fault::TakesPrefixesForPatterns, &["metadata::prefixes_are_taken_literally"]),
    (Fault::ShowsTheCursorAgain, &["paging::any_item_is_a_place_to_go_on_from"]),
    (Fault::SkipsAfterTheCursor, &["paging::pages_of_every_size_make_the_whole"]),
    (Fault::DropsMore, &["paging::pages_of_every_size_make_the_whole"]),
    (Fault::StandsStill, &["paging::pages_of_every_size_make_the_whole"]),
    (Fault::NeverEnds, &["paging::more_is_none_at_the_end"]),
    (Fault::IgnoresThePageLimit, &["paging::pages_of_every_size_make_the_whole"]),
    (Fault::IgnoresTheByteLimit, &["paging::a_page_holds_bounded_bytes"]),
    (Fault::CountsInsteadOfCursors, &["paging::scans_go_on_while_others_write"]),
    (Fault::CursorsDieWithTheHandle, &["paging::cursors_survive_a_reopen"]),
    (Fault::LosesEmptyTexts, &["content::empty_values_are_not_absent"]),
    (Fault::CutsTextAtNul, &["content::text_is_not_normalised"]),
    (Fault::RoundsIntegers, &["content::numbers_at_their_edges"]),
    (Fault::SignedTimes, &["content::extreme_times"]),
    (Fault::SmallBytes, &["content::large_text_and_bytes"]),
    (Fault::FoldsRecordTypes, &["content::awkward_record_types"]),
    (Fault::FoldsPropertyNames, &["content::awkward_property_names"]),
    (Fault::LowLimits, &["limits::metadata_at_the_limit_is_accepted"]),
    (Fault::HintsWithThreeValues, &["hints::other_conditions_leave_out_nothing"]),
    (Fault::HintsInFloatingPoint, &["hints::comparisons_leave_out_nothing"]),
    (Fault::HintsFoldNumbersAndTruth, &["hints::combinations_leave_out_nothing"]),
    (Fault::HintsWithBrokenNames, &["hints::odd_names_leave_out_nothing"]),
    (Fault::AnswersAfterClose, &["lifecycle::a_closed_handle_says_closed"]),
    (Fault::OpensTwice, &["lifecycle::a_second_open_is_locked"]),
    (Fault::StaysLocked, &["lifecycle::closing_lets_another_open"]),
    (Fault::CreatesOver, &["lifecycle::creating_twice_is_refused"]),
    (Fault::OpensNothing, &["lifecycle::opening_nothing_finds_nothing"]),
    (Fault::DeclaresSharing, &["lifecycle::the_declared_powers_are_the_true_ones"]),
    (Fault::DeclaresReadOnly, &["lifecycle::handles_are_for_writing"]),
    (Fault::ChangesItsFacts, &["lifecycle::facts_never_change"]),
    (Fault::VerifiesNothing, &["lifecycle::a_sound_store_verifies"]),
    (Fault::LosesAllOnDrop, &["durability::commits_survive_a_drop"]),
    (Fault::LosesTheLastCommitOnDrop, &["durability::every_commit_survives_its_own_reopen"]),
    (Fault::StaysBusyWhenDropped, &["cancellation::a_commit_polled_once"]),
    (Fault::HangsOnToADroppedRead, &["cancellation::every_read_may_be_dropped"]),
];

/// Enough for two threads to get in each other's way.
const TRIES: usize = 1_000;

fn check(path: &str) -> &'static Check {
    let found = conformance::checks()
        .iter()
        .find(|check| path.split_once("::") == Some((check.group, check.name)));
    found.unwrap_or_else(|| panic!("there is no check {path}"))
}

fn kills(check: &Check, fault: Fault, tries: usize) -> bool {
    let harness = BrokenHarness::new(fault);
    (0..tries).any(|_| Suite::new(&harness, Power::ALL).run(check).is_err())
}

#[test]
fn every_broken_store_is_caught_by_its_killers() {
    let mut alive = Vec::new();
    for (fault, killers) in KILLERS {
        assert!(!killers.is_empty(), "{fault:?} has no killer");
        let tries = if *fault == Fault::TearsBatches { TRIES } else { 1 };
        let missed = killers.iter().filter(|path| !kills(check(path), *fault, tries));
        alive.extend(missed.map(|path| format!("{fault:?} by {path}")));
    }
    assert!(alive.is_empty(), "not caught: {alive:#?}");
}

#[test]
fn what_breaks_nothing_is_not_caught() {
    let harness = BrokenHarness::new(Fault::None);
    for path in KILLERS.iter().flat_map(|(_, killers)| *killers) {
        if let Err(failure) = Suite::new(&harness, Power::ALL).run(check(path)) {
            panic!("{path} fails without a fault: {failure}");
        }
    }
}

#[test]
fn every_rule_has_a_killer() {
    let rules: BTreeSet<_> = conformance::checks()
        .iter()
        .filter(|check| check.applies(Power::ALL))
        .flat_map(|check| check.rules)
        .collect();
    let killed: BTreeSet<_> = KILLERS
        .iter()
        .flat_map(|(_, killers)| *killers)
        .flat_map(|path| check(path).rules)
        .collect();
    let left: Vec<_> = rules.difference(&killed).collect();
    assert!(left.is_empty(), "no broken store shows that these can be noticed: {left:?}");
}
