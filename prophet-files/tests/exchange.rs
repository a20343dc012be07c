//! Replicas that meet by nothing but trees of files, over random histories.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod support;

use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_files::{
    Fetch, FetchError, PublishOptions, PublishedSource, Request, Response, publish,
};
use prophet_store::*;
use proptest::prelude::*;
use support::{Files, assert_sound, create, digests, other, pull, replica_of, title};

/// A replica, what it is kept in, and the tree that it publishes to.
struct Peer {
    replica: Replica,
    volume: MemoryVolume,
    tree: Files,
}

impl Peer {
    async fn of(identity: Identity) -> Self {
        let volume = MemoryVolume::new();
        let replica = Replica::open(MemoryStore::create(&volume, identity).unwrap()).await.unwrap();
        Self { replica, volume, tree: Files::new() }
    }

    /// A copy of it, which publishes to a tree of its own.
    async fn copied(&self) -> Self {
        let volume = self.volume.duplicate();
        let replica = Replica::open(MemoryStore::open(&volume).unwrap()).await.unwrap();
        Self { replica, volume, tree: self.tree.copied() }
    }

    async fn publish(&self) {
        publish(&self.replica, &self.tree, PublishOptions::new()).await.unwrap();
    }

    /// Whether there was anything to pull.
    async fn pull(&self, from: &Self) -> u64 {
        let source = PublishedSource::open(&from.tree).await.unwrap();
        match self.replica.pull(&source, PullOptions::new()).await {
            Ok(report) => report.integrated + report.already_seen,
            Err(Error::PullFromItself { .. }) => 0,
            Err(error) => panic!("{error}"),
        }
    }
}

/// What happens; the numbers choose among the peers and records that there are by then.
#[derive(Debug, Clone)]
enum Step {
    Create(usize, usize),
    Update(usize, usize, u8),
    Delete(usize, usize),
    Publish(usize),
    Pull(usize, usize),
    Copy(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let peer = 0..8_usize;
    prop_oneof![
        4 => (peer.clone(), 1..40_usize).prop_map(|(who, count)| Step::Create(who, count)),
        6 => (peer.clone(), any::<usize>(), any::<u8>())
            .prop_map(|(who, record, to)| Step::Update(who, record, to)),
        1 => (peer.clone(), any::<usize>()).prop_map(|(who, record)| Step::Delete(who, record)),
        5 => peer.clone().prop_map(Step::Publish),
        5 => (peer.clone(), peer.clone()).prop_map(|(to, from)| Step::Pull(to, from)),
        1 => peer.prop_map(Step::Copy),
    ]
}

async fn act(peers: &mut Vec<Peer>, keys: &mut Vec<RecordKey>, step: &Step) {
    let at = |number: &usize| number % peers.len();
    match step {
        Step::Create(who, count) => keys.extend(create(&peers[at(who)].replica, *count).await),
        Step::Update(who, record, to) if !keys.is_empty() => {
            // It may not have come here yet.
            let key = &keys[record % keys.len()];
            let _ = peers[at(who)].replica.update(key, title(i64::from(*to))).await;
        }
        Step::Delete(who, record) if !keys.is_empty() => {
            let _ = peers[at(who)].replica.delete(&keys[record % keys.len()]).await;
        }
        Step::Publish(who) => peers[at(who)].publish().await,
        Step::Pull(to, from) if !peers[at(from)].tree.names().is_empty() => {
            peers[at(to)].pull(&peers[at(from)]).await;
        }
        Step::Copy(who) if peers.len() < 5 => {
            let copy = peers[at(who)].copied().await;
            peers.push(copy);
        }
        _ => {}
    }
}

/// Until nobody has anything that another lacks.
async fn settle(peers: &[Peer]) {
    for _ in 0..10 {
        let mut came = 0;
        for (number, to) in peers.iter().enumerate() {
            for (other, from) in peers.iter().enumerate() {
                if number != other {
                    from.publish().await;
                    came += to.pull(from).await;
                }
            }
        }
        if came == 0 {
            return;
        }
    }
    panic!("there is always something new");
}

async fn play(steps: &[Step]) {
    let identity = Identity::new_database().unwrap();
    let second = Identity::new_replica(identity.database).unwrap();
    let mut peers = vec![Peer::of(identity).await, Peer::of(second).await];
    let mut keys = Vec::new();
    for step in steps {
        act(&mut peers, &mut keys, step).await;
    }
    settle(&peers).await;
    let seen = peers[0].replica.vector().await.unwrap();
    for peer in &peers {
        assert_sound(&peer.replica).await;
        assert_eq!(peer.replica.vector().await.unwrap(), seen);
        let written = peer.tree.written.lock().unwrap().len();
        peer.publish().await;
        assert_eq!(peer.tree.written.lock().unwrap().len(), written, "nothing is new");
        // And the tree has all of it.
        let source = PublishedSource::open(&peer.tree).await.unwrap();
        let clone = other(&peer.replica).await;
        pull(&clone, &source).await;
        assert_eq!(digests(&clone).await, digests(&peer.replica).await);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPHET_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(48),
        ..ProptestConfig::default()
    })]

    #[test]
    fn trees_of_files_bring_replicas_together(steps in prop::collection::vec(step(), 1..30)) {
        block_on(play(&steps));
    }
}

/// A copy that is ahead of what the puller knows, by sequences that the puller has seen of the
/// other copy: sequences alone would leave it out.
#[test]
fn a_copy_with_the_same_sequences_is_not_taken_for_known() {
    block_on(async {
        let ada = Peer::of(Identity::new_database().unwrap()).await;
        let keys = create(&ada.replica, 100).await;
        let copy = ada.copied().await;
        let bob = other(&ada.replica).await;
        create(&ada.replica, 50).await;
        ada.publish().await;
        let first = PublishedSource::open(&ada.tree).await.unwrap();
        pull(&bob, &first).await;
        for count in [10, 80] {
            // Fewer than the other copy has, then more.
            create(&copy.replica, count).await;
            copy.replica.update(&keys[count], title("changed")).await.unwrap();
            copy.publish().await;
            let eve = other(&ada.replica).await;
            pull(&eve, &first).await;
            for target in [&bob, &eve] {
                let source = PublishedSource::open(&copy.tree).await.unwrap();
                pull(target, &source).await;
                let copied = digests(&copy.replica).await;
                let here = digests(target).await;
                assert!(copied.iter().all(|it| here.contains(it)));
                assert_sound(target).await;
                assert_eq!(pull(target, &source).await.already_seen, 0);
            }
        }
    });
}

/// Who knows more than a source does is given nothing, and so is who knows as much.
#[test]
fn what_is_known_is_not_given() {
    block_on(async {
        let identity = Identity::new_database().unwrap();
        let ada = replica_of(identity).await;
        create(&ada, 100).await;
        let known = ada.vector().await.unwrap();
        create(&ada, 500).await;
        let tree = Files::new();
        publish(&ada, &tree, PublishOptions::new()).await.unwrap();
        let source = PublishedSource::open(&tree).await.unwrap();
        let offer = &source.offer(&VersionVector::new()).await.unwrap();
        let given = |known: VersionVector| {
            let changesets = source.changesets(offer, &known);
            async move { changesets.map(|it| it.unwrap().digest()).collect::<Vec<_>>().await }
        };
        let all = digests(&ada).await;
        assert_eq!(given(VersionVector::new()).await, all);
        assert_eq!(given(known).await, all[100..]);
        assert_eq!(given(ada.vector().await.unwrap()).await, []);
    });
}

/// A tree behind caches: what is not asked for past them may be any earlier state of a file.
#[derive(Debug)]
struct Cached<'a> {
    states: &'a [Files],
    /// Chance.
    drawn: std::sync::atomic::AtomicUsize,
}

#[async_trait::async_trait]
impl Fetch for Cached<'_> {
    fn place(&self) -> &str {
        "a cache"
    }

    async fn fetch(&self, request: &Request) -> Result<Response, FetchError> {
        let ordering = std::sync::atomic::Ordering::Relaxed;
        let drawn = self.drawn.fetch_add(0x9e37_79b9_7f4a_7c15, ordering);
        let last = self.states.len() - 1;
        let at = if request.fresh { last } else { (drawn >> 33) % (last + 1) };
        self.states[at].fetch(request).await
    }
}

/// Whatever state of it each file comes in, a pull completes; and it is right.
async fn pull_from_caches(counts: &[usize], live: bool, drawn: usize) {
    let ada = replica_of(Identity::new_database().unwrap()).await;
    let (tree, mut states) = (Files::new(), Vec::new());
    for count in counts {
        create(&ada, *count).await;
        publish(&ada, &tree, PublishOptions::new()).await.unwrap();
        states.push(tree.copied());
        if live && let Some(state) = states.last() {
            support::make_live(state, &ada).await;
        }
    }
    let drawn = std::sync::atomic::AtomicUsize::new(drawn);
    let source = PublishedSource::open(Cached { states: &states, drawn }).await.unwrap();
    let bob = other(&ada).await;
    let all = digests(&ada).await;
    for _ in 0..10 {
        pull(&bob, &source).await;
        assert_sound(&bob).await;
        assert!(all.starts_with(&digests(&bob).await));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn old_copies_in_caches_do_no_harm(
        counts in prop::collection::vec(1..120_usize, 1..8),
        live: bool,
        drawn: usize,
    ) {
        block_on(pull_from_caches(&counts, live, drawn));
    }
}
