//! The client.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use prophet_files::fetch::check_name;
use prophet_files::manifest::MANIFEST;
use prophet_files::{Fetch, FetchError, Request, Response};
use reqwest::header::{ACCEPT_ENCODING, CACHE_CONTROL, IF_RANGE, PRAGMA, RANGE};
use reqwest::{RequestBuilder, StatusCode};
use tokio::time::{sleep, timeout};

use crate::answer::{
    Again, Failure, brings, condition, content_range, describe, exact, mark_of, not_sent, refusal,
};
use crate::connection::Connection;
use crate::options::HttpOptions;
use crate::runtime::Work;

/// Whoever got so much of an answer may begin to count anew how often to try.
const PROGRESS_BYTES: u64 = 64 << 10;

/// Reads a tree from a web server, any that serves files.
///
/// It asks for ranges and copes with servers that have none; it asks whether something changed by
/// tag or by time; it follows redirects, but never from HTTPS to HTTP; it tries again where that may
/// help, and goes on where an answer broke off.
pub struct HttpFetch {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Connection,
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// What was asked of a server, and what came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Requests sent, those that were tried again included; one that is redirected counts once.
    pub requests: u64,
    /// Bytes of files that came, uncompressed where the server had compressed them.
    pub bytes: u64,
}

impl fmt::Debug for HttpFetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpFetch")
            .field("place", &self.inner.connection.place)
            .finish_non_exhaustive()
    }
}

impl HttpFetch {
    /// The tree under `url`: the address of its directory, or of the manifest in it.
    ///
    /// # Errors
    /// What is no URL of HTTP or HTTPS, and a system without certificates to trust.
    pub fn new(url: &str, options: HttpOptions) -> Result<Self, FetchError> {
        let connection = Connection::new(url, options)?;
        let (requests, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { inner: Arc::new(Inner { connection, requests, bytes }) })
    }

    /// What was asked and what came so far.
    pub fn stats(&self) -> Stats {
        let (requests, bytes) = (&self.inner.requests, &self.inner.bytes);
        Stats { requests: requests.load(Ordering::Relaxed), bytes: bytes.load(Ordering::Relaxed) }
    }
}

#[async_trait]
impl Fetch for HttpFetch {
    fn place(&self) -> &str {
        &self.inner.connection.place
    }

    async fn fetch(&self, request: &Request) -> Result<Response, FetchError> {
        check_name(&request.name)?;
        let (inner, asked) = (Arc::clone(&self.inner), request.clone());
        let place = format!("{}{}", inner.connection.place, request.name);
        let failed = |error: std::io::Error| FetchError::temporary(&place, error.to_string());
        let work = Work::begin(async move { inner.fetch(&asked).await }).map_err(failed)?;
        work.await.map_err(failed)?
    }
}

/// What has come of a file so far.
#[derive(Default)]
struct Got {
    bytes: Vec<u8>,
    /// What it came with.
    mark: Option<String>,
}

impl Inner {
    async fn fetch(&self, request: &Request) -> Result<Response, FetchError> {
        let place = format!("{}{}", self.connection.place, request.name);
        let (mut got, mut tried, mut counted) = (Got::default(), 0, 0);
        loop {
            let failure = match self.attempt(&place, request, &mut got).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            let have = got.bytes.len() as u64;
            if have >= counted + PROGRESS_BYTES {
                (tried, counted) = (0, have);
            }
            match failure.again {
                Again::After(wait) if tried < self.connection.options.retries => {
                    sleep(self.connection.pause(tried, wait)).await;
                    tried += 1;
                }
                _ => return Err(failure.error),
            }
        }
    }

    /// The request for what is still to come, from this byte of the file on.
    fn build(&self, request: &Request, rest: Option<&Range<u64>>, got: &Got) -> RequestBuilder {
        let mut url = self.connection.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(request.name.split('/'));
        }
        let mut builder = self.connection.client.get(url);
        if let Some(Range { start, end }) = rest {
            let last = if *end == u64::MAX { String::new() } else { (end - 1).to_string() };
            builder = builder.header(RANGE, format!("bytes={start}-{last}"));
        }
        // Segments are compressed, and where bytes are counted they must be those of the file.
        if rest.is_some() || request.name != MANIFEST {
            builder = builder.header(ACCEPT_ENCODING, "identity");
        }
        if request.fresh {
            builder = builder.header(CACHE_CONTROL, "no-cache").header(PRAGMA, "no-cache");
        }
        match got.bytes.is_empty() {
            true => match request.unless.as_deref().and_then(condition) {
                Some((name, value)) => builder.header(name, value),
                None => builder,
            },
            false => match got.mark.as_deref().and_then(exact) {
                Some(mark) => builder.header(IF_RANGE, mark),
                None => builder,
            },
        }
    }

    async fn attempt(
        &self,
        place: &str,
        request: &Request,
        got: &mut Got,
    ) -> Result<Response, Failure> {
        let wanted = request.range.clone().unwrap_or(0..u64::MAX);
        if wanted.is_empty() {
            return Ok(Response::content(Vec::new(), None));
        }
        if got.mark.as_deref().and_then(exact).is_none() {
            // What would come need not fit to what is there.
            *got = Got::default();
        }
        let start = wanted.start + got.bytes.len() as u64;
        let rest = start..wanted.end;
        let partial = request.range.is_some() || !got.bytes.is_empty();
        let asked = self.build(request, partial.then_some(&rest), got);
        self.requests.fetch_add(1, Ordering::Relaxed);
        let patience = self.connection.options.connect + self.connection.options.first_byte;
        let response = match timeout(patience, asked.send()).await {
            Err(_) => return Err(Failure::passing(place, "the server does not answer")),
            Ok(sent) => sent.map_err(|error| not_sent(place, error))?,
        };
        let invalid = |why: String| Failure::lasting(FetchError::invalid(place, why));
        match response.status() {
            StatusCode::NOT_MODIFIED if request.unless.is_some() => return Ok(Response::Unchanged),
            // The file ends before the range that was asked for.
            StatusCode::RANGE_NOT_SATISFIABLE if partial => {
                return Ok(Response::content(std::mem::take(&mut got.bytes), None));
            }
            status if !brings(status) => return Err(refusal(place, &response)),
            _ => {}
        }
        let headers = response.headers();
        let is_part = response.status() == StatusCode::PARTIAL_CONTENT;
        // From which byte of the file on the answer is, and where it says it ends.
        let (from, until) = match is_part {
            false => (0, None),
            true => match content_range(headers) {
                Some(said) if partial && said.start == rest.start && said.end <= rest.end => {
                    (said.start, Some(said.end))
                }
                said => {
                    let said = said.map_or("no range".to_owned(), |it| format!("bytes {it:?}"));
                    let why =
                        format!("the server answers a request for the bytes {rest:?} with {said}");
                    return Err(invalid(why));
                }
            },
        };
        let mark = mark_of(headers);
        if is_part && !got.bytes.is_empty() && mark.is_some() && mark != got.mark {
            *got = Got::default();
            return Err(Failure::passing(place, "the file changed while it was read"));
        }
        if !is_part {
            got.bytes.clear();
        }
        if mark.is_some() || !is_part {
            got.mark = mark;
        }
        self.read(place, request, response, wanted, from, got).await?;
        let have = wanted_end(request, got);
        match until {
            Some(until) if have < until => {
                let why = format!("its answer ends at byte {have} instead of {until}");
                Err(Failure::passing(place, why))
            }
            _ => {
                let etag = if request.range.is_some() { None } else { got.mark.clone() };
                Ok(Response::content(std::mem::take(&mut got.bytes), etag))
            }
        }
    }

    /// Takes in an answer that begins at the byte `from` of the file, as far as it is wanted.
    async fn read(
        &self,
        place: &str,
        request: &Request,
        mut response: reqwest::Response,
        wanted: Range<u64>,
        from: u64,
        got: &mut Got,
    ) -> Result<(), Failure> {
        let most = request.at_most;
        let too_long = || {
            let why = format!("the server sends more than the {most} bytes that there may be");
            Failure::lasting(FetchError::invalid(place, why))
        };
        if request.range.is_none() && response.content_length().is_some_and(|len| len > most) {
            return Err(too_long());
        }
        let mut at = from;
        loop {
            let chunk = match timeout(self.connection.options.stall, response.chunk()).await {
                Err(_) => return Err(Failure::passing(place, "its answer stands still")),
                Ok(chunk) => chunk.map_err(|error| {
                    let why = format!("its answer breaks off: {}", describe(&error.without_url()));
                    Failure::passing(place, why)
                })?,
            };
            let Some(chunk) = chunk else { return Ok(()) };
            self.bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            let begins = wanted.start.saturating_sub(at).min(chunk.len() as u64);
            at += chunk.len() as u64;
            let skipped = usize::try_from(begins).unwrap_or(usize::MAX);
            got.bytes.extend_from_slice(chunk.get(skipped..).unwrap_or_default());
            if got.bytes.len() as u64 >= most {
                match (request.range.is_some(), got.bytes.len() as u64 > most) {
                    (false, true) => return Err(too_long()),
                    (false, false) => {}
                    (true, _) => {
                        // A server without ranges, or with too much of one: the rest is left.
                        got.bytes.truncate(usize::try_from(most).unwrap_or(usize::MAX));
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Up to which byte of the file there is something.
fn wanted_end(request: &Request, got: &Got) -> u64 {
    request.range.as_ref().map_or(0, |range| range.start) + got.bytes.len() as u64
}
