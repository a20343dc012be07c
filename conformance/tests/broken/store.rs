//! A wrapper around the reference store with one fault in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use conformance::{Harness, Place, Store};
use futures_lite::future::{block_on, yield_now};
use prophet_store::{
    Access, Authorship, Commit, CommitId, Comparison, Digest, Direction, Existence, Facts, Head,
    HistoryScan, Identity, LogEntry, LogScan, MemoryStore, MemoryVolume, MetadataKey, MetadataScan,
    OriginCursor, OriginScan, Page, PageLimit, Position, Predicate, PropertyName, Read, RecordKey,
    RecordScan, RecordState, RecordType, Register, ReplicaId, ReplicaStore, Resolution,
    ResolutionCursor, ResolutionScan, Sharing, StoreError, Timestamp, Value, Verification, Write,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    IgnoresTheBase,
    IgnoresTheIdOfTheBase,
    NamesTheWrongHead,
    AnswersWithTheBase,
    RefusesEmptyCommits,
    KeepsTheMetadataOfRefusedCommits,
    SkipsKnownChangesets,
    SkipsRepeatedChangesets,
    TearsBatches,
    ReadsAtAnOldHead,
    ForgetsCommits,
    ForgetsAllButTheLastCommit,
    ForgetsCommitsOnReopen,
    RemembersAThousandCommits,
    ForgetsOldChangesets,
    AppliesAgain,
    TakesAnyOldCommitForApplied,
    AnswersWithTheHeadOfToday,
    SortsBatches,
    HidesDeletedRecords,
    NeverReplacesRecords,
    KeepsOneWrite,
    OrdersRecordsBackwards,
    TakesTypesForPrefixes,
    DropsAdjustments,
    SkipsAPosition,
    KeepsTenEntries,
    ReadsPositionsAsSigned,
    FindsNothingTwice,
    HistoryOfChangesOnly,
    HistoryWithoutVotes,
    OneBranchOfAFork,
    OneVoteOfAConflict,
    FoldsMetadataKeys,
    AbsentMetadataIsEmpty,
    KeepsRemovedMetadata,
    OrdersMetadataByCase,
    TakesPrefixesForPatterns,
    ShowsTheCursorAgain,
    SkipsAfterTheCursor,
    DropsMore,
    StandsStill,
    NeverEnds,
    IgnoresThePageLimit,
    IgnoresTheByteLimit,
    CountsInsteadOfCursors,
    CursorsDieWithTheHandle,
    LosesEmptyTexts,
    CutsTextAtNul,
    RoundsIntegers,
    SignedTimes,
    SmallBytes,
    FoldsRecordTypes,
    FoldsPropertyNames,
    LowLimits,
    HintsWithThreeValues,
    HintsInFloatingPoint,
    HintsFoldNumbersAndTruth,
    HintsWithBrokenNames,
    AnswersAfterClose,
    OpensTwice,
    StaysLocked,
    CreatesOver,
    OpensNothing,
    DeclaresSharing,
    DeclaresReadOnly,
    ChangesItsFacts,
    VerifiesNothing,
    LosesAllOnDrop,
    LosesTheLastCommitOnDrop,
    StaysBusyWhenDropped,
    HangsOnToADroppedRead,
}

#[derive(Debug)]
pub(crate) struct BrokenHarness(Fault);

impl BrokenHarness {
    pub(crate) const fn new(fault: Fault) -> Self {
        Self(fault)
    }
}

impl Harness for BrokenHarness {
    fn place(&self) -> Box<dyn Place> {
        Box::new(BrokenPlace { fault: self.0, kept: Mutex::default() })
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        Err(StoreError::not_found(address))
    }
}

/// What is at the place, beside what the reference store keeps.
#[derive(Debug, Default, Clone)]
struct Kept {
    volume: MemoryVolume,
    /// For the store that can be opened twice.
    shared: Option<Arc<MemoryStore>>,
    identity: Option<Identity>,
    /// All that was committed, for the store that loses the last of it.
    commits: Arc<Mutex<Vec<Commit>>>,
    /// How many handles there have been.
    handles: u8,
}

struct BrokenPlace {
    fault: Fault,
    kept: Mutex<Kept>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BrokenPlace {
    fn handle(&self, kept: &mut Kept, inner: Arc<MemoryStore>) -> Store {
        kept.handles += 1;
        let mut facts = inner.facts().clone();
        match self.fault {
            Fault::DeclaresSharing => facts.capabilities.sharing = Sharing::Processes,
            Fault::DeclaresReadOnly => facts.capabilities.access = Access::ReadOnly,
            Fault::ChangesItsFacts => {
                facts.identity.replica = ReplicaId::from_bytes([kept.handles + 0x0F; 16]);
            }
            _ => {}
        }
        if self.fault == Fault::OpensTwice || self.fault == Fault::StaysLocked {
            kept.shared = Some(inner.clone());
        }
        kept.identity = Some(inner.facts().identity);
        Arc::new(Broken {
            inner,
            fault: self.fault,
            facts,
            commits: kept.commits.clone(),
            reopened: kept.handles > 1,
            old: Mutex::new(Head::EMPTY),
            counts: Mutex::default(),
            busy: AtomicBool::new(false),
            first: Mutex::default(),
        })
    }
}

impl Place for BrokenPlace {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        let mut kept = locked(&self.kept);
        if self.fault == Fault::CreatesOver {
            kept.volume = MemoryVolume::new();
        }
        let inner = Arc::new(MemoryStore::create(&kept.volume, identity)?);
        Ok(self.handle(&mut kept, inner))
    }

    fn open(&self) -> Result<Store, StoreError> {
        let mut kept = locked(&self.kept);
        let fresh = Identity {
            database: prophet_store::DatabaseId::from_bytes([0; 16]),
            replica: ReplicaId::from_bytes([0; 16]),
        };
        let inner = match (self.fault, kept.identity) {
            (Fault::OpensNothing, None) => Arc::new(MemoryStore::create(&kept.volume, fresh)?),
            (Fault::OpensTwice, Some(_)) => match &kept.shared {
                Some(shared) => shared.clone(),
                None => Arc::new(MemoryStore::open(&kept.volume)?),
            },
            (Fault::LosesAllOnDrop, Some(identity)) => {
                drop(MemoryStore::open(&kept.volume)?);
                kept.volume = MemoryVolume::new();
                Arc::new(MemoryStore::create(&kept.volume, identity)?)
            }
            (Fault::LosesTheLastCommitOnDrop, Some(identity)) => {
                drop(MemoryStore::open(&kept.volume)?);
                kept.volume = MemoryVolume::new();
                let again = MemoryStore::create(&kept.volume, identity)?;
                let mut commits = locked(&kept.commits);
                commits.pop();
                for commit in commits.iter() {
                    block_on(again.commit(commit))?;
                }
                drop(commits);
                Arc::new(again)
            }
            (Fault::StaysLocked, Some(_)) => return Err(StoreError::locked("it", "for ever")),
            _ => Arc::new(MemoryStore::open(&kept.volume)?),
        };
        Ok(self.handle(&mut kept, inner))
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        None
    }

    fn address(&self) -> Option<String> {
        None
    }
}

#[derive(Debug)]
struct Broken {
    inner: Arc<MemoryStore>,
    fault: Fault,
    facts: Facts,
    commits: Arc<Mutex<Vec<Commit>>>,
    reopened: bool,
    /// The head before the last.
    old: Mutex<Head>,
    /// What a cursor counted for when it was given out.
    counts: Mutex<BTreeMap<MetadataKey, usize>>,
    busy: AtomicBool,
    /// The first state that each record had.
    first: Mutex<BTreeMap<RecordKey, RecordState>>,
}

/// Sets a flag while something is under way, and forgets to take it back when that is dropped.
async fn marked<T>(flag: &AtomicBool, work: impl Future<Output = T>) -> Result<T, StoreError> {
    if flag.swap(true, Ordering::AcqRel) {
        return Err(StoreError::io("it", "waiting", "it is in use for ever"));
    }
    yield_now().await;
    let done = work.await;
    flag.store(false, Ordering::Release);
    Ok(done)
}

/// The commit with other parts, on another base.
fn remade(
    commit: &Commit,
    id: CommitId,
    base: Head,
    entries: impl IntoIterator<Item = LogEntry>,
    records: impl IntoIterator<Item = RecordState>,
    metadata: impl IntoIterator<Item = (MetadataKey, Option<Vec<u8>>)>,
) -> Result<Commit, StoreError> {
    let mut made = Commit::new(id, base);
    for entry in entries {
        let position = made.head().position.next();
        made = made.with_entry(LogEntry { position, ..entry })?;
    }
    for state in records {
        made = made.with_record(state)?;
    }
    for resolution in commit.resolutions() {
        made = made.with_resolution(resolution.clone())?;
    }
    for (key, value) in metadata {
        made = made.with_metadata(key, value)?;
    }
    Ok(made)
}

fn pairs(commit: &Commit) -> impl Iterator<Item = (MetadataKey, Option<Vec<u8>>)> + '_ {
    commit.metadata().iter().map(|(key, value)| (key.clone(), value.clone()))
}

/// The state with each live write of its properties made anew.
fn rewritten(
    state: &RecordState,
    name: impl Fn(&PropertyName) -> PropertyName,
    write: impl Fn(&Write) -> Option<Write>,
) -> RecordState {
    let mut properties = BTreeMap::new();
    for (old, register) in state.properties() {
        let writes: Vec<_> = register.writes().iter().filter_map(&write).collect();
        if !writes.is_empty() {
            properties.insert(name(old), Register::new(writes));
        }
    }
    let existence = state.existence_register().clone();
    RecordState::from_registers(state.key().clone(), state.changed(), existence, properties)
        .expect("the existence is as it was")
}

fn folded_type(record_type: &RecordType) -> RecordType {
    RecordType::new(record_type.as_str().to_lowercase()).unwrap_or_else(|_| record_type.clone())
}

/// Three-valued logic, in which what is absent is neither true nor false.
fn three_valued(predicate: &Predicate, state: &RecordState) -> Option<bool> {
    let value = |name: &PropertyName| state.visible_property(name.as_str());
    match predicate {
        Predicate::Not(inner) => Some(!three_valued(inner, state)?),
        Predicate::And(all) => {
            let parts: Vec<_> = all.iter().map(|one| three_valued(one, state)).collect();
            if parts.contains(&Some(false)) {
                return Some(false);
            }
            parts.iter().all(Option::is_some).then_some(true)
        }
        Predicate::Or(any) => {
            let parts: Vec<_> = any.iter().map(|one| three_valued(one, state)).collect();
            if parts.contains(&Some(true)) {
                return Some(true);
            }
            parts.iter().all(Option::is_some).then_some(false)
        }
        Predicate::Compare { property, .. }
        | Predicate::Contains { property, .. }
        | Predicate::StartsWith { property, .. }
        | Predicate::Matches { property, .. }
        | Predicate::In { property, .. }
            if value(property).is_none() =>
        {
            None
        }
        other => Some(other.holds(&value)),
    }
}

impl Broken {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn keeps(&self, hint: &Predicate, state: &RecordState) -> bool {
        let value = |name: &PropertyName| state.visible_property(name.as_str());
        match (self.fault, hint) {
            (Fault::HintsWithThreeValues, hint) => three_valued(hint, state) == Some(true),
            (Fault::HintsInFloatingPoint, Predicate::Compare { property, is, value: wanted }) => {
                let (Some(Value::Integer(found)), Value::Integer(wanted)) =
                    (value(property), wanted)
                else {
                    return true;
                };
                let (found, wanted) = (*found as f64, *wanted as f64);
                match is {
                    Comparison::Eq => found == wanted,
                    Comparison::Ne => found != wanted,
                    Comparison::Lt => found < wanted,
                    Comparison::Le => found <= wanted,
                    Comparison::Gt => found > wanted,
                    Comparison::Ge => found >= wanted,
                }
            }
            (Fault::HintsFoldNumbersAndTruth, Predicate::And(all)) => {
                all.iter().all(|part| match part {
                    Predicate::Compare { property, value: Value::Boolean(truth), .. } => {
                        value(property) == Some(&Value::from(i32::from(*truth)))
                    }
                    _ => true,
                })
            }
            (Fault::HintsWithBrokenNames, Predicate::Exists(name)) => {
                !name.as_str().contains(['"', '.', '$']) && value(name).is_some()
            }
            _ => true,
        }
    }

    fn limit(&self, limit: PageLimit) -> PageLimit {
        match self.fault {
            Fault::IgnoresThePageLimit => PageLimit { items: usize::MAX, ..limit },
            Fault::IgnoresTheByteLimit => PageLimit { bytes: usize::MAX, ..limit },
            _ => limit,
        }
    }

    /// What goes wrong with any page.
    fn page<T, C: Clone>(
        &self,
        mut page: Page<T, C>,
        after: Option<C>,
        cursor: impl Fn(&T) -> C,
    ) -> Page<T, C> {
        match self.fault {
            Fault::DropsMore => page.more = None,
            Fault::StandsStill if page.more.is_some() && after.is_some() => page.more = after,
            Fault::NeverEnds => page.more = page.items.last().map(cursor).or(after),
            Fault::SkipsAfterTheCursor if after.is_some() && !page.items.is_empty() => {
                page.items.remove(0);
            }
            Fault::ReadsAtAnOldHead => page.at = *locked(&self.old),
            _ => {}
        }
        page
    }

    fn state(&self, state: RecordState) -> Option<RecordState> {
        let same = PropertyName::clone;
        let value = |change: fn(&Value) -> Option<Value>| {
            move |write: &Write| {
                let value = match &write.value {
                    Some(value) => Some(change(value)?),
                    None => None,
                };
                Some(Write::new(write.changeset, write.rank, value))
            }
        };
        Some(match self.fault {
            Fault::HidesDeletedRecords if state.existence() == Existence::Deleted => return None,
            Fault::NeverReplacesRecords => {
                let mut first = locked(&self.first);
                first.entry(state.key().clone()).or_insert(state).clone()
            }
            Fault::KeepsOneWrite => {
                let kept = |register: &Register| register.writes().last().cloned();
                let last: Vec<_> = state.properties().values().filter_map(kept).collect();
                rewritten(&state, same, |write| last.contains(write).then(|| write.clone()))
            }
            Fault::LosesEmptyTexts => rewritten(
                &state,
                same,
                value(|value| (value.as_text() != Some("")).then(|| value.clone())),
            ),
            Fault::CutsTextAtNul => rewritten(
                &state,
                same,
                value(|value| {
                    Some(match value.as_text().and_then(|text| text.split_once('\0')) {
                        Some((text, _)) => Value::from(text),
                        None => value.clone(),
                    })
                }),
            ),
            Fault::RoundsIntegers => rewritten(
                &state,
                same,
                value(|value| {
                    Some(match value {
                        Value::Integer(number) => Value::Integer(*number as f64 as i64),
                        other => other.clone(),
                    })
                }),
            ),
            Fault::SmallBytes => rewritten(
                &state,
                same,
                value(|value| {
                    Some(match value {
                        Value::Bytes(bytes) => Value::from(&bytes[..bytes.len().min(1 << 22)]),
                        other => other.clone(),
                    })
                }),
            ),
            Fault::SignedTimes => rewritten(&state, same, |write| {
                let millis = write.rank.millis().min(i64::MAX as u64);
                let rank = Timestamp::new(millis, write.rank.counter());
                Some(Write::new(write.changeset, rank, write.value.clone()))
            }),
            Fault::FoldsPropertyNames => rewritten(
                &state,
                |name| PropertyName::new(name.as_str().to_lowercase()).unwrap_or(name.clone()),
                |write| Some(write.clone()),
            ),
            _ => state,
        })
    }

    fn entry(&self, mut entry: LogEntry) -> LogEntry {
        if self.is(Fault::DropsAdjustments) {
            entry.nullify.clear();
            entry.settle.clear();
        }
        entry
    }

    fn in_history(&self, entry: &LogEntry, record: &RecordKey) -> bool {
        let changes = entry.changeset.changes().iter().any(|change| change.record == *record);
        let votes = entry.changeset.payload().votes().iter().any(|vote| vote.record == *record);
        match self.fault {
            Fault::HistoryOfChangesOnly => changes || votes,
            Fault::HistoryWithoutVotes => !votes,
            _ => true,
        }
    }

    async fn reading(&self) -> Result<(), StoreError> {
        if self.is(Fault::HangsOnToADroppedRead) {
            marked(&self.busy, async {}).await?;
        }
        Ok(())
    }

    /// How the commit reaches the reference store, and what it is like when it does.
    async fn send(&self, commit: &Commit) -> Result<Head, StoreError> {
        let head = self.inner.head().await?;
        let id = commit.id();
        let stale = commit.base() != head;
        let refused = || StoreError::stale_base(commit.base(), head);
        let entries = || commit.entries().iter().cloned();
        let records = || commit.records().values().cloned();
        let age = head.version.get().saturating_sub(commit.head().version.get());
        let commit = match self.fault {
            Fault::IgnoresTheBase if stale && id != head.commit => {
                remade(commit, id, head, entries(), records(), pairs(commit))?
            }
            Fault::IgnoresTheIdOfTheBase
                if (commit.base().version, commit.base().position)
                    == (head.version, head.position) =>
            {
                remade(commit, id, head, entries(), records(), pairs(commit))?
            }
            Fault::RefusesEmptyCommits
                if commit.entries().is_empty() && commit.metadata().is_empty() =>
            {
                return Err(StoreError::invalid_commit("it is empty"));
            }
            Fault::ForgetsCommits if stale => return Err(refused()),
            Fault::ForgetsAllButTheLastCommit if stale && age > 0 => return Err(refused()),
            Fault::ForgetsCommitsOnReopen if stale && self.reopened => return Err(refused()),
            Fault::RemembersAThousandCommits if stale && age >= 1_000 => return Err(refused()),
            Fault::ForgetsOldChangesets if stale && age >= 1_024 => return Err(refused()),
            Fault::TakesAnyOldCommitForApplied if stale && age > 0 => return Ok(commit.head()),
            Fault::AppliesAgain if stale => {
                let answer = self.inner.commit(commit).await?;
                let mut id = *id.as_bytes();
                id[0] ^= 0xFF;
                let again = CommitId::from_bytes(id);
                let effects = remade(commit, again, head, [], records(), pairs(commit))?;
                self.inner.commit(&effects).await?;
                return Ok(answer);
            }
            Fault::SkipsKnownChangesets | Fault::SkipsRepeatedChangesets if !stale => {
                let mut fresh: Vec<LogEntry> = Vec::new();
                let mut seen = BTreeSet::new();
                for entry in entries() {
                    let digest = entry.changeset.digest();
                    let known = self.inner.find_changesets(&[digest]).await?.value[0].is_some();
                    let twice = !seen.insert(digest);
                    let skips = match self.fault {
                        Fault::SkipsKnownChangesets => known,
                        _ => twice,
                    };
                    if !skips {
                        fresh.push(entry);
                    }
                }
                remade(commit, id, head, fresh, records(), pairs(commit))?
            }
            Fault::FoldsMetadataKeys => {
                let folded = pairs(commit).map(|(key, value)| {
                    let lower = MetadataKey::new(key.as_str().to_lowercase()).unwrap_or(key);
                    (lower, value)
                });
                remade(commit, id, commit.base(), entries(), records(), folded)?
            }
            Fault::FoldsRecordTypes => {
                let folded = records().map(|state| {
                    let key =
                        RecordKey::new(folded_type(state.key().record_type()), state.key().id());
                    let existence = state.existence_register().clone();
                    let properties = state.properties().clone();
                    RecordState::from_registers(key, state.changed(), existence, properties)
                        .expect("the existence is as it was")
                });
                remade(commit, id, commit.base(), entries(), folded, pairs(commit))?
            }
            Fault::KeepsRemovedMetadata => {
                let kept = pairs(commit).map(|(key, value)| (key, Some(value.unwrap_or_default())));
                remade(commit, id, commit.base(), entries(), records(), kept)?
            }
            Fault::LowLimits
                if pairs(commit)
                    .any(|(_, value)| value.is_some_and(|value| value.len() >= 1_000_000)) =>
            {
                return Err(StoreError::invalid_commit("it is too large for this store"));
            }
            _ => commit.clone(),
        };
        let answer = self.inner.commit(&commit).await;
        match (self.fault, answer) {
            (Fault::NamesTheWrongHead, Err(StoreError::StaleBase { base, .. })) => {
                Err(StoreError::stale_base(base, base))
            }
            (Fault::AnswersWithTheBase, Ok(_)) => Ok(commit.base()),
            (Fault::AnswersWithTheHeadOfToday, Ok(_)) => self.inner.head().await,
            (Fault::KeepsTheMetadataOfRefusedCommits, Err(error)) => {
                let mut id = *id.as_bytes();
                id[0] ^= 0xFF;
                let id = CommitId::from_bytes(id);
                let half = remade(&commit, id, head, [], [], pairs(&commit))?;
                self.inner.commit(&half).await?;
                Err(error)
            }
            (_, answer) => answer,
        }
    }
}

#[async_trait]
impl ReplicaStore for Broken {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.reading().await?;
        match self.inner.head().await {
            Err(StoreError::Closed { .. }) if self.is(Fault::AnswersAfterClose) => Ok(Head::EMPTY),
            answer => answer,
        }
    }

    async fn get_records(
        &self,
        keys: &[RecordKey],
    ) -> Result<Read<Vec<Option<RecordState>>>, StoreError> {
        self.reading().await?;
        let mut asked = keys.to_vec();
        match self.fault {
            Fault::SortsBatches => asked.sort(),
            Fault::FoldsRecordTypes => {
                let fold =
                    |key: RecordKey| RecordKey::new(folded_type(key.record_type()), key.id());
                asked = asked.into_iter().map(fold).collect();
            }
            Fault::TearsBatches => {
                let mut value = Vec::new();
                let mut at = self.inner.head().await?;
                for key in &asked {
                    let read = self.inner.get_records(std::slice::from_ref(key)).await?;
                    value.extend(read.value);
                    at = read.at;
                    std::thread::yield_now();
                }
                return Ok(Read { value, at });
            }
            _ => {}
        }
        let mut read = self.inner.get_records(&asked).await?;
        if self.is(Fault::ReadsAtAnOldHead) {
            read.at = *locked(&self.old);
        }
        let states = read.value.into_iter();
        let value = states.map(|state| state.and_then(|state| self.state(state))).collect();
        Ok(Read { value, at: read.at })
    }

    async fn scan_records(
        &self,
        scan: &RecordScan,
    ) -> Result<Page<RecordState, RecordKey>, StoreError> {
        self.reading().await?;
        let mut asked = RecordScan { limit: self.limit(scan.limit), ..scan.clone() };
        if let Some(prefix) =
            scan.record_type.as_ref().filter(|_| self.is(Fault::TakesTypesForPrefixes))
        {
            asked.record_type = None;
            let mut page = self.inner.scan_records(&asked).await?;
            page.items.retain(|it| it.key().record_type().as_str().starts_with(prefix.as_str()));
            return Ok(page);
        }
        let mut page = self.inner.scan_records(&asked).await?;
        if let Some(hint) = &scan.hint {
            page.items.retain(|state| self.keeps(hint, state));
        }
        if self.is(Fault::OrdersRecordsBackwards) {
            page.items.reverse();
        }
        let items = page.items.into_iter().filter_map(|state| self.state(state)).collect();
        let page = Page { items, more: page.more, at: page.at };
        Ok(self.page(page, scan.after.clone(), |state| state.key().clone()))
    }

    async fn scan_log(&self, scan: &LogScan) -> Result<Page<LogEntry, Position>, StoreError> {
        self.reading().await?;
        let mut asked = LogScan { limit: self.limit(scan.limit), ..*scan };
        let forward = scan.direction == Direction::Forward;
        if let Some(after) = scan.after.map(Position::get) {
            match self.fault {
                Fault::ShowsTheCursorAgain if forward => {
                    asked.after = Some(Position::new(after.saturating_sub(1)));
                }
                Fault::ReadsPositionsAsSigned if i64::try_from(after).is_err() => {
                    asked.after = Some(Position::ZERO);
                }
                _ => {}
            }
        }
        let mut page = self.inner.scan_log(&asked).await?;
        match self.fault {
            Fault::SkipsAPosition => page.items.retain(|entry| entry.position.get() != 3),
            Fault::KeepsTenEntries => {
                let first = page.at.position.get().saturating_sub(10);
                page.items.retain(|entry| entry.position.get() > first);
            }
            _ => {}
        }
        let items = page.items.into_iter().map(|entry| self.entry(entry)).collect();
        let page = Page { items, more: page.more, at: page.at };
        Ok(self.page(page, scan.after, |entry| entry.position))
    }

    async fn scan_history(
        &self,
        scan: &HistoryScan,
    ) -> Result<Page<LogEntry, Position>, StoreError> {
        self.reading().await?;
        let asked = HistoryScan { limit: self.limit(scan.limit), ..scan.clone() };
        let mut page = self.inner.scan_history(&asked).await?;
        page.items.retain(|entry| self.in_history(entry, &scan.record));
        Ok(self.page(page, scan.after, |entry| entry.position))
    }

    async fn scan_origin(
        &self,
        scan: &OriginScan,
    ) -> Result<Page<Authorship, OriginCursor>, StoreError> {
        self.reading().await?;
        let asked = OriginScan { limit: self.limit(scan.limit), ..*scan };
        let mut page = self.inner.scan_origin(&asked).await?;
        if self.is(Fault::OneBranchOfAFork) {
            page.items.dedup_by_key(|authorship| authorship.sequence);
        }
        Ok(self.page(page, scan.after, |it| (it.sequence, it.digest)))
    }

    async fn find_changesets(
        &self,
        digests: &[Digest],
    ) -> Result<Read<Vec<Option<Position>>>, StoreError> {
        self.reading().await?;
        let mut read = self.inner.find_changesets(digests).await?;
        if self.is(Fault::FindsNothingTwice) {
            let mut seen = BTreeSet::new();
            for (digest, found) in digests.iter().zip(&mut read.value) {
                if !seen.insert(digest) {
                    *found = None;
                }
            }
        }
        Ok(read)
    }

    async fn scan_resolutions(
        &self,
        scan: &ResolutionScan,
    ) -> Result<Page<Resolution, ResolutionCursor>, StoreError> {
        self.reading().await?;
        let asked = ResolutionScan { limit: self.limit(scan.limit), ..*scan };
        let mut page = self.inner.scan_resolutions(&asked).await?;
        if self.is(Fault::OneVoteOfAConflict) {
            page.items.dedup_by_key(|resolution| resolution.conflict());
        }
        Ok(self.page(page, scan.after, |it| (it.conflict(), it.changeset)))
    }

    async fn get_metadata(
        &self,
        keys: &[MetadataKey],
    ) -> Result<Read<Vec<Option<Vec<u8>>>>, StoreError> {
        self.reading().await?;
        let mut read = self.inner.get_metadata(keys).await?;
        if self.is(Fault::AbsentMetadataIsEmpty) {
            read.value = read.value.into_iter().map(|it| Some(it.unwrap_or_default())).collect();
        }
        Ok(read)
    }

    async fn scan_metadata(
        &self,
        scan: &MetadataScan,
    ) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError> {
        self.reading().await?;
        let mut asked = MetadataScan { limit: self.limit(scan.limit), ..scan.clone() };
        match self.fault {
            Fault::TakesPrefixesForPatterns if scan.prefix.contains(['%', '_']) => {
                asked.prefix.clear();
            }
            Fault::CursorsDieWithTheHandle if scan.after.is_some() && self.reopened => {
                asked.after = None;
            }
            Fault::CountsInsteadOfCursors => {
                let skipped =
                    scan.after.as_ref().and_then(|after| locked(&self.counts).get(after).copied());
                let skipped = skipped.unwrap_or(0);
                asked.after = None;
                asked.limit = PageLimit { items: usize::MAX, bytes: usize::MAX };
                let mut page = self.inner.scan_metadata(&asked).await?;
                page.items.drain(..skipped.min(page.items.len()));
                page.items.truncate(scan.limit.items);
                let last = page.items.last().map(|(key, _)| key.clone());
                if let Some(last) = &last {
                    locked(&self.counts).insert(last.clone(), skipped + page.items.len());
                }
                page.more = last;
                return Ok(page);
            }
            _ => {}
        }
        let mut page = self.inner.scan_metadata(&asked).await?;
        if self.is(Fault::OrdersMetadataByCase) {
            page.items.sort_by_key(|(key, _)| key.as_str().to_lowercase());
        }
        Ok(self.page(page, scan.after.clone(), |(key, _)| key.clone()))
    }

    async fn commit(&self, commit: &Commit) -> Result<Head, StoreError> {
        let before = self.inner.head().await?;
        let answer = match self.fault {
            Fault::StaysBusyWhenDropped => marked(&self.busy, self.send(commit)).await?,
            _ => self.send(commit).await,
        };
        if answer.is_ok() && self.inner.head().await? != before {
            *locked(&self.old) = before;
            locked(&self.commits).push(commit.clone());
        }
        answer
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        self.reading().await?;
        let report = self.inner.verify().await?;
        Ok(if self.is(Fault::VerifiesNothing) { Verification::default() } else { report })
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}
