//! Other processes: the test binary runs its own test `child`, and the two talk line by line.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use futures_lite::future::block_on;
use prophet_store::{Head, StoreError};

use crate::failure::{Failure, Outcome};
use crate::fixtures::{Racer, World};
use crate::harness::{Harness, Power, Store};
use crate::suite::{Context, Suite, apply};

/// Where the child finds the place.
const ADDRESS: &str = "CONFORMANCE_ADDRESS";
/// Begins the lines that are the child's own, among those of the test framework.
const MARK: &str = "conformance: ";

/// Runs a check as a test.
///
/// # Panics
/// If the store breaks the rule.
#[doc(hidden)]
pub fn test(harness: &dyn Harness, without: &[Power], module: &str, group: &str, name: &str) {
    let check = crate::checks()
        .iter()
        .find(|check| (check.group, check.name) == (group, name))
        .expect("the tests and the registry come from one list");
    // Of `binary::module::group`, test names leave out the first and the child is beside the last.
    let path = module.split_once("::").map_or(module, |(_, path)| path);
    let child = format!("{}child", path.strip_suffix(group).unwrap_or(path));
    if let Err(failure) = Suite::new(harness, without).with_child(arguments(&child)).run(check) {
        panic!("{group}::{name}\n{failure}");
    }
}

/// The arguments with which a test binary runs one ignored test of its own.
#[doc(hidden)]
pub fn arguments(test: &str) -> Vec<String> {
    ["--exact", test, "--ignored", "--nocapture", "--test-threads=1"].map(str::to_owned).to_vec()
}

/// Another process that has, or may have, the place open.
#[derive(Debug)]
pub(crate) struct Child {
    process: std::process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Child {
    /// Starts a process for the place of this check. It opens nothing yet.
    pub(crate) fn start(context: &Context<'_>) -> Outcome<Self> {
        let around = |what: &str, error: &dyn std::fmt::Display| {
            Failure::around(format!("{what} another process: {error}"))
        };
        let (Some(address), Some(arguments)) = (context.place().address(), context.child()) else {
            return Err(Failure::around("the harness declares an address but gives none"));
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
        Ok(Self { process, input, output: BufReader::new(output) })
    }

    /// Asks for something without waiting for the answer.
    pub(crate) fn ask(&mut self, command: &str) -> Outcome {
        writeln!(self.input, "{command}")
            .and_then(|()| self.input.flush())
            .map_err(|error| Failure::around(format!("asking the other process: {error}")))
    }

    /// The next answer.
    pub(crate) fn answer(&mut self) -> Outcome<String> {
        let mut line = String::new();
        loop {
            line.clear();
            match self.output.read_line(&mut line) {
                Ok(0) => return Err(Failure::around("the other process ended without an answer")),
                Ok(_) => {}
                Err(error) => return Err(Failure::around(format!("no answer: {error}"))),
            }
            // What the framework prints before the first answer does not end in a line break.
            if let Some((_, answer)) = line.trim_end_matches('\n').split_once(MARK) {
                return Ok(answer.to_owned());
            }
        }
    }

    /// Asks, and waits for the answer.
    pub(crate) fn call(&mut self, command: &str) -> Outcome<String> {
        self.ask(command)?;
        self.answer()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone after this.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How heads are told between processes.
pub(crate) fn told(head: &Head) -> String {
    format!("{} {} {}", head.version, head.position, head.commit)
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
    let mut store = None;
    for line in io::stdin().lines().map_while(Result::ok) {
        let answer = serve(harness, &address, &mut store, &line);
        // One write, so that no line of the framework comes in between.
        let answer = format!("{MARK}{answer}\n");
        let mut output = io::stdout().lock();
        if output.write_all(answer.as_bytes()).and_then(|()| output.flush()).is_err() {
            break;
        }
    }
}

/// The name of the variant, which is what the checks look at.
fn error_name(error: &StoreError) -> String {
    let text = format!("{error:?}");
    text.split([' ', '(']).next().unwrap_or_default().to_owned()
}

/// Carries out one command: `open`, `close`, `drop`, `head`, `expect N` (the content after the
/// first N steps), `steps FROM COUNT`, `race SALT COUNT`, or `exit`, which ends the process with
/// no handle closed or dropped.
fn serve(harness: &dyn Harness, address: &str, store: &mut Option<Store>, line: &str) -> String {
    let mut words = line.split(' ');
    let command = words.next().unwrap_or_default();
    let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0_usize);
    let failed = |failure: Failure| format!("failed: {failure}").replace('\n', " ");
    match (command, &store) {
        ("open", _) => match harness.open_address(address) {
            Ok(opened) => {
                *store = Some(opened);
                "done".to_owned()
            }
            Err(error) => error_name(&error),
        },
        ("exit", _) => std::process::exit(0),
        ("drop", _) => {
            *store = None;
            "done".to_owned()
        }
        ("close", Some(store)) => match block_on(store.close()) {
            Ok(()) => "done".to_owned(),
            Err(error) => error_name(&error),
        },
        ("head", Some(store)) => match block_on(store.head()) {
            Ok(head) => told(&head),
            Err(error) => error_name(&error),
        },
        ("expect", Some(store)) => {
            let mut world = World::new();
            world.steps(number());
            match block_on(world.model.expect(store)) {
                Ok(()) => "done".to_owned(),
                Err(failure) => failed(failure),
            }
        }
        ("steps", Some(store)) => {
            let mut world = World::new();
            world.steps(number());
            for commit in world.steps(number()) {
                if let Err(failure) = block_on(apply(store, &commit)) {
                    return failed(failure);
                }
            }
            told(&world.head())
        }
        ("race", Some(store)) => {
            let mut racer = Racer::new(u8::try_from(number()).unwrap_or_default());
            match block_on(racer.run(store, number())) {
                Ok(heads) => heads.iter().map(told).collect::<Vec<_>>().join(","),
                Err(failure) => failed(failure),
            }
        }
        _ => format!("failed: there is no {line:?} now"),
    }
}
