//! Changesets, in words.

use maud::{Markup, html};
use prophet_store::{Change, ChangeKind, LogEntry, Payload, RegisterName, Vote};

use crate::history::property;
use crate::text;
use crate::view::{View, register};

/// How much of a changeset is shown: about so many bytes, and so many properties of a record.
const BYTES: usize = 16 << 10;
const PROPERTIES: usize = 20;

/// What a changeset did, as a line of plain text.
pub(crate) fn title(entry: &LogEntry) -> String {
    let what = match entry.changeset.payload() {
        Payload::Continuation { replica, .. } => format!("Goes on from replica {replica}"),
        payload => match (payload.changes(), payload.votes()) {
            ([], [vote]) => {
                let register = match &vote.register {
                    RegisterName::Existence => "existence".to_owned(),
                    RegisterName::Property(name) => text::name(name.as_str()),
                };
                format!("Voted on {register} of {}", text::key(&vote.record))
            }
            ([], votes) => format!("Voted on {} conflicts", votes.len()),
            ([change], _) => one(change),
            (changes, _) => format!("Changed {} records", changes.len()),
        },
    };
    let why = match entry.changeset.payload() {
        Payload::Undo { .. } => " (undo)",
        Payload::Merge(_) => " (merge)",
        _ => "",
    };
    text::plain(&format!("{what}{why}"))
}

fn one(change: &Change) -> String {
    let set = |name: &str| {
        let property = change.properties.iter().find(|property| property.name.as_str() == name);
        property.and_then(|property| property.new.as_ref())
    };
    let record_type = text::name(change.record.record_type().as_str());
    let mut line = format!("{} {record_type}", done(change.kind));
    match (change.kind, text::label(set)) {
        (ChangeKind::Update, _) => {
            let names = change.properties.iter().take(5).map(|property| property.name.as_str());
            let names: Vec<_> = names.map(text::name).collect();
            line.push_str(": ");
            line.push_str(&names.join(", "));
            if change.properties.len() > names.len() {
                line.push_str(", …");
            }
        }
        (_, Some(label)) => {
            line.push_str(": ");
            line.push_str(&label);
        }
        (_, None) => {}
    }
    line
}

const fn done(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Create => "Created",
        ChangeKind::Recreate => "Created again",
        ChangeKind::Update => "Updated",
        ChangeKind::Delete => "Deleted",
        ChangeKind::Undelete => "Undeleted",
    }
}

/// What a changeset did, record by record.
pub(crate) fn content(entry: &LogEntry, view: &mut View) -> Markup {
    let payload = entry.changeset.payload();
    let (mut shown, mut bytes) = (Vec::new(), 0);
    for change in payload.changes() {
        if bytes >= BYTES {
            break;
        }
        let change = changed(change, view);
        bytes += change.0.len();
        shown.push(change);
    }
    for vote in payload.votes() {
        if bytes >= BYTES {
            break;
        }
        let vote = voted(vote, view);
        bytes += vote.0.len();
        shown.push(vote);
    }
    let more = payload.changes().len() + payload.votes().len() - shown.len();
    html! {
        @for shown in &shown { (shown) }
        @if more > 0 { p { "… and " (more) " more" } }
        p { "Changeset " code { (entry.changeset.digest().to_string()) } }
    }
}

fn changed(change: &Change, view: &mut View) -> Markup {
    // What a deletion names is what was hidden, and nothing was written.
    let properties = match change.kind {
        ChangeKind::Delete => &[],
        _ => change.properties.as_slice(),
    };
    html! {
        p { (done(change.kind)) " " (view.record_link(&change.record, &text::key(&change.record))) }
        @if !properties.is_empty() {
            ul {
                @for changed in properties.iter().take(PROPERTIES) {
                    @let name = RegisterName::Property(changed.name.clone());
                    li {
                        (register(&name)) ": "
                        (property(&name, (changed.old.as_ref(), changed.new.as_ref()), view))
                    }
                }
                @if properties.len() > PROPERTIES {
                    li { "… and " (properties.len() - PROPERTIES) " more" }
                }
            }
        }
    }
}

fn voted(vote: &Vote, view: &mut View) -> Markup {
    html! {
        p {
            "Voted on " (register(&vote.register)) " of "
            (view.record_link(&vote.record, &text::key(&vote.record))) ": for "
            (view.of_register(&vote.register, vote.choice.as_ref()))
        }
    }
}
