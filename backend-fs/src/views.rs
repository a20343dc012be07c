//! The records, as people read them: a file of JSON Lines of each type.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Write};

use prophet_store::{
    Direction, Existence, Head, LogScan, Position, PropertyName, RecordKey, RecordType, StoreError,
    Value, codec,
};
use prophet_tables::keys;
use serde::{Deserialize, Serialize};

use crate::layout::RECORDS;
use crate::load::Place;
use crate::log::Log;
use crate::seal::put_file;
use crate::state::{State, decode};

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

/// Up to where the files are of.
#[derive(Serialize, Deserialize)]
struct Written {
    position: u64,
    commit: String,
}

/// Writes the records of each type into a file of its own. Types whose records have not changed
/// since the files were written are left as they are.
pub(crate) fn write(place: &Place, log: Log<'_>) -> Result<(), StoreError> {
    let state = log.state;
    let failed = place.io("writing the records for people");
    let Head { position, commit, .. } = state.head;
    let before = written(place).map_err(&failed)?;
    if before.as_ref().is_some_and(|before| before.position == position.get()) {
        return Ok(());
    }
    place.disk.make_directory(RECORDS).map_err(&failed)?;
    // What stands there is of another log if it is ahead of this one.
    let since = before.map_or(0, |before| before.position);
    let since = if since > position.get() { 0 } else { since };
    for record_type in changed_types(log, Position::new(since))? {
        let name = format!("{RECORDS}/{}.jsonl", record_type.file_name());
        let mut refused = None;
        let put = put_file(&*place.disk, RECORDS, &name, |out| {
            let about = About { record_type: &record_type, position: position.get() };
            line(out, &about)?;
            lines(state, &record_type, out).map_err(|error| {
                refused = Some(error);
                io::Error::other("a record cannot be read")
            })
        });
        match refused {
            Some(error) => return Err(error),
            None => put.map_err(&failed)?,
        }
    }
    let now = Written { position: position.get(), commit: commit.to_string() };
    put_file(&*place.disk, RECORDS, WRITTEN, |out| line(out, &now)).map_err(&failed)
}

fn written(place: &Place) -> io::Result<Option<Written>> {
    let file = match place.disk.open(WRITTEN) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = file.len()?.min(4_096);
    Ok(serde_json::from_slice(&file.read_at(0, len as usize)?).ok())
}

fn line(out: &mut dyn Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// The types of the records that were touched after `since`.
fn changed_types(log: Log<'_>, since: Position) -> Result<BTreeSet<RecordType>, StoreError> {
    let mut types = BTreeSet::new();
    let mut scan = LogScan { after: Some(since), ..LogScan::default() };
    loop {
        let page = log.scan_log(&scan)?;
        for entry in &page.items {
            for key in entry.records() {
                if !types.contains(key.record_type()) {
                    types.insert(key.record_type().clone());
                }
            }
        }
        match page.more {
            Some(more) => scan.after = Some(more),
            None => return Ok(types),
        }
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
