//! What happens where things go wrong at the worst moment.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_lite::StreamExt as _;
use futures_lite::future::{block_on, poll_once};
use prophet_store::*;

fn identity() -> Identity {
    Identity { database: DatabaseId::from_bytes([1; 16]), replica: ReplicaId::from_bytes([2; 16]) }
}

/// Time that stands still unless moved, and chance that counts.
#[derive(Debug, Default)]
struct Still {
    now: AtomicU64,
    drawn: AtomicU64,
}

impl Environment for Still {
    fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    fn random(&self, bytes: &mut [u8]) -> std::io::Result<()> {
        let drawn = self.drawn.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        for (byte, drawn) in bytes.iter_mut().rev().zip(drawn.iter().rev()) {
            *byte = *drawn;
        }
        Ok(())
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        // Time does not pass, but others get their turn.
        Box::pin(futures_lite::future::yield_now())
    }
}

fn name(text: &str) -> Properties {
    Properties::try_from([("name", Value::from(text))]).unwrap()
}

/// What a commit does.
#[derive(Debug, Clone, Copy)]
enum Act {
    Works,
    /// It is applied, and the answer is lost.
    Lost,
    /// It is applied, and the answer never comes.
    Silent,
    /// It is refused, whether an earlier attempt was applied or not.
    Busy,
    Closed,
}

/// A store whose next commits do as told, and those after them what they should.
#[derive(Debug)]
struct Scripted {
    store: MemoryStore,
    script: Mutex<VecDeque<Act>>,
    /// The size of the largest commit so far.
    largest: AtomicU64,
}

impl Scripted {
    fn new(script: &[Act]) -> Self {
        let script = Mutex::new(script.iter().copied().collect());
        Self { store: MemoryStore::new(identity()), script, largest: AtomicU64::new(0) }
    }
}

#[async_trait]
impl ReplicaStore for Scripted {
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
        self.store.get_records(keys).await
    }
    async fn scan_records(
        &self,
        scan: &RecordScan,
    ) -> Result<Page<RecordState, RecordKey>, StoreError> {
        self.store.scan_records(scan).await
    }
    async fn scan_log(&self, scan: &LogScan) -> Result<Page<LogEntry, Position>, StoreError> {
        self.store.scan_log(scan).await
    }
    async fn scan_history(
        &self,
        scan: &HistoryScan,
    ) -> Result<Page<LogEntry, Position>, StoreError> {
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
        self.largest.fetch_max(commit.size(), Ordering::SeqCst);
        let act = self.script.lock().unwrap().pop_front();
        match act {
            None | Some(Act::Works) => self.store.commit(commit).await,
            Some(Act::Busy) => Err(StoreError::busy("here", "somebody else writes")),
            Some(Act::Closed) => Err(StoreError::closed("here")),
            Some(Act::Lost) => {
                self.store.commit(commit).await?;
                Err(StoreError::outcome_unknown(commit.id(), "here", None))
            }
            Some(Act::Silent) => {
                self.store.commit(commit).await?;
                std::future::pending().await
            }
        }
    }
    async fn verify(&self) -> Result<Verification, StoreError> {
        self.store.verify().await
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}

async fn scripted(script: &[Act]) -> Replica {
    Replica::options().environment(Still::default()).open(Scripted::new(script)).await.unwrap()
}

fn is_unknown(error: &Error) -> bool {
    matches!(error.as_store(), Some(StoreError::OutcomeUnknown { .. }))
}

#[test]
fn a_refusal_after_a_lost_answer_does_not_say_that_nothing_was_applied() {
    block_on(async {
        let one_by_one = [Act::Lost, Act::Closed, Act::Closed];
        let all_busy = [Act::Lost, Act::Busy, Act::Busy, Act::Busy, Act::Busy];
        for script in [&one_by_one[..], &all_busy] {
            let replica = scripted(script).await;
            let error = replica.create("person", name("Ada")).await.unwrap_err();
            assert!(is_unknown(&error), "it was applied, but the answer is: {error}");
            if script.len() == one_by_one.len() {
                let error = replica.create("person", name("Grace")).await.unwrap_err();
                assert!(is_unknown(&error), "nothing new is made before it is settled: {error}");
                let why = std::error::Error::source(error.as_store().unwrap()).unwrap();
                assert!(why.to_string().contains("closed"), "{why}");
            }
            replica.create("person", name("Grace")).await.unwrap();
            assert_eq!(replica.count(&Query::of("person").unwrap()).await.unwrap(), 2);
            assert!(replica.store().audit().await.unwrap().is_sound());
        }
    });
}

#[test]
fn a_refusal_after_a_dropped_commit_does_not_say_that_nothing_was_applied() {
    block_on(async {
        let script = [Act::Silent, Act::Works, Act::Silent, Act::Closed];
        let replica = scripted(&script).await;
        let create = |text| Box::pin(replica.create("person", name(text)));
        let (mut first, mut second, mut third) = (create("Ada"), create("Grace"), create("Edsger"));
        for edit in [&mut first, &mut second, &mut third] {
            assert!(poll_once(edit).await.is_none());
        }
        drop(first);
        // The second settles that, and then carries out its own commit and the third's.
        assert!(poll_once(&mut second).await.is_none());
        drop(second);
        let error = third.await.unwrap_err();
        assert!(is_unknown(&error), "it was applied, but the answer is: {error}");
        replica.create("person", name("Barbara")).await.unwrap();
        assert_eq!(replica.count(&Query::of("person").unwrap()).await.unwrap(), 4);
        assert!(replica.store().audit().await.unwrap().is_sound());
    });
}

#[test]
fn what_a_rule_refused_in_a_changeset_is_not_left_out_of_the_edit() {
    block_on(async {
        let rules = RecordRules::new()
            .validate("name", |name| name.map(|_| ()).ok_or_else(|| "is needed".to_owned()))
            .unwrap();
        let options = Replica::options().environment(Still::default());
        let options = options.rules("person", rules).unwrap();
        let replica = options.open(MemoryStore::new(identity())).await.unwrap();
        let edited = replica
            .edit(|edit| async move {
                edit.create("person", Properties::new()).await?;
                assert!(edit.begin_changeset(Creator::empty(), None).is_err());
                edit.create("person", name("Ada")).await
            })
            .await;
        assert!(matches!(edited, Err(Error::Rejected(_))), "{edited:?}");
        assert_eq!(replica.head().await.unwrap(), Head::EMPTY);

        let edited = replica
            .edit(|edit| async move {
                let key = edit.create("person", Properties::new()).await?;
                assert!(edit.begin_changeset(Creator::empty(), None).is_err());
                edit.update(&key, name("Ada")).await?;
                edit.begin_changeset(Creator::empty(), None)
            })
            .await
            .unwrap();
        assert_eq!(edited.changesets.len(), 1, "what was refused can be put right");
    });
}

#[test]
fn a_copy_takes_no_more_at_once_than_an_entry_and_a_page() {
    const MEBIBYTE: usize = 1 << 20;
    block_on(async {
        let replica = scripted(&[]).await;
        for n in 0..12 {
            let photo = Properties::try_from([("photo", Value::from(vec![n; MEBIBYTE]))]).unwrap();
            replica.create("photo", photo).await.unwrap();
            let metadata = MetadataKey::new(format!("app/{n}")).unwrap();
            let commit =
                Commit::new(CommitId::from_bytes([n + 1; 16]), replica.head().await.unwrap());
            let commit = commit.with_metadata(metadata, Some(vec![n; MEBIBYTE])).unwrap();
            replica.store().commit(&commit).await.unwrap();
        }
        // Small entries, all on one page of the log, that touch large records.
        let photos: Vec<_> =
            replica.find(&Query::of("photo").unwrap()).map(|photo| photo.unwrap()).collect().await;
        for photo in &photos {
            replica.update(photo.key(), name("Ada")).await.unwrap();
        }
        let target = Scripted::new(&[]);
        replica.store().copy_to(&target).await.unwrap();
        let largest = target.largest.load(Ordering::SeqCst);
        assert!(largest < 7 * MEBIBYTE as u64, "a commit of {largest} bytes");
        assert!(target.audit().await.unwrap().is_sound());
        assert_eq!(target.stream_metadata(MetadataScan::default()).count().await, 12);
        let scan = RecordScan::default();
        let copied: Vec<_> = target.stream_records(scan.clone()).try_collect().await.unwrap();
        let records: Vec<_> = replica.store().stream_records(scan).try_collect().await.unwrap();
        assert_eq!(copied, records);
    });
}
