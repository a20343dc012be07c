//! How long a request is waited for: as long as the service may be silent, and for what the request
//! carries as long as that takes on a slow line. A limit to the whole of every request would keep what is
//! large from ever getting through there.

use std::future::Future;
use std::time::Duration;

use object_store::Error;

/// A line that carries less than so many bytes a second is taken for one that carries none.
const SLOWEST: u64 = 8 << 10;

/// For how long the service may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience(Duration);

impl Patience {
    /// Unless an app says otherwise.
    pub(crate) const DEFAULT: Self = Self(Duration::from_secs(30));

    pub(crate) const fn new(silence: Duration) -> Self {
        Self(silence)
    }

    /// For a request that carries so many bytes.
    const fn with(self, bytes: u64) -> Duration {
        self.0.saturating_add(Duration::from_millis(bytes.saturating_mul(1_000) / SLOWEST))
    }
}

/// The patience with a client of this crate's own; that of an app has its own limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait(pub(crate) Option<Patience>);

impl Wait {
    /// What comes of a step of a request that carries so many bytes. Has to be polled on the thread of
    /// requests, where clocks run, if there is a limit.
    ///
    /// # Errors
    /// Those of the step; and that it took too long.
    pub(crate) async fn at_most<T>(
        self,
        bytes: u64,
        step: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let Some(patience) = self.0 else { return step.await };
        let most = patience.with(bytes);
        tokio::time::timeout(most, step).await.unwrap_or_else(|_| {
            let why = format!("the service did not answer within {} s", most.as_secs_f32());
            Err(Error::Generic { store: "a bucket", source: why.into() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_large_may_take_longer() {
        let patience = Patience::new(Duration::from_secs(2));
        assert_eq!(patience.with(0), Duration::from_secs(2));
        assert_eq!(patience.with(8 << 20), Duration::from_secs(2 + 1_024));
        assert!(patience.with(u64::MAX) > Duration::from_secs(1 << 40));
    }
}
