//! `prophet export`.

use std::fs::File;
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
    file: Option<NewFile>,
}

/// A file that is to be there once it is whole, and what it is called until then.
struct NewFile {
    name: String,
    unfinished: String,
}

impl NewFile {
    fn create(name: &str) -> std::io::Result<(Self, File)> {
        check_new(name)?;
        let of_this_run = std::process::id();
        for number in 0_u32.. {
            let unfinished = format!("{name}.{of_this_run}-{number}.unfinished");
            match File::create_new(&unfinished) {
                // Another one had this number once, and was killed.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => return made.map(|file| (Self { name: name.to_owned(), unfinished }, file)),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// Gives it its name, unless there is a file of that name by now.
    fn finish(&self) -> std::io::Result<()> {
        match std::fs::hard_link(&self.unfinished, &self.name) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                // Not every file system has links.
                check_new(&self.name)?;
                std::fs::rename(&self.unfinished, &self.name)
            }
            linked => linked,
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // That it was given its name by renaming, or that this fails, changes nothing.
        let _ = std::fs::remove_file(&self.unfinished);
    }
}

fn check_new(name: &str) -> std::io::Result<()> {
    match std::fs::symlink_metadata(name) {
        Ok(_) => Err(ErrorKind::AlreadyExists.into()),
        Err(_) => Ok(()),
    }
}

impl Sink {
    fn open(file: Option<&str>) -> Result<Self> {
        let (writer, file): (Box<dyn std::io::Write>, _) = match file {
            None => (Box::new(std::io::stdout()), None),
            Some(name) => {
                let made = NewFile::create(name);
                let (file, opened) = made.map_err(|error| Failure::io("made", name, &error))?;
                (Box::new(opened), Some(file))
            }
        };
        Ok(Self { writer: std::io::BufWriter::new(writer), file })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.writer.write_all(bytes);
        written.map_err(|error| self.failed(error))
    }

    fn end(mut self) -> Result<()> {
        let ended =
            self.writer.flush().and_then(|()| self.file.as_ref().map_or(Ok(()), NewFile::finish));
        ended.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: std::io::Error) -> Failure {
        match &self.file {
            Some(file) => Failure::io("written", &file.name, &error),
            None => error.into(),
        }
    }
}
