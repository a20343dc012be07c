//! Bare engines, which are given the same content as a store, and do nothing else with it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use futures_channel::oneshot;
use futures_lite::future::block_on;
use prophet_store::{Commit, RecordKey, RecordState};

/// A bare engine: what a store stands on, or what somebody might pick instead.
///
/// It is handed each write by a thread that waits for it, and answers, as an async API over an engine
/// that blocks has to: see [`BLOCKS`](Self::BLOCKS). Reads run on the thread that asks.
pub trait Engine: Send + 'static {
    /// A commit as the engine is given it: all the bytes, made before the clock runs.
    type Write: Send + 'static;

    /// Whether a write waits for a device or for another thread.
    const BLOCKS: bool = true;

    /// What this commit is to the engine.
    fn prepare(&mut self, commit: &Commit) -> Self::Write;

    /// Writes it, as durably as the store does.
    fn write(&mut self, write: Self::Write);

    /// Takes in what is to be there before anything is measured.
    fn fill(&mut self, commits: &[Commit]) {
        for commit in commits {
            let write = self.prepare(commit);
            self.write(write);
        }
    }

    /// Finds these records and decodes their states; `None` if the engine finds nothing by key.
    fn get(&mut self, _records: &[RecordKey]) -> Option<Vec<RecordState>> {
        None
    }

    /// Shows the bytes of the state of each record; false if the engine has none.
    fn scan(&mut self, _each: &mut dyn FnMut(&[u8])) -> bool {
        false
    }

    /// Shows the bytes of each log entry that touches a record, in order; false if the engine does
    /// not know which do.
    fn history(&mut self, _record: &RecordKey, _each: &mut dyn FnMut(&[u8])) -> bool {
        false
    }
}

/// How a bare engine is opened, and what it is called.
#[allow(missing_debug_implementations, reason = "it is a function")]
pub struct Floor {
    name: &'static str,
    opens: bool,
    open: Box<Open>,
}

type Open = dyn Fn(&Path) -> Box<dyn Bare>;

impl Floor {
    /// An engine that `open` opens in a directory, in which it may have been open before.
    pub fn new<E: Engine>(name: &'static str, open: impl Fn(&Path) -> E + 'static) -> Self {
        let open =
            move |directory: &Path| -> Box<dyn Bare> { Box::new(Handed::new(open(directory))) };
        Self { name, opens: true, open: Box::new(open) }
    }

    /// One for which opening says nothing: it has nothing to read then.
    #[must_use]
    pub const fn opens_at_once(mut self) -> Self {
        self.opens = false;
        self
    }

    /// Whether there is something to do when it is opened.
    pub(crate) const fn opens(&self) -> bool {
        self.opens
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn open(&self, directory: &Path) -> Box<dyn Bare> {
        (self.open)(directory)
    }
}

/// A commit that is ready to be written: to be called once, while the clock runs.
pub(crate) type Ready = Box<dyn FnOnce()>;

/// Any engine.
pub(crate) trait Bare {
    fn prepare(&mut self, commit: &Commit) -> Ready;
    fn fill(&mut self, commits: &[Commit]);
    fn get(&mut self, records: &[RecordKey]) -> Option<Vec<RecordState>>;
    fn scan(&mut self, each: &mut dyn FnMut(&[u8])) -> bool;
    fn history(&mut self, record: &RecordKey, each: &mut dyn FnMut(&[u8])) -> bool;
}

type Job<E> = (<E as Engine>::Write, oneshot::Sender<()>);

/// An engine, and the thread that writes to it.
struct Handed<E: Engine> {
    engine: Arc<Mutex<E>>,
    jobs: Option<mpsc::Sender<Job<E>>>,
    writer: Option<JoinHandle<()>>,
}

fn lock<E>(engine: &Mutex<E>) -> MutexGuard<'_, E> {
    engine.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<E: Engine> Handed<E> {
    fn new(engine: E) -> Self {
        let engine = Arc::new(Mutex::new(engine));
        let (jobs, received) = mpsc::channel::<Job<E>>();
        let shared = Arc::clone(&engine);
        let writer = std::thread::spawn(move || {
            while let Ok((write, reply)) = received.recv() {
                lock(&shared).write(write);
                // Whoever asked is waiting.
                let _ = reply.send(());
            }
        });
        Self { engine, jobs: Some(jobs), writer: Some(writer) }
    }
}

impl<E: Engine> Drop for Handed<E> {
    /// The engine is closed when this returns, so that it can be opened again.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            // It panicked if a write failed, and then somebody has been told.
            let _ = writer.join();
        }
    }
}

impl<E: Engine> Bare for Handed<E> {
    fn prepare(&mut self, commit: &Commit) -> Ready {
        let write = lock(&self.engine).prepare(commit);
        match &self.jobs {
            Some(jobs) if E::BLOCKS => {
                let jobs = jobs.clone();
                Box::new(move || {
                    let (reply, answer) = oneshot::channel();
                    jobs.send((write, reply)).expect("the writer is there");
                    block_on(answer).expect("the engine wrote");
                })
            }
            _ => {
                let engine = Arc::clone(&self.engine);
                Box::new(move || lock(&engine).write(write))
            }
        }
    }

    fn fill(&mut self, commits: &[Commit]) {
        lock(&self.engine).fill(commits);
    }

    fn get(&mut self, records: &[RecordKey]) -> Option<Vec<RecordState>> {
        lock(&self.engine).get(records)
    }

    fn scan(&mut self, each: &mut dyn FnMut(&[u8])) -> bool {
        lock(&self.engine).scan(each)
    }

    fn history(&mut self, record: &RecordKey, each: &mut dyn FnMut(&[u8])) -> bool {
        lock(&self.engine).history(record, each)
    }
}
