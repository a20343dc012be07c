//! Who may do what.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use hyper::Method;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use percent_encoding::percent_decode_str;
use prophet_store::Creator;

use super::Shared;
use super::options::{ServerOptions, Token};
use super::problem::{Kind, Problem};

/// Who a request comes from, as far as is known: put into it for the handlers.
#[derive(Debug, Clone, Default)]
pub(super) struct Caller {
    /// Who what it writes is by, unless by the creator of the replica.
    pub(super) creator: Option<Creator>,
    /// Whether it may read what is here.
    pub(super) may_read: bool,
}

/// What a request does to the replica, as far as it is to be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Tells nothing about what is in the replica.
    Nothing,
    Read,
    Write,
}

impl Need {
    /// Whatever is not known to be a read is a write.
    fn of(method: &Method, path: &str) -> Self {
        if method.is_safe() {
            return match path {
                "/health" | "/openapi.json" => Self::Nothing,
                _ => Self::Read,
            };
        }
        // As routes see it, so that no other spelling of an operation gets past.
        let path = percent_decode_str(path).decode_utf8_lossy();
        let reads = match path.strip_prefix("/store/") {
            Some(operation) => operation != "commit" && !operation.contains('/'),
            None => path == "/sync/pull",
        };
        if reads && *method == Method::POST { Self::Read } else { Self::Write }
    }
}

/// Lets through what is allowed, with who it comes from.
pub(super) async fn authorize(
    State(app): State<Shared>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let options = &app.options;
    let need = Need::of(request.method(), request.uri().path());
    check_host(options, &request)?;
    let token = shown(options, request.headers())?;
    let caller = Caller {
        creator: token.and_then(Token::creator).cloned(),
        may_read: !options.private || token.is_some(),
    };
    match need {
        Need::Nothing => {}
        Need::Read if caller.may_read => {}
        Need::Read => return Err(unauthorized("Bearer realm=\"prophet\"")),
        Need::Write => {
            check_write(options, request.headers(), token.is_some())?;
        }
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

fn check_write(
    options: &ServerOptions,
    headers: &HeaderMap,
    has_token: bool,
) -> Result<(), Problem> {
    if options.read_only {
        return Err(Problem::new(
            Kind::ReadOnly,
            "this server is for reading only; write to another replica, and sync",
        ));
    }
    if has_token {
        return Ok(());
    }
    if !options.open {
        if options.tokens.is_empty() {
            return Err(Problem::new(
                Kind::ReadOnly,
                "this server was started without a token, so nobody may write; start it with one, \
                 or open",
            ));
        }
        return Err(unauthorized("Bearer realm=\"prophet\""));
    }
    check_origin(options, headers)
}

/// The token that a request shows, if it shows one. A wrong one is refused, whatever it was for.
fn shown<'a>(
    options: &'a ServerOptions,
    headers: &HeaderMap,
) -> Result<Option<&'a Token>, Problem> {
    let Some(shown) = headers.get(AUTHORIZATION).filter(|_| !options.tokens.is_empty()) else {
        return Ok(None);
    };
    let wrong = || unauthorized("Bearer realm=\"prophet\", error=\"invalid_token\"");
    let (scheme, secret) = shown.as_bytes().split_at_checked(7).ok_or_else(wrong)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return Err(wrong());
    }
    // All are looked at, so that time does not tell which one it was.
    let found = options
        .tokens
        .iter()
        .fold(None, |found, token| if token.is(secret) { Some(token) } else { found });
    found.map(Some).ok_or_else(wrong)
}

fn unauthorized(challenge: &'static str) -> Problem {
    Problem::new(
        Kind::Unauthorized,
        "this needs the header \"Authorization: Bearer TOKEN\" with a token that this server was \
         started with",
    )
    .with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

/// A browser says which page a request comes from. An open server on somebody's own machine is not
/// to be written to by whatever page they happen to look at.
fn check_origin(options: &ServerOptions, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let own = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"))
        .is_some_and(|(_, host)| headers.get(HOST).is_some_and(|own| own == host));
    if own || options.origins.contains(origin) {
        return Ok(());
    }
    Err(Problem::new(
        Kind::CrossSite,
        format!(
            "this request comes from a page of {origin:?}, which may not write here; send a \
             token, or have the server allow that origin"
        ),
    ))
}

/// A page can have its own name point to this machine, and then is no other site to a browser: so
/// what listens on loopback answers to the names of loopback only.
fn check_host(options: &ServerOptions, request: &Request) -> Result<(), Problem> {
    let Some(Listening(at)) = request.extensions().get() else { return Ok(()) };
    if !at.ip().is_loopback() {
        return Ok(());
    }
    let named = match request.uri().authority() {
        Some(authority) => Some(authority.host()),
        None => request.headers().get(HOST).and_then(|host| host.to_str().ok()),
    };
    // Browsers always name a host.
    let Some(named) = named else { return Ok(()) };
    let name = without_port(named).to_ascii_lowercase();
    let is_local = name == "localhost"
        || name.ends_with(".localhost")
        || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if is_local || options.hosts.contains(&name) {
        return Ok(());
    }
    Err(Problem::new(
        Kind::Misdirected,
        format!(
            "this server listens on loopback, and does not know that it goes by the name {name:?}; \
             have it allow that host, or ask for localhost"
        ),
    ))
}

/// The address that a server listens on, in each of its requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listening(pub(super) SocketAddr);

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            // An address of version 6 has colons of its own, and stands in brackets.
            if name.contains(':') && !name.ends_with(']') { host } else { name }
        }
        _ => host,
    }
}

/// The address of whoever sent a request, if the server tells.
pub(super) fn address(request: &Request) -> Option<IpAddr> {
    let ConnectInfo(address): &ConnectInfo<SocketAddr> = request.extensions().get()?;
    Some(address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_not_known_to_read_writes() {
        let need = |method, path| Need::of(&method, path);
        assert_eq!(need(Method::GET, "/records/bug.json"), Need::Read);
        assert_eq!(need(Method::HEAD, "/health"), Need::Nothing);
        for read in ["/sync/pull", "/store/head", "/store/get_records"] {
            assert_eq!(need(Method::POST, read), Need::Read, "{read}");
            assert_eq!(need(Method::PUT, read), Need::Write, "{read}");
        }
        for write in [
            "/sync/push",
            "/store/commit",
            "/store/%63ommit",
            "/store/x%2Fcommit",
            "/store/x/commit",
            "/records/bug.json",
            "/nothing",
            "/sync/pull/",
            "/",
        ] {
            assert_eq!(need(Method::POST, write), Need::Write, "{write}");
        }
    }

    #[test]
    fn the_port_of_a_host_does_not_count() {
        for (host, name) in
            [("a:80", "a"), ("a", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("::1", "::1")]
        {
            assert_eq!(without_port(host), name);
        }
    }
}
