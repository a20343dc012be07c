//! The sessions in the README are run, and show what they say.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;

use crate::support::{Office, expect};

const HEADING: &str = "## At the prompt";

/// A command of a session, who types it, and what it shows.
struct Step {
    person: String,
    line: String,
    shows: String,
}

/// The steps of the console blocks beneath a heading.
fn steps(text: &str) -> Vec<Step> {
    let (_, section) = text.split_once(HEADING).expect("the README has the heading");
    let section = section.split("\n## ").next().unwrap();
    let (mut steps, mut within): (Vec<Step>, bool) = (Vec::new(), false);
    for line in section.lines() {
        if line.starts_with("```") {
            within = line == "```console";
            continue;
        }
        if !within {
            continue;
        }
        match line.split_once("$ ") {
            Some((person, typed)) if person.chars().all(char::is_alphanumeric) => {
                let (person, line) = (person.to_owned(), typed.to_owned());
                steps.push(Step { person, line, shows: String::new() });
            }
            _ => {
                let step = steps.last_mut().expect("a session begins with a command");
                step.shows.push_str(line);
                step.shows.push('\n');
            }
        }
    }
    steps
}

/// Runs a command; all that it shows, in order.
fn run(office: &Office, step: &Step) -> String {
    let person = office.person(&step.person);
    let words = shlex::split(&step.line).unwrap();
    let (program, words) = words.split_first().unwrap();
    assert_eq!(program, "prophet", "{}", step.line);
    let mut shown = File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(office.path().join("shown"))
        .unwrap();
    let mut command = person.command();
    command.args(words).stdin(std::process::Stdio::null());
    command.stdout(shown.try_clone().unwrap()).stderr(shown.try_clone().unwrap());
    let code = command.status().unwrap().code().unwrap();
    let mut text = String::new();
    shown.rewind().unwrap();
    shown.read_to_string(&mut text).unwrap();
    // Conflicts that are left open are part of the story.
    assert!([0, 4].contains(&code), "{}: {code}: {text}", step.line);
    text
}

#[test]
fn the_session_in_the_readme_shows_what_it_says() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let steps = steps(&std::fs::read_to_string(readme).unwrap());
    assert!(steps.len() >= 10, "the README has a session of several steps");
    let office = Office::new();
    for step in &steps {
        let shown = run(&office, step);
        println!("{}$ {}\n{shown}", step.person, step.line);
        expect(&step.shows, &shown);
    }
}
