//! The head, which is the last row of `commits`, and the transactions that pin it.

use prophet_store::{CommitId, Head, Position, StoreError, Version};
use rusqlite::{Connection, Row};

use crate::error::{damaged, sql};

/// How many commit ids are remembered at least, as rule C4 asks.
pub(crate) const REMEMBERED_COMMITS: i64 = 1_024;
/// Forgetting goes in steps of this many, so that an ordinary commit touches one page of the table.
pub(crate) const FORGET_EVERY: i64 = 256;

const SELECT: &str =
    "SELECT version, position, id, checksum FROM commits ORDER BY version DESC LIMIT 1";
/// The end of the log comes along, so that one statement shows whether the two agree.
const SELECT_WITH_END: &str = "SELECT version, position, id, checksum, \
     (SELECT max(position) FROM log) FROM commits ORDER BY version DESC LIMIT 1";

/// Where the replica is, in the transaction that is open, or else now.
pub(crate) fn read(conn: &Connection, place: &str) -> Result<Head, StoreError> {
    let action = "reading the head";
    let mut statement = conn.prepare_cached(SELECT).map_err(sql(place, action))?;
    let mut rows = statement.query([]).map_err(sql(place, action))?;
    match rows.next().map_err(sql(place, action))? {
        Some(row) => from_row(row, place),
        None => Err(damaged(place, "commits", "there is no head")),
    }
}

/// Where the replica is, for a commit: the log has to end there.
pub(crate) fn read_to_commit(conn: &Connection, place: &str) -> Result<Head, StoreError> {
    let failed = sql(place, "reading the head");
    let mut statement = conn.prepare_cached(SELECT_WITH_END).map_err(&failed)?;
    let mut rows = statement.query([]).map_err(&failed)?;
    let Some(row) = rows.next().map_err(&failed)? else {
        return Err(damaged(place, "commits", "there is no head"));
    };
    let head = from_row(row, place)?;
    let end: Option<i64> = row.get(4).map_err(&failed)?;
    match end.unwrap_or(0).cast_unsigned() == head.position.get() {
        true => Ok(head),
        false => Err(damaged(place, "the log", "its end is not where the head says")),
    }
}

/// The head in the first four columns of `row`.
pub(crate) fn from_row(row: &Row<'_>, place: &str) -> Result<Head, StoreError> {
    let failed = sql(place, "reading the head");
    let version: i64 = row.get(0).map_err(&failed)?;
    let position: i64 = row.get(1).map_err(&failed)?;
    let id: [u8; 16] = row.get(2).map_err(&failed)?;
    let found: i64 = row.get(3).map_err(&failed)?;
    let head = Head {
        version: Version::new(version.cast_unsigned()),
        position: Position::new(position.cast_unsigned()),
        commit: CommitId::from_bytes(id),
    };
    match found == checksum(&head) {
        true => Ok(head),
        false => Err(damaged(place, format_args!("commit {version}"), "its checksum is wrong")),
    }
}

/// Appends the row that makes `head` the head.
pub(crate) fn append(conn: &Connection, head: &Head) -> rusqlite::Result<()> {
    let Head { version, position, commit } = head;
    let version = version.get().cast_signed();
    conn.prepare_cached("INSERT INTO commits VALUES (?1, ?2, ?3, ?4)")?.execute((
        version,
        position.get().cast_signed(),
        commit.as_bytes(),
        checksum(head),
    ))?;
    if version % FORGET_EVERY == 0 {
        conn.prepare_cached("DELETE FROM commits WHERE version <= ?1")?
            .execute([version - REMEMBERED_COMMITS])?;
    }
    Ok(())
}

fn checksum(head: &Head) -> i64 {
    let mut bytes = [0; 32];
    let (version, rest) = bytes.split_at_mut(8);
    let (position, id) = rest.split_at_mut(8);
    version.copy_from_slice(&head.version.get().to_le_bytes());
    position.copy_from_slice(&head.position.get().to_le_bytes());
    id.copy_from_slice(head.commit.as_bytes());
    crc32fast::hash(&bytes).into()
}

/// Runs `read` at one head: in a transaction that the first read of the head pins.
pub(crate) fn pinned<T>(
    conn: &Connection,
    place: &str,
    read_rows: impl FnOnce(Head) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let run = |statement: &str| -> rusqlite::Result<()> {
        conn.prepare_cached(statement)?.execute([])?;
        Ok(())
    };
    run("BEGIN").map_err(sql(place, "reading"))?;
    let result = read(conn, place).and_then(read_rows);
    // Nothing was written. A connection that could not end its transaction is not used again.
    let _ = run("ROLLBACK");
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ordinary commit adds a row; at every 256th, those beyond the last 1,024 go.
    #[test]
    fn old_commit_ids_are_forgotten_in_steps() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE commits (version INTEGER PRIMARY KEY, p, i, c)").unwrap();
        let mut before = 0;
        for version in 1..=REMEMBERED_COMMITS + 3 * FORGET_EVERY + 1 {
            let number = version.cast_unsigned();
            let head = Head {
                version: Version::new(number),
                position: Position::new(number),
                commit: CommitId::from_bytes([1; 16]),
            };
            append(&conn, &head).unwrap();
            let (count, oldest): (i64, i64) = conn
                .query_row("SELECT count(*), min(version) FROM commits", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .unwrap();
            let expected = match version % FORGET_EVERY {
                0 => version.min(REMEMBERED_COMMITS),
                _ => before + 1,
            };
            assert_eq!((count, oldest), (expected, version - expected + 1), "at {version}");
            before = count;
        }
    }
}
