//! Replicas that sync over HTTP on bad lines: whatever is dropped, delayed, cut or repeated, all of them
//! come to the same, and nothing is lost.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "a test waits for a server to end")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use conformance::{Carrier, MemoryHarness, check_sync_through};
use futures_lite::future::block_on;
use prophet_http::{HttpOptions, HttpPeer};
use prophet_store::*;
use support::live::Live;
use support::proxy::{Chance, Proxy, next_seed};
use support::{assert_sound, other, replica};

/// Two of five requests go wrong, so 16 in a row do not.
fn options() -> HttpOptions {
    let pause = Duration::from_millis(1);
    HttpOptions::new().no_proxy().retries(16).pauses(pause, pause)
}

/// From a server that has the replica, through a bad line.
struct ByHttp {
    seed: u64,
    carried: AtomicU64,
}

impl ByHttp {
    fn new() -> Self {
        Self { seed: next_seed(), carried: Default::default() }
    }
}

struct Carried {
    peer: HttpPeer,
    served: Option<(Proxy, Live)>,
    store: Arc<dyn ReplicaStore>,
    /// How many had hold of the store before it was served.
    holders: usize,
}

impl Drop for Carried {
    /// Waits until nothing of the server has hold of the store any more: it may be for one handle at a
    /// time, and is opened again.
    fn drop(&mut self) {
        self.served = None;
        for _ in 0..1_000 {
            if Arc::strong_count(&self.store) <= self.holders + 1 {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the server does not let go of the store");
    }
}

#[async_trait]
impl ChangesetSource for Carried {
    async fn offer(&self, seen: &VersionVector) -> Result<Offer, Error> {
        self.peer.offer(seen).await
    }

    fn changesets(&self, offer: &Offer, known: &VersionVector) -> Streamed<'_, Changeset> {
        self.peer.changesets(offer, known)
    }
}

#[async_trait]
impl Carrier for ByHttp {
    async fn carry<'a>(
        &'a self,
        from: &'a Replica,
        _: &VersionVector,
    ) -> Result<Box<dyn ChangesetSource + 'a>, Error> {
        let number = self.carried.fetch_add(1, Ordering::Relaxed);
        let store = Arc::clone(from.store());
        let holders = Arc::strong_count(&store) - 1;
        let served = Replica::options().open_shared(Arc::clone(&store)).await?;
        let live = Live::of(&served);
        drop(served);
        let proxy = Proxy::flawed(live.port, self.seed.wrapping_mul(1_000).wrapping_add(number));
        let peer = HttpPeer::new(&proxy.url(), options())?;
        Ok(Box::new(Carried { peer, served: Some((proxy, live)), store, holders }))
    }
}

#[test]
fn replicas_that_pull_over_bad_lines_come_to_the_same() {
    check_sync_through(&MemoryHarness::new(), &|| Box::new(ByHttp::new()), 24);
}

#[test]
fn replicas_that_push_over_bad_lines_come_to_the_same() {
    for _ in 0..6 {
        push_and_pull(next_seed());
    }
}

fn push_and_pull(seed: u64) {
    block_on(async {
        let mut chance = Chance::new(seed);
        let first = replica().await;
        let replicas = [other(&first).await, other(&first).await, first];
        let lives = [0, 1, 2].map(|at: usize| Live::of(&replicas[at]));
        let proxies = [0, 1, 2].map(|at: usize| Proxy::flawed(lives[at].port, seed + at as u64));
        let peers =
            [0, 1, 2].map(|at: usize| HttpPeer::new(&proxies[at].url(), options()).unwrap());
        let mut written = Vec::new();
        for step in 0..40_u64 {
            let [at, to] = [0, 1].map(|_| chance.below(3) as usize);
            match chance.below(4) {
                0 if at != to => {
                    peers[to].push(&replicas[at]).await.unwrap();
                }
                1 if at != to => {
                    replicas[at].pull(&peers[to], PullOptions::new()).await.unwrap();
                }
                _ => {
                    let title = Properties::new().with("title", format!("step {step}")).unwrap();
                    written.push(replicas[at].create("bug", title).await.unwrap());
                }
            }
        }
        for _ in 0..2 {
            for at in 0..3 {
                peers[(at + 1) % 3].push(&replicas[at]).await.unwrap();
                replicas[at].pull(&peers[(at + 2) % 3], PullOptions::new()).await.unwrap();
            }
        }
        let seen = replicas[0].vector().await.unwrap();
        for replica in &replicas {
            assert_eq!(replica.vector().await.unwrap(), seen, "seed {seed}");
            assert_sound(replica).await;
            for bug in &written {
                assert!(replica.get(bug).await.unwrap().is_some(), "seed {seed}: {bug} is lost");
            }
        }
    });
}
