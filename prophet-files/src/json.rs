//! The JSON of lines.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write as _;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prophet_store::{
    Adjustment, Authored, Change, ChangeKind, Changeset, CommitId, Creator, DatabaseId, Digest,
    Head, Identity, LogEntry, MetadataKey, Payload, Position, PropertyChange, PropertyName,
    RecordKey, RegisterName, ReplicaId, Rule, Sequence, Timestamp, Value, Vote, codec,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::line::{self, BadLine, CommitEnd, FORMAT, Frame, Line, Start};

/// Writing to a vector does not fail, and neither does a value as JSON.
fn put(out: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    let _ = serde_json::to_writer(out, value);
}

/// What is shown without a character that JSON would escape.
fn put_plain(out: &mut Vec<u8>, name: &str, value: impl Display) {
    let _ = write!(out, "\"{name}\":\"{value}\"");
}

fn put_number(out: &mut Vec<u8>, name: &str, value: u64) {
    let _ = write!(out, "\"{name}\":{value}");
}

fn put_digests(out: &mut Vec<u8>, name: &str, digests: &[Digest]) {
    if digests.is_empty() {
        return;
    }
    let _ = write!(out, ",\"{name}\":[");
    for (at, digest) in digests.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let _ = write!(out, "{comma}\"{digest}\"");
    }
    out.push(b']');
}

/// A value; what is absent is not written.
fn put_value(out: &mut Vec<u8>, name: &str, value: Option<&Value>) {
    if let Some(value) = value {
        let _ = write!(out, ",\"{name}\":");
        put(out, value);
    }
}

fn put_list<T>(
    out: &mut Vec<u8>,
    name: &str,
    items: impl IntoIterator<Item = T>,
    mut put_item: impl FnMut(&mut Vec<u8>, T),
) {
    let mut first = true;
    for item in items {
        if first {
            let _ = write!(out, ",\"{name}\":[");
        } else {
            out.push(b',');
        }
        first = false;
        put_item(out, item);
    }
    if !first {
        out.push(b']');
    }
}

const START: &[u8] = b"{\"prophet\":\"log\"";

pub(crate) fn is_start(line: &[u8]) -> bool {
    line.starts_with(START)
}

pub(crate) fn put_start(out: &mut Vec<u8>, start: &Start) {
    let Start { identity, segment, base } = start;
    out.extend_from_slice(START);
    let _ = write!(
        out,
        ",\"format\":{FORMAT},\"database\":\"{}\",\"replica\":\"{}\",\"segment\":{segment}",
        identity.database, identity.replica
    );
    put_head(out, ",\"commit\"", *base);
}

fn put_head(out: &mut Vec<u8>, name: &str, head: Head) {
    let Head { version, position, commit } = head;
    let _ = write!(out, "{name}:\"{commit}\",\"version\":{version},\"position\":{position}");
}

pub(crate) fn put_sealed(out: &mut Vec<u8>, head: Head) {
    put_head(out, "{\"sealed\"", head);
}

pub(crate) fn put_commit(out: &mut Vec<u8>, end: &CommitEnd) {
    put_head(out, "{\"commit\"", end.head);
    if !end.metadata.is_empty() {
        out.extend_from_slice(b",\"metadata\":{");
        for (at, (key, value)) in end.metadata.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
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
    let sealed = |out: &mut Vec<u8>, bytes: Vec<u8>| put(out, &BASE64.encode(bytes));
    put_list(out, "records", &end.records, |out, state| sealed(out, codec::encode_record(state)));
    put_list(out, "resolutions", &end.resolutions, |out, resolution| {
        sealed(out, codec::encode_resolution(resolution));
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
    out.push(b',');
    match utc(header.time) {
        Some(time) => put_plain(out, "time", time),
        None => put_number(out, "time", header.time.millis()),
    }
    if header.time.counter() != 0 {
        out.push(b',');
        put_number(out, "counter", header.time.counter().into());
    }
    out.extend_from_slice(b",\"creator\":");
    put(out, header.creator.as_str());
    out.push(b',');
    put_plain(out, "kind", header.kind);
    match changeset.payload() {
        Payload::Undo { undone, .. } => {
            out.push(b',');
            put_plain(out, "undone", undone);
        }
        Payload::Continuation { replica, tip } => {
            out.push(b',');
            put_plain(out, "continues", replica);
            out.push(b',');
            put_plain(out, "tip", tip);
        }
        _ => {}
    }
    put_list(out, "changes", changeset.changes(), put_change);
    put_list(out, "votes", changeset.payload().votes(), put_vote);
    out.push(b',');
    put_plain(out, "origin", header.origin);
    out.push(b',');
    put_number(out, "sequence", header.sequence.get());
    if let Some(previous) = header.previous.filter(|previous| derived != Some(*previous)) {
        out.push(b',');
        put_plain(out, "previous", previous);
    }
    put_digests(out, "parents", &header.parents);
    if header.database != database {
        out.push(b',');
        put_plain(out, "database", header.database);
    }
    out.push(b',');
    put_plain(out, "digest", changeset.digest());
    put_list(out, "nullify", &entry.nullify, put_adjustment);
    put_list(out, "settle", &entry.settle, put_adjustment);
}

fn put_record(out: &mut Vec<u8>, record: &RecordKey) {
    out.extend_from_slice(b"{\"record\":");
    put(out, &record.to_string());
}

fn put_change(out: &mut Vec<u8>, change: &Change) {
    put_record(out, &change.record);
    out.push(b',');
    put_plain(out, "change", change.kind);
    put_digests(out, "supersedes", &change.supersedes);
    if !change.properties.is_empty() {
        out.extend_from_slice(b",\"properties\":{");
        for (at, property) in change.properties.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            put(out, property.name.as_str());
            // Every field begins with a comma, and the first one loses it.
            let mut fields = Vec::new();
            put_value(&mut fields, "old", property.old.as_ref());
            put_value(&mut fields, "new", property.new.as_ref());
            if let Some(rank) = property.rank {
                let _ = write!(fields, ",\"rank\":[{},{}]", rank.millis(), rank.counter());
            }
            put_digests(&mut fields, "supersedes", &property.supersedes);
            out.extend_from_slice(b":{");
            out.extend_from_slice(fields.get(1..).unwrap_or_default());
            out.push(b'}');
        }
        out.push(b'}');
    }
    out.push(b'}');
}

fn put_register(out: &mut Vec<u8>, register: &RegisterName) {
    if let RegisterName::Property(name) = register {
        out.extend_from_slice(b",\"property\":");
        put(out, name.as_str());
    }
}

fn put_vote(out: &mut Vec<u8>, vote: &Vote) {
    put_record(out, &vote.record);
    put_register(out, &vote.register);
    out.extend_from_slice(b",\"candidates\":");
    put(out, &vote.candidates);
    put_value(out, "choice", vote.choice.as_ref());
    put_digests(out, "seen", &vote.seen);
    put_digests(out, "supersedes", &vote.supersedes);
    out.push(b'}');
}

fn put_adjustment(out: &mut Vec<u8>, adjustment: &Adjustment) {
    put_record(out, &adjustment.record);
    put_register(out, &adjustment.register);
    put_value(out, "old", adjustment.old.as_ref());
    put_value(out, "new", adjustment.new.as_ref());
    if let Some(rule) = adjustment.rule {
        out.push(b',');
        put_plain(out, "rule", rule.name());
    }
    out.push(b'}');
}

/// A time as people read it, where that says all of it.
fn utc(time: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(i64::try_from(time.millis()).ok()?).ok()
}

/// Any line. What a line says decides which; names that it does not know are
/// refused, for a reader must not leave out what it does not understand.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    prophet: Option<&'a str>,
    format: Option<u64>,
    database: Option<&'a str>,
    replica: Option<&'a str>,
    segment: Option<u64>,
    version: Option<u64>,
    commit: Option<&'a str>,
    sealed: Option<&'a str>,
    #[serde(borrow, default)]
    metadata: BTreeMap<Cow<'a, str>, Option<&'a RawValue>>,
    #[serde(borrow, default)]
    records: Vec<&'a str>,
    #[serde(borrow, default)]
    resolutions: Vec<&'a str>,
    position: Option<u64>,
    #[serde(borrow)]
    time: Option<Time<'a>>,
    #[serde(default)]
    counter: u32,
    #[serde(borrow)]
    creator: Option<Cow<'a, str>>,
    kind: Option<&'a str>,
    undone: Option<&'a str>,
    continues: Option<&'a str>,
    tip: Option<&'a str>,
    #[serde(borrow, default)]
    changes: Vec<ChangeFields<'a>>,
    #[serde(borrow, default)]
    votes: Vec<VoteFields<'a>>,
    origin: Option<&'a str>,
    sequence: Option<u64>,
    previous: Option<&'a str>,
    #[serde(borrow, default)]
    parents: Vec<&'a str>,
    digest: Option<&'a str>,
    #[serde(borrow, default)]
    nullify: Vec<AdjustmentFields<'a>>,
    #[serde(borrow, default)]
    settle: Vec<AdjustmentFields<'a>>,
    /// Checked before.
    #[serde(rename = "crc")]
    _crc: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Time<'a> {
    Text(&'a str),
    Millis(u64),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeFields<'a> {
    #[serde(borrow)]
    record: Cow<'a, str>,
    change: &'a str,
    #[serde(borrow, default)]
    supersedes: Vec<&'a str>,
    #[serde(borrow, default)]
    properties: BTreeMap<Cow<'a, str>, PropertyFields<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PropertyFields<'a> {
    #[serde(borrow)]
    old: Option<&'a RawValue>,
    #[serde(borrow)]
    new: Option<&'a RawValue>,
    rank: Option<(u64, u32)>,
    #[serde(borrow, default)]
    supersedes: Vec<&'a str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VoteFields<'a> {
    #[serde(borrow)]
    record: Cow<'a, str>,
    #[serde(borrow)]
    property: Option<Cow<'a, str>>,
    #[serde(borrow)]
    candidates: Vec<Option<&'a RawValue>>,
    #[serde(borrow)]
    choice: Option<&'a RawValue>,
    #[serde(borrow, default)]
    seen: Vec<&'a str>,
    #[serde(borrow, default)]
    supersedes: Vec<&'a str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdjustmentFields<'a> {
    #[serde(borrow)]
    record: Cow<'a, str>,
    #[serde(borrow)]
    property: Option<Cow<'a, str>>,
    #[serde(borrow)]
    old: Option<&'a RawValue>,
    #[serde(borrow)]
    new: Option<&'a RawValue>,
    rule: Option<&'a str>,
}

type Taken<T> = Result<T, BadLine>;

fn parse<T: FromStr>(what: &str, text: &str) -> Taken<T>
where
    T::Err: Display,
{
    text.parse().map_err(|error: T::Err| BadLine::damaged(format!("{what}: {error}")))
}

fn need<T>(what: &str, given: Option<T>) -> Taken<T> {
    given.ok_or_else(|| BadLine::damaged(format!("it does not say {what}")))
}

fn digests(what: &str, texts: &[&str]) -> Taken<Vec<Digest>> {
    texts.iter().map(|text| parse(what, text)).collect()
}

/// Parsed apart from the line, so that the depth of a line adds nothing to that of a value.
fn value(raw: Option<&RawValue>) -> Taken<Option<Value>> {
    raw.map(|raw| serde_json::from_str(raw.get()).map_err(|error| damaged_json(&error))).transpose()
}

fn damaged_json(error: &serde_json::Error) -> BadLine {
    BadLine::damaged(error.to_string())
}

fn register(property: Option<&Cow<'_, str>>) -> Taken<RegisterName> {
    Ok(match property {
        None => RegisterName::Existence,
        Some(name) => RegisterName::Property(parse("property", name)?),
    })
}

fn unsealed<T>(
    text: &str,
    decode: impl FnOnce(&[u8]) -> Result<T, codec::DecodeError>,
) -> Taken<T> {
    let bytes = BASE64.decode(text).map_err(|error| BadLine::damaged(error.to_string()))?;
    decode(&bytes).map_err(|error| BadLine::damaged(error.to_string()))
}

/// What a line with its tail says.
pub(crate) fn read(line: &[u8], database: DatabaseId, frame: &Frame) -> Taken<Line> {
    let fields: Fields<'_> = match serde_json::from_slice(line) {
        Ok(fields) => fields,
        Err(error) => return Err(newer(line).unwrap_or_else(|| damaged_json(&error))),
    };
    if fields.prophet.is_some() {
        return fields.start().map(Line::Start);
    }
    match (fields.commit, fields.sealed) {
        (Some(commit), None) => Ok(Line::Commit(fields.commit_end(commit)?)),
        (None, Some(sealed)) => Ok(Line::Sealed(fields.head(sealed)?)),
        _ => fields.entry(database, frame).map(Line::Entry),
    }
}

/// Whether a line that makes no sense here is the first one of a segment in a newer format.
fn newer(line: &[u8]) -> Option<BadLine> {
    #[derive(Deserialize)]
    struct Format {
        format: u64,
    }
    let Format { format } = serde_json::from_slice(line).ok()?;
    (is_start(line) && format > FORMAT).then_some(BadLine::Newer { found: format })
}

impl Fields<'_> {
    fn head(&self, commit: &str) -> Taken<Head> {
        let version = need("its version", self.version)?;
        let position = need("its position", self.position)?;
        Ok(line::head(version, position, parse::<CommitId>("commit", commit)?))
    }

    fn start(&self) -> Taken<Start> {
        let format = need("its format", self.format)?;
        if format > FORMAT {
            return Err(BadLine::Newer { found: format });
        }
        let identity = Identity {
            database: parse("database", need("its database", self.database)?)?,
            replica: parse("replica", need("its replica", self.replica)?)?,
        };
        let base = self.head(need("its commit", self.commit)?)?;
        Ok(Start { identity, segment: need("its segment", self.segment)?, base })
    }

    fn commit_end(&self, commit: &str) -> Taken<CommitEnd> {
        let mut end = CommitEnd::at(self.head(commit)?);
        for (key, raw) in &self.metadata {
            let key = MetadataKey::new(&**key)
                .map_err(|error| BadLine::damaged(format!("metadata key: {error}")))?;
            let value = match value(*raw)? {
                None => None,
                Some(Value::Text(text)) => Some(text.into_bytes()),
                Some(Value::Bytes(bytes)) => Some(bytes),
                Some(_) => return Err(BadLine::damaged("metadata is text or bytes")),
            };
            end.metadata.push((key, value));
        }
        for text in &self.records {
            end.records.push(unsealed(text, codec::decode_record)?);
        }
        for text in &self.resolutions {
            end.resolutions.push(unsealed(text, codec::decode_resolution)?);
        }
        Ok(end)
    }

    fn entry(&self, database: DatabaseId, frame: &Frame) -> Taken<LogEntry> {
        let origin: ReplicaId = parse("origin", need("its origin", self.origin)?)?;
        let sequence = self.sequence.and_then(Sequence::new);
        let sequence = need("its sequence", sequence)?;
        let previous = match self.previous {
            Some(previous) => Some(parse("previous", previous)?),
            None if sequence == Sequence::FIRST => None,
            None => Some(need("its previous changeset", frame.previous(origin, sequence))?),
        };
        let authored = Authored {
            database: match self.database {
                Some(other) => parse("database", other)?,
                None => database,
            },
            origin,
            sequence,
            previous,
            parents: digests("parents", &self.parents)?,
            creator: parse::<Creator>("creator", need("its creator", self.creator.as_deref())?)?,
            time: self.timestamp()?,
            payload: self.payload()?,
        };
        let changeset = Changeset::author(authored).map_err(|e| BadLine::damaged(e.to_string()))?;
        let digest: Digest = parse("digest", need("its digest", self.digest)?)?;
        if changeset.digest() != digest {
            return Err(BadLine::damaged(format!(
                "it says that it is changeset {digest}, but it is {}",
                changeset.digest()
            )));
        }
        let adjustments = |fields: &[AdjustmentFields<'_>]| -> Taken<Vec<Adjustment>> {
            fields.iter().map(AdjustmentFields::adjustment).collect()
        };
        Ok(LogEntry {
            position: Position::new(need("its position", self.position)?),
            changeset,
            nullify: adjustments(&self.nullify)?,
            settle: adjustments(&self.settle)?,
        })
    }

    fn timestamp(&self) -> Taken<Timestamp> {
        let millis = match need("its time", self.time.as_ref())? {
            Time::Millis(millis) => *millis,
            Time::Text(text) => {
                let time: jiff::Timestamp = parse("time", text)?;
                u64::try_from(time.as_millisecond())
                    .map_err(|_| BadLine::damaged("its time is before 1970"))?
            }
        };
        Ok(Timestamp::new(millis, self.counter))
    }

    fn payload(&self) -> Taken<Payload> {
        let changes = || self.changes.iter().map(ChangeFields::change).collect::<Taken<Vec<_>>>();
        Ok(match need("its kind", self.kind)? {
            "edit" => Payload::Edit(changes()?),
            "merge" => Payload::Merge(changes()?),
            "undo" => Payload::Undo {
                undone: parse("undone", need("what it takes back", self.undone)?)?,
                changes: changes()?,
            },
            "resolution" => {
                let votes = self.votes.iter().map(VoteFields::vote);
                Payload::Resolution(votes.collect::<Taken<_>>()?)
            }
            "continuation" => Payload::Continuation {
                replica: parse("continues", need("what it continues", self.continues)?)?,
                tip: parse("tip", need("the tip that it continues", self.tip)?)?,
            },
            other => return Err(BadLine::damaged(format!("its kind {other:?} is unknown"))),
        })
    }
}

impl ChangeFields<'_> {
    fn change(&self) -> Taken<Change> {
        const KINDS: [ChangeKind; 5] = [
            ChangeKind::Create,
            ChangeKind::Recreate,
            ChangeKind::Update,
            ChangeKind::Delete,
            ChangeKind::Undelete,
        ];
        let kind = KINDS.into_iter().find(|kind| kind.to_string() == self.change);
        let properties = self.properties.iter().map(|(name, fields)| {
            Ok(PropertyChange {
                name: parse::<PropertyName>("property", name)?,
                old: value(fields.old)?,
                new: value(fields.new)?,
                rank: fields.rank.map(|(millis, counter)| Timestamp::new(millis, counter)),
                supersedes: digests("supersedes", &fields.supersedes)?,
            })
        });
        Ok(Change {
            record: parse("record", &self.record)?,
            kind: need("a kind of change that is known", kind)?,
            supersedes: digests("supersedes", &self.supersedes)?,
            properties: properties.collect::<Taken<_>>()?,
        })
    }
}

impl VoteFields<'_> {
    fn vote(&self) -> Taken<Vote> {
        let candidates = self.candidates.iter().map(|raw| value(*raw)).collect::<Taken<_>>()?;
        let seen = digests("seen", &self.seen)?;
        let invalid = |error: prophet_store::InvalidChangeset| BadLine::damaged(error.to_string());
        Vote::new(
            parse("record", &self.record)?,
            register(self.property.as_ref())?,
            candidates,
            value(self.choice)?,
            digests("supersedes", &self.supersedes)?,
        )
        .and_then(|vote| vote.with_seen(seen))
        .map_err(invalid)
    }
}

impl AdjustmentFields<'_> {
    fn adjustment(&self) -> Taken<Adjustment> {
        let rule = match self.rule {
            None => None,
            Some(given) => {
                let known = Rule::ALL.into_iter().find(|rule| rule.name() == given);
                Some(need("a rule that is known", known)?)
            }
        };
        Ok(Adjustment {
            record: parse("record", &self.record)?,
            register: register(self.property.as_ref())?,
            old: value(self.old)?,
            new: value(self.new)?,
            rule,
        })
    }
}
