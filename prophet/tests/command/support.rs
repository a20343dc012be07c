//! People with a directory and a `prophet` of their own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

pub(crate) const PROPHET: &str = env!("CARGO_BIN_EXE_prophet");

/// A directory in which people have directories.
pub(crate) struct Office {
    directory: TempDir,
}

/// Somebody, in their own directory.
pub(crate) struct Person {
    pub(crate) directory: PathBuf,
    name: String,
}

/// What a program said and how it ended.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap(),
        }
    }
}

impl Office {
    pub(crate) fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn person(&self, name: &str) -> Person {
        let directory = self.path().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        Person { directory, name: name.to_owned() }
    }

    /// Somebody with a replica.
    pub(crate) fn person_with_replica(&self, name: &str) -> Person {
        let person = self.person(name);
        person.does(&["init"]);
        person
    }
}

impl Person {
    /// The program, as it runs for this person and nobody else's settings.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(PROPHET);
        command.current_dir(&self.directory).env_clear().env("PROPHET_CREATOR", &self.name);
        command.env("HOME", &self.directory);
        // Servers that tests start are on this machine.
        command.env("NO_PROXY", "127.0.0.1");
        command
    }

    pub(crate) fn runs(&self, words: &[&str]) -> Ran {
        self.runs_with(words, "")
    }

    pub(crate) fn runs_with(&self, words: &[&str], input: &str) -> Ran {
        run(self.command().args(words), input)
    }

    /// Runs it with an output that is closed.
    pub(crate) fn runs_and_nobody_reads(&self, words: &[&str]) -> Ran {
        let (reads, writes) = std::io::pipe().unwrap();
        drop(reads);
        let output =
            self.command().args(words).stdin(Stdio::null()).stdout(writes).output().unwrap();
        Ran::of(output)
    }

    /// Runs what has to go well; what it said.
    pub(crate) fn does(&self, words: &[&str]) -> String {
        let ran = self.runs(words);
        assert_eq!(ran.code, 0, "prophet {words:?}: {ran:?}");
        ran.stdout
    }

    /// Runs what has to go well, and reads what it said as JSON.
    pub(crate) fn reads(&self, words: &[&str]) -> serde_json::Value {
        let said = self.does(&[&["--format", "json"], words].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{words:?}: {error}: {said}"))
    }

    /// Runs what has to fail with this exit code; what it said on stderr.
    pub(crate) fn fails(&self, code: i32, words: &[&str]) -> String {
        let ran = self.runs(words);
        assert_eq!(ran.code, code, "prophet {words:?}: {ran:?}");
        ran.stderr
    }

    pub(crate) fn writes(&self, file: &str, content: &str) {
        std::fs::write(self.directory.join(file), content).unwrap();
    }

    /// What there is in the directory, by name.
    pub(crate) fn names(&self) -> Vec<String> {
        self.names_in(".")
    }

    /// What there is in a directory of it, by name.
    pub(crate) fn names_in(&self, directory: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.join(directory)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn file(&self, file: &str) -> String {
        std::fs::read_to_string(self.directory.join(file)).unwrap()
    }
}

pub(crate) fn run(command: &mut Command, input: &str) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may not read it.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    Ran::of(child.wait_with_output().unwrap())
}

/// Whether `shown` is what was expected, in which `[..]` stands for anything on one line.
pub(crate) fn matches(expected: &str, shown: &str) -> bool {
    let (expected, shown): (Vec<_>, Vec<_>) = (expected.lines().collect(), shown.lines().collect());
    expected.len() == shown.len()
        && expected.iter().zip(&shown).all(|(expected, shown)| matches_line(expected, shown))
}

fn matches_line(expected: &str, shown: &str) -> bool {
    let mut parts = expected.split("[..]");
    let Some(mut rest) = shown.strip_prefix(parts.next().unwrap()) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[track_caller]
pub(crate) fn expect(expected: &str, shown: &str) {
    assert!(matches(expected, shown), "expected:\n{expected}\nshown:\n{shown}");
}

#[test]
fn a_wildcard_stands_for_what_is_on_one_line_and_nothing_else() {
    assert!(matches("a [..] c\nd", "a b c\nd"));
    assert!(matches("a[..]", "a"));
    assert!(matches("a[..]b[..]c", "a1b2c"));
    for (expected, shown) in [
        ("a", "b"),
        ("a", "ab"),
        ("a[..]", "b"),
        ("[..]c", "cd"),
        ("[..]", "a\nb"),
        ("a[..]b[..]c", "ac"),
    ] {
        assert!(!matches(expected, shown), "{expected} {shown}");
    }
}
