//! Looking for damage: every row of every table, against itself and against the others.

use prophet_store::{
    Creator, DatabaseId, Digest, Identity, LogEntry, MetadataKey, Position, RecordId, RecordKey,
    RecordType, StoreError, Verification,
};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::apply;
use crate::entry::{Reader, select_entries};
use crate::error::{damaged, sql, translate};
use crate::head::{self, REMEMBERED_COMMITS};
use crate::identity;
use crate::log::Source;
use crate::metadata;
use crate::records;
use crate::resolutions;
use crate::rows::RecordColumns;
use crate::schema::OBJECTS;

/// Where a file is all damage, the first of it says enough.
const MOST_PROBLEMS: usize = 1_000;

const ENTRIES: &str = concat!(select_entries!("l.position", "log l"), "ORDER BY l.position");
const TOUCHES: &str = "SELECT 1 FROM history WHERE position = ?3 AND record = \
     (SELECT r.id FROM record r WHERE r.type = (SELECT t.id FROM record_type t \
     WHERE t.name = ?1) AND r.uuid = ?2)";
const RECORDS: &str = "SELECT t.name, r.uuid, r.changed, r.existence, r.properties, r.state \
     FROM record r LEFT JOIN record_type t ON t.id = r.type";

/// Reads all of the replica at one head.
pub(crate) fn verify(source: &Source<'_>, identity: &Identity) -> Result<Verification, StoreError> {
    let Source { conn, place, database } = *source;
    let mut check =
        Check { conn, place, database, found: Verification::default(), touches: 0, last: 0 };
    let pinned = head::pinned(conn, place, |_| check.everything(identity));
    check.note(pinned)?;
    Ok(check.found)
}

struct Check<'a> {
    conn: &'a Connection,
    place: &'a str,
    database: DatabaseId,
    found: Verification,
    /// How many rows the history should have.
    touches: u64,
    /// The last position of the log.
    last: u64,
}

impl Check<'_> {
    fn everything(&mut self, identity: &Identity) -> Result<(), StoreError> {
        self.pages()?;
        self.schema()?;
        let kept = identity::read(self.conn, self.place).and_then(|kept| match kept == *identity {
            true => Ok(()),
            false => Err(damaged(self.place, "the identity", "it is not the one opened")),
        });
        self.note(kept)?;
        self.names()?;
        self.log()?;
        self.commits()?;
        self.history()?;
        self.records()?;
        self.resolutions()?;
        self.metadata()
    }

    fn problem(&mut self, problem: String) {
        match self.found.problems.len() {
            ..MOST_PROBLEMS => self.found.problems.push(problem),
            MOST_PROBLEMS => self.found.problems.push("and more".to_owned()),
            _ => {}
        }
    }

    /// Puts damage into the report; what keeps from looking is an error.
    fn note(&mut self, result: Result<(), StoreError>) -> Result<(), StoreError> {
        match result {
            Err(error @ (StoreError::Corrupt { .. } | StoreError::NewerFormat { .. })) => {
                self.problem(error.to_string());
                Ok(())
            }
            other => other,
        }
    }

    /// Shows every row that `statement` gives to `look`.
    fn each(
        &mut self,
        what: &str,
        statement: &str,
        mut look: impl FnMut(&mut Self, &Row<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let action = format!("reading {what}");
        let conn = self.conn;
        let mut statement = match conn.prepare(statement) {
            Ok(statement) => statement,
            Err(error) => return self.note(Err(translate(self.place, &action, error))),
        };
        let mut rows = match statement.query([]) {
            Ok(rows) => rows,
            Err(error) => return self.note(Err(translate(self.place, &action, error))),
        };
        loop {
            match rows.next() {
                Ok(Some(row)) => {
                    let looked = look(self, row);
                    self.note(looked)?;
                }
                Ok(None) => return Ok(()),
                Err(error) => return self.note(Err(translate(self.place, &action, error))),
            }
        }
    }

    fn pages(&mut self) -> Result<(), StoreError> {
        self.each("the pages", "PRAGMA integrity_check", |check, row| {
            let said: String = row.get(0).map_err(sql(check.place, "reading the pages"))?;
            if said != "ok" {
                check.problem(format!("{}: {said}", check.place));
            }
            Ok(())
        })
    }

    fn schema(&mut self) -> Result<(), StoreError> {
        for (name, expected) in OBJECTS {
            let found: rusqlite::Result<Option<String>> = self
                .conn
                .query_row("SELECT sql FROM sqlite_schema WHERE name = ?1", [name], |row| {
                    row.get(0)
                })
                .optional();
            let sound = found.map_err(sql(self.place, "reading the schema")).and_then(|found| {
                match found.as_deref() == Some(expected) {
                    true => Ok(()),
                    false => Err(damaged(self.place, name, "its definition was changed")),
                }
            });
            self.note(sound)?;
        }
        let triggers = "SELECT name FROM sqlite_schema WHERE type = 'trigger'";
        self.each("triggers", triggers, |check, row| {
            let name: String = row.get(0).map_err(sql(check.place, "reading triggers"))?;
            Err(damaged(check.place, format_args!("trigger {name}"), "a replica has none"))
        })
    }

    /// The tables of what others refer to by number.
    fn names(&mut self) -> Result<(), StoreError> {
        self.each("record types", "SELECT id, name FROM record_type", |check, row| {
            name(check.place, "record type", row, |name: String| {
                RecordType::new(name).map(drop).map_err(|error| error.to_string())
            })
        })?;
        self.each("creators", "SELECT id, name FROM creator", |check, row| {
            name(check.place, "creator", row, |name: String| {
                Creator::new(name).map(drop).map_err(|error| error.to_string())
            })
        })?;
        self.each("origins", "SELECT id, uuid FROM origin", |check, row| {
            name(check.place, "origin", row, |_: [u8; 16]| Ok(()))
        })
    }

    fn commits(&mut self) -> Result<(), StoreError> {
        let mut before: Option<prophet_store::Head> = None;
        let mut count: i64 = 0;
        let all = "SELECT version, position, id, checksum FROM commits ORDER BY version";
        self.each("commits", all, |check, row| {
            let head = head::from_row(row, check.place)?;
            let follows = before.is_none_or(|before| {
                head.version == before.version.next() && head.position >= before.position
            });
            if before.is_none() {
                count = head.version.get().cast_signed();
            }
            before = Some(head);
            match follows {
                true => Ok(()),
                false => {
                    let what = format_args!("commit {}", head.version);
                    Err(damaged(check.place, what, "it does not follow the one before it"))
                }
            }
        })?;
        let Some(head) = before else {
            return self.note(Err(damaged(self.place, "commits", "there is no head")));
        };
        let remembered = head.version.get().cast_signed().saturating_sub(count);
        if count > 0 && remembered < REMEMBERED_COMMITS - 1 {
            self.problem(format!("{}: only {remembered} commits are remembered", self.place));
        }
        if head.position.get() != self.last {
            self.problem(format!(
                "{}: the head is at position {}, but the log ends at {}",
                self.place, head.position, self.last
            ));
        }
        Ok(())
    }

    fn log(&mut self) -> Result<(), StoreError> {
        self.each("the log", ENTRIES, |check, row| {
            let position: i64 = row.get(0).map_err(sql(check.place, "reading the log"))?;
            let position = Position::new(position.cast_unsigned());
            let expected = check.last.saturating_add(1);
            if position.get() != expected {
                check.problem(format!(
                    "{}: the log has position {position} where {expected} should be",
                    check.place
                ));
            }
            check.last = position.get();
            check.found.entries += 1;
            // Alone, so that what it leaves out is looked up as a read of it alone does.
            let mut alone = Reader::new(check.conn, check.place, check.database);
            let entry = alone.read(position, row)?;
            check.found_by_digest(&entry)?;
            check.found_by_records(&entry)
        })
    }

    fn found_by_digest(&self, entry: &LogEntry) -> Result<(), StoreError> {
        let digest: Digest = entry.changeset.digest();
        let found =
            apply::find(self.conn, &digest).map_err(sql(self.place, "looking for a changeset"))?;
        match found == Some(entry.position) {
            true => Ok(()),
            false => {
                let what = format_args!("log entry {}", entry.position);
                Err(damaged(self.place, what, "it is not the one found by its digest"))
            }
        }
    }

    fn found_by_records(&mut self, entry: &LogEntry) -> Result<(), StoreError> {
        let position = entry.position.get().cast_signed();
        let action = "reading the history of a record";
        for key in entry.records() {
            self.touches += 1;
            let columns = (key.record_type().as_str(), *key.id().as_bytes(), position);
            let found = self
                .conn
                .prepare_cached(TOUCHES)
                .and_then(|mut statement| statement.exists(columns))
                .map_err(sql(self.place, action))?;
            if !found {
                let what = format_args!("the history of {key}");
                return Err(damaged(self.place, what, format_args!("it lacks entry {position}")));
            }
        }
        Ok(())
    }

    fn history(&mut self) -> Result<(), StoreError> {
        let counts = "SELECT count(*), count(*) - count(r.id) FROM history h \
             LEFT JOIN record r ON r.id = h.record";
        self.each("the history", counts, |check, row| {
            let failed = sql(check.place, "reading the history");
            let (rows, lost): (u64, u64) = (
                row.get::<_, i64>(0).map_err(&failed)?.cast_unsigned(),
                row.get::<_, i64>(1).map_err(&failed)?.cast_unsigned(),
            );
            if rows != check.touches || lost > 0 {
                let (place, touches) = (check.place, check.touches);
                check.problem(format!(
                    "{place}: the history has {rows} rows, {lost} of them of no record, where \
                     the log has {touches}"
                ));
            }
            Ok(())
        })
    }

    fn records(&mut self) -> Result<(), StoreError> {
        self.each("records", RECORDS, |check, row| {
            let failed = sql(check.place, "reading a record");
            let name: String = row.get(0).map_err(&failed)?;
            let name = RecordType::new(name)
                .map_err(|error| damaged(check.place, "record_type", error))?;
            let id = RecordId::from_bytes(row.get(1).map_err(&failed)?);
            let key = RecordKey::new(name, id);
            let columns: [Option<i64>; 2] =
                [row.get(2).map_err(&failed)?, row.get(3).map_err(&failed)?];
            let properties: Option<String> = row.get(4).map_err(&failed)?;
            let state: Option<Vec<u8>> = row.get(5).map_err(&failed)?;
            let wrong = |why| Err(damaged(check.place, format_args!("record {key}"), why));
            let Some(state) = state else {
                // Only named in the log: nobody has committed its state.
                return match (columns, &properties) {
                    ([None, None], None) => Ok(()),
                    _ => wrong("its state is missing"),
                };
            };
            check.found.records += 1;
            let state = records::decode(check.place, &key, &state)?;
            let [Some(changed), Some(existence)] = columns else {
                return wrong("its columns are missing");
            };
            match (RecordColumns { changed, existence, properties }) == RecordColumns::of(&state) {
                true => Ok(()),
                false => wrong("its columns are not what its state says"),
            }
        })
    }

    fn resolutions(&mut self) -> Result<(), StoreError> {
        let all = "SELECT conflict, changeset, vote FROM resolution";
        self.each("resolutions", all, |check, row| {
            check.found.resolutions += 1;
            let failed = sql(check.place, "reading a resolution");
            let conflict: [u8; 32] = row.get(0).map_err(&failed)?;
            let changeset: [u8; 32] = row.get(1).map_err(&failed)?;
            let vote: Vec<u8> = row.get(2).map_err(&failed)?;
            let cursor =
                (prophet_store::ConflictId::from_bytes(conflict), Digest::from_bytes(changeset));
            resolutions::decode(check.place, cursor, &vote).map(drop)
        })
    }

    fn metadata(&mut self) -> Result<(), StoreError> {
        self.each("metadata", "SELECT key, value FROM metadata", |check, row| {
            check.found.metadata += 1;
            let failed = sql(check.place, "reading metadata");
            let key: String = row.get(0).map_err(&failed)?;
            let value: Vec<u8> = row.get(1).map_err(&failed)?;
            let key =
                MetadataKey::new(key).map_err(|error| damaged(check.place, "metadata", error))?;
            metadata::decode(check.place, &key, &value).map(drop)
        })
    }
}

/// Checks one row of a table of names.
fn name<T: rusqlite::types::FromSql>(
    place: &str,
    what: &str,
    row: &Row<'_>,
    check: impl FnOnce(T) -> Result<(), String>,
) -> Result<(), StoreError> {
    let id: i64 = row.get(0).map_err(sql(place, "reading names"))?;
    let at = format_args!("{what} {id}").to_string();
    let name = row.get(1).map_err(|error| damaged(place, &at, error))?;
    check(name).map_err(|why| damaged(place, at, why))
}
