//! The one thread on which requests run.

use std::future::{Future, pending};
use std::io::Error;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;

/// Begun by the first request of the process; it stays until the process ends.
static RUNTIME: Mutex<Option<Handle>> = Mutex::new(None);

fn runtime() -> Result<Handle, Error> {
    let mut begun = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*begun {
        return Ok(handle.clone());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let run = move || runtime.block_on(pending::<()>());
    std::thread::Builder::new().name("prophet-http".to_owned()).spawn(run)?;
    *begun = Some(handle.clone());
    Ok(handle)
}

/// Work on the thread. Whoever waits for it may be on any executor; to drop it ends the work.
#[derive(Debug)]
pub(crate) struct Work<T>(JoinHandle<T>);

impl<T: Send + 'static> Work<T> {
    pub(crate) fn begin(work: impl Future<Output = T> + Send + 'static) -> Result<Self, Error> {
        Ok(Self(runtime()?.spawn(work)))
    }
}

impl<T> Drop for Work<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> Future for Work<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map_err(Error::other)
    }
}
