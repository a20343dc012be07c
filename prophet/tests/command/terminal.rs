//! What happens at a terminal: questions, colours, the prompt of the shell.

use rexpect::session::{PtySession, spawn_command};

use crate::support::{Office, Person};

const PATIENCE_MS: u64 = 60_000;

fn at_a_terminal(person: &Person, words: &[&str]) -> PtySession {
    let mut command = person.command();
    command.args(words).env("TERM", "xterm");
    spawn_command(command, Some(PATIENCE_MS)).unwrap()
}

fn ends(mut session: PtySession, code: i32) -> String {
    let rest = session.exp_eof().unwrap();
    match session.process().wait().unwrap() {
        rexpect::process::WaitStatus::Exited(_, ended) => assert_eq!(ended, code, "{rest}"),
        other => panic!("{other:?}"),
    }
    rest
}

fn disagreeing(office: &Office) -> (Person, Person) {
    let ada = office.person_with_replica("ada");
    ada.does(&["create", "bug", "status=new", "title=It crashes"]);
    let bob = office.person("bob");
    bob.does(&["clone", "../ada"]);
    bob.does(&["list"]);
    ada.does(&["update", "1", "status=fixed", "title=It crashes at once"]);
    bob.does(&["update", "1", "status=invalid", "title=It crashed"]);
    (ada, bob)
}

#[test]
fn a_pull_asks_about_each_conflict_and_takes_the_answers() {
    let office = Office::new();
    let (_, bob) = disagreeing(&office);
    let mut session = at_a_terminal(&bob, &["pull", "--color", "never"]);
    let shown = session.exp_string("Which one?").unwrap();
    assert!(shown.contains("Conflict about status of bug #1"), "{shown}");
    assert!(shown.contains("written by ada"), "{shown}");
    assert!(shown.contains("(visible now)"), "{shown}");
    session.send_line("7").unwrap();
    session.exp_string("\"7\" is none of the answers").unwrap();
    session.send_line("1").unwrap();
    session.exp_string("Conflict about title of bug #1").unwrap();
    session.exp_string("leave all open:").unwrap();
    session.send_line("=It crashed at once").unwrap();
    let rest = ends(session, 0);
    assert!(
        rest.contains("2 conflicts: 0 settled by majority, 2 decided here, 0 left open"),
        "{rest}"
    );
    let bug = bob.reads(&["show", "1"]);
    assert_eq!(bug["properties"]["status"], "fixed");
    assert_eq!(bug["properties"]["title"], "It crashed at once");
}

#[test]
fn what_is_not_answered_stays_open_and_is_asked_by_resolve() {
    let office = Office::new();
    let (_, bob) = disagreeing(&office);
    let mut session = at_a_terminal(&bob, &["pull"]);
    session.exp_string("leave all open:").unwrap();
    session.send_line("").unwrap();
    session.exp_string("leave all open:").unwrap();
    session.send_line("q").unwrap();
    ends(session, 4);

    let mut session = at_a_terminal(&bob, &["resolve", "1"]);
    session.exp_string("leave all open:").unwrap();
    session.send_line("2").unwrap();
    session.exp_string("voted: status of bug #1 is to be \"invalid\"; decided").unwrap();
    session.exp_string("leave all open:").unwrap();
    session.send_control('d').unwrap();
    let rest = ends(session, 4);
    assert!(rest.contains("1 left open"), "{rest}");

    // Nobody is asked who asked not to be.
    let mut session = at_a_terminal(&bob, &["pull", "--prefer", "open"]);
    session.exp_string("nothing new").unwrap();
    ends(session, 0);
}

#[test]
fn earlier_votes_are_shown_to_whoever_is_asked() {
    let office = Office::new();
    let (ada, bob) = disagreeing(&office);
    assert_eq!(ada.runs(&["pull", "../bob"]).code, 4);
    assert!(ada.does(&["resolve", "1", "status=fixed"]).contains("decided"));
    assert_eq!(bob.runs(&["pull", "../ada"]).code, 4);
    let shown = bob.does(&["conflicts", "1"]);
    assert!(shown.contains("voted for by ada"), "{shown}");
    // His own vote makes it a tie, and a third one is asked.
    assert!(bob.does(&["resolve", "1", "status=invalid"]).contains("still open"));
    let carol = office.person("carol");
    carol.does(&["init", "sqlite:unrelated.db"]);
    let cloned = carol.runs(&["clone", "../bob"]);
    assert_eq!(cloned.code, 4, "{cloned:?}");
    let mut session = at_a_terminal(&carol, &["resolve", "--color", "never"]);
    let shown = session.exp_string("leave all open:").unwrap();
    assert!(shown.contains("voted for by ada") && shown.contains("voted for by bob"), "{shown}");
    session.send_line("1").unwrap();
    session.exp_string("decided").unwrap();
    session.exp_string("leave all open:").unwrap();
    session.send_line("q").unwrap();
    ends(session, 4);
}

#[test]
fn colours_are_shown_unless_they_are_not_wanted() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    ada.does(&["create", "bug", "title=one"]);
    let shown = ends(at_a_terminal(&ada, &["list"]), 0);
    assert!(shown.contains("\u{1b}[1m"), "{shown:?}");
    let mut command = ada.command();
    command.args(["list"]).env("TERM", "xterm").env("NO_COLOR", "1");
    let shown = ends(spawn_command(command, Some(PATIENCE_MS)).unwrap(), 0);
    assert!(!shown.contains("\u{1b}["), "{shown:?}");
}

#[test]
fn the_shell_has_a_prompt_that_completes_commands_and_goes_on_after_errors() {
    let office = Office::new();
    let ada = office.person_with_replica("ada");
    let mut session = at_a_terminal(&ada, &["shell", "--color", "never"]);
    session.exp_string("prophet> ").unwrap();
    session.send("cre\t").unwrap();
    session.send_line("bug title=one").unwrap();
    session.exp_string("created bug #1").unwrap();
    session.send_line("show 7").unwrap();
    session.exp_string("luid 7").unwrap();
    session.send_line("search bug --count").unwrap();
    session.exp_string("1").unwrap();
    session.send_line("exit").unwrap();
    ends(session, 0);
}
