//! Waiting: in a time that passes only when somebody waits for it, or in the real one.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// What time a bucket lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Time {
    /// Nothing takes real time. Whoever has to wait least is served first, which makes one order of
    /// events from one seed, if one executor on one thread drives all callers.
    Virtual,
    /// It takes as long as it says. For callers on several threads.
    Real,
}

/// After so many polls in which nobody was served, whoever is first is not being polled.
const PATIENCE: u32 = 64;

#[derive(Debug, Default)]
struct Waiting {
    now: Duration,
    /// When each of those that wait is due, and a number that makes it unique.
    due: BTreeSet<(Duration, u64)>,
    numbers: u64,
    /// How many were served.
    served: u64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    waiting: Arc<Mutex<Waiting>>,
}

impl Clock {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Duration {
        self.lock().now
    }

    pub(crate) fn advance(&self, by: Duration) {
        let mut waiting = self.lock();
        waiting.now = waiting.now.saturating_add(by);
    }

    pub(crate) async fn wait(&self, time: Time, duration: Duration) {
        if duration.is_zero() {
            return;
        }
        match time {
            Time::Virtual => {
                let clock = self.clone();
                Wait { clock, duration, due: None, served: 0, polls: 0 }.await;
            }
            Time::Real => {
                futures_timer::Delay::new(duration).await;
                self.advance(duration);
            }
        }
    }
}

struct Wait {
    clock: Clock,
    duration: Duration,
    due: Option<(Duration, u64)>,
    served: u64,
    polls: u32,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut waiting = this.clock.lock();
        match this.due {
            // The others that are ready get to say first how long they wait.
            None => {
                waiting.numbers = waiting.numbers.saturating_add(1);
                let due = (waiting.now.saturating_add(this.duration), waiting.numbers);
                waiting.due.insert(due);
                this.due = Some(due);
                this.served = waiting.served;
            }
            Some(due) => {
                if this.served != waiting.served {
                    (this.served, this.polls) = (waiting.served, 0);
                }
                this.polls = this.polls.saturating_add(1);
                if waiting.due.first() == Some(&due) || this.polls > PATIENCE {
                    waiting.now = waiting.now.max(due.0);
                    waiting.served = waiting.served.saturating_add(1);
                    waiting.due.remove(&due);
                    this.due = None;
                    return Poll::Ready(());
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(due) = self.due {
            self.clock.lock().due.remove(&due);
        }
    }
}
