//! References between records, and following them.

use futures_lite::{StreamExt as _, stream};

use crate::error::Error;
use crate::name::{NameError, PropertyName, RecordKey};
use crate::query::{Query, property};
use crate::replica::{Record, Replica, Streamed};
use crate::value::Value;

/// A record and the one that a property of it refers to, if it refers to one that exists.
pub type Joined = (Record, Option<Record>);

/// How many references of a join are followed with one read.
const BATCH: usize = 256;

impl Replica {
    /// The record that a property of `record` refers to; `None` if it is no reference, or there is
    /// no such record.
    ///
    /// # Errors
    /// What the store says.
    pub async fn follow(&self, record: &Record, name: &str) -> Result<Option<Record>, Error> {
        match record.get(name).and_then(Value::as_reference) {
            Some(key) => self.get(key).await,
            None => Ok(None),
        }
    }

    /// The records of a type that refer to `target` by a property.
    ///
    /// # Errors
    /// What is not a name.
    pub fn referring<T, N>(
        &self,
        record_type: T,
        name: N,
        target: &RecordKey,
    ) -> Result<Streamed<'_, Record>, NameError>
    where
        T: TryInto<crate::name::RecordType, Error: Into<NameError>>,
        N: TryInto<PropertyName, Error: Into<NameError>>,
    {
        Ok(self.find(&Query::of(record_type)?.filter(property(name)?.eq(target))))
    }

    /// What `query` finds, each with the record that its property `name` refers to: a join from
    /// one type to others. References are followed in batches.
    ///
    /// # Errors
    /// What is not a property name.
    pub fn join<N>(&self, query: &Query, name: N) -> Result<Streamed<'_, Joined>, NameError>
    where
        N: TryInto<PropertyName, Error: Into<NameError>>,
    {
        let name = name.try_into().map_err(Into::into)?;
        let state = (self.find(query), Vec::new().into_iter());
        Ok(Box::pin(stream::try_unfold(state, move |(mut found, mut joined)| {
            let name = name.clone();
            async move {
                if let Some(pair) = joined.next() {
                    return Ok(Some((pair, (found, joined))));
                }
                joined = self.join_batch(&mut found, &name).await?.into_iter();
                Ok(joined.next().map(|pair| (pair, (found, joined))))
            }
        })))
    }

    async fn join_batch(
        &self,
        found: &mut Streamed<'_, Record>,
        name: &PropertyName,
    ) -> Result<Vec<Joined>, Error> {
        let mut records = Vec::new();
        while records.len() < BATCH
            && let Some(record) = found.next().await
        {
            records.push(record?);
        }
        let reference =
            |record: &Record| record.properties().get(name).and_then(Value::as_reference).cloned();
        let mut keys: Vec<_> = records.iter().filter_map(reference).collect();
        keys.sort_unstable();
        keys.dedup();
        let targets = self.get_many(&keys).await?;
        Ok(records
            .into_iter()
            .map(|record| {
                let key = reference(&record);
                let place = key.and_then(|key| keys.binary_search(&key).ok());
                let target = place.and_then(|place| targets.get(place)).cloned().flatten();
                (record, target)
            })
            .collect())
    }
}
