//! What a set of changesets means, by the text of the specification alone.
//!
//! It is what the tests hold the engine against, and so shares no code with it: it keeps plain
//! facts, in whatever order they come, and works everything out anew each time that it is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use prophet_store::{
    Change, ChangeKind, Changeset, Digest, Existence, Payload, PropertyChange, PropertyName,
    RecordKey, RegisterName, ReplicaId, Rule, Sequence, Timestamp, Value, Vote,
};

/// A rule of the specification, broken on purpose: tests that cannot tell the broken oracle from
/// the right one would not notice an engine that breaks it either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Broken {
    /// Where all votes are level, the earliest write is visible instead of the latest.
    TieBreak,
    /// Half of the votes decides, instead of more than half.
    Majority,
    /// A vote counts on any conflict of its register, instead of on that of the values it names.
    Fingerprint,
    /// The first vote of a replica counts instead of its last: votes supersede no votes.
    LatestVote,
}

impl Broken {
    /// Each of them.
    pub const ALL: [Self; 4] =
        [Self::TieBreak, Self::Majority, Self::Fingerprint, Self::LatestVote];
}

/// All that a set of changesets shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "tests build what they expect")]
pub struct Shown {
    /// Every record that a change or a vote names.
    pub records: BTreeMap<RecordKey, ShownRecord>,
}

/// What is shown of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "tests build what they expect")]
pub struct ShownRecord {
    /// Whether it exists.
    pub existence: Existence,
    /// Its visible properties; a record that does not exist has none.
    pub visible: BTreeMap<PropertyName, Value>,
    /// The registers that have a live write, those of hidden properties among them.
    pub registers: BTreeMap<RegisterName, ShownRegister>,
}

/// What is shown of one register.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "tests build what they expect")]
pub struct ShownRegister {
    /// The live writes: the values by the changesets that wrote them; `None` is *absent*.
    pub writes: BTreeMap<Digest, Option<Value>>,
    /// The value that the register is judged to have, whether or not the record hides it.
    pub visible: Option<Value>,
    /// The rule that chose it.
    pub rule: Rule,
    /// The votes that count on the present conflict; none where the live writes agree.
    pub votes: BTreeMap<ReplicaId, Option<Value>>,
}

/// A set of changesets, and what the specification makes of it. A clone shares what it can.
#[derive(Debug, Clone, Default)]
pub struct Oracle {
    broken: Option<Broken>,
    known: BTreeSet<Digest>,
    /// What is named as a previous changeset or a parent, known or not.
    referenced: BTreeSet<Digest>,
    /// What is known and not referenced.
    heads: BTreeSet<Digest>,
    origins: BTreeMap<ReplicaId, BTreeSet<(Sequence, Digest)>>,
    /// What comes before each changeset in the chain of its author, across continuations.
    before: BTreeMap<Digest, Option<Digest>>,
    records: BTreeMap<RecordKey, Arc<BTreeMap<RegisterName, Facts>>>,
}

impl Oracle {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The empty set, of which something wrong will be made.
    pub fn broken(rule: Broken) -> Self {
        Self { broken: Some(rule), ..Self::default() }
    }

    /// Adds a changeset, at any time and any number of times.
    pub fn add(&mut self, changeset: &Changeset) {
        let (digest, header) = (changeset.digest(), changeset.header());
        if !self.known.insert(digest) {
            return;
        }
        if !self.referenced.contains(&digest) {
            self.heads.insert(digest);
        }
        for reference in header.previous.iter().chain(&header.parents) {
            self.referenced.insert(*reference);
            self.heads.remove(reference);
        }
        self.origins.entry(header.origin).or_default().insert((header.sequence, digest));
        self.before.insert(digest, before(changeset));
        for change in changeset.payload().changes() {
            self.add_change(digest, header.time, change);
        }
        let cast = Cast { voter: header.origin, sequence: header.sequence, digest };
        for vote in changeset.payload().votes() {
            let facts = self.facts_mut(&vote.record, vote.register.clone());
            facts.outvoted.extend(&vote.supersedes);
            facts.votes.insert(cast, vote.clone());
        }
    }

    fn add_change(&mut self, digest: Digest, time: Timestamp, change: &Change) {
        let alive = change.kind != ChangeKind::Delete;
        let existence = self.facts_mut(&change.record, RegisterName::Existence);
        existence.overwritten.extend(&change.supersedes);
        let value = if alive { ALIVE } else { DELETED };
        existence.writes.insert(digest, Write { value, rank: time });
        // What a delete says of properties is what it hides, not what it writes.
        for property in change.properties.iter().filter(|_| alive) {
            let register = RegisterName::Property(property.name.clone());
            let facts = self.facts_mut(&change.record, register);
            facts.overwritten.extend(&property.supersedes);
            let rank = property.rank.unwrap_or(time);
            facts.writes.insert(digest, Write { value: property.new.clone(), rank });
        }
    }

    fn facts_mut(&mut self, record: &RecordKey, register: RegisterName) -> &mut Facts {
        let registers = self.records.entry(record.clone()).or_default();
        Arc::make_mut(registers).entry(register).or_default()
    }

    fn facts(&self, record: &RecordKey, register: &RegisterName) -> &Facts {
        self.records.get(record).and_then(|registers| registers.get(register)).unwrap_or(&NO_FACTS)
    }

    /// How many changesets there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Everything shown.
    pub fn shows(&self) -> Shown {
        let shown = self.records.keys().map(|record| (record.clone(), self.shows_record(record)));
        Shown { records: shown.collect() }
    }

    /// What is shown of one record; one that nothing names never existed.
    pub fn shows_record(&self, record: &RecordKey) -> ShownRecord {
        let facts = self.records.get(record).into_iter().flat_map(|registers| &**registers);
        let registers: BTreeMap<_, _> = facts
            .filter_map(|(name, facts)| Some((name.clone(), facts.show(name, self.broken)?)))
            .collect();
        let existence = match registers.get(&RegisterName::Existence) {
            None => Existence::Never,
            Some(register) if register.visible == ALIVE => Existence::Alive,
            Some(_) => Existence::Deleted,
        };
        let property = |(name, register): (&RegisterName, &ShownRegister)| match name {
            RegisterName::Property(name) => Some((name.clone(), register.visible.clone()?)),
            RegisterName::Existence => None,
        };
        let visible = match existence {
            Existence::Alive => registers.iter().filter_map(property).collect(),
            Existence::Never | Existence::Deleted => BTreeMap::new(),
        };
        ShownRecord { existence, visible, registers }
    }

    /// Whether the specification makes this changeset of what its author did, having seen exactly
    /// what is in here.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn check_authored(&self, changeset: &Changeset) -> Result<(), String> {
        self.check_place(changeset)?;
        for change in changeset.payload().changes() {
            self.check_change(change, changeset.header().time)
                .map_err(|why| format!("the {} of {}: {why}", change.kind, change.record))?;
        }
        let own = self.chain(before(changeset));
        for vote in changeset.payload().votes() {
            self.check_vote(vote, &own).map_err(|why| {
                format!("the vote on the {} of {}: {why}", vote.register, vote.record)
            })?;
        }
        Ok(())
    }

    /// A changeset and all that its author authored before it: under this id, and under those that
    /// it goes on from, by the branches that it goes on from.
    fn chain(&self, mut last: Option<Digest>) -> BTreeSet<Digest> {
        let mut chain = BTreeSet::new();
        while let Some(digest) = last {
            chain.insert(digest);
            last = self.before.get(&digest).copied().flatten();
        }
        chain
    }

    /// Whether the author of `last` has a vote that counts on a register.
    pub fn has_voted(&self, last: Digest, record: &RecordKey, register: &RegisterName) -> bool {
        let own = self.chain(Some(last));
        let facts = self.facts(record, register);
        let candidates = facts.candidates();
        let counting = facts.counting(&candidates, self.broken);
        counting.iter().any(|(cast, _)| own.contains(&cast.digest))
    }

    fn check_place(&self, changeset: &Changeset) -> Result<(), String> {
        let header = changeset.header();
        let own = self.origins.get(&header.origin);
        // More of them than numbers are two chains: then the author is forked, and knows it.
        let count = own.map_or(0, BTreeSet::len) as u64;
        expect(
            format_args!("number of its author's changesets before it"),
            &(header.sequence.get() - 1),
            &count,
        )?;
        let last = own.and_then(BTreeSet::last);
        expect(format_args!("previous"), &header.previous, &last.map(|(_, digest)| *digest))?;
        let other = |head: &&Digest| Some(**head) != header.previous;
        let parents: Vec<_> = self.heads.iter().filter(other).copied().collect();
        expect(format_args!("parents"), &header.parents, &parents)?;
        if let Payload::Continuation { replica, tip } = changeset.payload() {
            expect(format_args!("sequence"), &header.sequence, &Sequence::FIRST)?;
            let mut continued = self.origins.get(replica).into_iter().flatten();
            if !continued.any(|(_, digest)| digest == tip) {
                return Err(format!("{replica}, continued from {tip:?}, has no such changeset"));
            }
        }
        Ok(())
    }

    fn check_change(&self, change: &Change, time: Timestamp) -> Result<(), String> {
        let shown = self.shows_record(&change.record);
        let before = match change.kind {
            ChangeKind::Create => Existence::Never,
            ChangeKind::Recreate | ChangeKind::Undelete => Existence::Deleted,
            ChangeKind::Update | ChangeKind::Delete => Existence::Alive,
        };
        expect(format_args!("existence before"), &before, &shown.existence)?;
        let existence = self.facts(&change.record, &RegisterName::Existence);
        let (writes, votes) = match change.kind {
            ChangeKind::Create | ChangeKind::Recreate | ChangeKind::Undelete => (None, true),
            ChangeKind::Delete => (Some(ALIVE), true),
            ChangeKind::Update => (Some(ALIVE), false),
        };
        let writes = existence
            .live()
            .filter(|(_, write)| writes.as_ref().is_none_or(|value| write.value == *value))
            .map(|(digest, _)| *digest);
        let votes = existence.standing(self.broken, same_conflict).into_iter().filter(|_| votes);
        let supersedes: BTreeSet<_> = writes.chain(votes.map(|(cast, _)| cast.digest)).collect();
        expect_all(format_args!("supersedes"), &change.supersedes, supersedes)?;
        match change.kind {
            ChangeKind::Delete => {
                let hidden = |property: &PropertyChange| {
                    Some((property.name.clone(), property.old.clone()?))
                };
                let hidden = change.properties.iter().filter_map(hidden).collect();
                return expect(format_args!("what it hides"), &hidden, &shown.visible);
            }
            ChangeKind::Recreate => {
                let mut known = shown.registers.keys().filter_map(|name| match name {
                    RegisterName::Property(name) => Some(name),
                    RegisterName::Existence => None,
                });
                let written: BTreeSet<_> =
                    change.properties.iter().map(|property| &property.name).collect();
                if let Some(left) = known.find(|name| !written.contains(name)) {
                    return Err(format!("it does not write to {left:?}, which is known"));
                }
            }
            ChangeKind::Create | ChangeKind::Update | ChangeKind::Undelete => {}
        }
        change.properties.iter().try_for_each(|property| {
            self.check_property(change, property, time, &shown)
                .map_err(|why| format!("property {:?}: {why}", property.name))
        })
    }

    fn check_property(
        &self,
        change: &Change,
        property: &PropertyChange,
        time: Timestamp,
        shown: &ShownRecord,
    ) -> Result<(), String> {
        let old = shown.visible.get(&property.name);
        expect(format_args!("old"), &property.old.as_ref(), &old)?;
        let register = RegisterName::Property(property.name.clone());
        let facts = self.facts(&change.record, &register);
        // To write again what a settled property has is no change, but creating a record again
        // writes to whatever is known.
        let same = match change.kind {
            ChangeKind::Update => facts.candidates().len() < 2 && property.new == property.old,
            _ => facts.writes.is_empty() && property.new.is_none(),
        };
        if same {
            return Err("it changes nothing".to_owned());
        }
        let others = facts.standing(self.broken, same_conflict).into_iter();
        let others = others.filter(|(_, vote)| vote.choice != property.new);
        let writes = facts.live().map(|(digest, _)| *digest);
        let supersedes = writes.chain(others.map(|(cast, _)| cast.digest)).collect();
        expect_all(format_args!("supersedes"), &property.supersedes, supersedes)?;
        let rank = facts.live().map(|(_, write)| write.rank).max().filter(|rank| *rank > time);
        expect(format_args!("rank"), &property.rank, &rank)
    }

    fn check_vote(&self, vote: &Vote, own: &BTreeSet<Digest>) -> Result<(), String> {
        let facts = self.facts(&vote.record, &vote.register);
        let candidates = facts.candidates();
        if candidates.len() < 2 {
            return Err(format!("there is no conflict between {candidates:?}"));
        }
        if !is_on(vote, &candidates) {
            return Err(format!("it is on {:?} instead of {candidates:?}", vote.candidates));
        }
        if !candidates.contains(&&vote.choice) {
            return Err(format!("{:?}, chosen, is not among {candidates:?}", vote.choice));
        }
        let standing = facts.standing(self.broken, same_conflict).into_iter();
        let own = standing.map(|(cast, _)| cast.digest).filter(|digest| own.contains(digest));
        let own = own.collect();
        expect_all(format_args!("supersedes"), &vote.supersedes, own)?;
        let seen = facts.live_alive().filter(|_| is_for_deletion(vote)).copied().collect();
        expect_all(format_args!("seen"), &vote.seen, seen)
    }
}

/// What comes before a changeset in what its author authored.
fn before(changeset: &Changeset) -> Option<Digest> {
    match changeset.payload() {
        Payload::Continuation { tip, .. } => Some(*tip),
        _ => changeset.header().previous,
    }
}

const ALIVE: Option<Value> = Some(Value::Boolean(true));
const DELETED: Option<Value> = Some(Value::Boolean(false));

/// Where a vote was cast. Of one voter, the latest comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cast {
    voter: ReplicaId,
    sequence: Sequence,
    digest: Digest,
}

#[derive(Debug, Clone)]
struct Write {
    value: Option<Value>,
    rank: Timestamp,
}

/// All that was ever said about one register.
#[derive(Debug, Clone, Default)]
struct Facts {
    writes: BTreeMap<Digest, Write>,
    votes: BTreeMap<Cast, Vote>,
    /// What writes supersede: writes and votes.
    overwritten: BTreeSet<Digest>,
    /// What votes supersede: votes alone.
    outvoted: BTreeSet<Digest>,
}

static NO_FACTS: Facts = Facts {
    writes: BTreeMap::new(),
    votes: BTreeMap::new(),
    overwritten: BTreeSet::new(),
    outvoted: BTreeSet::new(),
};

/// What speaks for one of the values of a conflict.
struct Support<'a> {
    value: &'a Option<Value>,
    votes: usize,
    related: usize,
    latest: Option<(Timestamp, Digest)>,
}

impl Facts {
    fn live(&self) -> impl Iterator<Item = (&Digest, &Write)> {
        self.writes.iter().filter(|(digest, _)| !self.overwritten.contains(digest))
    }

    fn live_alive(&self) -> impl Iterator<Item = &Digest> {
        self.live().filter(|(_, write)| write.value == ALIVE).map(|(digest, _)| digest)
    }

    /// The distinct values of the live writes.
    fn candidates(&self) -> Vec<&Option<Value>> {
        let mut distinct = Vec::new();
        for (_, write) in self.live() {
            if !distinct.contains(&&write.value) {
                distinct.push(&write.value);
            }
        }
        distinct
    }

    /// Of the votes of each replica that are alike the latest, unless it is superseded: then none.
    fn standing(
        &self,
        broken: Option<Broken>,
        alike: impl Fn(&Vote, &Vote) -> bool,
    ) -> Vec<(&Cast, &Vote)> {
        let mut votes: Vec<_> = self.votes.iter().collect();
        if broken == Some(Broken::LatestVote) {
            votes.retain(|(cast, _)| !self.overwritten.contains(&cast.digest));
        } else {
            votes.reverse();
        }
        let mut standing: Vec<(&Cast, &Vote)> = Vec::new();
        for (cast, vote) in votes {
            let first = |(other, earlier): &(&Cast, &Vote)| {
                other.voter == cast.voter && alike(earlier, vote)
            };
            if !standing.iter().any(first) {
                standing.push((cast, vote));
            }
        }
        if broken != Some(Broken::LatestVote) {
            standing.retain(|(Cast { digest, .. }, _)| {
                !self.overwritten.contains(digest) && !self.outvoted.contains(digest)
            });
        }
        standing
    }

    /// The votes that count on the conflict between `candidates`.
    fn counting(
        &self,
        candidates: &[&Option<Value>],
        broken: Option<Broken>,
    ) -> Vec<(&Cast, &Vote)> {
        let standing = match broken {
            Some(Broken::Fingerprint) => self.standing(broken, |_, _| true),
            _ => {
                let mut standing = self.standing(broken, same_conflict);
                standing.retain(|(_, vote)| is_on(vote, candidates));
                standing
            }
        };
        let counts = |vote: &Vote| {
            !is_for_deletion(vote) || self.live_alive().all(|write| vote.seen.contains(write))
        };
        standing.into_iter().filter(|(_, vote)| counts(vote)).collect()
    }

    fn show(&self, name: &RegisterName, broken: Option<Broken>) -> Option<ShownRegister> {
        let writes = self.live().map(|(digest, write)| (*digest, write.value.clone())).collect();
        let candidates = self.candidates();
        let (visible, rule, votes) = match candidates[..] {
            [] => return None,
            [value] => (value.clone(), Rule::Agreed, BTreeMap::new()),
            _ => {
                let counting = self.counting(&candidates, broken).into_iter();
                let votes =
                    counting.map(|(cast, vote)| (cast.voter, vote.choice.clone())).collect();
                let (visible, rule) = self.judge(name, &candidates, &votes, broken);
                (visible, rule, votes)
            }
        };
        Some(ShownRegister { writes, visible, rule, votes })
    }

    fn judge(
        &self,
        name: &RegisterName,
        candidates: &[&Option<Value>],
        votes: &BTreeMap<ReplicaId, Option<Value>>,
        broken: Option<Broken>,
    ) -> (Option<Value>, Rule) {
        let mut support = self.support(candidates, votes, broken);
        let decided = if broken == Some(Broken::Majority) {
            let most = support.iter().max_by_key(|one| (one.votes, format!("{:?}", one.value)));
            most.filter(|one| one.votes > 0 && one.votes * 2 >= votes.len())
        } else {
            support.iter().find(|one| one.votes * 2 > votes.len())
        };
        if let Some(one) = decided {
            return (one.value.clone(), Rule::Majority);
        }
        if *name == RegisterName::Existence {
            return (ALIVE, Rule::Alive);
        }
        support.sort_by(|one, other| {
            let latest = other.latest.cmp(&one.latest);
            let latest = if broken == Some(Broken::TieBreak) { latest.reverse() } else { latest };
            (other.votes, other.related).cmp(&(one.votes, one.related)).then(latest)
        });
        // A conflict has at least two values.
        let (best, next) = (&support[0], &support[1]);
        let rule = if best.votes > next.votes {
            Rule::MostVotes
        } else if best.related > next.related {
            Rule::MostRelatedVotes
        } else {
            Rule::LatestWrite
        };
        (best.value.clone(), rule)
    }

    fn support<'a>(
        &'a self,
        candidates: &[&'a Option<Value>],
        votes: &BTreeMap<ReplicaId, Option<Value>>,
        broken: Option<Broken>,
    ) -> Vec<Support<'a>> {
        let mut related = self.standing(broken, same_conflict);
        related.retain(|(_, vote)| {
            vote.candidates.len() < candidates.len()
                && vote.candidates.iter().all(|value| candidates.contains(&value))
        });
        let support = |value: &&'a Option<Value>| Support {
            value,
            votes: votes.values().filter(|choice| choice == value).count(),
            related: related.iter().filter(|(_, vote)| vote.choice == **value).count(),
            latest: self
                .live()
                .filter(|(_, write)| write.value == **value)
                .map(|(digest, write)| (write.rank, *digest))
                .max(),
        };
        candidates.iter().map(support).collect()
    }
}

fn same_conflict(one: &Vote, other: &Vote) -> bool {
    one.candidates.len() == other.candidates.len()
        && one.candidates.iter().all(|value| other.candidates.contains(value))
}

/// Whether a vote was cast on the conflict between exactly these values.
fn is_on(vote: &Vote, candidates: &[&Option<Value>]) -> bool {
    vote.candidates.len() == candidates.len()
        && vote.candidates.iter().all(|value| candidates.contains(&value))
}

fn is_for_deletion(vote: &Vote) -> bool {
    vote.register == RegisterName::Existence && vote.choice == DELETED
}

fn expect<T: PartialEq + fmt::Debug>(
    what: fmt::Arguments<'_>,
    is: &T,
    should: &T,
) -> Result<(), String> {
    if is == should { Ok(()) } else { Err(format!("{what}: {is:?} instead of {should:?}")) }
}

/// Whether exactly these are named, in rising order.
fn expect_all(
    what: fmt::Arguments<'_>,
    named: &[Digest],
    should: BTreeSet<Digest>,
) -> Result<(), String> {
    expect(what, &named.to_vec(), &should.into_iter().collect())
}

#[cfg(test)]
mod tests;
