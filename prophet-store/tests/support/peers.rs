//! Replicas that meet.

use std::fmt::Write as _;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_lite::StreamExt as _;
use prophet_store::*;

/// Time that all peers share unless one is told otherwise, and chance that never repeats.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) now: Arc<AtomicU64>,
}

static DRAWN: AtomicU64 = AtomicU64::new(1);

impl Environment for Shared {
    fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    fn random(&self, bytes: &mut [u8]) -> std::io::Result<()> {
        let drawn = DRAWN.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        for (byte, drawn) in bytes.iter_mut().rev().zip(drawn.iter().rev()) {
            *byte = *drawn;
        }
        Ok(())
    }

    fn sleep(&self, _: Duration) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(futures_lite::future::yield_now())
    }
}

/// A replica in memory that can be copied.
pub(crate) struct Peer {
    pub(crate) replica: Replica,
    pub(crate) volume: MemoryVolume,
    pub(crate) environment: Shared,
}

impl Deref for Peer {
    type Target = Replica;

    fn deref(&self) -> &Replica {
        &self.replica
    }
}

pub(crate) const DATABASE: DatabaseId = DatabaseId::from_bytes([1; 16]);

impl Peer {
    pub(crate) async fn new(number: u8) -> Self {
        Self::of(DATABASE, number).await
    }

    pub(crate) async fn of(database: DatabaseId, number: u8) -> Self {
        let volume = MemoryVolume::new();
        let identity = Identity { database, replica: ReplicaId::from_bytes([number; 16]) };
        let store = MemoryStore::create(&volume, identity).unwrap();
        let environment = Shared { now: Arc::new(AtomicU64::new(1_000)) };
        Self::open(volume, store, environment, &format!("peer {number}")).await
    }

    async fn open(
        volume: MemoryVolume,
        store: MemoryStore,
        environment: Shared,
        creator: &str,
    ) -> Self {
        let options = Replica::options().creator(creator).unwrap();
        let replica = options.environment(environment.clone()).open(store).await.unwrap();
        Self { replica, volume, environment }
    }

    /// What a copy of its directory would be.
    pub(crate) async fn copied(&self) -> Self {
        let volume = self.volume.duplicate();
        let store = MemoryStore::open(&volume).unwrap();
        let now = self.environment.now.load(Ordering::SeqCst);
        let environment = Shared { now: Arc::new(AtomicU64::new(now)) };
        Self::open(volume, store, environment, "the copy").await
    }

    pub(crate) async fn create(&self, key: &RecordKey, to: &str) {
        let set = [("status", Value::from(to))];
        let set = Properties::try_from(set).unwrap();
        let made = self.edit(|edit| {
            let set = set.clone();
            async move { edit.create_at(key, set).await }
        });
        made.await.unwrap();
    }

    /// Moves its wall clock.
    pub(crate) fn at(&self, millis: u64) -> &Self {
        self.environment.now.store(millis, Ordering::SeqCst);
        self
    }

    /// Sets the status of the bug.
    pub(crate) async fn set(&self, to: &str) -> Digest {
        self.put("status", Some(to.into())).await
    }

    /// Sets a property of the bug, or removes it.
    pub(crate) async fn put(&self, name: &str, to: Option<Value>) -> Digest {
        let mut set = Properties::new();
        set.set(name, to).unwrap();
        self.update(&bug(), set).await.unwrap().unwrap()
    }

    /// The conflict on a register of the bug, decided or not, hidden or not.
    pub(crate) async fn conflict_on(&self, register: &RegisterName) -> Option<Conflict> {
        let conflicts = self.conflicts_of(&bug()).await.unwrap();
        conflicts.into_iter().find(|conflict| conflict.register == *register)
    }

    /// Votes for a status of the bug.
    pub(crate) async fn vote(&self, choice: &str) -> Option<Digest> {
        let conflict = self.conflict_on(&status()).await.unwrap();
        self.resolve(&conflict, Some(choice.into())).await.unwrap()
    }

    /// Votes for the bug to be there, or not.
    pub(crate) async fn vote_alive(&self, alive: bool) -> Option<Digest> {
        let conflict = self.conflict_on(&RegisterName::Existence).await.unwrap();
        self.resolve(&conflict, Some(alive.into())).await.unwrap()
    }

    /// How many votes count for each value of a register of the bug, by what the values look like.
    pub(crate) async fn tally(&self, register: &RegisterName) -> Vec<(String, usize)> {
        let candidates = self.why(&bug(), register).await.unwrap().candidates.into_iter();
        let shown = candidates.map(|candidate| {
            let value = candidate.value.map_or_else(|| "absent".to_owned(), |v| v.to_string());
            (value, candidate.votes.len())
        });
        let mut tally: Vec<_> = shown.collect();
        tally.sort_unstable();
        tally
    }

    /// What it shows of the status of the bug.
    pub(crate) async fn status(&self) -> Option<String> {
        self.shows("status").await
    }

    pub(crate) async fn shows(&self, name: &str) -> Option<String> {
        let record = self.get(&bug()).await.unwrap()?;
        record.get(name).map(|value| value.as_text().unwrap().to_owned())
    }

    pub(crate) async fn exists(&self) -> bool {
        self.get(&bug()).await.unwrap().is_some()
    }

    /// How many conflicts are open.
    pub(crate) async fn open_conflicts(&self) -> usize {
        self.conflicts().map(Result::unwrap).count().await
    }

    /// How many conflicts are open, decided and hidden.
    pub(crate) async fn counts(&self) -> (u64, u64, u64) {
        let counts = self.conflict_counts().await.unwrap();
        (counts.open, counts.decided, counts.hidden)
    }

    /// The rule by which it shows the status of the bug.
    pub(crate) async fn rule(&self) -> Rule {
        self.rule_of(&status()).await
    }

    /// The rule by which it shows a register of the bug.
    pub(crate) async fn rule_of(&self, register: &RegisterName) -> Rule {
        self.why(&bug(), register).await.unwrap().rule.unwrap()
    }

    /// The history of the bug, in words, without the first line of each entry.
    pub(crate) async fn story(&self) -> Vec<String> {
        let history = self.history(&bug(), Direction::Forward);
        let lines = history.map(|entry| {
            let text = entry.unwrap().to_string();
            text.lines().skip(1).map(|line| line.trim().to_owned()).collect::<Vec<_>>()
        });
        lines.collect::<Vec<_>>().await.concat()
    }
}

/// All that replicas which have seen the same have to agree on, in words.
async fn everything(peer: &Peer) -> String {
    let mut all = format!("seen: {:?}\n", peer.vector().await.unwrap());
    let mut states = peer.store().stream_records(RecordScan::default());
    while let Some(state) = states.next().await {
        let state = state.unwrap();
        let record = peer.get(state.key()).await.unwrap();
        let shown = record.map(|record| (record.properties().clone(), record.contested().clone()));
        writeln!(all, "{}: {shown:?}", state.key()).unwrap();
        let properties = state.properties().keys().cloned().map(RegisterName::Property);
        for register in std::iter::once(RegisterName::Existence).chain(properties) {
            let why = peer.why(state.key(), &register).await.unwrap();
            writeln!(all, "{why}\n{why:?}").unwrap();
        }
    }
    let conflicts: Vec<_> = peer.conflicts().try_collect().await.unwrap();
    let votes = peer.store().stream_resolutions(ResolutionScan::default());
    let votes: Vec<_> = votes.try_collect().await.unwrap();
    let counts = peer.conflict_counts().await.unwrap();
    writeln!(all, "{conflicts:?}\n{counts:?}\n{votes:?}").unwrap();
    all
}

/// In which order peers pull from one another.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Meeting {
    Forward,
    Backward,
    /// Each one first hears everything from its neighbour alone.
    Ring,
}

/// Runs a scenario once for each order in which the peers can meet.
pub(crate) fn in_every_order(scenario: impl AsyncFn(Meeting)) {
    for meeting in [Meeting::Forward, Meeting::Backward, Meeting::Ring] {
        eprintln!("{meeting:?}");
        futures_lite::future::block_on(scenario(meeting));
    }
}

impl Meeting {
    /// Everybody pulls from everybody until all have everything, and then show the same.
    pub(crate) async fn of(self, peers: &[&Peer]) {
        let mut peers = peers.to_vec();
        match self {
            Self::Forward => {}
            Self::Backward => peers.reverse(),
            Self::Ring => {
                for _ in 1..peers.len() {
                    for at in 0..peers.len() {
                        pull_unless_same(peers[at], peers[(at + 1) % peers.len()]).await;
                    }
                }
            }
        }
        meet(&peers).await;
    }
}

/// Peers that have all seen the bug, whose status is "new".
pub(crate) async fn peers<const N: usize>() -> [Peer; N] {
    let mut peers = Vec::new();
    for number in 1..=N {
        peers.push(Peer::new(u8::try_from(number).unwrap()).await);
    }
    peers[0].create(&bug(), "new").await;
    for peer in &peers[1..] {
        pull(peer, &peers[0]).await;
    }
    peers.try_into().ok().unwrap()
}

/// The record that the peers disagree about.
pub(crate) fn bug() -> RecordKey {
    RecordKey::new(RecordType::new("bug").unwrap(), RecordId::from_bytes([7; 16]))
}

/// The register that they disagree about.
pub(crate) fn status() -> RegisterName {
    RegisterName::Property(PropertyName::new("status").unwrap())
}

pub(crate) async fn pull(target: &Replica, source: &Replica) -> PullReport {
    target.pull(source, PullOptions::new()).await.unwrap()
}

/// Pulls, unless it is a copy that nobody has written to.
async fn pull_unless_same(target: &Peer, source: &Peer) {
    match target.pull(&source.replica, PullOptions::new()).await {
        Ok(_) | Err(Error::PullFromItself { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Everybody pulls from everybody until all have everything; then all show the same.
pub(crate) async fn meet(peers: &[&Peer]) {
    for _ in 0..2 {
        for target in peers {
            for source in peers.iter().filter(|source| !std::ptr::eq(**source, *target)) {
                pull_unless_same(target, source).await;
            }
        }
    }
    let expected = everything(peers[0]).await;
    for peer in &peers[1..] {
        assert_eq!(everything(peer).await, expected, "replicas that have seen the same differ");
    }
}
