//! Committing: one thread of each handle appends to the log, while it holds the lock of the place.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use prophet_files::line::{Line, LineReader, LineWriter};
use prophet_store::{Commit, CommitId, Head, StoreError};
use prophet_writer::{Job, Next, Queue, Reply, Writer};

use crate::disk::{DiskFile, FileId};
use crate::layout::LOCK;
use crate::prepared::Prepared;
use crate::seal;
use crate::shared::Shared;
use crate::tail::Tail;
use crate::views;

/// Readers who can only fetch files are told of commits this long after them.
const MANIFEST_DELAY: Duration = Duration::from_secs(1);

#[allow(
    clippy::disallowed_methods,
    reason = "it decides when others are told, and nothing about what is in the replica"
)]
fn now() -> Instant {
    Instant::now()
}

/// Starts the thread that commits. `untold` says whether readers who can only fetch files know less
/// than there is.
pub(crate) fn start(
    shared: Arc<Shared>,
    lock: Arc<dyn DiskFile>,
    segment_bytes: u64,
    views: bool,
    untold: bool,
) -> Result<Writer<Arc<Prepared>>, StoreError> {
    let place = shared.place.name.to_string();
    let untold = untold.then(now);
    let lock_id = lock.id().map_err(shared.place.io("looking at the lock"))?;
    let mut worker = Worker { shared, lock: Some(lock), lock_id, segment_bytes, views, untold };
    Writer::start("prophet-fs", place, move |queue| worker.run(queue))
}

struct Worker {
    shared: Arc<Shared>,
    /// None once it could not be given back, so that it was closed instead.
    lock: Option<Arc<dyn DiskFile>>,
    lock_id: Option<FileId>,
    segment_bytes: u64,
    views: bool,
    /// Since when readers who can only fetch files do not know everything.
    untold: Option<Instant>,
}

impl Worker {
    fn run(&mut self, queue: &Queue<Arc<Prepared>>) {
        loop {
            // Also where the queue never is empty.
            if self.untold.is_some_and(|since| since.elapsed() >= MANIFEST_DELAY) {
                self.tell(false);
            }
            let next = match self.untold {
                None => queue.next().map_or(Next::Ended, Next::Job),
                Some(since) => queue.next_within(MANIFEST_DELAY.saturating_sub(since.elapsed())),
            };
            match next {
                Next::Job(job) => {
                    self.commit(job);
                    self.seal_if_long();
                }
                Next::Nothing => self.tell(false),
                Next::Ended => {
                    self.notice_untold();
                    return self.tell(self.views);
                }
            }
        }
    }

    /// Another handle may have died before it told others of what it did.
    fn notice_untold(&mut self) {
        let shared = Arc::clone(&self.shared);
        if self.untold.is_some() || shared.is_stopped() || self.lock.is_none() {
            return;
        }
        let told = shared.read(|log| Ok(seal::is_told(&shared.place, log.state)));
        self.untold = matches!(told, Ok(false)).then(now);
    }

    /// Writes what others read without this library, as far as it is not of the last commit. It is
    /// derived, and tried again a little later if it fails.
    fn tell(&mut self, views: bool) {
        let ended = self.shared.is_stopped() || self.lock.is_none();
        if ended || (self.untold.is_none() && !views) {
            self.untold = None;
            return;
        }
        let told = self.locked(|worker| {
            let _appending = worker.shared.begin_append()?;
            let place = &worker.shared.place;
            let state = worker.shared.state();
            if worker.untold.is_some() {
                seal::put_manifest(place, &state).map_err(place.io("writing the manifest"))?;
            }
            match views {
                true => views::write(place, &state),
                false => Ok(()),
            }
        });
        self.untold = told.is_err().then(now);
    }

    /// Whether a lock is the one that everybody else takes: the whole directory may be another one by now.
    fn is_in_place(&self, lock: &dyn DiskFile) -> io::Result<bool> {
        let Some(id) = self.lock_id else { return lock.is_named() };
        match self.shared.place.disk.id_of(LOCK) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            found => Ok(found? == Some(id)),
        }
    }

    fn locked<T>(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Some(lock) = self.lock.clone() else {
            return Err(StoreError::closed(&*self.shared.place.name));
        };
        lock.lock().map_err(self.shared.place.io("taking the lock"))?;
        let acted = match self.is_in_place(&*lock) {
            Ok(true) => act(self),
            Ok(false) => Err(self.shared.place.replaced(LOCK)),
            Err(error) => Err(self.shared.place.io("looking at the lock")(error)),
        };
        if lock.unlock().or_else(|_| lock.unlock()).is_err() {
            // Others would wait for as long as this handle is open: closing the file gives it back as well.
            // Nothing is written any more; what others write is read all the same.
            self.lock = None;
        }
        acted
    }

    fn commit(&mut self, Job { work: prepared, reply, .. }: Job<Arc<Prepared>>) {
        if self.shared.is_stopped() {
            return reply.answer(Err(StoreError::closed(&*self.shared.place.name)));
        }
        let mut reply = Some(reply);
        let refused = self.locked(|worker| worker.append(prepared, &mut reply));
        if let (Some(reply), Err(error)) = (reply, refused) {
            reply.answer(Err(error));
        }
    }

    /// Appends a commit, and answers it if nothing keeps from that.
    fn append(
        &mut self,
        prepared: Arc<Prepared>,
        reply: &mut Option<Reply>,
    ) -> Result<(), StoreError> {
        let Prepared { commit, end, .. } = &*prepared;
        let shared = Arc::clone(&self.shared);
        let _appending = shared.begin_append()?;
        if shared.state().tail.sealed {
            go_on(&shared)?;
        }
        let answer = |reply: &mut Option<Reply>, head| {
            if let Some(reply) = reply.take() {
                reply.answer(Ok(head));
            }
        };
        if let Some(applied) = judge(&shared, commit)? {
            answer(reply, applied);
            return Ok(());
        }
        let (database, head) = (shared.place.identity.database, end.head);
        let state = shared.state();
        let tail = &state.tail;
        let mut lines = LineWriter::after(database, tail.lines.frame().clone());
        let (mut text, mut written) = (Vec::new(), Vec::with_capacity(commit.entries().len() + 1));
        for entry in commit.entries() {
            let at = tail.len + text.len() as u64;
            written.push((lines.write_entry(entry, &mut text), at));
        }
        let at = tail.len + text.len() as u64;
        written.push((lines.write_commit(end, &mut text), at));
        put(&shared, tail, &text, commit.id())?;
        drop(state);
        self.untold.get_or_insert_with(now);
        let len = text.len() as u64;
        shared.will_take_in(Box::new(move |state| {
            let tail = &mut state.tail;
            // The last line is the end of the commit.
            let entries = prepared.commit.entries().iter().map(Some).chain([None]);
            for ((begins, at), entry) in written.into_iter().zip(entries) {
                tail.frames.note(begins, at, entry);
            }
            tail.last = tail.len;
            tail.len += len;
            tail.head = head;
            tail.lines = LineReader::after(database, lines.frame().clone());
            state.recent.extend(prepared.take_index());
            state.move_on(prepared.commit.entries(), head);
        }));
        // It is durable, and whoever reads takes it in first: so it is answered before it is taken in,
        // for the one who made it has something to do as well.
        answer(reply, head);
        shared.take_in();
        Ok(())
    }

    /// Seals the open segment if it is long. What fails is done again after the next commit.
    fn seal_if_long(&mut self) {
        if self.shared.is_stopped() || self.shared.state().tail.len < self.segment_bytes {
            return;
        }
        let sealed = self.locked(|worker| {
            let shared = Arc::clone(&worker.shared);
            let _appending = shared.begin_append()?;
            let mut tail = shared.state().tail.clone();
            if tail.len < worker.segment_bytes {
                // Who sealed it may have died before it told others.
                return Ok(false);
            }
            if !tail.sealed {
                let database = worker.shared.place.identity.database;
                let failed = worker.shared.place.io("sealing a segment of the log");
                let mut text = Vec::new();
                LineWriter::after(database, tail.lines.frame().clone())
                    .write(&Line::Sealed(tail.head), &mut text);
                let put = || tail.file.write_at(tail.len, &text).and_then(|()| tail.file.sync());
                if let Err(error) = put().or_else(|first| put().map_err(|_| first)) {
                    // Another handle may have read all of it meanwhile: then it stays.
                    let end = tail.len + text.len() as u64;
                    if tail.file.len().is_ok_and(|len| len < end) {
                        cut(&shared, &tail);
                    }
                    return Err(failed(error));
                }
                tail.len += text.len() as u64;
                tail.sealed = true;
                worker.shared.change(|state| state.tail = tail);
            }
            go_on(&shared).map(|()| true)
        });
        if matches!(sealed, Ok(true)) {
            self.untold = None;
        }
    }
}

/// Appends `text`, a commit, to what counts, and makes it durable.
fn put(shared: &Shared, tail: &Tail, text: &[u8], commit: CommitId) -> Result<(), StoreError> {
    let put = || tail.file.write_at(tail.len, text).and_then(|()| tail.file.sync());
    // After a failed sync the system may have forgotten what it did not put on the disk, and the
    // next sync says nothing of it: so all of it is written once more.
    let Err(error) = put().or_else(|first| put().map_err(|_| first)) else { return Ok(()) };
    let end = tail.len + text.len() as u64;
    if tail.file.len().map_or(true, |len| len >= end) {
        // Another handle may have read all of it meanwhile, and then it counts.
        shared.stop();
        let place = &*shared.place.name;
        return Err(StoreError::outcome_unknown(commit, place, Some(error.into())));
    }
    // Without its end it never was a commit, and nobody takes what is left for one.
    cut(shared, tail);
    Err(shared.place.io("appending to the log")(error))
}

/// Takes away what is behind the bytes that count.
fn cut(shared: &Shared, tail: &Tail) {
    if tail.file.truncate(tail.len).and_then(|()| tail.file.sync()).is_err() {
        shared.stop();
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
