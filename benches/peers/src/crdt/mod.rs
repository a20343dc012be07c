//! Automerge and Loro: libraries that hold a document in memory and make bytes of it. Where these go
//! is for the app to say. Here: what is new is appended to a file and synced; at the end of the work
//! the document is saved whole, which is smaller, in the place of that file.

pub(crate) mod automerge;
pub(crate) mod loro;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::steps::{Steps, peak_of_this_process};
use crate::subject::{Task, Work};
use crate::tracker::{Line, What};
use crate::work::{Bug, CLOSED, SEVERE, check, listed, new_status};

/// A property.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Field {
    Text(String),
    Integer(i64),
}

impl From<&str> for Field {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Field {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

/// A document that is a map of records for each type of them, and each record a map.
pub(crate) trait Crdt: Sized {
    /// What one keeps of another document between meetings.
    type Session: Default;

    fn new() -> Result<Self>;
    fn load(saved: &[u8]) -> Result<Self>;
    fn save(&mut self) -> Result<Vec<u8>>;
    /// What was committed since the last time.
    fn unsaved(&mut self) -> Result<Vec<u8>>;
    fn create(&mut self, kind: &str, id: &str) -> Result<()>;
    fn set(&mut self, kind: &str, id: &str, name: &str, to: Field) -> Result<()>;
    fn get(&self, kind: &str, id: &str, name: &str) -> Result<Option<Field>>;
    /// How many records of a type are accepted.
    fn count(&self, kind: &str, accept: impl Fn(&str) -> Result<bool>) -> Result<usize>;
    /// Ends one edit, of an author at a time in seconds, if they are to be kept.
    fn commit(&mut self, by: Option<(&str, u64)>) -> Result<()>;
    /// Gives what the other one lacks.
    fn give(&mut self, other: &mut Self, session: &mut Self::Session) -> Result<()>;
}

pub(crate) fn work<D: Crdt>(task: &Task) -> Result<Steps> {
    let (here, there) = (task.directory.join("a"), task.directory.join("b"));
    let mut steps = Steps::default();
    let mut document = D::new()?;
    let mut tail = Tail::new(&task.directory, task.mode.edits())?;
    let one = match &task.work {
        Work::Records(records) => {
            steps.once("load", || {
                create(&mut document, &mut tail, *records)?;
                tail.flush(&mut document)
            })?;
            steps.once("update", || {
                update(&mut document, &mut tail, *records)?;
                tail.become_whole(&mut document, &here)
            })?;
            steps.often("list", || check("listed", list(&document)?, listed(*records)))?;
            id(records - 1)
        }
        Work::History(lines) => {
            steps.once("load", || {
                replay(&mut document, &mut tail, lines)?;
                tail.become_whole(&mut document, &here)
            })?;
            lines.first().ok_or("the history is empty")?.bug.clone()
        }
    };
    let mut session = D::Session::default();
    let mut other = steps.once("replicate", || {
        let mut other = D::new()?;
        document.give(&mut other, &mut session)?;
        write(&there, &other.save()?)?;
        Ok(other)
    })?;
    match task.work {
        Work::Records(records) => check("listed at the other", list(&other)?, listed(records))?,
        Work::History(_) => {
            let all = document.count("comment", |_| Ok(true))?;
            check("comments at the other", other.count("comment", |_| Ok(true))?, all)?;
        }
    }
    steps.often("nothing new", || document.give(&mut other, &mut session))?;
    steps.often("open", || {
        let document = D::load(&fs::read(&here)?)?;
        document.get("bug", &one, "title")?.ok_or("what was written is not there")?;
        Ok(())
    })?;
    steps.sizes(&here, &there)?;
    steps.peak(peak_of_this_process()?);
    Ok(steps)
}

/// The file that changes are appended to.
struct Tail {
    path: PathBuf,
    file: File,
    edits: usize,
    waiting: usize,
}

impl Tail {
    fn new(directory: &Path, edits: usize) -> Result<Self> {
        let path = directory.join("tail");
        let file = File::create_new(&path)?;
        Ok(Self { path, file, edits, waiting: 0 })
    }

    /// One edit is done; what is to be durable now is made so.
    fn edited<D: Crdt>(&mut self, document: &mut D) -> Result<()> {
        self.waiting += 1;
        if self.waiting == self.edits { self.flush(document) } else { Ok(()) }
    }

    fn flush<D: Crdt>(&mut self, document: &mut D) -> Result<()> {
        if self.waiting > 0 {
            self.waiting = 0;
            self.file.write_all(&document.unsaved()?)?;
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Saves the document whole, after which what was appended is not needed.
    fn become_whole<D: Crdt>(&mut self, document: &mut D, path: &Path) -> Result<()> {
        self.flush(document)?;
        write(path, &document.save()?)?;
        fs::remove_file(&self.path)?;
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    Ok(())
}

fn id(number: usize) -> String {
    format!("bug-{number:08}")
}

fn create<D: Crdt>(document: &mut D, tail: &mut Tail, records: usize) -> Result<()> {
    for number in 0..records {
        let (id, bug) = (id(number), Bug::new(number));
        document.create("bug", &id)?;
        document.set("bug", &id, "title", bug.title.as_str().into())?;
        document.set("bug", &id, "status", bug.status.into())?;
        document.set("bug", &id, "owner", bug.owner.as_str().into())?;
        document.set("bug", &id, "severity", bug.severity.into())?;
        document.set("bug", &id, "component", bug.component.as_str().into())?;
        document.commit(None)?;
        tail.edited(document)?;
    }
    Ok(())
}

fn update<D: Crdt>(document: &mut D, tail: &mut Tail, records: usize) -> Result<()> {
    for number in 0..records {
        document.set("bug", &id(number), "status", new_status(number).into())?;
        document.commit(None)?;
        tail.edited(document)?;
    }
    Ok(())
}

/// How many records are listed: all are looked at, for there are no queries.
fn list<D: Crdt>(document: &D) -> Result<usize> {
    document.count("bug", |id| {
        if document.get("bug", id, "status")? != Some(CLOSED.into()) {
            return Ok(false);
        }
        let severity = document.get("bug", id, "severity")?;
        let severe = matches!(severity, Some(Field::Integer(severity)) if severity >= SEVERE);
        Ok(severe && document.get("bug", id, "title")?.is_some())
    })
}

/// Each line is one edit; comments are records of their own, as in `examples/tracker`.
fn replay<D: Crdt>(document: &mut D, tail: &mut Tail, lines: &[Line]) -> Result<()> {
    for (number, line) in lines.iter().enumerate() {
        for (index, operation) in line.ops.iter().enumerate() {
            apply(document, line, &format!("{number:06}-{index:03}"), &operation.what)?;
        }
        let edits = match document.get("bug", &line.bug, "edits")? {
            Some(Field::Integer(edits)) => edits,
            _ => 0,
        };
        document.set("bug", &line.bug, "edits", (edits + 1).into())?;
        let time = line.ops.first().map_or(0, |operation| operation.time);
        document.commit(Some((&line.author, time)))?;
        tail.edited(document)?;
    }
    Ok(())
}

fn apply<D: Crdt>(document: &mut D, line: &Line, comment: &str, what: &What) -> Result<()> {
    let bug = line.bug.as_str();
    match what {
        What::Create { title, bytes } => {
            document.create("bug", bug)?;
            document.set("bug", bug, "title", title.as_str().into())?;
            document.set("bug", bug, "status", "open".into())?;
            document.set("bug", bug, "reporter", line.author.as_str().into())?;
            document.set("bug", bug, "bytes", i64::from(*bytes).into())
        }
        What::Title { title } => document.set("bug", bug, "title", title.as_str().into()),
        What::Status { status } => document.set("bug", bug, "status", status.as_str().into()),
        What::Label { added, removed } => {
            let before = match document.get("bug", bug, "labels")? {
                Some(Field::Text(labels)) => labels,
                _ => String::new(),
            };
            let labels = labels(&before, added, removed);
            document.set("bug", bug, "labels", labels.as_str().into())
        }
        What::Comment { bytes } => {
            document.create("comment", comment)?;
            document.set("comment", comment, "bug", bug.into())?;
            document.set("comment", comment, "author", line.author.as_str().into())?;
            document.set("comment", comment, "bytes", i64::from(*bytes).into())
        }
        What::EditComment { bytes } => {
            document.set("bug", bug, "edited-bytes", i64::from(*bytes).into())
        }
    }
}

/// Labels as one text, a comma between them.
pub(crate) fn labels(before: &str, added: &[String], removed: &[String]) -> String {
    let kept = before.split(',').filter(|label| !label.is_empty());
    let kept = kept.filter(|label| !removed.iter().any(|gone| gone == label));
    let labels: Vec<&str> = kept.chain(added.iter().map(String::as_str)).collect();
    labels.join(",")
}
