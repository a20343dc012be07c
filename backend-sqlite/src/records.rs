//! Reading records.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use prophet_store::{
    Existence, Page, PageBuilder, Read, RecordCounts, RecordId, RecordKey, RecordScan, RecordState,
    RecordType, StoreError, codec,
};
use rusqlite::types::Value as Column;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

use crate::error::{damaged, decoding, sql};
use crate::head;
use crate::pushdown::{self, Filter};

/// The head and one state in one statement, which is a transaction of its own.
const HEAD_AND_STATE: &str = "SELECT version, position, id, checksum, \
     (SELECT r.state FROM record r WHERE r.type = ?1 AND r.uuid = ?2) \
     FROM commits ORDER BY version DESC LIMIT 1";
const TYPE: &str = "SELECT id FROM record_type WHERE name = ?1";
const STATE: &str = "SELECT r.state FROM record r WHERE r.type = \
     (SELECT t.id FROM record_type t WHERE t.name = ?1) AND r.uuid = ?2";
const TYPES: &str = "SELECT id, name FROM record_type WHERE name >= ?1 ORDER BY name";

const COUNTED: &str = "SELECT type, uuid, state FROM record WHERE state IS NOT NULL";
const COUNTED_OF_TYPE: &str =
    "SELECT type, uuid, state FROM record WHERE type = ?1 AND state IS NOT NULL";

/// A hint may leave out any number of rows; a page looks at no more than this many.
const ROWS_PER_PAGE: usize = 10_000;

/// How many types are remembered; an app has so many kinds of things, not more.
const REMEMBERED_TYPES: usize = 1_000;

/// The numbers of record types. A number once committed is never given to another type.
#[derive(Debug, Default)]
pub(crate) struct Types(RwLock<BTreeMap<RecordType, i64>>);

impl Types {
    fn number(
        &self,
        conn: &Connection,
        place: &str,
        name: &RecordType,
    ) -> Result<Option<i64>, StoreError> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).copied();
        if known.is_some() {
            return Ok(known);
        }
        let found = conn
            .prepare_cached(TYPE)
            .and_then(|mut statement| statement.query_row([name.as_str()], |row| row.get(0)))
            .optional()
            .map_err(sql(place, "reading a record type"))?;
        let mut types = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = found
            && types.len() < REMEMBERED_TYPES
        {
            types.insert(name.clone(), number);
        }
        Ok(found)
    }
}

pub(crate) fn get(
    conn: &Connection,
    place: &str,
    types: &Types,
    keys: &[RecordKey],
) -> Result<Read<Vec<Option<RecordState>>>, StoreError> {
    // A type that is not there now may be there at the head that is read after.
    if let [key] = keys
        && let Some(number) = types.number(conn, place, key.record_type())?
    {
        return get_one(conn, place, number, key);
    }
    head::pinned(conn, place, |at| {
        let failed = sql(place, "reading records");
        let mut statement = conn.prepare_cached(STATE).map_err(&failed)?;
        let states = keys.iter().map(|key| {
            let columns = (key.record_type().as_str(), *key.id().as_bytes());
            let bytes: Option<Option<Vec<u8>>> =
                statement.query_row(columns, |row| row.get(0)).optional().map_err(&failed)?;
            bytes.flatten().map(|bytes| decode(place, key, &bytes)).transpose()
        });
        Ok(Read { value: states.collect::<Result<_, _>>()?, at })
    })
}

fn get_one(
    conn: &Connection,
    place: &str,
    record_type: i64,
    key: &RecordKey,
) -> Result<Read<Vec<Option<RecordState>>>, StoreError> {
    let failed = sql(place, "reading a record");
    let mut statement = conn.prepare_cached(HEAD_AND_STATE).map_err(&failed)?;
    let mut rows = statement.query((record_type, *key.id().as_bytes())).map_err(&failed)?;
    let Some(row) = rows.next().map_err(&failed)? else {
        return Err(damaged(place, "commits", "there is no head"));
    };
    let at = head::from_row(row, place)?;
    let bytes = row.get_ref(4).map_err(&failed)?.as_blob_or_null();
    let bytes = bytes.map_err(|error| damaged(place, format_args!("record {key}"), error))?;
    Ok(Read { value: vec![bytes.map(|bytes| decode(place, key, bytes)).transpose()?], at })
}

/// The state in `bytes`, which were stored under `key`.
pub(crate) fn decode(
    place: &str,
    key: &RecordKey,
    bytes: &[u8],
) -> Result<RecordState, StoreError> {
    let state =
        codec::decode_record(bytes).map_err(decoding(place, format_args!("record {key}")))?;
    match state.key() == key {
        true => Ok(state),
        false => {
            let why = format!("it holds the state of {}", state.key());
            Err(damaged(place, format_args!("record {key}"), why))
        }
    }
}

pub(crate) fn scan(
    conn: &Connection,
    place: &str,
    scan: &RecordScan,
) -> Result<Page<RecordState, RecordKey>, StoreError> {
    // Parameters 1 and 2 are the type and where to begin.
    let filter = scan.hint.as_ref().map_or(Filter::ALL, |hint| pushdown::filter(hint, 3));
    head::pinned(conn, place, |at| {
        let mut scanning =
            Scanning { conn, place, page: PageBuilder::new(scan.limit, at), rows: 0, filter };
        for (id, name) in types(conn, place, scan)? {
            let after = scan.after.as_ref().filter(|after| *after.record_type() == name);
            match scanning.scan_type(id, &name, after.map(RecordKey::id))? {
                Progress::ToTheEnd => {}
                Progress::Full => return Ok(scanning.page.unfinished()),
                Progress::Until(key) => {
                    let mut page = scanning.page.finished();
                    page.more = Some(key);
                    return Ok(page);
                }
            }
        }
        Ok(scanning.page.finished())
    })
}

pub(crate) fn count(
    conn: &Connection,
    place: &str,
    record_type: Option<&RecordType>,
) -> Result<Read<RecordCounts>, StoreError> {
    let failed = sql(place, "counting records");
    head::pinned(conn, place, |at| {
        let wanted = RecordScan { record_type: record_type.cloned(), ..RecordScan::default() };
        let types = types(conn, place, &wanted)?;
        let mut counts: BTreeMap<i64, (RecordType, u64)> =
            types.into_iter().map(|(number, name)| (number, (name, 0))).collect();
        // What the state says, whose checksum is compared, and not what the column beside it does.
        let (statement, number) = match (record_type, counts.keys().next()) {
            (Some(_), None) => return Ok(Read { value: RecordCounts::new(), at }),
            (Some(_), number) => (COUNTED_OF_TYPE, number.copied()),
            (None, _) => (COUNTED, None),
        };
        let mut statement = conn.prepare_cached(statement).map_err(&failed)?;
        let mut rows = statement.query(params_from_iter(number)).map_err(&failed)?;
        while let Some(row) = rows.next().map_err(&failed)? {
            let number: i64 = row.get(0).map_err(&failed)?;
            let Some((name, count)) = counts.get_mut(&number) else {
                return Err(damaged(place, "record", format!("there is no record type {number}")));
            };
            let key =
                RecordKey::new(name.clone(), RecordId::from_bytes(row.get(1).map_err(&failed)?));
            let state = row.get_ref(2).map_err(&failed)?.as_blob();
            let state =
                state.map_err(|error| damaged(place, format_args!("record {key}"), error))?;
            let existence = codec::existence_of(&key, state);
            if existence.map_err(decoding(place, format_args!("record {key}")))? == Existence::Alive
            {
                *count += 1;
            }
        }
        let value = counts.into_values().filter(|(_, count)| *count > 0).collect();
        Ok(Read { value, at })
    })
}

/// The types to scan, in order.
fn types(
    conn: &Connection,
    place: &str,
    scan: &RecordScan,
) -> Result<Vec<(i64, RecordType)>, StoreError> {
    let failed = sql(place, "reading record types");
    let after = scan.after.as_ref().map(RecordKey::record_type);
    let first = after.max(scan.record_type.as_ref()).map_or("", RecordType::as_str);
    let mut statement = conn.prepare_cached(TYPES).map_err(&failed)?;
    let mut rows = statement.query([first]).map_err(&failed)?;
    let mut types = Vec::new();
    while let Some(row) = rows.next().map_err(&failed)? {
        let name: String = row.get(1).map_err(&failed)?;
        let name = RecordType::new(name).map_err(|error| damaged(place, "record_type", error))?;
        if scan.record_type.as_ref().is_some_and(|wanted| *wanted != name) {
            break;
        }
        types.push((row.get(0).map_err(&failed)?, name));
    }
    Ok(types)
}

enum Progress {
    ToTheEnd,
    /// The page is full.
    Full,
    /// Enough rows were looked at, up to this record.
    Until(RecordKey),
}

struct Scanning<'a> {
    conn: &'a Connection,
    place: &'a str,
    page: PageBuilder<RecordState, RecordKey>,
    rows: usize,
    filter: Filter,
}

impl Scanning<'_> {
    fn scan_type(
        &mut self,
        id: i64,
        name: &RecordType,
        after: Option<RecordId>,
    ) -> Result<Progress, StoreError> {
        let failed = sql(self.place, "scanning records");
        let after = after.map_or(Vec::new(), |after| after.as_bytes().to_vec());
        // The rows that do not match come too, without their state, so that they can be counted.
        let statement = match &self.filter.condition {
            None => "SELECT uuid, state FROM record WHERE type = ?1 AND uuid > ?2 ORDER BY uuid",
            Some(condition) => &format!(
                "SELECT uuid, CASE WHEN {condition} THEN state END FROM record \
                 WHERE type = ?1 AND uuid > ?2 ORDER BY uuid"
            ),
        };
        let mut statement = self.conn.prepare_cached(statement).map_err(&failed)?;
        let columns = [Column::Integer(id), Column::Blob(after)];
        let columns = columns.into_iter().chain(self.filter.parameters.iter().cloned());
        let columns = columns.take(statement.parameter_count());
        let mut rows = statement.query(params_from_iter(columns)).map_err(&failed)?;
        while let Some(row) = rows.next().map_err(&failed)? {
            let uuid: [u8; 16] = row.get(0).map_err(&failed)?;
            let key = RecordKey::new(name.clone(), RecordId::from_bytes(uuid));
            let state = row.get_ref(1).map_err(&failed)?.as_blob_or_null();
            let state =
                state.map_err(|error| damaged(self.place, format_args!("record {key}"), error))?;
            // A hint may leave out all the rest; a row without a state is no record yet.
            if self.page.is_full() && (state.is_some() || self.filter.condition.is_some()) {
                return Ok(Progress::Full);
            }
            self.rows += 1;
            if let Some(bytes) = state {
                let state = decode(self.place, &key, bytes)?;
                let size = state.approximate_size();
                self.page.push(state, key.clone(), size);
            }
            if self.rows >= ROWS_PER_PAGE {
                return Ok(Progress::Until(key));
            }
        }
        Ok(Progress::ToTheEnd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_remembered_up_to_a_number() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE record_type (id INTEGER PRIMARY KEY, name TEXT)").unwrap();
        let name = |number: usize| RecordType::new(format!("type {number}")).unwrap();
        let types = Types::default();
        assert_eq!(types.number(&conn, "here", &name(0)).unwrap(), None);
        for number in 1..=REMEMBERED_TYPES + 2 {
            conn.execute("INSERT INTO record_type (name) VALUES (?1)", [name(number).as_str()])
                .unwrap();
            let found = types.number(&conn, "here", &name(number)).unwrap();
            assert_eq!(found, i64::try_from(number).ok());
            let remembered = types.0.read().unwrap().len();
            assert_eq!(remembered, number.min(REMEMBERED_TYPES));
        }
        // What is remembered is not asked for again.
        conn.execute_batch("DELETE FROM record_type").unwrap();
        assert_eq!(types.number(&conn, "here", &name(1)).unwrap(), Some(1));
        assert_eq!(types.number(&conn, "here", &name(REMEMBERED_TYPES + 1)).unwrap(), None);
    }
}
