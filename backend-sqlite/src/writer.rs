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
use crate::probe::{self, beside};
use crate::rows::Batch;
use crate::schema::APPLICATION_ID;

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
        let judged = self.check().and_then(|()| apply::judge(&self.conn, place, batch));
        let written = match judged {
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

    /// Refuses what may not be written to any more, in the transaction that is to write to it.
    fn check(&self) -> Result<(), StoreError> {
        self.target.check_in_place()?;
        let place = &self.target.place;
        let format = probe::format(&self.conn).map_err(sql(place, "looking at the format"))?;
        probe::check_format(format, place)
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
    ///
    /// SQLite writes no page where a row is given the bytes it has. A number in the header is
    /// written whatever it was.
    fn overwrite(&self) -> rusqlite::Result<()> {
        self.execute("BEGIN IMMEDIATE")?;
        let written = self
            .execute(&format!("PRAGMA application_id = {APPLICATION_ID}"))
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use futures_lite::future::block_on;
    use prophet_store::{Commit, CommitId, Identity, MetadataKey, ReplicaId, ReplicaStore as _};

    use super::*;
    use crate::SqliteStore;
    use crate::connection::Mode;

    const DATABASE: DatabaseId = DatabaseId::from_bytes([1; 16]);

    fn worker(path: &Path) -> Worker {
        let target = Target {
            path: path.to_owned(),
            place: "here".to_owned(),
            file: probe::FileId::of(path).unwrap(),
            mode: Mode::ReadWrite,
            busy_timeout: Duration::from_secs(5),
        };
        let conn = target.connect().unwrap();
        target.set_up(&conn).unwrap();
        Target::set_up_writer(&conn, None).unwrap();
        Worker { conn, target, database: DATABASE, known: Known::default() }
    }

    fn commit(id: u8, base: Head) -> Commit {
        let key = MetadataKey::new("key").unwrap();
        Commit::new(CommitId::from_bytes([id; 16]), base)
            .with_metadata(key, Some(vec![id; 10_000]))
            .unwrap()
    }

    fn log(path: &Path) -> Vec<u8> {
        fs::read(beside(path, "-wal")).unwrap()
    }

    /// The head that a copy has which is made of the files as they are after a crash.
    fn recovered(path: &Path, log: &[u8]) -> Head {
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("copy");
        fs::copy(path, &copy).unwrap();
        fs::write(beside(&copy, "-wal"), log).unwrap();
        block_on(SqliteStore::open(&copy).unwrap().head()).unwrap()
    }

    /// What a failed commit left in the write-ahead log, a commit frame included, does not come back.
    #[test]
    fn what_a_failed_commit_left_behind_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let (path, copy) = (directory.path().join("a.replica"), directory.path().join("copy"));
        let identity = Identity { database: DATABASE, replica: ReplicaId::from_bytes([2; 16]) };
        drop(SqliteStore::create(&path, identity).unwrap());
        let mut worker = worker(&path);
        let first = commit(1, Head::EMPTY);
        worker.commit(&mut Batch::encode(&first).unwrap()).unwrap();
        let before = log(&path);
        // Another program commits the next one, to a copy: these are the bytes it would have here.
        fs::copy(&path, &copy).unwrap();
        fs::write(beside(&copy, "-wal"), &before).unwrap();
        let store = SqliteStore::open(&copy).unwrap();
        let second = commit(2, first.head());
        block_on(store.commit(&second)).unwrap();
        let left = log(&copy);
        assert!(left.len() > before.len() && left.starts_with(&before));
        fs::write(beside(&path, "-wal"), &left).unwrap();
        assert_eq!(recovered(&path, &log(&path)), second.head(), "it would come back");
        assert!(!worker.wrote_nothing());

        worker.overwrite().unwrap();
        assert_eq!(recovered(&path, &log(&path)), first.head());
        let third = commit(3, first.head());
        worker.commit(&mut Batch::encode(&third).unwrap()).unwrap();
        assert_eq!(recovered(&path, &log(&path)), third.head());
    }

    #[test]
    fn overwriting_writes_to_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.replica");
        let identity = Identity { database: DATABASE, replica: ReplicaId::from_bytes([2; 16]) };
        drop(SqliteStore::create(&path, identity).unwrap());
        let mut worker = worker(&path);
        let first = commit(1, Head::EMPTY);
        worker.commit(&mut Batch::encode(&first).unwrap()).unwrap();
        let frames = |worker: &Worker| -> i64 {
            worker.conn.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1)).unwrap()
        };
        let (frames_before, bytes_before) = (frames(&worker), log(&path).len());
        worker.overwrite().unwrap();
        assert_eq!(frames(&worker), frames_before + 1);
        assert!(log(&path).len() > bytes_before);
        assert!(worker.wrote_nothing());
        assert_eq!(head::read(&worker.conn, "here").unwrap(), first.head());
    }
}
