//! What each command does.

use serde_json::json;

use crate::support::{Office, expect, run};

#[test]
fn init_makes_a_folder_that_is_found_from_beneath_it() {
    let office = Office::new();
    let ada = office.person("ada");
    assert_eq!(ada.does(&["init"]), "made sqlite:.prophet/replica.db\n");
    ada.does(&["create", "bug", "title=one"]);
    let beneath = office.person("ada/deep/down");
    assert_eq!(beneath.does(&["search", "bug", "--count"]), "1\n");
    let config = ada.file(".prophet/config.toml");
    assert!(config.contains("creator = \"ada\""), "{config}");
    assert!(config.contains("replica = \"sqlite:replica.db\""), "{config}");
}

#[test]
fn a_replica_is_kept_in_any_store_and_named_by_where_it_is() {
    let office = Office::new();
    let ada = office.person("ada");
    for name in ["sqlite:one.db", "fs:two", "sled:three", "sqlite:new/directory/four.db"] {
        assert_eq!(ada.does(&["init", name]), format!("made {name}\n"));
        ada.does(&["-r", name, "create", "bug", "title=one"]);
        assert_eq!(ada.does(&["-r", name, "search", "bug", "--count"]), "1\n");
        // The path alone says what is there.
        let (_, path) = name.split_once(':').unwrap();
        assert_eq!(ada.does(&["-r", path, "search", "bug", "--count"]), "1\n");
    }
    for store in ["sqlite", "fs", "sled"] {
        ada.does(&["init", &format!("of-{store}"), "--store", store]);
        ada.does(&["-r", &format!("of-{store}"), "create", "bug", "title=one"]);
        let beneath = office.person(&format!("ada/of-{store}"));
        assert_eq!(beneath.does(&["types"]), "type  records\nbug   1\n");
    }
    let named = run(ada.command().env("PROPHET_REPLICA", "one.db").args(["types"]), "");
    assert_eq!(named.stdout, "type  records\nbug   1\n");
}

#[test]
fn records_are_created_shown_updated_deleted_and_brought_back() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    let created = ada.does(&["create", "bug", "title=It crashes", "votes:=3", "urgent:=true"]);
    assert_eq!(created, "created bug #1\n");
    let expected = "bug #1\n  id      [..]\n  title   It crashes\n  urgent  true\n  votes   3\n";
    expect(expected, &ada.does(&["show", "1"]));
    assert_eq!(ada.does(&["update", "#1", "votes:=4", "--remove", "urgent"]), "updated bug #1\n");
    let record = ada.reads(&["show", "1"]);
    assert_eq!(record["properties"], json!({ "title": "It crashes", "votes": 4 }));
    assert_eq!(ada.does(&["update", "1", "votes:=4"]), "bug #1 is so already\n");
    assert_eq!(ada.does(&["delete", "1"]), "deleted bug #1\n");
    assert!(ada.fails(3, &["show", "1"]).contains("prophet undelete 1"));
    assert_eq!(ada.does(&["undelete", "1"]), "brought back bug #1\n");
    assert_eq!(ada.reads(&["show", "1"]), record);
}

#[test]
fn properties_come_as_text_json_references_and_files() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.writes("text", "two\nlines\n");
    ada.writes("list.json", "[1, 2.5, \"three\"]");
    std::fs::write(ada.directory.join("bytes"), [0xFF, 0x00]).unwrap();
    ada.does(&["create", "bug", "title=one"]);
    ada.does(&[
        "create",
        "bug",
        "a=@text",
        "b:=@list.json",
        "c=@bytes",
        "d:=#1",
        "e=",
        "\"f=g\"=h",
    ]);
    let id = ada.reads(&["show", "1"])["id"].as_str().unwrap().to_owned();
    assert_eq!(
        ada.reads(&["show", "2"])["properties"],
        json!({
            "a": "two\nlines\n",
            "b": [1, 2.5, "three"],
            "c": { "$bytes": "/wA=" },
            "d": { "$reference": format!("bug/{id}") },
            "e": "",
            "f=g": "h",
        })
    );
    let piped = ada.runs_with(&["update", "1", "title=@-"], "from a pipe");
    assert_eq!(piped.code, 0, "{piped:?}");
    assert_eq!(ada.reads(&["show", "1"])["properties"]["title"], "from a pipe");
}

#[test]
fn records_are_named_by_number_and_by_the_beginning_of_their_id() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.writes(
        "bugs.jsonl",
        "{\"type\":\"bug\",\"id\":\"01234567-0000-7000-8000-000000000001\",\"properties\":{\"n\":1}}\n\
         {\"type\":\"bug\",\"id\":\"01234567-0000-7000-8000-000000000002\",\"properties\":{\"n\":2}}\n\
         {\"type\":\"note\",\"id\":\"abcdef01-0000-7000-8000-000000000002\",\"properties\":{\"n\":3}}\n",
    );
    ada.does(&["import", "bugs.jsonl"]);
    for (name, n) in [
        ("01234567-0000-7000-8000-000000000002", 2),
        ("bug/01234567-0000-7000-8000-000000000001", 1),
        ("012345670000700080000000000000 01".replace(' ', "").as_str(), 1),
        ("ab", 3),
        ("ABCDEF01-0000", 3),
        ("note/a", 3),
    ] {
        assert_eq!(ada.reads(&["show", name])["properties"]["n"], n, "{name}");
    }
    let said = ada.fails(2, &["show", "0123"]);
    assert!(said.contains("01234567-0000-7000-8000-000000000001"), "{said}");
    assert!(said.contains("01234567-0000-7000-8000-000000000002"), "{said}");
    assert!(ada.fails(3, &["show", "note/0123"]).contains("no record note/0123"));
    assert!(ada.fails(3, &["show", "99"]).contains("luid 99"));
    assert!(ada.fails(2, &["show", "what?"]).contains("names no record"));
}

#[test]
fn search_takes_conditions_orders_limits_and_patterns() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    for (title, priority, status) in
        [("CLI one", 1, "open"), ("two", 2, "open"), ("three", 3, "fixed"), ("four", 10, "open")]
    {
        let (title, status) = (format!("title={title}"), format!("status={status}"));
        ada.does(&["create", "bug", &title, &format!("priority:={priority}"), &status]);
    }
    let titles = |words: &[&str]| -> Vec<String> {
        let found = ada.reads(&[&["search", "bug"], words].concat());
        let found = found.as_array().unwrap().iter();
        found.map(|bug| bug["properties"]["title"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(titles(&["status=open", "priority>1"]), ["two", "four"]);
    assert_eq!(titles(&["--any", "title=three", "priority>=10"]), ["three", "four"]);
    assert_eq!(titles(&["title~^CLI"]), ["CLI one"]);
    assert_eq!(titles(&["--grep", "t[wh]"]), ["two", "three"]);
    assert_eq!(titles(&["--sort", "priority:down", "--limit", "2"]), ["four", "three"]);
    assert_eq!(titles(&["--sort", "status,title"]), ["three", "CLI one", "four", "two"]);
    assert_eq!(titles(&["!owner"]).len(), 4);
    for (words, count) in [
        (&["status=open"][..], "3\n"),
        (&[], "4\n"),
        (&["--limit", "2"], "2\n"),
        (&["--any", "title=three", "priority>=10"], "2\n"),
        (&["--grep", "t[wh]"], "2\n"),
        (&["--grep", "t[wh]", "--limit", "1"], "1\n"),
    ] {
        assert_eq!(ada.does(&[&["search", "bug", "--count"], words].concat()), count, "{words:?}");
    }
    assert_eq!(ada.does(&["as-of", "2", "search", "bug", "--count"]), "2\n");
    let shown = ada.does(&["search", "bug", "priority<3", "--columns", "title,owner"]);
    assert_eq!(shown, "#  title    owner\n1  CLI one\n2  two\n");
    let none = ada.runs(&["search", "bug", "status=none"]);
    assert_eq!((none.code, none.stdout.as_str()), (0, ""));
    assert!(none.stderr.contains("nothing was found"));
    let none = ada.runs(&["search", "bgu"]);
    assert!(none.stderr.contains("no record has the type bgu"), "{none:?}");
    assert!(ada.runs(&["list", "bgu"]).stderr.contains("no records of the type bgu"));
}

#[test]
fn the_past_is_shown_compared_and_taken_back() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.does(&["create", "bug", "status=new"]);
    ada.does(&["update", "1", "status=open"]);
    ada.does(&["update", "1", "status=fixed"]);
    let positions: Vec<_> = ada
        .reads(&["log"])
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["position"].as_u64().unwrap())
        .collect();
    assert_eq!(positions, [3, 2, 1]);
    assert_eq!(ada.reads(&["log", "--reverse", "-n", "1"])[0]["position"], 1);
    assert_eq!(ada.reads(&["log", "--after", "2"]).as_array().unwrap().len(), 1);
    expect(
        "    3  [..]  ada  edit  [..]\n       update bug #1  status: \"open\" -> \"fixed\"\n",
        &ada.does(&["log", "-n", "1"]),
    );
    assert_eq!(ada.does(&["diff", "1", "3"]), "bug #1\n  status: \"new\" -> \"fixed\"\n");
    assert_eq!(ada.does(&["diff", "3", "2"]), "bug #1\n  status: \"fixed\" -> \"open\"\n");
    assert_eq!(ada.reads(&["as-of", "1", "show", "1"])["properties"]["status"], "new");
    assert_eq!(ada.does(&["as-of", "2", "search", "bug", "status=open", "--count"]), "1\n");
    assert_eq!(ada.reads(&["as-of", "0", "list"]), json!([]));
    assert!(ada.fails(3, &["as-of", "0", "show", "1"]).contains("not there at position 0"));
    let digest = ada.reads(&["log", "-n", "1"])[0]["digest"].as_str().unwrap().to_owned();
    expect("took back changeset [..], at position 3\n", &ada.does(&["undo", &digest[..8]]));
    assert_eq!(ada.reads(&["show", "1"])["properties"]["status"], "open");
    assert!(ada.fails(1, &["undo", "2"]).contains("cannot be undone"));
    let history = ada.does(&["history", "1"]);
    assert_eq!(history.matches("status").count(), 4, "{history}");
    assert_eq!(ada.reads(&["history", "1", "--reverse"])[0]["kind"], "undo");
    assert!(ada.does(&["why", "1", "status"]).contains("all that was written agrees"));
    assert!(ada.fails(3, &["why", "1", "nothing"]).contains("never written"));
}

#[test]
fn settings_are_of_the_database() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    assert_eq!(ada.does(&["settings", "set", "title=Our bugs"]), "set title\n");
    assert_eq!(ada.does(&["settings", "set", "limit:=3"]), "set limit\n");
    assert_eq!(ada.does(&["settings", "get", "title"]), "Our bugs\n");
    assert_eq!(ada.does(&["settings"]), "name   value\nlimit  3\ntitle  Our bugs\n");
    assert_eq!(ada.does(&["settings", "remove", "limit"]), "removed limit\n");
    assert!(ada.fails(3, &["settings", "get", "limit"]).contains("not set"));
    assert!(ada.fails(3, &["settings", "remove", "limit"]).contains("not set"));
    assert_eq!(ada.does(&["types"]), "", "settings are no records of people");
    let bob = office.person("bob");
    bob.does(&["clone", "../ada"]);
    assert_eq!(bob.does(&["settings", "get", "title"]), "Our bugs\n");
}

#[test]
fn peers_and_aliases_are_kept_beside_the_replica() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    let bob = office.person("bob");
    bob.does(&["clone", "../ada"]);
    expect("named [..]/bob bob\n", &ada.does(&["peers", "add", "bob", "../bob"]));
    expect("name  where\nbob   [..]/bob\n", &ada.does(&["peers"]));
    assert!(ada.fails(1, &["peers", "add", "bob", "../carol"]).contains("named already"));
    for name in ["", "../bob", "sqlite:bob", "two words", ".", "bob\n"] {
        let said = ada.fails(2, &["peers", "add", name, "../bob"]);
        assert!(said.contains("the name of a peer"), "{said}");
        ada.fails(2, &["aliases", "add", name, "list"]);
    }
    assert_eq!(ada.does(&["peers", "remove", "bob"]), "forgot bob\n");
    assert!(ada.fails(3, &["peers", "remove", "bob"]).contains("no peer is called bob"));

    ada.does(&["create", "bug", "status=open", "title=one"]);
    ada.does(&["create", "bug", "status=open", "title=two"]);
    ada.does(&["aliases", "add", "todo", "search", "bug", "status=open", "--count"]);
    ada.does(&["aliases", "add", "one", "todo title=one"]);
    assert_eq!(ada.does(&["todo"]), "2\n");
    assert_eq!(ada.does(&["--format", "json", "todo", "title=two"]), "1\n");
    assert_eq!(ada.does(&["one"]), "1\n");
    assert!(ada.fails(2, &["aliases", "add", "show", "list"]).contains("a command"));
    ada.does(&["aliases", "add", "round", "round"]);
    assert!(ada.fails(2, &["round"]).contains("without an end"));
    assert_eq!(ada.does(&["aliases", "remove", "round"]), "forgot round\n");
    assert!(ada.fails(2, &["round"]).contains("unrecognized subcommand"));
    let similar = ada.fails(2, &["serach", "bug"]);
    assert!(similar.contains("search"), "{similar}");

    // What people write in the file stays.
    let config = ada.file(".prophet/config.toml");
    ada.writes(".prophet/config.toml", &format!("# ours\n{config}"));
    ada.does(&["peers", "add", "carol", "https://example.org/carol"]);
    assert!(ada.file(".prophet/config.toml").starts_with("# ours\n"));
    ada.writes(".prophet/config.toml", "not TOML");
    assert!(ada.fails(1, &["peers"]).contains("config.toml is not TOML"));
}

#[test]
fn a_replica_is_published_with_a_site_and_read_where_it_is() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.does(&["create", "bug", "title=one"]);
    ada.does(&["settings", "set", "title=Our bugs"]);
    expect(
        "2 changesets to ../web; [..] files of the site\n",
        &ada.does(&["publish", "../web", "--site"]),
    );
    assert_eq!(ada.does(&["publish", "../web"]), "nothing new for ../web\n");
    let page = std::fs::read_to_string(office.path().join("web/index.html")).unwrap();
    assert!(page.contains("Our bugs"));
    for odd in ["Bug", "über uns", "a/b", "con", ".", ".."] {
        ada.does(&["create", odd, "title=odd"]);
    }
    ada.does(&["publish", "../web", "--site"]);
    let page = std::fs::read_to_string(office.path().join("web/index.html")).unwrap();
    assert!(page.contains("über uns"));
    // Without a replica of one's own.
    assert_eq!(ada.does(&["-r", "../web", "search", "bug", "--count"]), "1\n");
    assert!(ada.fails(1, &["-r", "../web", "create", "bug", "a=b"]).contains("can only be read"));
    let other = office.person_with_replica("other");
    other.does(&["create", "bug", "title=other"]);
    assert!(other.fails(1, &["publish", "../web"]).contains("--replace"));
    let replaced = other.runs(&["publish", "../web", "--replace"]);
    assert_eq!(replaced.code, 0, "{replaced:?}");
    assert!(replaced.stderr.contains("the site beside it is as it was"), "{replaced:?}");
    // A site of one's own is not written over.
    other.writes("index.html", "mine");
    let said = other.fails(1, &["publish", ".", "--site"]);
    assert!(said.contains("index.html") && said.contains("--replace"), "{said}");
    assert_eq!(other.file("index.html"), "mine");
    assert!(!other.names().contains(&"manifest.json".to_owned()), "{:?}", other.names());
    other.fails(2, &["publish", "new", "--site", "--base-url", "no url"]);
    assert!(!other.names().contains(&"new".to_owned()), "{:?}", other.names());
}

#[test]
fn verify_and_info_tell_what_is_there_and_what_is_wrong() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.does(&["create", "bug", "title=one"]);
    expect("sqlite:[..]: 1 changeset, 1 record, 0 votes; all sound\n", &ada.does(&["verify"]));
    let info = ada.does(&["info"]);
    assert!(info.contains("creator    ada\n"), "{info}");
    assert!(info.contains("log        1 changeset\n"), "{info}");
    assert_eq!(ada.reads(&["info"])["records"], 1);
    let file = rusqlite::Connection::open(ada.directory.join(".prophet/replica.db")).unwrap();
    // The record stays, and what it follows from is gone.
    file.pragma_update(None, "foreign_keys", false).unwrap();
    file.execute("DELETE FROM history", []).unwrap();
    file.execute("DELETE FROM log", []).unwrap();
    drop(file);
    let ran = ada.runs(&["verify"]);
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.stderr.contains("restore it from a backup"), "{ran:?}");
    assert_eq!(ada.runs_and_nobody_reads(&["verify"]).code, 5, "whether anybody reads it or not");
}

#[test]
fn the_shell_takes_the_same_commands_on_one_open_replica() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    let ran = ada.runs_with(
        &["shell"],
        "create bug title='It crashes'\n\nprophet show 1\n--format json search bug --count\nexit\nnothing\n",
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    expect("created bug #1\nbug #1\n  id     [..]\n  title  It crashes\n1\n", &ran.stdout);
    let ran = ada.runs_with(&["shell"], "show 99\ncreate bug title=never\n");
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(ada.does(&["search", "bug", "--count"]), "1\n");
    assert_eq!(ada.runs_with(&["shell"], "help\n").code, 0);
    assert_eq!(ada.runs_with(&["shell"], "create 'bug\n").code, 2);
    // Another replica, for one line.
    ada.does(&["init", "sqlite:other.db"]);
    let ran = ada.runs_with(&["shell"], "-r other.db search bug --count\nsearch bug --count\n");
    assert_eq!(ran.stdout, "0\n1\n");
}

#[test]
fn what_nobody_reads_to_its_end_is_no_failure() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    let lines: String = (0..20_000)
        .map(|n| format!("{{\"type\":\"bug\",\"properties\":{{\"n\":{n}}}}}\n"))
        .collect();
    ada.writes("bugs.jsonl", &lines);
    ada.does(&["import", "bugs.jsonl"]);
    for words in [["export", "bug"], ["list", "bug"], ["--format=json", "log"]] {
        let mut child = ada
            .command()
            .args(words)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
    }
}

/// URLs of peers may have passwords in them.
#[cfg(unix)]
#[test]
fn what_is_kept_beside_a_replica_is_for_its_owner_alone_unless_they_say_so() {
    use std::fs::{Permissions, metadata, set_permissions, write};
    use std::os::unix::fs::PermissionsExt as _;

    let office = Office::new();
    let ada = office.person_with_replica("ada");
    let config = ada.directory.join(".prophet/config.toml");
    let mode = || metadata(&config).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600, "made");
    ada.does(&["peers", "add", "bob", "https://ada:secret@example.org/notes"]);
    assert_eq!(mode(), 0o600, "saved");
    for chosen in [0o640, 0o400, 0o600] {
        set_permissions(&config, Permissions::from_mode(chosen)).unwrap();
        // What a save that was killed has left is not taken for what is to be kept.
        let unfinished = ada.directory.join(".prophet/config.toml.unfinished");
        write(&unfinished, "").unwrap();
        set_permissions(&unfinished, Permissions::from_mode(0o666)).unwrap();
        ada.does(&["peers", "add", "cleo", "https://ada:secret@example.org/others"]);
        assert_eq!(mode(), chosen);
        assert!(ada.file(".prophet/config.toml").contains("others"));
        assert!(!unfinished.exists());
        ada.does(&["peers", "remove", "cleo"]);
        assert_eq!(mode(), chosen);
    }
}
