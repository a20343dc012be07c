//! The writer: one thread that owns the one connection that writes.
//!
//! SQLite blocks its caller, and lets one write at a time. So commits queue for this thread, and
//! the futures that wait for it can be dropped without leaving half a commit behind.

use std::fs;

use prophet_store::{DatabaseId, Head, StoreError};
use prophet_writer::{Queue, Writer};
use rusqlite::{Connection, ErrorCode};

use crate::apply::{self, Known, Verdict};
use crate::connection::Target;
use crate::error::{sql, translate};
use crate::head;
use crate::probe::beside;
use crate::rows::Batch;

/// Starts the thread; its connection is closed when it ends.
pub(crate) fn start(
    conn: Connection,
    target: &Target,
    database: DatabaseId,
) -> Result<Writer<Batch>, StoreError> {
    let worker = Worker { conn, target: target.clone(), database, known: Known::default() };
    Writer::start("sqlite writer", &*target.place, move |queue| worker.run(queue))
}

struct Worker {
    conn: Connection,
    target: Target,
    database: DatabaseId,
    known: Known,
}

impl Worker {
    fn run(mut self, queue: &Queue<Batch>) {
        while let Some(mut job) = queue.next() {
            let answer = self.commit(&mut job.work);
            job.answer(answer);
        }
    }

    fn execute(&self, statement: &str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(statement)?.execute([]).map(|_| ())
    }

    fn roll_back(&self) {
        // SQLite has done so itself after some failures.
        if !self.conn.is_autocommit() {
            let _ = self.execute("ROLLBACK");
        }
    }

    fn commit(&mut self, batch: &mut Batch) -> Result<Head, StoreError> {
        let place = &self.target.place;
        self.execute("BEGIN IMMEDIATE").map_err(sql(place, "beginning a commit"))?;
        let written = match apply::judge(&self.conn, place, batch) {
            Ok(Verdict::Apply) => apply::write(&self.conn, self.database, &mut self.known, batch)
                .map_err(sql(place, "writing a commit")),
            Ok(Verdict::Applied) => {
                self.roll_back();
                return Ok(batch.head);
            }
            Err(error) => Err(error),
        };
        let written = written.and_then(|head| match self.execute("COMMIT") {
            Ok(()) => Ok(head),
            Err(error) => self.settle(batch, error),
        });
        if written.is_err() {
            self.roll_back();
            self.known = Known::default();
        }
        self.known.trim();
        written
    }

    /// Finds out what became of a commit when `COMMIT` failed with `error`.
    ///
    /// A failure to write or sync may leave all of it at the end of the write-ahead log, where
    /// nobody sees it, but a recovery after a crash would.
    fn settle(&self, batch: &Batch, error: rusqlite::Error) -> Result<Head, StoreError> {
        let place = &self.target.place;
        self.roll_back();
        if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) {
            return Err(translate(place, "committing", error));
        }
        match head::read(&self.conn, place) {
            Ok(head) if head.commit == batch.id => Ok(batch.head),
            Ok(_) if self.overwrite().is_ok() || self.wrote_nothing() => {
                Err(translate(place, "committing", error))
            }
            _ => Err(StoreError::outcome_unknown(batch.id, place, Some(error.into()))),
        }
    }

    /// Commits something that changes nothing, in the place of what was left in the write-ahead
    /// log: the checksums there are chained, so the rest of it can never be taken for valid.
    fn overwrite(&self) -> rusqlite::Result<()> {
        self.execute("BEGIN IMMEDIATE")?;
        let written = self
            .execute("UPDATE replica SET checksum = checksum")
            .and_then(|()| self.execute("COMMIT"));
        self.roll_back();
        written
    }

    /// Whether the write-ahead log is too short to hold anything that was not committed.
    fn wrote_nothing(&self) -> bool {
        const HEADER: u64 = 32;
        const FRAME_HEADER: u64 = 24;
        let number = |pragma: &str, column: usize| {
            let number = self.conn.query_row(pragma, [], |row| row.get::<_, i64>(column));
            number.ok().and_then(|number| u64::try_from(number).ok())
        };
        // A checkpoint in this mode does nothing but say how many frames are committed.
        let frames = number("PRAGMA wal_checkpoint(NOOP)", 1);
        let page = number("PRAGMA page_size", 0);
        let log = fs::metadata(beside(&self.target.path, "-wal"));
        match (frames, page, log) {
            (Some(frames), Some(page), Ok(log)) => {
                log.len() < HEADER + (frames + 1) * (page + FRAME_HEADER)
            }
            _ => false,
        }
    }
}
