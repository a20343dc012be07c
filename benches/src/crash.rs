//! Replicas whose program died in the middle of its work.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::rc::Rc;

use futures_lite::future::block_on;
use harnesses::{FaultyPlace, Harness, Place, Store};
use prophet_store::{Identity, PullOptions, Replica};

use crate::content;
use crate::worlds::of_database_of;

/// Names the place, for the other process.
const ADDRESS: &str = "PROPHET_BENCH_CRASH";
/// How many records it creates before it is killed.
const EDITS: &str = "PROPHET_BENCH_EDITS";
/// What it says when it has.
const READY: &str = "ready";

/// Edits the place that the environment names, and waits to be killed, if it names one.
pub(crate) fn die_if_asked(harness: &dyn Harness) {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let edits = std::env::var(EDITS).ok().and_then(|edits| edits.parse().ok());
    let store = harness.open_address(&address).expect("the place opens");
    let replica = block_on(Replica::options().open_shared(store)).expect("the replica opens");
    edit(&replica, edits.expect("the number of edits is said"));
    let mut out = std::io::stdout();
    writeln!(out, "{READY}").and_then(|()| out.flush()).expect("the other process listens");
    loop {
        std::thread::park();
    }
}

/// Each edit a commit of its own.
fn edit(replica: &Replica, edits: usize) {
    for number in 0..edits {
        let bug = content::bug(number).expect("the names are good");
        block_on(replica.create("bug", bug)).expect("the replica is edited");
    }
}

/// Somewhere to crash, again and again.
pub(crate) enum Crashes {
    /// By another process, which is killed.
    Killed { place: Rc<dyn Place>, address: String, edits: usize },
    /// A copy of what is there, as it is found if the process dies now.
    Copied { replica: Replica, place: Box<dyn FaultyPlace>, edits: usize },
}

/// A place after a crash.
pub(crate) enum Crashed {
    Killed(Rc<dyn Place>),
    Copied(Box<dyn FaultyPlace>),
}

impl Crashes {
    /// In a place with all that `source` has; `None` if nothing outlives the process.
    pub(crate) fn new(harness: &dyn Harness, source: &Replica, edits: usize) -> Option<Self> {
        let place = harness.place();
        let Some(address) = place.address() else {
            let place = harness.faulty_place()?;
            let replica = fill(&*place, source);
            return Some(Self::Copied { replica, place, edits });
        };
        drop(fill(&*place, source));
        Some(Self::Killed { place: Rc::from(place), address, edits })
    }

    /// Some more edits, and then a crash.
    pub(crate) fn crash(&self) -> Crashed {
        match self {
            Self::Copied { replica, place, edits } => {
                edit(replica, *edits);
                Crashed::Copied(place.after_crash())
            }
            Self::Killed { place, address, edits } => {
                kill(address, *edits);
                Crashed::Killed(Rc::clone(place))
            }
        }
    }
}

impl Crashed {
    pub(crate) fn open(&self) -> Store {
        let opened = match self {
            Self::Killed(place) => place.open(),
            Self::Copied(place) => place.open(),
        };
        opened.expect("the store opens")
    }
}

fn fill(place: &(impl Place + ?Sized), source: &Replica) -> Replica {
    let identity: Identity = of_database_of(source).expect("there is chance");
    let store = place.create(identity).expect("the store makes a replica");
    let replica = block_on(Replica::options().open_shared(store)).expect("the replica opens");
    block_on(replica.pull(source, PullOptions::new())).expect("the replica pulls");
    replica
}

fn kill(address: &str, edits: usize) {
    let program = std::env::current_exe().expect("this program is a file");
    let mut child = Command::new(program)
        .env(ADDRESS, address)
        .env(EDITS, edits.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program starts again");
    let out = child.stdout.take().expect("it is a pipe");
    let said = BufReader::new(out).lines().next();
    child.kill().expect("a child can be killed");
    child.wait().expect("a child ends");
    let said = said.and_then(Result::ok);
    assert_eq!(said.as_deref(), Some(READY), "the process was to die when it was ready");
}
