//! What client and server of this crate say to each other: `docs/http-sync.md`.

mod fields;
pub(crate) mod store;
mod store_error;
mod wire;

use prophet_store::codec;
use prophet_store::{
    CommitId, DatabaseId, Digest, Head, Position, ReplicaId, Version, VersionVector,
};
use serde::{Deserialize, Serialize};

pub(crate) use self::store_error::StoreFailure;
pub(crate) use self::wire::{Malformed, Wire, decode, encode};

/// Names the version of the protocol in every request and answer.
pub(crate) const PROTOCOL: &str = "prophet-protocol";
/// The version spoken here.
pub(crate) const VERSION: u64 = 1;

/// A bundle: `docs/format.md`.
pub(crate) const BUNDLE: &str = "application/vnd.prophet.bundle";
/// A [`Seen`].
pub(crate) const SEEN: &str = "application/vnd.prophet.seen";
/// A [`Standing`].
pub(crate) const STANDING: &str = "application/vnd.prophet.standing+json";
/// A `PullReport`.
pub(crate) const REPORT: &str = "application/vnd.prophet.report+json";
/// What a store is asked, and what it answers.
pub(crate) const STORE: &str = "application/vnd.prophet.store";
/// A [`StoreFailure`].
pub(crate) const STORE_ERROR: &str = "application/vnd.prophet.store-error+json";
/// A [`Problem`].
pub(crate) const PROBLEM: &str = "application/problem+json";

/// No request but a bundle and a commit is longer.
pub(crate) const REQUEST_BYTES: usize = 16 << 20;

/// The sorts of problems are called so, and then by their names.
pub(crate) const SORT: &str = "urn:prophet:problem:";
/// A bundle builds on what is not there.
pub(crate) const BASIS_MISSING: &str = "basis-missing";
/// There is no such address.
pub(crate) const NO_SUCH_ROUTE: &str = "no-such-route";
/// A version of the protocol is not known.
pub(crate) const OTHER_PROTOCOL: &str = "other-protocol";

/// Why something is refused, as RFC 9457 has it: what a client reads of it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Problem {
    pub(crate) detail: String,
    #[serde(rename = "type", default)]
    sort: String,
}

impl Problem {
    /// The name of its sort, if it is one of Prophet's.
    pub(crate) fn sort(&self) -> Option<&str> {
        self.sort.strip_prefix(SORT)
    }
}

/// Where a replica is, in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeadFields {
    version: Version,
    position: Position,
    commit: CommitId,
}

impl From<Head> for HeadFields {
    fn from(Head { version, position, commit }: Head) -> Self {
        Self { version, position, commit }
    }
}

impl From<HeadFields> for Head {
    fn from(HeadFields { version, position, commit }: HeadFields) -> Self {
        Self { version, position, commit }
    }
}

/// What a server says of its replica where it does not send a bundle.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) answer: Answer,
    pub(crate) database: DatabaseId,
    pub(crate) replica: ReplicaId,
    pub(crate) head: HeadFields,
    /// What it has seen, in its envelope and Base64: only of [`Answer::Vector`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) vector: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// The vectors are the same.
    NothingNew,
    /// The vectors differ, and the whole one is needed to say by what.
    SendVector,
    /// What has been seen is in it.
    Vector,
}

/// What a puller has seen: the digest of its vector, and the vector if it is sent along.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) digest: Digest,
    pub(crate) vector: Option<VersionVector>,
}

impl Seen {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let Some((digest, rest)) = bytes.split_first_chunk::<32>() else {
            return Err(Malformed::new("the 32 bytes of a digest are not all there"));
        };
        let vector = match rest.is_empty() {
            true => None,
            false => {
                let vector = codec::decode_vector(rest);
                Some(vector.map_err(|error| Malformed::new(format!("the vector is {error}")))?)
            }
        };
        Ok(Self { digest: Digest::from_bytes(*digest), vector })
    }
}
