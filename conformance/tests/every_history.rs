//! Every history of three replicas and one property, with up to two writes and one vote each.
//!
//! What a replica has seen is a set of changesets that holds, with each, everything that its author
//! had seen. Such sets are all there is to histories: pulls in whatever order, by whatever route,
//! interrupted or not, lead from one to another. The search goes through all of them, by size, and
//! integrates every changeset into every set that it can come to: whichever came last, the state is
//! the same byte for byte, and it shows what the specification makes of the set.
//!
//! `exhaustive.rs` does the same through whole replicas, for fewer acts.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use conformance::{Broken, Oracle};
use prophet_store::{
    Authored, Change, ChangeKind, Changeset, Creator, DatabaseId, Digest, LogEntry, Payload,
    Position, PropertyChange, PropertyName, RecordId, RecordKey, RecordState, RecordType, Register,
    RegisterName, ReplicaId, Rule, Sequence, Timestamp, Value, Vote, codec,
};

const AUTHORS: usize = 3;
/// The most changesets of one author: a set has at most so many of each.
const MOST: usize = 3;
/// What each replica writes, first and second: conflicts of two and of three values, agreement
/// and disagreement with what others wrote.
const WRITES: [[&str; 2]; AUTHORS] = [["a", "b"], ["b", "b"], ["c", "a"]];

#[derive(Clone, Copy, PartialEq, Eq)]
struct Bounds {
    writes: usize,
    votes: usize,
}

#[test]
fn whatever_the_order_the_state_is_the_same_and_as_specified() {
    // All of it takes minutes when it is not optimised: CI does that, with `2,1`.
    let wanted = std::env::var("PROPHET_SEARCH").unwrap_or_else(|_| "2,0 1,1".to_owned());
    for bounds in wanted.split_whitespace() {
        let (writes, votes) = bounds.split_once(',').expect("writes,votes");
        let bounds = Bounds { writes: writes.parse().unwrap(), votes: votes.parse().unwrap() };
        let report = Search::new(bounds, None).run().unwrap_or_else(|wrong| panic!("{wrong}"));
        println!(
            "{} writes and {} votes each: {} sets of changesets, {} ways to come to them, none \
             differs; of {} judged {} have a conflict, {} of these decided by votes",
            bounds.writes,
            bounds.votes,
            report.sets,
            report.ways,
            report.sets + report.twice,
            report.conflicts,
            report.decided
        );
        assert!(report.ways > report.sets && report.conflicts > report.sets / 4);
    }
}

#[test]
fn a_rule_broken_on_purpose_is_noticed() {
    for rule in Broken::ALL {
        // To tell a first vote from a last one takes two.
        let votes = if rule == Broken::LatestVote { 2 } else { 1 };
        let wrong = Search::new(Bounds { writes: 1, votes }, Some(rule)).run().err();
        let wrong = wrong.unwrap_or_else(|| panic!("{rule:?} went unnoticed"));
        println!("{rule:?}: {}", wrong.lines().next().unwrap_or_default());
    }
}

#[derive(Debug, Default)]
struct Report {
    sets: usize,
    ways: usize,
    /// Sets with a conflict, and those of them where votes decide it. A set that both threads come
    /// to is counted twice.
    conflicts: usize,
    decided: usize,
    twice: usize,
}

/// A changeset, as the search names it: by thread and place.
type EventId = u32;

struct Event {
    changeset: Changeset,
    /// How many changesets of each author it has seen.
    past: [u8; AUTHORS],
    is_vote: bool,
}

/// A set of changesets: what there is of each author, in order.
#[derive(Debug, Clone, Copy, Default)]
struct Chains {
    events: [[EventId; MOST]; AUTHORS],
    lengths: [u8; AUTHORS],
}

impl Chains {
    fn of(&self, author: usize) -> &[EventId] {
        &self.events[author][..self.lengths[author] as usize]
    }

    fn push(&mut self, author: usize, event: EventId) {
        self.events[author][self.lengths[author] as usize] = event;
        self.lengths[author] += 1;
    }
}

/// The sum of the digests in a set: which set it is.
type SetId = u128;

struct Node {
    chains: Chains,
    state: Box<[u8]>,
}

/// What is kept of a set: of those that nothing can be added to, only the state's digest.
enum Reached {
    Node(Node),
    End([u8; 16]),
}

impl Reached {
    fn has(&self, state: &[u8]) -> bool {
        match self {
            Self::Node(node) => *node.state == *state,
            Self::End(digest) => *digest == short(state),
        }
    }

    fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Node(one), Self::Node(other)) => one.state == other.state,
            (Self::End(one), Self::End(other)) => one == other,
            _ => false,
        }
    }
}

fn short(state: &[u8]) -> [u8; 16] {
    Digest::of(state).as_bytes()[..16].try_into().expect("sixteen bytes")
}

struct Search {
    bounds: Bounds,
    broken: Option<Broken>,
    root: Changeset,
    events: Vec<Vec<Event>>,
    /// By author, what it had seen, and what it did.
    authored: HashMap<(usize, SetId, usize), EventId>,
}

/// What a thread found.
#[derive(Default)]
struct Found {
    events: Vec<Event>,
    authored: Vec<((usize, SetId, usize), EventId)>,
    sets: HashMap<SetId, Reached>,
    report: Report,
    wrong: Option<String>,
}

const THREADS: usize = 2;
const SHIFT: u32 = 30;

impl Search {
    fn new(bounds: Bounds, broken: Option<Broken>) -> Self {
        let root = author(0, None, &[], create());
        let events = (0..THREADS).map(|_| Vec::new()).collect();
        Self { bounds, broken, root, events, authored: HashMap::new() }
    }

    fn event(&self, id: EventId) -> &Event {
        &self.events[(id >> SHIFT) as usize][(id & ((1 << SHIFT) - 1)) as usize]
    }

    fn run(mut self) -> Result<Report, String> {
        let mut states = BTreeMap::new();
        LogEntry::integrate(Position::new(1), &self.root, &mut states);
        let state = codec::encode_record(&states[&bug()]).into();
        let mut level = vec![(0, Node { chains: Chains::default(), state })];
        let mut report = Report { sets: 1, ..Report::default() };
        while !level.is_empty() {
            let half = level.len().div_ceil(THREADS);
            let search = &self;
            let found: Vec<Found> = std::thread::scope(|scope| {
                let threads: Vec<_> = level
                    .chunks(half)
                    .enumerate()
                    .map(|(thread, sets)| scope.spawn(move || search.extend(thread as u32, sets)))
                    .collect();
                threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
            });
            drop(level);
            let mut next: HashMap<SetId, Reached> = HashMap::new();
            for (thread, found) in found.into_iter().enumerate() {
                if let Some(wrong) = found.wrong {
                    return Err(wrong);
                }
                report.ways += found.report.ways;
                self.events[thread].extend(found.events);
                self.authored.extend(found.authored);
                for (id, reached) in found.sets {
                    match next.entry(id) {
                        Entry::Vacant(place) => {
                            place.insert(reached);
                        }
                        Entry::Occupied(known) if !known.get().agrees(&reached) => {
                            return Err("two orders differ".to_owned());
                        }
                        // Both threads came to it, and counted it.
                        Entry::Occupied(_) => report.twice += 1,
                    }
                }
                report.conflicts += found.report.conflicts;
                report.decided += found.report.decided;
            }
            report.sets += next.len();
            level = next
                .into_iter()
                .filter_map(|(id, reached)| match reached {
                    Reached::Node(node) => Some((id, node)),
                    Reached::End(_) => None,
                })
                .collect();
        }
        Ok(report)
    }

    /// All that can be added to each of these sets.
    fn extend(&self, thread: u32, sets: &[(SetId, Node)]) -> Found {
        let mut found = Found::default();
        for (id, node) in sets {
            let state = codec::decode_record(&node.state).expect("it was just encoded");
            for past in pasts(&node.chains) {
                if !self.is_closed(&node.chains, past) {
                    continue;
                }
                let whole = past == node.chains.lengths;
                let seen = if whole { *id } else { self.id(&node.chains, past) };
                for by in 0..AUTHORS {
                    if past[by] == node.chains.lengths[by] && past[by] < MOST as u8 {
                        self.acts(thread, node, &state, (*id, seen, whole), by, past, &mut found);
                    }
                }
            }
            if found.wrong.is_some() {
                break;
            }
        }
        found
    }

    /// What `by` can do, having seen `past` of a set, when the set is what there is.
    #[allow(clippy::too_many_arguments, reason = "they say where the search is")]
    fn acts(
        &self,
        thread: u32,
        node: &Node,
        state: &RecordState,
        (id, seen, whole): (SetId, SetId, bool),
        by: usize,
        past: [u8; AUTHORS],
        found: &mut Found,
    ) {
        let done = node.chains.of(by);
        // It has seen what it saw before.
        if let Some(last) = done.last()
            && (0..AUTHORS).any(|of| self.event(*last).past[of] > past[of])
        {
            return;
        }
        let votes = done.iter().filter(|event| self.event(**event).is_vote).count();
        let writes = done.len() - votes;
        let may_write = writes < self.bounds.writes;
        let may_vote = votes < self.bounds.votes;
        // 0 writes; 1, 2, 3 vote for a candidate.
        for act in 0..=MOST {
            if (act == 0 && !may_write) || (act > 0 && !may_vote) {
                continue;
            }
            let known = match self.authored.get(&(by, seen, act)) {
                Some(known) => Some((*known, self.event(*known).changeset.clone())),
                // What is seen of a set is a set, and was gone through before, unless it is all.
                None if !whole => None,
                None => {
                    let register = state.register(&status()).expect("it was created");
                    let payload = match act {
                        0 => write(state, WRITES[by][writes]),
                        candidate => match vote(by, register, candidate - 1) {
                            Some(payload) => payload,
                            None => continue,
                        },
                    };
                    let previous = done.last().map(|last| &self.event(*last).changeset);
                    let heads = self.heads(&node.chains, by);
                    let changeset = author(by + 1, previous, &heads, payload);
                    let place = self.events[thread as usize].len() + found.events.len();
                    let event = (thread << SHIFT) | place as EventId;
                    let (is_vote, cloned) = (act > 0, changeset.clone());
                    found.events.push(Event { changeset: cloned, past, is_vote });
                    found.authored.push(((by, seen, act), event));
                    Some((event, changeset))
                }
            };
            let Some((event, changeset)) = known else { continue };
            let mut states = BTreeMap::from([(bug(), state.clone())]);
            LogEntry::integrate(Position::new(1), &changeset, &mut states);
            let bytes = codec::encode_record(&states[&bug()]);
            let next = id.wrapping_add(number(changeset.digest()));
            found.report.ways += 1;
            match found.sets.entry(next) {
                Entry::Occupied(known) => {
                    if !known.get().has(&bytes) {
                        found.wrong = Some("two orders differ".to_owned());
                    }
                }
                Entry::Vacant(place) => {
                    let checked = self.check(&node.chains, &changeset, &states[&bug()]);
                    match checked {
                        Err(wrong) => found.wrong = Some(wrong),
                        Ok(rule) => {
                            found.report.conflicts += usize::from(rule != Rule::Agreed);
                            found.report.decided += usize::from(rule == Rule::Majority);
                        }
                    }
                    let mut chains = node.chains;
                    chains.push(by, event);
                    let all = AUTHORS * (self.bounds.writes + self.bounds.votes);
                    let events: usize = chains.lengths.iter().map(|len| *len as usize).sum();
                    place.insert(match events == all {
                        true => Reached::End(short(&bytes)),
                        false => Reached::Node(Node { chains, state: bytes.into() }),
                    });
                }
            }
        }
    }

    fn is_closed(&self, chains: &Chains, past: [u8; AUTHORS]) -> bool {
        (0..AUTHORS).all(|of| {
            chains.of(of)[..past[of] as usize].iter().all(|event| {
                let needs = self.event(*event).past;
                (0..AUTHORS).all(|other| needs[other] <= past[other])
            })
        })
    }

    fn id(&self, chains: &Chains, past: [u8; AUTHORS]) -> SetId {
        let events = (0..AUTHORS).flat_map(|of| &chains.of(of)[..past[of] as usize]);
        events.fold(0, |id, event| id.wrapping_add(number(self.event(*event).changeset.digest())))
    }

    /// The maximal changesets of a set but for the author's own last: what it names as parents.
    fn heads(&self, chains: &Chains, by: usize) -> Vec<Digest> {
        if chains.lengths == [0; AUTHORS] {
            return vec![self.root.digest()];
        }
        let is_seen = |of: usize| {
            let mut others = (0..AUTHORS).filter(|other| *other != of);
            others.any(|other| {
                let mut events = chains.of(other).iter();
                events.any(|event| self.event(*event).past[of] == chains.lengths[of])
            })
        };
        let maximal = (0..AUTHORS).filter(|of| *of != by && !is_seen(*of));
        let last = maximal.filter_map(|of| chains.of(of).last());
        last.map(|event| self.event(*event).changeset.digest()).collect()
    }

    /// Whether a set, once `last` is added, shows what the specification makes of it.
    fn check(
        &self,
        chains: &Chains,
        last: &Changeset,
        state: &RecordState,
    ) -> Result<Rule, String> {
        let mut oracle = self.broken.map_or_else(Oracle::new, Oracle::broken);
        oracle.add(&self.root);
        for of in 0..AUTHORS {
            chains.of(of).iter().for_each(|event| oracle.add(&self.event(*event).changeset));
        }
        oracle.add(last);
        let specified = &oracle.shows_record(&bug()).registers[&status()];
        let judged = state.judge(&status()).expect("it was created");
        if (judged.value, judged.rule) == (specified.visible.as_ref(), specified.rule) {
            return Ok(judged.rule);
        }
        Err(format!(
            "shown is {judged:?}, specified {:?} {:?}; {:?}",
            specified.visible,
            specified.rule,
            state.register(&status())
        ))
    }
}

/// All choices of how many changesets of each author are seen.
fn pasts(chains: &Chains) -> impl Iterator<Item = [u8; AUTHORS]> {
    let up_to = chains.lengths;
    (0..=up_to[0])
        .flat_map(move |a| (0..=up_to[1]).flat_map(move |b| (0..=up_to[2]).map(move |c| [a, b, c])))
}

fn number(digest: Digest) -> SetId {
    SetId::from_le_bytes(digest.as_bytes()[..16].try_into().expect("sixteen bytes"))
}

fn bug() -> RecordKey {
    RecordKey::new(RecordType::new("bug").unwrap(), RecordId::from_bytes([7; 16]))
}

fn property() -> PropertyName {
    PropertyName::new("status").unwrap()
}

fn status() -> RegisterName {
    RegisterName::Property(property())
}

/// Every time is the same: what ranks is what was seen, and digests.
fn author(
    by: usize,
    previous: Option<&Changeset>,
    parents: &[Digest],
    payload: Payload,
) -> Changeset {
    Changeset::author(Authored {
        database: DatabaseId::from_bytes([1; 16]),
        origin: ReplicaId::from_bytes([by as u8; 16]),
        sequence: previous.map_or(Sequence::FIRST, |previous| previous.header().sequence.next()),
        previous: previous.map(Changeset::digest),
        parents: parents.to_vec(),
        creator: Creator::empty(),
        time: Timestamp::new(1_000, 0),
        payload,
    })
    .expect("it is a good changeset")
}

fn change(
    kind: ChangeKind,
    supersedes: Vec<Digest>,
    old: Option<Value>,
    new: &str,
    over: Vec<Digest>,
) -> Payload {
    let new = Some(Value::from(new));
    let property = PropertyChange { name: property(), old, new, rank: None, supersedes: over };
    Payload::Edit(vec![Change { record: bug(), kind, supersedes, properties: vec![property] }])
}

fn create() -> Payload {
    change(ChangeKind::Create, Vec::new(), None, "new", Vec::new())
}

/// A write by somebody who has seen what led to this state.
fn write(state: &RecordState, to: &str) -> Payload {
    let register = state.register(&status()).expect("it was created");
    let others = standing(register).filter(|(_, choice)| *choice != Some(&Value::from(to)));
    let over = register.frontier().into_iter().chain(others.map(|(vote, _)| vote)).collect();
    let alive = state.existence_register().frontier();
    change(ChangeKind::Update, alive, register.visible().cloned(), to, over)
}

/// The votes that nothing supersedes, and what they are for.
fn standing(register: &Register) -> impl Iterator<Item = (Digest, Option<&Value>)> {
    let votes = register.ballots().iter().flat_map(|ballot| ballot.votes());
    let live = votes.filter(|vote| !vote.superseded);
    live.map(|vote| (vote.changeset, vote.choice.as_ref()))
}

fn vote(by: usize, register: &Register, candidate: usize) -> Option<Payload> {
    let candidates = register.candidates();
    let choice = candidates.get(candidate)?.clone();
    let voter = ReplicaId::from_bytes([by as u8 + 1; 16]);
    let own = register.ballots().iter().flat_map(|ballot| ballot.votes());
    let own = own.filter(|vote| !vote.superseded && vote.voter == voter);
    let own = own.map(|vote| vote.changeset).collect();
    let vote = Vote::new(bug(), status(), candidates, choice, own).expect("it is a good vote");
    Some(Payload::Resolution(vec![vote]))
}
