//! A store of one file of commits, which is honest, or has one fault.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures_lite::future::block_on;
use prophet_store::{
    Authorship, Commit, DatabaseId, Digest, Durability, Facts, Head, HistoryScan, Identity,
    LogEntry, LogScan, MemoryStore, MetadataKey, MetadataScan, OriginCursor, OriginScan, Page,
    Position, Read, RecordCounts, RecordKey, RecordScan, RecordState, RecordType, ReplicaId,
    ReplicaStore, Resolution, ResolutionCursor, ResolutionScan, StoreError, Verification,
};

use super::frame::{self, Framed, HEAD, Parts};
use super::medium::{Disk, Failed};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    Nothing,
    AcknowledgesBeforeItSyncs,
    BelievesTheSecondSync,
    WritesInTwoParts,
    LooksAtNoChecksum,
    KeepsATornTail,
    SaysItFailedThoughItIsThere,
    IsAheadOfTheDisk,
    AcknowledgesWhatFailed,
    CutsOffTooMuch,
    RecoversByWritingAnew,
    StumblesOverItsOwnRecovery,
    ForgetsWhatItCouldNotRead,
    PanicsOnDamage,
    VerifiesNothing,
    IgnoresTheVersion,
    UpgradesWhatIsNewer,
    CreatesOverOthers,
    RemovesWhatIsStrange,
    TakesAnythingForItsFormat,
}

const PLACE: &str = "a tiny disk";
const FORMAT: &str = "format";
const LOG: &str = "log";
const MARK: &str = "recovering";
const MAGIC: &[u8] = b"tiny log";

fn failed(Failed(what): Failed) -> StoreError {
    StoreError::io(PLACE, what, "it was told to")
}

fn corrupt(what: &str) -> StoreError {
    StoreError::corrupt(PLACE, what)
}

/// The bytes of the file that says what the others are.
fn format(identity: Identity) -> Vec<u8> {
    let mut body = MAGIC.to_vec();
    body.push(1);
    body.extend(identity.database.as_bytes());
    body.extend(identity.replica.as_bytes());
    let sum = frame::checksum(&body);
    body.extend(sum.to_le_bytes());
    body
}

const FORMAT_BYTES: usize = 8 + 1 + 32 + 8;
/// Where in it the version is.
pub(crate) const VERSION_AT: usize = 8;

#[derive(Debug)]
struct Inside {
    /// How long the log is.
    end: usize,
    closed: bool,
}

#[derive(Debug)]
pub(crate) struct DiskStore {
    broken: Broken,
    disk: Disk,
    facts: Facts,
    memory: MemoryStore,
    inside: Mutex<Inside>,
    /// What every read says.
    damaged: bool,
}

/// As long as a format is.
fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(FORMAT_BYTES, 0);
    bytes
}

impl DiskStore {
    pub(crate) fn create(
        broken: Broken,
        disk: &Disk,
        identity: Identity,
    ) -> Result<Self, StoreError> {
        let others = disk.names().into_iter().any(|name| name != FORMAT && name != LOG);
        let format_there = disk.read(FORMAT).map_err(failed)?.unwrap_or_default();
        let log = disk.read(LOG).map_err(failed)?.unwrap_or_default();
        let unfinished = format_there.len() < FORMAT_BYTES && log.is_empty();
        if broken != Broken::CreatesOverOthers && (others || !unfinished) {
            return Err(StoreError::already_exists(PLACE));
        }
        // The name of the log is durable before there is a format.
        disk.write(LOG, 0, b"").map_err(failed)?;
        disk.sync(LOG).map_err(failed)?;
        disk.write(FORMAT, 0, &format(identity)).map_err(failed)?;
        disk.sync(FORMAT).map_err(failed)?;
        Ok(Self::new(broken, disk, MemoryStore::new(identity), 0, false))
    }

    fn new(broken: Broken, disk: &Disk, memory: MemoryStore, end: usize, damaged: bool) -> Self {
        let mut facts = memory.facts().clone();
        facts.capabilities.durability = Durability::PowerLoss;
        let inside = Mutex::new(Inside { end, closed: false });
        Self { broken, disk: disk.clone(), facts, memory, inside, damaged }
    }

    pub(crate) fn open(broken: Broken, disk: &Disk) -> Result<Self, StoreError> {
        let (format, log) = (disk.read(FORMAT).map_err(failed)?, disk.read(LOG).map_err(failed)?);
        let empty = log.as_ref().is_none_or(Vec::is_empty);
        let anything = broken == Broken::TakesAnythingForItsFormat && !empty;
        let format = match format {
            found if !anything => found,
            found => Some(padded(found.unwrap_or_default())),
        };
        let Some(format) = format else {
            return Err(match empty && disk.names().iter().all(|name| name == LOG) {
                true => StoreError::not_found(PLACE),
                false => StoreError::not_a_replica(PLACE, "it has no format"),
            });
        };
        if format.len() < FORMAT_BYTES && empty {
            return Err(StoreError::not_found(PLACE));
        }
        let magic = format.starts_with(MAGIC);
        assert!(magic || broken != Broken::PanicsOnDamage, "what is this?");
        if !magic && !anything {
            return Err(StoreError::not_a_replica(PLACE, "its format is another"));
        }
        let version = format.get(VERSION_AT).copied().unwrap_or_default();
        if version > 1 && broken != Broken::IgnoresTheVersion && !anything {
            if broken == Broken::UpgradesWhatIsNewer {
                disk.write("seen", 0, b"1").map_err(failed)?;
            }
            return Err(StoreError::newer_format(PLACE, version.into(), 1_u64));
        }
        let Some((body, sum)) = format.split_at_checked(FORMAT_BYTES - 8) else {
            return Err(corrupt("the format is cut off"));
        };
        if broken != Broken::IgnoresTheVersion
            && !anything
            && frame::checksum(body).to_le_bytes() != *sum
        {
            return Err(corrupt("the checksum of the format is wrong"));
        }
        let id = |at: usize| body[at..at + 16].try_into().expect("they are sixteen");
        let identity = Identity {
            database: DatabaseId::from_bytes(id(9)),
            replica: ReplicaId::from_bytes(id(25)),
        };
        let log = log.ok_or_else(|| corrupt("there is no log"));
        assert!(log.is_ok() || broken != Broken::PanicsOnDamage, "where is the log?");
        Self::recover(broken, disk, identity, &log?)
    }

    fn recover(
        broken: Broken,
        disk: &Disk,
        identity: Identity,
        log: &[u8],
    ) -> Result<Self, StoreError> {
        if broken == Broken::RemovesWhatIsStrange {
            disk.names().iter().filter(|name| *name != LOG && *name != FORMAT).for_each(|name| {
                disk.put(name, None);
            });
        }
        let memory = MemoryStore::new(identity);
        let (mut at, mut last, mut before, mut damaged) = (0, 0, 0, false);
        let mut half: Option<Vec<u8>> = None;
        while at < log.len() {
            let body = match frame::read(log, at) {
                Framed::Whole(body) => body,
                Framed::Wrong(body, _) if broken == Broken::LooksAtNoChecksum => body,
                Framed::Torn | Framed::Wrong(_, true) => break,
                Framed::Wrong(_, false) if broken == Broken::VerifiesNothing => {
                    damaged = true;
                    break;
                }
                Framed::Wrong(_, false) => {
                    assert!(broken != Broken::PanicsOnDamage, "the checksum is wrong");
                    return Err(corrupt("a checksum is wrong"));
                }
            };
            (before, last) = (last, at);
            at += HEAD + body.len();
            // Of a commit in two parts the second may follow.
            let body = match (broken, half.take()) {
                (Broken::WritesInTwoParts, None) => {
                    half = Some(body.to_vec());
                    match frame::read(log, at) {
                        Framed::Whole(_) => continue,
                        _ => half.take().unwrap_or_default(),
                    }
                }
                (_, Some(first)) => [first, body.get(48..).unwrap_or_default().to_vec()].concat(),
                (_, None) => body.to_vec(),
            };
            let commit = frame::decode(&body, broken == Broken::LooksAtNoChecksum)
                .ok_or_else(|| corrupt("what is this?"))?;
            block_on(memory.commit(&commit)).map_err(|error| corrupt(&error.to_string()))?;
        }
        if broken == Broken::CutsOffTooMuch && at < log.len() {
            disk.cut(LOG, before).map_err(failed)?;
            return Self::open(Broken::Nothing, disk);
        }
        if broken == Broken::StumblesOverItsOwnRecovery {
            if disk.names().iter().any(|name| name == MARK) {
                return Err(corrupt("somebody was recovering it"));
            }
            disk.write(MARK, 0, b"me").map_err(failed)?;
        }
        if broken == Broken::RecoversByWritingAnew {
            disk.cut(LOG, 0).map_err(failed)?;
            disk.sync(LOG).map_err(failed)?;
            disk.write(LOG, 0, &log[..at]).map_err(failed)?;
        } else if at < log.len() && broken != Broken::KeepsATornTail && !damaged {
            disk.cut(LOG, at).map_err(failed)?;
        }
        // What is seen from now on is durable: a sync of somebody else may have given it up.
        disk.write(LOG, last, &log[last..at]).map_err(failed)?;
        disk.sync(LOG).map_err(failed)?;
        if broken == Broken::StumblesOverItsOwnRecovery {
            disk.put(MARK, None);
        }
        let end = if broken == Broken::KeepsATornTail { log.len() } else { at };
        Ok(Self::new(broken, disk, memory, end, damaged))
    }

    fn check(&self) -> Result<(), StoreError> {
        match (self.inside.lock().unwrap_or_else(PoisonError::into_inner).closed, self.damaged) {
            (true, _) => Err(StoreError::closed(PLACE)),
            (false, true) => Err(corrupt("a checksum is wrong")),
            (false, false) => Ok(()),
        }
    }

    /// Writes a commit that is known to be good.
    fn append(&self, commit: &Commit) -> Result<(), StoreError> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let (disk, end) = (&self.disk, inside.end);
        let framed = |parts| frame::frame(&frame::encode(commit, parts));
        let (first, second) = match self.broken {
            Broken::WritesInTwoParts => (framed(Parts::Entries), framed(Parts::Others)),
            _ => (framed(Parts::All), Vec::new()),
        };
        let written = disk.write(LOG, end, &first);
        let written = written.and_then(|()| match second.is_empty() {
            true => Ok(()),
            false => disk.write(LOG, end + first.len(), &second),
        });
        let unknown = |inside: &mut Inside, Failed(what): Failed| {
            inside.closed = true;
            Err(StoreError::outcome_unknown(commit.id(), PLACE, Some(what.into())))
        };
        if let Err(error) = written {
            // What is there of it goes away again, or the next handle sees to it.
            return match disk.cut(LOG, end).and_then(|()| disk.sync(LOG)) {
                Ok(()) => Err(failed(error)),
                Err(error) => unknown(&mut inside, error),
            };
        }
        let mut synced = match self.broken {
            Broken::AcknowledgesBeforeItSyncs => Ok(()),
            _ => disk.sync(LOG),
        };
        if synced.is_err() && self.broken == Broken::BelievesTheSecondSync {
            synced = disk.sync(LOG);
        }
        match synced {
            Err(error) if self.broken == Broken::SaysItFailedThoughItIsThere => Err(failed(error)),
            Err(error) => unknown(&mut inside, error),
            Ok(()) => {
                inside.end = end + first.len() + second.len();
                Ok(())
            }
        }
    }
}

#[async_trait]
impl ReplicaStore for DiskStore {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn commit(&self, commit: &Commit) -> Result<Head, StoreError> {
        self.check()?;
        if commit.base() != self.memory.head().await? {
            return self.memory.commit(commit).await;
        }
        commit.check_distinct()?;
        let digests: Vec<_> = commit.entries().iter().map(|it| it.changeset.digest()).collect();
        if self.memory.find_changesets(&digests).await?.value.iter().any(Option::is_some) {
            return Err(StoreError::invalid_commit("a changeset is in the log"));
        }
        if self.broken == Broken::IsAheadOfTheDisk {
            self.memory.commit(commit).await?;
            self.append(commit)?;
            return Ok(commit.head());
        }
        match self.append(commit) {
            Err(_) if self.broken == Broken::AcknowledgesWhatFailed => {}
            appended => appended?,
        }
        self.memory.commit(commit).await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.check()?;
        self.memory.head().await
    }

    async fn get_records(
        &self,
        keys: &[RecordKey],
    ) -> Result<Read<Vec<Option<RecordState>>>, StoreError> {
        self.check()?;
        self.memory.get_records(keys).await
    }

    async fn scan_records(
        &self,
        scan: &RecordScan,
    ) -> Result<Page<RecordState, RecordKey>, StoreError> {
        self.check()?;
        self.memory.scan_records(scan).await
    }

    async fn count_records(
        &self,
        record_type: Option<&RecordType>,
    ) -> Result<Read<RecordCounts>, StoreError> {
        self.check()?;
        self.memory.count_records(record_type).await
    }

    async fn scan_log(&self, scan: &LogScan) -> Result<Page<LogEntry, Position>, StoreError> {
        self.check()?;
        self.memory.scan_log(scan).await
    }

    async fn scan_history(
        &self,
        scan: &HistoryScan,
    ) -> Result<Page<LogEntry, Position>, StoreError> {
        self.check()?;
        self.memory.scan_history(scan).await
    }

    async fn scan_origin(
        &self,
        scan: &OriginScan,
    ) -> Result<Page<Authorship, OriginCursor>, StoreError> {
        self.check()?;
        self.memory.scan_origin(scan).await
    }

    async fn find_changesets(
        &self,
        digests: &[Digest],
    ) -> Result<Read<Vec<Option<Position>>>, StoreError> {
        self.check()?;
        self.memory.find_changesets(digests).await
    }

    async fn scan_resolutions(
        &self,
        scan: &ResolutionScan,
    ) -> Result<Page<Resolution, ResolutionCursor>, StoreError> {
        self.check()?;
        self.memory.scan_resolutions(scan).await
    }

    /// The one read that asks the disk, so that it can fail.
    async fn get_metadata(
        &self,
        keys: &[MetadataKey],
    ) -> Result<Read<Vec<Option<Vec<u8>>>>, StoreError> {
        self.check()?;
        let mut read = self.memory.get_metadata(keys).await?;
        match self.disk.read(LOG) {
            Err(_) if self.broken == Broken::ForgetsWhatItCouldNotRead => {
                read.value.fill(None);
            }
            found => drop(found.map_err(failed)?),
        }
        Ok(read)
    }

    async fn scan_metadata(
        &self,
        scan: &MetadataScan,
    ) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError> {
        self.check()?;
        self.memory.scan_metadata(scan).await
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        match self.damaged {
            true => Ok(Verification::default()),
            false => self.memory.verify().await,
        }
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.check()?;
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        Ok(())
    }
}
