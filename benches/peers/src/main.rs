//! Prophet and its peers side by side: the same work, one after another in one run, each in a process
//! of its own. `README.md` says what is done and what differs; `./run` installs what it takes.

mod crdt;
mod fossil;
mod machine;
mod prophet;
mod report;
mod run;
mod steps;
mod subject;
#[path = "../../../examples/tracker/mod.rs"]
mod tracker;
mod work;

use std::error::Error;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.split_first() {
        Some((first, rest)) if first == subject::ARGUMENT => subject::work(rest),
        _ => run::all(&arguments),
    };
    if let Err(error) = done {
        eprintln!("peers: {error}");
        std::process::exit(1);
    }
}
