//! Loro: updates are exported since a version, and imported.

use loro::{
    CommitOptions, ExportMode, LoroDoc, LoroMap, LoroValue, ValueOrContainer, VersionVector,
};

use super::{Crdt, Field};
use crate::Result;

pub(crate) struct Document {
    document: LoroDoc,
    saved: VersionVector,
}

impl Document {
    fn record(&self, kind: &str, id: &str) -> Option<LoroMap> {
        self.document.get_map(kind).get(id)?.into_container().ok()?.into_map().ok()
    }
}

impl Crdt for Document {
    type Session = ();

    fn new() -> Result<Self> {
        Ok(Self { document: LoroDoc::new(), saved: VersionVector::new() })
    }

    fn load(saved: &[u8]) -> Result<Self> {
        let document = LoroDoc::from_snapshot(saved)?;
        let saved = document.oplog_vv();
        Ok(Self { document, saved })
    }

    fn save(&mut self) -> Result<Vec<u8>> {
        Ok(self.document.export(ExportMode::Snapshot)?)
    }

    fn unsaved(&mut self) -> Result<Vec<u8>> {
        let updates = self.document.export(ExportMode::updates(&self.saved))?;
        self.saved = self.document.oplog_vv();
        Ok(updates)
    }

    fn create(&mut self, kind: &str, id: &str) -> Result<()> {
        self.document.get_map(kind).insert_container(id, LoroMap::new())?;
        Ok(())
    }

    fn set(&mut self, kind: &str, id: &str, name: &str, to: Field) -> Result<()> {
        let record = self.record(kind, id).ok_or("a record that is not there")?;
        match to {
            Field::Text(text) => record.insert(name, text)?,
            Field::Integer(integer) => record.insert(name, integer)?,
        }
        Ok(())
    }

    fn get(&self, kind: &str, id: &str, name: &str) -> Result<Option<Field>> {
        let Some(record) = self.record(kind, id) else { return Ok(None) };
        let Some(ValueOrContainer::Value(value)) = record.get(name) else { return Ok(None) };
        Ok(match value {
            LoroValue::String(text) => Some(Field::Text(text.to_string())),
            LoroValue::I64(integer) => Some(Field::Integer(integer)),
            _ => None,
        })
    }

    fn count(&self, kind: &str, accept: impl Fn(&str) -> Result<bool>) -> Result<usize> {
        // All at once: what is accepted is looked up in the same document.
        let ids: Vec<_> = self.document.get_map(kind).keys().collect();
        let mut count = 0;
        for id in ids {
            count += usize::from(accept(&id)?);
        }
        Ok(count)
    }

    fn commit(&mut self, by: Option<(&str, u64)>) -> Result<()> {
        match by {
            None => self.document.commit(),
            Some((author, time)) => self.document.commit_with(
                CommitOptions::default().commit_msg(author).timestamp(i64::try_from(time)?),
            ),
        }
        Ok(())
    }

    fn give(&mut self, other: &mut Self, (): &mut Self::Session) -> Result<()> {
        let updates = self.document.export(ExportMode::updates(&other.document.oplog_vv()))?;
        other.document.import(&updates)?;
        Ok(())
    }
}
