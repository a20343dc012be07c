//! Keeping what a root names few: tables and segments that become one when there are many.

use std::ops::Range;
use std::sync::Arc;

use prophet_store::{Position, StoreError, Version};
use prophet_tables::{MergeError, Packing, TableWriter, keys, merge_tables};

use crate::bucket::Bucket;
use crate::derive::{Cutter, last_bytes, write_all};
use crate::heal::Trouble;
use crate::index::{IndexTable, TableAt, open_pack, pack_for, packs, table_error};
use crate::layout;
use crate::log::read_part;
use crate::root::Root;
use crate::together::together;

/// So many tables of a level become one of the next. The more they are, the less often what is written once
/// is merged, and the fewer tables are found by what the objects of others bring along; a scan has to look at
/// all of them.
const MERGED: usize = 16;
/// So many times as long as a new table is what its object brings along of older ones at most.
const PACKED: u64 = 4;

/// The ids of so many commits are kept in tables; of older ones the commit objects tell.
const REMEMBERED: u64 = 1_024;
/// Once there are so many segments at the end with less than so many bytes of lines, they become one: those
/// of checkpoints, mostly.
const SHORT: (usize, u64) = (16, 256 << 10);
/// And once there are so many that are not short, but have less than so many, they become one with the short
/// ones among them. What has more is never written anew.
const MIDDLING: (usize, u64) = (4, 1 << 20);

/// Merges tables until no level has too many. The names of those that are not needed any more.
pub(crate) async fn tables(
    bucket: &Bucket,
    trouble: &Trouble,
    root: &mut Root,
) -> Result<Vec<String>, StoreError> {
    let mut retired = Vec::new();
    loop {
        let of_level = |level| root.tables.iter().filter(|it| it.at.level == level).count();
        let mut levels = root.tables.iter().map(|table| table.at.level);
        // The newest level that is full.
        let Some(mut level) = levels.find(|level| of_level(*level) >= MERGED) else {
            return Ok(retired);
        };
        let start = root.tables.iter().position(|it| it.at.level == level).unwrap_or_default();
        // With what comes of it, the next may be full, too: those become one at once.
        while of_level(level.saturating_add(1)) >= MERGED - 1 {
            level = level.saturating_add(1);
        }
        let end =
            root.tables.iter().rposition(|it| it.at.level == level).map_or(start, |at| at + 1);
        let merged = merge(bucket, trouble, root, start..end, level.saturating_add(1)).await?;
        let parts = root.tables.splice(start..end, [Arc::new(merged)]);
        retired.extend(parts.map(|part| part.at.name.clone()));
    }
}

/// One table of a level, in the place of these.
async fn merge(
    bucket: &Bucket,
    trouble: &Trouble,
    root: &Root,
    range: Range<usize>,
    level: u32,
) -> Result<IndexTable, StoreError> {
    let older = root.tables.get(range.end..).unwrap_or_default();
    let parts = root.tables.get(range).unwrap_or_default();
    for pack in packs(parts) {
        open_pack(bucket, trouble, &pack).await?;
    }
    let bottom = older.is_empty();
    let forgotten = root.head.version.get().saturating_sub(REMEMBERED);
    let keep = |key: &[u8]| keys::to_commit(key).is_none_or(|it| it.get() >= forgotten);
    let place = bucket.place_of(layout::INDEX);
    let failed = |error| StoreError::io(&*place, "merging tables", error);

    let mut bytes = Vec::new();
    let mut writer = TableWriter::packed(&mut bytes, Packing::Dense).map_err(failed)?;
    let tables = parts.iter().filter_map(|part| part.get());
    merge_tables(tables, &mut writer, bottom, keep).await.map_err(|error| match error {
        MergeError::Read(error) => table_error(&place, trouble, error),
        other => StoreError::io(&*place, "merging tables", other.to_string()),
    })?;
    let summary = writer.finish().map_err(failed)?;
    let ends = last_bytes(&bytes, summary.ends).to_vec();

    // The ends of older tables come along, so that one request brings those of as many as can be.
    let room = summary.bytes.saturating_mul(PACKED);
    let pack = pack_for(bucket, trouble, room, older).await?;
    let pack_len = pack.len() as u64;
    bytes.extend(pack);
    let (after, last) = spans(parts);
    let name = layout::table(after, last, &bytes);
    write_all(bucket, vec![(name.clone(), bytes)]).await?;
    let (bytes, len) = (summary.bytes, summary.ends);
    let at = TableAt { name, level, bytes, ends: len, pack: pack_len, inline: None };
    let table = IndexTable::new(at);
    table.open(bucket, trouble, &ends)?;
    Ok(table)
}

/// The versions that tables, the newest first, go from and to, as their names say.
fn spans(parts: &[Arc<IndexTable>]) -> (Version, Version) {
    let number = |part: Option<&Arc<IndexTable>>, which: usize| {
        let name = part.map_or("", |part| part.at.name.as_str());
        let name = name.rsplit('/').next().unwrap_or_default();
        name.split('-').nth(which).and_then(|digits| digits.parse::<u64>().ok()).unwrap_or(0)
    };
    let first = number(parts.last(), 0).saturating_sub(1);
    (Version::new(first), Version::new(number(parts.first(), 1)))
}

/// Writes segments at the end anew as one, or a few, if there are many that are not long. The names of those
/// that are not needed any more.
pub(crate) async fn segments(
    bucket: &Bucket,
    trouble: &Trouble,
    root: &mut Root,
) -> Result<Vec<String>, StoreError> {
    let mut retired = Vec::new();
    let (many, below) = SHORT;
    let short = root.segments.iter().rev().take_while(|at| at.text < below).count();
    if short >= many {
        retired.extend(rewrite(bucket, trouble, root, short).await?);
    }
    let (many, below_all) = MIDDLING;
    let run = root.segments.iter().rev().take_while(|at| at.text < below_all).count();
    let last_ones = root.segments.iter().rev().take(run);
    if last_ones.filter(|at| at.text >= below).count() >= many {
        retired.extend(rewrite(bucket, trouble, root, run).await?);
    }
    // What came out as it was is still needed.
    retired.retain(|name| root.segments.iter().all(|at| at.segment.name != *name));
    Ok(retired)
}

/// Writes the last segments, so many of them, anew as one.
async fn rewrite(
    bucket: &Bucket,
    trouble: &Trouble,
    root: &mut Root,
    last_ones: usize,
) -> Result<Vec<String>, StoreError> {
    let start = root.segments.len().saturating_sub(last_ones);
    let old = root.segments.split_off(start);
    let read = old.iter().map(|at| read_part(bucket, trouble, root, at, 0..at.segment.bytes));
    let read = together(read).await;
    let position = old.first().map_or(Position::ZERO, |at| at.segment.after);
    let last = match position {
        Position::ZERO => None,
        // The segment before ends with it.
        _ => last_digest(bucket, trouble, root).await?,
    };
    let mut cutter = Cutter::after(root, start, position, last);
    for entries in read {
        for entry in &entries? {
            cutter.push(entry)?;
        }
    }
    let mut objects = Vec::new();
    for (at, bytes) in cutter.finish()?.segments {
        objects.push((at.segment.name.clone(), bytes));
        root.segments.push(at);
    }
    write_all(bucket, objects).await?;
    Ok(old.into_iter().map(|at| at.segment.name).collect())
}

/// The digest of the last entry of the last segment.
async fn last_digest(
    bucket: &Bucket,
    trouble: &Trouble,
    root: &Root,
) -> Result<Option<prophet_store::Digest>, StoreError> {
    let Some(at) = root.segments.last() else { return Ok(None) };
    let offset = at.chunks.last().map_or(0, |chunk| chunk.offset);
    let entries = read_part(bucket, trouble, root, at, offset..at.segment.bytes).await?;
    Ok(entries.last().map(|entry| entry.changeset.digest()))
}
