//! The tables of a root, as objects that are read in parts.

use std::fmt;
use std::io;
use std::sync::Arc;

use async_lock::OnceCell;
use prophet_store::StoreError;
use prophet_tables::{ReadAt, Table, TableError};

use crate::bucket::Bucket;
use crate::heal::Trouble;

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
    /// How many bytes come after it in its object: the ends of the older tables of its level that the
    /// root does not have.
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

/// The ends of the tables of one level, the newest first: what the object of the newest one has from
/// its own ends on.
pub(crate) async fn read_ends(
    bucket: &Bucket,
    trouble: &Trouble,
    newest: &TableAt,
) -> Result<Vec<u8>, StoreError> {
    let start = newest.bytes.saturating_sub(newest.ends);
    let end = newest.bytes.saturating_add(newest.pack);
    let place = bucket.place_of(&newest.name);
    match bucket.get_range(&newest.name, start..end).await? {
        Some(bytes) if bytes.len() as u64 == end - start => Ok(bytes),
        Some(_) => {
            trouble.note(place.clone());
            Err(StoreError::corrupt(place, "it is shorter than the root says"))
        }
        None => {
            trouble.note(place.clone());
            Err(StoreError::corrupt(place, "it is not there, but the root names it"))
        }
    }
}

/// Opens the tables of one level, the newest first.
pub(crate) async fn open_level(
    bucket: &Bucket,
    trouble: &Trouble,
    tables: &[&IndexTable],
) -> Result<(), StoreError> {
    let (mut apart, mut closed) = (Vec::new(), false);
    for table in tables {
        match &table.at.inline {
            Some(ends) if table.get().is_none() => table.open(bucket, trouble, ends)?,
            Some(_) => {}
            None => {
                closed |= table.get().is_none();
                apart.push(*table);
            }
        }
    }
    let Some(newest) = apart.first().filter(|_| closed).map(|table| &table.at) else {
        return Ok(());
    };
    // The ends of all of them are together.
    let bytes = read_ends(bucket, trouble, newest).await?;
    let mut rest = bytes.as_slice();
    for table in apart {
        let len = usize::try_from(table.at.ends).unwrap_or(usize::MAX);
        let Some((ends, more)) = rest.split_at_checked(len) else {
            let place = bucket.place_of(&newest.name);
            trouble.note(place.clone());
            return Err(StoreError::corrupt(place, "the ends of a table are not all there"));
        };
        table.open(bucket, trouble, ends)?;
        rest = more;
    }
    Ok(())
}

/// What is to come after a new table of this level in its object: the ends of the older ones, as far as
/// the root does not have them.
pub(crate) async fn pack_for(
    bucket: &Bucket,
    trouble: &Trouble,
    level: u32,
    older: &[Arc<IndexTable>],
) -> Result<Vec<u8>, StoreError> {
    let newest = older.iter().find(|it| it.at.level == level && it.at.inline.is_none());
    match newest {
        Some(newest) => read_ends(bucket, trouble, &newest.at).await,
        None => Ok(Vec::new()),
    }
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
