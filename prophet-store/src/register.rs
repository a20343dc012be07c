//! Multi-value registers: what a record's existence and each of its properties are.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::codec;
use crate::conflict;
use crate::id::{ConflictId, Digest, ReplicaId, Sequence};
use crate::judgement::{self, Judgement};
use crate::name::{PropertyName, RecordKey};
use crate::time::Timestamp;
use crate::value::Value;

/// Names one register of a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_enums, reason = "the registers of a record are fixed by the format")]
pub enum RegisterName {
    /// Whether the record exists: its values are [`Value::Boolean`], true for alive.
    Existence,
    /// One of its properties.
    Property(PropertyName),
}

impl fmt::Display for RegisterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Existence => f.write_str("existence"),
            Self::Property(name) => write!(f, "property {name:?}"),
        }
    }
}

/// One write that no known changeset supersedes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Write {
    /// The changeset that wrote.
    pub changeset: Digest,
    /// The time by which writes are ranked: that of the changeset, or the later one that the
    /// changeset names, for a write ranks at least as high as each write that it supersedes.
    pub rank: Timestamp,
    /// What was written; `None` is *absent*.
    pub value: Option<Value>,
}

impl Write {
    /// A write of `value` by `changeset`.
    pub const fn new(changeset: Digest, rank: Timestamp, value: Option<Value>) -> Self {
        Self { changeset, rank, value }
    }
}

/// A vote on a register: the latest of its voter on one set of candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the fields of a vote are fixed by the format")]
pub struct CastVote {
    /// The changeset that carried it.
    pub changeset: Digest,
    /// The replica that voted.
    pub voter: ReplicaId,
    /// The place of that changeset among what the voter authored.
    pub sequence: Sequence,
    /// The value chosen: one of the candidates.
    pub choice: Option<Value>,
    /// In a vote for a deletion: the writes asserting that the record is alive that its author
    /// had seen.
    pub seen: Vec<Digest>,
    /// Whether a known changeset supersedes it. It counts no more, and is kept because a vote that
    /// its voter cast before it must not count in its place.
    pub superseded: bool,
}

/// The votes on one set of candidates: the latest of each voter, ordered by voter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ballot {
    candidates: Vec<Option<Value>>,
    votes: Vec<CastVote>,
}

impl Ballot {
    /// The ballot of these votes on `candidates`, in any order; of each voter the latest is kept.
    /// `None` if nobody can vote so: on fewer than two values, or for none of them.
    pub fn new(candidates: Vec<Option<Value>>, mut votes: Vec<CastVote>) -> Option<Self> {
        let candidates = conflict::distinct(candidates);
        votes.sort_by_key(|vote| (vote.voter, std::cmp::Reverse((vote.sequence, vote.changeset))));
        votes.dedup_by_key(|vote| vote.voter);
        for vote in &mut votes {
            vote.seen.sort_unstable();
            vote.seen.dedup();
        }
        let chosen = votes.iter().all(|vote| candidates.contains(&vote.choice));
        let valid = candidates.len() >= 2 && !votes.is_empty() && chosen;
        valid.then_some(Self { candidates, votes })
    }

    /// Whether it can be one on a register of this name: existence has booleans, and only who
    /// votes for a deletion says what they had seen.
    pub(crate) fn fits(&self, name: &RegisterName) -> bool {
        let existence = *name == RegisterName::Existence;
        let boolean = |value: &Option<Value>| matches!(value, None | Some(Value::Boolean(_)));
        let deletes = |vote: &CastVote| existence && vote.choice == Some(Value::Boolean(false));
        (!existence || self.candidates.iter().all(boolean))
            && self.votes.iter().all(|vote| vote.seen.is_empty() || deletes(vote))
    }

    /// The values that disagreed, in canonical order.
    pub fn candidates(&self) -> &[Option<Value>] {
        &self.candidates
    }

    /// The latest vote of each voter, superseded or not, in order of the voters.
    pub fn votes(&self) -> &[CastVote] {
        &self.votes
    }

    fn cast(&mut self, vote: CastVote) {
        match self.votes.binary_search_by_key(&vote.voter, |known| known.voter) {
            Err(place) => self.votes.insert(place, vote),
            Ok(place) => {
                if let Some(known) = self.votes.get_mut(place)
                    && (known.sequence, known.changeset) < (vote.sequence, vote.changeset)
                {
                    *known = vote;
                }
            }
        }
    }
}

/// A multi-value register: the writes that no known changeset supersedes, ordered by the digest of
/// their changesets, and the votes ever cast on it. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Register(Arc<Parts>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Parts {
    writes: Writes,
    ballots: Vec<Ballot>,
}

/// Almost every register has one live write.
pub(crate) type Writes = SmallVec<[Write; 1]>;

impl Register {
    /// The register of these live writes, on which nobody has voted.
    pub fn new(writes: Vec<Write>) -> Self {
        let mut writes = Writes::from_vec(writes);
        writes.sort_by_key(|write| write.changeset);
        writes.dedup_by_key(|write| write.changeset);
        Self::of_rising(writes)
    }

    /// The same, of writes that are in order.
    pub(crate) fn of_rising(writes: Writes) -> Self {
        Self(Arc::new(Parts { writes, ballots: Vec::new() }))
    }

    /// The same register, with these votes.
    #[must_use]
    pub fn with_ballots(mut self, mut ballots: Vec<Ballot>) -> Self {
        ballots.sort_by_cached_key(|ballot| codec::encode_candidates(&ballot.candidates));
        ballots.dedup_by(|one, other| one.candidates == other.candidates);
        Arc::make_mut(&mut self.0).ballots = ballots;
        self
    }

    /// The live writes, ordered by the digest of their changesets.
    pub fn writes(&self) -> &[Write] {
        &self.0.writes
    }

    /// The votes cast on it, by the values that disagreed then, which are ordered by their
    /// canonical bytes.
    pub fn ballots(&self) -> &[Ballot] {
        &self.0.ballots
    }

    /// Whether nobody ever wrote to it or voted on it.
    pub(crate) fn is_unknown(&self) -> bool {
        self.0.writes.is_empty() && self.0.ballots.is_empty()
    }

    pub(crate) fn mentions(&self, digest: &Digest) -> bool {
        self.0.writes.iter().any(|write| write.changeset == *digest)
            || self
                .0
                .ballots
                .iter()
                .any(|ballot| ballot.votes.iter().any(|vote| vote.changeset == *digest))
    }

    /// The digests of the live writes.
    pub fn frontier(&self) -> Vec<Digest> {
        self.0.writes.iter().map(|write| write.changeset).collect()
    }

    /// The votes that nothing supersedes, with the candidates they were cast on.
    pub(crate) fn live_votes(&self) -> impl Iterator<Item = (&Ballot, &CastVote)> {
        self.0
            .ballots
            .iter()
            .flat_map(|ballot| ballot.votes.iter().map(move |vote| (ballot, vote)))
            .filter(|(_, vote)| !vote.superseded)
    }

    /// Roughly how many bytes it takes.
    pub(crate) fn approximate_size(&self) -> usize {
        let values = self.0.writes.iter().filter_map(|write| write.value.as_ref());
        let writes = values.map(|value| codec::value_len(value) + 8);
        let ballots = self.0.ballots.iter().map(|ballot| {
            let values = ballot.candidates.iter().flatten().map(codec::value_len).sum::<u64>();
            values.saturating_add(96 * ballot.votes.len() as u64)
        });
        let bytes = writes.chain(ballots).fold(0, u64::saturating_add);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Whether live writes disagree.
    pub fn is_contested(&self) -> bool {
        self.0.writes.windows(2).any(|pair| match pair {
            [one, other] => one.value != other.value,
            _ => false,
        })
    }

    /// The visible value of a property: what its live writes agree on, or else what the votes and
    /// the order of the candidates make of the conflict.
    pub fn visible(&self) -> Option<&Value> {
        self.judge().value
    }

    /// What is visible of a property, and why.
    pub fn judge(&self) -> Judgement<'_> {
        judgement::of_property(self)
    }

    /// The distinct values that disagree, in their canonical order; empty unless contested.
    pub fn candidates(&self) -> Vec<Option<Value>> {
        if !self.is_contested() {
            return Vec::new();
        }
        conflict::distinct(self.writes().iter().map(|write| write.value.clone()).collect())
    }

    /// The conflict that this register of `record` is in, if it is contested.
    pub fn conflict(&self, record: &RecordKey, register: &RegisterName) -> Option<ConflictId> {
        self.is_contested().then(|| conflict::identify(record, register, &self.candidates()))
    }

    /// Takes out the writes that `superseded` names, marks the votes that it names, and puts in
    /// the new write.
    pub(crate) fn write(&mut self, superseded: &[Digest], write: Write) {
        let Parts { writes, ballots } = Arc::make_mut(&mut self.0);
        writes.retain(|old| superseded.binary_search(&old.changeset).is_err());
        supersede_votes(ballots, superseded);
        if let Err(place) = writes.binary_search_by_key(&write.changeset, |old| old.changeset) {
            writes.insert(place, write);
        }
    }

    /// Marks the votes that `superseded` names, and takes in the new one.
    pub(crate) fn vote(
        &mut self,
        superseded: &[Digest],
        candidates: &[Option<Value>],
        vote: CastVote,
    ) {
        let Parts { ballots, .. } = Arc::make_mut(&mut self.0);
        supersede_votes(ballots, superseded);
        let bytes = codec::encode_candidates(candidates);
        let place = ballots
            .binary_search_by(|ballot| codec::encode_candidates(&ballot.candidates).cmp(&bytes));
        match place {
            Ok(place) => {
                if let Some(ballot) = ballots.get_mut(place) {
                    ballot.cast(vote);
                }
            }
            Err(place) => {
                let ballot = Ballot { candidates: candidates.to_vec(), votes: vec![vote] };
                ballots.insert(place, ballot);
            }
        }
    }
}

fn supersede_votes(ballots: &mut [Ballot], superseded: &[Digest]) {
    for vote in ballots.iter_mut().flat_map(|ballot| &mut ballot.votes) {
        vote.superseded |= superseded.binary_search(&vote.changeset).is_ok();
    }
}
