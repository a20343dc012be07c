//! What to write, what came of it, and what went wrong.

use prophet_store::{Error, Position, StoreError};

/// How a site is to be written.
///
/// ```
/// use prophet_site::SiteOptions;
///
/// let options = SiteOptions::new("Our bugs").base_url("https://example.org/bugs")?.feed_entries(50);
/// # Ok::<(), prophet_site::SiteError>(())
/// ```
#[derive(Debug, Clone)]
pub struct SiteOptions {
    pub(crate) title: String,
    /// Ends with `/`.
    pub(crate) base: Option<String>,
    pub(crate) feed_entries: usize,
    pub(crate) since: Option<Position>,
    pub(crate) replace: bool,
}

impl SiteOptions {
    /// A site of this title, written in full, with a feed of 100 entries.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), base: None, feed_entries: 100, since: None, replace: false }
    }

    /// Where the site will be, for the links of the feed; without it they are relative, which not
    /// every reader of feeds follows.
    ///
    /// # Errors
    /// What is no `http` or `https` address of a directory, in ASCII.
    pub fn base_url(mut self, url: impl Into<String>) -> Result<Self, SiteError> {
        let mut url = url.into();
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let fits = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}?#".contains(c);
        let valid = host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'));
        if !valid || !url.chars().all(fits) {
            return Err(SiteError::BaseUrl { given: url });
        }
        if !url.ends_with('/') {
            url.push('/');
        }
        self.base = Some(url);
        Ok(self)
    }

    /// Also in the place of files that are of no site of Prophet's, for those who know what is there
    /// before they write.
    #[must_use]
    pub const fn replace(mut self) -> Self {
        self.replace = true;
        self
    }

    /// Whether files that are of no site of Prophet's may be replaced.
    pub const fn replaces(&self) -> bool {
        self.replace
    }

    /// The title.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Where the site will be, if that was said; it ends with `/`.
    pub fn base(&self) -> Option<&str> {
        self.base.as_deref()
    }

    /// How many of the latest changesets the feed has.
    #[must_use]
    pub const fn feed_entries(mut self, entries: usize) -> Self {
        self.feed_entries = entries;
        self
    }

    /// Writes only the pages of records that log entries after this position touched, and what lists
    /// records and changes. It is for where the site was written up to that position, which
    /// [`SiteSummary::position`] said, from the same replica and with the same title; a position
    /// beyond the end of the log is not of that replica, so that all is written.
    ///
    /// What is there then is what writing it in full gives. Only pages which say that a record is
    /// not there may be left over, where history grew so long that it shows no link to them any more.
    #[must_use]
    pub const fn since(mut self, position: Position) -> Self {
        self.since = Some(position);
        self
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SiteSummary {
    /// How many files were put, all in all.
    pub files: u64,
    /// How many of them are pages of records.
    pub records: u64,
    /// The end of the log that the site shows. What others write meanwhile may show too, and is
    /// written again by the next [`SiteOptions::since`].
    pub position: Position,
}

/// Why a site was not written, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    /// The base is no address.
    #[error(
        "{given:?} is no base for a site; give an address of a directory in ASCII, such as \
         https://example.org/bugs/"
    )]
    #[non_exhaustive]
    BaseUrl {
        /// What was given.
        given: String,
    },
    /// There is something that is of no site of Prophet's. It was left untouched.
    #[error(
        "{name} in {place} is not of a site of Prophet's; write the site elsewhere, or say that what is \
         there is to be replaced"
    )]
    #[non_exhaustive]
    Occupied {
        /// Where the site was to be.
        place: String,
        /// The file.
        name: String,
    },
    /// The database cannot be read.
    #[error("the site cannot be written, because the database cannot be read: {0}")]
    Database(#[source] Error),
    /// A file cannot be put where it belongs.
    #[error("the site cannot be written beyond {name}: {why}")]
    #[non_exhaustive]
    Sink {
        /// The name of the file.
        name: String,
        /// What the sink said.
        #[source]
        why: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl SiteError {
    /// An [`Occupied`](Self::Occupied).
    pub fn occupied(place: impl Into<String>, name: impl Into<String>) -> Self {
        Self::Occupied { place: place.into(), name: name.into() }
    }

    /// A file that could not be put where it should be.
    pub fn sink(
        name: impl Into<String>,
        why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Sink { name: name.into(), why: why.into() }
    }
}

impl From<Error> for SiteError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for SiteError {
    fn from(error: StoreError) -> Self {
        Self::Database(error.into())
    }
}
