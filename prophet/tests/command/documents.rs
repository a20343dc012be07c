//! What is generated from the command line's own definition: documentation, manual, completions.

use std::path::{Path, PathBuf};

use crate::support::{Office, Person};

const MARK: &str =
    "<!-- What follows is what --help says; PROPHET_BLESS=1 cargo test -p prophet writes it. -->\n";

/// The commands that a help lists.
fn listed(help: &str) -> Vec<String> {
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let names = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

fn sections(person: &Person, path: &[String], text: &mut String) {
    let mut words: Vec<_> = path.iter().map(String::as_str).collect();
    words.push("--help");
    let help = person.does(&words);
    text.push_str(&format!("\n{} `prophet", "#".repeat(path.len() + 2)));
    path.iter().for_each(|word| text.push_str(&format!(" {word}")));
    text.push_str("`\n\n```text\n");
    // What every command takes is said once.
    let shown = match path {
        [] => help.as_str(),
        _ => help.split("\nEverywhere:\n").next().unwrap(),
    };
    let after = help.split_once("\nEverywhere:\n").map_or("", |(_, rest)| rest);
    let after = after.split_once("\n\n").map(|_| after_options(after)).unwrap_or_default();
    text.push_str(shown.trim_end());
    if !path.is_empty() && !after.is_empty() {
        text.push_str("\n\n");
        text.push_str(after.trim_end());
    }
    text.push_str("\n```\n");
    for name in listed(&help) {
        sections(person, &[path, &[name]].concat(), text);
    }
}

/// What follows the options of a help: what is not indented as they are.
fn after_options(text: &str) -> String {
    let mut lines = text.lines().skip_while(|line| line.starts_with(' ') || line.is_empty());
    lines.by_ref().fold(String::new(), |text, line| text + line + "\n")
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/command.md")
}

#[test]
fn the_document_says_what_help_says() {
    let office = Office::new();
    let person = office.person("ada");
    let mut generated = String::new();
    sections(&person, &[], &mut generated);
    let text = std::fs::read_to_string(document()).unwrap();
    let (written, there) = text.split_once(MARK).expect("docs/command.md has the mark");
    if std::env::var_os("PROPHET_BLESS").is_some() {
        std::fs::write(document(), format!("{written}{MARK}{generated}")).unwrap();
        return;
    }
    assert!(there == generated, "docs/command.md is not current: run this with PROPHET_BLESS=1");
}

#[test]
fn every_command_has_a_page_of_the_manual() {
    let office = Office::new();
    let person = office.person("ada");
    person.does(&["man", "--output", "man"]);
    for name in listed(&person.does(&["--help"])) {
        let page = person.file(&format!("man/prophet-{name}.1"));
        assert!(page.contains(".TH"), "{name}");
        assert!(person.does(&["man", &name]).contains(".SH"), "{name}");
    }
    assert!(person.does(&["man"]).contains("prophet"));
    assert!(person.fails(3, &["man", "nothing"]).contains("no command nothing"));
}

#[test]
fn every_shell_gets_its_completions() {
    let office = Office::new();
    let person = office.person("ada");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = person.does(&["completions", shell]);
        assert!(script.contains("undelete"), "{shell}");
    }
    person.fails(2, &["completions", "command.com"]);
}

#[test]
fn the_help_promises_the_exit_codes() {
    let office = Office::new();
    let help = office.person("ada").does(&["--help"]);
    for code in 0..=6 {
        assert!(help.contains(&format!("\n  {code}  ")), "{code}");
    }
}
