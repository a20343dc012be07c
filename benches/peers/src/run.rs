//! All of them, one after another, each in a process of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::steps::Steps;
use crate::work::Mode;
use crate::{Result, machine, report, subject, tracker};

const USAGE: &str =
    "usage: run [--records NUMBER] [--history FILE] [--only NAME] [--in DIRECTORY] [--out FILE]";

/// What is compared: the word for the command line, and the name for people.
pub(crate) const SUBJECTS: [(&str, &str); 6] = [
    ("sqlite", "Prophet, SQLite"),
    ("fs", "Prophet, files"),
    ("pouchdb", "PouchDB, LevelDB"),
    ("fossil", "Fossil tickets"),
    ("automerge", "Automerge"),
    ("loro", "Loro"),
];

/// The two kinds of work.
pub(crate) const KINDS: [&str; 2] = ["records", "history"];

/// What each subject took, by kind of work, mode and the word for it.
pub(crate) type Results = BTreeMap<(&'static str, String, &'static str), Steps>;

#[derive(Debug)]
struct Options {
    records: usize,
    history: Option<PathBuf>,
    only: Option<String>,
    directory: Option<PathBuf>,
    out: Option<PathBuf>,
}

fn options(arguments: &[String]) -> Result<Options> {
    let mut options =
        Options { records: 5_000, history: None, only: None, directory: None, out: None };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} wants a value; {USAGE}"));
        match argument.as_str() {
            "--records" => {
                options.records = value()?.parse().map_err(|_| "--records wants a number")?;
            }
            "--history" => options.history = Some(fs::canonicalize(value()?)?),
            "--only" => options.only = Some(value()?.clone()),
            "--in" => options.directory = Some(value()?.into()),
            "--out" => options.out = Some(value()?.into()),
            _ => return Err(format!("{argument:?} is not known; {USAGE}").into()),
        }
    }
    if options.records == 0 {
        return Err("--records wants at least 1".into());
    }
    let known = |name: &String| SUBJECTS.iter().any(|(word, _)| word == name);
    if let Some(name) = options.only.as_ref().filter(|name| !known(name)) {
        return Err(format!("--only {name:?}: there is no such peer").into());
    }
    Ok(options)
}

/// Runs all, and writes what came of it.
pub(crate) fn all(arguments: &[String]) -> Result<()> {
    let options = options(arguments)?;
    let edits = match &options.history {
        Some(history) => {
            tracker::read(history.to_str().ok_or("--history wants a plain path")?)?.len()
        }
        None => 0,
    };
    let machine = machine::describe()?;
    let mut results = Results::new();
    for kind in KINDS {
        let of = match (kind, &options.history) {
            ("records", _) => options.records.to_string(),
            (_, Some(history)) => history.display().to_string(),
            (_, None) => continue,
        };
        for mode in [Mode::Each, Mode::Batches] {
            for (word, name) in SUBJECTS {
                // PouchDB keeps one document of what a batch does to it, so no edits of a history.
                let impossible = (word, mode, kind) == ("pouchdb", Mode::Batches, "history");
                if impossible || options.only.as_ref().is_some_and(|only| only != word) {
                    continue;
                }
                eprintln!("{kind}, {mode}: {name}");
                let steps = one(&options, word, mode, kind, &of)
                    .map_err(|error| format!("{name}, {mode}, {kind}: {error}"))?;
                results.insert((kind, mode.to_string(), word), steps);
            }
        }
    }
    let text = report::write(&machine, options.records, edits, &results)?;
    match &options.out {
        Some(out) => fs::write(out, text)?,
        None => print!("{text}"),
    }
    Ok(())
}

/// One process, with a directory of its own that is gone afterwards.
fn one(options: &Options, word: &str, mode: Mode, kind: &str, of: &str) -> Result<Steps> {
    let program = std::env::current_exe()?;
    let beside = program.parent().ok_or("a program without a directory")?;
    // Not where files may be in memory only, as in /tmp.
    let parent: &Path = options.directory.as_deref().unwrap_or(beside);
    let directory = tempfile::Builder::new().prefix("peers-").tempdir_in(parent)?;
    let mode = mode.to_string();
    let mut command = if word == "pouchdb" {
        let mut command = Command::new("node");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/pouchdb.mjs"));
        command
    } else {
        let mut command = Command::new(&program);
        command.args([subject::ARGUMENT, word]);
        command
    };
    command.arg(&mode).arg(directory.path()).args([kind, of]);
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("ended with {}", output.status).into());
    }
    let said = String::from_utf8(output.stdout)?;
    let line = said.lines().next_back().ok_or("said nothing")?;
    Ok(serde_json::from_str(line)?)
}
