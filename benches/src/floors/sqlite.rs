//! Bare rusqlite, with the tables, indexes and rows of the store.

use std::collections::HashMap;
use std::hash::Hash;
use std::path::Path;

use backend_sqlite::SqliteStore;
use prophet_store::{
    Commit, Creator, Existence, Head, Identity, LogEntry, RecordKey, RecordState, RecordType,
    ReplicaId, codec,
};
use rusqlite::{Connection, ToSql};

use crate::floor::{Engine, Floor};

/// Bare rusqlite on a file of the same tables and indexes: one transaction, durable when it is committed,
/// of the rows that the store writes. It looks nothing up: it knows what stands for each name.
pub fn sqlite() -> Floor {
    Floor::new("rusqlite", |directory: &Path| Sqlite::open(&directory.join("bare.sqlite")))
}

/// Any number of four bytes: what a checksum takes.
const CHECKSUM: i64 = 1_000_000_000;

struct Sqlite {
    connection: Connection,
    types: HashMap<RecordType, i64>,
    origins: HashMap<ReplicaId, i64>,
    creators: HashMap<Creator, i64>,
    records: HashMap<RecordKey, i64>,
}

/// The rows of a commit, all encoded.
struct Rows {
    head: Head,
    entries: Vec<EntryRow>,
    records: Vec<RecordRow>,
    resolutions: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>,
}

struct EntryRow {
    entry: LogEntry,
    origin: i64,
    creator: i64,
    effects: Option<Vec<u8>>,
    records: Vec<i64>,
}

struct RecordRow {
    id: i64,
    record_type: i64,
    new: bool,
    state: RecordState,
    properties: Option<String>,
    bytes: Vec<u8>,
}

impl Sqlite {
    fn open(path: &Path) -> Self {
        if !path.exists() {
            let identity = Identity::new_database().expect("there is chance");
            drop(SqliteStore::create(path, identity).expect("SQLite makes a file"));
        }
        let connection = Connection::open(path).expect("SQLite opens");
        connection.set_prepared_statement_cache_capacity(64);
        let set_up = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -16384; \
             PRAGMA journal_size_limit = 67108864; SELECT max(position) FROM log";
        connection.execute_batch(set_up).expect("SQLite is set up");
        let (types, origins) = (HashMap::new(), HashMap::new());
        let (creators, records) = (HashMap::new(), HashMap::new());
        Self { connection, types, origins, creators, records }
    }

    fn execute(&self, statement: &str, parameters: &[&dyn ToSql]) {
        let mut prepared = self.connection.prepare_cached(statement).expect("it is SQL");
        prepared.execute(parameters).expect("SQLite writes");
    }

    fn write_entry(&self, row: &EntryRow) {
        let (changeset, header) = (&row.entry.changeset, row.entry.changeset.header());
        let position = row.entry.position.get().cast_signed();
        let parents: Vec<u8> = header.parents.iter().flat_map(|it| *it.as_bytes()).collect();
        let parents = (!parents.is_empty()).then_some(parents);
        self.execute(
            "INSERT INTO log (position, digest, origin, sequence, parents, creator, millis, \
             counter, kind, effects, checksum, payload) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10, ?11)",
            &[
                &position,
                changeset.digest().as_bytes(),
                &row.origin,
                &header.sequence.get().cast_signed(),
                &parents,
                &row.creator,
                &header.time.millis().cast_signed(),
                &header.time.counter(),
                &row.effects,
                &CHECKSUM,
                &changeset.payload_bytes(),
            ],
        );
        for record in &row.records {
            self.execute("INSERT INTO history VALUES (?1, ?2)", &[record, &position]);
        }
    }

    fn write_record(&self, row: &RecordRow) {
        let changed = row.state.changed().get().cast_signed();
        let existence = match row.state.existence() {
            Existence::Never => 0_i64,
            Existence::Alive => 1,
            Existence::Deleted => 2,
        };
        match row.new {
            true => self.execute(
                "INSERT INTO record (id, type, uuid, changed, existence, properties, state) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                &[
                    &row.id,
                    &row.record_type,
                    row.state.key().id().as_bytes(),
                    &changed,
                    &existence,
                    &row.properties,
                    &row.bytes,
                ],
            ),
            false => self.execute(
                "UPDATE record SET changed = ?2, existence = ?3, properties = ?4, state = ?5 \
                 WHERE id = ?1",
                &[&row.id, &changed, &existence, &row.properties, &row.bytes],
            ),
        }
    }

    /// What stands for a name in other tables; it is noted at once if it is new.
    fn name<K: Clone + Eq + Hash>(
        connection: &Connection,
        known: &mut HashMap<K, i64>,
        statement: &str,
        name: &K,
        stored: &dyn ToSql,
    ) -> i64 {
        if let Some(id) = known.get(name) {
            return *id;
        }
        connection.execute(statement, [stored]).expect("SQLite writes");
        let id = connection.last_insert_rowid();
        known.insert(name.clone(), id);
        id
    }

    fn record(&mut self, key: &RecordKey) -> (i64, bool) {
        let next = self.records.len() as i64 + 1;
        let mut new = false;
        let id = self.records.entry(key.clone()).or_insert_with(|| {
            new = true;
            next
        });
        (*id, new)
    }
}

impl Engine for Sqlite {
    type Write = Rows;

    fn prepare(&mut self, commit: &Commit) -> Self::Write {
        let records = commit.records().iter().map(|(key, state)| {
            let record_type = Self::name(
                &self.connection,
                &mut self.types,
                "INSERT INTO record_type (name) VALUES (?1)",
                key.record_type(),
                &key.record_type().as_str(),
            );
            let (id, new) = self.record(key);
            let alive = state.existence() == Existence::Alive;
            let json = || serde_json::to_string(&state.visible()).ok();
            let properties = alive.then(json).flatten();
            let bytes = codec::encode_record(state);
            RecordRow { id, record_type, new, state: state.clone(), properties, bytes }
        });
        let records = records.collect();
        let entries = commit.entries().iter().map(|entry| {
            let header = entry.changeset.header();
            let origin = Self::name(
                &self.connection,
                &mut self.origins,
                "INSERT INTO origin (uuid) VALUES (?1)",
                &header.origin,
                header.origin.as_bytes(),
            );
            let creator = Self::name(
                &self.connection,
                &mut self.creators,
                "INSERT INTO creator (name) VALUES (?1)",
                &header.creator,
                &header.creator.as_str(),
            );
            let touched = !entry.nullify.is_empty() || !entry.settle.is_empty();
            let effects = touched.then(|| codec::encode_effects(entry));
            let records = entry.records().into_iter().map(|key| self.record(key).0).collect();
            EntryRow { entry: entry.clone(), origin, creator, effects, records }
        });
        let entries = entries.collect();
        let resolutions = commit.resolutions().iter().map(|vote| {
            let conflict = vote.conflict().as_bytes().to_vec();
            (conflict, vote.changeset.as_bytes().to_vec(), codec::encode_resolution(vote))
        });
        Rows { head: commit.head(), entries, records, resolutions: resolutions.collect() }
    }

    fn write(&mut self, rows: Rows) {
        self.execute("BEGIN IMMEDIATE", &[]);
        for row in &rows.records {
            self.write_record(row);
        }
        for row in &rows.entries {
            self.write_entry(row);
        }
        for (conflict, changeset, vote) in &rows.resolutions {
            let parameters: [&dyn ToSql; 3] = [conflict, changeset, vote];
            self.execute("INSERT OR REPLACE INTO resolution VALUES (?1, ?2, ?3)", &parameters);
        }
        let version = rows.head.position.get().cast_signed();
        self.execute(
            "INSERT INTO commits VALUES (?1, ?2, ?3, ?4)",
            &[&version, &version, rows.head.commit.as_bytes(), &CHECKSUM],
        );
        self.execute("COMMIT", &[]);
    }

    fn get(&mut self, records: &[RecordKey]) -> Option<Vec<RecordState>> {
        let mut found = self
            .connection
            .prepare_cached("SELECT state FROM record WHERE type = ?1 AND uuid = ?2")
            .expect("it is SQL");
        let states = records.iter().map(|key| {
            let record_type = self.types.get(key.record_type())?;
            let id = key.id();
            let decode =
                |row: &rusqlite::Row<'_>| Ok(codec::decode_record(row.get_ref(0)?.as_blob()?));
            found.query_row((record_type, id.as_bytes()), decode).ok()?.ok()
        });
        states.collect()
    }

    fn scan(&mut self, each: &mut dyn FnMut(&[u8])) -> bool {
        let statement = "SELECT state FROM record";
        let mut statement = self.connection.prepare_cached(statement).expect("it is SQL");
        let mut rows = statement.query([]).expect("SQLite reads");
        while let Some(row) = rows.next().expect("SQLite reads") {
            each(row.get_ref(0).and_then(|it| Ok(it.as_blob()?)).expect("it is a state"));
        }
        true
    }

    fn history(&mut self, record: &RecordKey, each: &mut dyn FnMut(&[u8])) -> bool {
        let statement = "SELECT log.payload FROM history JOIN log USING (position) \
             WHERE history.record = ?1 ORDER BY history.position";
        let mut statement = self.connection.prepare_cached(statement).expect("it is SQL");
        let Some(id) = self.records.get(record) else { return false };
        let mut rows = statement.query([id]).expect("SQLite reads");
        while let Some(row) = rows.next().expect("SQLite reads") {
            each(row.get_ref(0).and_then(|it| Ok(it.as_blob()?)).expect("it is a payload"));
        }
        true
    }
}
