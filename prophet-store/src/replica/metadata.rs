//! Prophet's own local metadata: where it is kept, and how it is read.

use crate::codec;
use crate::error::Error;
use crate::id::{Digest, ReplicaId};
use crate::name::RecordKey;
use crate::store::MetadataKey;
use crate::vector::{Tip, VersionVector};

/// The tips of one origin, but for the author's own, which the log itself gives.
pub(super) const SEEN: &str = "sync/seen/";
/// The maximal changesets integrated, but for the author's own tip: 32 bytes each.
pub(super) const HEADS: &str = "sync/heads";
/// The position after which conflicts came that a pull has not settled yet; absent if none has.
pub(super) const UNSETTLED: &str = "sync/unsettled";
/// The records on which live writes disagree, by type and id.
pub(crate) const CONTESTED: &str = "contested/";

/// What was written as text.
pub(super) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    key: &MetadataKey,
    bytes: &[u8],
) -> Result<T, Error> {
    let text = std::str::from_utf8(bytes).map_err(|error| damaged(key, error))?;
    text.parse().map_err(|error: T::Err| damaged(key, error))
}

fn damaged(key: &MetadataKey, why: impl std::fmt::Display) -> Error {
    Error::Metadata { key: key.to_string(), why: why.to_string() }
}

pub(super) fn seen_key(origin: ReplicaId) -> Result<MetadataKey, Error> {
    Ok(MetadataKey::new(format!("{SEEN}{origin}"))?)
}

pub(super) fn encode_tips(origin: ReplicaId, tips: &[Tip]) -> Vec<u8> {
    codec::encode_vector(&VersionVector::of_origin(origin, tips.to_vec()))
}

/// Adds the tips that a key says to `vector`.
pub(super) fn take_tips(
    key: &MetadataKey,
    bytes: &[u8],
    vector: &mut VersionVector,
) -> Result<(), Error> {
    let tips = codec::decode_vector(bytes).map_err(|error| damaged(key, error))?;
    vector.extend(tips);
    Ok(())
}

pub(super) fn encode_heads(heads: &[Digest]) -> Vec<u8> {
    heads.iter().flat_map(|head| head.as_bytes()).copied().collect()
}

pub(super) fn decode_heads(bytes: Option<&[u8]>) -> Result<Vec<Digest>, Error> {
    let (digests, rest) = bytes.unwrap_or_default().as_chunks::<32>();
    match rest {
        [] => Ok(digests.iter().copied().map(Digest::from_bytes).collect()),
        _ => Err(damaged(&MetadataKey::new(HEADS)?, "it does not hold whole digests")),
    }
}

/// Where the contested records of a type are listed, by id. A type can be longer than a key may
/// be, so the key holds a digest of it.
pub(super) fn contested_prefix(record_type: &crate::name::RecordType) -> String {
    format!("{CONTESTED}{}/", Digest::of(record_type.as_str().as_bytes()))
}

pub(crate) fn contested_key(record: &RecordKey) -> Result<MetadataKey, Error> {
    let prefix = contested_prefix(record.record_type());
    Ok(MetadataKey::new(format!("{prefix}{}", record.id()))?)
}
