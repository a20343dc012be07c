//! The writer: one thread that owns the one connection that writes.
//!
//! SQLite blocks its caller, and lets one write at a time. So commits queue for this thread, and
//! the futures that wait for it can be dropped without leaving half a commit behind.

use std::fs;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use futures_channel::oneshot;
use prophet_store::{DatabaseId, Head, StoreError};
use rusqlite::{Connection, ErrorCode};

use crate::apply::{self, Known, Verdict};
use crate::connection::Target;
use crate::error::{file, sql, translate};
use crate::head;
use crate::probe::beside;
use crate::rows::Batch;

struct Job {
    batch: Batch,
    reply: oneshot::Sender<Result<Head, StoreError>>,
}

#[derive(Debug)]
pub(crate) struct Writer {
    place: String,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    jobs: Sender<Job>,
    /// Answers when the thread has closed its connection.
    ended: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Writer {
    pub(crate) fn start(
        conn: Connection,
        target: &Target,
        database: DatabaseId,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel();
        let (ending, ended) = oneshot::channel();
        let place = target.place.clone();
        let known = Known::default();
        let worker = Worker { conn, target: target.clone(), database, known };
        let thread = thread::Builder::new()
            .name("sqlite writer".to_owned())
            .spawn(move || {
                worker.run(&queue);
                let _ = ending.send(());
            })
            .map_err(file(&place, "starting the writer's thread"))?;
        Ok(Self { place, running: Mutex::new(Some(Running { jobs, ended, thread })) })
    }

    /// Has `batch` applied. Once this is polled, dropping it changes nothing about that.
    pub(crate) async fn commit(&self, batch: Batch) -> Result<Head, StoreError> {
        let id = batch.id;
        let (reply, answer) = oneshot::channel();
        let job = Job { batch, reply };
        let sent = match self.running.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(running) => running.jobs.send(job).is_ok(),
            None => false,
        };
        if !sent {
            return Err(StoreError::closed(&self.place));
        }
        match answer.await {
            Ok(result) => result,
            // The thread ended in the middle of it.
            Err(gone) => Err(StoreError::outcome_unknown(id, &self.place, Some(gone.into()))),
        }
    }

    fn stop(&self) -> Option<Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits until everything queued was done and the connection is closed.
    pub(crate) async fn close(&self) {
        if let Some(Running { jobs, ended, thread }) = self.stop() {
            drop(jobs);
            let _ = ended.await;
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(Running { jobs, thread, .. }) = self.stop() {
            drop(jobs);
            let _ = thread.join();
        }
    }
}

struct Worker {
    conn: Connection,
    target: Target,
    database: DatabaseId,
    known: Known,
}

impl Worker {
    fn run(mut self, queue: &Receiver<Job>) {
        for Job { mut batch, reply } in queue {
            // Who asked may have gone away.
            let _ = reply.send(self.commit(&mut batch));
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
