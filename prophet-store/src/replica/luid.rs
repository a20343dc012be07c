//! Luids: short local numbers for records, for people's fingers.

use crate::error::Error;
use crate::name::RecordKey;
use crate::replica::Replica;
use crate::replica::metadata::parse;
use crate::store::MetadataKey;

/// The key of the last luid given out.
const LAST: &str = "luid/last";
const RECORD: &str = "luid/record/";
const NUMBER: &str = "luid/number/";

/// The metadata key for one record's luid. A record type and an id together can be longer than a
/// key may be, so the key holds a digest of them.
fn record_key(record: &RecordKey) -> Result<MetadataKey, Error> {
    let digest = crate::id::Digest::of(record.to_string().as_bytes());
    Ok(MetadataKey::new(format!("{RECORD}{digest}"))?)
}

fn number_key(luid: u64) -> Result<MetadataKey, Error> {
    Ok(MetadataKey::new(format!("{NUMBER}{luid}"))?)
}

impl Replica {
    /// The luids of these records, in this order: short numbers that mean them in this replica
    /// only, given out when first asked for and never replicated. Records need not exist.
    ///
    /// # Errors
    /// What the store says.
    pub async fn luids(&self, records: &[RecordKey]) -> Result<Vec<u64>, Error> {
        let keys = records.iter().map(record_key).collect::<Result<Vec<_>, _>>()?;
        let known = self.inner.store.get_metadata(&keys).await?.value;
        if let Some(known) = known.into_iter().collect::<Option<Vec<_>>>() {
            return keys.iter().zip(&known).map(|(key, bytes)| parse(key, bytes)).collect();
        }
        let edited = self
            .edit(|edit| {
                let pairs: Vec<_> = keys.iter().cloned().zip(records.iter().cloned()).collect();
                async move {
                    let last_key = MetadataKey::new(LAST)?;
                    let mut last = match edit.get_metadata(&last_key).await? {
                        Some(bytes) => parse(&last_key, &bytes)?,
                        None => 0u64,
                    };
                    let mut luids = Vec::with_capacity(pairs.len());
                    for (key, record) in pairs {
                        let luid = match edit.get_metadata(&key).await? {
                            Some(bytes) => parse(&key, &bytes)?,
                            None => {
                                last = last.checked_add(1).ok_or_else(|| Error::Metadata {
                                    key: last_key.to_string(),
                                    why: "no number comes after it".to_owned(),
                                })?;
                                edit.set_metadata(key, Some(last.to_string().into_bytes()))?;
                                let named = record.to_string().into_bytes();
                                edit.set_metadata(number_key(last)?, Some(named))?;
                                last
                            }
                        };
                        luids.push(luid);
                    }
                    edit.set_metadata(last_key, Some(last.to_string().into_bytes()))?;
                    Ok(luids)
                }
            })
            .await?;
        Ok(edited.value)
    }

    /// The record that a luid means in this replica.
    ///
    /// # Errors
    /// A luid that was never given out here; what the store says.
    pub async fn by_luid(&self, luid: u64) -> Result<RecordKey, Error> {
        let key = number_key(luid)?;
        let read = self.inner.store.get_metadata(std::slice::from_ref(&key)).await?;
        match read.value.into_iter().next().flatten() {
            Some(bytes) => parse(&key, &bytes),
            None => Err(Error::NoSuchLuid { luid }),
        }
    }
}
