//! How much at once, how often, and how long.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use hyper::header::{HeaderValue, RETRY_AFTER};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Shared;
use super::auth::address;
use super::options::ServerOptions;
use super::problem::{Kind, Problem};

/// Clients that are not heard of any more are forgotten once in so many requests.
const FORGET_EVERY: u32 = 1_024;

tokio::task_local! {
    static PLACE: Arc<OwnedSemaphorePermit>;
}

/// The place among the requests that are worked on, of the one that is handled here. Work on another
/// thread keeps it until it ends, for it may go on when nobody waits for the answer any more.
pub(super) fn place() -> Option<Arc<OwnedSemaphorePermit>> {
    PLACE.try_with(Arc::clone).ok()
}

/// What is counted of the requests of a server.
pub(super) struct Limits {
    requests: Arc<Semaphore>,
    pub(super) feeds: Arc<Semaphore>,
    pub(super) pulls: Arc<Semaphore>,
    pub(super) pushes: Arc<Semaphore>,
    pub(super) verifications: Arc<Semaphore>,
    rate: Option<Rate>,
}

struct Rate {
    clients: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
    asked: AtomicU32,
}

impl Limits {
    pub(super) fn new(options: &ServerOptions) -> Self {
        let places = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self {
            requests: places(options.requests),
            feeds: places(options.feeds),
            pulls: places(options.transfers),
            pushes: places(options.transfers),
            verifications: places(options.transfers),
            rate: options.rate.map(Rate::new),
        }
    }
}

/// A place among those there are for something, or what to say where all are taken.
pub(super) fn take(places: &Arc<Semaphore>, full: &str) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(places).try_acquire_owned().map_err(|_| Problem::unavailable(full))
}

impl Rate {
    fn new(per_second: NonZeroU32) -> Self {
        let clock = DefaultClock::default();
        let clients = RateLimiter::keyed(Quota::per_second(per_second));
        Self { clients, clock, asked: AtomicU32::new(0) }
    }

    fn check(&self, client: Option<IpAddr>) -> Result<(), Problem> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.clients.retain_recent();
        }
        let client = client.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), network);
        self.clients.check_key(&client).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now()).as_secs() + 1;
            Problem::new(
                Kind::TooManyRequests,
                format!("you have made more requests than allowed; come again in {wait} s"),
            )
            .with_header(RETRY_AFTER, HeaderValue::from(wait))
        })
    }
}

/// Whoever has an address of version 6 has all those of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address => address,
    }
}

/// Refuses who asks too often, and all while there is too much to do.
pub(super) async fn throttle(
    State(app): State<Shared>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if let Some(rate) = &app.limits.rate {
        rate.check(address(&request))?;
    }
    let busy = || Problem::unavailable("the server has as much to do as it may; come again soon");
    let permit = Arc::clone(&app.limits.requests).try_acquire_owned().map_err(|_| busy())?;
    Ok(PLACE.scope(Arc::new(permit), next.run(request)).await)
}

/// Ends what takes too long. An edit that is given up here may be under way already.
pub(super) async fn hurry(
    State(app): State<Shared>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    timeout(app.options.request_time, next.run(request)).await.map_err(|_| {
        tracing::warn!("an answer took too long");
        Problem::unavailable(
            "this took too long; if it was a write, read the record to see whether it was done",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_version_6_is_one_client() {
        let ip = |text: &str| network(text.parse().unwrap());
        assert_eq!(ip("2001:db8::1"), ip("2001:db8::ffff:0:2"));
        assert_ne!(ip("2001:db8::1"), ip("2001:db8:0:1::1"));
        assert_ne!(ip("192.0.2.1"), ip("192.0.2.2"));
        assert_eq!(ip("192.0.2.1"), ip("::ffff:192.0.2.1"));
    }

    #[test]
    fn who_asks_too_often_is_told_when_to_come_again() {
        let rate = Rate::new(NonZeroU32::new(2).unwrap());
        let (one, other) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
        assert!(rate.check(one).is_ok() && rate.check(one).is_ok());
        assert!(rate.check(one).is_err());
        assert!(rate.check(other).is_ok(), "another one has requests of its own");
        assert!(rate.check(None).is_ok());
    }
}
