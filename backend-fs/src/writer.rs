//! Committing: one thread of each handle appends to the log, while it holds the lock of the place.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use futures_lite::future::block_on;
use prophet_files::line::{CommitEnd, Line, LineReader, LineWriter};
use prophet_store::{Commit, Head, StoreError};

use crate::disk::DiskFile;
use crate::seal;
use crate::shared::Shared;
use crate::state::split;
use crate::views;

/// Readers who can only fetch files are told of commits this long after them.
const MANIFEST_DELAY: Duration = Duration::from_secs(1);

struct Job {
    commit: Commit,
    reply: oneshot::Sender<Result<Head, StoreError>>,
}

struct Running {
    jobs: Sender<Job>,
    ended: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

#[allow(
    clippy::disallowed_methods,
    reason = "it decides when others are told, and nothing about what is in the replica"
)]
fn now() -> Instant {
    Instant::now()
}

/// The thread that commits.
pub(crate) struct Writer {
    place: Arc<str>,
    running: Mutex<Option<Running>>,
}

impl Writer {
    pub(crate) fn start(
        shared: Arc<Shared>,
        lock: Arc<dyn DiskFile>,
        segment_bytes: u64,
        views: bool,
    ) -> Result<Self, StoreError> {
        let place = Arc::clone(&shared.place.name);
        let failed = shared.place.io("starting a thread");
        let (jobs, queue) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let mut worker =
            Worker { shared, lock, segment_bytes, views, untold: None, stopped: false };
        let thread = std::thread::Builder::new()
            .name("prophet-fs".to_owned())
            .spawn(move || {
                worker.run(&queue);
                drop(worker);
                let _ = end.send(());
            })
            .map_err(failed)?;
        let running = Mutex::new(Some(Running { jobs, ended, thread }));
        Ok(Self { place, running })
    }

    /// Has `commit` applied. Once this is polled, dropping it changes nothing about that.
    pub(crate) async fn commit(&self, commit: Commit) -> Result<Head, StoreError> {
        let id = commit.id();
        let (reply, answer) = oneshot::channel();
        let job = Job { commit, reply };
        let sent = match self.running.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(running) => running.jobs.send(job).is_ok(),
            None => false,
        };
        if !sent {
            return Err(StoreError::closed(&*self.place));
        }
        match answer.await {
            Ok(result) => result,
            // The thread ended in the middle of it.
            Err(gone) => Err(StoreError::outcome_unknown(id, &*self.place, Some(gone.into()))),
        }
    }

    fn stop(&self) -> Option<Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits until everything queued was done.
    pub(crate) async fn close(&self) {
        if let Some(Running { jobs, ended, thread }) = self.stop() {
            drop(jobs);
            let _ = ended.await;
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(Running { jobs, thread, .. }) = self.stop() {
            drop(jobs);
            let _ = thread.join();
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    lock: Arc<dyn DiskFile>,
    segment_bytes: u64,
    views: bool,
    /// Since when readers who can only fetch files do not know everything.
    untold: Option<Instant>,
    /// Nothing is known any more of what is durable.
    stopped: bool,
}

impl Worker {
    fn run(&mut self, queue: &Receiver<Job>) {
        loop {
            // Also where the queue never is empty.
            if self.untold.is_some_and(|since| since.elapsed() >= MANIFEST_DELAY) {
                self.tell(false);
            }
            let job = match self.untold {
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(since) => queue.recv_timeout(MANIFEST_DELAY.saturating_sub(since.elapsed())),
            };
            match job {
                Ok(Job { commit, reply }) => {
                    let head = self.commit(&commit);
                    if head.is_ok() {
                        self.untold.get_or_insert_with(now);
                    }
                    // Who asked may have gone away.
                    let _ = reply.send(head);
                    self.seal_if_long();
                }
                Err(RecvTimeoutError::Timeout) => self.tell(false),
                Err(RecvTimeoutError::Disconnected) => {
                    if self.untold.is_some() {
                        self.tell(self.views);
                    }
                    return;
                }
            }
        }
    }

    /// Writes what others read without this library. It is derived, and tried again a little later if
    /// it fails.
    fn tell(&mut self, views: bool) {
        if self.stopped {
            self.untold = None;
            return;
        }
        let told = self.locked(|worker| {
            let _appending = worker.shared.begin_append()?;
            let place = &worker.shared.place;
            let state = worker.shared.state();
            seal::put_manifest(place, &state).map_err(place.io("writing the manifest"))?;
            match views {
                true => worker.shared.on(&state, |log| views::write(place, log)),
                false => Ok(()),
            }
        });
        self.untold = told.is_err().then(now);
    }

    fn locked<T>(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let lock = Arc::clone(&self.lock);
        lock.lock().map_err(self.shared.place.io("taking the lock"))?;
        let acted = act(self);
        // Failing that, it is given back when the handle is closed.
        let _ = lock.unlock();
        acted
    }

    fn commit(&mut self, commit: &Commit) -> Result<Head, StoreError> {
        if self.stopped {
            return Err(StoreError::closed(&*self.shared.place.name));
        }
        self.locked(|worker| worker.append(commit))
    }

    fn append(&mut self, commit: &Commit) -> Result<Head, StoreError> {
        let shared = Arc::clone(&self.shared);
        let _appending = shared.begin_append()?;
        if shared.state().tail.sealed {
            go_on(&shared)?;
        }
        if let Some(applied) = judge(&shared, commit)? {
            return Ok(applied);
        }
        let (of_entries, others) = split(commit.entries(), commit.records());
        let state = shared.state();
        let derived: BTreeMap<_, _> = commit
            .entries()
            .iter()
            .flat_map(|entry| prophet_store::Resolution::of(&entry.changeset))
            .map(|resolution| ((resolution.conflict(), resolution.changeset), resolution))
            .collect();
        let resolutions = commit.resolutions().iter().filter(|resolution| {
            derived.get(&(resolution.conflict(), resolution.changeset)) != Some(resolution)
        });
        let end = CommitEnd {
            head: commit.head(),
            metadata: commit.metadata().iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            records: others,
            resolutions: resolutions.cloned().collect(),
        };
        let database = shared.place.identity.database;
        let tail = &state.tail;
        let mut lines = LineWriter::after(database, tail.lines.frame().clone());
        let (mut text, mut written) = (Vec::new(), Vec::with_capacity(commit.entries().len() + 1));
        let entries = commit.entries().iter().cloned().map(Line::Entry);
        for line in entries.chain([Line::Commit(end.clone())]) {
            let at = tail.len + text.len() as u64;
            written.push((lines.write(&line, &mut text), at));
        }
        let place = &shared.place;
        let unknown = |error: io::Error| {
            StoreError::outcome_unknown(commit.id(), &*place.name, Some(error.into()))
        };
        if let Err(error) = tail.file.write_at(tail.len, &text) {
            let end = tail.len + text.len() as u64;
            if tail.file.len().map_or(true, |len| len >= end) {
                // Another handle may have read all of it meanwhile, and then it counts.
                self.stopped = true;
                return Err(unknown(error));
            }
            // Without its end it never was a commit, and nobody takes what is left for one.
            let cut = tail.file.truncate(tail.len).and_then(|()| tail.file.sync());
            self.stopped = cut.is_err();
            return Err(place.io("appending to the log")(error));
        }
        if let Err(error) = tail.file.sync() {
            self.stopped = true;
            return Err(unknown(error));
        }
        drop(state);
        shared.change(|state| {
            let tail = &mut state.tail;
            // The last line is the end of the commit.
            let entries = commit.entries().iter().map(Some).chain([None]);
            for ((begins, at), entry) in written.into_iter().zip(entries) {
                tail.frames.note(begins, at, entry);
            }
            tail.len += text.len() as u64;
            tail.head = commit.head();
            tail.lines = LineReader::after(database, lines.frame().clone());
            state.apply(commit.entries(), &end, of_entries);
        });
        Ok(commit.head())
    }

    /// Seals the open segment if it is long. What fails is done again after the next commit.
    fn seal_if_long(&mut self) {
        if self.stopped || self.shared.state().tail.len < self.segment_bytes {
            return;
        }
        let sealed = self.locked(|worker| {
            let shared = Arc::clone(&worker.shared);
            let _appending = shared.begin_append()?;
            let mut tail = shared.state().tail.clone();
            if tail.len < worker.segment_bytes {
                return Ok(());
            }
            if !tail.sealed {
                let database = worker.shared.place.identity.database;
                let failed = worker.shared.place.io("sealing a segment of the log");
                let mut text = Vec::new();
                LineWriter::after(database, tail.lines.frame().clone())
                    .write(&Line::Sealed(tail.head), &mut text);
                let written = tail.file.write_at(tail.len, &text).and_then(|()| tail.file.sync());
                if let Err(error) = written {
                    // Nothing follows it, so it may stay or go.
                    let cut = tail.file.truncate(tail.len).and_then(|()| tail.file.sync());
                    worker.stopped |= cut.is_err();
                    return Err(failed(error));
                }
                tail.len += text.len() as u64;
                tail.sealed = true;
                worker.shared.change(|state| state.tail = tail);
            }
            go_on(&shared)
        });
        if sealed.is_ok() {
            self.untold = None;
        }
    }
}

/// Goes on in a new segment where the last one is sealed. Readers read on meanwhile.
fn go_on(shared: &Shared) -> Result<(), StoreError> {
    let mut state = shared.state().clone();
    if state.tail.name.is_empty() {
        seal::begin_segment(&shared.place, &mut state)?;
    } else {
        seal::seal(&shared.place, &mut state)?;
    }
    shared.change(|shared| *shared = state);
    Ok(())
}

/// Judges a commit, before anything is written: the head it led to if it was applied earlier.
fn judge(shared: &Shared, commit: &Commit) -> Result<Option<Head>, StoreError> {
    let state = shared.state();
    block_on(state.reads().judge(commit, |entry| state.may_have(entry.changeset.header())))
}
