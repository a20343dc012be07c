//! A look at a file before it is opened as a replica, which leaves it and its directory untouched.
//!
//! SQLite looks itself, told that nothing changes: then it takes no lock and makes no file beside.
//! Reading the header through `std::fs` would not do. On Unix, closing any descriptor of a file
//! lets go of all locks that the process has on it, those of other open handles too.

use std::fs;
use std::path::Path;

use prophet_store::StoreError;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::connection::immutable_uri;
use crate::error::{file, sql, translate};
use crate::schema::{APPLICATION_ID, FORMAT};

/// The bytes of a SQLite header.
const HEADER_BYTES: u64 = 100;

/// Tells a file from another that has its name: on Unix, where a file that is open can be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    #[cfg(unix)]
    device: u64,
    #[cfg(unix)]
    inode: u64,
}

impl FileId {
    /// Of the file that has the name now. It is not opened, which would let go of locks.
    #[cfg(unix)]
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(path).map(|found| Self { device: found.dev(), inode: found.ino() })
    }

    /// Of whatever has the name.
    #[cfg(not(unix))]
    pub(crate) fn of(_: &Path) -> std::io::Result<Self> {
        Ok(Self {})
    }
}

struct Seen {
    application: u32,
    format: u32,
    bytes: u64,
}

/// Refuses what is not a replica of a format known here, and one that was cut off.
pub(crate) fn check(path: &Path, place: &str) -> Result<(), StoreError> {
    let metadata = fs::metadata(path).map_err(file(place, "looking at the file"))?;
    let refuse = |why: &str| Err(StoreError::not_a_replica(place, why));
    if metadata.is_dir() {
        return refuse("it is a directory, and a replica is a file");
    }
    if !metadata.is_file() {
        return refuse("it is not a regular file");
    }
    if metadata.len() == 0 {
        return refuse("it is empty");
    }
    // A checkpoint by somebody else lets the header run ahead of the file; while that lasts there
    // is a write-ahead log. The second look is for one that ended between two steps of the first.
    for last_look in [false, true] {
        let seen = match look(path) {
            Ok(seen) => seen,
            Err(error) => match error.sqlite_error_code() {
                Some(ErrorCode::NotADatabase) => {
                    return refuse("it is not a SQLite database");
                }
                Some(ErrorCode::DatabaseCorrupt) if has_log(path) => return Ok(()),
                Some(ErrorCode::DatabaseCorrupt) if !last_look => continue,
                Some(ErrorCode::DatabaseCorrupt) => {
                    return Err(StoreError::corrupt(place, cut_off(path)));
                }
                _ => return Err(translate(place, "looking at the file", error)),
            },
        };
        if seen.application != APPLICATION_ID {
            return refuse("it is a SQLite database of another application");
        }
        check_format(seen.format, place)?;
        let bytes = fs::metadata(path).map_err(file(place, "looking at the file"))?.len();
        if bytes >= seen.bytes || has_log(path) {
            return Ok(());
        }
        if last_look {
            return Err(StoreError::corrupt(place, cut_off(path)));
        }
    }
    Ok(())
}

/// Refuses a format that is not known here.
pub(crate) fn check_format(format: u32, place: &str) -> Result<(), StoreError> {
    match format {
        0 => Err(StoreError::corrupt(place, "it has no format version")),
        1..=FORMAT => Ok(()),
        newer => Err(StoreError::newer_format(place, newer.into(), FORMAT.into())),
    }
}

/// The format as a connection sees it: the look at the file leaves out what is in its write-ahead
/// log, and another program may change it later.
pub(crate) fn format(conn: &Connection) -> rusqlite::Result<u32> {
    let mut statement = conn.prepare_cached("PRAGMA user_version")?;
    statement.query_row([], |row| row.get::<_, i64>(0)).map(|format| format.cast_unsigned() as u32)
}

fn look(path: &Path) -> rusqlite::Result<Seen> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(immutable_uri(path), flags)?;
    let number = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok(Seen {
        // 32 bits of the header, which SQLite takes for signed, as it does the format.
        application: number("application_id")?.cast_unsigned() as u32,
        format: format(&conn)?,
        bytes: number("page_count")?
            .cast_unsigned()
            .saturating_mul(number("page_size")?.cast_unsigned()),
    })
}

/// Whether there is something in a write-ahead log, from which SQLite completes the file.
fn has_log(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|metadata| metadata.len() > 0)
}

fn cut_off(path: &Path) -> String {
    let bytes = fs::metadata(path).map_or(0, |metadata| metadata.len());
    match bytes < HEADER_BYTES {
        true => format!("it has {bytes} bytes, which is less than a header"),
        false => format!("it has {bytes} bytes, which is less than its header says"),
    }
}

/// The name of a file that SQLite keeps beside the database.
pub(crate) fn beside(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Whether the connection of a store that is to write turned out to be able to.
pub(crate) fn may_write(conn: &Connection, place: &str) -> Result<bool, StoreError> {
    conn.is_readonly("main").map(|read_only| !read_only).map_err(sql(place, "opening the file"))
}
