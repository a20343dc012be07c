//! Several futures at once, on whatever executor polls them.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

enum Slot<'a, T> {
    Running(Pin<Box<dyn Future<Output = T> + Send + 'a>>),
    Done(Option<T>),
}

/// Runs all of these at once; what they come to, in their order.
pub(crate) async fn together<'a, T: Send + Unpin>(
    futures: impl IntoIterator<Item = impl Future<Output = T> + Send + 'a>,
) -> Vec<T> {
    let slots = futures.into_iter().map(|future| Slot::Running(Box::pin(future) as Pin<Box<_>>));
    let mut slots: Vec<Slot<'a, T>> = slots.collect();
    poll_fn(|context| {
        let mut pending = false;
        for slot in &mut slots {
            if let Slot::Running(future) = slot {
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => *slot = Slot::Done(Some(output)),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    let done = slots.into_iter().filter_map(|slot| match slot {
        Slot::Done(output) => output,
        Slot::Running(_) => None,
    });
    done.collect()
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, yield_now};

    use super::*;

    #[test]
    fn all_are_polled_and_keep_their_order() {
        let turns = std::sync::Mutex::new(Vec::new());
        let work = (0..3).map(|number| {
            let turns = &turns;
            async move {
                turns.lock().unwrap().push(number);
                yield_now().await;
                turns.lock().unwrap().push(number);
                number * 10
            }
        });
        assert_eq!(block_on(together(work)), [0, 10, 20]);
        assert_eq!(*turns.lock().unwrap(), [0, 1, 2, 0, 1, 2]);
    }
}
