//! Records as lines of JSON and as CSV, for other programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;

use clap::ValueEnum;
use prophet_files::exact_json;
use prophet_store::{PropertyName, Record, RecordId, RecordKey, RecordType, Value};
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::failure::Failure;

/// The form of a file of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// A line of JSON for each record; nothing is lost.
    Jsonl,
    /// A table for spreadsheets, in which everything is text.
    Csv,
}

impl Form {
    /// What was asked for, or what the name of the file says.
    pub(crate) fn of(given: Option<Self>, file: &str) -> Self {
        let csv = file.to_ascii_lowercase().ends_with(".csv");
        given.unwrap_or(if csv { Self::Csv } else { Self::Jsonl })
    }
}

const TYPE: &str = "type";
const ID: &str = "id";

/// A record in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Portable {
    /// Its type; that of all records of the file, if it is not there.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub(crate) record_type: Option<RecordType>,
    /// Its id; a new one, if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<RecordId>,
    #[serde(deserialize_with = "each_once")]
    pub(crate) properties: BTreeMap<PropertyName, Value>,
}

/// Properties, none of which is there twice: one of the values would be lost without a word.
fn each_once<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<PropertyName, Value>, D::Error> {
    struct EachOnce;

    impl<'de> Visitor<'de> for EachOnce {
        type Value = BTreeMap<PropertyName, Value>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object with a value for each property")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut properties = BTreeMap::new();
            while let Some(name) = map.next_key::<PropertyName>()? {
                if properties.insert(name.clone(), map.next_value()?).is_some() {
                    return Err(de::Error::custom(format!("property {name:?} is there twice")));
                }
            }
            Ok(properties)
        }
    }

    deserializer.deserialize_map(EachOnce)
}

impl Portable {
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            record_type: Some(record.record_type().clone()),
            id: Some(record.id()),
            properties: record.properties().clone(),
        }
    }

    /// Its line of JSON.
    pub(crate) fn line(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|error| Failure::failed(format!("a record cannot be written: {error}")))
    }

    /// The key of the record, if it is known; `otherwise` is the type of what has none.
    pub(crate) fn key(&self, otherwise: Option<&RecordType>) -> Result<Keyed, String> {
        let record_type = self.record_type.as_ref().or(otherwise);
        let record_type = record_type
            .ok_or_else(|| "it has no type; add --type, or a type to it".to_owned())?
            .clone();
        if record_type.is_reserved() {
            return Err(format!("records of type {record_type} belong to Prophet; leave it out"));
        }
        Ok(match self.id {
            Some(id) => Keyed::Known(RecordKey::new(record_type, id)),
            None => Keyed::New(record_type),
        })
    }
}

/// The record that something is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keyed {
    Known(RecordKey),
    New(RecordType),
}

/// Reads all records of a file, each with the number of its line, or says at which line it fails.
pub(crate) fn read(form: Form, file: &str, reader: impl Read) -> Result<Vec<(u64, Portable)>> {
    match form {
        Form::Jsonl => read_lines(file, reader),
        Form::Csv => read_csv(file, reader),
    }
}

fn bad_line(file: &str, line: u64, why: impl std::fmt::Display) -> Failure {
    Failure::failed(format!("{file}, line {line}: {why}; nothing was imported"))
}

/// What is wrong with a record of a file.
pub(crate) fn refused(file: &str, line: u64, why: &str) -> Failure {
    bad_line(file, line, why)
}

fn read_lines(file: &str, mut reader: impl Read) -> Result<Vec<(u64, Portable)>> {
    let mut text = String::new();
    reader.read_to_string(&mut text).map_err(|error| Failure::io("read", file, &error))?;
    let mut records = Vec::new();
    // Not `lines`: what counts as the end of one is a line feed alone.
    for (number, line) in (1..).zip(text.split('\n')) {
        if line.trim().is_empty() {
            continue;
        }
        let record = exact_json(line.as_bytes()).map_err(|why| {
            // Of the line alone, each is on its first one.
            bad_line(file, number, why.to_string().replace(" at line 1 column ", " at column "))
        })?;
        records.push((number, record));
    }
    Ok(records)
}

fn read_csv(file: &str, reader: impl Read) -> Result<Vec<(u64, Portable)>> {
    let mut reader = csv::Reader::from_reader(reader);
    let headings = reader.headers().map_err(|why| bad_line(file, 1, why))?.clone();
    let mut names = Vec::new();
    for heading in &headings {
        if names.contains(&heading) {
            return Err(bad_line(file, 1, format!("two columns are called {heading:?}")));
        }
        names.push(heading);
    }
    let mut records = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|why| {
            let line = why.position().map_or(1, csv::Position::line);
            bad_line(file, line, why)
        })?;
        let line = row.position().map_or(1, csv::Position::line);
        let failed = |why: String| bad_line(file, line, why);
        let mut record = Portable { record_type: None, id: None, properties: BTreeMap::new() };
        for (name, cell) in names.iter().zip(&row).filter(|(_, cell)| !cell.is_empty()) {
            match *name {
                TYPE => {
                    let parsed = RecordType::new(cell).map_err(|why| failed(why.to_string()))?;
                    record.record_type = Some(parsed);
                }
                ID => record.id = Some(cell.parse().map_err(|why| failed(format!("{why}")))?),
                name => {
                    let name = PropertyName::new(name).map_err(|why| failed(why.to_string()))?;
                    record.properties.insert(name, Value::from(cell));
                }
            }
        }
        records.push((line, record));
    }
    Ok(records)
}

/// The records as CSV: type, id, and a column for each property that one of them has.
pub(crate) fn csv(records: &[Record]) -> Result<Vec<u8>> {
    let names: BTreeSet<_> = records.iter().flat_map(|record| record.properties().keys()).collect();
    if let Some(name) = names.iter().find(|name| [TYPE, ID].contains(&name.as_str())) {
        return Err(Failure::failed(format!(
            "a record has a property called {name}, which is a column of its own in CSV; export JSON \
             Lines"
        )));
    }
    let failed = |error: csv::Error| Failure::failed(format!("CSV cannot be written: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let headings = [TYPE, ID].into_iter().chain(names.iter().map(|name| name.as_str()));
    writer.write_record(headings).map_err(failed)?;
    for record in records {
        let id = record.id().to_string();
        let cells = names.iter().map(|name| match record.get(name.as_str()) {
            None => Ok(String::new()),
            Some(Value::Text(text)) => Ok(text.clone()),
            Some(other) => serde_json::to_string(other)
                .map_err(|error| Failure::failed(format!("CSV cannot be written: {error}"))),
        });
        let cells: Vec<_> = cells.collect::<Result<_>>()?;
        let row = [record.record_type().as_str(), &id].into_iter();
        writer.write_record(row.chain(cells.iter().map(String::as_str))).map_err(failed)?;
    }
    writer.into_inner().map_err(|error| Failure::failed(format!("CSV cannot be written: {error}")))
}
