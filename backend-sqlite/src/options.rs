//! How to create and open a store.

use std::io::ErrorKind::{InvalidInput, NotADirectory, NotFound};
use std::path::{Path, PathBuf};
use std::time::Duration;

use prophet_store::{Access, Capabilities, Durability, Facts, Head, Identity, Sharing, StoreError};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use crate::connection::{Mode, Pool, Target};
use crate::error::{file, sql, translate};
use crate::probe::FileId;
use crate::schema::FORMAT;
use crate::store::SqliteStore;
use crate::{create, head, identity, probe, writer};

/// SQLite counts milliseconds in 32 bits, with a sign.
const LONGEST_TIMEOUT: Duration = Duration::from_millis(i32::MAX as u64);

/// How to create or open a [`SqliteStore`].
///
/// ```
/// use std::time::Duration;
/// use backend_sqlite::SqliteOptions;
/// # use prophet_store::{DatabaseId, Identity, ReplicaId, ReplicaStore};
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("bugs.replica");
/// # let identity = Identity {
/// #     database: DatabaseId::from_bytes([1; 16]),
/// #     replica: ReplicaId::from_bytes([2; 16]),
/// # };
///
/// let options = SqliteOptions::new().busy_timeout(Duration::from_secs(1));
/// let store = options.create(&path, identity)?;
/// let reader = options.read_only(true).open(&path)?;
/// assert_eq!(reader.facts().identity, store.facts().identity);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SqliteOptions {
    read_only: bool,
    busy_timeout: Duration,
    max_pages: Option<u32>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { read_only: false, busy_timeout: Duration::from_secs(5), max_pages: None }
    }
}

impl SqliteOptions {
    /// The defaults: for reading and writing, waiting 5 seconds for other programs, with no quota.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the store is opened for reading only. It works on a read-only medium too, unless
    /// a program that was writing there left the file unfinished.
    #[must_use]
    pub const fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// How long to wait for another program that is writing before answering
    /// [`Busy`](StoreError::Busy), or [`Locked`](StoreError::Locked) while opening. More than
    /// 24 days are as many.
    #[must_use]
    pub const fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = match timeout.as_millis() > LONGEST_TIMEOUT.as_millis() {
            true => LONGEST_TIMEOUT,
            false => timeout,
        };
        self
    }

    /// The quota: a commit that would make the file larger than this many pages of 4,096 bytes is
    /// refused as [`Full`](StoreError::Full). It belongs to the handle, not to the file.
    #[must_use]
    pub const fn max_pages(mut self, pages: u32) -> Self {
        self.max_pages = Some(pages);
        self
    }

    /// Creates the replica `identity` in a new file and opens it.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] if there is anything at `path`; [`StoreError::Io`] where the
    /// file cannot be made. Either way nothing is left behind.
    pub fn create(
        &self,
        path: impl AsRef<Path>,
        identity: Identity,
    ) -> Result<SqliteStore, StoreError> {
        let given = path.as_ref();
        let place = named(given);
        let path = absolute(given, &place)?;
        create::create(&path, &place, &identity)?;
        self.open(given)
    }

    /// Opens the replica in the file at `path`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::NotAReplica`], [`StoreError::NewerFormat`] and
    /// [`StoreError::Corrupt`] leave the file as it is. [`StoreError::ReadOnly`] if it is to be
    /// written to and may not be; [`StoreError::Locked`] while another program keeps everybody
    /// out.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        let given = path.as_ref();
        let place = named(given);
        let path = match given.canonicalize() {
            Ok(path) => path,
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => {
                return Err(StoreError::not_found(place));
            }
            Err(error) => return Err(file(&place, "looking for the file")(error)),
        };
        let found = FileId::of(&path).map_err(file(&place, "looking at the file"))?;
        probe::check(&path, &place)?;
        let mode = if self.read_only { Mode::ReadOnly } else { Mode::ReadWrite };
        let target = Target { path, place, file: found, mode, busy_timeout: self.busy_timeout };
        let opened = match self.read_only {
            true => open_reader(target),
            false => self.open_writer(target),
        };
        opened.map_err(|error| match error {
            StoreError::Busy { place, .. } => {
                StoreError::locked(place, "another program keeps everybody out")
            }
            other => other,
        })
    }

    fn open_writer(&self, target: Target) -> Result<SqliteStore, StoreError> {
        let conn = self.connect_writer(&target)?;
        let (identity, _) = check(&conn, &target.place)?;
        let facts = facts(&target, identity, Access::ReadWrite);
        let writer = writer::start(conn, &target, identity.database)?;
        Ok(SqliteStore::new(facts, Pool::new(target), Some(writer)))
    }

    fn connect_writer(&self, target: &Target) -> Result<Connection, StoreError> {
        let Target { place, .. } = target;
        let opening = sql(place, "opening the file");
        let opened = target.connect();
        target.check_in_place()?;
        let conn = opened.map_err(&opening)?;
        // SQLite falls back to reading. This comes before it looks at the file.
        if !probe::may_write(&conn, place)? {
            return Err(StoreError::read_only(place));
        }
        let unable = |error: rusqlite::Error| match error.sqlite_error_code() {
            // The file was there and could be written to, so this is the one beside it.
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) => {
                StoreError::read_only(format!("the directory of {place}"))
            }
            _ => opening(error),
        };
        target.set_up(&conn).map_err(&unable)?;
        // Before anything is changed.
        let format = probe::format(&conn).map_err(&unable)?;
        if let Err(refused) = probe::check_format(format, place) {
            // Nor is it by closing, if this is the last connection.
            let _ = conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            return Err(refused);
        }
        Target::set_up_writer(&conn, self.max_pages).map_err(unable)?;
        Ok(conn)
    }
}

/// Checks what every handle relies on.
fn check(conn: &Connection, place: &str) -> Result<(Identity, Head), StoreError> {
    Ok((identity::read(conn, place)?, head::read(conn, place)?))
}

fn open_reader(mut target: Target) -> Result<SqliteStore, StoreError> {
    // Nothing can be made beside a file on a read-only medium. Where there is nothing beside it
    // either, the file is all there is, and nobody can change it.
    let look = |target: &Target| -> rusqlite::Result<()> {
        target.reader()?.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
    };
    if let Err(error) = look(&target) {
        let stuck =
            matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly));
        let log = probe::beside(&target.path, "-wal");
        if !stuck || std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
            return Err(translate(&target.place, "opening the file", error));
        }
        target.mode = Mode::Immutable;
    }
    let pool = Pool::new(target.clone());
    let (identity, _) = pool.with(|conn| {
        let format = probe::format(conn).map_err(sql(&target.place, "looking at the format"))?;
        probe::check_format(format, &target.place)?;
        check(conn, &target.place)
    })?;
    Ok(SqliteStore::new(facts(&target, identity, Access::ReadOnly), pool, None))
}

fn facts(target: &Target, identity: Identity, access: Access) -> Facts {
    let capabilities =
        Capabilities { access, sharing: Sharing::Processes, durability: Durability::PowerLoss };
    Facts { identity, place: target.place.clone(), format: FORMAT.into(), capabilities }
}

/// The path as messages name it.
fn named(path: &Path) -> String {
    match path.as_os_str().is_empty() {
        true => "the empty path".to_owned(),
        false => path.display().to_string(),
    }
}

/// Where to create the file, or why that cannot be the place of one: the system says no more than
/// that something was not found.
fn absolute(path: &Path, place: &str) -> Result<PathBuf, StoreError> {
    let refuse = |kind, why: String| {
        Err(StoreError::io(place, "creating the file", std::io::Error::new(kind, why)))
    };
    let absolute = std::path::absolute(path).map_err(file(place, "creating the file"))?;
    let (Some(_), Some(directory)) = (absolute.file_name(), absolute.parent()) else {
        return refuse(InvalidInput, "the path names no file; add a file name".to_owned());
    };
    if matches!(directory.try_exists(), Ok(false)) {
        let directory = directory.display();
        return refuse(NotFound, format!("there is no directory {directory}; make it first"));
    }
    let ends_as_directory = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    if ends_as_directory && matches!(absolute.try_exists(), Ok(false)) {
        return refuse(InvalidInput, "the path names a directory; add a file name".to_owned());
    }
    Ok(absolute)
}
