//! Sources that give what cannot be, and what is left of a pull when they do: everything that came
//! before, nothing that came after, and a replica that goes on with an honest source.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]
#![allow(dead_code, reason = "what the tests of the engine share, not all of them use")]

mod support {
    pub(crate) mod peers;
}

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use async_trait::async_trait;
use futures_lite::future::block_on;
use futures_lite::{StreamExt as _, stream};
use prophet_store::*;
use support::peers::{DATABASE, Peer, bug, meet, peers, pull};

/// An honest source of two origins: Bob creates the bug, and Ada counts. A batch has 1,000
/// changesets, so pulling all of them takes two.
struct Honest {
    ada: Peer,
    changesets: Vec<Changeset>,
}

static HONEST: LazyLock<Honest> = LazyLock::new(|| block_on(honest(1_602)));

async fn honest(changesets: i64) -> Honest {
    let (ada, bob) = (Peer::new(1).await, Peer::new(2).await);
    bob.create(&bug(), "new").await;
    pull(&ada, &bob).await;
    count_to(&ada, changesets - 1).await;
    let changesets = log(&ada).await;
    Honest { ada, changesets }
}

/// Makes so many changesets in one commit.
async fn count_to(peer: &Peer, last: i64) {
    let counted = peer.edit(|edit| async move {
        for number in 1..=last {
            edit.begin_changeset("ada", None)?;
            let count = Properties::try_from([("count", Value::Integer(number))])?;
            edit.update(&bug(), count).await?;
        }
        Ok(())
    });
    counted.await.unwrap();
}

async fn log(peer: &Replica) -> Vec<Changeset> {
    let entries: Vec<LogEntry> = peer.log(None, Direction::Forward).try_collect().await.unwrap();
    entries.into_iter().map(|entry| entry.changeset).collect()
}

/// A source that says and gives what it was told to.
struct Liar {
    offer: Offer,
    gives: Vec<Result<Changeset, Error>>,
}

impl Liar {
    /// One that repeats what an honest source says, so far.
    async fn of(honest: &Honest) -> Self {
        let offer = honest.ada.offer(&VersionVector::new()).await.unwrap();
        Self {
            offer: Offer { place: "a liar".to_owned(), ..offer },
            gives: honest.changesets.iter().cloned().map(Ok).collect(),
        }
    }

    fn at(&self, place: usize) -> Changeset {
        self.gives[place].clone().unwrap()
    }

    /// Puts something else in the place of a changeset.
    fn forge(&mut self, place: usize, forge: impl FnOnce(&mut Authored)) -> Digest {
        let forged = forged(&self.at(place), forge);
        let digest = forged.digest();
        self.gives[place] = Ok(forged);
        digest
    }
}

/// A changeset like this one, but for what `forge` does to it.
fn forged(like: &Changeset, forge: impl FnOnce(&mut Authored)) -> Changeset {
    let mut authored = Authored::from(like);
    forge(&mut authored);
    Changeset::author(authored).unwrap()
}

#[async_trait]
impl ChangesetSource for Liar {
    async fn offer(&self, _: &VersionVector) -> Result<Offer, Error> {
        Ok(self.offer.clone())
    }

    fn changesets(&self, _: &Offer, _: &VersionVector) -> Streamed<'_, Changeset> {
        Box::pin(stream::iter(self.gives.iter().cloned()))
    }
}

fn nobody() -> Digest {
    Digest::from_bytes([0xee; 32])
}

/// Where the lies are: at the start, in the middle, and around the end of the first batch.
const PLACES: [usize; 7] = [3, 4, 998, 999, 1_000, 1_001, 1_500];

/// The places above are about the ends of batches of this size.
fn by_thousands<'a>() -> PullOptions<'a> {
    PullOptions::new().batches_of(1_000)
}

/// Pulls from a source that lies at each of the places, and sees to it that what came before is
/// kept, nothing after it is, the error says where and what, and an honest pull then completes.
fn is_refused(says: &str, lie: impl Fn(&mut Liar, usize)) {
    block_on(async {
        for place in PLACES {
            let mut liar = Liar::of(&HONEST).await;
            lie(&mut liar, place);
            let target = Peer::new(9).await;
            let pulled = target.pull(&liar, by_thousands()).await;
            let error = match pulled {
                Err(error) => error.to_string(),
                Ok(report) => panic!("taken in at place {place}: {report:?}"),
            };
            for part in ["a liar", says] {
                assert!(error.contains(part), "place {place}: {part}: {error}");
            }
            kept(&target, place).await;
            completes(&target).await;
        }
    });
}

/// It has the first so many changesets, and nothing else.
async fn kept(target: &Peer, changesets: usize) {
    let log = log(target).await;
    let expected = &HONEST.changesets[..changesets];
    assert!(log == expected, "{} are kept where {} came before", log.len(), expected.len());
}

async fn completes(target: &Peer) {
    pull(target, &HONEST.ada).await;
    kept(target, HONEST.changesets.len()).await;
    assert_eq!(target.vector().await.unwrap(), HONEST.ada.vector().await.unwrap());
    let record = target.get(&bug()).await.unwrap().unwrap();
    assert_eq!(record.get("count"), Some(&1_601.into()));
}

// What cannot be.

#[test]
fn a_gap_in_the_chain_is_refused() {
    is_refused("the one before it is missing", |liar, place| {
        drop(liar.gives.remove(place));
    });
}

#[test]
fn a_sequence_that_jumps_is_refused_though_it_names_the_one_before() {
    is_refused("number", |liar, place| {
        liar.forge(place, |authored| {
            authored.sequence = Sequence::new(authored.sequence.get() + 7).unwrap();
        });
    });
}

#[test]
fn a_sequence_that_goes_back_is_refused() {
    is_refused("number", |liar, place| {
        let previous = liar.at(place).header().previous;
        liar.forge(place, |authored| {
            authored.sequence = Sequence::new(2).unwrap();
            authored.previous = previous;
        });
    });
}

/// Bob pulls from a liar, whether he refuses what it forged or not; Eve then pulls from Bob.
fn does_not_keep_others_from_pulling(forge: impl Fn(&mut Authored)) {
    block_on(async {
        let mut liar = Liar::of(&HONEST).await;
        liar.forge(10, forge);
        liar.gives.truncate(11);
        let (bob, eve) = (Peer::new(8).await, Peer::new(9).await);
        let _ = bob.pull(&liar, by_thousands()).await;
        bob.set("fixed").await;
        completes(&eve).await;
        let pulled = eve.pull(&bob.replica, by_thousands()).await;
        assert!(pulled.is_ok(), "an honest replica is refused: {}", pulled.unwrap_err());
        assert_eq!(eve.status().await, Some("fixed".to_owned()));
        let audit = eve.store().audit().await.unwrap();
        assert!(audit.is_sound(), "{:?}", audit.problems);
    });
}

#[test]
fn a_sequence_that_goes_back_does_not_keep_others_from_pulling_who_took_it_in() {
    does_not_keep_others_from_pulling(|authored| authored.sequence = Sequence::new(2).unwrap());
}

#[test]
fn a_sequence_that_jumps_does_not_keep_others_from_pulling_who_took_it_in() {
    does_not_keep_others_from_pulling(|authored| {
        authored.sequence = Sequence::new(authored.sequence.get() + 7).unwrap();
    });
}

#[test]
fn a_previous_changeset_of_another_origin_is_refused() {
    is_refused("before it", |liar, place| {
        let of_bob = liar.at(0).digest();
        liar.forge(place, |authored| authored.previous = Some(of_bob));
    });
}

#[test]
fn a_missing_parent_is_refused() {
    is_refused("which is missing", |liar, place| {
        liar.forge(place, |authored| authored.parents = vec![nobody()]);
    });
}

#[test]
fn superseding_a_write_that_nobody_made_is_refused() {
    is_refused(&nobody().to_string(), |liar, place| {
        liar.forge(place, |authored| {
            let Payload::Edit(changes) = &mut authored.payload else { panic!("it is an edit") };
            changes[0].properties[0].supersedes = vec![nobody()];
        });
    });
}

#[test]
fn superseding_an_existence_that_nobody_asserted_is_refused() {
    is_refused(&nobody().to_string(), |liar, place| {
        liar.forge(place, |authored| {
            let Payload::Edit(changes) = &mut authored.payload else { panic!("it is an edit") };
            changes[0].supersedes.push(nobody());
        });
    });
}

#[test]
fn a_vote_that_supersedes_or_has_seen_what_nobody_made_is_refused() {
    for superseding in [true, false] {
        is_refused(&nobody().to_string(), |liar, place| {
            liar.forge(place, |authored| {
                let values = vec![Existence::Alive.value(), Existence::Deleted.value()];
                let superseded = if superseding { vec![nobody()] } else { Vec::new() };
                let choice = Existence::Deleted.value();
                let vote = Vote::new(bug(), RegisterName::Existence, values, choice, superseded);
                let seen = if superseding { Vec::new() } else { vec![nobody()] };
                let vote = vote.unwrap().with_seen(seen).unwrap();
                authored.payload = Payload::Resolution(vec![vote]);
            });
        });
    }
}

#[test]
fn superseding_what_comes_only_later_is_refused() {
    is_refused("which does not come before it", |liar, place| {
        let later = liar.at(place + 1).digest();
        liar.forge(place, |authored| {
            let Payload::Edit(changes) = &mut authored.payload else { panic!("it is an edit") };
            changes[0].properties[0].supersedes = vec![later];
        });
    });
}

#[test]
fn changesets_out_of_causal_order_are_refused() {
    is_refused("the one before it is missing", |liar, place| liar.gives.swap(place, place + 1));
}

#[test]
fn a_changeset_of_another_database_in_mid_stream_is_refused() {
    let other = DatabaseId::from_bytes([0xdb; 16]);
    is_refused(&other.to_string(), |liar, place| {
        liar.forge(place, |authored| authored.database = other);
    });
}

#[test]
fn a_changeset_of_a_newer_codec_in_mid_stream_ends_the_pull() {
    let newer = |changeset: &Changeset| {
        let mut bytes = codec::encode_changeset(changeset);
        bytes[2] = 2;
        let sealed = bytes.len() - 4;
        let checksum = crc32fast::hash(&bytes[..sealed]).to_le_bytes();
        bytes[sealed..].copy_from_slice(&checksum);
        codec::decode_changeset(&bytes).unwrap_err()
    };
    block_on(async {
        for place in PLACES {
            let mut liar = Liar::of(&HONEST).await;
            liar.gives[place] = Err(Error::app(newer(&liar.at(place))));
            let target = Peer::new(9).await;
            let error = target.pull(&liar, by_thousands()).await.unwrap_err().to_string();
            assert!(error.contains("codec version 2"), "{error}");
            kept(&target, place).await;
            completes(&target).await;
        }
    });
}

#[test]
fn another_digest_than_was_announced_for_a_tip_is_refused() {
    is_refused(&nobody().to_string(), |liar, place| {
        let Header { origin, sequence, .. } = *liar.at(place).header();
        liar.offer.seen = announcing(liar, [(origin, sequence, nobody())]);
    });
}

#[test]
fn a_tip_that_is_announced_and_never_given_is_named() {
    block_on(async {
        let mut liar = Liar::of(&HONEST).await;
        let origin = ReplicaId::from_bytes([7; 16]);
        let here = liar.offer.seen.of(ReplicaId::from_bytes([1; 16]))[0];
        liar.offer.seen = announcing(
            &liar,
            [
                (ReplicaId::from_bytes([1; 16]), here.sequence, here.digest),
                (origin, Sequence::new(5).unwrap(), nobody()),
            ],
        );
        let target = Peer::new(9).await;
        let error = target.pull(&liar, by_thousands()).await.unwrap_err().to_string();
        for part in ["a liar", &origin.to_string(), &nobody().to_string(), "number 5"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        kept(&target, HONEST.changesets.len()).await;
        completes(&target).await;
    });
}

#[test]
fn a_source_that_ends_too_early_is_found_out() {
    block_on(async {
        for place in PLACES {
            let mut liar = Liar::of(&HONEST).await;
            liar.gives.truncate(place);
            let target = Peer::new(9).await;
            let error = target.pull(&liar, by_thousands()).await.unwrap_err().to_string();
            let tip = HONEST.changesets.last().unwrap().digest().to_string();
            assert!(error.contains("did not give it") && error.contains(&tip), "{error}");
            kept(&target, place).await;
            completes(&target).await;
        }
    });
}

/// A vector of these tips.
fn announcing<const N: usize>(
    liar: &Liar,
    tips: [(ReplicaId, Sequence, Digest); N],
) -> VersionVector {
    let mut vector = VersionVector::new();
    for (origin, sequence, digest) in tips {
        // Step by step, for a vector has no gaps.
        for number in 1..=sequence.get() {
            let mut header = liar.at(2).header().clone();
            header.origin = origin;
            header.sequence = Sequence::new(number).unwrap();
            let step = |number: u64| match number == sequence.get() {
                true => digest,
                false => Digest::of(&number.to_le_bytes()),
            };
            header.previous = (number > 1).then(|| step(number - 1));
            vector.advance(&header, step(number)).unwrap();
        }
    }
    vector
}

#[test]
fn with_fail_on_conflict_nothing_before_a_lie_is_kept_either_and_the_error_does_not_say_so() {
    block_on(async {
        let mut liar = Liar::of(&HONEST).await;
        drop(liar.gives.remove(1_001));
        let target = Peer::new(9).await;
        let before = target.head().await.unwrap();
        let options = by_thousands().fail_on_conflict();
        let error = target.pull(&liar, options).await.unwrap_err().to_string();
        assert_eq!(target.head().await.unwrap(), before);
        assert!(!error.contains("is kept"), "{error}");
    });
}

#[test]
fn the_error_names_the_changeset_and_says_what_to_do() {
    block_on(async {
        let mut liar = Liar::of(&HONEST).await;
        let digest = liar.forge(5, |authored| authored.parents = vec![nobody()]);
        let target = Peer::new(9).await;
        let error = target.pull(&liar, by_thousands()).await.unwrap_err();
        assert!(matches!(&error, Error::BadChangeset { changeset, .. } if *changeset == digest));
        let error = error.to_string();
        for part in ["a liar", &digest.to_string(), &nobody().to_string(), "is kept", "pull from"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    });
}

// What is only too much.

#[test]
fn changesets_given_twice_are_taken_once() {
    block_on(async {
        let mut liar = Liar::of(&HONEST).await;
        let twice = liar.gives.iter().flat_map(|given| [given.clone(), given.clone()]);
        liar.gives = twice.collect();
        let target = Peer::new(9).await;
        let report = target.pull(&liar, by_thousands()).await.unwrap();
        assert_eq!((report.integrated, report.already_seen), (1_602, 1_601));
        kept(&target, HONEST.changesets.len()).await;
        completes(&target).await;
    });
}

#[test]
fn everything_given_all_over_again_is_taken_once() {
    block_on(async {
        let mut liar = Liar::of(&HONEST).await;
        liar.gives.extend(liar.gives.clone());
        let target = Peer::new(9).await;
        let report = target.pull(&liar, by_thousands()).await.unwrap();
        assert_eq!((report.integrated, report.already_seen), (1_602, 0), "it is left in time");
        kept(&target, HONEST.changesets.len()).await;
    });
}

/// A source that gives what an honest one does up to a place, and then the first changeset again
/// without end. It counts what it gives.
struct Endless {
    liar: Liar,
    up_to: usize,
    given: AtomicU64,
}

#[async_trait]
impl ChangesetSource for Endless {
    async fn offer(&self, seen: &VersionVector) -> Result<Offer, Error> {
        self.liar.offer(seen).await
    }

    fn changesets(&self, offer: &Offer, known: &VersionVector) -> Streamed<'_, Changeset> {
        let again = stream::repeat(self.liar.at(0)).map(Ok);
        let all = self.liar.changesets(offer, known).take(self.up_to).chain(again);
        Box::pin(all.then(|changeset| async {
            if self.given.fetch_add(1, Ordering::Relaxed).is_multiple_of(100) {
                futures_lite::future::yield_now().await;
            }
            changeset
        }))
    }
}

impl Endless {
    /// Pulls from it, but no further than to where it has given so many; `None` if the pull did
    /// not end by then.
    async fn pulled_by(&self, target: &Peer, most: u64) -> Option<Result<PullReport, Error>> {
        let pull = async { Some(target.pull(self, by_thousands()).await) };
        let enough = async {
            while self.given.load(Ordering::Relaxed) < most {
                futures_lite::future::yield_now().await;
            }
            None
        };
        futures_lite::future::or(pull, enough).await
    }
}

#[test]
fn what_came_before_endless_repetition_is_kept_when_the_pull_is_given_up() {
    block_on(async {
        for up_to in [3, 1_000, 1_500, 1_602] {
            let liar = Liar::of(&HONEST).await;
            let endless = Endless { liar, up_to, given: AtomicU64::new(0) };
            let target = Peer::new(9).await;
            let _ = endless.pulled_by(&target, 10_000).await;
            kept(&target, up_to).await;
            completes(&target).await;
        }
    });
}

#[test]
fn a_source_that_has_given_all_it_announced_and_goes_on_repeating_itself_is_left() {
    block_on(async {
        let liar = Liar::of(&HONEST).await;
        let endless = Endless { liar, up_to: 1_602, given: AtomicU64::new(0) };
        let target = Peer::new(9).await;
        let pulled = endless.pulled_by(&target, 100_000).await;
        assert!(pulled.is_some(), "100,000 changesets later the pull still goes on");
    });
}

/// It announces more than there ever will be.
#[test]
fn a_source_that_repeats_itself_is_given_up_whatever_it_announces() {
    block_on(async {
        for tips in [1, 3] {
            let mut liar = Liar::of(&HONEST).await;
            for origin in 0..tips {
                let sequence = Sequence::new(u64::MAX - 1).unwrap();
                let tip = Tip { sequence, digest: Digest::from_bytes([origin; 32]) };
                liar.offer.seen.put(ReplicaId::from_bytes([0xE0 + origin; 16]), tip);
            }
            let endless = Endless { liar, up_to: 1_602, given: AtomicU64::new(0) };
            let target = Peer::new(9).await;
            let pulled = endless.pulled_by(&target, 100_000).await;
            let error = pulled.expect("the pull still goes on").unwrap_err().to_string();
            assert!(error.contains("again and again"), "{error}");
            completes(&target).await;
        }
    });
}

// What is not pulled from.

#[test]
fn another_database_is_refused_at_once_and_both_are_named() {
    block_on(async {
        let other = DatabaseId::from_bytes([0xdb; 16]);
        let stranger = Peer::of(other, 2).await;
        stranger.create(&bug(), "theirs").await;
        let ada = Peer::new(1).await;
        let before = ada.head().await.unwrap();
        let options = || by_thousands();
        let errors = [
            ada.pull(&stranger.replica, options()).await.unwrap_err(),
            stranger.push(&ada, options()).await.unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, Error::OtherDatabase { .. }), "{error}");
            let error = error.to_string();
            for part in [other.to_string(), DATABASE.to_string()] {
                assert!(error.contains(&part), "{part}: {error}");
            }
        }
        assert_eq!(ada.head().await.unwrap(), before);
        let identity = Identity { database: other, replica: ReplicaId::from_bytes([3; 16]) };
        let cloned = Replica::clone_of(MemoryStore::new(identity), &ada.replica).await;
        assert!(matches!(cloned, Err(Error::OtherDatabase { .. })));
    });
}

#[test]
fn a_replica_does_not_pull_from_itself() {
    block_on(async {
        let ada = Peer::new(1).await;
        ada.create(&bug(), "new").await;
        let same = ada.with_creator("somebody else").unwrap();
        let copy = ada.copied().await;
        let before = ada.head().await.unwrap();
        for source in [&ada.replica, &same, &copy.replica] {
            for pulled in
                [ada.pull(source, by_thousands()).await, source.push(&ada, by_thousands()).await]
            {
                let error = pulled.unwrap_err();
                assert!(matches!(error, Error::PullFromItself { .. }), "{error}");
                let error = error.to_string();
                assert!(error.contains("this very replica") && error.contains("copy"), "{error}");
            }
        }
        assert_eq!(ada.head().await.unwrap(), before);
    });
}

#[test]
fn a_clone_is_made_in_an_empty_store_only() {
    block_on(async {
        let ada = Peer::new(1).await;
        ada.create(&bug(), "new").await;
        let identity = Identity { database: DATABASE, replica: ReplicaId::from_bytes([3; 16]) };
        let store: Arc<dyn ReplicaStore> = Arc::new(MemoryStore::new(identity));
        let used = Replica::options().open_shared(Arc::clone(&store)).await.unwrap();
        used.create("note", Properties::new()).await.unwrap();
        let volume = MemoryVolume::new();
        let empty = MemoryStore::create(&volume, identity).unwrap();
        let clone = Replica::clone_of(empty, &ada.replica).await.unwrap();
        assert_eq!(clone.vector().await.unwrap(), ada.vector().await.unwrap());
        drop(clone);
        let again = Replica::clone_of(MemoryStore::open(&volume).unwrap(), &ada.replica).await;
        let error = again.unwrap_err();
        assert!(matches!(error, Error::NotEmpty { .. }), "{error}");
        assert!(error.to_string().contains("pull into it"), "{error}");
    });
}

// Progress, interruption, repetition.

/// What is told of a pull.
async fn progress_of(target: &Replica, source: &dyn ChangesetSource) -> Vec<Progress> {
    let told = Mutex::new(Vec::new());
    let options = by_thousands().progress(|progress| told.lock().unwrap().push(progress));
    let report = target.pull(source, options).await.unwrap();
    let told = told.into_inner().unwrap();
    let last = told.last().unwrap();
    assert_eq!((last.done, last.bytes), (report.integrated, report.bytes));
    told
}

/// It only goes forward, towards one total, and ends there.
fn is_monotone(told: &[Progress]) {
    assert!(told.is_sorted_by_key(|progress| (progress.done, progress.bytes)), "{told:?}");
    assert!(told.iter().all(|progress| progress.done <= progress.total), "{told:?}");
    assert!(told.iter().all(|progress| progress.total == told[0].total), "{told:?}");
    let last = told.last().unwrap();
    assert_eq!(last.done, last.total, "{told:?}");
}

#[test]
fn progress_is_monotone_and_ends_at_its_total() {
    block_on(async {
        let target = Peer::new(9).await;
        let told = progress_of(&target, &HONEST.ada.replica).await;
        assert_eq!(told.len(), 2, "after each batch");
        assert_eq!(told[0].total, 1_602);
        assert_eq!((told[0].done, told[1].done), (1_000, 1_602));
        is_monotone(&told);
        let bytes = HONEST.changesets.iter().map(|one| one.payload_bytes().len() as u64);
        assert_eq!(told[1].bytes, bytes.sum::<u64>());
    });
}

#[test]
fn progress_counts_only_what_is_new() {
    block_on(async {
        let target = Peer::new(9).await;
        let mut liar = Liar::of(&HONEST).await;
        liar.gives[1_200] = Err(Error::app("the connection is gone"));
        target.pull(&liar, by_thousands()).await.unwrap_err();
        let told = progress_of(&target, &Liar::of(&HONEST).await).await;
        assert_eq!(told.last().unwrap().total, 402);
        is_monotone(&told);
    });
}

#[test]
fn progress_ends_at_its_total_where_an_origin_is_forked_too() {
    block_on(async {
        let ada = Peer::new(1).await;
        ada.create(&bug(), "new").await;
        count_to(&ada, 20).await;
        let copy = ada.copied().await;
        ada.set("fixed").await;
        copy.set("invalid").await;
        meet(&[&ada, &copy]).await;
        let target = Peer::new(9).await;
        is_monotone(&progress_of(&target, &ada.replica).await);
    });
}

#[test]
fn an_interrupted_pull_leaves_what_came_and_the_next_one_goes_on() {
    block_on(async {
        for place in PLACES {
            let mut liar = Liar::of(&HONEST).await;
            liar.gives[place] = Err(Error::app("the connection is gone"));
            let target = Peer::new(9).await;
            let error = target.pull(&liar, by_thousands()).await.unwrap_err();
            assert_eq!(error.to_string(), "the connection is gone");
            kept(&target, place).await;
            let report = pull(&target, &HONEST.ada).await;
            assert_eq!((report.integrated, report.already_seen), (1_602 - place as u64, 0));
            completes(&target).await;
        }
    });
}

#[test]
fn a_pull_that_is_dropped_anywhere_leaves_whole_batches() {
    block_on(async {
        for given in [1, 500, 1_001, 1_400] {
            let liar = Liar::of(&HONEST).await;
            let endless = Endless { liar, up_to: 1_602, given: AtomicU64::new(0) };
            let target = Peer::new(9).await;
            assert!(endless.pulled_by(&target, given).await.is_none());
            let kept = log(&target).await.len();
            assert!(kept == 0 || kept == 1_000, "{kept}");
            completes(&target).await;
            let audit = target.store().audit().await.unwrap();
            assert!(audit.is_sound(), "{:?}", audit.problems);
        }
    });
}

#[test]
fn two_pulls_at_once_and_edits_between_them() {
    block_on(async {
        let [ada, bob, eve] = peers().await;
        count_to(&ada, 1_200).await;
        count_to(&bob, 1_100).await;
        let slow = async |source: &Peer| {
            let mut liar = Endless {
                liar: Liar {
                    offer: source.offer(&VersionVector::new()).await.unwrap(),
                    gives: log(source).await.into_iter().map(Ok).collect(),
                },
                up_to: 0,
                given: AtomicU64::new(0),
            };
            // All of it, and a little of what comes after that.
            liar.up_to = liar.liar.gives.len();
            liar
        };
        let (from_ada, from_bob) = (slow(&ada).await, slow(&bob).await);
        let edits = async {
            for number in 0..50 {
                eve.put("owner", Some(number.into())).await;
                futures_lite::future::yield_now().await;
            }
        };
        let pulls = futures_lite::future::zip(
            from_ada.pulled_by(&eve, 1_300),
            from_bob.pulled_by(&eve, 1_300),
        );
        futures_lite::future::zip(pulls, edits).await;
        meet(&[&eve, &ada, &bob]).await;
        let audit = eve.store().audit().await.unwrap();
        assert!(audit.is_sound(), "{:?}", audit.problems);
        assert_eq!(log(&eve).await.len(), 1 + 1_200 + 1_100 + 50);
    });
}

#[test]
fn pulling_again_changes_nothing() {
    block_on(async {
        let [ada, bob, eve] = peers().await;
        ada.set("fixed").await;
        bob.set("invalid").await;
        meet(&[&ada, &bob, &eve]).await;
        let before = eve.head().await.unwrap();
        for source in [&ada, &bob] {
            for options in [by_thousands(), by_thousands().prefer(Side::Source)] {
                let report = eve.pull(&source.replica, options).await.unwrap();
                assert_eq!((report.integrated, report.conflicts), (0, 0));
                assert!(report.to_string().contains("nothing new"), "{report}");
            }
        }
        let target = Liar::of(&HONEST).await;
        let target_of = Peer::new(9).await;
        target_of.pull(&target, by_thousands()).await.unwrap();
        let whole = target_of.head().await.unwrap();
        target_of.pull(&target, by_thousands()).await.unwrap();
        assert_eq!(target_of.head().await.unwrap(), whole);
        assert_eq!(eve.head().await.unwrap(), before);
    });
}

#[test]
fn a_pull_with_nothing_new_reads_neither_the_log_nor_the_histories() {
    block_on(async {
        let (source, source_reads) = Counted::open(1).await;
        let (target, target_reads) = Counted::open(2).await;
        source.pull(&HONEST.ada.replica, by_thousands()).await.unwrap();
        target.pull(&source, by_thousands()).await.unwrap();
        let (before, after) = (target.head().await.unwrap(), [&source_reads, &target_reads]);
        after.iter().for_each(|reads| reads.forget());
        let report = target.pull(&source, by_thousands()).await.unwrap();
        assert_eq!(report.integrated, 0);
        assert_eq!(target.head().await.unwrap(), before);
        for reads in after {
            assert_eq!(reads.log.load(Ordering::Relaxed), 0);
            assert_eq!(reads.histories.load(Ordering::Relaxed), 0);
            assert_eq!(reads.records.load(Ordering::Relaxed), 0);
            assert_eq!(reads.commits.load(Ordering::Relaxed), 0);
        }
    });
}

#[test]
fn a_pull_by_who_is_ahead_reads_neither_the_log_nor_the_histories() {
    block_on(async {
        let (source, source_reads) = Counted::open(1).await;
        let (target, target_reads) = Counted::open(2).await;
        source.pull(&HONEST.ada.replica, by_thousands()).await.unwrap();
        target.pull(&source, by_thousands()).await.unwrap();
        target.create("note", Properties::new()).await.unwrap();
        [&source_reads, &target_reads].iter().for_each(|reads| reads.forget());
        assert_eq!(target.pull(&source, by_thousands()).await.unwrap().integrated, 0);
        for reads in [source_reads, target_reads] {
            assert_eq!(reads.log.load(Ordering::Relaxed), 0);
            assert_eq!(reads.histories.load(Ordering::Relaxed), 0);
        }
    });
}

#[test]
fn a_pull_reads_no_more_of_the_log_of_the_source_than_is_new() {
    block_on(async {
        let (source, reads) = Counted::open(1).await;
        let target = Peer::new(9).await;
        source.pull(&HONEST.ada.replica, by_thousands()).await.unwrap();
        target.pull(&source, by_thousands()).await.unwrap();
        for text in ["one", "two", "three"] {
            let note = Properties::try_from([("text", text)]).unwrap();
            source.create("note", note).await.unwrap();
        }
        reads.forget();
        assert_eq!(target.pull(&source, by_thousands()).await.unwrap().integrated, 3);
        assert_eq!(reads.entries.load(Ordering::Relaxed), 3);
    });
}

/// How often a store was read.
#[derive(Debug, Default)]
struct Reads {
    log: AtomicU64,
    /// Entries of the log that were read.
    entries: AtomicU64,
    histories: AtomicU64,
    records: AtomicU64,
    commits: AtomicU64,
}

impl Reads {
    fn forget(&self) {
        for count in [&self.log, &self.entries, &self.histories, &self.records, &self.commits] {
            count.store(0, Ordering::Relaxed);
        }
    }
}

/// A store that counts how often it is read.
#[derive(Debug)]
struct Counted {
    store: MemoryStore,
    reads: Arc<Reads>,
}

impl Counted {
    async fn open(number: u8) -> (Replica, Arc<Reads>) {
        let identity =
            Identity { database: DATABASE, replica: ReplicaId::from_bytes([number; 16]) };
        // Not the id of whoever the history is of.
        let identity = Identity { replica: ReplicaId::from_bytes([number + 100; 16]), ..identity };
        let reads = Arc::<Reads>::default();
        let store = Self { store: MemoryStore::new(identity), reads: Arc::clone(&reads) };
        (Replica::open(store).await.unwrap(), reads)
    }
}

#[async_trait]
impl ReplicaStore for Counted {
    fn facts(&self) -> &Facts {
        self.store.facts()
    }
    async fn head(&self) -> Result<Head, StoreError> {
        self.store.head().await
    }
    async fn get_records(
        &self,
        keys: &[RecordKey],
    ) -> Result<Read<Vec<Option<RecordState>>>, StoreError> {
        self.reads.records.fetch_add(1, Ordering::Relaxed);
        self.store.get_records(keys).await
    }
    async fn scan_records(
        &self,
        scan: &RecordScan,
    ) -> Result<Page<RecordState, RecordKey>, StoreError> {
        self.reads.records.fetch_add(1, Ordering::Relaxed);
        self.store.scan_records(scan).await
    }
    async fn count_records(
        &self,
        record_type: Option<&RecordType>,
    ) -> Result<Read<RecordCounts>, StoreError> {
        self.reads.records.fetch_add(1, Ordering::Relaxed);
        self.store.count_records(record_type).await
    }
    async fn scan_log(&self, scan: &LogScan) -> Result<Page<LogEntry, Position>, StoreError> {
        let page = self.store.scan_log(scan).await?;
        self.reads.log.fetch_add(1, Ordering::Relaxed);
        self.reads.entries.fetch_add(page.items.len() as u64, Ordering::Relaxed);
        Ok(page)
    }
    async fn scan_history(
        &self,
        scan: &HistoryScan,
    ) -> Result<Page<LogEntry, Position>, StoreError> {
        self.reads.histories.fetch_add(1, Ordering::Relaxed);
        self.store.scan_history(scan).await
    }
    async fn scan_origin(
        &self,
        scan: &OriginScan,
    ) -> Result<Page<Authorship, OriginCursor>, StoreError> {
        self.store.scan_origin(scan).await
    }
    async fn find_changesets(
        &self,
        digests: &[Digest],
    ) -> Result<Read<Vec<Option<Position>>>, StoreError> {
        self.store.find_changesets(digests).await
    }
    async fn scan_resolutions(
        &self,
        scan: &ResolutionScan,
    ) -> Result<Page<Resolution, ResolutionCursor>, StoreError> {
        self.store.scan_resolutions(scan).await
    }
    async fn get_metadata(
        &self,
        keys: &[MetadataKey],
    ) -> Result<Read<Vec<Option<Vec<u8>>>>, StoreError> {
        self.store.get_metadata(keys).await
    }
    async fn scan_metadata(
        &self,
        scan: &MetadataScan,
    ) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError> {
        self.store.scan_metadata(scan).await
    }
    async fn commit(&self, commit: &Commit) -> Result<Head, StoreError> {
        self.reads.commits.fetch_add(1, Ordering::Relaxed);
        self.store.commit(commit).await
    }
    async fn verify(&self) -> Result<Verification, StoreError> {
        self.store.verify().await
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}
