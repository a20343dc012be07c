//! What a server lets its clients do.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use hyper::header::HeaderValue;
use prophet_store::Creator;

/// How to serve a replica. What is not said suits a server that everybody may read from and nobody
/// may write to.
///
/// ```
/// use prophet_http::server::{ServerOptions, Token};
///
/// let ada = Token::new("a-long-secret")?.of("ada@example.org".parse()?);
/// let options = ServerOptions::new().token(ada).body_limit(1 << 20);
/// # let _ = options;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ServerOptions {
    pub(super) tokens: Vec<Token>,
    pub(super) open: bool,
    pub(super) private: bool,
    pub(super) read_only: bool,
    pub(super) body_limit: usize,
    pub(super) body_time: Duration,
    pub(super) header_time: Duration,
    pub(super) request_time: Duration,
    pub(super) send_time: Duration,
    pub(super) grace: Duration,
    pub(super) requests: usize,
    pub(super) transfers: usize,
    pub(super) connections: usize,
    pub(super) feeds: usize,
    pub(super) feed_time: Duration,
    pub(super) feed_interval: Duration,
    pub(super) rate: Option<NonZeroU32>,
    pub(super) origins: Vec<HeaderValue>,
    pub(super) hosts: Vec<String>,
    pub(super) tree: Option<PathBuf>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            tokens: Vec::new(),
            open: false,
            private: false,
            read_only: false,
            body_limit: 4 << 20,
            body_time: Duration::from_secs(30),
            header_time: Duration::from_secs(30),
            request_time: Duration::from_secs(60),
            send_time: Duration::from_secs(60),
            grace: Duration::from_secs(30),
            requests: 1_024,
            transfers: 64,
            connections: 4_096,
            feeds: 1_024,
            feed_time: Duration::from_secs(15 * 60),
            feed_interval: Duration::from_secs(1),
            rate: None,
            origins: Vec::new(),
            hosts: Vec::new(),
            tree: None,
        }
    }
}

impl ServerOptions {
    /// Reading is for everybody, writing for nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whoever shows this token may write, and read what is [private](Self::private). There can be
    /// several.
    #[must_use]
    pub fn token(mut self, token: Token) -> Self {
        self.tokens.push(token);
        self
    }

    /// Everybody may write, without a token. Pages of other sites still may not, see
    /// [`allow_origin`](Self::allow_origin).
    #[must_use]
    pub const fn open(mut self) -> Self {
        self.open = true;
        self
    }

    /// Reading needs a token too, but for `/health` and `/openapi.json`.
    #[must_use]
    pub const fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Nobody may write, whatever else is said.
    #[must_use]
    pub const fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// The largest body of a request, in bytes; 4 MiB unless this is said. Sync has limits of its own.
    #[must_use]
    pub const fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// How long a request may take to come: its head, and then its body; 30 seconds each unless this
    /// is said. A connection without a request is closed after as long. Of the head this is true
    /// under [`serve`](super::serve()) only.
    #[must_use]
    pub const fn receive_within(mut self, head: Duration, body: Duration) -> Self {
        self.header_time = head;
        self.body_time = body;
        self
    }

    /// How long the answer to a request may take; 60 seconds unless this is said. Change feeds, sync
    /// and files have limits of their own.
    #[must_use]
    pub const fn answer_within(mut self, time: Duration) -> Self {
        self.request_time = time;
        self
    }

    /// How long a client may take nothing of what is sent to it; 60 seconds unless this is said.
    /// Under [`serve`](super::serve()) only.
    #[must_use]
    pub const fn take_within(mut self, time: Duration) -> Self {
        self.send_time = time;
        self
    }

    /// How long requests that are under way when the server is to end may go on; 30 seconds unless
    /// this is said.
    #[must_use]
    pub const fn grace(mut self, time: Duration) -> Self {
        self.grace = time;
        self
    }

    /// How many requests are worked on at once; 1,024 unless this is said. More are refused, with
    /// when to come again. One that was given up counts until the work on it has ended.
    #[must_use]
    pub const fn requests_at_once(mut self, requests: usize) -> Self {
        self.requests = requests;
        self
    }

    /// How many pulls there may be at once, how many pushes, and how many verifications of the store; 64 of
    /// each unless this is said. More are refused, with when to come again. Each has a thread until it
    /// ends, which takes as long as a client is slow: keep all three together below the threads that the
    /// runtime has for what blocks, 512 in Tokio unless it is told otherwise, so that nobody else has to
    /// wait for one.
    #[must_use]
    pub const fn transfers_at_once(mut self, transfers: usize) -> Self {
        self.transfers = transfers;
        self
    }

    /// How many connections are open at once; 4,096 unless this is said. More wait to be accepted.
    /// Under [`serve`](super::serve()) only.
    #[must_use]
    pub const fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// How many change feeds there may be at once, and how long each lasts before the client has to
    /// ask again, which browsers do by themselves; 1,024 and 15 minutes unless this is said.
    #[must_use]
    pub const fn feeds(mut self, feeds: usize, time: Duration) -> Self {
        self.feeds = feeds;
        self.feed_time = time;
        self
    }

    /// How often a change feed looks for what other processes committed; each second unless this is
    /// said. What this process commits is seen at once.
    #[must_use]
    pub const fn look_every(mut self, interval: Duration) -> Self {
        self.feed_interval = interval;
        self
    }

    /// How many requests a second each client may make, by its address (of version 6: by the network
    /// of 64 bits that it is in); as many as they like unless this is said. Where addresses are not
    /// known, because [`router`](super::router()) was put into a server that does not tell them, all
    /// clients count as one.
    #[must_use]
    pub const fn rate(mut self, per_second: NonZeroU32) -> Self {
        self.rate = Some(per_second);
        self
    }

    /// Pages of the site `origin`, such as `https://example.org`, may call the API. None may unless
    /// this is said.
    ///
    /// # Errors
    /// What is not an origin.
    pub fn allow_origin(mut self, origin: &str) -> Result<Self, InvalidOption> {
        let refused = |why| InvalidOption { what: "origin", given: origin.to_owned(), why };
        let (scheme, host) =
            origin.split_once("://").ok_or_else(|| refused("it does not begin with a scheme"))?;
        if scheme.is_empty() || host.is_empty() || host.contains(['/', '*', ' ']) {
            return Err(refused("it is not a scheme, a host and perhaps a port"));
        }
        let value = HeaderValue::from_str(origin);
        self.origins.push(value.map_err(|_| refused("it has characters that no origin has"))?);
        Ok(self)
    }

    /// The server goes by this name, such as `bugs.example.org`. One that listens on loopback answers
    /// to nothing but loopback's own names and those said here, so that no page of another site gets
    /// at it under a name of that site; others answer to any name.
    #[must_use]
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into().to_ascii_lowercase());
        self
    }

    /// Serves the published tree in this directory under `/replica/`. It is published there when it
    /// is asked for and the replica has moved; a directory that is itself a replica of `backend-fs`
    /// is served as it is.
    #[must_use]
    pub fn tree(mut self, directory: impl Into<PathBuf>) -> Self {
        self.tree = Some(directory.into());
        self
    }
}

/// A secret by which a client is known to be allowed to write. Only its digest is kept.
#[derive(Clone)]
pub struct Token {
    digest: blake3::Hash,
    creator: Option<Creator>,
}

impl Token {
    /// The token with this text. Make it long, and by chance.
    ///
    /// # Errors
    /// A text that cannot stand in a header: one that is empty, or has other characters than
    /// letters, digits and punctuation of ASCII.
    pub fn new(secret: &str) -> Result<Self, InvalidOption> {
        if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            let why = "it is to be letters, digits and punctuation of ASCII, without spaces";
            return Err(InvalidOption { what: "token", given: "what was given".to_owned(), why });
        }
        Ok(Self { digest: blake3::hash(secret.as_bytes()), creator: None })
    }

    /// What is written with it is by this creator, and not by that of the replica.
    #[must_use]
    pub fn of(mut self, creator: Creator) -> Self {
        self.creator = Some(creator);
        self
    }

    /// Whether a client shows this token. How long that takes says nothing about the token.
    pub(super) fn is(&self, shown: &[u8]) -> bool {
        self.digest == blake3::hash(shown)
    }

    pub(super) const fn creator(&self) -> Option<&Creator> {
        self.creator.as_ref()
    }
}

/// Without the secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("creator", &self.creator).finish_non_exhaustive()
    }
}

/// An option of a server that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a usable {what}: {why}")]
#[non_exhaustive]
pub struct InvalidOption {
    /// What it was to be.
    pub what: &'static str,
    /// What was given; a token is not repeated.
    pub given: String,
    /// What is wrong with it.
    pub why: &'static str,
}
