//! The tables of a root, as objects that are read in parts.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use async_lock::OnceCell;
use prophet_store::StoreError;
use prophet_tables::{ReadAt, Table, TableError};

use crate::bucket::Bucket;
use crate::heal::Trouble;

/// So much of the ends of older tables comes along with a new one at most: those of a million commits.
const MOST_PACKED: u64 = 8 << 20;

/// The object of a table.
#[derive(Debug, Clone)]
pub(crate) struct ObjectAt {
    pub(crate) bucket: Bucket,
    pub(crate) name: String,
    pub(crate) trouble: Trouble,
}

impl ReadAt for ObjectAt {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let end = offset.saturating_add(len as u64);
        let trouble = || self.trouble.note(self.bucket.place_of(&self.name));
        match self.bucket.get_range(&self.name, offset..end).await {
            Ok(Some(bytes)) if bytes.len() == len => Ok(bytes),
            Ok(Some(_)) => {
                trouble();
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Ok(None) => {
                trouble();
                Err(io::ErrorKind::NotFound.into())
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

/// What a root says of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableAt {
    pub(crate) name: String,
    /// How often its contents were merged: 0 for what was written at a checkpoint.
    pub(crate) level: u32,
    /// How long the table is, at the beginning of its object.
    pub(crate) bytes: u64,
    /// How many of its last bytes are enough to open it.
    pub(crate) ends: u64,
    /// How many bytes come after it in its object: the ends of older tables that the root does not have,
    /// the newest first.
    pub(crate) pack: u64,
    /// Its ends, where the root has them.
    pub(crate) inline: Option<Vec<u8>>,
}

/// A table of a root, opened when it is first needed.
pub(crate) struct IndexTable {
    pub(crate) at: TableAt,
    table: OnceCell<Table<ObjectAt>>,
}

impl fmt::Debug for IndexTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexTable").field("name", &self.at.name).finish_non_exhaustive()
    }
}

impl IndexTable {
    pub(crate) const fn new(at: TableAt) -> Self {
        Self { at, table: OnceCell::new() }
    }

    /// The table, if it is open.
    pub(crate) fn get(&self) -> Option<&Table<ObjectAt>> {
        self.table.get()
    }

    /// Opens it by its ends.
    pub(crate) fn open(
        &self,
        bucket: &Bucket,
        trouble: &Trouble,
        ends: &[u8],
    ) -> Result<(), StoreError> {
        let (bucket, name) = (bucket.clone(), self.at.name.clone());
        let place = bucket.place_of(&name);
        let reader = ObjectAt { bucket, name, trouble: trouble.clone() };
        let table = Table::with_ends(reader, self.at.bytes, ends, place.clone())
            .map_err(|error| table_error(&place, trouble, error))?;
        // Another one may have been at it, with the same outcome.
        let _ = self.table.set_blocking(table);
        Ok(())
    }
}

/// Tables, the newest first, in the groups that are opened together: one that the root has the ends of, or
/// those whose ends are in the object of the newest of them.
pub(crate) fn packs(tables: &[Arc<IndexTable>]) -> Vec<Vec<&IndexTable>> {
    let mut packs: Vec<Vec<&IndexTable>> = Vec::new();
    // The pack that is being gone through, and how many of its bytes are left.
    let mut open: Option<(usize, u64)> = None;
    for table in tables {
        if table.at.inline.is_some() {
            packs.push(vec![table]);
            continue;
        }
        let left = open.and_then(|(pack, left)| Some((pack, left.checked_sub(table.at.ends)?)));
        match left.and_then(|(pack, left)| Some((packs.get_mut(pack)?, pack, left))) {
            Some((members, pack, left)) => {
                members.push(table);
                open = Some((pack, left));
            }
            None => {
                packs.push(vec![table]);
                open = Some((packs.len() - 1, table.at.pack));
            }
        }
    }
    packs
}

/// The one of the [`packs`] that a table is in.
pub(crate) fn pack_of<'a>(
    tables: &'a [Arc<IndexTable>],
    table: &IndexTable,
) -> Vec<&'a IndexTable> {
    let mut packs = packs(tables).into_iter();
    packs.find(|pack| pack.iter().any(|member| std::ptr::eq(*member, table))).unwrap_or_default()
}

/// Opens the tables of one of the [`packs`] that are not open, with one request at most.
pub(crate) async fn open_pack(
    bucket: &Bucket,
    trouble: &Trouble,
    pack: &[&IndexTable],
) -> Result<(), StoreError> {
    let is_closed = |table: &&IndexTable| table.get().is_none();
    let Some(first) = pack.iter().position(is_closed) else { return Ok(()) };
    let end = pack.iter().rposition(is_closed).map_or(first, |last| last + 1);
    let ends = read_pack(bucket, trouble, pack, first..end).await?;
    for (table, ends) in pack.iter().skip(first).zip(ends) {
        if table.get().is_none() {
            table.open(bucket, trouble, &ends)?;
        }
    }
    Ok(())
}

/// The ends of some tables, which follow one another, of one of the [`packs`].
async fn read_pack(
    bucket: &Bucket,
    trouble: &Trouble,
    pack: &[&IndexTable],
    members: Range<usize>,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let Some(newest) = pack.first().map(|table| &table.at) else { return Ok(Vec::new()) };
    if let Some(ends) = &newest.inline {
        return Ok(vec![ends.clone()]);
    }
    let lengths = |members: Range<usize>| {
        pack.get(members).unwrap_or_default().iter().map(|table| table.at.ends)
    };
    let sum = |members: Range<usize>| lengths(members).fold(0, u64::saturating_add);
    let start = newest.bytes.saturating_sub(newest.ends).saturating_add(sum(0..members.start));
    let end = start.saturating_add(sum(members.clone()));
    let place = bucket.place_of(&newest.name);
    let damaged = |what: &str| {
        trouble.note(place.clone());
        StoreError::corrupt(&*place, what)
    };
    let bytes = bucket.get_range(&newest.name, start..end).await?;
    let bytes = bytes.ok_or_else(|| damaged("it is not there, but the root names it"))?;
    let mut rest = bytes.as_slice();
    let mut ends = Vec::with_capacity(members.len());
    for length in lengths(members) {
        let split = usize::try_from(length).ok().and_then(|at| rest.split_at_checked(at));
        let (of_table, more) = split.ok_or_else(|| damaged("it is shorter than the root says"))?;
        ends.push(of_table.to_vec());
        rest = more;
    }
    Ok(ends)
}

/// What is to come after a new table in its object: the ends of the older ones that the root does not have,
/// the newest first, as many of them as there is `room` for.
pub(crate) async fn pack_for(
    bucket: &Bucket,
    trouble: &Trouble,
    room: u64,
    older: &[Arc<IndexTable>],
) -> Result<Vec<u8>, StoreError> {
    let (mut bytes, mut left) = (Vec::new(), room.min(MOST_PACKED));
    for pack in packs(older) {
        if pack.first().is_some_and(|table| table.at.inline.is_some()) {
            continue;
        }
        let fits = |table: &&&IndexTable| {
            let still = left.checked_sub(table.at.ends);
            left = still.unwrap_or_default();
            still.is_some()
        };
        let members = pack.iter().take_while(fits).count();
        let ends = read_pack(bucket, trouble, &pack, 0..members).await?;
        for (table, ends) in pack.iter().zip(ends) {
            // What is damaged is not passed on.
            IndexTable::new(table.at.clone()).open(bucket, trouble, &ends)?;
            bytes.extend(ends);
        }
        if members < pack.len() {
            break;
        }
    }
    Ok(bytes)
}

/// A table that cannot be read.
pub(crate) fn table_error(place: &str, trouble: &Trouble, error: TableError) -> StoreError {
    match error {
        TableError::Io { source, .. } => {
            let kind = source.kind();
            match source.into_inner().map(|inner| inner.downcast::<StoreError>()) {
                Some(Ok(error)) => *error,
                _ => StoreError::corrupt(place, format!("a table of the index: {kind}")),
            }
        }
        TableError::Newer { found, supported, .. } => {
            StoreError::newer_format(place, found.into(), supported.into())
        }
        damaged => {
            let at = match &damaged {
                TableError::Damaged { place, .. } => place,
                _ => place,
            };
            trouble.note(at.to_owned());
            StoreError::corrupt(place, damaged.to_string())
        }
    }
}
