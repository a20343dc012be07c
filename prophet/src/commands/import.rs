//! `prophet import`.

use std::io::Cursor;
use std::sync::Arc;

use clap::Args;
use prophet_store::{Edit, Error, Properties, PropertyName, RecordType};
use serde_json::json;

use crate::Result;
use crate::commands::portable::{self, Form, Keyed, Portable};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::properties;

/// So many records are in one changeset, as long as their properties are no more than so many bytes.
const RECORDS: usize = 500;
const BYTES: usize = 1 << 20;

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
All of it is imported, or nothing. A record whose id is here already becomes what the file says: with \
JSON Lines exactly that; with CSV an empty cell leaves a property as it is. A record without an id is a \
new one.

JSON Lines is what `prophet export` writes. The first line of CSV has the names of the properties; the \
columns `type` and `id`, if there are any, are those of the record.")]
pub(crate) struct ImportArgs {
    /// The file; - is standard input.
    file: String,
    /// The type of records that say none.
    #[arg(long = "type", value_name = "TYPE")]
    record_type: Option<RecordType>,
    /// In which form it is; what its name says, without it, or JSON Lines.
    #[arg(long = "as", value_enum)]
    form: Option<Form>,
    /// Says what would be imported, and imports nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What an import does.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    created: u64,
    updated: u64,
    unchanged: u64,
}

/// What the records are to become.
struct Plan {
    records: Vec<(Keyed, Portable)>,
    /// Whether what the file does not say is to go.
    exactly: bool,
    creator: String,
    dry_run: bool,
}

/// What ends an edit that was only to be tried.
#[derive(Debug)]
struct Tried(Tally);

impl std::fmt::Display for Tried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it was only tried")
    }
}

impl std::error::Error for Tried {}

impl ImportArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let replica = context.writer().await?;
        let form = Form::of(self.form, &self.file);
        let bytes = properties::read(&self.file)?;
        let read = portable::read(form, &self.file, Cursor::new(bytes))?;
        let mut records = Vec::with_capacity(read.len());
        for (line, record) in read {
            let key = record
                .key(self.record_type.as_ref())
                .map_err(|why| portable::refused(&self.file, line, &why))?;
            records.push((key, record));
        }
        let plan = Arc::new(Plan {
            records,
            exactly: form == Form::Jsonl,
            creator: context.creator(&context.config()?),
            dry_run: self.dry_run,
        });
        let edited = replica
            .edit(|edit| {
                let plan = Arc::clone(&plan);
                async move { plan.carry_out(&edit).await }
            })
            .await;
        let tally = match edited {
            Ok(edited) => edited.value,
            Err(Error::App(reason)) => match reason.downcast_ref::<Tried>() {
                Some(Tried(tally)) => *tally,
                None => return Err(Error::App(reason).into()),
            },
            Err(error) => {
                let failure = Failure::from(error);
                return Err(Failure::new(
                    failure.exit(),
                    format!("{failure}; nothing was imported"),
                ));
            }
        };
        let Tally { created, updated, unchanged } = tally;
        let json = json!({
            "created": created,
            "updated": updated,
            "unchanged": unchanged,
            "dry_run": self.dry_run,
        });
        let would = if self.dry_run { "would be " } else { "" };
        let text =
            format!("{would}created {created}, {would}updated {updated}, unchanged {unchanged}");
        context.output.thing(&json, &text)?;
        Ok(Exit::Done)
    }
}

impl Plan {
    async fn carry_out(&self, edit: &Edit) -> Result<Tally, Error> {
        let mut tally = Tally::default();
        let (mut records, mut bytes) = (0, 0);
        for (key, record) in &self.records {
            let size = approximate_size(record);
            if records >= RECORDS || (records > 0 && bytes + size > BYTES) {
                edit.begin_changeset(self.creator.as_str(), None)?;
                (records, bytes) = (0, 0);
            }
            records += 1;
            bytes += size;
            let properties = record.properties.clone();
            let there = match key {
                Keyed::New(_) => None,
                Keyed::Known(key) => edit.get(key).await?,
            };
            match (key, there) {
                (Keyed::New(record_type), _) => {
                    edit.create(record_type.clone(), properties.into_iter().collect()).await?;
                    tally.created += 1;
                }
                (Keyed::Known(key), None) => {
                    edit.create_at(key, properties.into_iter().collect()).await?;
                    tally.created += 1;
                }
                (Keyed::Known(key), Some(there)) => {
                    let now = there.properties();
                    let gone = now
                        .keys()
                        .filter(|name| self.exactly && !record.properties.contains_key(*name));
                    let gone: Vec<PropertyName> = gone.cloned().collect();
                    let changed = properties
                        .into_iter()
                        .filter(|(name, value)| now.get(name) != Some(value))
                        .map(|(name, value)| (name, Some(value)));
                    let changes: Properties =
                        changed.chain(gone.into_iter().map(|name| (name, None))).collect();
                    if changes.is_empty() {
                        tally.unchanged += 1;
                        continue;
                    }
                    edit.update(key, changes).await?;
                    tally.updated += 1;
                }
            }
        }
        match self.dry_run {
            true => Err(Error::app(Tried(tally))),
            false => Ok(tally),
        }
    }
}

/// About as many bytes as the properties take in a changeset.
fn approximate_size(record: &Portable) -> usize {
    record.line().map_or(0, |line| line.len())
}
