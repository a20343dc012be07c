//! The one list of checks. The tests, the registry and the table all come from it.

use crate::suite::Check;

/// Hands the list to a macro, after the tokens in the brackets. A line is
/// `name: RULES (needs POWERS) (lacks POWERS),` within the group, which is the module it is in.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_check {
    ([$($callback:tt)+], [$($given:tt)*]) => {
        $($callback)+! {
            [$($given)*]
            lifecycle {
                the_declared_powers_are_the_true_ones: O4,
                a_new_replica_is_empty: C1 R4,
                opening_nothing_finds_nothing: O1,
                creating_twice_is_refused: O1,
                places_are_apart: O1 O4,
                a_second_open_is_locked: O2 (lacks several_processes),
                closing_lets_another_open: O2,
                dropping_lets_another_open: O2 D1,
                a_closed_handle_says_closed: O3 C5,
                facts_never_change: O4,
                every_identity_is_kept: O4,
                handles_are_for_writing: O5,
                a_read_only_handle_refuses_commits: O5 C5 (needs read_only),
                reading_only_needs_something_to_read: O1 (needs read_only),
                a_sound_store_verifies: X3,
            }
            commit {
                every_commit_moves_the_head: C3,
                content_is_right_after_every_commit: C1 C3,
                an_empty_commit_counts: C3,
                stale_base_is_refused: C2,
                a_base_in_the_future_is_refused: C2,
                all_three_parts_of_the_base_count: C2,
                a_refused_commit_stays_away: C5,
                what_was_refused_can_be_made_anew: C5,
                a_changeset_in_the_log_is_refused: C8,
                a_changeset_twice_is_refused: C8,
                of_racing_commits_one_wins: C2 C3,
                racing_writers_make_one_line: C3 L1,
                readers_never_see_half_a_commit: C1 R1 R2,
                commits_are_seen_at_once: R2,
                many_entries_in_one_commit: C3 L1,
                one_changeset_of_many_records: C1,
            }
            idempotency {
                a_commit_sent_twice_is_applied_once: C4,
                all_commits_sent_again_later: C4,
                commits_sent_again_after_reopen: C4,
                overwritten_effects_stay_overwritten: C4,
                the_last_1024_ids_are_remembered: C4,
                changesets_are_recognised_for_ever: C4,
                a_stranger_at_the_same_version_is_stale: C4,
                the_same_content_with_another_id_is_stale: C4,
                an_id_counts_only_at_its_version: C4,
            }
            records {
                batches_answer_in_the_order_asked: R7,
                an_empty_batch_is_answered: R7,
                a_large_batch_is_answered: R7,
                deleted_records_are_there: V1,
                a_later_state_replaces_the_earlier: V1,
                contested_registers_keep_all_writes: V1,
                types_and_ids_order_records: R3,
                a_type_is_not_a_prefix: V1,
                a_cursor_may_be_of_another_type: R5,
                what_exists_is_counted: R8,
            }
            log {
                positions_have_no_gaps: L1,
                entries_come_back_whole: V1,
                entries_never_change: L1,
                changesets_are_found_by_digest: L2 R7,
                refused_changesets_are_not_found: C2,
                a_scan_may_begin_anywhere: R5,
                a_long_log_is_read_in_pages: L1 R4,
            }
            history {
                edits_are_in_it: L4,
                nullified_and_settled_records_have_it: L4,
                votes_are_in_it: L4,
                it_is_of_this_record_alone: L4,
                it_can_be_read_from_anywhere: R5,
            }
            origins {
                origins_are_apart: L2,
                forks_are_all_there: L2 R3,
                a_scan_may_begin_between_branches: R5,
                an_unknown_origin_has_nothing: L2,
            }
            resolutions {
                votes_are_found_by_conflict: R3,
                a_scan_may_begin_anywhere: R5,
                votes_come_back_whole: V1,
                an_unknown_conflict_has_no_votes: R3,
            }
            metadata {
                every_key_is_a_key_of_its_own: V1,
                every_value_comes_back: V1,
                the_empty_value_is_not_absent: V1,
                keys_are_set_replaced_and_removed: V1,
                order_is_bytewise: R3,
                prefixes_are_taken_literally: V1,
                a_cursor_may_be_outside_the_prefix: R5,
                batches_answer_in_the_order_asked: R7,
            }
            paging {
                pages_of_every_size_make_the_whole: R1 R3 R4,
                pages_of_few_bytes_make_the_whole: R4,
                more_is_none_at_the_end: R4,
                any_item_is_a_place_to_go_on_from: R5,
                cursors_survive_a_reopen: R5,
                scans_go_on_while_others_write: R1 R4,
                scans_of_one_item_pages_go_on_too: R4,
                a_page_holds_bounded_bytes: R4,
                an_item_larger_than_a_page_comes: R4,
                an_empty_store_ends_at_once: R4,
            }
            content {
                every_kind_of_value: V1,
                empty_values_are_not_absent: V1,
                numbers_at_their_edges: V1,
                text_is_not_normalised: V1,
                every_byte: V1,
                large_text_and_bytes: V1,
                awkward_property_names: V1,
                awkward_record_types: V1,
                deep_nesting: V1,
                wide_values: V1,
                many_properties: V1,
                extreme_times: V1,
                awkward_creators: V1,
                many_parents: V1,
                every_origin_id: V1,
                deleted_records_keep_their_registers: V1,
                registers_of_many_writes: V1,
            }
            formats {
                changesets_of_every_version_come_back: V1 L2,
            }
            limits {
                names_beyond_are_refused: V2,
                values_beyond_are_refused: V2,
                commits_beyond_are_refused: V2,
                metadata_at_the_limit_is_accepted: V2,
                the_largest_value_is_accepted: V2,
                the_widest_value_is_accepted: V2,
                the_longest_commit_is_accepted: V2,
            }
            handles {
                what_one_commits_the_other_sees: R2 (needs several_processes),
                one_base_is_for_one_of_them: C2 (needs several_processes),
                a_commit_sent_again_elsewhere: C4 (needs several_processes),
                racing_handles_make_one_line: C3 (needs several_processes),
                a_reader_elsewhere_never_sees_half: C1 R1 R2 (needs several_processes),
                cursors_work_on_another_handle: R5 (needs several_processes),
                closing_one_leaves_the_other: O3 (needs several_processes),
            }
            processes {
                what_another_commits_is_seen: C1 R2 (needs address several_processes),
                racing_processes_make_one_line: C3 (needs address several_processes),
                a_commit_sent_again_from_elsewhere: C4 (needs address several_processes),
                another_process_is_locked_out: O2 (needs address) (lacks several_processes),
                nothing_elsewhere_is_not_found: O1 (needs address),
            }
            cancellation {
                a_commit_never_polled: C7,
                a_commit_polled_once: C7,
                another_commit_after_one_dropped: C7,
                every_read_may_be_dropped: C7,
                a_close_may_be_dropped: C7,
                dropped_commits_of_many_threads: C3 C7,
            }
            durability {
                commits_survive_a_drop: D1,
                commits_survive_a_close: D1,
                a_new_replica_survives_a_drop: D1,
                every_commit_survives_its_own_reopen: D1,
                commits_survive_the_end_of_the_process: D1 (needs address),
            }
            hints {
                comparisons_leave_out_nothing: R6,
                other_conditions_leave_out_nothing: R6,
                combinations_leave_out_nothing: R6,
                odd_names_leave_out_nothing: R6,
                hints_do_not_disturb_paging: R4 R6,
            }
            model {
                any_sequence_of_operations: C1 C2 C3 C4 R1 R2 R4 V1,
                any_sequence_with_faults: C1 C5 C6 D2 D4 R2 V1 (needs faults),
                any_sequence_with_crashes: C1 C6 D1 D2 D3 R2 V1 (needs faults),
                any_sequence_with_kills: C1 D1 D2 D3 R2 V1 (needs address),
            }
            crash {
                a_killed_process_loses_nothing_acknowledged: D1 D3 (needs address),
                a_process_killed_while_opening: D2 (needs address),
                killed_among_others: C1 D3 (needs address several_processes),
            }
            linear {
                threads_are_linearizable: C3 R1 R2 R4,
                handles_are_linearizable: C3 R1 R2 R4 (needs several_processes),
                processes_are_linearizable: C3 R1 R2 R4 (needs address several_processes),
            }
            memory {
                streaming_takes_bounded_memory: R4 (needs address peak_memory),
            }
            faults {
                any_step_may_fail_once: C5 C6 D3 D4 (needs faults),
                any_step_may_fail_for_good: C5 C6 D3 D4 (needs faults),
                a_crash_at_any_step_loses_nothing_acknowledged: C1 D1 D2 D3 V1 (needs faults),
                opening_may_fail_at_any_step: D2 (needs faults),
                recovery_may_crash_at_any_step: D2 D3 (needs faults),
                reads_fail_and_are_right_the_next_time: D4 V1 (needs faults),
            }
            power_loss {
                power_may_go_at_any_step: D1 D3 (needs faults power_loss),
                power_may_go_in_recovery: D2 D3 (needs faults power_loss),
                a_failed_sync_is_no_sync: D1 D3 D4 (needs faults power_loss),
            }
            damage {
                any_byte_may_flip: X1 (needs damage),
                any_part_may_be_cut_off: X1 (needs damage),
                any_part_may_go: X1 (needs damage),
                parts_may_change_places: X1 (needs damage),
                what_reads_meet_verify_finds: X3 (needs damage),
                a_newer_format_is_refused_and_left_alone: X2 (needs damage),
                what_is_no_replica_is_refused_and_left_alone: X2 (needs damage),
                strange_parts_do_no_harm: X2 (needs damage),
            }
        }
    };
}

macro_rules! registry {
    ([] $($group:ident { $(
        $name:ident: $($rule:ident)+ $((needs $($need:ident)+))? $((lacks $($lack:ident)+))?,
    )* })*) => {
        &[$($(
            Check {
                group: stringify!($group),
                name: stringify!($name),
                rules: &[$(stringify!($rule)),+],
                needs: &[$($($crate::__private::powers::$need),+)?],
                lacks: &[$($($crate::__private::powers::$lack),+)?],
                run: |context| Box::pin($crate::checks::$group::$name(context)),
            },
        )*)*]
    };
}

/// Every check there is.
pub fn checks() -> &'static [Check] {
    crate::for_each_check!([registry], [])
}

/// Makes a module with a test of every check: its name, an expression of a [`Harness`], and the
/// [powers](crate::Power) that it does without. The expression is evaluated for each test. The line
/// stands at the root or in a module of a test program, which other checks start anew.
///
/// [`Harness`]: crate::Harness
#[macro_export]
macro_rules! suite {
    ($name:ident, $harness:expr, without = [$($without:ident),* $(,)?] $(,)?) => {
        mod $name {
            #[allow(unused_imports, reason = "the harness may be named by what is around")]
            use super::*;

            #[allow(dead_code, reason = "only tests use it")]
            fn __harness() -> impl $crate::Harness {
                $harness
            }

            #[allow(dead_code, reason = "only tests use it")]
            const __WITHOUT: &[$crate::Power] = &[$($crate::__private::powers::$without),*];

            #[test]
            #[ignore = "the process that other checks start"]
            fn child() {
                $crate::__private::child(&__harness());
            }

            $crate::for_each_check!([$crate::__tests], [$($without)*]);
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    ($without:tt $($group:ident { $(
        $name:ident: $($rule:ident)+ $((needs $($need:ident)+))? $((lacks $($lack:ident)+))?,
    )* })*) => {
        $(mod $group {
            $(
                $crate::__test!(
                    $group $name needs [$($($need)+)?] lacks [$($($lack)+)?] left $without of $without
                );
            )*
        })*
    };
}

/// One test: an ordinary one, or ignored for the first power that is missing, or that is there
/// where its absence is what is checked. `left` is what of `without` was not yet looked at.
#[doc(hidden)]
#[macro_export]
macro_rules! __test {
    ($group:ident $name:ident needs [] lacks [] left $left:tt of $without:tt) => {
        $crate::__test!(@ $group $name);
    };

    ($group:ident $name:ident needs [address $($n:ident)*] lacks $l:tt left [address $($w:ident)*] of $without:tt) => {
        $crate::__test!(@ $group $name #[ignore = "needs an address for other processes"]);
    };
    ($group:ident $name:ident needs [several_processes $($n:ident)*] lacks $l:tt left [several_processes $($w:ident)*] of $without:tt) => {
        $crate::__test!(@ $group $name #[ignore = "needs several processes"]);
    };
    ($group:ident $name:ident needs [read_only $($n:ident)*] lacks $l:tt left [read_only $($w:ident)*] of $without:tt) => {
        $crate::__test!(@ $group $name #[ignore = "needs read-only handles"]);
    };
    ($group:ident $name:ident needs [faults $($n:ident)*] lacks $l:tt left [faults $($w:ident)*] of $without:tt) => {
        $crate::__test!(@ $group $name #[ignore = "needs faults at any step"]);
    };
    ($group:ident $name:ident needs [power_loss $($n:ident)*] lacks $l:tt left [power_loss $($w:ident)*] of $without:tt) => {
        $crate::__test!(@ $group $name #[ignore = "needs the loss of power"]);
    };
    ($group:ident $name:ident needs [damage $($n:ident)*] lacks $l:tt left [damage $($w:ident)*] of $without:tt) => {
        $crate::__test!(@ $group $name #[ignore = "needs damaged bytes"]);
    };
    ($group:ident $name:ident needs [peak_memory $($n:ident)*] lacks $l:tt left [peak_memory $($w:ident)*] of $without:tt) => {
        $crate::__test!(@ $group $name #[ignore = "needs to know the peak of memory"]);
    };
    ($group:ident $name:ident needs $n:tt lacks $l:tt left [$other:ident $($w:ident)*] of $without:tt) => {
        $crate::__test!(@@ $group $name needs $n lacks $l left [$other] [$($w)*] of $without);
    };
    ($group:ident $name:ident needs [$has:ident $($n:ident)*] lacks $l:tt left [] of $without:tt) => {
        $crate::__test!($group $name needs [$($n)*] lacks $l left $without of $without);
    };

    ($group:ident $name:ident needs [] lacks [address] left [] of $without:tt) => {
        $crate::__test!(@ $group $name #[ignore = "there is an address for other processes"]);
    };
    ($group:ident $name:ident needs [] lacks [several_processes] left [] of $without:tt) => {
        $crate::__test!(@ $group $name #[ignore = "there may be several processes"]);
    };
    ($group:ident $name:ident needs [] lacks [read_only] left [] of $without:tt) => {
        $crate::__test!(@ $group $name #[ignore = "there are read-only handles"]);
    };

    (@@ $group:ident $name:ident needs [] lacks [address] left [address] $w:tt of $without:tt) => {
        $crate::__test!(@ $group $name);
    };
    (@@ $group:ident $name:ident needs [] lacks [several_processes] left [several_processes] $w:tt of $without:tt) => {
        $crate::__test!(@ $group $name);
    };
    (@@ $group:ident $name:ident needs [] lacks [read_only] left [read_only] $w:tt of $without:tt) => {
        $crate::__test!(@ $group $name);
    };
    (@@ $group:ident $name:ident needs $n:tt lacks $l:tt left [$other:ident] $w:tt of $without:tt) => {
        $crate::__test!($group $name needs $n lacks $l left $w of $without);
    };

    (@ $group:ident $name:ident $(#[$ignore:meta])?) => {
        #[test]
        $(#[$ignore])?
        fn $name() {
            $crate::__private::test(
                &super::__harness(),
                super::__WITHOUT,
                (module_path!(), $crate::__site!(stringify!($name))),
                stringify!($group),
                stringify!($name),
            );
        }
    };
}
