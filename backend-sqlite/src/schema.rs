//! The tables, as SQL. `docs/format.md` explains every column.

/// Marks the file as a replica: "Prop" in ASCII.
pub(crate) const APPLICATION_ID: u32 = 0x5072_6f70;
/// The version of the format, kept as SQLite's `user_version`.
pub(crate) const FORMAT: u32 = 1;

macro_rules! hex_uuid {
    ($column:literal) => {
        concat!(
            "lower(substr(hex(",
            $column,
            "),1,8)||'-'||substr(hex(",
            $column,
            "),9,4)||'-'||",
            "substr(hex(",
            $column,
            "),13,4)||'-'||substr(hex(",
            $column,
            "),17,4)||'-'||",
            "substr(hex(",
            $column,
            "),21))"
        )
    };
}

/// Every object of the schema: its name and the statement that makes it.
pub(crate) const OBJECTS: &[(&str, &str)] = &[
    (
        "replica",
        "CREATE TABLE replica (id INTEGER PRIMARY KEY CHECK (id = 1), database BLOB NOT NULL, \
         replica BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT",
    ),
    (
        "commits",
        "CREATE TABLE commits (version INTEGER PRIMARY KEY, position INTEGER NOT NULL, \
         id BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT",
    ),
    (
        "record_type",
        "CREATE TABLE record_type (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT",
    ),
    ("origin", "CREATE TABLE origin (id INTEGER PRIMARY KEY, uuid BLOB NOT NULL UNIQUE) STRICT"),
    ("creator", "CREATE TABLE creator (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT"),
    (
        "record",
        "CREATE TABLE record (id INTEGER PRIMARY KEY, \
         type INTEGER NOT NULL REFERENCES record_type, uuid BLOB NOT NULL, changed INTEGER, \
         existence INTEGER, properties TEXT, state BLOB, UNIQUE (type, uuid)) STRICT",
    ),
    (
        "log",
        "CREATE TABLE log (position INTEGER PRIMARY KEY, digest BLOB NOT NULL, \
         origin INTEGER NOT NULL REFERENCES origin, sequence INTEGER NOT NULL, previous BLOB, \
         database BLOB, parents BLOB, creator INTEGER NOT NULL REFERENCES creator, \
         millis INTEGER NOT NULL, counter INTEGER NOT NULL, kind INTEGER NOT NULL, effects BLOB, \
         checksum INTEGER NOT NULL, payload BLOB NOT NULL) STRICT",
    ),
    ("log_digest", "CREATE INDEX log_digest ON log (substr(digest, 1, 8))"),
    ("log_origin", "CREATE INDEX log_origin ON log (origin, sequence)"),
    (
        "history",
        "CREATE TABLE history (record INTEGER NOT NULL REFERENCES record, \
         position INTEGER NOT NULL REFERENCES log, PRIMARY KEY (record, position)) \
         STRICT, WITHOUT ROWID",
    ),
    (
        "resolution",
        "CREATE TABLE resolution (conflict BLOB NOT NULL, changeset BLOB NOT NULL, \
         vote BLOB NOT NULL, PRIMARY KEY (conflict, changeset)) STRICT, WITHOUT ROWID",
    ),
    (
        "metadata",
        "CREATE TABLE metadata (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) \
         STRICT, WITHOUT ROWID",
    ),
    (
        "records",
        concat!(
            "CREATE VIEW records AS SELECT t.name AS type, ",
            hex_uuid!("r.uuid"),
            " AS id, CASE r.existence WHEN 0 THEN 'never' WHEN 1 THEN 'alive' \
             ELSE 'deleted' END AS existence, r.changed AS changed, r.properties AS properties \
             FROM record r JOIN record_type t ON t.id = r.type WHERE r.state IS NOT NULL"
        ),
    ),
    (
        "changesets",
        concat!(
            "CREATE VIEW changesets AS SELECT l.position AS position, \
             lower(hex(l.digest)) AS digest, ",
            hex_uuid!("o.uuid"),
            " AS origin, l.sequence AS sequence, c.name AS creator, \
             CASE WHEN l.millis BETWEEN 0 AND 253402300799999 \
             THEN strftime('%Y-%m-%dT%H:%M:%S', l.millis / 1000, 'unixepoch') \
             || format('.%03dZ', l.millis % 1000) \
             ELSE format('%u ms after 1970', l.millis) END AS time, \
             CASE l.kind WHEN 0 THEN 'edit' WHEN 1 THEN 'undo' WHEN 2 THEN 'merge' \
             WHEN 3 THEN 'resolution' WHEN 4 THEN 'continuation' END AS kind, \
             length(l.payload) AS bytes \
             FROM log l JOIN origin o ON o.id = l.origin JOIN creator c ON c.id = l.creator"
        ),
    ),
    (
        "touches",
        concat!(
            "CREATE VIEW touches AS SELECT t.name AS type, ",
            hex_uuid!("r.uuid"),
            " AS id, h.position AS position FROM history h JOIN record r ON r.id = h.record \
             JOIN record_type t ON t.id = r.type"
        ),
    ),
    (
        "resolutions",
        "CREATE VIEW resolutions AS SELECT lower(hex(v.conflict)) AS conflict, \
         lower(hex(v.changeset)) AS changeset, length(v.vote) AS bytes FROM resolution v",
    ),
];
