//! A server, and how to ask it.

use std::time::Duration;

use bytes::Bytes;
use prophet_files::FetchError;
use prophet_files::manifest::MANIFEST;
use prophet_store::{Environment as _, Error, SystemEnvironment, Unreadable};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use tokio::time::{sleep, timeout};

use crate::answer::describe;
use crate::options::HttpOptions;
use crate::protocol::{
    NO_SUCH_ROUTE, OTHER_PROTOCOL, PROBLEM, PROTOCOL, Problem, STORE_ERROR, StoreFailure, VERSION,
};

/// Redirects are followed up to so many.
const REDIRECTS: usize = 10;
/// A slow line still takes so much of a request in a second.
const BYTES_PER_SECOND: u64 = 32 << 10;
/// No description of a problem is longer.
const PROBLEM_BYTES: u64 = 64 << 10;

/// A server, and how patient to be with it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) base: Url,
    /// Where it is, without what is secret.
    pub(crate) place: String,
    pub(crate) options: HttpOptions,
}

/// What is meant by a URL, be it one or not, without what is secret in it.
pub(crate) fn named(url: &str) -> String {
    if let Ok(url) = Url::parse(url) {
        return shown(&url);
    }
    let (scheme, rest) = url.split_once("//").unwrap_or(("", url));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    if scheme.is_empty() { rest.to_owned() } else { format!("{scheme}//{rest}") }
}

/// Where a URL leads, without what is secret in it.
fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    // Neither fails for a URL with a host.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_query(None);
    shown.set_fragment(None);
    shown.to_string()
}

fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let secure = attempt.previous().last().is_some_and(|from| from.scheme() == "https");
    if attempt.previous().len() > REDIRECTS {
        return attempt.error(format!("it is redirected more than {REDIRECTS} times"));
    }
    match secure && attempt.url().scheme() != "https" {
        true => attempt.error("it is redirected from HTTPS to what is not secure"),
        false => attempt.follow(),
    }
}

/// A question that is whole before it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) path: String,
    pub(crate) content: &'static str,
    pub(crate) body: Bytes,
    /// How long the answer may take to begin, beside what sending takes; as the options say if `None`.
    pub(crate) patience: Option<Duration>,
    /// So many bytes no honest answer has, if it is read whole.
    pub(crate) most: u64,
}

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) content: String,
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) why: String,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    /// The server cannot have got the request.
    NotSent,
    /// Nobody knows what the server did, and asking again may help; not before this time, if it says.
    Lost(Option<Duration>),
    /// The server, or what is before it, did nothing and may later.
    NotNow(Option<Duration>),
    /// The server refuses, and asking again will not help; for programs the sort of problem.
    Refused(Option<String>),
    /// Nobody without another token is let in.
    Denied,
    /// There is nothing there.
    Nothing,
    /// What is there is nothing of Prophet's.
    Foreign,
    /// The store of the server failed.
    Store(StoreFailure),
}

impl Trouble {
    pub(crate) fn refused(why: impl Into<String>) -> Self {
        Self { why: why.into(), what: What::Refused(None) }
    }

    fn of_store(failure: StoreFailure) -> Self {
        let why = format!("its store failed: {}", failure.clone().at("it"));
        Self { why, what: What::Store(failure) }
    }

    pub(crate) fn lost(why: impl Into<String>) -> Self {
        Self { why: why.into(), what: What::Lost(None) }
    }

    fn denied(why: String) -> Self {
        Self { why, what: What::Denied }
    }

    /// The same for programs.
    pub(crate) const fn cause(&self) -> Unreadable {
        match &self.what {
            What::NotSent | What::Lost(_) | What::NotNow(_) => Unreadable::Temporary,
            What::Denied => Unreadable::Denied,
            What::Nothing => Unreadable::NotFound,
            What::Refused(_) | What::Foreign => Unreadable::Invalid,
            What::Store(failure) if failure.passes() => Unreadable::Temporary,
            What::Store(_) => Unreadable::Invalid,
        }
    }

    /// That a source of changesets cannot be read, or not on.
    pub(crate) fn at(self, place: &str) -> Error {
        let cause = self.cause();
        Error::unreadable(place, self.why, cause)
    }

    /// Whether asking again may help, and how long to wait first if the server says so.
    pub(crate) const fn again(&self) -> Option<Option<Duration>> {
        match self.what {
            What::NotSent => Some(None),
            What::Lost(after) | What::NotNow(after) => Some(after),
            What::Refused(_) | What::Denied | What::Nothing | What::Foreign | What::Store(_) => {
                None
            }
        }
    }
}

impl Connection {
    /// To the server, or the directory on it, at `url`.
    pub(crate) fn new(url: &str, options: HttpOptions) -> Result<Self, FetchError> {
        let mut base =
            Url::parse(url).map_err(|error| FetchError::invalid(named(url), error.to_string()))?;
        let invalid = |base: &Url, why: String| FetchError::invalid(shown(base), why);
        if !matches!(base.scheme(), "http" | "https") {
            return Err(invalid(&base, "it is no URL of HTTP or HTTPS".to_owned()));
        }
        base.set_fragment(None);
        if let Some(directory) = base.path().strip_suffix(MANIFEST).map(str::to_owned) {
            base.set_path(&directory);
        }
        if !base.path().ends_with('/') {
            let directory = format!("{}/", base.path());
            base.set_path(&directory);
        }
        let mut headers = HeaderMap::new();
        if let Some(token) = options.token() {
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
                invalid(&base, "the bearer token has characters that no header may have".to_owned())
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        // The app may have another one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("prophet/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(options.connect)
            .redirect(Policy::custom(redirect));
        let client = if options.proxy { client } else { client.no_proxy() };
        let client = client.build().map_err(|error| invalid(&base, describe(&error)))?;
        let place = shown(&base);
        Ok(Self { client, base, place, options })
    }

    /// How long to wait before trying again: longer each time, and by chance, so that many who
    /// failed at once do not come back at once.
    pub(crate) fn pause(&self, tried: u32, wait: Option<Duration>) -> Duration {
        let HttpOptions { pause, longest_pause, .. } = self.options;
        let mut chance = [0];
        // Without chance, all wait for as long.
        let _ = SystemEnvironment::default().random(&mut chance);
        let [chance] = chance;
        let doubled = pause.saturating_mul(1_u32.checked_shl(tried).unwrap_or(u32::MAX));
        let jittered = doubled.mul_f64(0.5 + f64::from(chance) / 256.0);
        wait.map_or(jittered, |wait| wait.max(jittered)).min(longest_pause)
    }

    /// Waits before trying again, if that may help and was not done too often.
    pub(crate) async fn wait(&self, trouble: Trouble, tried: &mut u32) -> Result<(), Trouble> {
        match trouble.again() {
            Some(after) if *tried < self.options.retries => {
                sleep(self.pause(*tried, after)).await;
                *tried += 1;
                Ok(())
            }
            _ => Err(trouble),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        let (path, query) = path.split_once('?').map_or((path, None), |(a, b)| (a, Some(b)));
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        if query.is_some() {
            url.set_query(query);
        }
        self.client.request(method, url).header(PROTOCOL, VERSION)
    }

    /// Asks once, and gives the answer as soon as it begins, if it is one of Prophet's.
    pub(crate) async fn ask(&self, question: &Question) -> Result<Response, Trouble> {
        let Question { path, content, body, patience, .. } = question;
        let sending = Duration::from_secs(body.len() as u64 / BYTES_PER_SECOND);
        let HttpOptions { connect, first_byte, .. } = self.options;
        let patience =
            patience.unwrap_or(first_byte).saturating_add(sending).saturating_add(connect);
        let request = self.request(Method::POST, path).header(CONTENT_TYPE, *content);
        match timeout(patience, request.body(body.clone()).send()).await {
            Err(_) => Err(Trouble::lost("the server does not answer")),
            Ok(sent) => self.judge(sent.map_err(not_sent)?).await,
        }
    }

    /// Asks, again where that may help, and reads the answer to its end.
    pub(crate) async fn ask_and_read(&self, question: &Question) -> Result<Answered, Trouble> {
        let mut tried = 0;
        loop {
            let answered = match self.ask(question).await {
                Ok(response) => self.read(response, question.most).await,
                Err(trouble) => Err(trouble),
            };
            match answered {
                Ok(answered) => return Ok(answered),
                Err(trouble) => self.wait(trouble, &mut tried).await?,
            }
        }
    }

    /// An answer that is one of Prophet's and no problem; else what it says.
    pub(crate) async fn judge(&self, response: Response) -> Result<Response, Trouble> {
        let status = response.status();
        let (headers, code) = (response.headers(), status.as_u16());
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let spoken = text(PROTOCOL).map(str::to_owned);
        let content = text(CONTENT_TYPE.as_str()).unwrap_or_default().to_owned();
        let after = text(RETRY_AFTER.as_str()).and_then(|after| after.trim().parse().ok());
        let after = after.map(Duration::from_secs);
        match &spoken {
            Some(spoken) if *spoken != VERSION.to_string() => {
                return Err(Trouble::refused(format!(
                    "the server speaks version {spoken} of the protocol, and this program version \
                     {VERSION}; use the newer program at both ends"
                )));
            }
            Some(_) if status.is_success() || status == StatusCode::NOT_MODIFIED => {
                return Ok(response);
            }
            Some(_) if content == STORE_ERROR => {
                let read = self.read(response, PROBLEM_BYTES).await?;
                return Err(match serde_json::from_slice(&read.body) {
                    Ok(failure) => Trouble::of_store(failure),
                    Err(error) => Trouble::lost(format!("its error cannot be read: {error}")),
                });
            }
            _ => {}
        }
        let problem = match content.starts_with(PROBLEM) {
            true => {
                let read = self.read(response, PROBLEM_BYTES).await.ok();
                read.and_then(|it| serde_json::from_slice::<Problem>(&it.body).ok())
            }
            false => None,
        };
        let sort = problem.as_ref().and_then(Problem::sort).map(str::to_owned);
        let said = problem.map(|problem| format!(": {}", problem.detail)).unwrap_or_default();
        let why = format!("the server answers {status}{said}");
        Err(match code {
            401 => {
                Trouble::denied(format!("{why}; it wants a token: `HttpOptions::bearer` takes one"))
            }
            403 => Trouble::denied(format!(
                "{why}; this is not allowed with the token given, or to anybody: \
                 `HttpOptions::bearer` takes another one"
            )),
            413 => Trouble::refused(format!(
                "{why}; it takes no request that long: its limit has to be raised"
            )),
            425 | 429 => Trouble { why, what: What::NotNow(after) },
            _ if sort.as_deref() == Some(OTHER_PROTOCOL) => {
                Trouble::refused(format!("{why}; use the newer program at both ends"))
            }
            // Not 501, which a server of files answers to whatever is no GET.
            408 | 500 | 502..=599 => Trouble { why, what: What::Lost(after) },
            404 if sort.as_deref() == Some(NO_SUCH_ROUTE) => Trouble {
                why: format!("{why}: the server is one of Prophet's, but at another address"),
                what: What::Nothing,
            },
            404 | 410 if spoken.is_none() => {
                Trouble { why: format!("{why}: there is no Prophet server"), what: What::Nothing }
            }
            _ if spoken.is_none() => {
                Trouble { why: format!("{why}, and it is no Prophet server"), what: What::Foreign }
            }
            _ => Trouble { why, what: What::Refused(sort) },
        })
    }

    /// Reads an answer to its end, if that is not beyond so many bytes, be they sent or made of what is
    /// compressed.
    pub(crate) async fn read(
        &self,
        mut response: Response,
        most: u64,
    ) -> Result<Answered, Trouble> {
        let status = response.status();
        let content = response.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let content = content.unwrap_or_default().to_owned();
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            if (body.len() as u64).saturating_add(chunk.len() as u64) > most {
                let path = response.url().path();
                return Err(Trouble::refused(format!(
                    "the server sends more than the {most} bytes that there may be in its answer to \
                     {path}"
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answered { status, content, body })
    }

    /// The next piece of an answer.
    pub(crate) async fn chunk(&self, response: &mut Response) -> Result<Option<Bytes>, Trouble> {
        match timeout(self.options.stall, response.chunk()).await {
            Err(_) => Err(Trouble::lost("its answer stands still")),
            Ok(chunk) => chunk.map_err(|error| {
                let why = describe(&error.without_url());
                Trouble::lost(format!("its answer breaks off: {why}"))
            }),
        }
    }
}

pub(crate) fn not_sent(error: reqwest::Error) -> Trouble {
    let error = error.without_url();
    let why = describe(&error);
    if error.is_redirect() || error.is_builder() || crate::answer::is_tls(&error) {
        return Trouble::refused(why);
    }
    match error.is_connect() {
        true => Trouble { why, what: What::NotSent },
        false => Trouble::lost(why),
    }
}
