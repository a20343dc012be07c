//! The history of a record, in words.

use futures_lite::StreamExt as _;
use maud::{Markup, html};
use prophet_store::{
    Direction, HistoryChange, HistoryEntry, HistoryVote, RecordKey, RegisterName, Replica,
    StepKind, Value,
};

use crate::options::SiteError;
use crate::view::{View, register, time, who};

/// How much of its history the page of a record shows.
const ENTRIES: usize = 500;
const BYTES: usize = 1 << 20;

/// What happened to a record, newest first.
pub(crate) async fn history(
    replica: &Replica,
    key: &RecordKey,
    view: &mut View,
) -> Result<Markup, SiteError> {
    let (mut shown, mut bytes, mut more) = (Vec::new(), 0, false);
    let mut entries = replica.history(key, Direction::Backward);
    while let Some(entry) = entries.next().await {
        if shown.len() >= ENTRIES || bytes >= BYTES {
            more = true;
            break;
        }
        let entry = one(&entry?, view);
        bytes += entry.0.len();
        shown.push(entry);
    }
    Ok(html! {
        h2 { "History" }
        p.note { "Newest first." }
        ol.history reversed { @for entry in &shown { li { (entry) } } }
        @if more { p.note { "What happened earlier is not shown here." } }
    })
}

fn one(entry: &HistoryEntry, view: &mut View) -> Markup {
    let (mut lines, mut bytes) = (Vec::new(), 0);
    let total = entry.votes.len() + entry.changes.len();
    let votes = entry.votes.iter().map(Line::Vote);
    for line in votes.chain(entry.changes.iter().map(Line::Change)) {
        if bytes >= BYTES {
            break;
        }
        let line = match line {
            Line::Vote(said) => vote(said, view),
            Line::Change(said) => change(said, view),
        };
        bytes += line.0.len();
        lines.push(line);
    }
    let more = total - lines.len();
    html! {
        p {
            (time(entry.time)) " " (who(&entry.creator, entry.origin)) " "
            span.note { (entry.kind.to_string()) ", number " (entry.position.get()) " of the log" }
        }
        @if total == 0 {
            p.note { "Nothing that can be seen changed." }
        } @else {
            ul {
                @for line in &lines { li { (line) } }
                @if more > 0 { li.note { "… and " (more) " more" } }
            }
        }
    }
}

enum Line<'a> {
    Vote(&'a HistoryVote),
    Change(&'a HistoryChange),
}

fn vote(vote: &HistoryVote, view: &mut View) -> Markup {
    let others = vote.candidates.iter().filter(|candidate| **candidate != vote.choice).take(20);
    let others: Vec<_> =
        others.map(|other| view.of_register(&vote.register, other.as_ref())).collect();
    html! {
        strong { (register(&vote.register)) } ": voted for "
        (view.of_register(&vote.register, vote.choice.as_ref())) " over "
        @for (index, other) in others.iter().enumerate() { @if index > 0 { ", " } (other) }
        @if vote.candidates.len() > others.len() + 1 { ", …" }
    }
}

fn change(change: &HistoryChange, view: &mut View) -> Markup {
    let same = change.old == change.new;
    html! {
        @match change.step {
            StepKind::Nullify => "set back: ",
            StepKind::Change => "",
            StepKind::Settle if same => "conflict: ",
            StepKind::Settle => "settled: ",
        }
        @match &change.register {
            RegisterName::Existence => (existence(change)),
            RegisterName::Property(_) => {
                strong { (register(&change.register)) } ": "
                (property(&change.register, (change.old.as_ref(), change.new.as_ref()), view))
            }
        }
        @if let Some(rule) = change.rule { ", " (rule.to_string()) }
    }
}

fn existence(change: &HistoryChange) -> &'static str {
    let alive = |value: &Option<Value>| value.as_ref().and_then(Value::as_boolean);
    match (alive(&change.old), alive(&change.new)) {
        (Some(true), Some(true)) => "remains alive",
        (Some(false), Some(false)) => "remains deleted",
        (None, Some(true)) => "created",
        (Some(false), Some(true)) => "undeleted",
        (_, Some(false)) => "deleted",
        (_, None) => "not there",
    }
}

/// From what to what a property went.
pub(crate) fn property(
    name: &RegisterName,
    (old, new): (Option<&Value>, Option<&Value>),
    view: &mut View,
) -> Markup {
    match (old, new) {
        (old, new) if old == new => html! { (view.of_register(name, new)) " wins" },
        (None, new) => view.of_register(name, new),
        (old, None) => html! { (view.of_register(name, old)) " removed" },
        (old, new) => html! {
            (view.of_register(name, old)) " → " (view.of_register(name, new))
        },
    }
}
