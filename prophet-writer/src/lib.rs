//! The thread that commits.
//!
//! Engines that keep things on a disk block their caller, and let one write at a time. So the commits
//! of a handle queue for a thread of its own, and the futures that wait for it can be dropped without
//! leaving half a commit behind. What the thread does with a commit is for the store to say.
//!
//! ```
//! use futures_lite::future::block_on;
//! use prophet_store::{Commit, CommitId, Head, StoreError};
//! use prophet_writer::{Queue, Writer};
//!
//! let mut head = Head::EMPTY;
//! let writer = Writer::start("example writer", "an example", move |queue: &Queue<Commit>| {
//!     while let Some(job) = queue.next() {
//!         let answer = match job.work.base() == head {
//!             true => Ok(job.work.head()),
//!             false => Err(StoreError::stale_base(job.work.base(), head)),
//!         };
//!         head = *answer.as_ref().unwrap_or(&head);
//!         job.answer(answer);
//!     }
//! })?;
//! let commit = Commit::new(CommitId::from_bytes([7; 16]), Head::EMPTY);
//! block_on(async {
//!     assert_eq!(writer.commit(commit.id(), commit.clone()).await?, commit.head());
//!     writer.close().await;
//!     let late = writer.commit(commit.id(), commit).await;
//!     assert!(matches!(late, Err(StoreError::Closed { .. })));
//!     Ok::<(), StoreError>(())
//! })?;
//! # Ok::<(), StoreError>(())
//! ```
//!
//! # What holds
//!
//! - What was handed over is done, also if whoever waits for it goes away, and in the order in which it
//!   was handed over.
//! - [`Writer::close`], and dropping the writer, wait until everything handed over was done and the
//!   thread has ended, with all that it owned. Only where the thread itself drops the writer, by answering
//!   a task that goes on right there, nobody waits.
//! - If the thread ends in the middle of something, by a panic too, that is answered with
//!   [`OutcomeUnknown`](StoreError::OutcomeUnknown), and all that comes later with
//!   [`Closed`](StoreError::Closed).

use std::fmt;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_channel::oneshot;
use prophet_store::{CommitId, Head, StoreError};

/// A thread that commits, and the way to it. `W` is what it is handed for each commit.
pub struct Writer<W> {
    place: String,
    running: Mutex<Running<W>>,
}

struct Running<W> {
    /// None once it is to end.
    jobs: Option<Sender<Job<W>>>,
    /// Answers when the thread has dropped all that it owned; for whoever closes first.
    ended: Option<oneshot::Receiver<()>>,
    /// Until somebody has waited for it.
    thread: Option<JoinHandle<()>>,
}

impl<W> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("place", &self.place).finish_non_exhaustive()
    }
}

impl<W: Send + 'static> Writer<W> {
    /// Starts a thread with this name; `place` names the store in errors. `work` takes jobs from the
    /// queue until there are no more, and owns whatever it needs for that.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the system gives no thread.
    pub fn start(
        name: &str,
        place: impl Into<String>,
        work: impl FnOnce(&Queue<W>) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let place = place.into();
        let (jobs, queue) = mpsc::channel();
        let (ending, ended) = oneshot::channel();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let queue = Queue(queue);
                work(&queue);
                // What it owned is gone by now.
                let _ = ending.send(());
            })
            .map_err(|error| StoreError::io(&place, "starting the writer's thread", error))?;
        let running = Running { jobs: Some(jobs), ended: Some(ended), thread: Some(thread) };
        Ok(Self { place, running: Mutex::new(running) })
    }

    /// Has a commit applied. Once this is polled, dropping it changes nothing about that.
    ///
    /// # Errors
    /// What the thread answers. [`StoreError::Closed`] after [`close`](Self::close), and once the
    /// thread has ended; [`StoreError::OutcomeUnknown`] if it ends in the middle of this commit.
    pub async fn commit(&self, id: CommitId, work: W) -> Result<Head, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Job { work, reply: Reply(reply) };
        let sent = self.running().jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if !sent {
            return Err(StoreError::closed(&self.place));
        }
        match answer.await {
            Ok(result) => result,
            Err(gone) => Err(StoreError::outcome_unknown(id, &self.place, Some(gone.into()))),
        }
    }

    /// Waits until everything handed over was done and the thread has ended. If it is dropped, the
    /// thread ends all the same, and dropping the writer waits for it. Later calls do nothing.
    pub async fn close(&self) {
        let ended = {
            let mut running = self.running();
            running.jobs = None;
            running.ended.take()
        };
        if let Some(ended) = ended {
            let _ = ended.await;
            self.join();
        }
    }
}

impl<W> Writer<W> {
    fn running(&self) -> MutexGuard<'_, Running<W>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self) {
        let thread = self.running().thread.take();
        // A task that goes on where it was answered may be what drops the writer: then it is this very
        // thread, which ends by itself.
        if let Some(thread) = thread.filter(|it| it.thread().id() != thread::current().id()) {
            // A panic in it was told to whoever waited.
            let _ = thread.join();
        }
    }
}

impl<W> Drop for Writer<W> {
    fn drop(&mut self) {
        self.running().jobs = None;
        self.join();
    }
}

/// The jobs of the thread, in the order in which they were handed over.
#[derive(Debug)]
pub struct Queue<W>(Receiver<Job<W>>);

/// What there is to do after waiting for a while.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "there is nothing else to wait for")]
pub enum Next<W> {
    /// The next job.
    Job(Job<W>),
    /// None came in the time given.
    Nothing,
    /// There will be no more: the writer was closed or dropped.
    Ended,
}

impl<W> Queue<W> {
    /// The next job, whenever it comes; `None` when there will be no more.
    pub fn next(&self) -> Option<Job<W>> {
        self.0.recv().ok()
    }

    /// The next job if one comes in time: for a thread that has something else to do now and then.
    pub fn next_within(&self, time: Duration) -> Next<W> {
        match self.0.recv_timeout(time) {
            Ok(job) => Next::Job(job),
            Err(RecvTimeoutError::Timeout) => Next::Nothing,
            Err(RecvTimeoutError::Disconnected) => Next::Ended,
        }
    }
}

/// A commit to be applied, and answered.
#[derive(Debug)]
#[non_exhaustive]
pub struct Job<W> {
    /// What was handed over.
    pub work: W,
    /// Where the answer goes.
    pub reply: Reply,
}

impl<W> Job<W> {
    /// Answers whoever waits: [`Reply::answer`].
    pub fn answer(self, result: Result<Head, StoreError>) {
        self.reply.answer(result);
    }
}

/// The way back to whoever waits for a commit. Dropped without an answer, the outcome is unknown.
#[derive(Debug)]
pub struct Reply(oneshot::Sender<Result<Head, StoreError>>);

impl Reply {
    /// Answers whoever waits, who may have gone away. Some executors go on with the task right here: it
    /// may call the store, so nothing is to be locked meanwhile that the store's reads wait for.
    pub fn answer(self, result: Result<Head, StoreError>) {
        let _ = self.0.send(result);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};

    use futures_lite::future::{block_on, poll_once};
    use prophet_store::Commit;

    use super::*;

    fn commit(number: u8) -> Commit {
        Commit::new(CommitId::from_bytes([number; 16]), Head::EMPTY)
    }

    /// Does each commit when it may, and counts them.
    fn counting(gate: Option<mpsc::Receiver<()>>) -> (Writer<Commit>, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let writer = Writer::start("test", "a test", move |queue: &Queue<Commit>| {
            while let Some(job) = queue.next() {
                if let Some(gate) = &gate {
                    gate.recv().unwrap();
                }
                assert_ne!(job.work.id(), CommitId::from_bytes([0xFF; 16]), "this one panics");
                counted.fetch_add(1, Ordering::SeqCst);
                let head = job.work.head();
                job.answer(Ok(head));
            }
        });
        (writer.unwrap(), count)
    }

    #[test]
    fn what_nobody_waits_for_is_done_all_the_same() {
        let (open, gate) = mpsc::channel();
        let (writer, count) = counting(Some(gate));
        for number in 1..=3 {
            let commit = commit(number);
            assert!(block_on(poll_once(writer.commit(commit.id(), commit))).is_none());
        }
        assert_eq!(count.load(Ordering::SeqCst), 0);
        for _ in 0..3 {
            open.send(()).unwrap();
        }
        drop(writer);
        assert_eq!(count.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn closing_waits_and_then_nothing_is_taken() {
        let (writer, count) = counting(None);
        let one = commit(1);
        assert!(block_on(poll_once(writer.commit(one.id(), one))).is_none_or(|done| done.is_ok()));
        block_on(writer.close());
        assert_eq!(count.load(Ordering::SeqCst), 1);
        let two = commit(2);
        let late = block_on(writer.commit(two.id(), two));
        assert!(matches!(late, Err(StoreError::Closed { .. })), "{late:?}");
        block_on(writer.close());
    }

    #[test]
    fn a_close_that_is_dropped_leaves_the_waiting_to_the_drop() {
        let (open, gate) = mpsc::channel();
        let (writer, count) = counting(Some(gate));
        let one = commit(1);
        assert!(block_on(poll_once(writer.commit(one.id(), one))).is_none());
        assert!(block_on(poll_once(writer.close())).is_none());
        open.send(()).unwrap();
        drop(writer);
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_thread_that_dies_leaves_the_outcome_unknown() {
        let (writer, count) = counting(None);
        let one = commit(0xFF);
        let lost = block_on(writer.commit(one.id(), one));
        assert!(matches!(lost, Err(StoreError::OutcomeUnknown { .. })), "{lost:?}");
        // Until it is gone altogether, what comes may be taken and lost; it is never done.
        let late = block_on(writer.commit(CommitId::from_bytes([2; 16]), commit(2)));
        assert!(
            matches!(late, Err(StoreError::Closed { .. } | StoreError::OutcomeUnknown { .. })),
            "{late:?}"
        );
        assert_eq!(count.load(Ordering::SeqCst), 0);
        block_on(writer.close());
    }

    type Waiting = Pin<Box<dyn Future<Output = Result<Head, StoreError>> + Send>>;

    /// A task that is dropped when it is woken, wherever that is.
    struct Task(Mutex<Option<Waiting>>);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
        }
    }

    #[test]
    fn it_may_be_dropped_by_its_own_thread() {
        let (open, gate) = mpsc::channel();
        let (said, heard) = mpsc::channel();
        let writer = Writer::start("test", "a test", move |queue: &Queue<Commit>| {
            while let Some(job) = queue.next() {
                gate.recv().unwrap();
                let head = job.work.head();
                job.answer(Ok(head));
                said.send(()).unwrap();
            }
        });
        let writer = Arc::new(writer.unwrap());
        let (one, two) = (commit(1), commit(2));
        let task = Arc::new(Task(Mutex::new(None)));
        let its_own = Arc::clone(&writer);
        let mut waiting: Waiting = Box::pin(async move { its_own.commit(one.id(), one).await });
        let waker = Waker::from(Arc::clone(&task));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(block_on(poll_once(writer.commit(two.id(), two))).is_none());
        *task.0.lock().unwrap() = Some(waiting);
        // Nobody else has it from here on.
        drop(writer);
        open.send(()).unwrap();
        open.send(()).unwrap();
        // What was handed over is done all the same.
        assert_eq!(heard.recv(), Ok(()));
        assert_eq!(heard.recv(), Ok(()));
        assert!(task.0.lock().unwrap().is_none());
    }

    #[test]
    fn waiting_ends_after_a_while() {
        let (said, heard) = mpsc::channel();
        let writer = Writer::<Commit>::start("test", "a test", move |queue| {
            loop {
                match queue.next_within(Duration::from_millis(5)) {
                    Next::Job(job) => {
                        let head = job.work.head();
                        job.answer(Ok(head));
                    }
                    Next::Nothing => said.send("nothing").unwrap(),
                    Next::Ended => return said.send("ended").unwrap(),
                }
            }
        })
        .unwrap();
        assert_eq!(heard.recv().unwrap(), "nothing");
        let one = commit(1);
        assert_eq!(block_on(writer.commit(one.id(), one.clone())).unwrap(), one.head());
        block_on(writer.close());
        assert_eq!(heard.iter().last(), Some("ended"));
    }
}
