//! The canonical binary encoding: what is digested, and what binary backends store.
//!
//! `docs/format.md` specifies it byte by byte. Encoding is a function: equal things have equal
//! bytes. Decoding accepts those bytes and no others, and its memory and depth are bounded by
//! the length of what was really given, whatever the bytes claim.
//!
//! ```
//! use prophet_store::{RecordKey, RecordState, codec};
//!
//! let key: RecordKey = "bug/018f2d6e-7b1c-7000-8000-000000000001".parse()?;
//! let state = RecordState::new(key);
//! let bytes = codec::encode_record(&state);
//! assert_eq!(codec::decode_record(&bytes)?, state);
//! assert!(codec::decode_record(&bytes[1..]).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod envelope;
mod filter;
mod model;
mod wire;

pub use envelope::{Content, DecodeError, MAGIC, VERSION};
pub(crate) use envelope::{content, read_sealed, sealed_len};
pub use filter::{RecordFilter, existence_of};
pub use wire::Malformed;

use crate::changeset::{Changeset, Header, Kind, Payload};
use crate::id::{DatabaseId, Digest, Position, ReplicaId};
use crate::log::{Adjustment, LogEntry};
use crate::name::RecordKey;
use crate::record::RecordState;
use crate::register::RegisterName;
use crate::resolution::Resolution;
use crate::value::Value;
use crate::vector::VersionVector;
use wire::{Reader, Writer};

fn encode(content: Content, put: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::with_capacity(256);
    put(&mut writer);
    envelope::seal(content, &writer.into_bytes())
}

fn decode<T>(
    content: Content,
    bytes: &[u8],
    take: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut reader = Reader::new(envelope::open(content, bytes)?);
    let decoded = take(&mut reader)?;
    reader.finish()?;
    Ok(decoded)
}

/// The canonical bytes of a header: what a changeset's [`Digest`] is taken of.
pub fn encode_header(header: &Header) -> Vec<u8> {
    let mut writer = Writer::with_capacity(256);
    model::put_header(&mut writer, header);
    writer.into_bytes()
}

pub(crate) fn encode_payload(payload: &Payload) -> Vec<u8> {
    let mut writer = Writer::with_capacity(256);
    model::put_payload(&mut writer, payload);
    writer.into_bytes()
}

pub(crate) fn decode_payload(kind: Kind, bytes: &[u8]) -> Result<Payload, Malformed> {
    let mut reader = Reader::new(bytes);
    let payload = model::take_payload(&mut reader, kind)?;
    reader.finish()?;
    Ok(payload)
}

/// How many bytes the canonical encoding of `value` takes.
pub(crate) fn value_len(value: &Value) -> u64 {
    model::value_len(value)
}

/// A value that may be absent, in the bytes that order candidates.
pub(crate) fn encode_candidate(value: Option<&Value>) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.option(value, model::put_value);
    writer.into_bytes()
}

/// The values that disagree, in the bytes that order ballots.
pub(crate) fn encode_candidates(candidates: &[Option<Value>]) -> Vec<u8> {
    let mut writer = Writer::default();
    model::put_candidates(&mut writer, candidates);
    writer.into_bytes()
}

/// The bytes that a [`ConflictId`](crate::ConflictId) is the digest of.
pub(crate) fn encode_conflict(
    record: &RecordKey,
    register: &RegisterName,
    candidates: &[Option<Value>],
) -> Vec<u8> {
    let mut writer = Writer::default();
    model::put_key(&mut writer, record);
    model::put_register_name(&mut writer, register);
    model::put_candidates(&mut writer, candidates);
    writer.into_bytes()
}

/// A changeset in its envelope.
pub fn encode_changeset(changeset: &Changeset) -> Vec<u8> {
    encode(Content::Changeset, |w| model::put_changeset(w, changeset))
}

/// The changeset in an envelope; its [digest](Changeset::digest) is of the very bytes read.
///
/// # Errors
/// Damaged bytes, and versions newer than this library.
pub fn decode_changeset(bytes: &[u8]) -> Result<Changeset, DecodeError> {
    decode(Content::Changeset, bytes, model::take_changeset)
}

/// The effects of a log entry in their envelope, for stores that keep the changeset apart.
pub fn encode_effects(entry: &LogEntry) -> Vec<u8> {
    encode(Content::Effects, |w| model::put_effects(w, &entry.nullify, &entry.settle))
}

/// Nullification and settlement, in this order.
///
/// # Errors
/// Damaged bytes, and versions newer than this library.
pub fn decode_effects(bytes: &[u8]) -> Result<(Vec<Adjustment>, Vec<Adjustment>), DecodeError> {
    decode(Content::Effects, bytes, |r| Ok(model::take_effects(r)?))
}

/// A log entry in its envelope. Its position is not part of the bytes: it is the key they are
/// stored under.
pub fn encode_entry(entry: &LogEntry) -> Vec<u8> {
    encode(Content::Entry, |w| {
        model::put_changeset(w, &entry.changeset);
        model::put_effects(w, &entry.nullify, &entry.settle);
    })
}

/// The log entry in an envelope that was stored under `position`.
///
/// # Errors
/// Damaged bytes, and versions newer than this library.
pub fn decode_entry(position: Position, bytes: &[u8]) -> Result<LogEntry, DecodeError> {
    decode(Content::Entry, bytes, |r| {
        let changeset = model::take_changeset(r)?;
        let (nullify, settle) = model::take_effects(r)?;
        Ok(LogEntry { position, changeset, nullify, settle })
    })
}

/// The state of a record in its envelope.
pub fn encode_record(state: &RecordState) -> Vec<u8> {
    encode(Content::Record, |w| model::put_record(w, state))
}

/// The state of a record in an envelope.
///
/// # Errors
/// Damaged bytes, and versions newer than this library.
pub fn decode_record(bytes: &[u8]) -> Result<RecordState, DecodeError> {
    decode(Content::Record, bytes, |r| Ok(model::take_record(r)?))
}

/// A resolution in its envelope.
pub fn encode_resolution(resolution: &Resolution) -> Vec<u8> {
    encode(Content::Resolution, |w| model::put_resolution(w, resolution))
}

/// The resolution in an envelope.
///
/// # Errors
/// Damaged bytes, and versions newer than this library.
pub fn decode_resolution(bytes: &[u8]) -> Result<Resolution, DecodeError> {
    decode(Content::Resolution, bytes, |r| Ok(model::take_resolution(r)?))
}

/// A metadata value in its envelope.
pub fn encode_metadata(value: &[u8]) -> Vec<u8> {
    envelope::seal(Content::Metadata, value)
}

/// The metadata value in an envelope.
///
/// # Errors
/// Damaged bytes, and versions newer than this library.
pub fn decode_metadata(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    envelope::open(Content::Metadata, bytes).map(<[u8]>::to_vec)
}

/// What a bundle begins with: whose changesets it has, and from where to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BundleStart {
    pub(crate) database: DatabaseId,
    pub(crate) replica: ReplicaId,
    pub(crate) basis: VersionVector,
    pub(crate) result: VersionVector,
}

/// What a bundle ends with: how many changesets it has, and the digest of all that comes before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BundleEnd {
    pub(crate) changesets: u64,
    pub(crate) digest: Digest,
}

pub(crate) fn encode_bundle_start(start: &BundleStart) -> Vec<u8> {
    encode(Content::BundleStart, |w| model::put_bundle_start(w, start))
}

pub(crate) fn decode_bundle_start(bytes: &[u8]) -> Result<BundleStart, DecodeError> {
    decode(Content::BundleStart, bytes, |r| Ok(model::take_bundle_start(r)?))
}

pub(crate) fn encode_bundle_end(end: &BundleEnd) -> Vec<u8> {
    encode(Content::BundleEnd, |w| model::put_bundle_end(w, end))
}

pub(crate) fn decode_bundle_end(bytes: &[u8]) -> Result<BundleEnd, DecodeError> {
    decode(Content::BundleEnd, bytes, |r| Ok(model::take_bundle_end(r)?))
}

/// A version vector in its envelope.
pub fn encode_vector(vector: &VersionVector) -> Vec<u8> {
    encode(Content::Vector, |w| model::put_vector(w, vector))
}

/// The version vector in an envelope.
///
/// # Errors
/// Damaged bytes, and versions newer than this library.
pub fn decode_vector(bytes: &[u8]) -> Result<VersionVector, DecodeError> {
    decode(Content::Vector, bytes, |r| Ok(model::take_vector(r)?))
}
