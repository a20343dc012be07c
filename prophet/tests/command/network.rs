//! A published replica over HTTP.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::support::Office;

/// A web server that serves the files of a directory on the loopback address, for as long as the test
/// runs: what `publish` writes needs no more.
fn serve(directory: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                request.push(byte[0]);
            }
            let request = String::from_utf8(request).unwrap();
            let path = request.split_whitespace().nth(1).unwrap_or("/").trim_start_matches('/');
            let (status, body) = match std::fs::read(Path::new(&directory).join(path)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    url
}

#[test]
fn a_published_replica_is_cloned_pulled_from_and_read_over_http() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.does(&["create", "bug", "title=one"]);
    ada.does(&["publish", "../web"]);
    let url = serve(office.path().join("web"));
    let bob = office.person("bob");
    assert_eq!(bob.does(&["-r", &url, "search", "bug", "--count"]), "1\n");
    assert!(bob.fails(1, &["-r", &url, "delete", "1"]).contains("can only be read"));
    assert_eq!(bob.does(&["clone", &url]), format!("1 changeset from {url}\n"));
    ada.does(&["create", "bug", "title=two"]);
    ada.does(&["publish", "../web"]);
    assert_eq!(bob.does(&["pull"]), "1 changeset from origin\n");
    let nowhere = format!("{url}nowhere/");
    let said = bob.fails(3, &["pull", &nowhere]);
    assert!(said.contains("nowhere"), "{said}");
}

#[test]
fn nobody_on_the_local_network_is_said_to_be_there_who_is_not() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    let said = ada.fails(3, &["pull", "--local", "--wait", "1"]);
    assert!(said.contains("serve --announce"), "{said}");
}

#[test]
fn passwords_in_urls_are_kept_and_not_shown() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    let plain = format!("{}notes", serve(office.path().join("nothing")));
    let url = &format!("{}?sig=pass2", plain.replace("http://", "http://ada:pass1@"));
    let mut said = Vec::new();
    for format in ["table", "json", "jsonl"] {
        said.push(ada.runs(&["--format", format, "peers", "add", format, url]));
        said.push(ada.runs(&["--format", format, "peers"]));
        said.push(ada.runs(&["--format", format, "info"]));
    }
    for words in [
        &["peers", "add", "json", url][..],
        &["pull", url],
        &["pull", url, url],
        &["pull", "http://127.0.0.1:99999/?sig=pass2"],
        &["push", url],
        &["clone", url, "sqlite:x.db"],
        &["-r", url, "verify"],
        &["publish", url],
        &["init", url],
    ] {
        let ran = ada.runs(words);
        assert_ne!(ran.code, 0, "{words:?}: {ran:?}");
        assert!(ran.stderr.contains("127.0.0.1") || words[0] == "peers", "{words:?}: {ran:?}");
        said.push(ran);
    }
    for ran in &said {
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!all.contains("pass1") && !all.contains("pass2"), "{all}");
    }
    assert!(said[1].stdout.contains(&plain), "{said:?}");
    let kept = ada.file(".prophet/config.toml");
    assert_eq!(kept.matches(url).count(), 3, "{kept}");
    // Nor are they in the name of the file of what is kept for what is far away.
    ada.runs(&["-r", url, "peers", "add", "bob", "bob"]);
    assert_eq!(
        ada.names_in(".config/prophet"),
        [format!("{}.toml", plain.replace([':', '/'], "_"))]
    );
}
