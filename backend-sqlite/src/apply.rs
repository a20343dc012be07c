//! What a commit does within its transaction.

use std::collections::HashMap;
use std::hash::Hash;

use prophet_store::{
    Creator, DatabaseId, Digest, Head, Position, RecordKey, RecordType, ReplicaId, Sequence,
    StoreError,
};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Statement, ToSql};

use crate::error::sql;
use crate::head;
use crate::rows::{Batch, EntryRow, RecordColumns, RecordRow};

const FIND: &str = "SELECT l.position, l.checksum, l.sequence, o.uuid FROM log l \
     LEFT JOIN origin o ON o.id = l.origin WHERE substr(l.digest, 1, 8) = ?1 AND l.digest = ?2";
const COMMIT_ID: &str = "SELECT id FROM commits WHERE version = ?1";
/// The lowest position is what makes the answer the same for ever where the origin was forked.
const PREVIOUS: &str = "SELECT digest FROM log WHERE origin = ?1 AND sequence = ?2 \
     ORDER BY position LIMIT 1";
/// The same, and whether there is more from there on.
const FROM_SEQUENCE: &str = "SELECT sequence, digest FROM log WHERE origin = ?1 AND sequence >= ?2 \
     ORDER BY sequence, position LIMIT 2";
const INSERT_ENTRY: &str = "INSERT INTO log (position, digest, origin, sequence, previous, \
     database, parents, creator, millis, counter, kind, effects, checksum, payload) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
const UPDATE_RECORD: &str = "UPDATE record SET changed = ?2, existence = ?3, properties = ?4, \
     state = ?5 WHERE id = ?1";
const INSERT_RECORD: &str = "INSERT INTO record (type, uuid, changed, existence, properties, \
     state) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const FIND_RECORD: &str = "SELECT id FROM record WHERE type = ?1 AND uuid = ?2";
const NAME_RECORD: &str = "INSERT INTO record (type, uuid) VALUES (?1, ?2)";
const INSERT_HISTORY: &str = "INSERT INTO history VALUES (?1, ?2)";
const INSERT_RESOLUTION: &str = "INSERT OR REPLACE INTO resolution VALUES (?1, ?2, ?3)";
const INSERT_METADATA: &str = "INSERT OR REPLACE INTO metadata VALUES (?1, ?2)";
const DELETE_METADATA: &str = "DELETE FROM metadata WHERE key = ?1";

/// Where the changeset `digest` is in the log.
pub(crate) fn find(conn: &Connection, digest: &Digest) -> rusqlite::Result<Option<Position>> {
    let mut find = conn.prepare_cached(FIND)?;
    find_by(&mut find, digest)
}

fn find_by(find: &mut Statement<'_>, digest: &Digest) -> rusqlite::Result<Option<Position>> {
    let (prefix, _) = digest.as_bytes().split_at(8);
    let found = find.query_row((prefix, digest.as_bytes()), |row| {
        let (position, found): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (sequence, origin): (i64, [u8; 16]) = (row.get(2)?, row.get(3)?);
        match found == checksum(origin, sequence.cast_unsigned(), digest, position) {
            true => Ok(Position::new(position.cast_unsigned())),
            false => {
                let why = format!("the checksum of log entry {position} is wrong");
                let kind = rusqlite::types::Type::Integer;
                Err(rusqlite::Error::FromSqlConversionFailure(1, kind, why.into()))
            }
        }
    });
    found.optional()
}

/// Certifies what is read of an entry without reading all of it.
pub(crate) fn checksum(origin: [u8; 16], sequence: u64, digest: &Digest, position: i64) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&origin);
    hasher.update(&sequence.to_le_bytes());
    hasher.update(digest.as_bytes());
    hasher.update(&position.to_le_bytes());
    // Signed, it takes four bytes and never more.
    hasher.finalize().cast_signed().into()
}

/// What to do with a commit, before anything is written.
pub(crate) enum Verdict {
    /// Its base is the head, and nothing is against it.
    Apply,
    /// It was applied earlier.
    Applied,
}

/// Judges a commit, in the transaction that is to apply it.
pub(crate) fn judge(
    conn: &Connection,
    place: &str,
    batch: &mut Batch,
) -> Result<Verdict, StoreError> {
    let failed = sql(place, "looking at the head");
    let head = head::read_to_commit(conn, place)?;
    if batch.base != head {
        return match was_applied(conn, batch, &head).map_err(&failed)? {
            true => Ok(Verdict::Applied),
            false => Err(StoreError::stale_base(batch.base, head)),
        };
    }
    std::mem::replace(&mut batch.distinct, Ok(()))?;
    let mut find = conn.prepare_cached(FIND).map_err(&failed)?;
    for entry in &batch.entries {
        let digest = entry.changeset.digest();
        if let Some(position) = find_by(&mut find, &digest).map_err(&failed)? {
            return Err(StoreError::invalid_commit(format!(
                "changeset {digest} is in the log already, at position {position}"
            )));
        }
    }
    Ok(Verdict::Apply)
}

/// By its id while that is remembered, and from then on by the changesets it carries.
fn was_applied(conn: &Connection, batch: &Batch, head: &Head) -> rusqlite::Result<bool> {
    let version = batch.head.version.get().cast_signed();
    let remembered: Option<[u8; 16]> =
        conn.prepare_cached(COMMIT_ID)?.query_row([version], |row| row.get(0)).optional()?;
    if let Some(id) = remembered {
        return Ok(id == *batch.id.as_bytes());
    }
    if batch.head.version > head.version {
        // The replica was restored from before it: its changesets came again in another commit.
        return Ok(false);
    }
    for entry in &batch.entries {
        if find(conn, &entry.changeset.digest())? != Some(entry.position) {
            return Ok(false);
        }
    }
    Ok(!batch.entries.is_empty())
}

/// Writes everything that is in `batch`.
pub(crate) fn write<'a>(
    conn: &'a Connection,
    database: DatabaseId,
    known: &'a mut Known,
    batch: &'a Batch,
) -> rusqlite::Result<Head> {
    let records = HashMap::with_capacity(batch.records.len());
    let mut names = Names { conn, known, records, tips: HashMap::new() };
    let mut statements = Statements::prepare(conn)?;
    for record in &batch.records {
        statements.put_record(&mut names, record)?;
    }
    for entry in &batch.entries {
        statements.put_entry(&mut names, database, entry)?;
    }
    for row in &batch.resolutions {
        conn.prepare_cached(INSERT_RESOLUTION)?.execute((
            &row.conflict,
            row.changeset.as_bytes(),
            &row.vote,
        ))?;
    }
    for (key, value) in &batch.metadata {
        match value {
            Some(value) => conn.prepare_cached(INSERT_METADATA)?.execute((key.as_str(), value))?,
            None => conn.prepare_cached(DELETE_METADATA)?.execute([key.as_str()])?,
        };
    }
    head::append(conn, &batch.head)?;
    Ok(batch.head)
}

/// What is executed many times: to look each up by its text takes as long as some of them.
struct Statements<'c> {
    find_record: CachedStatement<'c>,
    update_record: CachedStatement<'c>,
    insert_record: CachedStatement<'c>,
    insert_entry: CachedStatement<'c>,
    insert_history: CachedStatement<'c>,
}

impl<'c> Statements<'c> {
    fn prepare(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            find_record: conn.prepare_cached(FIND_RECORD)?,
            update_record: conn.prepare_cached(UPDATE_RECORD)?,
            insert_record: conn.prepare_cached(INSERT_RECORD)?,
            insert_entry: conn.prepare_cached(INSERT_ENTRY)?,
            insert_history: conn.prepare_cached(INSERT_HISTORY)?,
        })
    }

    /// Not in one statement: `RETURNING` makes a table for its one row each time.
    fn put_record<'a>(
        &mut self,
        names: &mut Names<'a>,
        row: &'a RecordRow,
    ) -> rusqlite::Result<()> {
        let record_type = names.record_type(row.key.record_type())?;
        let (id, RecordColumns { changed, existence, properties }) = (row.key.id(), &row.columns);
        let (uuid, properties) = (id.as_bytes(), properties.as_deref());
        let found = self.find_record.query_row((record_type, uuid), |row| row.get(0)).optional()?;
        let id = match found {
            Some(id) => {
                self.update_record.execute((id, changed, existence, properties, &row.state))?;
                id
            }
            None => self.insert_record.insert((
                record_type,
                uuid,
                changed,
                existence,
                properties,
                &row.state,
            ))?,
        };
        names.records.insert(&row.key, id);
        Ok(())
    }

    fn put_entry<'a>(
        &mut self,
        names: &mut Names<'a>,
        database: DatabaseId,
        entry: &'a EntryRow,
    ) -> rusqlite::Result<()> {
        let header = entry.changeset.header();
        let origin = names.origin(header.origin)?;
        let derivable = names.derivable(origin, header.sequence, entry.changeset.digest())?;
        let previous = header.previous.filter(|previous| derivable != Some(*previous));
        let parents: Vec<u8> =
            header.parents.iter().flat_map(|parent| *parent.as_bytes()).collect();
        let position = entry.position.get().cast_signed();
        self.insert_entry.execute((
            position,
            entry.changeset.digest().as_bytes(),
            origin,
            header.sequence.get().cast_signed(),
            previous.as_ref().map(Digest::as_bytes),
            (header.database != database).then_some(header.database.as_bytes()),
            (!parents.is_empty()).then_some(parents),
            names.creator(&header.creator)?,
            header.time.millis().cast_signed(),
            header.time.counter(),
            entry.kind,
            entry.effects.as_deref(),
            checksum(
                *header.origin.as_bytes(),
                header.sequence.get(),
                &entry.changeset.digest(),
                position,
            ),
            entry.changeset.payload_bytes(),
        ))?;
        for record in &entry.records {
            let record = names.record(record)?;
            self.insert_history.execute((record, position))?;
        }
        Ok(())
    }
}

/// The sequence before one, both as they are stored.
pub(crate) const fn sequence_before(stored: i64) -> Option<i64> {
    match stored.cast_unsigned().checked_sub(1) {
        Some(before) => Some(before.cast_signed()),
        None => None,
    }
}

/// The first changeset here with this place among what the origin authored.
pub(crate) fn previous_digest(
    conn: &Connection,
    origin: i64,
    sequence: i64,
) -> rusqlite::Result<Option<Digest>> {
    let mut statement = conn.prepare_cached(PREVIOUS)?;
    let digest = statement.query_row((origin, sequence), |row| row.get(0)).optional()?;
    Ok(digest.map(Digest::from_bytes))
}

/// The numbers that stand for names in other tables. Such a number is given once and for all, so
/// they are remembered from commit to commit, but for those of a commit that was rolled back.
#[derive(Debug, Default)]
pub(crate) struct Known {
    types: HashMap<RecordType, i64>,
    origins: HashMap<ReplicaId, i64>,
    creators: HashMap<Creator, i64>,
}

/// More names than this are not remembered: reading is always right.
const KNOWN_NAMES: usize = 4_096;

impl Known {
    /// Keeps the memory bounded.
    pub(crate) fn trim(&mut self) {
        if self.types.len() + self.origins.len() + self.creators.len() > KNOWN_NAMES {
            *self = Self::default();
        }
    }
}

struct Names<'a> {
    conn: &'a Connection,
    known: &'a mut Known,
    /// For the length of one commit.
    records: HashMap<&'a RecordKey, i64>,
    /// Of origins met in one commit, the highest sequence, as it is stored, and its only changeset.
    tips: HashMap<i64, (i64, Digest)>,
}

impl<'a> Names<'a> {
    fn record_type(&mut self, name: &RecordType) -> rusqlite::Result<i64> {
        const FIND: &str = "SELECT id FROM record_type WHERE name = ?1";
        const INSERT: &str = "INSERT INTO record_type (name) VALUES (?1)";
        remembered(self.conn, &mut self.known.types, name, (FIND, INSERT), &name.as_str())
    }

    fn origin(&mut self, uuid: ReplicaId) -> rusqlite::Result<i64> {
        const FIND: &str = "SELECT id FROM origin WHERE uuid = ?1";
        const INSERT: &str = "INSERT INTO origin (uuid) VALUES (?1)";
        remembered(self.conn, &mut self.known.origins, &uuid, (FIND, INSERT), uuid.as_bytes())
    }

    fn creator(&mut self, name: &Creator) -> rusqlite::Result<i64> {
        const FIND: &str = "SELECT id FROM creator WHERE name = ?1";
        const INSERT: &str = "INSERT INTO creator (name) VALUES (?1)";
        remembered(self.conn, &mut self.known.creators, name, (FIND, INSERT), &name.as_str())
    }

    /// The digest that an absent `previous` stands for in the entry about to be inserted.
    fn derivable(
        &mut self,
        origin: i64,
        sequence: Sequence,
        digest: Digest,
    ) -> rusqlite::Result<Option<Digest>> {
        let sequence = sequence.get().cast_signed();
        let Some(before) = sequence_before(sequence) else { return Ok(None) };
        // Of an origin that nobody copied, one changeset follows the other.
        if let Some(tip) = self.tips.get_mut(&origin).filter(|(highest, _)| *highest == before) {
            return Ok(Some(std::mem::replace(tip, (sequence, digest)).1));
        }
        let mut statement = self.conn.prepare_cached(FROM_SEQUENCE)?;
        let rows = statement.query_map((origin, before), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows: Vec<(i64, [u8; 32])> = rows.collect::<Result<_, _>>()?;
        // Sequences beyond the range of `i64` are stored as negative numbers, which come first.
        if rows.iter().all(|(found, _)| *found == before) && rows.len() < 2 && sequence > before {
            self.tips.insert(origin, (sequence, digest));
        }
        let first = rows.first().filter(|(found, _)| *found == before);
        Ok(first.map(|(_, digest)| Digest::from_bytes(*digest)))
    }

    /// The number of a record, which is given one if it has no state yet.
    fn record(&mut self, key: &'a RecordKey) -> rusqlite::Result<i64> {
        if let Some(id) = self.records.get(key) {
            return Ok(*id);
        }
        let record_type = self.record_type(key.record_type())?;
        let id = number(self.conn, (FIND_RECORD, NAME_RECORD), (record_type, key.id().as_bytes()))?;
        self.records.insert(key, id);
        Ok(id)
    }
}

fn remembered<K: Clone + Eq + Hash>(
    conn: &Connection,
    known: &mut HashMap<K, i64>,
    name: &K,
    statements: (&str, &str),
    column: &dyn ToSql,
) -> rusqlite::Result<i64> {
    if let Some(id) = known.get(name) {
        return Ok(*id);
    }
    let id = number(conn, statements, [column])?;
    known.insert(name.clone(), id);
    Ok(id)
}

/// The number that `find` gives, or that of the row that `insert` makes.
fn number<P: rusqlite::Params + Clone>(
    conn: &Connection,
    (find, insert): (&str, &str),
    columns: P,
) -> rusqlite::Result<i64> {
    let found =
        conn.prepare_cached(find)?.query_row(columns.clone(), |row| row.get(0)).optional()?;
    match found {
        Some(id) => Ok(id),
        None => conn.prepare_cached(insert)?.insert(columns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_remembered_up_to_a_number() {
        let known = |creators: usize| {
            let mut known = Known::default();
            known.types.insert(RecordType::new("bug").unwrap(), 1);
            known.origins.insert(ReplicaId::from_bytes([1; 16]), 1);
            for number in 0..creators {
                known.creators.insert(Creator::new(format!("creator {number}")).unwrap(), 1);
            }
            known.trim();
            known.types.len() + known.origins.len() + known.creators.len()
        };
        for few in [0, 7, KNOWN_NAMES - 2] {
            assert_eq!(known(few), few + 2);
        }
        assert_eq!(known(KNOWN_NAMES - 1), 0);
        assert_eq!(known(KNOWN_NAMES), 0);
    }
}
