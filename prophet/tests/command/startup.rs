//! A command begins at once, however long the log is.

use std::time::{Duration, Instant};

use backend_sqlite::SqliteStore;
use futures_lite::future::block_on;
use prophet_store::{Identity, Properties, Replica};

use crate::support::{Office, Person};

/// So many changesets, unless PROPHET_CHANGESETS says another number.
const CHANGESETS: usize = 10_000;
/// So many in one commit.
const COMMIT: usize = 1_000;

fn changesets() -> usize {
    std::env::var("PROPHET_CHANGESETS").map_or(CHANGESETS, |number| number.parse().unwrap())
}

/// A replica in which one record was changed so often, and shown once.
fn replica(office: &Office, name: &str, changesets: usize) -> Person {
    let person = office.person(name);
    block_on(async {
        let path = person.directory.join("notes.db");
        let store = SqliteStore::create(&path, Identity::new_database().unwrap()).unwrap();
        let replica = Replica::open(store).await.unwrap();
        let counter = Properties::try_from([("n", 0)]).unwrap();
        let key = replica.create("counter", counter).await.unwrap();
        for first in (1..changesets).step_by(COMMIT) {
            let key = &key;
            let edited = replica.edit(|edit| async move {
                for n in first..(first + COMMIT).min(changesets) {
                    edit.begin_changeset("", None)?;
                    edit.update(key, Properties::try_from([("n", n as i64)])?).await?;
                }
                Ok(())
            });
            edited.await.unwrap();
        }
        replica.close().await.unwrap();
    });
    person.does(&["-r", "notes.db", "list"]);
    person
}

/// How long it takes.
#[allow(clippy::disallowed_methods, reason = "a program is timed")]
fn time(person: &Person, words: &[&str]) -> Duration {
    let begun = Instant::now();
    person.does(words);
    begun.elapsed()
}

#[test]
fn what_a_command_takes_does_not_grow_with_the_log() {
    let office = Office::new();
    let many = changesets();
    let (short, long) = (replica(&office, "short", 1), replica(&office, "long", many));
    assert_eq!(long.reads(&["-r", "notes.db", "info"])["position"], many);
    for words in [
        &["--version"][..],
        &["-r", "notes.db", "show", "1"],
        &["-r", "notes.db", "log", "-n", "1"],
    ] {
        // In turns, so that what else the machine does is the same for both.
        let times = (0..20).map(|_| (time(&short, words), time(&long, words)));
        let (short, long): (Vec<_>, Vec<_>) = times.unzip();
        let (short, long) = (short.iter().min().unwrap(), long.iter().min().unwrap());
        println!("{words:?}: {short:?} with 1 changeset, {long:?} with {many}");
        // A machine that has much to do may be slow for a while, but not so slow all the time.
        let bound = *short * 3 + Duration::from_millis(20);
        assert!(*long < bound, "{words:?}: {short:?} with 1 changeset, {long:?} with {many}");
    }
}
