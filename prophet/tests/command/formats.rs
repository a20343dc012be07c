//! The formats, to the letter. Programs read JSON: what is here may grow, and not change.

use crate::support::{Office, Person, expect};

fn bugs(office: &Office) -> Person {
    let ada = office.person_with_replica("ada");
    ada.writes(
        "bugs.jsonl",
        "{\"type\":\"bug\",\"id\":\"01234567-0000-7000-8000-000000000001\",\"properties\":{\"title\":\"It crashes\",\"votes\":3}}\n\
         {\"type\":\"bug\",\"id\":\"01234567-0000-7000-8000-000000000002\",\"properties\":{\"title\":\"日本\\tis \\u001b[31mred\"}}\n",
    );
    ada.does(&["import", "bugs.jsonl"]);
    // Records get their numbers when they are first shown.
    ada.does(&["list"]);
    ada
}

#[test]
fn a_list_is_a_table_a_document_or_lines() {
    let office = Office::new();
    let ada = bugs(&office);
    expect(
        "#  title                   votes\n\
         1  It crashes              3\n\
         2  日本\\tis \\u{1b}[31mred\n",
        &ada.does(&["list", "bug"]),
    );
    let one = r#"{"contested":[],"id":"01234567-0000-7000-8000-000000000001","luid":1,"properties":{"title":"It crashes","votes":3},"type":"bug"}"#;
    let two = r#"{"contested":[],"id":"01234567-0000-7000-8000-000000000002","luid":2,"properties":{"title":"日本\tis \u001b[31mred"},"type":"bug"}"#;
    assert_eq!(ada.does(&["list", "--format", "jsonl"]), format!("{one}\n{two}\n"));
    let document = ada.does(&["list", "--format", "json"]);
    assert!(document.starts_with("[\n  {\n    \"contested\": [],\n"), "{document}");
    let parsed: serde_json::Value = serde_json::from_str(&document).unwrap();
    let lines = [one, two].map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    assert_eq!(parsed.as_array().unwrap().as_slice(), lines);
    assert_eq!(ada.does(&["--format", "json", "list", "nothing"]), "[]\n");
    assert_eq!(ada.does(&["--format", "jsonl", "list", "nothing"]), "");
}

#[test]
fn what_edits_say_is_json_too() {
    let office = Office::new();
    let ada = bugs(&office);
    let id = r#""id":"01234567-0000-7000-8000-000000000001","luid":1"#;
    for (words, expected) in [
        (&["show", "1"][..], format!(r#"{{"contested":[],{id},"properties":{{"title":"It crashes","votes":3}},"type":"bug"}}"#)),
        (&["update", "1", "votes:=4"], format!(r#"{{"changeset":"[..]",{id},"type":"bug"}}"#)),
        (&["update", "1", "votes:=4"], format!(r#"{{"changeset":null,{id},"type":"bug"}}"#)),
        (&["delete", "1"], format!(r#"{{"changeset":"[..]",{id},"type":"bug"}}"#)),
        (&["undo", "3"], r#"{"changeset":"[..]","undone":"[..]"}"#.to_owned()),
        (&["create", "note", "a=b"], r#"{"created":true,"id":"[..]","luid":3,"type":"note"}"#.to_owned()),
        (&["types"], "{\"count\":2,\"type\":\"bug\"}\n{\"count\":1,\"type\":\"note\"}".to_owned()),
        (&["diff", "1", "2"], r#"{"changes":[{"new":4,"old":3,"property":"votes"}],"luid":1,"record":"bug/01234567-0000-7000-8000-000000000001"}"#.to_owned()),
        (&["verify"], r#"{"entries":5,"metadata":[..],"place":"sqlite:[..]","problems":[],"records":3,"resolutions":0,"sound":true}"#.to_owned()),
        (&["settings", "set", "a:=1"], r#"{"changeset":"[..]","name":"a"}"#.to_owned()),
        (&["settings", "list"], r#"{"name":"a","value":1}"#.to_owned()),
        (&["settings", "get", "a"], "1".to_owned()),
        (&["peers", "add", "web", "https://example.org/"], r#"{"name":"web","place":"https://example.org/"}"#.to_owned()),
        (&["peers"], r#"{"name":"web","place":"https://example.org/"}"#.to_owned()),
        (&["publish", "web"], r#"{"bytes":[..],"changesets":6,"position":6,"removed":0,"segments":1}"#.to_owned()),
        (&["import", "bugs.jsonl", "--dry-run"], r#"{"created":0,"dry_run":true,"unchanged":1,"updated":1}"#.to_owned()),
    ] {
        expect(&expected, &ada.does(&[&["--format", "jsonl"], words].concat()));
    }
}

#[test]
fn several_deleted_at_once_are_one_document() {
    let office = Office::new();
    let ada = bugs(&office);
    let deleted = ada.reads(&["delete", "1", "2"]);
    assert_eq!((&deleted[0]["luid"], &deleted[1]["luid"]), (&1.into(), &2.into()));
    assert_eq!(deleted[0]["changeset"], deleted[1]["changeset"]);
    assert_eq!(ada.reads(&["undelete", "1", "2"]).as_array().unwrap().len(), 2);
}

#[test]
fn the_log_and_history_are_json_too() {
    let office = Office::new();
    let ada = bugs(&office);
    ada.does(&["update", "1", "votes:=4"]);
    let entry = r#"{"changes":[{"change":"update","properties":{"votes":{"new":4,"old":3,"supersedes":[..]}},"record":"bug/01234567-0000-7000-8000-000000000001","supersedes":[..]}],"creator":"ada","digest":"[..]","kind":"edit","origin":"[..]","position":2,"previous":"[..]","sequence":2,"time":"[..]"}"#;
    expect(entry, &ada.does(&["--format", "jsonl", "log", "-n", "1"]));
    let entry = r#"{"arrived":false,"changes":[{"new":4,"old":3,"property":"votes","rule":null,"step":"change"}],"changeset":"[..]","creator":"ada","kind":"edit","origin":"[..]","position":2,"time":"[..]","votes":[]}"#;
    let history = ada.does(&["--format", "jsonl", "history", "1", "--reverse"]);
    expect(entry, history.lines().next().unwrap());
}

#[test]
fn colours_are_for_terminals_and_whoever_asks() {
    let office = Office::new();
    let ada = bugs(&office);
    assert!(!ada.does(&["list", "bug"]).contains('\u{1b}'));
    assert!(ada.does(&["--color", "always", "list", "bug"]).contains("\u{1b}[1m#"));
    let failed = ada.runs(&["--color", "always", "show", "99"]);
    assert!(failed.stderr.contains("\u{1b}["), "{failed:?}");
    assert!(!ada.fails(3, &["show", "99"]).contains('\u{1b}'));
}
