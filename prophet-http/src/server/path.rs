//! Addresses: what they name, and how they are written.

use std::str::FromStr;

use axum::extract::{FromRequestParts, OriginalUri, RawPathParams};
use hyper::http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use prophet_store::{PropertyName, RecordId, RecordKey, RecordType};

use super::problem::{Kind, Problem};

/// What the last part of an address ends with.
const SUFFIX: &str = ".json";
/// All but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The parts of the address that vary, decoded, the last one without its suffix.
async fn params<const COUNT: usize, S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
) -> Result<[String; COUNT], Problem> {
    let path = parts.uri.path().to_owned();
    let nothing = || {
        Problem::new(
            Kind::NoSuchRoute,
            format!("{path:?} is no address of this API: it does not end with {SUFFIX}"),
        )
    };
    let params = RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|rejection| Problem::malformed(format!("the address: {rejection}")))?;
    let mut params: Vec<String> = params.iter().map(|(_, value)| value.to_owned()).collect();
    let last = params.last_mut().ok_or_else(nothing)?;
    *last = last.strip_suffix(SUFFIX).ok_or_else(nothing)?.to_owned();
    params.try_into().map_err(|_| nothing())
}

fn parse<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: T::Err| Problem::malformed(format!("the address: {error}")))
}

/// `{type}.json`
pub(super) struct TypePath(pub(super) RecordType);

impl<S: Send + Sync> FromRequestParts<S> for TypePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let [record_type] = params(parts, state).await?;
        Ok(Self(parse(&record_type)?))
    }
}

/// `{type}/{id}.json`
pub(super) struct RecordPath(pub(super) RecordKey);

impl<S: Send + Sync> FromRequestParts<S> for RecordPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let [record_type, id] = params(parts, state).await?;
        Ok(Self(RecordKey::new(parse(&record_type)?, parse::<RecordId>(&id)?)))
    }
}

/// `{type}/{id}/{property}.json`
pub(super) struct PropertyPath(pub(super) RecordKey, pub(super) PropertyName);

impl<S: Send + Sync> FromRequestParts<S> for PropertyPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let [record_type, id, property] = params(parts, state).await?;
        let key = RecordKey::new(parse(&record_type)?, parse::<RecordId>(&id)?);
        Ok(Self(key, parse(&property)?))
    }
}

/// Where the API is within the server it was put into: nothing, or such as `/api`.
pub(super) struct Mount(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Mount {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let OriginalUri(original) = match parts.extensions.get() {
            Some(original) => original,
            None => return Ok(Self(String::new())),
        };
        let mount = original.path().strip_suffix(parts.uri.path()).unwrap_or_default();
        Ok(Self(mount.to_owned()))
    }
}

impl Mount {
    /// The address of a record.
    pub(super) fn record(&self, key: &RecordKey) -> String {
        format!("{}/records/{}/{}{SUFFIX}", self.0, encode(key.record_type().as_str()), key.id())
    }

    /// The address of the conflicts of a record.
    pub(super) fn conflicts(&self, key: &RecordKey) -> String {
        format!("{}/conflicts/{}/{}{SUFFIX}", self.0, encode(key.record_type().as_str()), key.id())
    }

    /// The address of a property.
    pub(super) fn property(&self, key: &RecordKey, name: &PropertyName) -> String {
        let record_type = encode(key.record_type().as_str());
        format!("{}/records/{record_type}/{}/{}{SUFFIX}", self.0, key.id(), encode(name.as_str()))
    }
}

fn encode(name: &str) -> impl std::fmt::Display {
    utf8_percent_encode(name, RESERVED)
}
