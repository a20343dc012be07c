//! `prophet export`.

use std::io::{ErrorKind, Write as _};

use clap::Args;
use futures_lite::StreamExt as _;
use prophet_store::{Query, RecordType};

use crate::Result;
use crate::commands::portable::{self, Form, Portable};
use crate::commands::types;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::text::counted;

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
A line of JSON is {\"type\":…,\"id\":…,\"properties\":{…}}, and `prophet import` makes the very same \
records of it. In CSV what is no text is written as JSON, and is text when it comes back. History, \
votes and settings are not exported: clone the replica, or make a bundle.")]
pub(crate) struct ExportArgs {
    /// The types of the records; all types, without it.
    #[arg(value_name = "TYPE")]
    types: Vec<RecordType>,
    /// The file, which must not be there; standard output, without it.
    #[arg(long, short)]
    output: Option<String>,
    /// In which form; what the name of the file says, without it, or JSON Lines.
    #[arg(long = "as", value_enum)]
    form: Option<Form>,
}

impl ExportArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let replica = context.session().await?.replica;
        let types = match self.types.as_slice() {
            [] => types::of(&replica).await?,
            types => types.to_vec(),
        };
        let form = Form::of(self.form, self.output.as_deref().unwrap_or_default());
        let mut sink = Sink::open(self.output.as_deref())?;
        let (mut count, mut rows) = (0, Vec::new());
        for record_type in types {
            let query = Query::of(record_type)?;
            let mut records = replica.find(&query);
            while let Some(record) = records.next().await {
                let record = record?;
                count += 1;
                match form {
                    Form::Jsonl => {
                        sink.write(format!("{}\n", Portable::of(&record).line()?).as_bytes())?
                    }
                    // Which columns there are is known at the end.
                    Form::Csv => rows.push(record),
                }
            }
        }
        if form == Form::Csv {
            sink.write(&portable::csv(&rows)?)?;
        }
        sink.end()?;
        if let Some(file) = &self.output {
            context.output.note(&format!("{} in {file}", counted(count, "record")));
        }
        Ok(Exit::Done)
    }
}

/// Where records go: a new file, which is there when it is whole, or standard output.
struct Sink {
    writer: std::io::BufWriter<Box<dyn std::io::Write>>,
    file: Option<String>,
}

/// What a file is called until it is whole.
fn unfinished(file: &str) -> String {
    format!("{file}.unfinished")
}

fn check_new(file: &str) -> Result<()> {
    match std::fs::symlink_metadata(file) {
        Ok(_) => Err(Failure::io("made", file, &ErrorKind::AlreadyExists.into())),
        Err(_) => Ok(()),
    }
}

impl Sink {
    fn open(file: Option<&str>) -> Result<Self> {
        let writer: Box<dyn std::io::Write> = match file {
            None => Box::new(std::io::stdout()),
            Some(file) => {
                check_new(file)?;
                let made = std::fs::File::create(unfinished(file));
                Box::new(made.map_err(|error| Failure::io("made", file, &error))?)
            }
        };
        Ok(Self { writer: std::io::BufWriter::new(writer), file: file.map(str::to_owned) })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.writer.write_all(bytes);
        written.map_err(|error| self.failed(error))
    }

    fn end(mut self) -> Result<()> {
        let flushed = self.writer.flush();
        flushed.map_err(|error| self.failed(error))?;
        if let Some(file) = &self.file {
            check_new(file)?;
            std::fs::rename(unfinished(file), file).map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    fn failed(&self, error: std::io::Error) -> Failure {
        match &self.file {
            Some(file) => Failure::io("written", file, &error),
            None => error.into(),
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // Where all went well it is not there any more; elsewhere that failing too would change nothing.
            let _ = std::fs::remove_file(unfinished(file));
        }
    }
}
