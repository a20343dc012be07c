//! What a request cannot have, as `application/problem+json`.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, StatusCode, Uri};
use prophet_store::{Error, NameError, StoreError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::protocol::{BASIS_MISSING, NO_SUCH_ROUTE, OTHER_PROTOCOL, PROBLEM, SORT};

/// The sorts of problems. Their names are part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Malformed,
    Unauthorized,
    Forbidden,
    ReadOnly,
    CrossSite,
    NoSuchRoute,
    NotFound,
    MethodNotAllowed,
    TooSlow,
    Conflict,
    PreconditionFailed,
    TooLarge,
    UnsupportedMediaType,
    Misdirected,
    Invalid,
    TooManyRequests,
    Failed,
    Unavailable,
    Full,
    OtherProtocol,
    OtherDatabase,
    FromItself,
    BasisMissing,
    BadChangeset,
}

impl Kind {
    /// The status, the name, and the title.
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::Malformed => (S::BAD_REQUEST, "malformed", "The request makes no sense"),
            Self::Unauthorized => (S::UNAUTHORIZED, "unauthorized", "A token is needed"),
            Self::Forbidden => (S::FORBIDDEN, "forbidden", "This is not allowed"),
            Self::ReadOnly => (S::FORBIDDEN, "read-only", "Nothing may be written here"),
            Self::CrossSite => (S::FORBIDDEN, "cross-site", "Another site may not write here"),
            Self::NoSuchRoute => (S::NOT_FOUND, NO_SUCH_ROUTE, "There is no such address"),
            Self::NotFound => (S::NOT_FOUND, "not-found", "It is not there"),
            Self::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "method-not-allowed", "The address has no such method")
            }
            Self::TooSlow => (S::REQUEST_TIMEOUT, "too-slow", "The request took too long to come"),
            Self::Conflict => (S::CONFLICT, "conflict", "It is not as the request takes it to be"),
            Self::PreconditionFailed => {
                (S::PRECONDITION_FAILED, "precondition-failed", "The record has changed")
            }
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "too-large", "The request is too large"),
            Self::UnsupportedMediaType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "A body of this type is not understood here",
            ),
            Self::Misdirected => {
                (S::MISDIRECTED_REQUEST, "misdirected", "This server does not go by that name")
            }
            Self::Invalid => (S::UNPROCESSABLE_ENTITY, "invalid", "This cannot be stored"),
            Self::TooManyRequests => {
                (S::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests at once")
            }
            Self::Failed => (S::INTERNAL_SERVER_ERROR, "failed", "The server failed"),
            Self::Unavailable => (S::SERVICE_UNAVAILABLE, "unavailable", "Not just now"),
            Self::Full => (S::INSUFFICIENT_STORAGE, "full", "The server has no room left"),
            Self::OtherProtocol => {
                (S::BAD_REQUEST, OTHER_PROTOCOL, "This version of the protocol is not spoken here")
            }
            Self::OtherDatabase => (S::CONFLICT, "other-database", "That is of another database"),
            Self::FromItself => (S::CONFLICT, "from-itself", "That is of this very replica"),
            Self::BasisMissing => (S::CONFLICT, BASIS_MISSING, "That builds on what is not here"),
            Self::BadChangeset => {
                (S::UNPROCESSABLE_ENTITY, "bad-changeset", "A changeset cannot be")
            }
        }
    }
}

/// What a client is told of why its request was refused, or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(super) struct Problem {
    kind: Kind,
    detail: String,
    header: Option<Box<(HeaderName, HeaderValue)>>,
    /// What is wrong with each record and property, where rules say so.
    problems: Vec<Broken>,
}

/// A problem as `application/problem+json` (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// Which sort of problem it is: a name that programs can rely on.
    #[serde(rename = "type")]
    #[schema(example = "urn:prophet:problem:not-found")]
    kind: String,
    /// The same in words.
    title: &'static str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong, where, and what to do.
    detail: String,
    /// What is wrong with each record and property, where the rules of a type say so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    problems: Vec<Broken>,
}

/// A rule of a type that is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Broken {
    /// The record, as `type/id`.
    record: String,
    /// The property, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    property: Option<String>,
    /// What the rule says.
    message: String,
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), header: None, problems: Vec::new() }
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Kind::Malformed, detail)
    }

    /// Something passes by itself; whoever asks may do so again in a second.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        let again = HeaderValue::from_static("1");
        Self::new(Kind::Unavailable, detail).with_header(RETRY_AFTER, again)
    }

    #[must_use]
    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some(Box::new((name, value)));
        self
    }

    /// A failure of ours: the log gets all of it, the client nothing about the insides of the server.
    pub(super) fn failed(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %error, "a request failed");
        Self::new(
            Kind::Failed,
            "the server could not read or write its replica; its log says why; ask whoever runs it",
        )
    }

    fn of_store(error: &StoreError) -> Self {
        match error {
            StoreError::OutcomeUnknown { .. } => {
                tracing::warn!(%error, "the outcome of a commit is unknown");
                Self::unavailable(
                    "whether this was written is not known yet; read the record before you try \
                     again",
                )
            }
            StoreError::Busy { .. } | StoreError::Locked { .. } | StoreError::StaleBase { .. } => {
                tracing::warn!(%error, "the replica is busy");
                Self::unavailable("the replica is busy; nothing was written; try again")
            }
            StoreError::Closed { .. } => Self::unavailable(
                "the replica is closed, for the server is about to end; try again",
            ),
            StoreError::ReadOnly { .. } => Self::new(
                Kind::ReadOnly,
                "the replica of this server can only be read; write to the one that it comes from",
            ),
            StoreError::Full { .. } => {
                tracing::error!(%error, "no room");
                Self::new(
                    Kind::Full,
                    "there is no room left where the replica is kept; nothing was written; ask \
                     whoever runs the server",
                )
            }
            StoreError::Limit(limit) => Self::new(Kind::TooLarge, limit.to_string()),
            other => Self::failed(other),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Store(error) => return Self::of_store(error),
            Error::App(given_up) => {
                return match given_up.downcast_ref::<Self>() {
                    Some(problem) => problem.clone(),
                    None => Self::failed(&**given_up),
                };
            }
            Error::Rejected(broken) => {
                let broken = broken.iter().map(|problem| Broken {
                    record: problem.record.to_string(),
                    property: problem.property.as_ref().map(ToString::to_string),
                    message: problem.message.clone(),
                });
                let problems = broken.collect();
                return Self { problems, ..Self::new(Kind::Invalid, error.to_string()) };
            }
            Error::NoSuchRecord { .. }
            | Error::NoSuchChangeset { .. }
            | Error::NoSuchPosition { .. }
            | Error::NoSuchLuid { .. } => Kind::NotFound,
            Error::RecordExists { .. }
            | Error::NotDeleted { .. }
            | Error::ConflictChanged { .. }
            | Error::CannotUndo { .. } => Kind::Conflict,
            Error::ReservedType { .. } => Kind::Forbidden,
            Error::OtherDatabase { .. } => Kind::OtherDatabase,
            Error::PullFromItself { .. } => Kind::FromItself,
            Error::BasisMissing { .. } => Kind::BasisMissing,
            Error::BadChangeset { .. } => Kind::BadChangeset,
            Error::CursorOfAnotherOrder
            | Error::ContestedThen
            | Error::BadSource { .. }
            | Error::Name(_)
            | Error::Pattern(_) => Kind::Malformed,
            Error::NotAChoice { .. } | Error::Invalid(_) | Error::Typed(_) => Kind::Invalid,
            other => return Self::failed(other),
        };
        Self::new(kind, error.to_string())
    }
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        Self::malformed(error.to_string())
    }
}

/// So that an edit can be given up for a problem.
impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::App(Arc::new(problem))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, name, title) = self.kind.parts();
        let body = ProblemBody {
            kind: format!("{SORT}{name}"),
            title,
            status: status.as_u16(),
            detail: self.detail,
            problems: self.problems,
        };
        // Texts and numbers, which always are JSON.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let kind = [(CONTENT_TYPE, HeaderValue::from_static(PROBLEM))];
        let mut response = (status, kind, body).into_response();
        if let Some(header) = self.header {
            let (name, value) = *header;
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// Where there is no route.
pub(super) async fn no_such_route(uri: Uri) -> Problem {
    Problem::new(
        Kind::NoSuchRoute,
        format!("{:?} is no address of this API; /openapi.json has them all", uri.path()),
    )
}

/// Where there is a route, but not for this method; which there are is in `Allow`.
pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        format!("{:?} has no method {method}; the header Allow names those it has", uri.path()),
    )
}
