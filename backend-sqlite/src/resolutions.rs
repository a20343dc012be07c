//! Reading the resolution database.

use prophet_store::{
    ConflictId, Digest, Page, PageBuilder, Resolution, ResolutionCursor, ResolutionScan,
    StoreError, codec,
};
use rusqlite::Connection;

use crate::error::{damaged, decoding, sql};
use crate::head;

const SCAN: &str = "SELECT conflict, changeset, vote FROM resolution \
     WHERE (conflict, changeset) > (?1, ?2) AND conflict <= ?3 ORDER BY conflict, changeset";

/// Roughly what a resolution takes, for bounding a page.
const RESOLUTION_BYTES: usize = 256;

pub(crate) fn scan(
    conn: &Connection,
    place: &str,
    scan: &ResolutionScan,
) -> Result<Page<Resolution, ResolutionCursor>, StoreError> {
    head::pinned(conn, place, |at| {
        // An empty digest is before every other, so a conflict with it is before its first vote.
        let begin = (scan.conflict.map_or(Vec::new(), |id| id.as_bytes().to_vec()), Vec::new());
        let after = scan.after.map(|(conflict, changeset)| {
            (conflict.as_bytes().to_vec(), changeset.as_bytes().to_vec())
        });
        let (conflict, changeset) = after.unwrap_or_default().max(begin);
        let last = scan.conflict.map_or([0xFF; 32], |id| *id.as_bytes());
        let failed = sql(place, "scanning resolutions");
        let mut statement = conn.prepare_cached(SCAN).map_err(&failed)?;
        let mut rows = statement.query((conflict, changeset, last)).map_err(&failed)?;
        let mut page = PageBuilder::new(scan.limit, at);
        while let Some(row) = rows.next().map_err(&failed)? {
            if page.is_full() {
                return Ok(page.unfinished());
            }
            let conflict = ConflictId::from_bytes(row.get(0).map_err(&failed)?);
            let changeset = Digest::from_bytes(row.get(1).map_err(&failed)?);
            let bytes: Vec<u8> = row.get(2).map_err(&failed)?;
            let resolution = decode(place, (conflict, changeset), &bytes)?;
            page.push(resolution, (conflict, changeset), RESOLUTION_BYTES.max(bytes.len()));
        }
        Ok(page.finished())
    })
}

/// The resolution in `bytes`, which were stored under `cursor`.
pub(crate) fn decode(
    place: &str,
    cursor: ResolutionCursor,
    bytes: &[u8],
) -> Result<Resolution, StoreError> {
    let (conflict, changeset) = cursor;
    let what = format!("the resolution of conflict {conflict} by changeset {changeset}");
    let resolution = codec::decode_resolution(bytes).map_err(decoding(place, &what))?;
    match (resolution.conflict(), resolution.changeset) == cursor {
        true => Ok(resolution),
        false => Err(damaged(place, what, "it is stored under the wrong key")),
    }
}
