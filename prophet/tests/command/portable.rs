//! Import and export.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::support::{Office, expect};

#[test]
fn csv_comes_and_goes_and_is_text() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.writes("bugs.csv", "title,status,votes\n\"one, \"\"quoted\"\"\",open,3\ntwo,,\n");
    assert_eq!(
        ada.does(&["import", "bugs.csv", "--type", "bug", "--dry-run"]),
        "would be created 2, would be updated 0, unchanged 0\n"
    );
    assert_eq!(ada.does(&["types"]), "");
    assert_eq!(
        ada.does(&["import", "bugs.csv", "--type", "bug"]),
        "created 2, updated 0, unchanged 0\n"
    );
    // Ids made within a millisecond are in any order, and so are numbers.
    let id_of = |condition: &str| {
        ada.reads(&["search", "bug", condition])[0]["id"].as_str().unwrap().to_owned()
    };
    let (one, two) = (id_of("votes=3"), id_of("title=two"));
    assert_eq!(
        ada.reads(&["show", &one])["properties"],
        json!({ "title": "one, \"quoted\"", "status": "open", "votes": "3" })
    );
    ada.does(&["update", &two, "list:=[1]"]);
    let exported = ada.does(&["export", "--as", "csv"]);
    let mut lines: Vec<_> = exported.lines().collect();
    lines.sort_by_key(|line| line.contains("two"));
    expect(
        "type,id,list,status,title,votes\n\
         bug,[..],,open,\"one, \"\"quoted\"\"\",3\n\
         bug,[..],[1],,two,\n",
        &lines.join("\n"),
    );
    ada.does(&["export", "-o", "back.csv"]);
    // The list was no text, and is text when it comes back; the rest is as it was.
    assert_eq!(ada.does(&["import", "back.csv"]), "created 0, updated 1, unchanged 1\n");
    // What is not said stays.
    ada.writes("some.csv", &format!("type,id,status,title\nbug,{one},fixed,\n"));
    ada.does(&["import", "some.csv"]);
    let bug = ada.reads(&["show", &one]);
    assert_eq!(
        (&bug["properties"]["status"], &bug["properties"]["votes"]),
        (&json!("fixed"), &json!("3"))
    );
    assert_eq!(bug["properties"]["title"], "one, \"quoted\"");
}

#[test]
fn json_lines_make_a_record_exactly_what_they_say() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    let line = |properties: &str| {
        format!(
            "{{\"type\":\"bug\",\"id\":\"01234567-0000-7000-8000-000000000001\",\"properties\":{properties}}}\n"
        )
    };
    ada.writes("bugs.jsonl", &line(r#"{"a":1,"b":2}"#));
    ada.does(&["import", "bugs.jsonl"]);
    ada.writes("bugs.jsonl", &line(r#"{"b":3}"#));
    assert_eq!(ada.does(&["import", "bugs.jsonl"]), "created 0, updated 1, unchanged 0\n");
    assert_eq!(ada.does(&["import", "bugs.jsonl"]), "created 0, updated 0, unchanged 1\n");
    assert_eq!(ada.does(&["export"]), line(r#"{"b":3}"#));
    let piped = ada.runs_with(&["import", "-", "--type", "note"], "{\"properties\":{\"x\":1}}\n");
    assert_eq!(piped.stdout, "created 1, updated 0, unchanged 0\n");
    ada.does(&["delete", "bug/0"]);
    assert_eq!(ada.does(&["import", "bugs.jsonl"]), "created 1, updated 0, unchanged 0\n");
    assert!(ada.fails(1, &["export", "-o", "bugs.jsonl"]).contains("bugs.jsonl cannot be made"));
    let before = ada.names();
    ada.does(&["export", "-o", "all.jsonl"]);
    assert_eq!(ada.file("all.jsonl"), ada.does(&["export"]));
    assert_eq!(ada.names().len(), before.len() + 1, "{:?}", ada.names());
}

#[test]
fn what_cannot_be_imported_is_named_by_its_line_and_nothing_is() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    let good = "{\"type\":\"bug\",\"properties\":{\"a\":1}}\n";
    for (bad, says) in [
        ("nonsense", "line 3"),
        ("{\"type\":\"bug\"}", "properties"),
        ("{\"properties\":{}}", "no type"),
        ("{\"type\":\"_setting\",\"properties\":{}}", "belong to Prophet"),
        ("{\"type\":\"bug\",\"properties\":{\"a\":null}}", "line 3"),
        ("{\"type\":\"bug\",\"propertis\":{}}", "propertis"),
        ("{\"type\":\"bug\",\"properties\":{\"a\":1,\"a\":2}}", "twice at column"),
        ("{\"type\":\"bug\",\"properties\":{\"a\":18446744073709551615}}", "line 3"),
        ("{\"type\":\"bug\",\"properties\":{\"a\":18446744073709551616}}", "quotation marks"),
    ] {
        ada.writes("bugs.jsonl", &format!("{good}{good}{bad}\n{good}"));
        let said = ada.fails(1, &["import", "bugs.jsonl"]);
        assert!(said.contains(says) && said.contains("bugs.jsonl, line 3"), "{bad}: {said}");
        assert!(said.contains("nothing was imported"), "{said}");
    }
    for (bad, says) in
        [("a,a\n1,2\n", "two columns"), ("a,b\n1\n", "line 2"), ("a\n1\n", "no type")]
    {
        ada.writes("bugs.csv", bad);
        let said = ada.fails(1, &["import", "bugs.csv"]);
        assert!(said.contains(says), "{bad}: {said}");
    }
    assert_eq!(ada.does(&["types"]), "");
}

#[test]
fn an_import_of_many_records_is_one_commit_of_several_changesets() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    let line = "{\"type\":\"bug\",\"properties\":{\"a\":1}}\n";
    ada.writes("bugs.jsonl", &line.repeat(1_200));
    ada.does(&["import", "bugs.jsonl"]);
    let info = ada.reads(&["info"]);
    assert_eq!(
        (&info["position"], &info["version"], &info["records"]),
        (&json!(3), &json!(1), &json!(1_200))
    );
    assert_eq!(ada.reads(&["log", "-n", "1"])[0]["creator"], "ada");
}

/// Any value, as the JSON that stands for it.
fn any_value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        prop::num::f64::NORMAL.prop_map(Json::from),
        any::<String>().prop_map(Json::from),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(|bytes| {
            use prophet_store::Value;
            serde_json::to_value(Value::from(bytes)).unwrap()
        }),
        any::<[u8; 16]>().prop_map(|id| {
            use prophet_store::{RecordId, RecordKey, RecordType, Value};
            let key = RecordKey::new(RecordType::new("bug").unwrap(), RecordId::from_bytes(id));
            serde_json::to_value(Value::from(key)).unwrap()
        }),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            // A key that begins with a dollar sign would be a tag.
            prop::collection::btree_map("[a-z ä\"\\\\]{0,6}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

fn any_records() -> impl Strategy<Value = BTreeMap<[u8; 16], (String, BTreeMap<String, Json>)>> {
    let name = "[^\\p{Cc}]{1,8}";
    let properties = prop::collection::btree_map(name, any_value(), 0..5);
    let record = (prop_oneof!["bug".prop_map(String::from), "[a-zö/\", ]{1,6}"], properties);
    prop::collection::btree_map(any::<[u8; 16]>(), record, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn json_lines_lose_nothing_on_their_way_back_and_forth(records in any_records()) {
        let office = Office::new();
        let ada = office.person_with_replica("ada");
        let lines = records.iter().map(|(id, (record_type, properties))| {
            let id = prophet_store::RecordId::from_bytes(*id);
            json!({ "type": record_type, "id": id, "properties": properties }).to_string() + "\n"
        });
        let lines: Vec<_> = lines.collect();
        ada.writes("in.jsonl", &lines.concat());
        ada.does(&["import", "in.jsonl"]);
        ada.does(&["export", "-o", "out.jsonl"]);
        let out = ada.file("out.jsonl");
        let parse = |text: &str| -> Vec<Json> {
            let lines = text.split_terminator('\n');
            let mut all: Vec<Json> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
            all.sort_by_key(|record| record["id"].to_string());
            all
        };
        prop_assert_eq!(parse(&out), parse(&lines.concat()));
        // And into another replica, byte for byte.
        let bob = office.person_with_replica("bob");
        bob.does(&["import", "../ada/out.jsonl"]);
        prop_assert_eq!(bob.does(&["export"]), out);
    }
}
