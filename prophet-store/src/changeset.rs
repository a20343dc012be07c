//! Changesets: the atomic, immutable, self-certifying units of which all history is made.

use std::fmt;
use std::sync::Arc;

use crate::codec::{self, Malformed};
use crate::conflict;
use crate::id::{ConflictId, DatabaseId, Digest, ReplicaId, Sequence};
use crate::limits::{self, LimitExceeded};
use crate::name::{Creator, PropertyName, RecordKey};
use crate::record::Existence;
use crate::register::RegisterName;
use crate::time::Timestamp;
use crate::value::Value;

/// What a changeset is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Changes to records.
    Edit,
    /// Changes that take back an earlier changeset.
    Undo,
    /// Changes that settle conflicts with values merged by hand.
    Merge,
    /// Votes on conflicts.
    Resolution,
    /// The first changeset of a replica that found itself forked and goes on under a new id.
    Continuation,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Edit => "edit",
            Self::Undo => "undo",
            Self::Merge => "merge",
            Self::Resolution => "resolution",
            Self::Continuation => "continuation",
        })
    }
}

/// What is digested: everything about a changeset but its payload, of which it holds the digest,
/// so that a payload can be erased without breaking the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the fields of a header are fixed by the format")]
pub struct Header {
    /// The database it belongs to.
    pub database: DatabaseId,
    /// The replica that authored it.
    pub origin: ReplicaId,
    /// Its place among what that replica authored.
    pub sequence: Sequence,
    /// The digest of the origin's previous changeset; absent for the first.
    pub previous: Option<Digest>,
    /// The maximal heads of everything else that the author had integrated, in rising order.
    pub parents: Vec<Digest>,
    /// Who made it.
    pub creator: Creator,
    /// When, by the author's clock.
    pub time: Timestamp,
    /// What it is for.
    pub kind: Kind,
    /// The digest of the canonical payload.
    pub payload_digest: Digest,
    /// The length of the canonical payload in bytes.
    pub payload_len: u64,
}

impl Header {
    /// Whether it names this changeset as one that it follows.
    pub(crate) fn follows(&self, digest: Digest) -> bool {
        self.previous == Some(digest) || self.parents.binary_search(&digest).is_ok()
    }
}

/// What happens to a record's existence in a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "the kinds of change are fixed by the format")]
pub enum ChangeKind {
    /// A record that never existed comes into being.
    Create,
    /// A deleted record is created again, from nothing: known properties not given become absent.
    Recreate,
    /// Properties of an existing record change.
    Update,
    /// The record is deleted: its properties are hidden.
    Delete,
    /// A deleted record comes back as it was.
    Undelete,
}

impl ChangeKind {
    /// What its author saw of the record's existence just before.
    pub const fn existence_before(self) -> Existence {
        match self {
            Self::Create => Existence::Never,
            Self::Recreate | Self::Undelete => Existence::Deleted,
            Self::Update | Self::Delete => Existence::Alive,
        }
    }

    /// What it asserts of the record's existence.
    pub const fn existence_after(self) -> Existence {
        match self {
            Self::Create | Self::Recreate | Self::Update | Self::Undelete => Existence::Alive,
            Self::Delete => Existence::Deleted,
        }
    }
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Recreate => "recreate",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Undelete => "undelete",
        })
    }
}

/// The change of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the fields of a change are fixed by the format")]
pub struct Change {
    /// The record.
    pub record: RecordKey,
    /// What happens to it.
    pub kind: ChangeKind,
    /// The writes and votes on its existence that this supersedes, in rising order.
    pub supersedes: Vec<Digest>,
    /// The changes of its properties, in rising order of their names.
    pub properties: Vec<PropertyChange>,
}

/// The change of one property.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the fields of a change are fixed by the format")]
pub struct PropertyChange {
    /// The property.
    pub name: PropertyName,
    /// What its author saw just before; `None` is *absent*.
    pub old: Option<Value>,
    /// What it is after; `None` is *absent*.
    pub new: Option<Value>,
    /// By which time the write ranks, where that is later than the time of the changeset: a write
    /// ranks at least as high as each write that it supersedes.
    pub rank: Option<Timestamp>,
    /// The writes and votes on it that this supersedes, in rising order. Empty in a
    /// [delete](ChangeKind::Delete), which hides properties without writing to them.
    pub supersedes: Vec<Digest>,
}

/// A vote: its author, asked about a conflict, chose one of the values.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vote {
    /// The record.
    pub record: RecordKey,
    /// The register that was contested.
    pub register: RegisterName,
    /// The distinct values that disagreed, in canonical order; at least two.
    pub candidates: Vec<Option<Value>>,
    /// The value chosen: one of the candidates.
    pub choice: Option<Value>,
    /// In a vote that a record is to be deleted: the live writes that assert that it is alive and
    /// that its author had seen, in rising order. The vote counts only while there are no others,
    /// so that nobody's vote buries an edit that they did not know of. Empty in every other vote.
    pub seen: Vec<Digest>,
    /// The votes that this supersedes, in rising order.
    pub supersedes: Vec<Digest>,
}

impl Vote {
    /// A vote for `choice` among `candidates`, which may come in any order. A vote that a record is
    /// to be deleted also says what its author [had seen](Self::with_seen).
    ///
    /// # Errors
    /// Fewer than two distinct candidates are no conflict, and a choice that is not among them is
    /// not a vote but a write.
    pub fn new(
        record: RecordKey,
        register: RegisterName,
        candidates: Vec<Option<Value>>,
        choice: Option<Value>,
        mut supersedes: Vec<Digest>,
    ) -> Result<Self, InvalidChangeset> {
        // First, for ordering them encodes them.
        Self::check_limits(&register, &candidates)?;
        let candidates = conflict::distinct(candidates);
        supersedes.sort_unstable();
        supersedes.dedup();
        let vote = Self { record, register, candidates, choice, seen: Vec::new(), supersedes };
        vote.check()?;
        Ok(vote)
    }

    /// The same vote, by an author who had seen these writes that assert that the record is alive.
    ///
    /// # Errors
    /// Only a vote that a record is to be deleted says so.
    pub fn with_seen(mut self, mut seen: Vec<Digest>) -> Result<Self, InvalidChangeset> {
        seen.sort_unstable();
        seen.dedup();
        self.seen = seen;
        self.check()?;
        Ok(self)
    }

    fn is_for_deletion(&self) -> bool {
        self.register == RegisterName::Existence && self.choice == Existence::Deleted.value()
    }

    /// The conflict voted on.
    pub fn conflict(&self) -> ConflictId {
        conflict::identify(&self.record, &self.register, &self.candidates)
    }

    fn check_limits(
        register: &RegisterName,
        candidates: &[Option<Value>],
    ) -> Result<(), LimitExceeded> {
        let mut candidates = candidates.iter().flatten();
        candidates
            .try_for_each(|value| value.check_limits(|| format!("a candidate for {register}")))
    }

    pub(crate) fn check(&self) -> Result<(), InvalidChangeset> {
        Self::check_limits(&self.register, &self.candidates)?;
        if self.candidates.len() < 2 {
            return Err(InvalidChangeset::rule(format!(
                "a vote on {} of {} names fewer than two candidates",
                self.register, self.record
            )));
        }
        if !self.candidates.contains(&self.choice) {
            return Err(InvalidChangeset::rule(format!(
                "a vote on {} of {} chooses a value that is not a candidate",
                self.register, self.record
            )));
        }
        for candidate in self.candidates.iter().flatten() {
            if self.register == RegisterName::Existence && candidate.as_boolean().is_none() {
                return Err(InvalidChangeset::rule(format!(
                    "a vote on the existence of {} has a candidate that is not a boolean",
                    self.record
                )));
            }
        }
        // The fields can be written to, and what is authored must be what others can read.
        if self.candidates != conflict::distinct(self.candidates.clone()) {
            return Err(InvalidChangeset::rule(format!(
                "a vote on {} of {} repeats a candidate or has them out of order",
                self.register, self.record
            )));
        }
        for (digests, what) in [(&self.supersedes, "supersedes"), (&self.seen, "has seen")] {
            if !digests.is_sorted_by(|one, other| one < other) {
                return Err(InvalidChangeset::rule(format!(
                    "a vote on {} of {} repeats what it {what} or has it out of order",
                    self.register, self.record
                )));
            }
        }
        if !self.seen.is_empty() && !self.is_for_deletion() {
            return Err(InvalidChangeset::rule(format!(
                "a vote on {} of {} says what it has seen, which only one for a deletion does",
                self.register, self.record
            )));
        }
        Ok(())
    }
}

/// What a changeset says, by its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Payload {
    /// Changes to records, in rising order of their keys.
    Edit(Vec<Change>),
    /// Changes that take back the changeset with this digest.
    Undo {
        /// The changeset taken back.
        undone: Digest,
        /// What taking it back changes.
        changes: Vec<Change>,
    },
    /// Changes that settle conflicts with values merged by hand.
    Merge(Vec<Change>),
    /// Votes, in rising order of record and register.
    Resolution(Vec<Vote>),
    /// The identity that the author goes on from.
    Continuation {
        /// The replica it was.
        replica: ReplicaId,
        /// That replica's last changeset that it had.
        tip: Digest,
    },
}

impl Payload {
    /// What a changeset with this payload is for.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Edit(_) => Kind::Edit,
            Self::Undo { .. } => Kind::Undo,
            Self::Merge(_) => Kind::Merge,
            Self::Resolution(_) => Kind::Resolution,
            Self::Continuation { .. } => Kind::Continuation,
        }
    }

    /// The changes, of the kinds that have them.
    pub fn changes(&self) -> &[Change] {
        match self {
            Self::Edit(changes) | Self::Undo { changes, .. } | Self::Merge(changes) => changes,
            Self::Resolution(_) | Self::Continuation { .. } => &[],
        }
    }

    pub(crate) fn changes_mut(&mut self) -> &mut [Change] {
        match self {
            Self::Edit(changes) | Self::Undo { changes, .. } | Self::Merge(changes) => changes,
            Self::Resolution(_) | Self::Continuation { .. } => &mut [],
        }
    }

    /// The votes, of the kind that has them.
    pub fn votes(&self) -> &[Vote] {
        match self {
            Self::Resolution(votes) => votes,
            _ => &[],
        }
    }

    /// The records that it changes or votes on; one that it votes on twice comes twice.
    pub fn records(&self) -> impl Iterator<Item = &RecordKey> {
        let changed = self.changes().iter().map(|change| &change.record);
        changed.chain(self.votes().iter().map(|vote| &vote.record))
    }

    /// Puts changes and votes into their canonical order.
    fn sort(&mut self) {
        match self {
            Self::Edit(changes) | Self::Undo { changes, .. } | Self::Merge(changes) => {
                for change in changes.iter_mut() {
                    change.supersedes.sort_unstable();
                    for property in &mut change.properties {
                        property.supersedes.sort_unstable();
                    }
                    change.properties.sort_by(|one, other| one.name.cmp(&other.name));
                }
                changes.sort_by(|one, other| one.record.cmp(&other.record));
            }
            Self::Resolution(votes) => {
                for vote in votes.iter_mut() {
                    vote.seen.sort_unstable();
                    vote.supersedes.sort_unstable();
                }
                votes.sort_by(|one, other| {
                    (&one.record, &one.register).cmp(&(&other.record, &other.register))
                });
            }
            Self::Continuation { .. } => {}
        }
    }

    /// Checks what holds of every payload, so that whoever has a [`Changeset`] can rely on it.
    pub(crate) fn check(&self) -> Result<(), InvalidChangeset> {
        let (changes, votes) = (self.changes(), self.votes());
        let empty = changes.is_empty() && votes.is_empty();
        if empty && self.kind() != Kind::Continuation {
            return Err(InvalidChangeset::rule("it changes nothing".to_owned()));
        }
        if !changes.is_sorted_by(|one, other| one.record < other.record) {
            return Err(InvalidChangeset::rule("it changes one record twice".to_owned()));
        }
        if !votes.is_sorted_by(|one, other| {
            (&one.record, &one.register) < (&other.record, &other.register)
        }) {
            return Err(InvalidChangeset::rule("it votes twice on one register".to_owned()));
        }
        changes.iter().try_for_each(Change::check)?;
        votes.iter().try_for_each(Vote::check)
    }
}

impl Change {
    fn check(&self) -> Result<(), InvalidChangeset> {
        let rule =
            |why: &str| Err(InvalidChangeset::rule(format!("its change of {} {why}", self.record)));
        if !self.supersedes.is_sorted_by(|one, other| one < other) {
            return rule("names a superseded write twice");
        }
        if !self.properties.is_sorted_by(|one, other| one.name < other.name) {
            return rule("changes one property twice");
        }
        if self.kind == ChangeKind::Update && self.properties.is_empty() {
            return rule("is an update of no property");
        }
        let visible_before = self.kind.existence_before() == Existence::Alive;
        for property in &self.properties {
            if !property.supersedes.is_sorted_by(|one, other| one < other) {
                return rule(&format!("names a superseded write of {:?} twice", property.name));
            }
            if !visible_before && property.old.is_some() {
                return rule(&format!("sees {:?} although the record is hidden", property.name));
            }
            if self.kind == ChangeKind::Delete
                && (property.new.is_some()
                    || property.old.is_none()
                    || property.rank.is_some()
                    || !property.supersedes.is_empty())
            {
                return rule(&format!("deletes the record but writes to {:?}", property.name));
            }
            for value in [&property.old, &property.new].into_iter().flatten() {
                value.check_limits(|| {
                    format!("the value of property {:?} of {}", property.name, self.record)
                })?;
            }
        }
        Ok(())
    }
}

/// A changeset cannot be: it breaks a rule or a limit of the format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidChangeset {
    /// A rule of the format is broken.
    #[error("a changeset is refused: {why}")]
    #[non_exhaustive]
    Rule {
        /// Which one, and where.
        why: String,
    },
    /// A limit of the format is exceeded.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// Its bytes are not a changeset.
    #[error("a changeset is refused: {0}")]
    Malformed(#[from] Malformed),
}

impl InvalidChangeset {
    pub(crate) const fn rule(why: String) -> Self {
        Self::Rule { why }
    }
}

/// A changeset, whole and checked: whoever holds one holds a valid one. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Changeset(Arc<Inner>);

#[derive(PartialEq, Eq)]
struct Inner {
    digest: Digest,
    header: Header,
    payload: Payload,
    payload_bytes: Vec<u8>,
}

/// What the author of a changeset decides; digests and order follow.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs, reason = "what makes a changeset is fixed by the format")]
pub struct Authored {
    /// The database it belongs to.
    pub database: DatabaseId,
    /// The replica that authors it.
    pub origin: ReplicaId,
    /// Its place among what that replica authored.
    pub sequence: Sequence,
    /// The digest of the origin's previous changeset; absent for the first.
    pub previous: Option<Digest>,
    /// The maximal heads of everything else that the author has integrated.
    pub parents: Vec<Digest>,
    /// Who makes it.
    pub creator: Creator,
    /// When, by the author's clock.
    pub time: Timestamp,
    /// What it says; changes and votes may come in any order.
    pub payload: Payload,
}

/// What the author of a changeset gave, so that another one like it can be made.
impl From<&Changeset> for Authored {
    fn from(changeset: &Changeset) -> Self {
        let Header { database, origin, sequence, previous, parents, creator, time, .. } =
            changeset.header().clone();
        let payload = changeset.payload().clone();
        Self { database, origin, sequence, previous, parents, creator, time, payload }
    }
}

impl Changeset {
    /// Makes the changeset that `authored` describes.
    ///
    /// # Errors
    /// What breaks a rule or a limit of the format is refused.
    pub fn author(authored: Authored) -> Result<Self, InvalidChangeset> {
        let Authored { database, origin, sequence, previous, mut parents, creator, time, payload } =
            authored;
        let mut payload = payload;
        payload.sort();
        payload.check()?;
        parents.sort_unstable();
        parents.dedup();
        let payload_bytes = codec::encode_payload(&payload);
        let payload_len = payload_bytes.len() as u64;
        limits::check(|| "a changeset".to_owned(), "bytes", limits::CHANGESET_BYTES, payload_len)?;
        let header = Header {
            database,
            origin,
            sequence,
            previous,
            parents,
            creator,
            time,
            kind: payload.kind(),
            payload_digest: Digest::of(&payload_bytes),
            payload_len,
        };
        check_chain(&header)?;
        check_ranks(&header, &payload)?;
        let digest = Digest::of(&codec::encode_header(&header));
        Ok(Self(Arc::new(Inner { digest, header, payload, payload_bytes })))
    }

    /// The changeset of these two parts, as a store that keeps them apart reads it back.
    ///
    /// # Errors
    /// A payload that is not the one that the header names, not canonical or not valid is
    /// refused; so is a header that does not fit it.
    pub fn from_parts(header: Header, payload_bytes: Vec<u8>) -> Result<Self, InvalidChangeset> {
        let actual = payload_bytes.len() as u64;
        limits::check(|| "a changeset".to_owned(), "bytes", limits::CHANGESET_BYTES, actual)?;
        if Digest::of(&payload_bytes) != header.payload_digest || actual != header.payload_len {
            return Err(InvalidChangeset::rule("its payload is not what its header says".into()));
        }
        check_chain(&header)?;
        let payload = codec::decode_payload(header.kind, &payload_bytes)?;
        payload.check()?;
        check_ranks(&header, &payload)?;
        let digest = Digest::of(&codec::encode_header(&header));
        Ok(Self(Arc::new(Inner { digest, header, payload, payload_bytes })))
    }

    /// Its identity.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// Everything about it but its payload.
    pub fn header(&self) -> &Header {
        &self.0.header
    }

    /// What it says.
    pub fn payload(&self) -> &Payload {
        &self.0.payload
    }

    /// The canonical encoding of its payload.
    pub fn payload_bytes(&self) -> &[u8] {
        &self.0.payload_bytes
    }

    /// Its changes to records; a resolution has none.
    pub fn changes(&self) -> &[Change] {
        self.0.payload.changes()
    }
}

impl fmt::Debug for Changeset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changeset")
            .field("digest", &self.0.digest)
            .field("header", &self.0.header)
            .field("payload", &self.0.payload)
            .finish_non_exhaustive()
    }
}

/// A rank is only said where it is not simply the time: one way to say each thing.
fn check_ranks(header: &Header, payload: &Payload) -> Result<(), InvalidChangeset> {
    let mut properties = payload.changes().iter().flat_map(|change| &change.properties);
    match properties.find(|property| property.rank.is_some_and(|rank| rank <= header.time)) {
        None => Ok(()),
        Some(property) => Err(InvalidChangeset::rule(format!(
            "the rank of {:?} is not later than the changeset",
            property.name
        ))),
    }
}

/// Only a replica's first changeset has nothing before it.
fn check_chain(header: &Header) -> Result<(), InvalidChangeset> {
    if (header.sequence == Sequence::FIRST) != header.previous.is_none() {
        return Err(InvalidChangeset::rule(format!(
            "number {} of {} {} a previous one",
            header.sequence,
            header.origin,
            if header.previous.is_none() { "does not name" } else { "names" },
        )));
    }
    if header.parents.is_sorted_by(|one, other| one < other) {
        Ok(())
    } else {
        Err(InvalidChangeset::rule("its parents are repeated or out of order".to_owned()))
    }
}
