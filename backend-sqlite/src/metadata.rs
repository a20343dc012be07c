//! Reading local metadata.

use prophet_store::{MetadataKey, MetadataScan, Page, PageBuilder, Read, StoreError, codec};
use rusqlite::{Connection, OptionalExtension as _};

use crate::error::{damaged, decoding, sql};
use crate::head;

const GET: &str = "SELECT value FROM metadata WHERE key = ?1";
const FROM: &str = "SELECT key, value FROM metadata WHERE key >= ?1 ORDER BY key";
const AFTER: &str = "SELECT key, value FROM metadata WHERE key > ?1 ORDER BY key";

pub(crate) fn get(
    conn: &Connection,
    place: &str,
    keys: &[MetadataKey],
) -> Result<Read<Vec<Option<Vec<u8>>>>, StoreError> {
    head::pinned(conn, place, |at| {
        let failed = sql(place, "reading metadata");
        let mut statement = conn.prepare_cached(GET).map_err(&failed)?;
        let values = keys.iter().map(|key| {
            let found = statement.query_row([key.as_str()], |row| row.get::<_, Vec<u8>>(0));
            let found = found.optional().map_err(&failed)?;
            found.map(|bytes| decode(place, key, &bytes)).transpose()
        });
        Ok(Read { value: values.collect::<Result<_, _>>()?, at })
    })
}

pub(crate) fn scan(
    conn: &Connection,
    place: &str,
    scan: &MetadataScan,
) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError> {
    head::pinned(conn, place, |at| {
        let after = scan.after.as_ref().map(MetadataKey::as_str);
        let (statement, start) = match after {
            Some(after) if *after >= *scan.prefix => (AFTER, after),
            _ => (FROM, scan.prefix.as_str()),
        };
        let failed = sql(place, "scanning metadata");
        let mut statement = conn.prepare_cached(statement).map_err(&failed)?;
        let mut rows = statement.query([start]).map_err(&failed)?;
        let mut page = PageBuilder::new(scan.limit, at);
        while let Some(row) = rows.next().map_err(&failed)? {
            let key: String = row.get(0).map_err(&failed)?;
            if !key.starts_with(&scan.prefix) {
                break;
            }
            if page.is_full() {
                return Ok(page.unfinished());
            }
            let key = MetadataKey::new(key).map_err(|error| damaged(place, "metadata", error))?;
            let bytes: Vec<u8> = row.get(1).map_err(&failed)?;
            let value = decode(place, &key, &bytes)?;
            page.push((key.clone(), value), key, bytes.len());
        }
        Ok(page.finished())
    })
}

/// The value in `bytes`, which were stored under `key`.
pub(crate) fn decode(place: &str, key: &MetadataKey, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    let at = format_args!("metadata key {key}").to_string();
    let sealed = bytes
        .split_last_chunk()
        .filter(|(sealed, found)| checksum(key, sealed) == u32::from_le_bytes(**found));
    let Some((sealed, _)) = sealed else {
        return Err(damaged(place, at, "its checksum is wrong"));
    };
    codec::decode_metadata(sealed).map_err(decoding(place, at))
}

/// A value as it is stored: the envelope does not say whose it is, so a checksum does.
pub(crate) fn encode(key: &MetadataKey, value: &[u8]) -> Vec<u8> {
    let mut bytes = codec::encode_metadata(value);
    let checksum = checksum(key, &bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

fn checksum(key: &MetadataKey, sealed: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_str().as_bytes());
    hasher.update(sealed);
    hasher.finalize()
}
