//! How patient to be.

use std::fmt;
use std::time::Duration;

/// How to read and write over HTTP; what is not said suits servers far away and slow lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    pub(crate) connect: Duration,
    pub(crate) first_byte: Duration,
    pub(crate) stall: Duration,
    pub(crate) retries: u32,
    pub(crate) pause: Duration,
    pub(crate) longest_pause: Duration,
    pub(crate) proxy: bool,
    token: Option<Secret>,
}

/// What is not shown.
#[derive(Clone, PartialEq, Eq)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            first_byte: Duration::from_secs(60),
            stall: Duration::from_secs(30),
            retries: 5,
            pause: Duration::from_millis(300),
            longest_pause: Duration::from_secs(60),
            proxy: true,
            token: None,
        }
    }
}

impl HttpOptions {
    /// What suits most.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long it may take to connect; 15 seconds unless this is said.
    #[must_use]
    pub const fn connect_within(mut self, time: Duration) -> Self {
        self.connect = time;
        self
    }

    /// How long a server may take to begin its answer; 60 seconds unless this is said.
    #[must_use]
    pub const fn answer_within(mut self, time: Duration) -> Self {
        self.first_byte = time;
        self
    }

    /// How long an answer may stand still; 30 seconds unless this is said. How long all of it takes
    /// does not matter.
    #[must_use]
    pub const fn stall_within(mut self, time: Duration) -> Self {
        self.stall = time;
        self
    }

    /// How often to try again in a row where that may help; 5 times unless this is said.
    #[must_use]
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// The first pause before trying again, and the longest. Each is twice as long as the one
    /// before, give or take a half; a server that says how long to wait is heeded up to the
    /// longest. From 300 milliseconds up to a minute unless this is said.
    #[must_use]
    pub const fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.pause = first;
        self.longest_pause = longest;
        self
    }

    /// Past the proxies that the environment names.
    #[must_use]
    pub const fn no_proxy(mut self) -> Self {
        self.proxy = false;
        self
    }

    /// Shows this token to the server, as `Authorization: Bearer`. Without HTTPS everybody on the way
    /// sees it.
    #[must_use]
    pub fn bearer(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Secret(token.into()));
        self
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_ref().map(|Secret(token)| token.as_str())
    }
}
