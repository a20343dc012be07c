//! Settings of the database: replicated records of a type of Prophet's own.

use std::collections::BTreeMap;

use futures_lite::StreamExt as _;

use crate::error::Error;
use crate::id::{DatabaseId, Digest, RecordId};
use crate::name::{RecordKey, RecordType};
use crate::query::Query;
use crate::record::Existence;
use crate::replica::Replica;
use crate::typed::Properties;
use crate::value::Value;

const TYPE: &str = "_setting";
const NAME: &str = "name";
const VALUE: &str = "value";

/// The settings of a database, see [`Replica::settings`].
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    replica: &'a Replica,
}

impl Replica {
    /// The settings of the database: values by name that all its replicas share, with history
    /// and conflicts like any record.
    ///
    /// ```
    /// use futures_lite::future::block_on;
    /// use prophet_store::{Identity, MemoryStore, Replica, Value};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// block_on(async {
    ///     let replica = Replica::open(MemoryStore::new(Identity::new_database()?)).await?;
    ///     replica.settings().set("title", Value::from("Our bugs")).await?;
    ///     assert_eq!(replica.settings().get("title").await?, Some(Value::from("Our bugs")));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub const fn settings(&self) -> Settings<'_> {
        Settings { replica: self }
    }
}

impl Settings<'_> {
    /// The record of a setting. Its id follows from its name, so that replicas that never met set
    /// the same record.
    ///
    /// # Errors
    /// Never for now; the type's name is checked like every other.
    pub fn key(&self, name: &str) -> Result<RecordKey, Error> {
        let database = self.replica.inner.store.facts().identity.database;
        Ok(RecordKey::new(RecordType::new(TYPE)?, setting_id(database, name)))
    }

    /// The value of a setting; `None` if it is not set.
    ///
    /// # Errors
    /// What the store says.
    pub async fn get(&self, name: &str) -> Result<Option<Value>, Error> {
        let record = self.replica.get(&self.key(name)?).await?;
        Ok(record.and_then(|record| record.get(VALUE).cloned()))
    }

    /// Sets a setting.
    ///
    /// # Errors
    /// What exceeds a limit; what the store says.
    pub async fn set(&self, name: &str, value: Value) -> Result<Option<Digest>, Error> {
        let key = self.key(name)?;
        let properties = Properties::try_from([(NAME, Value::from(name)), (VALUE, value)])?;
        let edited = self
            .replica
            .edit(|edit| {
                let (key, properties) = (key.clone(), properties.clone());
                async move {
                    match edit.state(&key).await?.existence() {
                        Existence::Alive => edit.update(&key, properties).await,
                        _ => edit.create_any(&key, properties).await,
                    }
                }
            })
            .await?;
        Ok(edited.changeset())
    }

    /// Removes a setting; one that is not set stays so.
    ///
    /// # Errors
    /// What the store says.
    pub async fn remove(&self, name: &str) -> Result<Option<Digest>, Error> {
        match self.replica.delete(&self.key(name)?).await {
            Err(Error::NoSuchRecord { .. }) => Ok(None),
            removed => removed,
        }
    }

    /// All settings, by name.
    ///
    /// # Errors
    /// What the store says.
    pub async fn list(&self) -> Result<BTreeMap<String, Value>, Error> {
        let query = Query::of(TYPE)?;
        let mut records = self.replica.find(&query);
        let mut settings = BTreeMap::new();
        while let Some(record) = records.next().await {
            let record = record?;
            if let (Some(name), Some(value)) =
                (record.get(NAME).and_then(Value::as_text), record.get(VALUE))
            {
                settings.insert(name.to_owned(), value.clone());
            }
        }
        Ok(settings)
    }
}

/// The first 16 bytes of BLAKE3 of the database's id and the name, as a UUID of version 8.
fn setting_id(database: DatabaseId, name: &str) -> RecordId {
    let digest = Digest::of(&[database.as_bytes(), name.as_bytes()].concat());
    let [first, _] = digest.halves();
    RecordId::from(uuid::Builder::from_custom_bytes(first).into_uuid())
}
