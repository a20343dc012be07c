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
mod tests {
    use super::*;
    use prophet_store::{Authored, Creator, DatabaseId, RecordId, RecordType};

    /// A replica that says what a test makes it say, and knows nothing.
    struct Author {
        id: ReplicaId,
        last: Option<Changeset>,
    }

    impl Author {
        fn new(number: u8) -> Self {
            Self { id: ReplicaId::from_bytes([number; 16]), last: None }
        }

        fn says(&mut self, after: &[&Changeset], at: u64, payload: Payload) -> Changeset {
            let sequence = self.last.as_ref().map(|last| last.header().sequence.next());
            let authored = Authored {
                database: DatabaseId::from_bytes([7; 16]),
                origin: self.id,
                sequence: sequence.unwrap_or(Sequence::FIRST),
                previous: self.last.as_ref().map(Changeset::digest),
                parents: digests(after),
                creator: Creator::empty(),
                time: Timestamp::new(at, 0),
                payload,
            };
            let changeset = Changeset::author(authored).expect("a valid changeset");
            self.last = Some(changeset.clone());
            changeset
        }

        /// An update of one property that supersedes what `over` wrote or voted.
        fn writes(&mut self, at: u64, new: &str, over: &[&Changeset]) -> Changeset {
            let set = set(Some("old"), Some(new), over);
            self.says(&[], at, edit(ChangeKind::Update, &[], vec![set]))
        }

        fn votes(&mut self, among: &[&str], choice: &str, over: &[&Changeset]) -> Changeset {
            let among: Vec<_> = among.iter().map(|text| Some(*text)).collect();
            self.says(&[], 1, Payload::Resolution(vec![vote(&among, Some(choice), over)]))
        }

        fn votes_for_deletion(&mut self, seen: &[&Changeset]) -> Changeset {
            let vote =
                Vote::new(record(), RegisterName::Existence, vec![ALIVE, DELETED], DELETED, vec![])
                    .and_then(|vote| vote.with_seen(digests(seen)));
            self.says(&[], 1, Payload::Resolution(vec![vote.expect("a valid vote")]))
        }
    }

    fn digests(changesets: &[&Changeset]) -> Vec<Digest> {
        changesets.iter().map(|changeset| changeset.digest()).collect()
    }

    fn authors() -> [Author; 4] {
        [1, 2, 3, 4].map(Author::new)
    }

    fn record() -> RecordKey {
        RecordKey::new(RecordType::new("bug").expect("a name"), RecordId::from_bytes([9; 16]))
    }

    fn title() -> PropertyName {
        PropertyName::new("title").expect("a name")
    }

    fn value(text: Option<&str>) -> Option<Value> {
        text.map(Value::from)
    }

    fn set(old: Option<&str>, new: Option<&str>, over: &[&Changeset]) -> PropertyChange {
        let (old, new) = (value(old), value(new));
        PropertyChange { name: title(), old, new, rank: None, supersedes: digests(over) }
    }

    fn edit(kind: ChangeKind, over: &[&Changeset], properties: Vec<PropertyChange>) -> Payload {
        Payload::Edit(vec![Change {
            record: record(),
            kind,
            supersedes: digests(over),
            properties,
        }])
    }

    fn vote(among: &[Option<&str>], choice: Option<&str>, over: &[&Changeset]) -> Vote {
        let among = among.iter().map(|text| value(*text)).collect();
        let register = RegisterName::Property(title());
        Vote::new(record(), register, among, value(choice), digests(over)).expect("a valid vote")
    }

    fn oracle_of(mut oracle: Oracle, changesets: &[&Changeset]) -> Oracle {
        changesets.iter().for_each(|changeset| oracle.add(changeset));
        oracle
    }

    fn shown(oracle: Oracle, changesets: &[&Changeset]) -> ShownRecord {
        oracle_of(oracle, changesets).shows_record(&record())
    }

    fn title_in(record: &ShownRecord) -> (&str, Rule) {
        let register = &record.registers[&RegisterName::Property(title())];
        (register.visible.as_ref().and_then(Value::as_text).unwrap_or("absent"), register.rule)
    }

    /// The title by the specification, and by it with a rule broken.
    fn titles(broken: Broken, changesets: &[&Changeset]) -> [(String, Rule); 2] {
        [Oracle::new(), Oracle::broken(broken)].map(|oracle| {
            let record = shown(oracle, changesets);
            let (text, rule) = title_in(&record);
            (text.to_owned(), rule)
        })
    }

    fn existence_in(record: &ShownRecord) -> (Existence, Rule) {
        (record.existence, record.registers[&RegisterName::Existence].rule)
    }

    #[test]
    fn what_nothing_names_never_existed() {
        let record = shown(Oracle::new(), &[]);
        assert_eq!(record.existence, Existence::Never);
        assert!(record.registers.is_empty() && Oracle::new().shows().records.is_empty());
    }

    #[test]
    fn neither_order_nor_repetition_matters() {
        let [mut one, mut two, mut three, _] = authors();
        let a = one.writes(1, "a", &[]);
        let b = two.writes(2, "b", &[&a]);
        let c = three.writes(3, "c", &[&a]);
        let d = one.votes(&["b", "c"], "b", &[]);
        let forward = oracle_of(Oracle::new(), &[&a, &b, &c, &d]);
        let backward = oracle_of(Oracle::new(), &[&d, &c, &c, &b, &d, &a]);
        assert_eq!(forward.shows(), backward.shows());
        assert_eq!((forward.len(), backward.len()), (4, 4));
        assert_eq!(forward.heads, backward.heads);
    }

    #[test]
    fn what_is_superseded_is_dead_before_it_arrives() {
        let [mut one, mut two, ..] = authors();
        let a = one.writes(9, "a", &[]);
        let b = two.writes(1, "b", &[&a]);
        assert_eq!(title_in(&shown(Oracle::new(), &[&b])), ("b", Rule::Agreed));
        assert_eq!(title_in(&shown(Oracle::new(), &[&b, &a])), ("b", Rule::Agreed));
    }

    #[test]
    fn equal_values_are_no_conflict() {
        let [mut one, mut two, ..] = authors();
        let (a, b) = (one.writes(1, "same", &[]), two.writes(2, "same", &[]));
        let record = shown(Oracle::new(), &[&a, &b]);
        assert_eq!(title_in(&record), ("same", Rule::Agreed));
        assert_eq!(record.registers[&RegisterName::Property(title())].writes.len(), 2);
    }

    #[test]
    fn without_votes_the_latest_write_is_visible() {
        let [mut one, mut two, ..] = authors();
        let (a, b) = (one.writes(1, "a", &[]), two.writes(2, "b", &[]));
        let expected = [("b".into(), Rule::LatestWrite), ("a".into(), Rule::LatestWrite)];
        assert_eq!(titles(Broken::TieBreak, &[&a, &b]), expected);
    }

    #[test]
    fn a_write_ranks_by_its_rank_where_that_is_given() {
        let [mut one, mut two, ..] = authors();
        let a = one.writes(2, "a", &[]);
        let ranked =
            PropertyChange { rank: Some(Timestamp::new(3, 0)), ..set(Some("old"), Some("b"), &[]) };
        let b = two.says(&[], 1, edit(ChangeKind::Update, &[], vec![ranked]));
        assert_eq!(title_in(&shown(Oracle::new(), &[&a, &b])), ("b", Rule::LatestWrite));
    }

    #[test]
    fn more_than_half_of_the_votes_decides() {
        let [mut one, mut two, mut three, mut four] = authors();
        let (a, b) = (one.writes(1, "a", &[]), two.writes(2, "b", &[]));
        let v = one.votes(&["a", "b"], "a", &[]);
        let decided = shown(Oracle::new(), &[&a, &b, &v]);
        assert_eq!(title_in(&decided), ("a", Rule::Majority));
        let register = &decided.registers[&RegisterName::Property(title())];
        assert_eq!(register.votes, BTreeMap::from([(one.id, value(Some("a")))]));

        let (w, c) = (two.votes(&["a", "b"], "b", &[]), three.writes(0, "c", &[]));
        let both = &[&a, &b, &v, &w];
        let expected = [("b".into(), Rule::LatestWrite), ("b".into(), Rule::Majority)];
        assert_eq!(titles(Broken::Majority, both), expected);

        // Two of four are most, but not more than half.
        let set = ["a", "b", "c"];
        let votes = [(&mut one, "a"), (&mut two, "a"), (&mut three, "b"), (&mut four, "c")];
        let votes = votes.map(|(author, choice)| author.votes(&set, choice, &[]));
        let [p, q, r, s] = &votes;
        let expected = [("a".into(), Rule::MostVotes), ("a".into(), Rule::Majority)];
        assert_eq!(titles(Broken::Majority, &[&a, &b, &c, p, q, r, s]), expected);
    }

    #[test]
    fn a_vote_is_for_a_set_of_values() {
        let [mut one, mut two, mut three, _] = authors();
        let (a, b) = (one.writes(1, "a", &[]), two.writes(2, "b", &[]));
        let v = one.votes(&["a", "b"], "a", &[]);
        let c = three.writes(3, "c", &[]);
        // On the larger conflict it only says where it leans.
        let expected = [("a".into(), Rule::MostRelatedVotes), ("a".into(), Rule::Majority)];
        assert_eq!(titles(Broken::Fingerprint, &[&a, &b, &c, &v]), expected);
        // The smaller one is the same again when somebody else writes the same values.
        let d = three.writes(4, "a", &[&a, &c]);
        let again = shown(Oracle::new(), &[&a, &b, &c, &d, &v]);
        assert_eq!(title_in(&again), ("a", Rule::Majority));
    }

    #[test]
    fn the_last_vote_of_a_replica_counts() {
        let [mut one, mut two, ..] = authors();
        let (a, b) = (one.writes(1, "a", &[]), two.writes(2, "b", &[]));
        let v = one.votes(&["a", "b"], "b", &[]);
        let w = one.votes(&["a", "b"], "a", &[&v]);
        let expected = [("a".into(), Rule::Majority), ("b".into(), Rule::Majority)];
        assert_eq!(titles(Broken::LatestVote, &[&a, &b, &v, &w]), expected);
    }

    #[test]
    fn no_earlier_vote_comes_back() {
        let [mut one, mut two, ..] = authors();
        let (a, b) = (one.writes(1, "a", &[]), two.writes(2, "b", &[]));
        let v = one.votes(&["a", "b"], "a", &[]);
        let w = one.votes(&["a", "b"], "b", &[]);
        // Supersedes the last vote alone: the one before it is not the last word all the same.
        let c = two.writes(1, "b", &[&b, &w]);
        assert_eq!(title_in(&shown(Oracle::new(), &[&a, &b, &v, &w, &c])).1, Rule::LatestWrite);
    }

    #[test]
    fn a_vote_supersedes_votes_and_no_writes() {
        let [mut one, mut two, mut three, _] = authors();
        let (a, b) = (one.writes(1, "a", &[]), two.writes(2, "b", &[]));
        let v = one.votes(&["a", "b"], "a", &[]);
        let c = three.writes(0, "c", &[]);
        let w = one.votes(&["a", "b", "c"], "b", &[&v, &a]);
        let record = shown(Oracle::new(), &[&a, &b, &c, &v, &w]);
        let register = &record.registers[&RegisterName::Property(title())];
        assert_eq!(register.writes.len(), 3, "a vote that names a write leaves it alone");
        // Without the third value the earlier vote is on the conflict again, but was taken back.
        let d = three.writes(0, "b", &[&c]);
        let record = shown(Oracle::new(), &[&a, &b, &c, &d, &v, &w]);
        assert_eq!(title_in(&record), ("b", Rule::LatestWrite));
    }

    #[test]
    fn where_a_replica_is_forked_it_has_one_vote() {
        let [mut one, mut two, ..] = authors();
        let (a, b) = (one.writes(1, "a", &[]), two.writes(2, "b", &[]));
        let mut copy = Author { id: one.id, last: one.last.clone() };
        let v = one.votes(&["a", "b"], "a", &[]);
        let w = copy.votes(&["a", "b"], "b", &[]);
        let later = if v.digest() > w.digest() { "a" } else { "b" };
        let record = shown(Oracle::new(), &[&a, &b, &v, &w]);
        assert_eq!(title_in(&record), (later, Rule::Majority));
    }

    #[test]
    fn an_update_met_by_a_delete_is_alive_until_decided() {
        let [mut one, mut two, ..] = authors();
        let create = edit(ChangeKind::Create, &[], vec![set(None, Some("old"), &[])]);
        let a = one.says(&[], 1, create);
        let delete = edit(ChangeKind::Delete, &[&a], vec![set(Some("old"), None, &[])]);
        let b = two.says(&[&a], 2, delete);
        let deleted = shown(Oracle::new(), &[&a, &b]);
        assert_eq!(existence_in(&deleted), (Existence::Deleted, Rule::Agreed));
        assert!(deleted.visible.is_empty());
        assert_eq!(title_in(&deleted), ("old", Rule::Agreed), "hidden, not gone");

        let update = edit(ChangeKind::Update, &[&a], vec![set(Some("old"), Some("new"), &[&a])]);
        let c = one.says(&[], 2, update);
        let open = shown(Oracle::new(), &[&a, &b, &c]);
        assert_eq!(existence_in(&open), (Existence::Alive, Rule::Alive));
        assert_eq!(open.visible, BTreeMap::from([(title(), Value::from("new"))]));
    }

    #[test]
    fn a_vote_for_deletion_counts_while_its_author_saw_every_write() {
        let [mut one, mut two, mut three, _] = authors();
        let a = one.says(&[], 1, edit(ChangeKind::Create, &[], vec![]));
        let b = two.says(&[&a], 2, edit(ChangeKind::Delete, &[&a], vec![]));
        let update =
            |over: &[&Changeset]| edit(ChangeKind::Update, over, vec![set(None, Some("x"), &[])]);
        let c = one.says(&[], 2, update(&[&a]));
        let v = two.votes_for_deletion(&[&c]);
        let decided = shown(Oracle::new(), &[&a, &b, &c, &v]);
        assert_eq!(existence_in(&decided), (Existence::Deleted, Rule::Majority));
        let d = three.says(&[&a], 3, update(&[&a]));
        let unseen = shown(Oracle::new(), &[&a, &b, &c, &v, &d]);
        assert_eq!(existence_in(&unseen), (Existence::Alive, Rule::Alive));
        assert!(unseen.registers[&RegisterName::Existence].votes.is_empty());
    }

    /// Whether an author who saw `seen` may say `says`.
    fn check(seen: &[&Changeset], says: &Changeset) -> Result<(), String> {
        oracle_of(Oracle::new(), seen).check_authored(says)
    }

    /// What `author` would say after `after`, without its saying it.
    fn says(author: &Author, after: &[&Changeset], at: u64, payload: Payload) -> Changeset {
        Author { id: author.id, last: author.last.clone() }.says(after, at, payload)
    }

    #[track_caller]
    fn refused(seen: &[&Changeset], says: &Changeset, why: &str) {
        let error = check(seen, says).expect_err("it is wrong");
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn a_changeset_follows_what_its_author_saw() {
        let [mut one, mut two, ..] = authors();
        let create = |over: &[&Changeset]| edit(ChangeKind::Create, over, vec![]);
        let a = one.says(&[], 1, create(&[]));
        assert_eq!(check(&[], &a), Ok(()));
        refused(&[&a], &a, "changesets before");

        let delete = edit(ChangeKind::Delete, &[&a], vec![]);
        assert_eq!(check(&[&a], &says(&two, &[&a], 2, delete.clone())), Ok(()));
        refused(&[&a], &says(&two, &[], 2, delete.clone()), "parents");
        let b = two.says(&[&a], 2, delete.clone());
        refused(&[&a, &b], &says(&one, &[], 3, delete.clone()), "parents");
        refused(&[&a, &b], &says(&one, &[&b], 3, delete), "existence before");
        refused(&[&a, &b], &says(&one, &[&b], 3, create(&[&b])), "existence before");
        let undelete = edit(ChangeKind::Undelete, &[&b], vec![]);
        assert_eq!(check(&[&a, &b], &says(&one, &[&b], 3, undelete.clone())), Ok(()));
        // Its own last changeset is no parent, though others have gone on from it.
        refused(&[&a, &b], &says(&one, &[&a, &b], 3, undelete), "parents");
    }

    #[test]
    fn a_forked_author_goes_on_under_another_name() {
        let [mut one, two, ..] = authors();
        let a = one.says(&[], 1, edit(ChangeKind::Create, &[], vec![]));
        let mut copy = Author { id: one.id, last: one.last.clone() };
        let update = |text| edit(ChangeKind::Update, &[&a], vec![set(None, Some(text), &[])]);
        let (b, c) = (one.says(&[], 2, update("b")), copy.says(&[], 2, update("c")));
        let seen = &[&a, &b, &c];
        let delete = edit(ChangeKind::Delete, &[&b, &c], vec![set(Some("b"), None, &[])]);
        refused(seen, &says(&one, &[&c], 3, delete), "changesets before");
        let on = |tip: &Changeset| Payload::Continuation { replica: one.id, tip: tip.digest() };
        assert_eq!(check(seen, &says(&two, &[&b, &c], 3, on(&b))), Ok(()));
        refused(&[&a, &b], &says(&two, &[&b], 3, on(&c)), "no such changeset");
    }

    #[test]
    fn an_update_names_what_it_saw_and_supersedes_it() {
        let [mut one, mut two, mut three, four] = authors();
        let create = edit(ChangeKind::Create, &[], vec![set(None, Some("old"), &[])]);
        let a = one.says(&[], 5, create);
        let update = |over: &[&Changeset], properties| edit(ChangeKind::Update, over, properties);
        let early = PropertyChange {
            rank: Some(Timestamp::new(5, 0)),
            ..set(Some("old"), Some("b"), &[&a])
        };
        let b = two.says(&[&a], 1, update(&[&a], vec![early]));
        assert_eq!(check(&[&a], &b), Ok(()));
        let unranked = vec![set(Some("old"), Some("b"), &[&a])];
        refused(&[&a], &says(&three, &[&a], 1, update(&[&a], unranked)), "rank");
        let c = three.says(&[&a], 6, update(&[&a], vec![set(Some("old"), Some("c"), &[&a])]));
        let v = {
            let vote = vote(&[Some("b"), Some("c")], Some("b"), &[]);
            two.says(&[&c], 7, Payload::Resolution(vec![vote]))
        };
        assert_eq!(check(&[&a, &b, &c], &v), Ok(()));

        let seen = &[&a, &b, &c, &v];
        let wrong = |properties, why| {
            let says = says(&four, &[&v], 8, update(&[&b, &c], properties));
            match why {
                None => assert_eq!(check(seen, &says), Ok(())),
                Some(why) => refused(seen, &says, why),
            }
        };
        // Writing the value voted for leaves the vote alone, and settles the conflict.
        wrong(vec![set(Some("b"), Some("b"), &[&b, &c])], None);
        wrong(vec![set(Some("b"), Some("b"), &[&b, &c, &v])], Some("supersedes"));
        wrong(vec![set(Some("b"), Some("c"), &[&b, &c, &v])], None);
        wrong(vec![set(Some("b"), None, &[&b, &c])], Some("supersedes"));
        wrong(vec![set(Some("c"), None, &[&b, &c, &v])], Some("old"));
        let same = update(&[&a], vec![set(Some("old"), Some("old"), &[&a])]);
        refused(&[&a], &says(&four, &[&a], 8, same), "changes nothing");
        let one_of_two = update(&[&c], vec![set(Some("b"), None, &[&b, &c, &v])]);
        refused(seen, &says(&four, &[&v], 8, one_of_two), "supersedes");
    }

    #[test]
    fn deleting_hides_and_creating_again_writes_to_all_that_is_known() {
        let [mut one, two, ..] = authors();
        let create = edit(ChangeKind::Create, &[], vec![set(None, Some("old"), &[])]);
        let a = one.says(&[], 1, create);
        let delete = |properties| edit(ChangeKind::Delete, &[&a], properties);
        refused(&[&a], &says(&two, &[&a], 2, delete(vec![])), "what it hides");
        let hides = vec![set(Some("old"), None, &[])];
        let b = one.says(&[], 2, delete(hides));
        assert_eq!(check(&[&a], &b), Ok(()));

        let again = |properties| edit(ChangeKind::Recreate, &[&b], properties);
        let seen = &[&a, &b];
        refused(seen, &says(&two, &[&b], 3, again(vec![])), "does not write");
        let absent = again(vec![set(None, None, &[&a])]);
        assert_eq!(check(seen, &says(&two, &[&b], 3, absent)), Ok(()));
        let unknown = PropertyChange {
            name: PropertyName::new("unknown").expect("a name"),
            ..set(None, None, &[])
        };
        let unknown = again(vec![set(None, Some("new"), &[&a]), unknown]);
        refused(seen, &says(&two, &[&b], 3, unknown), "changes nothing");
    }

    #[test]
    fn a_vote_names_the_conflict_and_takes_back_those_before_it() {
        let [mut one, mut two, mut three, mut four] = authors();
        let create = edit(ChangeKind::Create, &[], vec![set(None, Some("old"), &[])]);
        let a = one.says(&[], 1, create);
        let write =
            |text| edit(ChangeKind::Update, &[&a], vec![set(Some("old"), Some(text), &[&a])]);
        let b = one.says(&[], 2, write("b"));
        let c = two.says(&[&a], 2, write("c"));
        let on = |vote| Payload::Resolution(vec![vote]);
        let smaller = [Some("b"), Some("c")];
        let v = one.says(&[&c], 3, on(vote(&smaller, Some("b"), &[])));
        let d = three.says(&[&a], 2, write("d"));
        let seen = &[&a, &b, &c, &v, &d];
        let all = [Some("b"), Some("c"), Some("d")];
        assert_eq!(check(seen, &says(&one, &[&d], 4, on(vote(&all, Some("d"), &[&v])))), Ok(()));
        refused(seen, &says(&one, &[&d], 4, on(vote(&all, Some("d"), &[]))), "supersedes");
        refused(seen, &says(&one, &[&d], 4, on(vote(&smaller, Some("c"), &[&v]))), "it is on");
        // Somebody else's vote is not taken back, unless one goes on from them.
        assert_eq!(check(seen, &says(&two, &[&v, &d], 4, on(vote(&all, Some("d"), &[])))), Ok(()));
        let takes_over =
            |by, after: &[&Changeset]| says(by, after, 4, on(vote(&all, Some("d"), &[&v])));
        refused(seen, &takes_over(&two, &[&v, &d]), "supersedes");
        refused(
            &[&a, &b],
            &says(&four, &[&b], 4, on(vote(&smaller, Some("c"), &[]))),
            "no conflict",
        );
        let continuation = Payload::Continuation { replica: one.id, tip: v.digest() };
        let e = four.says(&[&v, &d], 4, continuation);
        assert_eq!(check(&[&a, &b, &c, &v, &d, &e], &takes_over(&four, &[])), Ok(()));
    }

    #[test]
    fn a_vote_for_deletion_says_what_it_saw() {
        let [mut one, mut two, ..] = authors();
        let a = one.says(&[], 1, edit(ChangeKind::Create, &[], vec![]));
        let b = two.says(&[&a], 2, edit(ChangeKind::Delete, &[&a], vec![]));
        let update = edit(ChangeKind::Update, &[&a], vec![set(None, Some("c"), &[])]);
        let c = one.says(&[], 2, update);
        let vote = |seen: &[&Changeset]| {
            let register = RegisterName::Existence;
            let vote = Vote::new(record(), register, vec![ALIVE, DELETED], DELETED, vec![])
                .and_then(|vote| vote.with_seen(digests(seen)));
            says(&two, &[&c], 3, Payload::Resolution(vec![vote.expect("a valid vote")]))
        };
        assert_eq!(check(&[&a, &b, &c], &vote(&[&c])), Ok(()));
        refused(&[&a, &b, &c], &vote(&[]), "seen");
        refused(&[&a, &b, &c], &vote(&[&a, &c]), "seen");
    }
}
