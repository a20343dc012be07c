//! A tree in memory that counts what it is asked, and fails when it is told to.

#![allow(dead_code, reason = "what the tests share, not all of them use")]
#![allow(unreachable_pub, reason = "shared by several test programs")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_lite::StreamExt as _;
use prophet_files::line::{Line, LineWriter};
use prophet_files::manifest::{FrameAt, Holds, MANIFEST, Manifest, Segment};
use prophet_files::segment::SegmentReader;
use prophet_files::{Fetch, FetchError, Request, Response, Tree};
use prophet_store::*;

#[derive(Debug)]
pub struct Files {
    pub files: Mutex<BTreeMap<String, Vec<u8>>>,
    pub asked: Mutex<Vec<Request>>,
    pub written: Mutex<Vec<(String, usize)>>,
    /// So many writes and removals may still happen.
    pub left: AtomicUsize,
}

impl Default for Files {
    fn default() -> Self {
        let left = AtomicUsize::new(usize::MAX);
        Self { files: Mutex::default(), asked: Mutex::default(), written: Mutex::default(), left }
    }
}

impl Files {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn copied(&self) -> Self {
        Self { files: Mutex::new(self.files.lock().unwrap().clone()), ..Self::default() }
    }

    /// The names asked for since it was called last.
    pub fn asked(&self) -> Vec<Request> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    pub fn names(&self) -> Vec<String> {
        self.files.lock().unwrap().keys().cloned().collect()
    }

    fn step(&self) -> Result<(), FetchError> {
        let step = |left: usize| left.checked_sub(1);
        let stepped = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step);
        stepped.map(|_| ()).map_err(|_| FetchError::temporary("memory", "it was told to fail"))
    }
}

#[async_trait]
impl Fetch for Files {
    fn place(&self) -> &str {
        "memory"
    }

    async fn fetch(&self, request: &Request) -> Result<Response, FetchError> {
        self.asked.lock().unwrap().push(request.clone());
        futures_lite::future::yield_now().await;
        let files = self.files.lock().unwrap();
        let bytes = files.get(&request.name).ok_or_else(|| FetchError::not_found(&request.name))?;
        let etag = Some(Digest::of(bytes).to_string());
        if request.unless == etag {
            return Ok(Response::Unchanged);
        }
        let end = bytes.len();
        let range = request.range.clone().map_or(0..end, |range| {
            let at = |at: u64| usize::try_from(at).unwrap().min(end);
            at(range.start)..at(range.end)
        });
        Ok(Response::content(bytes[range].to_vec(), etag))
    }
}

#[async_trait]
impl Tree for Files {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), FetchError> {
        self.step()?;
        self.written.lock().unwrap().push((name.to_owned(), bytes.len()));
        self.files.lock().unwrap().insert(name.to_owned(), bytes);
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<(), FetchError> {
        self.step()?;
        self.files.lock().unwrap().remove(name);
        Ok(())
    }
}

pub async fn replica() -> Replica {
    replica_of(Identity::new_database().unwrap()).await
}

pub async fn replica_of(identity: Identity) -> Replica {
    Replica::open(MemoryStore::new(identity)).await.unwrap()
}

/// An empty replica of the same database.
pub async fn other(replica: &Replica) -> Replica {
    let database = replica.store().facts().identity.database;
    replica_of(Identity::new_replica(database).unwrap()).await
}

pub fn title(title: impl Into<Value>) -> Properties {
    Properties::try_from([("title", title.into())]).unwrap()
}

/// Creates so many records, each a changeset.
pub async fn create(replica: &Replica, count: usize) -> Vec<RecordKey> {
    let edited = replica.edit(|edit| async move {
        let mut keys = Vec::new();
        for number in 0..count {
            edit.begin_changeset("ada", None)?;
            keys.push(edit.create("bug", title(format!("bug number {number}"))).await?);
        }
        Ok(keys)
    });
    edited.await.unwrap().value
}

pub async fn digests(replica: &Replica) -> Vec<Digest> {
    let log = replica.log(None, Direction::Forward);
    log.map(|entry| entry.unwrap().changeset.digest()).collect().await
}

pub async fn pull(target: &Replica, source: &dyn ChangesetSource) -> PullReport {
    target.pull(source, PullOptions::new()).await.unwrap()
}

pub async fn assert_sound(replica: &Replica) {
    let audit = replica.store().audit().await.unwrap();
    assert!(audit.is_sound(), "{:?}", audit.problems);
}

/// Makes of the last segment what a live replica has: plain text, of which not all counts yet.
pub async fn make_live(tree: &Files, ada: &Replica) -> Manifest {
    let mut manifest = Manifest::decode(&tree.files.lock().unwrap()[MANIFEST]).unwrap();
    let database = ada.store().facts().identity.database;
    let sealed = manifest.segments.pop().unwrap();
    let bytes = tree.files.lock().unwrap()[&sealed.name].clone();
    let mut reader = SegmentReader::new(&sealed.name, database, 0, bytes).unwrap();
    let (mut writer, mut text) = (LineWriter::new(database), Vec::new());
    let mut frames: Vec<FrameAt> = Vec::new();
    while let Some(line) = reader.next_line().unwrap() {
        let offset = text.len() as u64;
        if matches!(line, Line::Sealed(_)) {
            break;
        }
        if writer.write(&line, &mut text) {
            frames.push(FrameAt { offset, holds: Holds::default() });
        }
        if let Line::Entry(entry) = &line {
            frames.last_mut().unwrap().holds.note(entry);
        }
    }
    let name = "log/00000001.jsonl".to_owned();
    let bytes = text.len() as u64;
    text.extend_from_slice(b"{\"position\":301,");
    let segment = Segment { name: name.clone(), bytes, frames, ..sealed };
    manifest.segments.push(segment);
    tree.put(&name, text).await.unwrap();
    tree.put(MANIFEST, manifest.encode()).await.unwrap();
    manifest
}
