//! Committing: one thread of each handle applies batches to the tree.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_lite::future::block_on;
use prophet_kv::{Tally, certified, certify, writes};
use prophet_store::{Commit, Head, StoreError};
use prophet_writer::{Queue, Writer};
use sled::{Batch, IVec};

use crate::engine::Engine;
use crate::pieces::{cut, further};
use crate::shared::Shared;
use crate::top::{TOP, Top};
use crate::view::Before;

/// Starts the thread.
pub(crate) fn start(
    shared: Arc<Shared>,
    engine: Arc<Engine>,
) -> Result<Writer<Commit>, StoreError> {
    let place = shared.place.clone();
    let mut worker = Worker { shared, engine, stopped: false };
    Writer::start("sled writer", place, move |queue| worker.run(queue))
}

struct Worker {
    shared: Arc<Shared>,
    engine: Arc<Engine>,
    /// Nothing is known any more of what is on the device.
    stopped: bool,
}

/// What is stored under a key is to become something else, or to go.
struct Change {
    key: IVec,
    before: Option<IVec>,
    now: Option<Vec<u8>>,
}

impl Worker {
    fn run(&mut self, queue: &Queue<Commit>) {
        while let Some(job) = queue.next() {
            let answer = self.commit(&job.work);
            job.answer(answer);
        }
    }

    fn commit(&mut self, commit: &Commit) -> Result<Head, StoreError> {
        if self.stopped {
            return Err(StoreError::closed(&self.shared.place));
        }
        // Nobody else changes the state, so what is judged now is still so when it is written.
        let judged = self.shared.on(|state| {
            let applied = block_on(state.reads(&self.shared.place).judge(commit, |_| true))?;
            Ok((applied, state.top))
        });
        let (applied, top) = judged?;
        if let Some(applied) = applied {
            return Ok(applied);
        }
        self.engine.check_in_place()?;
        // A commit may bring a vote twice: the last one counts.
        let mut list = BTreeMap::new();
        writes::commit(&mut list, commit);
        writes::forget(&mut list, commit.head().version);
        let (changes, tally) = self.changes(list, top.tally)?;
        let top = Top { head: commit.head(), tally };
        self.write(changes, &top).map_err(|error| {
            self.stopped = true;
            StoreError::outcome_unknown(commit.id(), &self.shared.place, Some(error.into()))
        })?;
        self.shared.finish(top);
        Ok(commit.head())
    }

    fn write(&self, changes: Vec<Change>, top: &Top) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        let mut before = Vec::with_capacity(changes.len() + 1);
        for Change { key, before: value, now } in changes {
            match now {
                Some(now) => batch.insert(key.clone(), now),
                None => batch.remove(key.clone()),
            }
            before.push(Before { key, value });
        }
        batch.insert(TOP, certify(TOP, top.to_bytes().to_vec()));
        self.shared.begin(before);
        self.engine.apply(batch)
    }

    /// What a list of writes changes in the tree, in the order of keys, and what all keys come to then.
    fn changes(
        &self,
        list: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
        mut tally: Tally,
    ) -> Result<(Vec<Change>, Tally), StoreError> {
        let mut changes = Vec::with_capacity(list.len());
        for (key, value) in list {
            self.change(key, value, &mut changes)?;
        }
        changes.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        for change in &changes {
            tally.replace(change.before.as_deref(), change.now.as_deref());
        }
        Ok((changes, tally))
    }

    fn change(
        &self,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let Some(before) = self.before(&key, value.is_some())? else {
            if let Some(value) = value {
                cut(key, value, |key, now| {
                    changes.push(Change { key: key.into(), before: None, now: Some(now) });
                });
            }
            return Ok(());
        };
        let content = certified(&key, &before).ok_or_else(|| {
            let place = format!("{}, key {}", self.shared.place, key.escape_ascii());
            StoreError::corrupt(place, "its value is not what was stored there")
        })?;
        let mut gone = Vec::new();
        for piece in further(&key, content) {
            gone.push((self.engine.get(&piece)?, piece));
        }
        let first = changes.len();
        match value {
            Some(value) => cut(key.clone(), value, |key, now| {
                changes.push(Change { key: key.into(), before: None, now: Some(now) });
            }),
            None => changes.push(Change { key: key.clone().into(), before: None, now: None }),
        }
        // The further pieces come first and in order, the value's own key last.
        if let Some(own) = changes.last_mut() {
            own.before = Some(before);
        }
        for (number, (before, piece)) in gone.into_iter().enumerate() {
            match changes.get_mut(first + number).filter(|change| change.key == piece) {
                Some(change) => change.before = before,
                None => changes.push(Change { key: piece.into(), before, now: None }),
            }
        }
        Ok(())
    }

    /// What is stored under a key. A log entry and all that it is found by are new when they are put,
    /// or the commit would have been refused, and so is a commit: that needs no look.
    fn before(&self, key: &[u8], put: bool) -> Result<Option<IVec>, StoreError> {
        match key.first() {
            Some(b'e' | b'h' | b'c' | b'o' | b'k') if put => Ok(None),
            _ => self.engine.get(key),
        }
    }
}
