//! The store: the trait, put together from the parts.

use std::path::Path;

use async_trait::async_trait;
use prophet_store::{
    Authorship, Commit, Digest, Facts, Head, HistoryScan, Identity, LogEntry, LogScan, MetadataKey,
    MetadataScan, OriginCursor, OriginScan, Page, Position, Read, RecordCounts, RecordKey,
    RecordScan, RecordState, RecordType, ReplicaStore, Resolution, ResolutionCursor,
    ResolutionScan, StoreError, Verification,
};
use prophet_writer::Writer;
use rusqlite::Connection;

use crate::connection::Pool;
use crate::log::Source;
use crate::options::SqliteOptions;
use crate::records::Types;
use crate::rows::Batch;
use crate::verify;
use crate::{head, metadata, records, resolutions};

/// A [`ReplicaStore`] in one SQLite file, which any number of handles in any number of programs
/// may have open at once.
///
/// Reads run on the calling thread, each on a connection of its own and never waiting for a
/// write. Commits run one after the other on a thread that belongs to the handle. Dropping the
/// handle waits for the commits that were handed over, and so does [`close`](Self::close).
#[derive(Debug)]
pub struct SqliteStore {
    facts: Facts,
    // Before the writer, so that its connections are closed first when the handle is dropped.
    readers: Pool,
    writer: Option<Writer<Batch>>,
    types: Types,
}

impl SqliteStore {
    /// Creates the replica `identity` in a new file and opens it, with the default options.
    ///
    /// # Errors
    /// Those of [`SqliteOptions::create`].
    pub fn create(path: impl AsRef<Path>, identity: Identity) -> Result<Self, StoreError> {
        SqliteOptions::new().create(path, identity)
    }

    /// Opens the replica in the file at `path` for reading and writing, with the default options.
    ///
    /// # Errors
    /// Those of [`SqliteOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        SqliteOptions::new().open(path)
    }

    pub(crate) fn new(facts: Facts, readers: Pool, writer: Option<Writer<Batch>>) -> Self {
        Self { facts, readers, writer, types: Types::default() }
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&Connection, &str) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.readers.with(|conn| read(conn, self.readers.place()))
    }

    fn read_log<T>(
        &self,
        read: impl FnOnce(Source<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let database = self.facts.identity.database;
        self.read(|conn, place| read(Source { conn, place, database }))
    }
}

#[async_trait]
impl ReplicaStore for SqliteStore {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.read(head::read)
    }

    async fn get_records(
        &self,
        keys: &[RecordKey],
    ) -> Result<Read<Vec<Option<RecordState>>>, StoreError> {
        self.read(|conn, place| records::get(conn, place, &self.types, keys))
    }

    async fn scan_records(
        &self,
        scan: &RecordScan,
    ) -> Result<Page<RecordState, RecordKey>, StoreError> {
        self.read(|conn, place| records::scan(conn, place, scan))
    }

    async fn count_records(
        &self,
        record_type: Option<&RecordType>,
    ) -> Result<Read<RecordCounts>, StoreError> {
        self.read(|conn, place| records::count(conn, place, record_type))
    }

    async fn scan_log(&self, scan: &LogScan) -> Result<Page<LogEntry, Position>, StoreError> {
        self.read_log(|source| source.scan(scan))
    }

    async fn scan_history(
        &self,
        scan: &HistoryScan,
    ) -> Result<Page<LogEntry, Position>, StoreError> {
        self.read_log(|source| source.history(scan))
    }

    async fn scan_origin(
        &self,
        scan: &OriginScan,
    ) -> Result<Page<Authorship, OriginCursor>, StoreError> {
        self.read_log(|source| source.origin(scan))
    }

    async fn find_changesets(
        &self,
        digests: &[Digest],
    ) -> Result<Read<Vec<Option<Position>>>, StoreError> {
        self.read_log(|source| source.find(digests))
    }

    async fn scan_resolutions(
        &self,
        scan: &ResolutionScan,
    ) -> Result<Page<Resolution, ResolutionCursor>, StoreError> {
        self.read(|conn, place| resolutions::scan(conn, place, scan))
    }

    async fn get_metadata(
        &self,
        keys: &[MetadataKey],
    ) -> Result<Read<Vec<Option<Vec<u8>>>>, StoreError> {
        self.read(|conn, place| metadata::get(conn, place, keys))
    }

    async fn scan_metadata(
        &self,
        scan: &MetadataScan,
    ) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError> {
        self.read(|conn, place| metadata::scan(conn, place, scan))
    }

    async fn commit(&self, commit: &Commit) -> Result<Head, StoreError> {
        if self.readers.is_closed() {
            return Err(StoreError::closed(&self.facts.place));
        }
        match &self.writer {
            Some(writer) => writer.commit(commit.id(), Batch::encode(commit)?).await,
            None => Err(StoreError::read_only(&self.facts.place)),
        }
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        self.read_log(|source| verify::verify(&source, &self.facts.identity))
    }

    async fn close(&self) -> Result<(), StoreError> {
        if !self.readers.close() {
            return Err(StoreError::closed(&self.facts.place));
        }
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
        Ok(())
    }
}
