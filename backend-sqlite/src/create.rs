//! Making a replica: built in a file beside, and published whole under its name or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use prophet_store::{Head, Identity, StoreError};
use rusqlite::{Connection, OpenFlags};

use crate::error::{file, sql};
use crate::probe::beside;
use crate::schema::{APPLICATION_ID, FORMAT, OBJECTS};
use crate::{head, identity};

const FILES_BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Makes the replica `identity` at `path`, which is absolute.
pub(crate) fn create(path: &Path, place: &str, identity: &Identity) -> Result<(), StoreError> {
    if fs::symlink_metadata(path).is_ok() {
        return Err(StoreError::already_exists(place));
    }
    // SQLite would take what is left of an earlier database for a part of this one.
    for suffix in FILES_BESIDE {
        if fs::symlink_metadata(beside(path, suffix)).is_ok() {
            return Err(StoreError::already_exists(format!("{place}{suffix}")));
        }
    }
    let building = building_path(path, identity);
    // Left by a program that crashed and had the process id that is now ours.
    discard(&building);
    let published =
        build(&building, place, identity).and_then(|()| publish(&building, path, place));
    discard(&building);
    published?;
    sync_directory(path).map_err(file(place, "syncing the directory"))
}

/// No other program and no other call makes a file of this name while we do.
fn building_path(path: &Path, identity: &Identity) -> PathBuf {
    static CREATED: AtomicU64 = AtomicU64::new(0);
    let number = CREATED.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    path.with_file_name(format!(".prophet-{}-{process}-{number}", identity.replica))
}

fn build(building: &Path, place: &str, identity: &Identity) -> Result<(), StoreError> {
    let fill = || -> rusqlite::Result<()> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut conn = Connection::open_with_flags(building, flags)?;
        conn.pragma_update(None, "foreign_keys", false)?;
        let transaction = conn.transaction()?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        for (_, statement) in OBJECTS {
            transaction.execute_batch(statement)?;
        }
        identity::write(&transaction, identity)?;
        head::append(&transaction, &Head::EMPTY)?;
        transaction.commit()?;
        // The last thing: a database in WAL mode keeps more than one file while it is open.
        conn.pragma_update(None, "journal_mode", "wal")?;
        conn.close().map_err(|(_, error)| error)
    };
    let action = "creating the file";
    fill().map_err(|error| match error.sqlite_error_code() {
        // SQLite says no more than "unable to open"; the system says why.
        Some(rusqlite::ErrorCode::CannotOpen) => match File::create(building) {
            Err(system) => file(place, action)(system),
            Ok(_) => sql(place, action)(error),
        },
        _ => sql(place, action)(error),
    })?;
    File::open(building).and_then(|file| file.sync_all()).map_err(file(place, "syncing the file"))
}

fn publish(building: &Path, path: &Path, place: &str) -> Result<(), StoreError> {
    let taken = |error: &std::io::Error| error.kind() == std::io::ErrorKind::AlreadyExists;
    match fs::hard_link(building, path) {
        Ok(()) => Ok(()),
        Err(error) if taken(&error) => Err(StoreError::already_exists(place)),
        // A file system without hard links, as on USB sticks: claim the name, then replace it.
        Err(_) => match File::create_new(path) {
            Err(error) if taken(&error) => Err(StoreError::already_exists(place)),
            claimed => claimed
                .and_then(|claim| {
                    drop(claim);
                    fs::rename(building, path).inspect_err(|_| {
                        // Nothing is left behind: a file of no bytes is in the way of the next one.
                        let _ = fs::remove_file(path);
                    })
                })
                .map_err(file(place, "giving the file its name")),
        },
    }
}

/// Removes what was built, if it is still there. A leftover harms nobody.
fn discard(building: &Path) {
    let _ = fs::remove_file(building);
    for suffix in FILES_BESIDE {
        let _ = fs::remove_file(beside(building, suffix));
    }
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// Elsewhere a directory cannot be opened as a file, nor has it to be.
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_the_name_keeps_it() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("building"), "new").unwrap();
        fs::write(at("taken"), "old").unwrap();
        let refused = publish(&at("building"), &at("taken"), "here");
        assert!(matches!(refused, Err(StoreError::AlreadyExists { .. })), "{refused:?}");
        assert_eq!(fs::read(at("taken")).unwrap(), b"old");

        let nowhere = publish(&at("building"), &at("nothing/name"), "here");
        assert!(matches!(nowhere, Err(StoreError::Io { .. })), "{nowhere:?}");

        // Neither a link nor a rename of what is not there works.
        let failed = publish(&at("missing"), &at("claimed"), "here");
        assert!(matches!(failed, Err(StoreError::Io { .. })), "{failed:?}");
        assert!(!at("claimed").exists(), "the name is free again");

        publish(&at("building"), &at("free"), "here").unwrap();
        assert_eq!(fs::read(at("free")).unwrap(), b"new");
    }

    #[test]
    fn what_was_built_is_taken_away_with_the_files_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let building = directory.path().join("building");
        fs::write(&building, "new").unwrap();
        for suffix in FILES_BESIDE {
            fs::write(beside(&building, suffix), "new").unwrap();
        }
        discard(&building);
        discard(&building);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
