//! The store trait: what a backend implements, and all that the engine knows of it.
//!
//! The contract is numbered in `docs/contract.md`; each method names its rules. The crate
//! `conformance` is its executable form.

mod commit;
mod error;
mod facts;
mod page;

use std::fmt::Debug;

use async_trait::async_trait;

pub use commit::{Commit, MetadataKey};
pub use error::{Action, Source, StoreError};
pub use facts::{Access, Capabilities, Durability, Facts, Head, Identity, Sharing};
pub use page::{
    Authorship, Direction, HistoryScan, LogScan, MetadataScan, OriginCursor, OriginScan, Page,
    PageBuilder, PageLimit, Read, RecordCounts, RecordScan, ResolutionCursor, ResolutionScan,
};

use crate::id::{Digest, Position};
use crate::log::LogEntry;
use crate::name::{RecordKey, RecordType};
use crate::record::RecordState;
use crate::resolution::Resolution;

/// Keeps one replica: its log, its records, its resolutions and its metadata.
///
/// A store knows nothing of conflicts or sync, and never invents an id, a time or a number: the
/// engine hands it everything, so the same commits give the same content on every backend. There
/// is one write, [`commit`](Self::commit); it is atomic and conditional. Reads are pages, each
/// read at the one head that it names: read the head, read what you like, commit on that head,
/// and success proves that all reads were of that head.
///
/// No method has a default, so that no implementation inherits a wrong one. What a program wants
/// beside these is in [`ReplicaStoreExt`](crate::ReplicaStoreExt).
///
/// # Implementing it
///
/// `docs/writing-a-backend.md` leads through it. An implementation is marked with the attribute
/// `async_trait` of the crate of that name, as the trait is. What a store over any ordered map of
/// byte keys has to do is in the crate `prophet-kv`, and the thread that commits for engines that
/// block is in `prophet-writer`. Creating and opening are each backend's own, and what they answer is
/// not: rules O1, O2 and X2.
///
/// Methods are called from many threads and tasks at once, reads while a commit is under way. A
/// future may be dropped at any time, and the handle goes on (rule C7). It may block whoever polls it
/// for as long as the device takes, if it cannot do better. Every call but `facts` answers
/// [`StoreError::Closed`] on a handle that was closed, or closed itself.
#[async_trait]
pub trait ReplicaStore: Debug + Send + Sync + 'static {
    /// What the store says of itself, without input or output, also once it is closed. It never
    /// changes (rule O4).
    fn facts(&self) -> &Facts;

    /// Where the replica is (rules R1, R2).
    async fn head(&self) -> Result<Head, StoreError>;

    /// The states of these records, in this order; `None` for a record never written to, though
    /// a deleted one is there (rules R1, R2, V1).
    async fn get_records(
        &self,
        keys: &[RecordKey],
    ) -> Result<Read<Vec<Option<RecordState>>>, StoreError>;

    /// A page of record states, deleted ones too (rules R1 to R6, V1).
    async fn scan_records(
        &self,
        scan: &RecordScan,
    ) -> Result<Page<RecordState, RecordKey>, StoreError>;

    /// How many records exist, of each type that has any, or of this type alone (rules R1, R2, R8).
    async fn count_records(
        &self,
        record_type: Option<&RecordType>,
    ) -> Result<Read<RecordCounts>, StoreError>;

    /// A page of the log (rules R1 to R5, L1).
    async fn scan_log(&self, scan: &LogScan) -> Result<Page<LogEntry, Position>, StoreError>;

    /// A page of the log entries that touch one record (rules R1 to R5, L4).
    async fn scan_history(
        &self,
        scan: &HistoryScan,
    ) -> Result<Page<LogEntry, Position>, StoreError>;

    /// A page of what one origin authored (rules R1 to R5, L2).
    async fn scan_origin(
        &self,
        scan: &OriginScan,
    ) -> Result<Page<Authorship, OriginCursor>, StoreError>;

    /// The positions of these changesets, in this order; `None` for one that is not in the log
    /// (rules R1, R2, L2).
    async fn find_changesets(
        &self,
        digests: &[Digest],
    ) -> Result<Read<Vec<Option<Position>>>, StoreError>;

    /// A page of the resolution database (rules R1 to R5, V1).
    async fn scan_resolutions(
        &self,
        scan: &ResolutionScan,
    ) -> Result<Page<Resolution, ResolutionCursor>, StoreError>;

    /// The values of these metadata keys, in this order; `None` for one that is not set (rules R1,
    /// R2, V1).
    async fn get_metadata(
        &self,
        keys: &[MetadataKey],
    ) -> Result<Read<Vec<Option<Vec<u8>>>>, StoreError>;

    /// A page of metadata (rules R1 to R5, V1).
    async fn scan_metadata(
        &self,
        scan: &MetadataScan,
    ) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError>;

    /// Applies all of `commit`, durably, if and only if the replica is at `commit.base()`, and
    /// answers with the new head. Otherwise it changes nothing and says where the replica is. A
    /// commit already applied is not applied again: the answer is the head it led to (rules C1 to
    /// C8, D1 to D4, L1 to L4, V1, V2, O5).
    ///
    /// Entries are appended to the log, and records, resolutions and metadata replace what is there
    /// under the same key. What is refused is told in this order: a base that is not the head, where
    /// the commit is not recognised; then a changeset in it twice, or in the log already. Judging and
    /// applying are one step: of the same commit sent twice at once, both are answered with its head.
    ///
    /// # Errors
    /// [`StoreError::StaleBase`] names the present head. Any error but
    /// [`StoreError::OutcomeUnknown`] means: not applied, and never will be. Dropping the future
    /// leaves the outcome unknown.
    async fn commit(&self, commit: &Commit) -> Result<Head, StoreError>;

    /// Reads everything and reports what is damaged; repairs nothing (rules X1, X3).
    ///
    /// # Errors
    /// Only what keeps it from looking; damage is in the report.
    async fn verify(&self) -> Result<Verification, StoreError>;

    /// Closes this handle: every later call but `facts` answers [`StoreError::Closed`], another
    /// `close` too. Once it is done, an exclusive store can be opened again, though this handle still
    /// exists. What was acknowledged is durable without it (rules O2, O3).
    async fn close(&self) -> Result<(), StoreError>;
}

/// What [`ReplicaStore::verify`] and [`ReplicaStoreExt::audit`](crate::ReplicaStoreExt::audit)
/// found. A store begins with the default, and counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// How many log entries were checked.
    pub entries: u64,
    /// How many records were checked.
    pub records: u64,
    /// How many resolutions were checked.
    pub resolutions: u64,
    /// How many metadata keys were checked.
    pub metadata: u64,
    /// What is wrong, each with its place; empty if nothing is.
    pub problems: Vec<String>,
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}
