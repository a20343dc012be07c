//! What reaches another through a door is what went in: the suite over a store that is read from what
//! it published, and replicas that sync only by bundles, and only by published trees.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use backend_fs::{FsOptions, FsStore};
use conformance::{Carrier, Harness, MemoryHarness, Place, Store, check_sync_through};
use futures_lite::future::block_on;
use prophet_files::{DirectoryFetch, DirectoryTree, PublishOptions, PublishedSource, publish};
use prophet_store::{
    Authorship, Bundle, ChangesetSource, Commit, Digest, Error, Facts, Head, HistoryScan, Identity,
    LogEntry, LogScan, MemoryStore, MemoryVolume, MetadataKey, MetadataScan, OriginCursor,
    OriginScan, Page, Position, Read, RecordCounts, RecordKey, RecordScan, RecordState, RecordType,
    Replica, ReplicaStore, Resolution, ResolutionCursor, ResolutionScan, StoreError, Verification,
    VersionVector, codec,
};
use tempfile::TempDir;

/// A store that takes commits in memory and is read from the tree that it publishes, but for what is
/// never published: its metadata.
struct Published {
    near: MemoryStore,
    /// The same, and in its metadata what it has seen: an engine notes that, and the checks commit
    /// without one.
    noted: Arc<MemoryStore>,
    tree: PathBuf,
    /// What was published last, and the head that it was of. No commit comes while it is locked.
    far: Mutex<Option<(Head, Arc<FsStore>)>>,
}

impl Published {
    fn new(near: MemoryStore, noted: MemoryStore, tree: PathBuf) -> Self {
        Self { near, noted: Arc::new(noted), tree, far: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Head, Arc<FsStore>)>> {
        self.far.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits, and notes what was seen.
    async fn note(&self, commit: &Commit) -> Result<Head, StoreError> {
        let head = self.near.commit(commit).await?;
        if self.noted.head().await? == commit.base() {
            let own = self.facts().identity.replica;
            let mut commit = commit.clone();
            let headers = commit.entries().iter().map(|entry| entry.changeset.header().origin);
            for origin in headers.filter(|origin| *origin != own).collect::<BTreeSet<_>>() {
                let key = MetadataKey::new(format!("sync/seen/{origin}")).expect("a short key");
                let known = self.noted.get_metadata(std::slice::from_ref(&key)).await?.value;
                let mut seen = match known.first() {
                    Some(Some(bytes)) => codec::decode_vector(bytes).expect("it was noted here"),
                    _ => VersionVector::new(),
                };
                for entry in commit.entries().iter().map(|entry| &entry.changeset) {
                    if entry.header().origin == origin {
                        seen.note(entry.header(), entry.digest());
                    }
                }
                commit = commit.with_metadata(key, Some(codec::encode_vector(&seen)))?;
            }
            self.noted.commit(&commit).await?;
        }
        Ok(head)
    }

    /// Publishes what there is, and opens that.
    fn far(&self) -> Result<(Head, Arc<FsStore>), StoreError> {
        let mut far = self.lock();
        let head = block_on(self.near.head())?;
        if let Some((at, store)) = &*far
            && *at == head
        {
            return Ok((head, Arc::clone(store)));
        }
        let replica = Replica::options().open_shared(Arc::clone(&self.noted) as _);
        let replica = block_on(replica).expect("a replica in memory opens");
        let tree = DirectoryTree::new(&self.tree);
        block_on(publish(&replica, &tree, PublishOptions::new())).expect("it publishes");
        let store = Arc::new(FsOptions::new().read_only(true).open(&self.tree)?);
        *far = Some((head, Arc::clone(&store)));
        Ok((head, store))
    }
}

impl std::fmt::Debug for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Published").field("tree", &self.tree).finish_non_exhaustive()
    }
}

/// The tree does not say of which version it is where only metadata changed.
fn paged<T, C>(at: Head, page: Page<T, C>) -> Page<T, C> {
    Page { at, ..page }
}

fn read<T>(at: Head, read: Read<T>) -> Read<T> {
    Read { at, ..read }
}

#[async_trait]
impl ReplicaStore for Published {
    fn facts(&self) -> &Facts {
        self.near.facts()
    }

    async fn commit(&self, commit: &Commit) -> Result<Head, StoreError> {
        let _far = self.lock();
        block_on(self.note(commit))
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.near.head().await
    }

    async fn get_records(
        &self,
        keys: &[RecordKey],
    ) -> Result<Read<Vec<Option<RecordState>>>, StoreError> {
        let (at, far) = self.far()?;
        Ok(read(at, far.get_records(keys).await?))
    }

    async fn scan_records(
        &self,
        scan: &RecordScan,
    ) -> Result<Page<RecordState, RecordKey>, StoreError> {
        let (at, far) = self.far()?;
        Ok(paged(at, far.scan_records(scan).await?))
    }

    async fn count_records(
        &self,
        record_type: Option<&RecordType>,
    ) -> Result<Read<RecordCounts>, StoreError> {
        let (at, far) = self.far()?;
        Ok(read(at, far.count_records(record_type).await?))
    }

    async fn scan_log(&self, scan: &LogScan) -> Result<Page<LogEntry, Position>, StoreError> {
        let (at, far) = self.far()?;
        Ok(paged(at, far.scan_log(scan).await?))
    }

    async fn scan_history(
        &self,
        scan: &HistoryScan,
    ) -> Result<Page<LogEntry, Position>, StoreError> {
        let (at, far) = self.far()?;
        Ok(paged(at, far.scan_history(scan).await?))
    }

    async fn scan_origin(
        &self,
        scan: &OriginScan,
    ) -> Result<Page<Authorship, OriginCursor>, StoreError> {
        let (at, far) = self.far()?;
        Ok(paged(at, far.scan_origin(scan).await?))
    }

    async fn find_changesets(
        &self,
        digests: &[Digest],
    ) -> Result<Read<Vec<Option<Position>>>, StoreError> {
        let (at, far) = self.far()?;
        Ok(read(at, far.find_changesets(digests).await?))
    }

    async fn scan_resolutions(
        &self,
        scan: &ResolutionScan,
    ) -> Result<Page<Resolution, ResolutionCursor>, StoreError> {
        let (at, far) = self.far()?;
        Ok(paged(at, far.scan_resolutions(scan).await?))
    }

    async fn get_metadata(
        &self,
        keys: &[MetadataKey],
    ) -> Result<Read<Vec<Option<Vec<u8>>>>, StoreError> {
        self.near.get_metadata(keys).await
    }

    async fn scan_metadata(
        &self,
        scan: &MetadataScan,
    ) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError> {
        self.near.scan_metadata(scan).await
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        let (_, far) = self.far()?;
        let mut found = self.near.verify().await?;
        found.problems.extend(far.verify().await?.problems);
        Ok(found)
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.noted.close().await?;
        self.near.close().await
    }
}

struct PublishedHarness;

impl Harness for PublishedHarness {
    fn place(&self) -> Box<dyn Place> {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let volumes = [MemoryVolume::new(), MemoryVolume::new()];
        Box::new(PublishedPlace { volumes, directory })
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        Err(StoreError::not_found(address))
    }
}

struct PublishedPlace {
    volumes: [MemoryVolume; 2],
    directory: TempDir,
}

impl PublishedPlace {
    fn over(
        &self,
        open: impl Fn(&MemoryVolume) -> Result<MemoryStore, StoreError>,
    ) -> Result<Store, StoreError> {
        let [near, noted] = &self.volumes;
        let tree = self.directory.path().join("tree");
        Ok(Arc::new(Published::new(open(near)?, open(noted)?, tree)))
    }
}

impl Place for PublishedPlace {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        self.over(|volume| MemoryStore::create(volume, identity))
    }

    fn open(&self) -> Result<Store, StoreError> {
        self.over(MemoryStore::open)
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        None
    }

    fn address(&self) -> Option<String> {
        None
    }
}

conformance::suite!(
    published,
    PublishedHarness,
    without = [address, several_processes, read_only, faults, power_loss, damage]
);

/// A bundle of what the other lacks, each time.
struct ByBundle;

#[async_trait]
impl Carrier for ByBundle {
    async fn carry<'a>(
        &'a self,
        from: &'a Replica,
        basis: &VersionVector,
    ) -> Result<Box<dyn ChangesetSource + 'a>, Error> {
        let bundle = |basis: VersionVector| async move {
            let mut bytes = Vec::new();
            from.bundle(&basis, &mut bytes).await?;
            Bundle::read(Cursor::new(bytes), "a bundle")
        };
        let for_it = bundle(basis.clone()).await?;
        // What it takes for known may be of a branch that is not: then it takes one of everything.
        let mut tips = for_it.summary().basis.tips();
        let known =
            tips.all(|(origin, tips)| tips.iter().all(|it| basis.has_tip(origin, it.digest)));
        drop(tips);
        let bundle = if known { for_it } else { bundle(VersionVector::new()).await? };
        Ok(Box::new(bundle))
    }
}

/// A tree, published anew each time, or what is new of it.
struct ByTree(TempDir);

#[async_trait]
impl Carrier for ByTree {
    async fn carry<'a>(
        &'a self,
        from: &'a Replica,
        _: &VersionVector,
    ) -> Result<Box<dyn ChangesetSource + 'a>, Error> {
        // A replica that was restored has another author, and not what it published before.
        let name = format!("{}", from.author().await?);
        let path = self.0.path().join(name);
        let options = PublishOptions::new();
        publish(from, &DirectoryTree::new(&path), options).await.expect("it publishes");
        Ok(Box::new(PublishedSource::open(DirectoryFetch::new(&path)).await?))
    }
}

#[test]
fn replicas_sync_by_bundles() {
    check_sync_through(&MemoryHarness::new(), &|| Box::new(ByBundle), 48);
}

#[test]
fn replicas_sync_by_published_trees() {
    let carrier = || -> Box<dyn Carrier> {
        Box::new(ByTree(TempDir::new().expect("a temporary directory can be made")))
    };
    check_sync_through(&MemoryHarness::new(), &carrier, 16);
}
