//! Connections: how they are opened and set up, and the pool that reads use.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prophet_store::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::{file, sql};
use crate::probe::FileId;

/// How many idle connections the pool keeps.
const IDLE_CONNECTIONS: usize = 8;
/// How many prepared statements a connection keeps; every fixed statement of this crate fits.
const CACHED_STATEMENTS: usize = 64;
/// A larger write-ahead log is cut back to this many bytes when it is next begun anew.
const JOURNAL_BYTES: u32 = 64 << 20;

/// The log is folded in after so many pages: a page that one commit after the other touches is written
/// once for all of them.
const CHECKPOINT_PAGES: u32 = 4_000;

/// How to reach the file.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Absolute: the pool opens connections later, wherever the program has moved to by then.
    pub(crate) path: PathBuf,
    /// The path as it was given, for messages.
    pub(crate) place: String,
    /// The file that was opened.
    pub(crate) file: FileId,
    pub(crate) mode: Mode,
    pub(crate) busy_timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    ReadWrite,
    ReadOnly,
    /// Neither locks nor files beside the database: nobody changes it while it is open.
    Immutable,
}

impl Target {
    /// A bare connection, which has not looked at the file yet.
    pub(crate) fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
        match self.mode {
            Mode::ReadWrite => {
                Connection::open_with_flags(&self.path, flags | OpenFlags::SQLITE_OPEN_READ_WRITE)
            }
            Mode::ReadOnly => {
                Connection::open_with_flags(&self.path, flags | OpenFlags::SQLITE_OPEN_READ_ONLY)
            }
            Mode::Immutable => Connection::open_with_flags(
                immutable_uri(&self.path),
                flags | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
            ),
        }
    }

    /// Refuses another file under the name of the one that was opened, or none: what is read there is
    /// of another replica, and what is committed to the old one is gone when it is closed.
    pub(crate) fn check_in_place(&self) -> Result<(), StoreError> {
        match FileId::of(&self.path) {
            Ok(found) if found == self.file => Ok(()),
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(file(&self.place, "looking at the file")(error))
            }
            _ => {
                let why = "it was removed or replaced while it was open; close this handle and \
                           open the replica again";
                Err(StoreError::corrupt(&self.place, why))
            }
        }
    }

    /// Sets up any connection, without a look at the file.
    pub(crate) fn set_up(&self, conn: &Connection) -> rusqlite::Result<()> {
        conn.busy_timeout(self.busy_timeout)?;
        conn.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        // A statement keeps its plan whatever is bound to it. Otherwise some are prepared anew for
        // each new value, which costs ten times what they do.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        // What a tampered file brings along is not run.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        conn.pragma_update(None, "trusted_schema", false)?;
        conn.pragma_update(None, "cell_size_check", true)?;
        // On macOS it takes this to have on the device what was synced. Whoever closes last
        // checkpoints, readers too.
        conn.pragma_update(None, "checkpoint_fullfsync", true)?;
        // The tables are written by this crate alone, which keeps them consistent itself.
        conn.pragma_update(None, "foreign_keys", false)
    }

    /// A connection that reads.
    ///
    /// Where the store may write, it is not opened as read-only, so that it can checkpoint if it
    /// happens to be the last one to close.
    pub(crate) fn reader(&self) -> rusqlite::Result<Connection> {
        let conn = self.connect()?;
        self.set_up(&conn)?;
        conn.pragma_update(None, "query_only", true)?;
        Ok(conn)
    }

    /// Sets up the one connection that writes, beyond what any is set up to.
    pub(crate) fn set_up_writer(conn: &Connection, max_pages: Option<u32>) -> rusqlite::Result<()> {
        // It is in the file already, unless somebody changed it; it changes nothing then.
        conn.pragma_update(None, "journal_mode", "wal")?;
        conn.pragma_update(None, "synchronous", "full")?;
        conn.pragma_update(None, "fullfsync", true)?;
        conn.pragma_update(None, "journal_size_limit", JOURNAL_BYTES)?;
        conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        conn.pragma_update(None, "cache_size", -16_384)?;
        match max_pages {
            // The answer is the quota in force: a file that is larger already keeps its size.
            Some(pages) => conn.pragma_update(None, "max_page_count", pages),
            None => Ok(()),
        }
    }
}

/// `path`, which is absolute, as a URI that tells SQLite that nothing changes.
pub(crate) fn immutable_uri(path: &Path) -> String {
    let mut uri = "file://".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                uri.push(char::from(*byte));
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri + "?immutable=1"
}

/// Connections for reads, so that none waits for another or for the writer.
#[derive(Debug)]
pub(crate) struct Pool {
    target: Target,
    state: Mutex<PoolState>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct PoolState {
    closed: bool,
    idle: Vec<Connection>,
    lent: usize,
}

impl Pool {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, state: Mutex::default(), returned: Condvar::new() }
    }

    pub(crate) fn place(&self) -> &str {
        &self.target.place
    }

    /// A panic cannot leave the state half changed.
    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `read` on a connection of its own.
    pub(crate) fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut loan = self.lend()?;
        let conn = match loan.conn.take() {
            Some(conn) => conn,
            None => self.open()?,
        };
        let result = read(&conn);
        // One that is stuck in a transaction, or was left by a panic, is closed instead.
        loan.conn = conn.is_autocommit().then_some(conn);
        result
    }

    fn open(&self) -> Result<Connection, StoreError> {
        let opened = self.target.reader();
        // It has read nothing yet; and this says more than that there is no file.
        self.target.check_in_place()?;
        opened.map_err(sql(self.place(), "opening a connection"))
    }

    fn lend(&self) -> Result<Loan<'_>, StoreError> {
        let mut state = self.lock();
        if state.closed {
            return Err(StoreError::closed(self.place()));
        }
        state.lent += 1;
        let conn = state.idle.pop();
        Ok(Loan { pool: self, conn })
    }

    /// Whether `close` was called.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Refuses every later read, and waits for those that run. The answer is false if it was
    /// closed before.
    pub(crate) fn close(&self) -> bool {
        let mut state = self.lock();
        let first = !std::mem::replace(&mut state.closed, true);
        let mut state = self
            .returned
            .wait_while(state, |state| state.lent > 0)
            .unwrap_or_else(PoisonError::into_inner);
        state.idle.clear();
        first
    }
}

struct Loan<'a> {
    pool: &'a Pool,
    conn: Option<Connection>,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        if let Some(conn) = self.conn.take()
            && !state.closed
            && state.idle.len() < IDLE_CONNECTIONS
        {
            state.idle.push(conn);
        }
        state.lent -= 1;
        // Nobody waits before that, and waking nobody is a system call all the same.
        if state.closed {
            self.pool.returned.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, mpsc};

    use super::*;

    fn pool() -> (tempfile::TempDir, Pool) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sqlite");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        let pool = Pool::new(Target {
            file: FileId::of(&path).unwrap(),
            path,
            place: "here".to_owned(),
            mode: Mode::ReadWrite,
            busy_timeout: Duration::from_millis(1_234),
        });
        (directory, pool)
    }

    #[test]
    fn connections_are_set_up_to_be_safe_and_durable() {
        let (_directory, pool) = pool();
        let number = |conn: &Connection, name: &str| -> i64 {
            conn.pragma_query_value(None, name, |row| row.get(0)).unwrap()
        };
        let (reader, writer) = (pool.target.reader().unwrap(), pool.target.connect().unwrap());
        pool.target.set_up(&writer).unwrap();
        Target::set_up_writer(&writer, Some(1_000)).unwrap();
        for conn in [&reader, &writer] {
            assert_eq!(number(conn, "busy_timeout"), 1_234);
            assert_eq!(number(conn, "trusted_schema"), 0);
            assert_eq!(number(conn, "cell_size_check"), 1);
            assert_eq!(number(conn, "foreign_keys"), 0);
            assert_eq!(number(conn, "checkpoint_fullfsync"), 1);
            assert!(!conn.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER).unwrap());
            assert!(conn.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG).unwrap());
        }
        assert_eq!((number(&reader, "query_only"), number(&writer, "query_only")), (1, 0));
        let full = 2;
        assert_eq!(number(&writer, "synchronous"), full);
        assert_eq!(number(&writer, "fullfsync"), 1);
        let mode: String =
            writer.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        assert_eq!(number(&writer, "journal_size_limit"), i64::from(JOURNAL_BYTES));
        assert_eq!(number(&writer, "wal_autocheckpoint"), i64::from(CHECKPOINT_PAGES));
        assert_eq!(number(&writer, "cache_size"), -16_384, "in KiB");
        assert_eq!(number(&writer, "max_page_count"), 1_000);
    }

    #[cfg(unix)]
    #[test]
    fn a_connection_is_opened_to_the_same_file_or_to_none() {
        use std::fs;

        let (directory, pool) = pool();
        let (path, elsewhere) = (&pool.target.path, directory.path().join("elsewhere"));
        // The first one is there already, the second is opened.
        let two = || pool.with(|_| pool.with(|_| Ok(())));
        nested(&pool, 1);
        fs::rename(path, &elsewhere).unwrap();
        let removed = two();
        assert!(matches!(&removed, Err(StoreError::Corrupt { .. })), "{removed:?}");
        Connection::open(path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        let replaced = two();
        let Err(StoreError::Corrupt { place, what, .. }) = replaced else { panic!("{replaced:?}") };
        assert_eq!(place, "here");
        assert!(what.contains("removed or replaced"), "{what}");
        fs::rename(&elsewhere, path).unwrap();
        two().unwrap();
    }

    /// So many reads, each within the one before.
    fn nested(pool: &Pool, depth: usize) {
        if depth > 0 {
            pool.with(|_| {
                nested(pool, depth - 1);
                Ok(())
            })
            .unwrap();
        }
    }

    fn idle_and_lent(pool: &Pool) -> (usize, usize) {
        let state = pool.lock();
        (state.idle.len(), state.lent)
    }

    #[test]
    fn connections_are_kept_for_later_up_to_a_number() {
        let (_directory, pool) = pool();
        for (depth, kept) in [(1, 1), (3, 3), (2, 3), (IDLE_CONNECTIONS + 3, IDLE_CONNECTIONS)] {
            nested(&pool, depth);
            assert_eq!(idle_and_lent(&pool), (kept, 0));
        }
        assert!(!pool.is_closed());
        assert!(pool.close());
        assert!(pool.is_closed());
        assert_eq!(idle_and_lent(&pool), (0, 0));
        assert!(!pool.close());
        let late = pool.with(|_| Ok(()));
        assert!(matches!(late, Err(StoreError::Closed { place, .. }) if place == "here"));
    }

    #[test]
    fn closing_waits_for_a_read_and_keeps_no_connection() {
        let (_directory, pool) = pool();
        let (pool, read) = (Arc::new(pool), Arc::new(AtomicBool::new(false)));
        let (begun, begins) = mpsc::channel();
        let (end, ends) = mpsc::channel();
        let reader = {
            let (pool, read) = (Arc::clone(&pool), Arc::clone(&read));
            std::thread::spawn(move || {
                pool.with(|_| {
                    begun.send(()).unwrap();
                    ends.recv().unwrap();
                    read.store(true, Ordering::SeqCst);
                    Ok(())
                })
            })
        };
        begins.recv().unwrap();
        let closer = {
            let (pool, read) = (Arc::clone(&pool), Arc::clone(&read));
            std::thread::spawn(move || (pool.close(), read.load(Ordering::SeqCst)))
        };
        while !pool.is_closed() {
            std::thread::yield_now();
        }
        end.send(()).unwrap();
        assert_eq!(closer.join().unwrap(), (true, true), "it waited for the read");
        reader.join().unwrap().unwrap();
        assert_eq!(idle_and_lent(&pool), (0, 0));
    }
}
