//! A replica that `prophet serve` serves, with its own process.

use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::{Arc, Mutex};

use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};

use crate::support::{Office, Person, run};

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

/// A server that answers everything with this, and what it was asked: the heads of the requests.
fn stub(answer: String) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<_>>>::default());
    let heads = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            heads.lock().unwrap().push(String::from_utf8(head).unwrap());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, asked)
}

fn problem(status: &str, detail: &str) -> String {
    let body = serde_json::json!({"type": "about:blank", "detail": detail}).to_string();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/problem+json\r\nProphet-Protocol: 1\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Whoever is on the network may say that they have the database.
#[test]
fn who_is_found_on_the_network_is_shown_no_token() {
    let office = Office::new();
    let bob = office.person_with_replica("bob");
    let database = bob.reads(&["info"])["database"].as_str().unwrap().to_owned();
    let (address, asked) = stub(problem("404 Not Found", "nothing"));
    let daemon = ServiceDaemon::new().unwrap();
    daemon.enable_interface(IfKind::LoopbackV4).unwrap();
    let told = &[("database", &*database)][..];
    let (service, host) = ("_prophet._tcp.local.", "prophet-eve.local.");
    let info = ServiceInfo::new(service, "eve", host, "127.0.0.1", address.port(), told);
    daemon.register(info.unwrap()).unwrap();

    let with_token = |words: &[&str]| {
        let mut command = bob.command();
        command.env("PROPHET_TOKEN", "a-secret-of-bobs").args(words);
        let ran = run(&mut command, "");
        assert_ne!(ran.code, 0, "{ran:?}");
        (std::mem::take(&mut *asked.lock().unwrap()), ran.stderr)
    };
    let (heads, said) = with_token(&["pull", "--local", "--wait", "3"]);
    assert!(!heads.is_empty(), "{said}");
    for head in heads {
        let head = head.to_ascii_lowercase();
        assert!(!head.contains("authorization") && !head.contains("secret"), "{head}");
    }
    let (heads, _) = with_token(&["pull", &format!("http://{address}/")]);
    assert!(heads[0].contains("Bearer a-secret-of-bobs"), "who is named is: {heads:?}");
    daemon.shutdown().unwrap();
}

#[test]
fn a_private_replica_that_is_found_is_to_be_named() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.does(&["create", "bug", "title=one"]);
    ada.does(&["bundle", "create", "../notes.bundle"]);
    ada.writes("token", "token-of-the-tests\n");
    let bob = office.person("bob");
    bob.does(&["clone", "bundle:../notes.bundle"]);
    let _served = serve(&ada, &["--private", "--announce", "--token-file", "token"]);
    let mut pull = bob.command();
    pull.env("PROPHET_TOKEN", "token-of-the-tests").args(["pull", "--local", "--wait", "3"]);
    let ran = run(&mut pull, "");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("by its URL") && !ran.stderr.contains("PROPHET_TOKEN"), "{ran:?}");
}

/// A record that came by the API has no number yet, and who may only read can give it none.
#[test]
fn who_may_only_read_sees_what_has_no_number_yet() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.writes("token", "token-of-the-tests\n");
    let id = {
        let served = serve(&ada, &["--open"]);
        let host = served.url.trim_start_matches("http://").trim_end_matches('/');
        let mut stream = TcpStream::connect(host).unwrap();
        write!(
            stream,
            "POST /records/bug.json HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: 15\r\n\r\n{{\"title\":\"one\"}}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body = answer.split("\r\n\r\n").nth(1).unwrap();
        let id = body.split("\"id\":\"").nth(1).unwrap_or_else(|| panic!("{answer}"));
        id.split('"').next().unwrap().to_owned()
    };
    let bob = office.person("bob");
    for words in [&["--token-file", "token"][..], &["--read-only"]] {
        let served = serve(&ada, words);
        let listed = bob.does(&["-r", &served.url, "list", "bug"]);
        assert!(listed.contains("one"), "{words:?}: {listed}");
        let shown = bob.does(&["-r", &served.url, "show", &id]);
        assert!(shown.contains(&id) && shown.contains("one"), "{words:?}: {shown}");
        let said = bob.fails(1, &["-r", &served.url, "update", &id, "title=two"]);
        assert!(said.contains("PROPHET_TOKEN"), "{said}");
    }
}

#[test]
fn what_a_server_says_is_nothing_that_a_terminal_obeys() {
    let office = Office::new();
    let bob = office.person_with_replica("bob");
    let (address, _) = stub(problem("400 Bad Request", "no\u{1b}]0;owned\u{7}\u{9b}31m\rway\nout"));
    let url = format!("http://{address}/");
    for words in [&["pull", &*url][..], &["push", &url], &["-r", &url, "list", "bug"]] {
        let said = bob.runs(&[&["--color", "always"], words].concat()).stderr;
        assert!(said.contains(r"no\u{1b}]0;owned\u{7}\u{9b}31m\rway"), "{words:?}: {said:?}");
        // The command itself says `prophet:` in colors.
        let said = said.split_once(' ').unwrap().1;
        let obeyed = said.trim_end().contains(|c: char| c.is_control() && c != '\n');
        assert!(!obeyed, "{words:?}: {said:?}");
    }
}
