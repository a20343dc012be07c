//! The records, as people read them: a file of JSON Lines of each type.

use std::io::{self, ErrorKind, Write};
use std::ops::Bound;

use prophet_store::{
    CommitId, Direction, Existence, Head, PropertyName, RecordKey, RecordType, StoreError, Value,
    Version, codec,
};
use prophet_tables::{KeyRange, keys};
use serde::{Deserialize, Serialize};

use crate::layout::RECORDS;
use crate::load::Place;
use crate::seal::put_file;
use crate::state::{State, decode};
use crate::tail::to_usize;

/// Which commit the files are of.
const WRITTEN: &str = "records/.written.json";

/// The first line of a file.
#[derive(Serialize)]
struct About<'a> {
    #[serde(rename = "type")]
    record_type: &'a RecordType,
    position: u64,
}

/// The line of a record.
#[derive(Serialize)]
struct Shown<'a> {
    id: String,
    changed: u64,
    #[serde(skip_serializing_if = "is_false")]
    contested: bool,
    properties: std::collections::BTreeMap<&'a PropertyName, &'a Value>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "this is how serde asks")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// The commit that the files are of, and which files there are.
#[derive(Serialize, Deserialize)]
struct Written {
    version: u64,
    position: u64,
    commit: String,
    files: Vec<String>,
}

impl Written {
    fn is_of(&self, head: Head) -> bool {
        (self.version, self.position) == (head.version.get(), head.position.get())
            && self.commit == head.commit.to_string()
    }
}

/// Whether the files are there, and of this head.
fn are_current(place: &Place, head: Head) -> bool {
    let Ok(Some(written)) = written(place) else { return false };
    let there = place.disk.list(RECORDS).unwrap_or_default();
    written.is_of(head) && written.files.iter().all(|file| there.contains(file))
}

/// Writes the records of each type into a file of its own. Those of types that have no record in
/// the open segment are left as they are, if they were written since it began.
pub(crate) fn write(place: &Place, state: &State) -> Result<(), StoreError> {
    let failed = place.io("writing the records for people");
    let head = state.head;
    if are_current(place, head) {
        return Ok(());
    }
    place.disk.make_directory(RECORDS).map_err(&failed)?;
    let there = place.disk.list(RECORDS).map_err(&failed)?;
    let stand = match written(place).map_err(&failed)? {
        Some(before) => is_of_open_segment(state, &before)?,
        None => false,
    };
    let mut files = Vec::new();
    for record_type in types(state)? {
        let file = format!("{}.jsonl", record_type.file_name());
        let KeyRange { start, end } = keys::records_of(&record_type);
        let touched = state.recent.range((start, end)).next().is_some();
        if touched || !stand || !there.contains(&file) {
            put_records(place, state, &record_type, &format!("{RECORDS}/{file}"))?;
        }
        files.push(file);
    }
    for file in there {
        // Of a log that was here before this one.
        if file.ends_with(".jsonl") && !files.contains(&file) {
            place.disk.remove(&format!("{RECORDS}/{file}")).map_err(&failed)?;
        }
    }
    let now = Written {
        version: head.version.get(),
        position: head.position.get(),
        commit: head.commit.to_string(),
        files,
    };
    put_file(&*place.disk, RECORDS, WRITTEN, |out| line(out, &now)).map_err(&failed)
}

/// Whether the files are of a commit in the open segment, or of the one before it.
fn is_of_open_segment(state: &State, before: &Written) -> Result<bool, StoreError> {
    if before.is_of(state.tail.base) {
        return Ok(true);
    }
    if before.version <= state.tail.base.version.get() {
        return Ok(false);
    }
    let commit = state.view().get(&keys::commit(Version::new(before.version)))?;
    let id = commit.and_then(|id| id.try_into().ok()).map(CommitId::from_bytes);
    Ok(id.is_some_and(|id| before.commit == id.to_string()))
}

fn put_records(
    place: &Place,
    state: &State,
    record_type: &RecordType,
    name: &str,
) -> Result<(), StoreError> {
    let mut refused = None;
    let put = put_file(&*place.disk, RECORDS, name, |out| {
        line(out, &About { record_type, position: state.head.position.get() })?;
        lines(state, record_type, out).map_err(|error| {
            refused = Some(error);
            io::Error::other("a record cannot be read")
        })
    });
    match refused {
        Some(error) => Err(error),
        None => put.map_err(place.io("writing the records for people")),
    }
}

fn written(place: &Place) -> io::Result<Option<Written>> {
    let file = match place.disk.open(WRITTEN) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(serde_json::from_slice(&file.read_at(0, to_usize(file.len()?))?).ok())
}

fn line(out: &mut dyn Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// The types of which there are records.
fn types(state: &State) -> Result<Vec<RecordType>, StoreError> {
    let mut types = Vec::new();
    let mut range = keys::records();
    loop {
        let found = state.view().scan(range.clone(), Direction::Forward)?.next()?;
        let Some(key) = found.and_then(|(key, _)| keys::to_record(&key)) else { return Ok(types) };
        if let Bound::Excluded(next) = keys::records_of(key.record_type()).end {
            range = KeyRange { start: Bound::Included(next), ..keys::records() };
        }
        types.push(key.record_type().clone());
    }
}

fn lines(state: &State, record_type: &RecordType, out: &mut dyn Write) -> Result<(), StoreError> {
    let failed = |error| crate::error::from_io(&state.place, "writing records", error);
    let mut records = state.view().scan(keys::records_of(record_type), Direction::Forward)?;
    while let Some((key, sealed)) = records.next()? {
        let Some(key) = keys::to_record(&key) else { continue };
        let record = decode(&state.place, &key, codec::decode_record(&sealed))?;
        if record.existence() != Existence::Alive {
            continue;
        }
        let visible = record.visible();
        let shown = Shown {
            id: RecordKey::id(&key).to_string(),
            changed: record.changed().get(),
            contested: record.is_contested(),
            properties: visible.iter().collect(),
        };
        line(out, &shown).map_err(failed)?;
    }
    Ok(())
}
