//! Fetching files of a tree: from a directory here, over a network elsewhere.

use std::fmt::Debug;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use prophet_store::{Digest, Error, Unreadable};

/// Where the files of a tree can be read.
///
/// Whoever reads trusts none of it: what comes is checked against the manifest and against itself.
#[async_trait]
pub trait Fetch: Debug + Send + Sync {
    /// Where the tree is, in words a person recognises: a path or URL.
    fn place(&self) -> &str;

    /// Reads a file of the tree, or a part of it.
    ///
    /// # Errors
    /// A file that is not there or cannot be read. Whoever implements this has tried again by
    /// itself where that could help.
    async fn fetch(&self, request: &Request) -> Result<Response, FetchError>;
}

/// What to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The name of the file in the tree, with `/`.
    pub name: String,
    /// Only these bytes of it.
    pub range: Option<Range<u64>>,
    /// Only if it is another one than that which came with this [`etag`](Response::Content::etag).
    pub unless: Option<String>,
    /// From the tree itself, past all caches on the way.
    pub fresh: bool,
    /// A longer answer is an error.
    pub at_most: u64,
}

impl Request {
    /// A file as a whole, which has at most this many bytes.
    pub fn new(name: impl Into<String>, at_most: u64) -> Self {
        Self { name: name.into(), range: None, unless: None, fresh: false, at_most }
    }

    /// Only these bytes of it.
    #[must_use]
    pub const fn range(mut self, range: Range<u64>) -> Self {
        self.at_most = range.end.saturating_sub(range.start);
        self.range = Some(range);
        self
    }

    /// Only if it changed.
    #[must_use]
    pub fn unless(mut self, etag: Option<String>) -> Self {
        self.unless = etag;
        self
    }

    /// Past all caches, or not.
    #[must_use]
    pub const fn fresh(mut self, fresh: bool) -> Self {
        self.fresh = fresh;
        self
    }
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Response {
    /// The file is the one that the asker has.
    Unchanged,
    /// The file, or the part of it that was asked for.
    #[non_exhaustive]
    Content {
        /// Its bytes: never more than asked for, and fewer where the file ends before.
        bytes: Vec<u8>,
        /// What to ask with later whether it changed; opaque to everyone else.
        etag: Option<String>,
    },
}

impl Response {
    /// A [`Content`](Self::Content).
    pub const fn content(bytes: Vec<u8>, etag: Option<String>) -> Self {
        Self::Content { bytes, etag }
    }
}

/// A file of a tree could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// There is no such file.
    #[error("{place} is not there; check the address, or ask whoever publishes it")]
    #[non_exhaustive]
    NotFound {
        /// Which file, where.
        place: String,
    },
    /// It may not be read, or written.
    #[error("{place} is refused: {why}; get access to it, or check the address")]
    #[non_exhaustive]
    Denied {
        /// Which file, where.
        place: String,
        /// The status of HTTP, where that was it.
        status: Option<u16>,
        /// What was answered.
        why: String,
    },
    /// It failed for now.
    #[error("{place} does not answer as it should: {why}; try again later")]
    #[non_exhaustive]
    Temporary {
        /// Which file, where.
        place: String,
        /// What happened.
        why: String,
    },
    /// The answer, or the name, is not what it can be.
    #[error("{place} cannot be used: {why}")]
    #[non_exhaustive]
    Invalid {
        /// Which file, where.
        place: String,
        /// What is wrong.
        why: String,
    },
}

impl FetchError {
    /// A [`NotFound`](Self::NotFound).
    pub fn not_found(place: impl Into<String>) -> Self {
        Self::NotFound { place: place.into() }
    }

    /// A [`Denied`](Self::Denied).
    pub fn denied(place: impl Into<String>, status: Option<u16>, why: impl Into<String>) -> Self {
        Self::Denied { place: place.into(), status, why: why.into() }
    }

    /// A [`Temporary`](Self::Temporary).
    pub fn temporary(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Temporary { place: place.into(), why: why.into() }
    }

    /// An [`Invalid`](Self::Invalid).
    pub fn invalid(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Invalid { place: place.into(), why: why.into() }
    }

    /// The same for programs.
    pub const fn cause(&self) -> Unreadable {
        match self {
            Self::NotFound { .. } => Unreadable::NotFound,
            Self::Denied { .. } => Unreadable::Denied,
            Self::Temporary { .. } => Unreadable::Temporary,
            Self::Invalid { .. } => Unreadable::Invalid,
        }
    }

    /// That a source of changesets cannot be read, or not on.
    pub fn at(&self, place: impl Into<String>) -> Error {
        Error::unreadable(place, self.to_string(), self.cause())
    }

    pub(crate) fn of_io(path: &Path, error: &std::io::Error) -> Self {
        let place = path.display().to_string();
        match error.kind() {
            ErrorKind::NotFound => Self::not_found(place),
            ErrorKind::PermissionDenied => Self::denied(place, None, error.to_string()),
            ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::InvalidFilename => Self::invalid(place, error.to_string()),
            _ => Self::temporary(place, error.to_string()),
        }
    }
}

/// Checks a name of a file in a tree: parts of letters, digits, `-`, `_`, `.` and `=`, with `/` between
/// them, none of which begins with `.`. Names come from manifests that nobody vouches for: none
/// leads out of the tree, and each means the same in a path, a URL and a bucket.
///
/// # Errors
/// Any other name.
pub fn check_name(name: &str) -> Result<(), FetchError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=');
    let good = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(fits);
    match name.len() <= 255 && name.split('/').all(good) {
        true => Ok(()),
        false => Err(FetchError::invalid(format!("{name:?}"), "it is no name of a file in a tree")),
    }
}

/// The tree in a directory. Reading blocks the calling thread.
#[derive(Debug, Clone)]
pub struct DirectoryFetch {
    root: PathBuf,
    place: String,
}

impl DirectoryFetch {
    /// The tree in the directory `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let place = root.display().to_string();
        Self { root, place }
    }

    /// The path of a file of the tree.
    pub(crate) fn path(&self, name: &str) -> Result<PathBuf, FetchError> {
        check_name(name)?;
        Ok(self.root.join(name))
    }

    fn read(path: &Path, request: &Request) -> Result<Vec<u8>, FetchError> {
        let failed = |error: std::io::Error| FetchError::of_io(path, &error);
        let mut file = File::open(path).map_err(failed)?;
        let most = match &request.range {
            Some(range) => {
                file.seek(SeekFrom::Start(range.start)).map_err(failed)?;
                range.end.saturating_sub(range.start)
            }
            None => request.at_most.saturating_add(1),
        };
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > request.at_most {
            let why = format!("it has more than {} bytes", request.at_most);
            return Err(FetchError::invalid(path.display().to_string(), why));
        }
        Ok(bytes)
    }
}

#[async_trait]
impl Fetch for DirectoryFetch {
    fn place(&self) -> &str {
        &self.place
    }

    async fn fetch(&self, request: &Request) -> Result<Response, FetchError> {
        let bytes = Self::read(&self.path(&request.name)?, request)?;
        // A time stamp may be the same for two files that were written one right after the other.
        let etag = request.range.is_none().then(|| Digest::of(&bytes).to_string());
        match etag.is_some() && etag == request.unless {
            true => Ok(Response::Unchanged),
            false => Ok(Response::content(bytes, etag)),
        }
    }
}

#[async_trait]
impl<F: Fetch + ?Sized> Fetch for Arc<F> {
    fn place(&self) -> &str {
        (**self).place()
    }

    async fn fetch(&self, request: &Request) -> Result<Response, FetchError> {
        (**self).fetch(request).await
    }
}

#[async_trait]
impl<F: Fetch + ?Sized> Fetch for Box<F> {
    fn place(&self) -> &str {
        (**self).place()
    }

    async fn fetch(&self, request: &Request) -> Result<Response, FetchError> {
        (**self).fetch(request).await
    }
}

#[async_trait]
impl<F: Fetch + ?Sized> Fetch for &F {
    fn place(&self) -> &str {
        (**self).place()
    }

    async fn fetch(&self, request: &Request) -> Result<Response, FetchError> {
        (**self).fetch(request).await
    }
}
