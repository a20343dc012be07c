//! Automerge: saved incrementally, exchanged by its sync protocol.

use automerge::sync::{State, SyncDoc as _};
use automerge::transaction::{CommitOptions, Transactable as _};
use automerge::{AutoCommit, ObjId, ObjType, ROOT, ReadDoc as _, ScalarValue, Value};

use super::{Crdt, Field};
use crate::Result;

pub(crate) struct Document(AutoCommit);

impl Document {
    fn records(&self, kind: &str) -> Result<Option<ObjId>> {
        Ok(self.0.get(ROOT, kind)?.map(|(_, id)| id))
    }

    fn record(&self, kind: &str, id: &str) -> Result<Option<ObjId>> {
        let Some(records) = self.records(kind)? else { return Ok(None) };
        Ok(self.0.get(records, id)?.map(|(_, id)| id))
    }
}

impl Crdt for Document {
    type Session = (State, State);

    fn new() -> Result<Self> {
        Ok(Self(AutoCommit::new()))
    }

    fn load(saved: &[u8]) -> Result<Self> {
        Ok(Self(AutoCommit::load(saved)?))
    }

    fn save(&mut self) -> Result<Vec<u8>> {
        Ok(self.0.save())
    }

    fn unsaved(&mut self) -> Result<Vec<u8>> {
        Ok(self.0.save_incremental())
    }

    fn create(&mut self, kind: &str, id: &str) -> Result<()> {
        let records = match self.records(kind)? {
            Some(records) => records,
            None => self.0.put_object(ROOT, kind, ObjType::Map)?,
        };
        self.0.put_object(records, id, ObjType::Map)?;
        Ok(())
    }

    fn set(&mut self, kind: &str, id: &str, name: &str, to: Field) -> Result<()> {
        let record = self.record(kind, id)?.ok_or("a record that is not there")?;
        match to {
            Field::Text(text) => self.0.put(record, name, text)?,
            Field::Integer(integer) => self.0.put(record, name, integer)?,
        }
        Ok(())
    }

    fn get(&self, kind: &str, id: &str, name: &str) -> Result<Option<Field>> {
        let Some(record) = self.record(kind, id)? else { return Ok(None) };
        let Some((Value::Scalar(value), _)) = self.0.get(record, name)? else { return Ok(None) };
        Ok(match &*value {
            ScalarValue::Str(text) => Some(Field::Text(text.to_string())),
            ScalarValue::Int(integer) => Some(Field::Integer(*integer)),
            _ => None,
        })
    }

    fn count(&self, kind: &str, accept: impl Fn(&str) -> Result<bool>) -> Result<usize> {
        let Some(records) = self.records(kind)? else { return Ok(0) };
        let mut count = 0;
        for id in self.0.keys(records) {
            count += usize::from(accept(&id)?);
        }
        Ok(count)
    }

    fn commit(&mut self, by: Option<(&str, u64)>) -> Result<()> {
        match by {
            None => self.0.commit(),
            Some((author, time)) => self.0.commit_with(
                CommitOptions::default().with_message(author).with_time(i64::try_from(time)?),
            ),
        };
        Ok(())
    }

    fn give(&mut self, other: &mut Self, session: &mut Self::Session) -> Result<()> {
        // What is kept of a peer when the connection ends.
        let mut ours = State::decode(&session.0.encode())?;
        let mut theirs = State::decode(&session.1.encode())?;
        loop {
            let there = self.0.sync().generate_sync_message(&mut ours);
            let going = there.is_some();
            if let Some(message) = there {
                other.0.sync().receive_sync_message(&mut theirs, message)?;
            }
            let back = other.0.sync().generate_sync_message(&mut theirs);
            let coming = back.is_some();
            if let Some(message) = back {
                self.0.sync().receive_sync_message(&mut ours, message)?;
            }
            if !going && !coming {
                break;
            }
        }
        *session = (ours, theirs);
        Ok(())
    }
}
