//! What a server answered, as far as it says what to do.

use std::error::Error as StdError;
use std::ops::Range;
use std::time::Duration;

use prophet_files::FetchError;
use reqwest::header::{
    CONTENT_RANGE, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
    RETRY_AFTER,
};
use reqwest::{Response, StatusCode};

/// Why there is no answer, and whether to try again.
pub(crate) struct Failure {
    pub(crate) error: FetchError,
    pub(crate) again: Again,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    No,
    After(Option<Duration>),
}

impl Failure {
    pub(crate) const fn lasting(error: FetchError) -> Self {
        Self { error, again: Again::No }
    }

    pub(crate) fn passing(place: &str, why: impl Into<String>) -> Self {
        Self { error: FetchError::temporary(place, why), again: Again::After(None) }
    }
}

/// How a file is told from a later one: by its tag, or by when it was changed.
const TAGGED: &str = "etag ";
const CHANGED: &str = "last-modified ";

/// What to ask with later whether the file changed.
pub(crate) fn mark_of(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let tag = text(ETAG).map(|tag| format!("{TAGGED}{tag}"));
    tag.or_else(|| text(LAST_MODIFIED).map(|time| format!("{CHANGED}{time}")))
}

/// The header that asks whether the file changed.
pub(crate) fn condition(mark: &str) -> Option<(HeaderName, &str)> {
    let tag = mark.strip_prefix(TAGGED).map(|tag| (IF_NONE_MATCH, tag));
    tag.or_else(|| mark.strip_prefix(CHANGED).map(|time| (IF_MODIFIED_SINCE, time)))
}

/// What a part that is to fit to another one can be asked for with: a tag says so only if it is a
/// strong one.
pub(crate) fn exact(mark: &str) -> Option<&str> {
    match mark.strip_prefix(TAGGED) {
        Some(tag) => (!tag.starts_with("W/")).then_some(tag),
        None => mark.strip_prefix(CHANGED),
    }
}

/// The bytes that a partial answer says it has.
pub(crate) fn content_range(headers: &HeaderMap) -> Option<Range<u64>> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, _) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then(|| first..last.saturating_add(1))
}

/// What an answer means that has nothing of the file.
pub(crate) fn refusal(place: &str, response: &Response) -> Failure {
    let status = response.status();
    let why = format!("the server answers {status}");
    let code = status.as_u16();
    match code {
        404 | 410 => Failure::lasting(FetchError::not_found(place)),
        401 | 403 | 407 | 451 => Failure::lasting(FetchError::denied(place, Some(code), why)),
        408 | 425 | 429 | 500..=599 => {
            let after = response.headers().get(RETRY_AFTER);
            let seconds = after.and_then(|after| after.to_str().ok()?.trim().parse().ok());
            let again = Again::After(seconds.map(Duration::from_secs));
            Failure { error: FetchError::temporary(place, why), again }
        }
        _ => Failure::lasting(FetchError::invalid(place, why)),
    }
}

/// An error of the client, with all that it says of its causes.
pub(crate) fn describe(error: &(dyn StdError + 'static)) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.ends_with(&cause_words) {
            words.push_str(": ");
            words.push_str(&cause_words);
        }
        source = cause.source();
    }
    words
}

/// Whether TLS is what failed: most often a certificate that nobody here trusts.
pub(crate) fn is_tls(error: &(dyn StdError + 'static)) -> bool {
    let io = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>()
        || io.is_some_and(|inner| inner.is::<rustls::Error>())
        || error.source().is_some_and(is_tls)
}

pub(crate) fn not_sent(place: &str, error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let why = describe(&error);
    match error.is_redirect() || error.is_builder() || is_tls(&error) {
        true => Failure::lasting(FetchError::invalid(place, why)),
        false => Failure::passing(place, why),
    }
}

/// Whether an answer brings something of the file.
pub(crate) fn brings(status: StatusCode) -> bool {
    matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT)
}
