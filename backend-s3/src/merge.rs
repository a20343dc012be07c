//! Keeping what a root names few: tables and segments that become one when there are many.

use std::ops::Range;
use std::sync::Arc;

use prophet_store::{Position, StoreError, Version};
use prophet_tables::{MergeError, Packing, TableWriter, keys, merge_tables};

use crate::bucket::Bucket;
use crate::derive::{Cutter, last_bytes, write_all};
use crate::index::{IndexTable, TableAt, Trouble, open_level, pack_for, table_error};
use crate::layout;
use crate::log::read_part;
use crate::root::Root;
use crate::state::State;
use crate::together::together;

/// So many tables of a level become one of the next. The ends of the first level's are in the root, so there
/// are fewer of them; of the others there are more, so that what is written once is merged seldom.
const fn merged(level: u32) -> usize {
    match level {
        0 => 8,
        _ => 16,
    }
}

/// The ids of so many commits are kept in tables; of older ones the commit objects tell.
const REMEMBERED: u64 = 1_024;
/// Of segments at the end that have so many bytes, so many become one: those of checkpoints, and what came
/// of them. What is longer is not written anew.
const SEGMENTS: [(Range<u64>, usize); 2] = [(0..32 << 10, 16), (32 << 10..256 << 10, 4)];

/// Merges tables until no level has too many. The names of those that are not needed any more.
pub(crate) async fn tables(
    bucket: &Bucket,
    trouble: &Trouble,
    root: &mut Root,
) -> Result<Vec<String>, StoreError> {
    let mut retired = Vec::new();
    loop {
        let level = root.tables.iter().map(|table| table.at.level);
        let places: Vec<_> = level.enumerate().collect();
        // The newest level that is full, and where it begins.
        let full = places.iter().find_map(|(place, level)| {
            let of_level = places.iter().filter(|(_, other)| other == level).count();
            (of_level >= merged(*level)).then_some((*place, *level))
        });
        let Some((start, level)) = full else { return Ok(retired) };
        let end = places.iter().rposition(|(_, other)| *other == level).unwrap_or(start) + 1;
        let merged = merge(bucket, trouble, root, start, end).await?;
        let parts = root.tables.splice(start..end, [Arc::new(merged)]);
        retired.extend(parts.map(|part| part.at.name.clone()));
    }
}

/// One table of the next level, in the place of these.
async fn merge(
    bucket: &Bucket,
    trouble: &Trouble,
    root: &Root,
    start: usize,
    end: usize,
) -> Result<IndexTable, StoreError> {
    let parts = root.tables.get(start..end).unwrap_or_default();
    let level = parts.first().map_or(1, |part| part.at.level.saturating_add(1));
    let open: Vec<&IndexTable> = parts.iter().map(|part| &**part).collect();
    open_level(bucket, trouble, &open).await?;
    let bottom = end == root.tables.len();
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

    // The ends of the older tables of its level come along, so that one request brings all of them.
    let older = root.tables.get(end..).unwrap_or_default();
    let pack = pack_for(bucket, trouble, level, older).await?;
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

/// Writes short segments at the end anew as one, if there are many. The names of those that are not
/// needed any more.
pub(crate) async fn segments(
    bucket: &Bucket,
    state: &State,
    root: &mut Root,
) -> Result<Vec<String>, StoreError> {
    let mut retired = Vec::new();
    for (short, many) in SEGMENTS {
        let of_the_last = root.segments.iter().rev();
        let found = of_the_last.take_while(|at| short.contains(&at.segment.bytes)).count();
        if found >= many {
            retired.extend(rewrite(bucket, state, root, found).await?);
        }
    }
    Ok(retired)
}

/// Writes the last segments, so many of them, anew as one.
async fn rewrite(
    bucket: &Bucket,
    state: &State,
    root: &mut Root,
    last_ones: usize,
) -> Result<Vec<String>, StoreError> {
    let start = root.segments.len().saturating_sub(last_ones);
    let old: Vec<_> = root.segments.drain(start..).collect();
    let read = old.iter().map(|at| read_part(bucket, state, at, 0..at.segment.bytes));
    let read = together(read).await;
    let position = old.first().map_or(Position::ZERO, |at| at.segment.after);
    let last = match position {
        Position::ZERO => None,
        // The segment before ends with it.
        _ => last_digest(bucket, state, root).await?,
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
    state: &State,
    root: &Root,
) -> Result<Option<prophet_store::Digest>, StoreError> {
    let Some(at) = root.segments.last() else { return Ok(None) };
    let offset = at.chunks.last().map_or(0, |chunk| chunk.offset);
    let entries = read_part(bucket, state, at, offset..at.segment.bytes).await?;
    Ok(entries.last().map(|entry| entry.changeset.digest()))
}
