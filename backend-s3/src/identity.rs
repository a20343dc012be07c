//! The object that says which replica a prefix has, and what was found out about the service.

use prophet_store::{Identity, StoreError};
use serde::{Deserialize, Serialize};

use crate::bucket::Bucket;
use crate::layout::{FORMAT, IDENTITY};
use crate::options::Sharers;

/// What `prophet.json` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) identity: Identity,
    pub(crate) sharers: Sharers,
    /// What the probe of the service came to, in words.
    pub(crate) probe: String,
    /// Tells this creation from every other.
    pub(crate) nonce: String,
}

#[derive(Serialize, Deserialize)]
struct Written {
    prophet: String,
    format: u64,
    database: String,
    replica: String,
    writers: Sharers,
    probe: String,
    nonce: String,
}

/// That it is a replica in a bucket, and not one in a directory.
const KIND: &str = "bucket";

impl Declared {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let written = Written {
            prophet: KIND.to_owned(),
            format: FORMAT,
            database: self.identity.database.to_string(),
            replica: self.identity.replica.to_string(),
            writers: self.sharers,
            probe: self.probe.clone(),
            nonce: self.nonce.clone(),
        };
        // A value of these types always is JSON.
        let mut text = serde_json::to_vec(&written).unwrap_or_default();
        text.push(b'\n');
        text
    }

    pub(crate) fn decode(place: &str, bytes: &[u8]) -> Result<Self, StoreError> {
        #[derive(Deserialize)]
        struct Format {
            prophet: String,
            format: u64,
        }
        let alien = |why: String| StoreError::not_a_replica(place, why);
        let Format { prophet, format } =
            serde_json::from_slice(bytes).map_err(|error| alien(format!("{IDENTITY}: {error}")))?;
        if prophet != KIND {
            return Err(alien(format!("{IDENTITY} says that it is a {prophet}")));
        }
        if format > FORMAT {
            return Err(StoreError::newer_format(place, format, FORMAT));
        }
        let damaged = |error: &dyn std::fmt::Display| {
            StoreError::corrupt(place, format!("{IDENTITY}: {error}"))
        };
        let written: Written = serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
        let identity = Identity {
            database: written.database.parse().map_err(|error| damaged(&error))?,
            replica: written.replica.parse().map_err(|error| damaged(&error))?,
        };
        let Written { writers: sharers, probe, nonce, .. } = written;
        Ok(Self { identity, sharers, probe, nonce })
    }

    /// Reads it, if it is there.
    pub(crate) async fn fetch(bucket: &Bucket) -> Result<Option<Self>, StoreError> {
        let found = bucket.get(IDENTITY).await?;
        found.map(|object| Self::decode(&bucket.place, &object.bytes)).transpose()
    }
}
