//! Log entries as they are read back: the header put together again, and shown to be the one that
//! was digested.

use std::collections::HashMap;

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

/// Reads entries one after another, so that the previous changeset of one, which is not stored with
/// it, is mostly the one just read.
pub(crate) struct Reader<'a> {
    conn: &'a Connection,
    place: &'a str,
    database: DatabaseId,
    /// The last entry read of each origin: its sequence, as it is stored, and its digest.
    last: HashMap<i64, (i64, Digest)>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(conn: &'a Connection, place: &'a str, database: DatabaseId) -> Self {
        Self { conn, place, database, last: HashMap::new() }
    }

    /// The entry in `row`, which [`select_entries`] gave and which should be at `position`.
    pub(crate) fn read(
        &mut self,
        position: Position,
        row: &Row<'_>,
    ) -> Result<LogEntry, StoreError> {
        let place = self.place;
        let at = format_args!("log entry {position}").to_string();
        let wrong = |why: &str| damaged(place, &at, why);
        let columns = Columns::of(row).map_err(|error| damaged(place, &at, error))?;
        if columns.position != Some(position.get().cast_signed()) {
            return Err(wrong("it is missing"));
        }
        let sequence = Sequence::new(columns.sequence.cast_unsigned())
            .ok_or_else(|| wrong("it has sequence number 0"))?;
        let (origin, stored) = (columns.origin, columns.sequence);
        let digest = Digest::from_bytes(columns.digest);
        let header = Header {
            database: columns.database.map_or(self.database, DatabaseId::from_bytes),
            origin: ReplicaId::from_bytes(columns.uuid),
            sequence,
            previous: columns.previous.map(Digest::from_bytes),
            parents: parents(&columns.parents).ok_or_else(|| wrong("its parents are cut off"))?,
            creator: Creator::new(columns.creator).map_err(|error| wrong(&error.to_string()))?,
            time: Timestamp::new(columns.millis.cast_unsigned(), columns.counter),
            kind: kind_of(columns.kind).ok_or_else(|| wrong("its kind is unknown"))?,
            payload_digest: Digest::of(&columns.payload),
            payload_len: columns.payload.len() as u64,
        };
        let from_parts = |header, payload| {
            Changeset::from_parts(header, payload).map_err(|error| wrong(&error.to_string()))
        };
        let derived = header.previous.is_none() && sequence != Sequence::FIRST;
        let changeset = match (derived, sequence_before(stored)) {
            (true, Some(before)) => {
                let last = self.last.get(&origin).filter(|(last, _)| *last == before);
                let likely = last.map(|(_, digest)| *digest);
                let previous = match likely {
                    Some(likely) => likely,
                    None => self.previous(origin, before, &at)?,
                };
                let header = Header { previous: Some(previous), ..header };
                let changeset = from_parts(header, columns.payload)?;
                if likely.is_some() && changeset.digest() != digest {
                    // The origin was copied, and this is about the other one.
                    let previous = Some(self.previous(origin, before, &at)?);
                    let header = Header { previous, ..changeset.header().clone() };
                    from_parts(header, changeset.payload_bytes().to_vec())?
                } else {
                    changeset
                }
            }
            _ => from_parts(header, columns.payload)?,
        };
        if changeset.digest() != digest {
            return Err(wrong("it is not what its digest says"));
        }
        self.last.insert(origin, (stored, digest));
        let (nullify, settle) = match &columns.effects {
            Some(effects) => codec::decode_effects(effects).map_err(decoding(place, &at))?,
            None => (Vec::new(), Vec::new()),
        };
        Ok(LogEntry { position, changeset, nullify, settle })
    }

    /// What a previous changeset that is not stored is: the first one here with the sequence before.
    fn previous(&self, origin: i64, before: i64, at: &str) -> Result<Digest, StoreError> {
        let found = previous_digest(self.conn, origin, before)
            .map_err(sql(self.place, "reading the previous changeset"))?;
        found.ok_or_else(|| {
            damaged(self.place, at, "the previous changeset of its origin is missing")
        })
    }
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

fn parents(bytes: &[u8]) -> Option<Vec<Digest>> {
    let (digests, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then(|| digests.iter().copied().map(Digest::from_bytes).collect())
}
