//! Each error has its exit code, and says what to do.

use crate::support::Office;

#[test]
fn what_cannot_be_understood_is_2() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    for (words, says) in [
        (&["nonsense"][..], "unrecognized subcommand"),
        (&["create"], "required"),
        (&["create", "bug", "title"], "name=text"),
        (&["create", "bug", "n:=one"], "as JSON"),
        (&["create", "bug", "n:=[100000000000000000001]"], "quotation marks"),
        (&["create", "bug", "a=1", "a=2"], "given twice"),
        (&["create", "", "a=1"], "empty"),
        (&["create", "title=x", "a=1"], "write TYPE title=x"),
        (&["search", "bug", "n==1"], "more than an operator"),
        (&["serve", "--host", "http://a/"], "no name"),
        (&["update", "1"], "nothing is to be updated"),
        (&["search", "bug", "a=b", "title~("], "title~("),
        (&["search", "bug", "--grep", "("], "regex"),
        (&["search", "bug", "--sort", "a:upwards"], "neither :up nor :down"),
        (&["list", "--format", "xml"], "xml"),
        (&["pull", "--prefer", "nobody"], "nobody"),
        (&["-r", "ftp://host", "list"], "no replica is named by ftp://"),
        (&["-r", "", "list"], "empty name"),
        (&["-r", "sqlite:", "list"], "names no file"),
        (&["undo", "xyz"], "names no changeset"),
        (&["init", "sqlit:x"], "write ./sqlit:x"),
        (&["bundle", "create", "-"], "name one"),
        (&["init", "https://host/x"], "no replica can be made"),
        (&["init", "sqlite:x.db", "--store", "fs"], "leave out --store"),
    ] {
        let said = ada.fails(2, words);
        assert!(said.contains(says), "{words:?}: {said}");
    }
}

#[test]
fn what_is_not_there_is_3() {
    let office = Office::new();
    let nobody = office.person("nobody");
    assert!(nobody.fails(3, &["list"]).contains("prophet init"));
    let ada = office.person_with_replica("ada");
    for (words, says) in [
        (&["-r", "nowhere", "list"][..], "no replica at nowhere"),
        (&["-r", "sqlite:nowhere.db", "list"], "no replica at nowhere.db"),
        (&["-r", "..", "list"], "no replica in"),
        (&["show", "7"], "luid 7"),
        (&["delete", "bug/0"], "no record"),
        (&["undo", "1"], "no changeset at position 1"),
        (&["undo", "abcdef"], "no changeset abcdef"),
        (&["diff", "0", "9"], "no position 9"),
        (&["pull"], "no peer is named"),
        (&["pull", "--all"], "no peer is named"),
        (&["pull", "bob"], "no replica at bob"),
        (&["push"], "where to push to"),
        (&["bundle", "apply", "nothing.bundle"], "nothing.bundle"),
        (&["bundle", "inspect", "nothing.bundle"], "nothing.bundle"),
        (&["import", "nothing.jsonl"], "nothing.jsonl"),
        (&["create", "bug", "a=@nothing"], "nothing"),
        (&["clone", "nothing", "other"], "there is no replica at"),
        (&["aliases", "remove", "x"], "no alias"),
    ] {
        let said = ada.fails(3, words);
        assert!(said.contains(says), "{words:?}: {said}");
    }
    assert!(!ada.directory.join("other").exists(), "a clone of nothing leaves nothing behind");
}

#[test]
fn what_fails_is_1() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.does(&["create", "bug", "a=b"]);
    ada.writes("text", "text");
    ada.does(&["init", "sqlite:there.db"]);
    ada.does(&["bundle", "create", "there.bundle"]);
    let other = office.person_with_replica("other");
    other.does(&["create", "bug", "a=b"]);
    for (words, says) in [
        (&["init"][..], "exists already"),
        (&["init", "sqlite:there.db"], "exists already"),
        (&["init", "text"], "is a file"),
        (&["clone", "../other", "."], "exists already"),
        (&["-r", "text", "list"], "no replica and no bundle"),
        (&["-r", "sqlite:text", "list"], "not a Prophet replica"),
        (&["pull", "../other"], "belongs to database"),
        (&["pull", "."], "this very replica"),
        (&["create", "_setting", "a=b"], "belong to Prophet"),
        (&["bundle", "create", "there.bundle"], "exists already"),
        (&["push", "there.bundle"], "can only be read"),
        (&["undelete", "1"], "not deleted"),
    ] {
        let said = ada.fails(1, words);
        assert!(said.contains(says), "{words:?}: {said}");
        assert!(said.starts_with("prophet: "), "{said}");
    }
}

#[test]
fn a_replica_that_somebody_else_has_open_is_6() {
    let office = Office::new();
    let ada = office.person("ada");
    ada.does(&["init", "sled:notes"]);
    let mut holder = ada
        .command()
        .args(["-r", "sled:notes", "shell"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = holder.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"create bug a=b\n").unwrap();
    // Once it has answered it has the replica open.
    let mut answer = String::new();
    let mut stdout = std::io::BufReader::new(holder.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut answer).unwrap();
    assert_eq!(answer, "created bug #1\n");
    assert!(ada.fails(6, &["-r", "sled:notes", "list"]).contains("is locked"));
    drop(stdin);
    assert!(holder.wait().unwrap().success());
}

#[test]
fn data_goes_to_stdout_and_messages_to_stderr() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    let ran = ada.runs(&["list"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert!(!ran.stderr.is_empty());
    assert_eq!(ada.runs(&["list", "--quiet"]).stderr, "");
    assert_eq!(ada.runs(&["--format", "json", "list", "-q"]).stdout, "[]\n");
    let failed = ada.runs(&["show", "1"]);
    assert_eq!(failed.stdout, "");
}
