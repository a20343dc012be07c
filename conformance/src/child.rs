//! Other processes: the test binary runs its own test `child`, and the two talk line by line.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use prophet_store::{Head, Position, StoreError, Version};

use crate::cases::Site;
use crate::checks::linear::Question;
use crate::checks::memory::{fill, streamed};
use crate::disaster::PATIENCE;
use crate::failure::{Failure, Outcome};
use crate::fixtures::{Author, Make, Racer, World};
use crate::suite::{Context, Suite, apply, persist};
use harnesses::{Harness, Place, Power, Store};

/// Where the child finds the place.
const ADDRESS: &str = "CONFORMANCE_ADDRESS";
/// All that was asked is done.
const DONE: &str = "done";
/// Begins the answers of what was not to fail.
const FAILED: &str = "failed: ";
/// Begins the lines that are the child's own, among those of the test framework.
const MARK: &str = "conformance: ";

/// Runs a check as a test.
///
/// # Panics
/// If the store breaks the rule.
#[doc(hidden)]
pub fn test(
    harness: &dyn Harness,
    without: &[Power],
    (module, site): (&str, Site),
    group: &str,
    name: &str,
) {
    let check = crate::checks()
        .iter()
        .find(|check| (check.group, check.name) == (group, name))
        .expect("the tests and the registry come from one list");
    // Of `binary::module::group`, test names leave out the first and the child is beside the last.
    let path = module.split_once("::").map_or(module, |(_, path)| path);
    let child = format!("{}child", path.strip_suffix(group).unwrap_or(path));
    let suite = Suite::new(harness, without).with_child(arguments(&child)).with_site(site);
    if let Err(failure) = suite.run(check) {
        panic!("{group}::{name}\n{failure}");
    }
}

/// The arguments with which a test binary runs one ignored test of its own.
#[doc(hidden)]
pub fn arguments(test: &str) -> Vec<OsString> {
    ["--exact", test, "--ignored", "--nocapture", "--test-threads=1"].map(OsString::from).to_vec()
}

/// Another process that has, or may have, the place open.
#[derive(Debug)]
pub(crate) struct Child {
    process: std::process::Child,
    input: ChildStdin,
    lines: Receiver<io::Result<String>>,
}

impl Child {
    /// Starts a process for the place of this check. It opens nothing yet.
    pub(crate) fn start(context: &Context<'_>) -> Outcome<Self> {
        Self::start_at(context, context.place())
    }

    /// Starts a process for a place of the harness of this check.
    pub(crate) fn start_at(context: &Context<'_>, place: &dyn Place) -> Outcome<Self> {
        let around = |what: &str, error: &dyn std::fmt::Display| {
            Failure::around(format!("{what} another process: {error}"))
        };
        let Some(address) = place.address() else {
            return Err(Failure::around("the harness declares an address but gives none"));
        };
        let Some(arguments) = context.child() else {
            let why = "there is no other process: this check runs by `suite!` or `run`";
            return Err(Failure::around(why));
        };
        let program = std::env::current_exe().map_err(|error| around("finding", &error))?;
        let mut process = Command::new(program)
            .args(arguments)
            .env(ADDRESS, address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| around("starting", &error))?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (input, output) = pipes.ok_or_else(|| around("talking to", &"no pipes"))?;
        Ok(Self { process, input, lines: lines_of(output) })
    }

    /// Asks for something without waiting for the answer.
    pub(crate) fn ask(&mut self, command: &str) -> Outcome {
        writeln!(self.input, "{command}")
            .and_then(|()| self.input.flush())
            .map_err(|error| Failure::around(format!("asking the other process: {error}")))
    }

    /// The next answer.
    pub(crate) fn answer(&mut self) -> Outcome<String> {
        let ended = || Failure::around("the other process ended without an answer");
        self.answer_or_end()?.ok_or_else(ended)
    }

    /// The next answer; `None` if the process ended without another one.
    fn answer_or_end(&mut self) -> Outcome<Option<String>> {
        loop {
            let line = match self.lines.recv_timeout(PATIENCE) {
                Ok(Ok(line)) => line,
                Ok(Err(error)) => return Err(Failure::around(format!("no answer: {error}"))),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {
                    self.kill();
                    let seconds = PATIENCE.as_secs();
                    let why = format!("the other process has not answered for {seconds} seconds");
                    return Err(Failure::around(why));
                }
            };
            // What the framework prints before the first answer does not end in a line break.
            if let Some((_, answer)) = line.split_once(MARK) {
                // It was killed within an answer: so it did not give it.
                return Ok(answer.strip_suffix('\n').map(str::to_owned));
            }
        }
    }

    /// All answers to what was asked last.
    pub(crate) fn answers(&mut self) -> Outcome<Vec<String>> {
        let mut answers = Vec::new();
        loop {
            let answer = self.answer()?;
            if answer == DONE {
                return Ok(answers);
            }
            if answer.starts_with(FAILED) {
                return Err(Failure::around(format!("another process {answer}")));
            }
            answers.push(answer);
        }
    }

    /// Kills the process, once it has given so many answers to what it was asked last, or is done
    /// with it, and so many microseconds later. Gives all that it answered before it died, but for
    /// the end of it.
    pub(crate) fn killed_after(mut self, count: usize, microseconds: u64) -> Outcome<Vec<String>> {
        let mut answers = Vec::new();
        while answers.len() < count {
            answers.extend(self.answer_or_end()?);
            if answers.last().is_none_or(|answer| answer == DONE) {
                break;
            }
        }
        pause(microseconds);
        self.kill();
        while let Some(answer) = self.answer_or_end()? {
            answers.push(answer);
        }
        answers.retain(|answer| answer != DONE);
        match answers.iter().find(|answer| answer.starts_with(FAILED)) {
            Some(failed) => Err(Failure::around(format!("another process {failed}"))),
            None => Ok(answers),
        }
    }

    fn kill(&mut self) {
        // It may have ended by itself; either way it is gone after this.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Asks, and waits for the answer.
    pub(crate) fn call(&mut self, command: &str) -> Outcome<String> {
        self.ask(command)?;
        self.answer()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The lines that a process writes, until it ends; read on a thread, so that waiting can have an end.
fn lines_of(output: ChildStdout) -> Receiver<io::Result<String>> {
    let (said, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        loop {
            let mut line = String::new();
            let read = output.read_line(&mut line);
            let last = !matches!(read, Ok(1..));
            if !matches!(read, Ok(0)) && said.send(read.map(|_| line)).is_err() || last {
                return;
            }
        }
    });
    lines
}

/// Lets other processes get on for a while.
#[allow(
    clippy::disallowed_methods,
    reason = "when a process is killed, in real time, is what varies"
)]
pub(crate) fn pause(microseconds: u64) {
    thread::sleep(Duration::from_micros(microseconds));
}

/// How heads are told between processes.
pub(crate) fn told(head: &Head) -> String {
    format!("{} {} {}", head.version, head.position, head.commit)
}

/// The head that was told.
pub(crate) fn heard(text: &str) -> Outcome<Head> {
    let mut words = text.split(' ');
    let mut number = || words.next().and_then(|word| word.parse().ok());
    let (version, position) = (number().map(Version::new), number().map(Position::new));
    let commit = words.next().and_then(|word| word.parse().ok());
    match (version, position, commit) {
        (Some(version), Some(position), Some(commit)) => Ok(Head { version, position, commit }),
        _ => Err(Failure::around(format!("another process says {text:?} for a head"))),
    }
}

/// Whether this process was started by a check.
pub(crate) fn is_child() -> bool {
    std::env::var_os(ADDRESS).is_some()
}

/// Serves a parent, line by line, until it asks to exit. Where there is no parent, it does nothing.
#[doc(hidden)]
pub fn child(harness: &dyn Harness) {
    let Ok(address) = std::env::var(ADDRESS) else {
        return;
    };
    let mut server = Server { harness, address, store: None, racer: None };
    for line in io::stdin().lines().map_while(Result::ok) {
        let answer = server.serve(&line).unwrap_or_else(|failure| match failure {
            Failed::Store(error) => error_name(&error),
            Failed::Check(failure) => format!("{FAILED}{failure}").replace('\n', " "),
        });
        say(&answer);
    }
}

/// Answers. One write, so that no line of the framework comes in between.
fn say(answer: &str) {
    let answer = format!("{MARK}{answer}\n");
    let mut output = io::stdout().lock();
    if output.write_all(answer.as_bytes()).and_then(|()| output.flush()).is_err() {
        // Nobody listens any more.
        std::process::exit(0);
    }
}

struct Server<'a> {
    harness: &'a dyn Harness,
    address: String,
    store: Option<Store>,
    racer: Option<Racer>,
}

enum Failed {
    Store(StoreError),
    Check(Failure),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self::Check(failure)
    }
}

/// The name of the variant, which is what the checks look at.
fn error_name(error: &StoreError) -> String {
    let text = format!("{error:?}");
    text.split([' ', '(']).next().unwrap_or_default().to_owned()
}

impl Server<'_> {
    /// Carries out one command:
    ///
    /// - `open`, `close`, `drop`, `head`, `ready`, which does nothing, and `exit`, which ends the
    ///   process with no handle closed or dropped;
    /// - `expect N`: the content is that after the first N steps;
    /// - `steps FROM COUNT`, and `run FROM COUNT`, which answers each head when it is acknowledged;
    /// - `write SCRIPT LETTERS`: an author's commits, each answered when it is acknowledged;
    /// - `race SALT COUNT`, and `racing SALT COUNT`, which answers each head when it is acknowledged;
    /// - `try SALT HEAD`: one commit of a racer, and `read NUMBER NUMBER NUMBER`: a page;
    /// - `fill`: many long texts, and `stream`: how far the peak of the memory rises
    ///   while everything is read.
    fn serve(&mut self, line: &str) -> Result<String, Failed> {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut words = rest.split(' ');
        let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0_usize);
        let done = Ok(DONE.to_owned());
        match command {
            "ready" => return done,
            "open" => {
                self.store = Some(self.harness.open_address(&self.address)?);
                return done;
            }
            "drop" => {
                self.store = None;
                return done;
            }
            "exit" => std::process::exit(0),
            _ => {}
        }
        let Some(store) = &self.store else {
            return Err(Failure::around(format!("there is no {line:?} now")).into());
        };
        match command {
            "close" => block_on(store.close())?,
            "head" => return Ok(told(&block_on(store.head())?)),
            "expect" => {
                let mut world = World::new();
                world.steps(number());
                block_on(world.model.expect(store))?;
            }
            "steps" | "run" => {
                let mut world = World::new();
                world.steps(number());
                for commit in world.steps(number()) {
                    block_on(apply(store, &commit))?;
                    if command == "run" {
                        say(&told(&commit.head()));
                    }
                }
                if command == "steps" {
                    return Ok(told(&world.head()));
                }
            }
            "write" => {
                let (script, letters) = rest.split_once(' ').unwrap_or_default();
                let mut author = Author::of(script);
                for make in Make::told(letters) {
                    let commit = author.make(make);
                    block_on(apply(store, &commit))?;
                    say(&told(&commit.head()));
                }
            }
            "race" => {
                let mut racer = Racer::new(u8::try_from(number()).unwrap_or_default());
                let heads = block_on(racer.run(store, number()))?;
                return Ok(heads.iter().map(told).collect::<Vec<_>>().join(","));
            }
            "racing" => {
                let mut racer = Racer::new(u8::try_from(number()).unwrap_or_default());
                for _ in 0..number() {
                    for head in block_on(racer.run(store, 1))? {
                        say(&told(&head));
                    }
                }
            }
            "try" => {
                let salt = u8::try_from(number()).unwrap_or_default();
                let (_, base) = rest.split_once(' ').unwrap_or_default();
                let racer = self.racer.get_or_insert_with(|| Racer::new(salt));
                let (commit, changeset) = racer.commit_on(heard(base)?);
                return Ok(match block_on(persist(store, &commit)) {
                    Ok(head) => {
                        racer.won(&changeset);
                        told(&head)
                    }
                    Err(StoreError::StaleBase { head, .. }) => format!("stale {}", told(&head)),
                    Err(error) => return Err(error.into()),
                });
            }
            "read" => {
                return Ok(block_on(Question(number(), number(), number()).ask(store))?.told());
            }
            "fill" => block_on(fill(store))?,
            "stream" => return Ok(block_on(streamed(self.harness, store))?.to_string()),
            _ => return Err(Failure::around(format!("there is no {line:?}")).into()),
        }
        done
    }
}
