//! The one thread on which requests run: the clients of clouds run on tokio and nothing else, and
//! whoever calls this crate may be on any executor, or on none.

use std::future::{Future, pending};
use std::io::Error;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;

/// Begun by the first request of the process; it stays until the process ends.
static RUNTIME: Mutex<Option<Handle>> = Mutex::new(None);

const NAME: &str = "prophet-s3";

/// Whether this is the thread that requests run on, and that nothing may block therefore.
pub(crate) fn is_here() -> bool {
    std::thread::current().name() == Some(NAME)
}

fn runtime() -> Result<Handle, Error> {
    let mut begun = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*begun {
        return Ok(handle.clone());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let run = move || runtime.block_on(pending::<()>());
    std::thread::Builder::new().name(NAME.to_owned()).spawn(run)?;
    *begun = Some(handle.clone());
    Ok(handle)
}

/// What to do with a request that nobody waits for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// A read: it is given up.
    Ends,
    /// A write: it goes on, so that it does not break off half sent.
    GoesOn,
}

/// Work on the thread. Whoever waits for it may be on any executor.
pub(crate) struct Work<T> {
    task: JoinHandle<T>,
    dropped: Dropped,
}

impl<T: Send + 'static> Work<T> {
    pub(crate) fn begin(
        dropped: Dropped,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<Self, Error> {
        Ok(Self { task: runtime()?.spawn(work), dropped })
    }
}

impl<T> Drop for Work<T> {
    fn drop(&mut self) {
        if self.dropped == Dropped::Ends {
            self.task.abort();
        }
    }
}

impl<T> Future for Work<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.task).poll(context).map_err(Error::other)
    }
}
