//! Time and chance that are the same in each run.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prophet_store::Environment;

/// A clock that goes a millisecond further each time somebody asks, and numbers that look random.
#[derive(Debug, Default)]
pub(crate) struct Fixed {
    asked: AtomicU64,
    drawn: AtomicU64,
}

impl Environment for Fixed {
    fn now(&self) -> u64 {
        1_700_000_000_000 + self.asked.fetch_add(1, Ordering::Relaxed)
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        for byte in bytes {
            // The high byte of a multiplicative sequence.
            let drawn = self.drawn.fetch_add(1, Ordering::Relaxed) + 1;
            [*byte, ..] = drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        }
        Ok(())
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(futures_lite::future::yield_now())
    }
}
