//! The reference store: everything in memory, as plainly as the contract allows.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::id::{CommitId, ConflictId, Digest, Position, ReplicaId, Sequence, Version};
use crate::log::LogEntry;
use crate::name::{RecordKey, RecordType};
use crate::record::{Existence, RecordState};
use crate::resolution::Resolution;
use crate::store::{
    Access, Authorship, Capabilities, Commit, Direction, Durability, Facts, Head, HistoryScan,
    Identity, LogScan, MetadataKey, MetadataScan, OriginCursor, OriginScan, Page, PageBuilder,
    PageLimit, Read, RecordCounts, RecordScan, ReplicaStore, ResolutionCursor, ResolutionScan,
    Sharing, StoreError, Verification,
};

/// How many commit ids are remembered, as rule C4 asks.
const REMEMBERED_COMMITS: usize = 1_024;
const PLACE: &str = "a replica in memory";

/// Memory that a replica can be created in, closed, and opened from again while the process lives.
#[derive(Debug, Clone, Default)]
pub struct MemoryVolume(Arc<Mutex<Volume>>);

#[derive(Debug, Default)]
struct Volume {
    contents: Option<(Identity, Contents)>,
    open: bool,
}

impl MemoryVolume {
    /// Memory with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of what is in it, as a copied file would be: one that is written to as well as this
    /// one is a fork.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let contents = self.lock().contents.clone();
        Self(Arc::new(Mutex::new(Volume { contents, open: false })))
    }

    /// A panic while the lock is held cannot leave half a commit behind: every check comes before
    /// the first change, and the changes themselves do not fail.
    fn lock(&self) -> MutexGuard<'_, Volume> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A [`ReplicaStore`] in memory: the reference for what the contract means, and a fast store for
/// tests. One handle at a time, gone when the process ends.
///
/// ```
/// use futures_lite::future::block_on;
/// use prophet_store::{DatabaseId, Head, Identity, MemoryStore, ReplicaId, ReplicaStore};
///
/// let identity = Identity {
///     database: DatabaseId::from_bytes([1; 16]),
///     replica: ReplicaId::from_bytes([2; 16]),
/// };
/// let store = MemoryStore::new(identity);
/// assert_eq!(block_on(store.head())?, Head::EMPTY);
/// # Ok::<(), prophet_store::StoreError>(())
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    volume: MemoryVolume,
    facts: Facts,
    closed: Mutex<bool>,
}

impl MemoryStore {
    /// A new replica in memory of its own.
    pub fn new(identity: Identity) -> Self {
        let volume = MemoryVolume::new();
        *volume.lock() = Volume { contents: Some((identity, Contents::default())), open: true };
        Self::handle(volume, identity)
    }

    /// Creates a replica in `volume`.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] if there is one in it.
    pub fn create(volume: &MemoryVolume, identity: Identity) -> Result<Self, StoreError> {
        let mut guard = volume.lock();
        if guard.contents.is_some() {
            return Err(StoreError::already_exists(PLACE));
        }
        *guard = Volume { contents: Some((identity, Contents::default())), open: true };
        drop(guard);
        Ok(Self::handle(volume.clone(), identity))
    }

    /// Opens the replica in `volume`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is none, [`StoreError::Locked`] if it is open.
    pub fn open(volume: &MemoryVolume) -> Result<Self, StoreError> {
        let mut guard = volume.lock();
        let Some((identity, _)) = guard.contents else {
            return Err(StoreError::not_found(PLACE));
        };
        if guard.open {
            return Err(StoreError::locked(PLACE, "another handle of it is open"));
        }
        guard.open = true;
        drop(guard);
        Ok(Self::handle(volume.clone(), identity))
    }

    fn handle(volume: MemoryVolume, identity: Identity) -> Self {
        let capabilities = Capabilities {
            access: Access::ReadWrite,
            sharing: Sharing::Exclusive,
            durability: Durability::Volatile,
        };
        let facts = Facts { identity, place: PLACE.to_owned(), format: 1, capabilities };
        Self { volume, facts, closed: Mutex::new(false) }
    }

    fn with<T>(
        &self,
        use_it: impl FnOnce(&mut Contents) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // Held throughout, so that nothing is half done when `close` returns.
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        match (*closed, &mut self.volume.lock().contents) {
            (false, Some((_, contents))) => use_it(contents),
            _ => Err(StoreError::closed(PLACE)),
        }
    }

    fn release(&self) {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if !*closed {
            *closed = true;
            self.volume.lock().open = false;
        }
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.release();
    }
}

#[derive(Debug, Clone)]
struct Contents {
    head: Head,
    commits: VecDeque<(Version, CommitId)>,
    log: Vec<LogEntry>,
    positions: HashMap<Digest, Position>,
    origins: BTreeMap<ReplicaId, BTreeMap<OriginCursor, Position>>,
    histories: BTreeMap<RecordKey, Vec<Position>>,
    records: BTreeMap<RecordKey, RecordState>,
    resolutions: BTreeMap<ResolutionCursor, Resolution>,
    metadata: BTreeMap<MetadataKey, Vec<u8>>,
}

impl Default for Contents {
    fn default() -> Self {
        Self {
            head: Head::EMPTY,
            commits: VecDeque::new(),
            log: Vec::new(),
            positions: HashMap::new(),
            origins: BTreeMap::new(),
            histories: BTreeMap::new(),
            records: BTreeMap::new(),
            resolutions: BTreeMap::new(),
            metadata: BTreeMap::new(),
        }
    }
}

impl Contents {
    fn entry(&self, position: Position) -> Option<&LogEntry> {
        self.log.get(usize::try_from(position.get()).ok()?.checked_sub(1)?)
    }

    /// Whether `commit` was applied earlier, by its id while that is remembered, and from then on
    /// by the changesets it carries.
    fn was_applied(&self, commit: &Commit) -> bool {
        let version = commit.head().version;
        if let Some((_, id)) = self.commits.iter().find(|(applied, _)| *applied == version) {
            return *id == commit.id();
        }
        if version > self.head.version {
            // The replica was restored from before it: its changesets came again in another commit.
            return false;
        }
        !commit.entries().is_empty()
            && commit
                .entries()
                .iter()
                .all(|entry| self.positions.get(&entry.changeset.digest()) == Some(&entry.position))
    }

    fn apply(&mut self, commit: &Commit) -> Result<Head, StoreError> {
        if commit.base() != self.head {
            return match self.was_applied(commit) {
                true => Ok(commit.head()),
                false => Err(StoreError::stale_base(commit.base(), self.head)),
            };
        }
        commit.check_distinct()?;
        for entry in commit.entries() {
            let digest = entry.changeset.digest();
            if let Some(position) = self.positions.get(&digest) {
                return Err(StoreError::invalid_commit(format!(
                    "changeset {digest} is in the log already, at position {position}"
                )));
            }
        }
        for entry in commit.entries() {
            let header = entry.changeset.header();
            let digest = entry.changeset.digest();
            self.positions.insert(digest, entry.position);
            self.origins
                .entry(header.origin)
                .or_default()
                .insert((header.sequence, digest), entry.position);
            for record in entry.records() {
                self.histories.entry(record.clone()).or_default().push(entry.position);
            }
            self.log.push(entry.clone());
        }
        for (key, state) in commit.records() {
            self.records.insert(key.clone(), state.clone());
        }
        for resolution in commit.resolutions() {
            let cursor = (resolution.conflict(), resolution.changeset);
            self.resolutions.insert(cursor, resolution.clone());
        }
        for (key, value) in commit.metadata() {
            match value {
                Some(value) => self.metadata.insert(key.clone(), value.clone()),
                None => self.metadata.remove(key),
            };
        }
        self.head = commit.head();
        self.commits.push_back((self.head.version, commit.id()));
        if self.commits.len() > REMEMBERED_COMMITS {
            self.commits.pop_front();
        }
        Ok(self.head)
    }
}

fn fill<T, C>(
    limit: PageLimit,
    at: Head,
    items: impl IntoIterator<Item = (T, C, usize)>,
) -> Page<T, C> {
    let mut page = PageBuilder::new(limit, at);
    for (item, cursor, bytes) in items {
        if page.is_full() {
            return page.unfinished();
        }
        page.push(item, cursor, bytes);
    }
    page.finished()
}

/// The items of an ascending sequence, in the direction asked for.
fn directed<'a, T: 'a>(
    items: impl DoubleEndedIterator<Item = T> + 'a,
    direction: Direction,
) -> Box<dyn Iterator<Item = T> + 'a> {
    match direction {
        Direction::Forward => Box::new(items),
        Direction::Backward => Box::new(items.rev()),
    }
}

fn beyond<K>(after: Option<K>, direction: Direction) -> (Bound<K>, Bound<K>) {
    match (after, direction) {
        (None, _) => (Bound::Unbounded, Bound::Unbounded),
        (Some(after), Direction::Forward) => (Bound::Excluded(after), Bound::Unbounded),
        (Some(after), Direction::Backward) => (Bound::Unbounded, Bound::Excluded(after)),
    }
}

fn from<K>(after: Option<K>) -> (Bound<K>, Bound<K>) {
    beyond(after, Direction::Forward)
}

fn entry_item(entry: &LogEntry) -> (LogEntry, Position, usize) {
    (entry.clone(), entry.position, entry.changeset.payload_bytes().len() + 256)
}

#[async_trait]
impl ReplicaStore for MemoryStore {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.with(|contents| Ok(contents.head))
    }

    async fn get_records(
        &self,
        keys: &[RecordKey],
    ) -> Result<Read<Vec<Option<RecordState>>>, StoreError> {
        self.with(|contents| {
            let value = keys.iter().map(|key| contents.records.get(key).cloned()).collect();
            Ok(Read { value, at: contents.head })
        })
    }

    async fn scan_records(
        &self,
        scan: &RecordScan,
    ) -> Result<Page<RecordState, RecordKey>, StoreError> {
        self.with(|contents| {
            let first = scan.record_type.as_ref().map(|record_type| {
                RecordKey::new(record_type.clone(), crate::id::RecordId::from_bytes([0; 16]))
            });
            let start = match (first, scan.after.clone()) {
                (Some(first), after) if after.as_ref().is_none_or(|after| *after < first) => {
                    (Bound::Included(first), Bound::Unbounded)
                }
                (_, after) => from(after),
            };
            let wanted = |key: &RecordKey| {
                scan.record_type.as_ref().is_none_or(|wanted| wanted == key.record_type())
            };
            let records = contents
                .records
                .range(start)
                .take_while(|(key, _)| wanted(key))
                .map(|(key, state)| (state.clone(), key.clone(), state.approximate_size()));
            Ok(fill(scan.limit, contents.head, records))
        })
    }

    async fn count_records(
        &self,
        record_type: Option<&RecordType>,
    ) -> Result<Read<RecordCounts>, StoreError> {
        self.with(|contents| {
            let mut value = RecordCounts::new();
            for state in contents.records.values() {
                let of = state.key().record_type();
                let wanted = record_type.is_none_or(|wanted| wanted == of);
                if wanted && state.existence() == Existence::Alive {
                    *value.entry(of.clone()).or_default() += 1;
                }
            }
            Ok(Read { value, at: contents.head })
        })
    }

    async fn scan_log(&self, scan: &LogScan) -> Result<Page<LogEntry, Position>, StoreError> {
        self.with(|contents| {
            let len = contents.log.len();
            let after = scan.after.map(|after| usize::try_from(after.get()).unwrap_or(usize::MAX));
            let range = match (after, scan.direction) {
                (None, _) => 0..len,
                (Some(after), Direction::Forward) => after.min(len)..len,
                (Some(after), Direction::Backward) => 0..after.saturating_sub(1).min(len),
            };
            let entries = contents.log.get(range).unwrap_or_default();
            let entries = directed(entries.iter().map(entry_item), scan.direction);
            Ok(fill(scan.limit, contents.head, entries))
        })
    }

    async fn scan_history(
        &self,
        scan: &HistoryScan,
    ) -> Result<Page<LogEntry, Position>, StoreError> {
        self.with(|contents| {
            let positions = contents.histories.get(&scan.record).map_or(&[][..], Vec::as_slice);
            let positions = positions.iter().filter(|position| {
                scan.after.is_none_or(|after| match scan.direction {
                    Direction::Forward => **position > after,
                    Direction::Backward => **position < after,
                })
            });
            let entries = directed(positions, scan.direction)
                .filter_map(|position| contents.entry(*position))
                .map(entry_item);
            Ok(fill(scan.limit, contents.head, entries))
        })
    }

    async fn scan_origin(
        &self,
        scan: &OriginScan,
    ) -> Result<Page<Authorship, OriginCursor>, StoreError> {
        self.with(|contents| {
            let authored = contents.origins.get(&scan.origin).into_iter().flat_map(|authored| {
                directed(authored.range(beyond(scan.after, scan.direction)), scan.direction)
            });
            let authored = authored.map(|(cursor, position)| {
                let (sequence, digest): (Sequence, Digest) = *cursor;
                (Authorship { sequence, digest, position: *position }, *cursor, 64)
            });
            Ok(fill(scan.limit, contents.head, authored))
        })
    }

    async fn find_changesets(
        &self,
        digests: &[Digest],
    ) -> Result<Read<Vec<Option<Position>>>, StoreError> {
        self.with(|contents| {
            let value =
                digests.iter().map(|digest| contents.positions.get(digest).copied()).collect();
            Ok(Read { value, at: contents.head })
        })
    }

    async fn scan_resolutions(
        &self,
        scan: &ResolutionScan,
    ) -> Result<Page<Resolution, ResolutionCursor>, StoreError> {
        self.with(|contents| {
            let first = scan.conflict.map(|conflict| (conflict, Digest::from_bytes([0; 32])));
            let start = match (first, scan.after) {
                (Some(first), after) if after.is_none_or(|after| after < first) => {
                    (Bound::Included(first), Bound::Unbounded)
                }
                (_, after) => from(after),
            };
            let wanted = |conflict: &ConflictId| scan.conflict.is_none_or(|id| id == *conflict);
            let resolutions = contents
                .resolutions
                .range(start)
                .take_while(|((conflict, _), _)| wanted(conflict))
                .map(|(cursor, resolution)| (resolution.clone(), *cursor, 256));
            Ok(fill(scan.limit, contents.head, resolutions))
        })
    }

    async fn get_metadata(
        &self,
        keys: &[MetadataKey],
    ) -> Result<Read<Vec<Option<Vec<u8>>>>, StoreError> {
        self.with(|contents| {
            let value = keys.iter().map(|key| contents.metadata.get(key).cloned()).collect();
            Ok(Read { value, at: contents.head })
        })
    }

    async fn scan_metadata(
        &self,
        scan: &MetadataScan,
    ) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError> {
        self.with(|contents| {
            let pairs = contents
                .metadata
                .range(from(scan.after.clone()))
                .skip_while(|(key, _)| key.as_str() < scan.prefix.as_str())
                .take_while(|(key, _)| key.as_str().starts_with(&scan.prefix))
                .map(|(key, value)| ((key.clone(), value.clone()), key.clone(), value.len()));
            Ok(fill(scan.limit, contents.head, pairs))
        })
    }

    async fn commit(&self, commit: &Commit) -> Result<Head, StoreError> {
        self.with(|contents| contents.apply(commit))
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        self.with(|contents| {
            Ok(Verification {
                entries: contents.log.len() as u64,
                records: contents.records.len() as u64,
                resolutions: contents.resolutions.len() as u64,
                metadata: contents.metadata.len() as u64,
                problems: Vec::new(),
            })
        })
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.with(|_| Ok(()))?;
        self.release();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;

    use super::*;
    use crate::changeset::{Authored, Change, ChangeKind, Changeset, Payload};
    use crate::id::{DatabaseId, RecordId};
    use crate::name::Creator;
    use crate::time::Timestamp;

    /// The replica was restored from before it, and what it brings came again in another commit.
    #[test]
    fn a_commit_beyond_the_head_was_not_applied_whatever_it_brings() {
        let (database, origin) = (DatabaseId::from_bytes([1; 16]), ReplicaId::from_bytes([2; 16]));
        let record = RecordKey::new(RecordType::new("bug").unwrap(), RecordId::from_bytes([3; 16]));
        let create = Change {
            record,
            kind: ChangeKind::Create,
            supersedes: Vec::new(),
            properties: Vec::new(),
        };
        let changeset = Changeset::author(Authored {
            database,
            origin,
            sequence: Sequence::FIRST,
            previous: None,
            parents: Vec::new(),
            creator: Creator::new("ada@example.org").unwrap(),
            time: Timestamp::new(1_700_000_000_000, 0),
            payload: Payload::Edit(vec![create]),
        })
        .unwrap();
        let commit = |id: u8, base: Head| {
            let entry = LogEntry {
                position: base.position.next(),
                changeset: changeset.clone(),
                nullify: Vec::new(),
                settle: Vec::new(),
            };
            Commit::new(CommitId::from_bytes([id; 16]), base).with_entry(entry).unwrap()
        };
        let store = MemoryStore::new(Identity { database, replica: origin });
        let now = block_on(store.commit(&commit(1, Head::EMPTY))).unwrap();
        let lost = Head { version: now.version, ..Head::EMPTY };
        let beyond = commit(9, lost);
        assert!(beyond.head().version > now.version);
        let error = block_on(store.commit(&beyond)).unwrap_err();
        assert!(matches!(error, StoreError::StaleBase { .. }), "{error}");
        assert_eq!(block_on(store.commit(&commit(1, Head::EMPTY))).unwrap(), now);
    }
}
