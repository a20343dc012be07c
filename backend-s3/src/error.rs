//! What the service says, as errors of the store that say what to do.

use std::error::Error as _;
use std::fmt;

use object_store::Error;
use prophet_store::StoreError;

/// What a failed request means for whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The object is not there.
    Missing,
    /// A condition was not met: the object is there, or is another one.
    Condition,
    /// The service answered, and did nothing: to ask again changes nothing.
    Refused,
    /// Nobody knows what the service did; to ask again may help.
    Unknown,
}

/// A failed request: what it means, and the words for people.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) meaning: Meaning,
    why: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Failed {}

impl Failed {
    pub(crate) const fn new(meaning: Meaning, why: String) -> Self {
        Self { meaning, why }
    }

    /// The error of the store, for what was being done.
    pub(crate) fn at(self, place: &str, action: &str) -> StoreError {
        match self.meaning {
            Meaning::Refused if self.why.starts_with(NO_BUCKET) => {
                StoreError::not_found(format!("{place} ({})", self.why))
            }
            Meaning::Refused if self.why.starts_with(BEYOND) => {
                StoreError::corrupt(place, self.why)
            }
            _ => StoreError::io(place, action, self),
        }
    }
}

const NO_BUCKET: &str = "there is no such bucket";
/// It was cut off, for nothing is asked for that was not there when it was written.
const BEYOND: &str = "the object ends before what is to be read of it";

/// What people are told for the codes that services answer with.
const ADVICE: [(&str, &str); 13] = [
    ("InvalidRange", BEYOND),
    ("NoSuchBucket", NO_BUCKET),
    ("ContainerNotFound", NO_BUCKET),
    ("The specified bucket does not exist", NO_BUCKET),
    ("RequestTimeTooSkewed", "the clock of this machine is too far off for the service; set it"),
    ("RequestExpired", "the clock of this machine is too far off for the service; set it"),
    ("ExpiredToken", "the credentials have expired; get new ones"),
    ("InvalidAccessKeyId", "the service does not know the access key; check the credentials"),
    (
        "SignatureDoesNotMatch",
        "the secret key, or the region, is not what the service expects; check the credentials",
    ),
    ("AuthorizationHeaderMalformed", "the region is not that of the bucket; check the region"),
    ("PermanentRedirect", "the bucket is in another region or at another endpoint; check both"),
    ("QuotaExceeded", "there is no room left in the bucket"),
    ("InsufficientStorage", "there is no room left in the bucket"),
];

/// What an error of a client says, with all that is behind it.
fn text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let more = inner.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = inner.source();
    }
    text
}

/// Whether the client sent the request more than once, so that an earlier one may still arrive.
fn was_sent_again(text: &str) -> bool {
    text.contains(" retries, max_retries")
}

/// The status of HTTP that an error speaks of.
fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// What a failed request comes to.
pub(crate) fn failed(error: &Error) -> Failed {
    let text = text(error);
    let advice = ADVICE.iter().find(|(code, _)| text.contains(code)).map(|(_, advice)| *advice);
    let lost = advice == Some(NO_BUCKET);
    let meaning = match error {
        Error::NotFound { .. } if lost => Meaning::Refused,
        Error::NotFound { .. } => Meaning::Missing,
        _ if advice == Some(BEYOND) => Meaning::Refused,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => Meaning::Condition,
        Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. }
        | Error::InvalidPath { .. }
        | Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::UnknownConfigurationKey { .. } => Meaning::Refused,
        _ if is_unsupported(error) => Meaning::Refused,
        _ => match status(&text) {
            Some(408 | 409 | 425 | 429) => Meaning::Unknown,
            Some(400..=499) => Meaning::Refused,
            _ => Meaning::Unknown,
        },
    };
    let meaning = match meaning {
        Meaning::Refused if was_sent_again(&text) => Meaning::Unknown,
        meaning => meaning,
    };
    let denied = matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. });
    let advice = advice.or_else(|| {
        denied.then_some("it is denied; check the credentials and what they may do in the bucket")
    });
    let why = match advice {
        Some(advice) => format!("{advice} ({text})"),
        None => text,
    };
    Failed::new(meaning, why)
}

/// Whether the service knows no conditional writes at all, and says so.
pub(crate) fn is_unsupported(error: &Error) -> bool {
    match error {
        Error::NotImplemented { .. } | Error::NotSupported { .. } => true,
        other => {
            let text = text(other);
            status(&text) == Some(501) || text.contains("NotImplemented")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> Error {
        Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn what_is_refused_is_told_from_what_is_unknown() {
        let status = |code: &str| generic(&format!("non-2xx status code: {code}: x"));
        for (error, meaning) in [
            (status("400 Bad Request"), Meaning::Refused),
            (status("501 Not Implemented"), Meaning::Refused),
            (status("500 Internal Server Error"), Meaning::Unknown),
            (status("503 Slow Down"), Meaning::Unknown),
            (status("429 Too Many Requests"), Meaning::Unknown),
            (generic("connection reset"), Meaning::Unknown),
            // An earlier one may have arrived, or may still arrive.
            (
                generic("in 1s, after 2 retries, max_retries: 3 - status code: 400 Bad Request"),
                Meaning::Unknown,
            ),
        ] {
            assert_eq!(failed(&error).meaning, meaning, "{error}");
        }
        let denied = Error::PermissionDenied { path: "a".into(), source: "no".into() };
        assert_eq!(failed(&denied).meaning, Meaning::Refused);
        assert!(failed(&denied).to_string().contains("check the credentials"));
    }

    #[test]
    fn a_bucket_that_is_not_there_is_not_an_object_that_is_not_there() {
        let gone = |source: &str| Error::NotFound {
            path: "commits/1".into(),
            source: source.to_owned().into(),
        };
        assert_eq!(failed(&gone("NoSuchKey")).meaning, Meaning::Missing);
        let error = failed(&gone("<Code>NoSuchBucket</Code>")).at("s3://bugs", "reading");
        assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
        assert!(error.to_string().contains("no such bucket"), "{error}");
    }

    #[test]
    fn an_object_that_was_cut_off_is_damaged() {
        // Not every client passes the status on.
        for text in ["status code: 416: <Code>InvalidRange</Code>", "<Code>InvalidRange</Code>"] {
            let error = failed(&generic(text));
            assert_eq!(error.meaning, Meaning::Refused);
            let error = error.at("s3://bugs", "reading");
            assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        }
    }

    #[test]
    fn people_are_told_what_to_do() {
        let skewed = Error::PermissionDenied {
            path: "a".into(),
            source: "<Code>RequestTimeTooSkewed</Code>".into(),
        };
        let error = failed(&skewed).at("s3://bugs", "committing");
        assert!(matches!(error, StoreError::Io { .. }), "nothing is damaged: {error}");
        assert!(error.to_string().contains("clock of this machine"), "{error}");
        assert!(is_unsupported(&generic("status code: 501 Not Implemented: NotImplemented")));
    }
}
