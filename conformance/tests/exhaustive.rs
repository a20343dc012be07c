//! Every history of three replicas and one property, with a few writes and votes each, and pulls in
//! every direction and order, all of it done by the engine over stores. No two replicas that hold
//! the same changesets differ, and all show what the specification makes of them.
//!
//! `every_history.rs` goes further with less. Replicas meet only in their logs, so the search is over triples of logs; what a log leads to
//! (the engine's state after it, and what each act makes of it) is worked out once, by the engine.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::collections::{BTreeSet, HashMap, HashSet};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use conformance::{Broken, Oracle, ShownRecord};
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_store::{
    DatabaseId, Digest, Direction, Environment, Error, Identity, LogEntry, MemoryStore,
    MemoryVolume, Properties, PropertyName, PullOptions, RecordId, RecordKey, RecordType,
    RegisterName, Replica, ReplicaId, Value,
};

const REPLICAS: usize = 3;
/// What each replica writes, first and second: conflicts of two and of three values, agreement
/// and disagreement with what others wrote.
const WRITES: [[&str; 2]; REPLICAS] = [["a", "b"], ["b", "b"], ["c", "a"]];

/// How much each replica may do.
#[derive(Clone, Copy)]
struct Bounds {
    writes: [usize; REPLICAS],
    votes: [usize; REPLICAS],
}

#[test]
fn no_history_of_three_replicas_makes_any_two_differ() {
    let bounds = bounds();
    let mut search = Search::new(bounds, Oracle::new());
    let wrong = search.run();
    println!("{}", search.report());
    assert_eq!(wrong, None);
    // It is a search of something.
    assert!(search.terminal > 30 && search.sets.len() > 30, "{}", search.report());
}

#[test]
fn a_rule_broken_on_purpose_is_noticed() {
    for rule in Broken::ALL {
        // To tell a first vote from a last one takes two.
        let votes = if rule == Broken::LatestVote { 2 } else { 1 };
        let bounds = Bounds { writes: [1; REPLICAS], votes: [votes; REPLICAS] };
        let mut search = Search::new(bounds, Oracle::broken(rule));
        let wrong = search.run().unwrap_or_else(|| panic!("{rule:?} went unnoticed"));
        println!("{rule:?}: {}; {}", wrong.lines().next().unwrap_or_default(), search.report());
    }
}

/// `PROPHET_SEARCH=writes,votes` searches further, or less far: `1,1` takes half a minute when it
/// is optimised.
fn bounds() -> Bounds {
    let wanted = std::env::var("PROPHET_SEARCH").ok();
    let wanted = wanted.as_deref().unwrap_or("1,0");
    let numbers: Vec<usize> = wanted.split(',').map(|number| number.parse().unwrap()).collect();
    Bounds { writes: [numbers[0].min(2); REPLICAS], votes: [numbers[1]; REPLICAS] }
}

/// Time stands still, so that only the order of what was seen, and digests, rank anything.
#[derive(Debug)]
struct Still;

static DRAWN: AtomicU64 = AtomicU64::new(1);

impl Environment for Still {
    fn now(&self) -> u64 {
        1_000
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let drawn = DRAWN.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        for (byte, drawn) in bytes.iter_mut().zip(drawn) {
            *byte = drawn;
        }
        Ok(())
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(futures_lite::future::yield_now())
    }
}

fn bug() -> RecordKey {
    RecordKey::new(RecordType::new("bug").unwrap(), RecordId::from_bytes([7; 16]))
}

fn status() -> RegisterName {
    RegisterName::Property(PropertyName::new("status").unwrap())
}

fn set(to: &str) -> Properties {
    Properties::try_from([("status", Value::from(to))]).unwrap()
}

async fn open(volume: &MemoryVolume) -> Replica {
    let store = MemoryStore::open(volume).unwrap();
    Replica::options().environment(Still).open(store).await.unwrap()
}

/// A replica after one log.
struct Local {
    owner: usize,
    volume: MemoryVolume,
    log: Vec<Digest>,
    oracle: Oracle,
    writes: usize,
    votes: usize,
    /// How many values it could vote for.
    candidates: usize,
    /// The acts that were worked out, and what they lead to.
    acts: Vec<u32>,
}

struct Search {
    bounds: Bounds,
    locals: Vec<Local>,
    /// The logs that were met, of each owner.
    by_log: HashMap<(usize, Vec<Digest>), u32>,
    pulls: HashMap<(u32, u32), u32>,
    /// What is shown by whoever holds a set of changesets.
    sets: HashMap<BTreeSet<Digest>, String>,
    states: usize,
    transitions: usize,
    terminal: usize,
    wrong: Option<String>,
}

impl Search {
    fn new(bounds: Bounds, oracle: Oracle) -> Self {
        let mut search = Self {
            bounds,
            locals: Vec::new(),
            by_log: HashMap::new(),
            pulls: HashMap::new(),
            sets: HashMap::new(),
            states: 0,
            transitions: 0,
            terminal: 0,
            wrong: None,
        };
        block_on(async {
            let mut volumes = Vec::new();
            for number in 0..REPLICAS {
                let database = DatabaseId::from_bytes([1; 16]);
                let replica = ReplicaId::from_bytes([number as u8 + 1; 16]);
                let volume = MemoryVolume::new();
                drop(MemoryStore::create(&volume, Identity { database, replica }).unwrap());
                volumes.push(volume);
            }
            let first = open(&volumes[0]).await;
            let create = first.edit(|edit| async move { edit.create_at(&bug(), set("new")).await });
            create.await.unwrap();
            for volume in &volumes[1..] {
                open(volume).await.pull(&first, PullOptions::new()).await.unwrap();
            }
            drop(first);
            for (owner, volume) in volumes.into_iter().enumerate() {
                search.reach(owner, volume, &oracle, (0, 0)).await;
            }
        });
        search
    }

    fn report(&self) -> String {
        format!(
            "{} states of three replicas, {} transitions, {} ends where all have met, {} logs, {} \
             sets of changesets",
            self.states,
            self.transitions,
            self.terminal,
            self.locals.len(),
            self.sets.len()
        )
    }

    /// Goes through everything that can happen; says what is wrong, if anything is.
    fn run(&mut self) -> Option<String> {
        let start = [0_u32, 1, 2];
        let mut seen: HashSet<[u32; REPLICAS]> = HashSet::from([start]);
        let mut open = vec![start];
        while let Some(state) = open.pop() {
            self.states += 1;
            let mut ended = true;
            for at in 0..REPLICAS {
                self.work_out_acts(state[at]);
                let local = &self.locals[state[at] as usize];
                let mut next: Vec<u32> = local.acts.clone();
                for from in (0..REPLICAS).filter(|from| *from != at) {
                    next.extend(self.pulled(state[at], state[from]));
                }
                if self.wrong.is_some() {
                    return self.wrong.clone();
                }
                for local in next {
                    let mut next = state;
                    next[at] = local;
                    self.transitions += 1;
                    ended = false;
                    if seen.insert(next) {
                        open.push(next);
                    }
                }
            }
            self.terminal += usize::from(ended);
        }
        self.wrong.clone()
    }

    /// The writes and votes of a replica.
    fn work_out_acts(&mut self, at: u32) {
        let local = &self.locals[at as usize];
        if !local.acts.is_empty() {
            return;
        }
        let (owner, writes, votes) = (local.owner, local.writes, local.votes);
        let candidates = local.candidates;
        let mut acts = Vec::new();
        if writes < self.bounds.writes[owner] {
            let to = WRITES[owner][writes];
            acts.extend(self.act(at, (writes + 1, votes), |replica| {
                Box::pin(async move { replica.update(&bug(), set(to)).await })
            }));
        }
        if votes < self.bounds.votes[owner] {
            for candidate in 0..candidates {
                acts.extend(self.act(at, (writes, votes + 1), |replica| {
                    Box::pin(async move {
                        let conflicts = replica.conflicts_of(&bug()).await?;
                        let choice = conflicts[0].candidates[candidate].value.clone();
                        replica.resolve(&conflicts[0], choice).await
                    })
                }));
            }
        }
        self.locals[at as usize].acts = acts;
    }

    /// What an act leads to, unless it changes nothing.
    fn act(
        &mut self,
        at: u32,
        counts: (usize, usize),
        act: impl FnOnce(Replica) -> Pin<Box<dyn Future<Output = Result<Option<Digest>, Error>>>>,
    ) -> Option<u32> {
        let local = &self.locals[at as usize];
        let (owner, volume, oracle) = (local.owner, local.volume.duplicate(), local.oracle.clone());
        block_on(async {
            let replica = open(&volume).await;
            let changed = act(replica.clone()).await.unwrap();
            drop(replica);
            changed?;
            Some(self.reach(owner, volume, &oracle, counts).await)
        })
    }

    /// What pulling leads to, unless there is nothing new.
    fn pulled(&mut self, at: u32, from: u32) -> Option<u32> {
        if let Some(known) = self.pulls.get(&(at, from)) {
            return (*known != at).then_some(*known);
        }
        let (target, source) = (&self.locals[at as usize], &self.locals[from as usize]);
        let here: HashSet<_> = target.log.iter().collect();
        let new: Vec<_> =
            source.log.iter().copied().filter(|digest| !here.contains(digest)).collect();
        let mut log = target.log.clone();
        log.extend(new);
        // A log that was met before was the engine's work then; the order is the source's.
        let known = self.by_log.get(&(target.owner, log.clone())).copied();
        let reached = match known {
            Some(known) => known,
            None => {
                let (owner, counts) = (target.owner, (target.writes, target.votes));
                let (volume, oracle) = (target.volume.duplicate(), target.oracle.clone());
                let source = source.volume.duplicate();
                block_on(async {
                    let (replica, peer) = (open(&volume).await, open(&source).await);
                    replica.pull(&peer, PullOptions::new()).await.unwrap();
                    drop((replica, peer));
                    let reached = self.reach(owner, volume, &oracle, counts).await;
                    assert_eq!(self.locals[reached as usize].log, log, "the source's order");
                    reached
                })
            }
        };
        self.pulls.insert((at, from), reached);
        (reached != at).then_some(reached)
    }

    /// The replica in `volume`, whose log goes on from what `oracle` knows.
    async fn reach(
        &mut self,
        owner: usize,
        volume: MemoryVolume,
        oracle: &Oracle,
        (writes, votes): (usize, usize),
    ) -> u32 {
        let replica = open(&volume).await;
        let entries: Vec<LogEntry> =
            replica.log(None, Direction::Forward).try_collect().await.unwrap();
        let log: Vec<_> = entries.iter().map(|entry| entry.changeset.digest()).collect();
        if let Some(known) = self.by_log.get(&(owner, log.clone())) {
            return *known;
        }
        let mut oracle = oracle.clone();
        entries.iter().for_each(|entry| oracle.add(&entry.changeset));
        let why = replica.why(&bug(), &status()).await.unwrap();
        self.compare(&replica, &log, &oracle.shows_record(&bug()), &why).await;
        drop(replica);
        let candidates = if why.candidates.len() > 1 { why.candidates.len() } else { 0 };
        let number = self.locals.len() as u32;
        self.by_log.insert((owner, log.clone()), number);
        let acts = Vec::new();
        let local = Local { owner, volume, log, oracle, writes, votes, candidates, acts };
        self.locals.push(local);
        number
    }

    /// What a replica shows is what the oracle says, and what every other one with these
    /// changesets shows.
    async fn compare(
        &mut self,
        replica: &Replica,
        log: &[Digest],
        expected: &ShownRecord,
        why: &prophet_store::Why,
    ) {
        let record = replica.get(&bug()).await.unwrap();
        let visible = record.as_ref().and_then(|record| record.get("status")).cloned();
        let register = &expected.registers[&status()];
        let votes: std::collections::BTreeMap<ReplicaId, Option<Value>> = why
            .candidates
            .iter()
            .flat_map(|one| one.votes.iter().map(|vote| (vote.replica, one.value.clone())))
            .collect();
        let shown = (visible, why.rule, votes);
        let specified = (register.visible.clone(), Some(register.rule), register.votes.clone());
        if shown != specified {
            self.wrong.get_or_insert(format!(
                "the engine shows {shown:?}, specified is {specified:?}\n{why}\n{log:?}"
            ));
        }
        let shown =
            format!("{record:?} {why:?} {why}", record = record.map(|r| r.properties().clone()));
        let set: BTreeSet<_> = log.iter().copied().collect();
        let other = self.sets.entry(set).or_insert_with(|| shown.clone());
        if *other != shown {
            self.wrong.get_or_insert(format!(
                "two replicas with the same changesets differ: {other} and {shown}\n{log:?}"
            ));
        }
    }
}
