//! What is contested of a record: which values, and who says so.

use maud::{Markup, html};
use prophet_store::{Attribution, Candidate, Conflict};

use crate::view::{View, register, time, who};

/// How many values of a conflict, and how many who wrote or voted for one, are named.
const NAMED: usize = 100;

pub(crate) fn conflicts(conflicts: &[Conflict], hidden: bool, view: &mut View) -> Markup {
    html! {
        @if !conflicts.is_empty() {
            h2 { "Contested" }
            @if hidden {
                p { "The record is deleted, so nobody is asked about what is contested of its properties." }
            }
            @for conflict in conflicts { (one(conflict, view)) }
        }
    }
}

fn one(conflict: &Conflict, view: &mut View) -> Markup {
    html! {
        h3 { (register(&conflict.register)) }
        p {
            @if conflict.rule.decides() { "Decided" } @else { span.alert { "Not decided" } }
            ": " (conflict.rule.to_string()) "."
        }
        table {
            thead {
                tr {
                    th scope="col" { "Value" }
                    th scope="col" { "Written by" }
                    th scope="col" { "Votes" }
                }
            }
            tbody {
                @for candidate in conflict.candidates.iter().take(NAMED) {
                    (row(conflict, candidate, view))
                }
            }
        }
        @if conflict.candidates.len() > NAMED {
            p.note { "… and " (conflict.candidates.len() - NAMED) " more" }
        }
    }
}

fn row(conflict: &Conflict, candidate: &Candidate, view: &mut View) -> Markup {
    html! {
        tr {
            th scope="row" {
                (view.of_register(&conflict.register, candidate.value.as_ref()))
                @if candidate.value == conflict.visible { " " span.note { "(shown)" } }
            }
            td { (attributions(&candidate.writes)) }
            td { (attributions(&candidate.votes)) }
        }
    }
}

fn attributions(by: &[Attribution]) -> Markup {
    html! {
        @if by.is_empty() { "none" } @else {
            ul {
                @for by in by.iter().take(NAMED) {
                    li { (who(&by.creator, by.replica)) ", " (time(by.time)) }
                }
                @if by.len() > NAMED { li.note { "… and " (by.len() - NAMED) " more" } }
            }
        }
    }
}
