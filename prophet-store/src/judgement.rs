//! Judgement: what is visible of a register whose live writes may disagree.
//!
//! A pure function of the register, so that replicas which saw the same show the same. Deciding is
//! a view and never a write: applying other people's votes casts none.

use std::collections::BTreeMap;
use std::fmt;

use crate::codec;
use crate::conflict;
use crate::id::Digest;
use crate::register::{Ballot, CastVote, Register, RegisterName};
use crate::time::Timestamp;
use crate::value::Value;

/// The rule by which the visible value of a register was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "the rules are fixed by the format")]
pub enum Rule {
    /// All live writes agree: there is no conflict.
    Agreed,
    /// More than half of the votes that count are for it: the conflict is decided.
    Majority,
    /// The conflict is open; more votes are for this value than for any other, but not more than
    /// half.
    MostVotes,
    /// The conflict is open and its votes are level; of the votes on conflicts between some of
    /// these values, most are for this one.
    MostRelatedVotes,
    /// The conflict is open and all votes are level; this value was written last.
    LatestWrite,
    /// The conflict is open and about whether the record exists: until it is decided, it does.
    Alive,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Agreed,
        Self::Majority,
        Self::MostVotes,
        Self::MostRelatedVotes,
        Self::LatestWrite,
        Self::Alive,
    ];

    /// Its name in formats: in the lines of a log, and wherever programs read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::Majority => "majority",
            Self::MostVotes => "most votes",
            Self::MostRelatedVotes => "most related votes",
            Self::LatestWrite => "latest write",
            Self::Alive => "alive",
        }
    }

    /// Whether nothing is left to be decided.
    pub const fn decides(self) -> bool {
        matches!(self, Self::Agreed | Self::Majority)
    }
}

/// In a few words, for people.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agreed => "all agree",
            Self::Majority => "by majority of votes",
            Self::MostVotes => "still open, most votes",
            Self::MostRelatedVotes => "still open, most votes on earlier conflicts of these values",
            Self::LatestWrite => "still open, latest write",
            Self::Alive => "still open, and alive until decided",
        })
    }
}

/// What is visible of a register, and by which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a judgement is a value and its rule")]
pub struct Judgement<'a> {
    /// The visible value; `None` is *absent*.
    pub value: Option<&'a Value>,
    /// The rule that chose it.
    pub rule: Rule,
}

/// What speaks for one candidate of a conflict.
#[derive(Debug)]
pub(crate) struct Tally<'a> {
    pub(crate) value: Option<&'a Value>,
    /// The votes on this conflict that count.
    pub(crate) votes: Vec<&'a CastVote>,
    /// The live votes for it on conflicts between some of these values.
    pub(crate) related: Vec<&'a CastVote>,
    /// The latest of its live writes.
    pub(crate) latest: (Timestamp, Digest),
}

const ALIVE: Option<Value> = Some(Value::Boolean(true));
const DELETED: Option<Value> = Some(Value::Boolean(false));

pub(crate) fn of<'a>(name: &RegisterName, register: &'a Register) -> Judgement<'a> {
    judge(register, *name == RegisterName::Existence)
}

pub(crate) fn of_property(register: &Register) -> Judgement<'_> {
    judge(register, false)
}

pub(crate) fn of_existence(register: &Register) -> Judgement<'_> {
    judge(register, true)
}

fn judge(register: &Register, existence: bool) -> Judgement<'_> {
    if !register.is_contested() {
        let value = register.writes().first().and_then(|write| write.value.as_ref());
        return Judgement { value, rule: Rule::Agreed };
    }
    let tallies = tally(register, existence);
    let cast: usize = tallies.iter().map(|tally| tally.votes.len()).sum();
    if let Some(tally) = tallies.iter().find(|tally| tally.votes.len() * 2 > cast) {
        return Judgement { value: tally.value, rule: Rule::Majority };
    }
    if existence {
        let alive = tallies.iter().find(|tally| tally.value == ALIVE.as_ref());
        return Judgement { value: alive.and_then(|tally| tally.value), rule: Rule::Alive };
    }
    let place = |tally: &Tally<'_>| (tally.votes.len(), tally.related.len(), tally.latest);
    let Some(best) = tallies.iter().max_by_key(|tally| place(tally)) else {
        return Judgement { value: None, rule: Rule::Agreed };
    };
    let level =
        |equal: &dyn Fn(&Tally<'_>) -> bool| tallies.iter().filter(|t| equal(t)).count() > 1;
    let rule = if !level(&|other| other.votes.len() == best.votes.len()) {
        Rule::MostVotes
    } else if !level(&|other| {
        (other.votes.len(), other.related.len()) == (best.votes.len(), best.related.len())
    }) {
        Rule::MostRelatedVotes
    } else {
        Rule::LatestWrite
    };
    Judgement { value: best.value, rule }
}

/// What speaks for each candidate, in their canonical order.
pub(crate) fn tally<'a>(register: &'a Register, existence: bool) -> Vec<Tally<'a>> {
    let writes = register.writes();
    let values = conflict::distinct_refs(writes.iter().map(|write| write.value.as_ref()));
    let ballot = |wanted: &dyn Fn(&Ballot) -> bool| -> Vec<&'a CastVote> {
        let live = register.live_votes().filter(|(ballot, _)| wanted(ballot));
        live.map(|(_, vote)| vote).filter(|vote| counts(register, vote, existence)).collect()
    };
    let places = Places::of(&values);
    let among = |candidates: &[Option<Value>]| {
        candidates.iter().all(|candidate| places.of_value(candidate.as_ref()).is_some())
    };
    let votes =
        ballot(&|ballot| ballot.candidates().len() == values.len() && among(ballot.candidates()));
    let related =
        ballot(&|ballot| ballot.candidates().len() < values.len() && among(ballot.candidates()));
    let chosen = |votes: Vec<&'a CastVote>| {
        let mut chosen = vec![Vec::new(); values.len()];
        for vote in votes {
            let place = places.of_value(vote.choice.as_ref());
            if let Some(chosen) = place.and_then(|place| chosen.get_mut(place)) {
                chosen.push(vote);
            }
        }
        chosen
    };
    let mut latest = vec![None; values.len()];
    for write in writes {
        let place = places.of_value(write.value.as_ref());
        if let Some(latest) = place.and_then(|place| latest.get_mut(place)) {
            *latest = (*latest).max(Some((write.rank, write.changeset)));
        }
    }
    let candidates = values.iter().zip(chosen(votes)).zip(chosen(related)).zip(latest);
    candidates
        .filter_map(|(((value, votes), related), latest)| {
            Some(Tally { value: *value, votes, related, latest: latest? })
        })
        .collect()
}

/// Where each of some distinct values is among them. Of many that is not looked for one by one: whoever
/// writes a lot that disagrees is not to keep others busy for long.
struct Places<'v, 'a> {
    values: &'v [Option<&'a Value>],
    by_bytes: Option<BTreeMap<Vec<u8>, usize>>,
}

impl<'v, 'a> Places<'v, 'a> {
    const FEW: usize = 16;

    fn of(values: &'v [Option<&'a Value>]) -> Self {
        let by_bytes = values.len() > Self::FEW;
        let by_bytes = by_bytes.then(|| {
            let bytes = values.iter().map(|value| codec::encode_candidate(*value));
            bytes.zip(0..).collect()
        });
        Self { values, by_bytes }
    }

    fn of_value(&self, value: Option<&Value>) -> Option<usize> {
        match &self.by_bytes {
            Some(places) => places.get(&codec::encode_candidate(value)).copied(),
            None => self.values.iter().position(|it| *it == value),
        }
    }
}

/// Whether a live vote counts: one for a deletion does only while its author had seen every live
/// write that asserts that the record is alive.
fn counts(register: &Register, vote: &CastVote, existence: bool) -> bool {
    if !existence || vote.choice != DELETED {
        return true;
    }
    let mut alive = register.writes().iter().filter(|write| write.value == ALIVE);
    alive.all(|write| vote.seen.binary_search(&write.changeset).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_values_are_found_where_few_are() {
        let mut values: Vec<_> = (0..40).map(|number| Some(Value::from(number))).collect();
        values.extend([None, Some(Value::from("1")), Some(Value::from(false))]);
        let distinct = conflict::distinct_refs(values.iter().map(Option::as_ref));
        assert_eq!(distinct.len(), values.len());
        let places = Places::of(&distinct);
        assert!(places.by_bytes.is_some());
        for value in &values {
            let place = distinct.iter().position(|it| *it == value.as_ref());
            assert!(place.is_some());
            assert_eq!(places.of_value(value.as_ref()), place);
        }
        assert_eq!(places.of_value(Some(&Value::from("none of them"))), None);
    }
}
