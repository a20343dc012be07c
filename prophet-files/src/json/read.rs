//! Lines, read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prophet_store::{
    Adjustment, Authored, Change, ChangeKind, Changeset, CommitId, Creator, DatabaseId, Digest,
    Head, Identity, LogEntry, MetadataKey, Payload, Position, PropertyChange, PropertyName,
    RegisterName, ReplicaId, Rule, Sequence, Timestamp, Value, Vote, codec,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::is_start;
use crate::line::{self, BadLine, CommitEnd, FORMAT, Line, Start};

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

/// All of it at once: read as bytes, each string in it would be looked at by itself.
fn text(line: &[u8]) -> Taken<&str> {
    std::str::from_utf8(line).map_err(|error| BadLine::damaged(error.to_string()))
}

/// What a line with its tail says. `previous` is the changeset before this one of an origin, where lines
/// before it have it.
pub(crate) fn read(
    line: &[u8],
    database: DatabaseId,
    previous: impl FnOnce(ReplicaId, Sequence) -> Option<Digest>,
) -> Taken<Line> {
    let fields: Fields<'_> = match serde_json::from_str(text(line)?) {
        Ok(fields) => fields,
        Err(error) => return Err(newer(line).unwrap_or_else(|| damaged_json(&error))),
    };
    if fields.prophet.is_some() {
        return fields.start().map(Line::Start);
    }
    match (fields.commit, fields.sealed) {
        (Some(commit), None) => Ok(Line::Commit(fields.commit_end(commit)?)),
        (None, Some(sealed)) => Ok(Line::Sealed(fields.head(sealed)?)),
        _ => fields.entry(database, previous).map(Line::Entry),
    }
}

/// What tells one entry from another, as its line has it.
#[derive(Debug)]
pub(crate) struct Outline<'a> {
    pub(crate) position: Position,
    pub(crate) origin: &'a str,
    sequence: Sequence,
    digest: &'a str,
}

impl Outline<'_> {
    pub(crate) fn authorship(&self) -> Taken<(Sequence, Digest)> {
        Ok((self.sequence, parse("digest", self.digest)?))
    }
}

/// The outline of a line, if it is one of an entry. What else the line has is passed over.
pub(crate) fn outline(line: &[u8]) -> Taken<Option<Outline<'_>>> {
    #[derive(Deserialize)]
    struct Fields<'a> {
        prophet: Option<IgnoredAny>,
        commit: Option<IgnoredAny>,
        sealed: Option<IgnoredAny>,
        position: Option<u64>,
        origin: Option<&'a str>,
        sequence: Option<u64>,
        digest: Option<&'a str>,
    }
    let fields: Fields<'_> =
        serde_json::from_str(text(line)?).map_err(|error| damaged_json(&error))?;
    if fields.prophet.is_some() || fields.commit.is_some() || fields.sealed.is_some() {
        return Ok(None);
    }
    Ok(Some(Outline {
        position: Position::new(need("its position", fields.position)?),
        origin: need("its origin", fields.origin)?,
        sequence: need("its sequence", fields.sequence.and_then(Sequence::new))?,
        digest: need("its digest", fields.digest)?,
    }))
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

    fn entry(
        &self,
        database: DatabaseId,
        previous: impl FnOnce(ReplicaId, Sequence) -> Option<Digest>,
    ) -> Taken<LogEntry> {
        let origin: ReplicaId = parse("origin", need("its origin", self.origin)?)?;
        let sequence = self.sequence.and_then(Sequence::new);
        let sequence = need("its sequence", sequence)?;
        let previous = match self.previous {
            Some(previous) => Some(parse("previous", previous)?),
            None if sequence == Sequence::FIRST => None,
            None => Some(need("its previous changeset", previous(origin, sequence))?),
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
