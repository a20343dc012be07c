//! Fossil's tickets. Each edit by itself is a command, as people and scripts give it. For edits brought
//! in together Fossil has `reconstruct`, which makes a repository of artifacts that are files.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use md5::{Digest as _, Md5};
use nix::sys::resource::{UsageWho, getrusage};

use crate::Result;
use crate::crdt::labels;
use crate::steps::Steps;
use crate::subject::{Task, Work};
use crate::tracker::{Line, What};
use crate::work::{Bug, CLOSED, Mode, SEVERE, check, listed, new_status};

/// A field that a command sets, of those that a ticket has as Fossil comes.
type Field = (&'static str, String);

/// A repository, and where its settings are: not among those of whoever runs this.
struct Fossil {
    home: PathBuf,
    repository: PathBuf,
}

pub(crate) fn work(task: &Task) -> Result<Steps> {
    let (here, there) = (task.directory.join("a"), task.directory.join("b"));
    let fossil = Fossil { home: task.directory.clone(), repository: here.clone() };
    let mut steps = Steps::default();
    let one = match (&task.work, task.mode) {
        (Work::Records(records), Mode::Each) => {
            fossil.init()?;
            let tickets = steps.once("load", || {
                (0..*records).map(|number| fossil.add(&created(number))).collect::<Result<Vec<_>>>()
            })?;
            steps.once("update", || {
                tickets.iter().enumerate().try_for_each(|(number, ticket)| {
                    fossil.set(ticket, &[("status", new_status(number).to_owned())])
                })
            })?;
            tickets.into_iter().next_back().ok_or("no records")?
        }
        (Work::Records(records), Mode::Batches) => {
            // A repository is made once, so loading and updating are one step.
            steps.once("load and update", || {
                let created = (0..*records).map(|number| (id(number), number, created(number)));
                let updated = (0..*records).map(|number| {
                    (id(number), records + number, vec![("status", new_status(number).to_owned())])
                });
                let edits = created.chain(updated).map(|(ticket, number, fields)| {
                    (ticket, 1_700_000_000 + number as u64, fields)
                });
                fossil.reconstruct(&task.directory.join("artifacts"), edits)
            })?;
            id(records - 1)
        }
        (Work::History(lines), Mode::Each) => {
            fossil.init()?;
            steps.once("load", || fossil.replay(lines))?;
            String::new()
        }
        (Work::History(lines), Mode::Batches) => {
            steps.once("load", || {
                let mut told = Told::default();
                let edits = lines.iter().map(|line| {
                    let time = line.ops.first().map_or(0, |operation| operation.time);
                    (format!("{:0>40}", line.bug), time, told.fields(line))
                });
                fossil.reconstruct(&task.directory.join("artifacts"), edits)
            })?;
            String::new()
        }
    };
    if let Work::Records(records) = task.work {
        steps.often("list", || check("listed", fossil.list(&here)?, listed(records)))?;
        steps.often("open", || {
            check("found", fossil.show(&here, &format!("tkt_uuid='{one}'"))?, 1)
        })?;
    }
    steps.once("replicate", || {
        fossil.run(&["clone", "--no-open", text(&here)?, text(&there)?]).map(drop)
    })?;
    check("tickets at the other", fossil.show(&there, "1")?, fossil.show(&here, "1")?)?;
    if let Work::Records(records) = task.work {
        check("listed at the other", fossil.list(&there)?, listed(records))?;
    }
    steps.often("nothing new", || fossil.run(&["pull", "-R", text(&there)?]).map(drop))?;
    steps.sizes(&here, &there)?;
    let largest = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss();
    steps.peak(u64::try_from(largest)? * 1024);
    Ok(steps)
}

fn text(path: &Path) -> Result<&str> {
    Ok(path.to_str().ok_or("a path that is not text")?)
}

impl Fossil {
    fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("fossil")
            .args(arguments)
            .env("HOME", &self.home)
            .env("USER", "ada")
            .output()
            .map_err(|error| format!("fossil: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("fossil {}: {said}", arguments.join(" ")).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    fn init(&self) -> Result<()> {
        self.run(&["init", text(&self.repository)?]).map(drop)
    }

    /// Makes a ticket, and gives its id.
    fn add(&self, fields: &[Field]) -> Result<String> {
        let mut arguments = vec!["ticket", "add", "-R", text(&self.repository)?];
        arguments.extend(fields.iter().flat_map(|(name, value)| [*name, value.as_str()]));
        let said = self.run(&arguments)?;
        Ok(said.split_whitespace().next_back().ok_or("an id of the new ticket")?.to_owned())
    }

    fn set(&self, ticket: &str, fields: &[Field]) -> Result<()> {
        let mut arguments = vec!["ticket", "set", ticket, "-R", text(&self.repository)?];
        arguments.extend(fields.iter().flat_map(|(name, value)| [*name, value.as_str()]));
        self.run(&arguments).map(drop)
    }

    /// How many tickets satisfy a condition.
    fn show(&self, repository: &Path, condition: &str) -> Result<usize> {
        let said = self.run(&["ticket", "show", "0", condition, "-q", "-R", text(repository)?])?;
        Ok(said.lines().count().saturating_sub(1))
    }

    fn list(&self, repository: &Path) -> Result<usize> {
        self.show(repository, &format!("status='{CLOSED}' AND CAST(severity AS INT)>={SEVERE}"))
    }

    fn replay(&self, lines: &[Line]) -> Result<()> {
        let mut tickets = std::collections::HashMap::<String, String>::new();
        let mut told = Told::default();
        for line in lines {
            let fields = told.fields(line);
            if let Some(ticket) = tickets.get(&line.bug) {
                self.set(ticket, &fields)?;
            } else {
                tickets.insert(line.bug.clone(), self.add(&fields)?);
            }
        }
        Ok(())
    }

    /// Makes a repository of edits, each with its ticket and its time in seconds.
    fn reconstruct(
        &self,
        artifacts: &Path,
        edits: impl Iterator<Item = (String, u64, Vec<Field>)>,
    ) -> Result<()> {
        // An empty one gives the first check-in, which every repository has.
        let empty = artifacts.with_extension("empty");
        self.run(&["init", text(&empty)?])?;
        fs::create_dir(artifacts)?;
        self.run(&["deconstruct", "-R", text(&empty)?, text(artifacts)?])?;
        for (number, (ticket, time, fields)) in edits.enumerate() {
            let artifact = artifact(&ticket, time, fields)?;
            fs::write(artifacts.join(format!("edit-{number:08}")), artifact)?;
        }
        self.run(&["reconstruct", text(&self.repository)?, text(artifacts)?]).map(drop)
    }
}

/// A change of a ticket, in Fossil's format: cards in order, the last one the checksum of the others.
fn artifact(ticket: &str, time: u64, mut fields: Vec<Field>) -> Result<String> {
    let time = jiff::Timestamp::from_second(i64::try_from(time)?)?.to_string();
    let mut cards = format!("D {}.000\n", time.trim_end_matches('Z'));
    fields.sort();
    for (name, value) in fields {
        let value = value.replace('\\', "\\\\").replace(' ', "\\s").replace('\n', "\\n");
        writeln!(cards, "J {name} {value}")?;
    }
    writeln!(cards, "K {ticket}\nU ada")?;
    let mut sum = String::new();
    for byte in Md5::digest(&cards) {
        write!(sum, "{byte:02x}")?;
    }
    writeln!(cards, "Z {sum}")?;
    Ok(cards)
}

fn id(number: usize) -> String {
    format!("{:040x}", number + 1)
}

fn created(number: usize) -> Vec<Field> {
    let bug = Bug::new(number);
    vec![
        ("title", bug.title),
        ("status", bug.status.to_owned()),
        ("foundin", bug.owner),
        ("severity", bug.severity.to_string()),
        ("subsystem", bug.component),
    ]
}

/// What has been told of the bugs so far, where one edit follows from those before it.
#[derive(Debug, Default)]
struct Told {
    labels: std::collections::HashMap<String, String>,
    edits: std::collections::HashMap<String, u64>,
}

impl Told {
    /// One line of the history: comments become what Fossil has for them, the comment of a change.
    fn fields(&mut self, line: &Line) -> Vec<Field> {
        let mut fields = std::collections::BTreeMap::new();
        let mut comments = Vec::new();
        for operation in &line.ops {
            match &operation.what {
                What::Create { title, bytes } => {
                    fields.insert("title", title.clone());
                    fields.insert("status", "open".to_owned());
                    fields.insert("foundin", line.author.clone());
                    comments.push(format!("{bytes} bytes"));
                }
                What::Title { title } => {
                    fields.insert("title", title.clone());
                }
                What::Status { status } => {
                    fields.insert("status", status.clone());
                }
                What::Label { added, removed } => {
                    let before = self.labels.entry(line.bug.clone()).or_default();
                    *before = labels(before, added, removed);
                    fields.insert("subsystem", before.clone());
                }
                What::Comment { bytes } => comments.push(format!("{bytes} bytes")),
                What::EditComment { bytes } => comments.push(format!("now {bytes} bytes")),
            }
        }
        if !comments.is_empty() {
            fields.insert("icomment", comments.join("\n"));
        }
        let edits = self.edits.entry(line.bug.clone()).or_default();
        *edits += 1;
        fields.insert("priority", edits.to_string());
        fields.insert("username", line.author.clone());
        fields.into_iter().collect()
    }
}
