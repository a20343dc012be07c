//! Replicas that pull from one another, conflicts, and what becomes of them.

use crate::support::{Office, Person, expect};

/// Two people who have the same bug and have not heard of each other since each edited it.
fn disagreeing(office: &Office) -> (Person, Person) {
    let ada = office.person_with_replica("ada");
    ada.does(&["create", "bug", "status=new", "title=It crashes"]);
    let bob = office.person("bob");
    bob.does(&["clone", "../ada"]);
    bob.does(&["list"]);
    ada.does(&["update", "1", "status=fixed"]);
    bob.does(&["update", "1", "status=invalid"]);
    (ada, bob)
}

fn status(person: &Person) -> String {
    person.reads(&["show", "1"])["properties"]["status"].as_str().unwrap().to_owned()
}

#[test]
fn a_clone_has_what_its_origin_has_and_pulls_from_it() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.does(&["create", "bug", "title=one"]);
    let bob = office.person("bob");
    assert_eq!(bob.does(&["clone", "../ada"]), "1 changeset from ../ada\n");
    assert_eq!(bob.names(), [".prophet"]);
    assert_eq!(bob.does(&["list"]), "#  title\n1  one\n");
    expect("name    where\norigin  [..]/ada\n", &bob.does(&["peers"]));
    ada.does(&["create", "bug", "title=two"]);
    assert_eq!(bob.does(&["pull"]), "1 changeset from origin\n");
    assert_eq!(bob.does(&["pull"]), "nothing new from origin\n");
    bob.does(&["create", "bug", "title=three"]);
    assert_eq!(bob.does(&["push"]), "1 changeset to origin\n");
    assert_eq!(ada.does(&["search", "bug", "--count"]), "3\n");
    assert_eq!(bob.reads(&["push"])[0]["integrated"], 0);
}

#[test]
fn a_conflict_stays_open_in_a_script_and_is_resolved_by_a_vote_that_travels() {
    let office = Office::new();
    let (ada, bob) = disagreeing(&office);
    let pulled = bob.runs(&["pull"]);
    assert_eq!(pulled.code, 4, "{pulled:?}");
    assert_eq!(
        pulled.stdout,
        "1 changeset from origin; 1 conflict: 0 settled by majority, 0 decided here, 1 left open\n"
    );
    assert!(pulled.stderr.contains("prophet resolve"), "{pulled:?}");
    expect(
        "Conflict about status of bug #1\n  1  \"fixed\"\n     written by ada ([..])\n  2  \"invalid\"  (visible now)\n     written by bob ([..])\n",
        &bob.does(&["conflicts"]),
    );
    let conflicts = bob.reads(&["conflicts"]);
    assert_eq!(conflicts[0]["property"], "status");
    assert_eq!(conflicts[0]["candidates"][1]["writes"][0]["creator"], "bob");
    expect(
        "#  status       title\n1  invalid (!)  It crashes\n",
        &bob.does(&["search", "bug", "--contested"]),
    );
    assert!(bob.does(&["show", "1"]).contains("invalid  (contested: \"fixed\", \"invalid\")"));

    assert!(bob.fails(4, &["resolve"]).contains("a conflict is open"));
    assert!(bob.fails(4, &["resolve", "1"]).contains("nobody is here to be asked"));
    assert!(bob.fails(3, &["resolve", "1", "title=x"]).contains("not contested"));
    assert_eq!(
        bob.does(&["resolve", "1", "status=fixed"]),
        "voted: status of bug #1 is to be \"fixed\"; decided\n"
    );
    assert_eq!(bob.does(&["resolve"]), "");
    assert!(bob.runs(&["conflicts"]).stderr.contains("1 is decided by votes"));
    bob.does(&["push"]);
    assert_eq!((status(&ada), status(&bob)), ("fixed".to_owned(), "fixed".to_owned()));
    assert!(ada.does(&["why", "1", "status"]).contains("decided, 1 of 1 vote for it"));
    let decided = ada.does(&["conflicts", "1"]);
    assert!(decided.contains("decided: \"fixed\", by majority of votes"), "{decided}");
    // The other one disagrees: a tie.
    assert!(ada.does(&["resolve", "1", "status=invalid"]).contains("still open"));
}

#[test]
fn an_edit_of_what_is_contested_settles_it_and_says_so() {
    let office = Office::new();
    let (_ada, bob) = disagreeing(&office);
    bob.runs(&["pull"]);
    let edited = bob.runs(&["update", "1", "title=better"]);
    assert!(!edited.stderr.contains("settles"), "{edited:?}");
    let edited = bob.runs(&["update", "1", "status=open"]);
    assert!(edited.stderr.contains("about status: this settles it"), "{edited:?}");
    let again = bob.runs(&["update", "1", "status=closed"]);
    assert!(!again.stderr.contains("settles"), "{again:?}");
}

#[test]
fn a_conflict_is_resolved_by_a_merge_and_the_merge_travels() {
    let office = Office::new();
    let (ada, bob) = disagreeing(&office);
    assert_eq!(bob.runs(&["pull"]).code, 4);
    assert_eq!(
        bob.does(&["resolve", "1", "status=wontfix"]),
        "merged: status of bug #1 is to be \"wontfix\"; decided\n"
    );
    ada.does(&["pull", "../bob"]);
    assert_eq!(status(&ada), "wontfix");
}

#[test]
fn a_side_is_preferred_if_that_is_asked_for() {
    for (prefer, expected) in [("mine", "invalid"), ("theirs", "fixed")] {
        let office = Office::new();
        let (_, bob) = disagreeing(&office);
        let report = bob.reads(&["pull", "--prefer", prefer]);
        assert_eq!((&report[0]["by_policy"], &report[0]["open"]), (&1.into(), &0.into()));
        assert_eq!(status(&bob), expected, "{prefer}");
    }
    // What is mine when one pushes is what one pushes.
    for (prefer, expected) in [("mine", "invalid"), ("theirs", "fixed")] {
        let office = Office::new();
        let (ada, bob) = disagreeing(&office);
        bob.does(&["push", "--prefer", prefer]);
        assert_eq!(status(&ada), expected, "{prefer}");
    }
    let office = Office::new();
    let (ada, bob) = disagreeing(&office);
    assert_eq!(bob.runs(&["push"]).code, 4);
    assert_eq!(ada.reads(&["conflicts"]).as_array().unwrap().len(), 1);
}

#[test]
fn a_pull_that_is_to_fail_on_conflict_changes_nothing() {
    let office = Office::new();
    let (_, bob) = disagreeing(&office);
    let said = bob.fails(4, &["pull", "--prefer", "fail"]);
    assert!(said.contains("nothing was integrated"), "{said}");
    assert_eq!(bob.reads(&["info"])["position"], 2);
}

#[test]
fn a_dry_run_says_what_would_come_and_changes_nothing() {
    let office = Office::new();
    let (_, bob) = disagreeing(&office);
    let before = bob.reads(&["info"]);
    let tried = bob.runs(&["pull", "--dry-run"]);
    assert_eq!(tried.code, 4, "{tried:?}");
    assert!(tried.stdout.contains("1 changeset from origin; 1 conflict"), "{tried:?}");
    assert!(tried.stderr.contains("nothing was changed"), "{tried:?}");
    assert_eq!(bob.runs(&["pull", "--dry-run", "--prefer", "mine"]).code, 0);
    assert_eq!(bob.reads(&["info"]), before);
}

#[test]
fn whether_a_record_exists_is_a_conflict_too() {
    let office = Office::new();
    let (ada, bob) = disagreeing(&office);
    ada.does(&["delete", "1"]);
    assert_eq!(bob.runs(&["pull"]).code, 4);
    let shown = bob.does(&["conflicts", "1"]);
    assert!(shown.contains("existence of bug #1"), "{shown}");
    assert!(bob.does(&["why", "1"]).contains("alive until somebody decides"));
    let said = bob.does(&["resolve", "1", "--deleted"]);
    assert_eq!(said, "voted: existence of bug #1 is to be deleted; decided\n");
    bob.fails(3, &["show", "1"]);
    bob.does(&["resolve", "1", "--alive"]);
    bob.does(&["show", "1"]);
}

#[test]
fn a_number_is_chosen_as_it_is_shown() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.does(&["create", "bug", "votes:=1"]);
    let bob = office.person("bob");
    bob.does(&["clone", "../ada"]);
    bob.does(&["list"]);
    ada.does(&["update", "1", "votes:=2"]);
    bob.does(&["update", "1", "--remove", "votes"]);
    assert_eq!(bob.runs(&["pull"]).code, 4);
    assert!(bob.does(&["resolve", "1", "votes=2"]).starts_with("voted: votes"));
    assert_eq!(bob.reads(&["show", "1"])["properties"]["votes"], 2);
    assert!(bob.does(&["resolve", "1", "--remove", "votes"]).contains("is to be absent; decided"));
    assert!(bob.reads(&["show", "1"])["properties"].as_object().unwrap().is_empty());
}

#[test]
fn several_conflicts_are_decided_together_or_not_at_all() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.does(&["create", "bug", "status=new", "votes:=1"]);
    let bob = office.person("bob");
    bob.does(&["clone", "../ada"]);
    bob.does(&["list"]);
    ada.does(&["update", "1", "status=fixed", "votes:=2"]);
    bob.does(&["update", "1", "status=invalid", "votes:=3"]);
    assert_eq!(bob.runs(&["pull"]).code, 4);
    let log = || bob.reads(&["log"]).as_array().unwrap().len();
    let before = log();
    // One of them cannot be: the record's existence is not contested.
    let said = bob.fails(3, &["resolve", "1", "status=fixed", "--alive"]);
    assert!(said.contains("existence of bug #1 is not contested"), "{said}");
    assert_eq!(log(), before);
    let decided = bob.reads(&["resolve", "1", "status=fixed", "votes=5"]);
    assert_eq!(decided[0]["changesets"], decided[1]["changesets"]);
    assert_eq!(decided[0]["changesets"].as_array().unwrap().len(), 2, "{decided}");
    assert!(decided.as_array().unwrap().iter().all(|one| one["open"] == false), "{decided}");
    assert_eq!(log(), before + 2);
    assert_eq!(bob.reads(&["show", "1"])["contested"], serde_json::json!(["status"]));
}

#[test]
fn every_named_peer_is_pulled_from_and_those_that_fail_are_named() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.does(&["create", "bug", "title=one"]);
    for name in ["bob", "carol"] {
        let person = office.person(name);
        person.does(&["clone", "../ada"]);
        person.does(&["create", "bug", "title=more"]);
        ada.does(&["peers", "add", name, &format!("../{name}")]);
    }
    let both = ada.does(&["pull", "--all"]);
    assert_eq!(both, "1 changeset from bob\n1 changeset from carol\n");
    std::fs::rename(office.path().join("bob"), office.path().join("gone")).unwrap();
    office.person("gone").does(&["peers", "add", "x", "nowhere"]);
    let carol = office.person("carol");
    carol.does(&["create", "bug", "title=even more"]);
    let ran = ada.runs(&["pull", "--all"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(ran.stdout, "1 changeset from carol\n");
    assert!(ran.stderr.contains("bob: there is no replica at"), "{ran:?}");
    assert!(ran.stderr.contains("1 of 2 peers failed: bob"), "{ran:?}");
    for format in ["table", "json", "jsonl"] {
        carol.does(&["create", "bug", "title=one more"]);
        let ran = ada.runs_and_nobody_reads(&["--format", format, "pull", "--all"]);
        assert_eq!(ran.code, 3, "whether anybody reads it or not: {ran:?}");
        assert!(ran.stderr.contains("1 of 2 peers failed: bob"), "{ran:?}");
    }
    assert_eq!(ada.does(&["search", "bug", "--count"]), "7\n");
}

#[test]
fn bundles_carry_what_somebody_lacks() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.does(&["create", "bug", "title=one"]);
    expect(
        "1 change[..] in all.bundle, [..] bytes\n",
        &ada.does(&["bundle", "create", "all.bundle"]),
    );
    let bob = office.person("bob");
    assert_eq!(bob.does(&["clone", "../ada/all.bundle"]), "1 changeset from ../ada/all.bundle\n");
    ada.does(&["create", "bug", "title=two"]);
    expect(
        "1 change[..]\n",
        &ada.does(&["bundle", "create", "more.bundle", "--after", "all.bundle"]),
    );
    ada.does(&["bundle", "create", "for-bob.bundle", "--for", "../bob"]);
    let inspected = ada.does(&["bundle", "inspect", "more.bundle"]);
    assert!(inspected.contains("is for those who have seen\n    up to changeset 1"), "{inspected}");
    let whole = ada.does(&["bundle", "inspect", "all.bundle"]);
    assert!(whole.contains("can be cloned"), "{whole}");
    assert_eq!(ada.reads(&["bundle", "inspect", "more.bundle"])["changesets"], 1);
    // A bundle is read without a replica, if it has everything.
    assert_eq!(bob.does(&["-r", "../ada/all.bundle", "search", "bug", "--count"]), "1\n");
    assert!(bob.fails(1, &["-r", "../ada/more.bundle", "list"]).contains("builds on what"));
    let cleo = office.person("cleo");
    assert!(cleo.fails(1, &["clone", "../ada/more.bundle"]).contains("cannot be cloned"));
    assert_eq!(cleo.names(), [""; 0], "nothing is left");
    assert_eq!(
        bob.does(&["bundle", "apply", "../ada/more.bundle"]),
        "1 changeset from ../ada/more.bundle\n"
    );
    assert_eq!(
        bob.does(&["pull", "../ada/for-bob.bundle"]),
        "nothing new from ../ada/for-bob.bundle\n"
    );
    std::fs::write(bob.directory.join("damaged.bundle"), b"\xABPnonsense").unwrap();
    assert!(bob.fails(1, &["bundle", "apply", "damaged.bundle"]).contains("damaged.bundle"));
}
