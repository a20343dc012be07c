//! A replica that `prophet serve` serves, with its own process.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStderr, Stdio};

use crate::support::{Office, Person};

/// A server that ends with this.
struct Served {
    process: Child,
    url: String,
    /// What it says on stderr from here on.
    lines: Option<Lines<BufReader<ChildStderr>>>,
    /// What was said before the address.
    said: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve(person: &Person, words: &[&str]) -> Served {
    let mut command = person.command();
    command.args(["serve", "--port", "0"]).args(words);
    let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let mut said = String::new();
    let url = loop {
        let line = lines.next().expect("it says where it serves").unwrap();
        if let Some((_, url)) = line.split_once(" at http") {
            break format!("http{url}");
        }
        said.push_str(&line);
        said.push('\n');
    };
    Served { process, url, lines: Some(lines), said }
}

impl Served {
    /// What it logged until it was ended.
    fn log(&mut self) -> Vec<String> {
        self.process.kill().unwrap();
        self.lines.take().unwrap().map(Result::unwrap).collect()
    }
}

#[test]
fn the_log_tells_each_request_and_is_not_needed() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    let bob = office.person("bob");
    let asks = |served: &Served| bob.does(&["-r", &served.url, "search", "bug", "--count"]);

    let mut served = serve(&ada, &["--log", "json"]);
    asks(&served);
    let log = served.log();
    let log: Vec<serde_json::Value> =
        log.iter().map(|line| serde_json::from_str(line).expect(line)).collect();
    let answered = log.iter().find(|event| event["path"] == "/store/count_records");
    let answered = answered.unwrap_or_else(|| panic!("{log:#?}"));
    assert_eq!(answered["method"], "POST");
    assert_eq!(answered["status"], 200);
    assert_eq!(answered["level"], "INFO");

    let mut served = serve(&ada, &[]);
    asks(&served);
    assert!(served.log().iter().any(|line| line.contains("status=200")));
    let mut served = serve(&ada, &["--log", "off"]);
    asks(&served);
    assert_eq!(served.log(), Vec::<String>::new());

    // Nobody reads it any more.
    let mut served = serve(&ada, &[]);
    drop(served.lines.take());
    asks(&served);
    asks(&served);
}

#[test]
fn a_served_replica_is_a_source_a_target_and_a_replica() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.does(&["create", "bug", "title=one"]);
    let served = serve(&ada, &["--open"]);
    let (url, bob) = (served.url.as_str(), office.person("bob"));
    assert_eq!(bob.does(&["clone", url]), format!("1 changeset from {url}\n"));
    bob.does(&["create", "bug", "title=two"]);
    bob.does(&["push"]);
    assert_eq!(ada.does(&["search", "bug", "title=two", "--count"]), "1\n");
    ada.does(&["create", "bug", "title=three"]);
    assert_eq!(bob.does(&["pull"]), "1 changeset from origin\n");
    // Without a replica of one's own.
    let cleo = office.person("cleo");
    cleo.does(&["-r", url, "create", "bug", "title=four"]);
    assert_eq!(cleo.does(&["-r", url, "search", "bug", "--count"]), "4\n");
    assert_eq!(ada.does(&["search", "bug", "title=four", "--count"]), "1\n");
    assert!(ada.does(&["log"]).contains("cleo"));
}

#[test]
fn who_writes_has_to_show_the_token() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.does(&["create", "bug", "title=one"]);
    let served = serve(&ada, &[]);
    let (_, token) = served.said.trim().split_once("PROPHET_TOKEN=").expect("it shows the token");
    let bob = office.person("bob");
    bob.does(&["clone", &served.url]);
    bob.does(&["create", "bug", "title=two"]);
    let said = bob.fails(1, &["push"]);
    assert!(said.contains("PROPHET_TOKEN"), "{said}");
    let pushed = bob.command().env("PROPHET_TOKEN", token).arg("push").output().unwrap();
    assert!(pushed.status.success(), "{pushed:?}");
    assert_eq!(ada.does(&["search", "bug", "--count"]), "2\n");
}

#[test]
fn a_server_for_reading_only_takes_nothing() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.writes("token", "a-secret-that-is-long-enough\n");
    for words in [&["--read-only"][..], &["--token-file", "token"]] {
        let served = serve(&ada, words);
        assert_eq!(served.said, "", "no token is shown that is not new");
        let bob = office.person("bob");
        let said = bob.fails(1, &["-r", &served.url, "create", "bug", "title=two"]);
        assert!(said.contains("PROPHET_TOKEN"), "{said}");
        assert_eq!(bob.does(&["-r", &served.url, "search", "bug", "--count"]), "0\n");
        let elsewhere = format!("{}elsewhere/", served.url);
        let said = bob.fails(3, &["clone", &elsewhere]);
        assert!(said.contains("at another address") && !said.contains("PROPHET_TOKEN"), "{said}");
    }
    for words in
        [&["serve", "--open", "--read-only"][..], &["serve", "--open", "--token-file", "x"]]
    {
        ada.fails(2, words);
    }
    assert!(ada.fails(6, &["push", "http://127.0.0.1:9/"]).contains("127.0.0.1:9"));
}

#[test]
fn a_replica_that_is_announced_is_pulled_from_by_those_of_its_database() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.does(&["create", "bug", "title=one"]);
    let bob = office.person("bob");
    {
        let served = serve(&ada, &[]);
        bob.does(&["clone", &served.url]);
    }
    ada.does(&["create", "bug", "title=two"]);
    let served = serve(&ada, &["--announce"]);
    // Of another database.
    let eve = office.person_with_replica("eve");
    let _other = serve(&eve, &["--announce"]);
    let url = served.url.trim_end_matches('/');
    assert_eq!(bob.does(&["pull", "--local"]), format!("1 changeset from {url}\n"));
    assert_eq!(bob.does(&["search", "bug", "title=two", "--count"]), "1\n");
}

#[test]
fn who_reads_a_private_replica_has_to_show_the_token() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.does(&["create", "bug", "title=one"]);
    ada.writes("token", "token-of-the-tests\n");
    let served = serve(&ada, &["--private", "--token-file", "token", "--rate", "1000"]);
    let bob = office.person("bob");
    let said = bob.fails(1, &["clone", &served.url]);
    assert!(said.contains("PROPHET_TOKEN"), "{said}");
    let mut clone = bob.command();
    clone.env("PROPHET_TOKEN", "token-of-the-tests").args(["clone", &served.url]);
    assert!(clone.output().unwrap().status.success());
    let said = ada.fails(2, &["serve", "--origin", "example.org"]);
    assert!(said.contains("scheme"), "{said}");
}

#[cfg(unix)]
#[test]
fn whoever_supervises_the_server_ends_it_as_well() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    let mut served = serve(&ada, &[]);
    let id = served.process.id().to_string();
    let told = std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(told.success());
    assert_eq!(served.process.wait().unwrap().code(), Some(0));
}
