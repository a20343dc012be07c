//! Log entries as they are read back: the header put together again, and shown to be the one that
//! was digested.

use prophet_store::{
    Changeset, Creator, DatabaseId, Digest, Header, LogEntry, Position, ReplicaId, Sequence,
    StoreError, Timestamp, codec,
};
use rusqlite::{Connection, Row};

use crate::apply::{previous_digest, sequence_before};
use crate::error::{damaged, decoding, sql};
use crate::rows::kind_of;

/// The columns of an entry. Outer joins, so that damage elsewhere does not make one vanish.
macro_rules! select_entries {
    ($position:literal, $from:literal) => {
        concat!(
            "SELECT l.position, l.digest, l.origin, o.uuid, l.sequence, l.previous, l.database, ",
            "l.parents, c.name, l.millis, l.counter, l.kind, l.effects, l.payload, ",
            $position,
            " FROM ",
            $from,
            " LEFT JOIN origin o ON o.id = l.origin LEFT JOIN creator c ON c.id = l.creator "
        )
    };
}
pub(crate) use select_entries;

/// The entry in `row`, which [`select_entries`] gave and which should be at `position`.
pub(crate) fn read(
    conn: &Connection,
    place: &str,
    database: DatabaseId,
    position: Position,
    row: &Row<'_>,
) -> Result<LogEntry, StoreError> {
    let at = format_args!("log entry {position}").to_string();
    let wrong = |why: &str| damaged(place, &at, why);
    let columns = Columns::of(row).map_err(|error| damaged(place, &at, error))?;
    if columns.position != Some(position.get().cast_signed()) {
        return Err(wrong("it is missing"));
    }
    let sequence = Sequence::new(columns.sequence.cast_unsigned())
        .ok_or_else(|| wrong("it has sequence number 0"))?;
    let previous = match columns.previous {
        Some(previous) => Some(previous),
        None if sequence == Sequence::FIRST => None,
        None => Some(
            derive_previous(conn, place, &columns)?
                .ok_or_else(|| wrong("the previous changeset of its origin is missing"))?,
        ),
    };
    let header = Header {
        database: columns.database.map_or(database, DatabaseId::from_bytes),
        origin: ReplicaId::from_bytes(columns.uuid),
        sequence,
        previous: previous.map(Digest::from_bytes),
        parents: parents(&columns.parents).ok_or_else(|| wrong("its parents are cut off"))?,
        creator: Creator::new(columns.creator).map_err(|error| wrong(&error.to_string()))?,
        time: Timestamp::new(columns.millis.cast_unsigned(), columns.counter),
        kind: kind_of(columns.kind).ok_or_else(|| wrong("its kind is unknown"))?,
        payload_digest: Digest::of(&columns.payload),
        payload_len: columns.payload.len() as u64,
    };
    let changeset = Changeset::from_parts(header, columns.payload)
        .map_err(|error| wrong(&error.to_string()))?;
    if *changeset.digest().as_bytes() != columns.digest {
        return Err(wrong("it is not what its digest says"));
    }
    let (nullify, settle) = match &columns.effects {
        Some(effects) => codec::decode_effects(effects).map_err(decoding(place, &at))?,
        None => (Vec::new(), Vec::new()),
    };
    Ok(LogEntry { position, changeset, nullify, settle })
}

struct Columns {
    position: Option<i64>,
    digest: [u8; 32],
    origin: i64,
    uuid: [u8; 16],
    sequence: i64,
    previous: Option<[u8; 32]>,
    database: Option<[u8; 16]>,
    parents: Vec<u8>,
    creator: String,
    millis: i64,
    counter: u32,
    kind: i64,
    effects: Option<Vec<u8>>,
    payload: Vec<u8>,
}

impl Columns {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            position: row.get(0)?,
            digest: row.get(1)?,
            origin: row.get(2)?,
            uuid: row.get(3)?,
            sequence: row.get(4)?,
            previous: row.get(5)?,
            database: row.get(6)?,
            parents: row.get::<_, Option<_>>(7)?.unwrap_or_default(),
            creator: row.get(8)?,
            millis: row.get(9)?,
            counter: row.get(10)?,
            kind: row.get(11)?,
            effects: row.get(12)?,
            payload: row.get(13)?,
        })
    }
}

fn derive_previous(
    conn: &Connection,
    place: &str,
    columns: &Columns,
) -> Result<Option<[u8; 32]>, StoreError> {
    let Some(before) = sequence_before(columns.sequence) else {
        return Ok(None);
    };
    let digest = previous_digest(conn, columns.origin, before)
        .map_err(sql(place, "reading the previous changeset"))?;
    Ok(digest.map(|digest| *digest.as_bytes()))
}

fn parents(bytes: &[u8]) -> Option<Vec<Digest>> {
    let (digests, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then(|| digests.iter().copied().map(Digest::from_bytes).collect())
}
