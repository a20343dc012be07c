//! Work done ahead: a few futures at a time, their results in the order they were begun.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

enum Slot<'a, T> {
    Running(Pin<Box<dyn Future<Output = T> + Send + 'a>>),
    Done(T),
}

/// Futures that run while the first of them is waited for.
pub(crate) struct Ahead<'a, T> {
    slots: VecDeque<Slot<'a, T>>,
}

impl<'a, T: Unpin> Ahead<'a, T> {
    pub(crate) const fn new() -> Self {
        Self { slots: VecDeque::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn begin(&mut self, future: impl Future<Output = T> + Send + 'a) {
        self.slots.push_back(Slot::Running(Box::pin(future)));
    }

    /// The result of the one that was begun first; `None` if there is none.
    pub(crate) async fn next(&mut self) -> Option<T> {
        poll_fn(|context| {
            for slot in &mut self.slots {
                if let Slot::Running(future) = slot
                    && let Poll::Ready(done) = future.as_mut().poll(context)
                {
                    *slot = Slot::Done(done);
                }
            }
            match self.slots.pop_front() {
                None => Poll::Ready(None),
                Some(Slot::Done(done)) => Poll::Ready(Some(done)),
                Some(running) => {
                    self.slots.push_front(running);
                    Poll::Pending
                }
            }
        })
        .await
    }
}
