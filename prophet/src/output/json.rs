//! Things as JSON for programs. `docs/command.md` says what each has.

use prophet_files::line::line_of;
use prophet_store::{
    Attribution, Candidate, Conflict, HistoryEntry, LogEntry, PullReport, Record, RecordDiff,
    RecordKey, RegisterName, Rule, StepKind, Value, Why,
};
use serde_json::{Value as Json, json};

/// A value; *absent* is null, which no value is.
pub(crate) fn value(value: Option<&Value>) -> Json {
    // A value is JSON whatever it is: there is nothing in it that cannot be written.
    value.map_or(Json::Null, |value| serde_json::to_value(value).unwrap_or(Json::Null))
}

/// The property that a register is of; null for the existence, of which true is alive and false deleted.
pub(crate) fn property(register: &RegisterName) -> Json {
    match register {
        RegisterName::Existence => Json::Null,
        RegisterName::Property(name) => name.to_string().into(),
    }
}

/// The properties of a record, as an object.
pub(crate) fn properties(record: &Record) -> Json {
    let properties = record.properties().iter();
    properties
        .map(|(name, of)| (name.to_string(), value(Some(of))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// A record.
pub(crate) fn record(record: &Record, luid: Option<u64>) -> Json {
    let contested: Vec<_> = record.contested().keys().map(property).collect();
    json!({
        "type": record.record_type(),
        "id": record.id(),
        "luid": luid,
        "properties": properties(record),
        "contested": contested,
    })
}

/// What names a record.
pub(crate) fn key(record: &RecordKey, luid: Option<u64>) -> Json {
    json!({ "type": record.record_type(), "id": record.id(), "luid": luid })
}

fn attribution(by: &Attribution) -> Json {
    json!({
        "changeset": by.changeset.to_string(),
        "replica": by.replica,
        "creator": by.creator,
        "time": by.time.to_string(),
    })
}

fn attributions(by: &[Attribution]) -> Json {
    by.iter().map(attribution).collect()
}

fn candidate(candidate: &Candidate) -> Json {
    json!({
        "value": value(candidate.value.as_ref()),
        "writes": attributions(&candidate.writes),
        "votes": attributions(&candidate.votes),
        "related": attributions(&candidate.related),
    })
}

/// A conflict.
pub(crate) fn conflict(conflict: &Conflict, luid: Option<u64>) -> Json {
    json!({
        "id": conflict.id.to_string(),
        "record": conflict.record.to_string(),
        "luid": luid,
        "property": property(&conflict.register),
        "open": !conflict.rule.decides(),
        "visible": value(conflict.visible.as_ref()),
        "rule": conflict.rule.name(),
        "candidates": conflict.candidates.iter().map(candidate).collect::<Json>(),
    })
}

/// Why a register shows what it does.
pub(crate) fn why(why: &Why, luid: Option<u64>) -> Json {
    json!({
        "record": why.record.to_string(),
        "luid": luid,
        "property": property(&why.register),
        "value": value(why.value.as_ref()),
        "rule": why.rule.map(Rule::name),
        "conflict": why.conflict.map(|conflict| conflict.to_string()),
        "candidates": why.candidates.iter().map(candidate).collect::<Json>(),
        "flips": why.flips.iter().map(|flip| json!({
            "value": value(flip.value.as_ref()),
            "votes": flip.votes,
        })).collect::<Json>(),
    })
}

/// What a pull did.
pub(crate) fn pull(report: &PullReport) -> Json {
    json!({
        "source": report.source,
        "place": report.place,
        "integrated": report.integrated,
        "already_seen": report.already_seen,
        "bytes": report.bytes,
        "conflicts": report.conflicts,
        "by_majority": report.by_majority,
        "by_policy": report.by_policy,
        "open": report.open,
        "forks": report.forks.iter().map(ToString::to_string).collect::<Json>(),
    })
}

fn changed(register: &RegisterName, old: Option<&Value>, new: Option<&Value>) -> Json {
    json!({
        "property": property(register),
        "old": value(old),
        "new": value(new),
    })
}

/// What differs of a record.
pub(crate) fn diff(diff: &RecordDiff, luid: Option<u64>) -> Json {
    let changes = diff.registers.iter();
    let changes = changes
        .map(|differs| changed(&differs.register, differs.old.as_ref(), differs.new.as_ref()));
    json!({
        "record": diff.record.to_string(),
        "luid": luid,
        "changes": changes.collect::<Json>(),
    })
}

/// An entry of the history of a record.
pub(crate) fn history(entry: &HistoryEntry) -> Json {
    let votes = entry.votes.iter().map(|vote| {
        let candidates = vote.candidates.iter();
        json!({
            "property": property(&vote.register),
            "candidates": candidates.map(|of| value(of.as_ref())).collect::<Json>(),
            "choice": value(vote.choice.as_ref()),
        })
    });
    let changes = entry.changes.iter().map(|change| {
        let mut json = changed(&change.register, change.old.as_ref(), change.new.as_ref());
        if let Some(fields) = json.as_object_mut() {
            let step = match change.step {
                StepKind::Nullify => "nullify",
                StepKind::Change => "change",
                StepKind::Settle => "settle",
            };
            fields.insert("step".to_owned(), step.into());
            fields.insert("rule".to_owned(), change.rule.map(Rule::name).into());
        }
        json
    });
    json!({
        "position": entry.position.get(),
        "changeset": entry.changeset.to_string(),
        "origin": entry.origin,
        "creator": entry.creator,
        "time": entry.time.to_string(),
        "kind": entry.kind.to_string(),
        "arrived": entry.arrived,
        "votes": votes.collect::<Json>(),
        "changes": changes.collect::<Json>(),
    })
}

/// An entry of the log, as its line in a log of files has it, but for the checksum of that line.
pub(crate) fn entry(entry: &LogEntry) -> Json {
    // A line is JSON, always.
    let mut json = serde_json::from_slice(&line_of(entry)).unwrap_or(Json::Null);
    if let Some(fields) = json.as_object_mut() {
        fields.remove("crc");
    }
    json
}
