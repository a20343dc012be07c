//! `prophet export`.

use std::io::Write as _;

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

/// Where records go: a new file, which is not left half-written, or standard output.
struct Sink {
    writer: std::io::BufWriter<Box<dyn std::io::Write>>,
    file: Option<String>,
    whole: bool,
}

impl Sink {
    fn open(file: Option<&str>) -> Result<Self> {
        let writer: Box<dyn std::io::Write> = match file {
            None => Box::new(std::io::stdout()),
            Some(file) => Box::new(
                std::fs::File::create_new(file)
                    .map_err(|error| Failure::io("made", file, &error))?,
            ),
        };
        let (writer, file) = (std::io::BufWriter::new(writer), file.map(str::to_owned));
        Ok(Self { writer, file, whole: false })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.writer.write_all(bytes);
        written.map_err(|error| self.failed(error))
    }

    fn end(mut self) -> Result<()> {
        let flushed = self.writer.flush();
        flushed.map_err(|error| self.failed(error))?;
        self.whole = true;
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
        if let (false, Some(file)) = (self.whole, &self.file) {
            // That failing too would change nothing about the error.
            let _ = std::fs::remove_file(file);
        }
    }
}
