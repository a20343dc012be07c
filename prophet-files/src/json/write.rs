//! Lines, written: the same for the same, whoever writes them.

use std::fmt::Display;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prophet_store::{
    Adjustment, Change, DatabaseId, Digest, Head, LogEntry, Payload, RecordKey, RegisterName,
    Timestamp, Value, Vote, codec,
};
use uuid::Uuid;

use super::START;
use crate::line::{CommitEnd, FORMAT, Start};

/// Writing to a vector does not fail, and neither does a value as JSON.
fn put(out: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    let _ = serde_json::to_writer(out, value);
}

/// A comma, but before the first of what is between brackets.
fn put_comma(out: &mut Vec<u8>) {
    if !matches!(out.last(), Some(b'{' | b'[')) {
        out.push(b',');
    }
}

/// The name of what comes next, which JSON would not escape.
fn put_name(out: &mut Vec<u8>, name: &str) {
    put_comma(out);
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn put_number(out: &mut Vec<u8>, name: &str, number: u64) {
    put_name(out, name);
    put(out, &number);
}

fn put_text(out: &mut Vec<u8>, name: &str, text: &str) {
    put_name(out, name);
    put(out, text);
}

/// What is shown without a character that JSON would escape.
fn put_plain(out: &mut Vec<u8>, name: &str, value: impl Display) {
    put_name(out, name);
    let _ = write!(out, "\"{value}\"");
}

fn put_uuid(out: &mut Vec<u8>, name: &str, uuid: Uuid) {
    put_name(out, name);
    out.push(b'"');
    put_hyphenated(out, uuid);
    out.push(b'"');
}

fn put_hyphenated(out: &mut Vec<u8>, uuid: Uuid) {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    out.extend_from_slice(uuid.as_hyphenated().encode_lower(&mut text).as_bytes());
}

fn put_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
    let from = out.len();
    out.resize(from + 2 * bytes.len(), 0);
    let (pairs, _) = out.get_mut(from..).unwrap_or_default().as_chunks_mut();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 0xF)];
    }
}

fn put_digest(out: &mut Vec<u8>, name: &str, digest: Digest) {
    put_name(out, name);
    put_quoted_digest(out, digest);
}

fn put_quoted_digest(out: &mut Vec<u8>, digest: Digest) {
    out.push(b'"');
    put_hex(out, digest.as_bytes());
    out.push(b'"');
}

/// Items in brackets under a name; what has none is not written.
fn put_list<T>(
    out: &mut Vec<u8>,
    name: &str,
    items: impl IntoIterator<Item = T>,
    mut put_item: impl FnMut(&mut Vec<u8>, T),
) {
    let mut items = items.into_iter().peekable();
    if items.peek().is_none() {
        return;
    }
    put_name(out, name);
    out.push(b'[');
    for item in items {
        put_comma(out);
        put_item(out, item);
    }
    out.push(b']');
}

fn put_digests(out: &mut Vec<u8>, name: &str, digests: &[Digest]) {
    put_list(out, name, digests, |out, digest| put_quoted_digest(out, *digest));
}

/// A value; what is absent is not written.
fn put_value(out: &mut Vec<u8>, name: &str, value: Option<&Value>) {
    if let Some(value) = value {
        put_name(out, name);
        put(out, value);
    }
}

pub(crate) fn put_start(out: &mut Vec<u8>, start: &Start) {
    let Start { identity, segment, base } = start;
    out.extend_from_slice(START);
    put_number(out, "format", FORMAT);
    put_uuid(out, "database", identity.database.uuid());
    put_uuid(out, "replica", identity.replica.uuid());
    put_number(out, "segment", *segment);
    put_head(out, "commit", *base);
}

fn put_head(out: &mut Vec<u8>, name: &str, head: Head) {
    put_uuid(out, name, head.commit.uuid());
    put_number(out, "version", head.version.get());
    put_number(out, "position", head.position.get());
}

pub(crate) fn put_sealed(out: &mut Vec<u8>, head: Head) {
    out.push(b'{');
    put_head(out, "sealed", head);
}

pub(crate) fn put_commit(out: &mut Vec<u8>, end: &CommitEnd) {
    out.push(b'{');
    put_head(out, "commit", end.head);
    if !end.metadata.is_empty() {
        put_name(out, "metadata");
        out.push(b'{');
        for (key, value) in &end.metadata {
            put_comma(out);
            put(out, key.as_str());
            out.push(b':');
            match value.as_deref().map(|value| (std::str::from_utf8(value), value)) {
                None => out.extend_from_slice(b"null"),
                Some((Ok(text), _)) => put(out, text),
                Some((Err(_), bytes)) => put(out, &Value::Bytes(bytes.to_vec())),
            }
        }
        out.push(b'}');
    }
    let encoded = |out: &mut Vec<u8>, bytes: Vec<u8>| put(out, &BASE64.encode(bytes));
    put_list(out, "records", &end.records, |out, state| encoded(out, codec::encode_record(state)));
    put_list(out, "resolutions", &end.resolutions, |out, resolution| {
        encoded(out, codec::encode_resolution(resolution));
    });
}

/// `derived` is the previous changeset that a reader takes it to have unless it names another.
pub(crate) fn put_entry(
    out: &mut Vec<u8>,
    entry: &LogEntry,
    database: DatabaseId,
    derived: Option<Digest>,
) {
    let (changeset, header) = (&entry.changeset, entry.changeset.header());
    out.push(b'{');
    put_number(out, "position", entry.position.get());
    match utc(header.time) {
        Some(time) => put_plain(out, "time", time),
        None => put_number(out, "time", header.time.millis()),
    }
    if header.time.counter() != 0 {
        put_number(out, "counter", header.time.counter().into());
    }
    put_text(out, "creator", header.creator.as_str());
    put_plain(out, "kind", header.kind);
    match changeset.payload() {
        Payload::Undo { undone, .. } => put_digest(out, "undone", *undone),
        Payload::Continuation { replica, tip } => {
            put_uuid(out, "continues", replica.uuid());
            put_digest(out, "tip", *tip);
        }
        _ => {}
    }
    put_list(out, "changes", changeset.changes(), put_change);
    put_list(out, "votes", changeset.payload().votes(), put_vote);
    put_uuid(out, "origin", header.origin.uuid());
    put_number(out, "sequence", header.sequence.get());
    if let Some(previous) = header.previous.filter(|previous| derived != Some(*previous)) {
        put_digest(out, "previous", previous);
    }
    put_digests(out, "parents", &header.parents);
    if header.database != database {
        put_uuid(out, "database", header.database.uuid());
    }
    put_digest(out, "digest", changeset.digest());
    put_list(out, "nullify", &entry.nullify, put_adjustment);
    put_list(out, "settle", &entry.settle, put_adjustment);
}

/// The checksum of all that the line has so far, and its end.
pub(crate) fn put_crc(out: &mut Vec<u8>, crc: u32) {
    put_name(out, "crc");
    out.push(b'"');
    put_hex(out, &crc.to_be_bytes());
    out.extend_from_slice(b"\"}\n");
}

fn put_record(out: &mut Vec<u8>, record: &RecordKey) {
    put_text(out, "record", record.record_type().as_str());
    // The id is in the same text.
    let end = out.pop();
    out.push(b'/');
    put_hyphenated(out, record.id().uuid());
    out.extend(end);
}

fn put_change(out: &mut Vec<u8>, change: &Change) {
    out.push(b'{');
    put_record(out, &change.record);
    put_plain(out, "change", change.kind);
    put_digests(out, "supersedes", &change.supersedes);
    if !change.properties.is_empty() {
        put_name(out, "properties");
        out.push(b'{');
        for property in &change.properties {
            put_comma(out);
            put(out, property.name.as_str());
            out.extend_from_slice(b":{");
            put_value(out, "old", property.old.as_ref());
            put_value(out, "new", property.new.as_ref());
            if let Some(rank) = property.rank {
                put_name(out, "rank");
                put(out, &(rank.millis(), rank.counter()));
            }
            put_digests(out, "supersedes", &property.supersedes);
            out.push(b'}');
        }
        out.push(b'}');
    }
    out.push(b'}');
}

fn put_register(out: &mut Vec<u8>, register: &RegisterName) {
    if let RegisterName::Property(name) = register {
        put_text(out, "property", name.as_str());
    }
}

fn put_vote(out: &mut Vec<u8>, vote: &Vote) {
    out.push(b'{');
    put_record(out, &vote.record);
    put_register(out, &vote.register);
    put_name(out, "candidates");
    put(out, &vote.candidates);
    put_value(out, "choice", vote.choice.as_ref());
    put_digests(out, "seen", &vote.seen);
    put_digests(out, "supersedes", &vote.supersedes);
    out.push(b'}');
}

fn put_adjustment(out: &mut Vec<u8>, adjustment: &Adjustment) {
    out.push(b'{');
    put_record(out, &adjustment.record);
    put_register(out, &adjustment.register);
    put_value(out, "old", adjustment.old.as_ref());
    put_value(out, "new", adjustment.new.as_ref());
    if let Some(rule) = adjustment.rule {
        put_plain(out, "rule", rule.name());
    }
    out.push(b'}');
}

/// A time as people read it, where that says all of it.
fn utc(time: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(i64::try_from(time.millis()).ok()?).ok()
}
