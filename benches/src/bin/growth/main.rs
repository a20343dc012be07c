//! How costs grow with the length of the log:
//!
//! ```text
//! cargo run --release -p benches --bin growth -- \
//!     --store sqlite --changesets 1000,10000,100000,1000000 --out benches/results
//! ```
//!
//! Builds a replica of each size on each store, each in a process of its own, and measures there what
//! operations take, what is stored, how much memory there was and how many requests were sent. Rows of
//! the same store and size in `growth.csv` are replaced; plots are made of all that is in it.
//! `benches/README.md` says what each measure means.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench measures time and stops at the first surprise"
)]

mod content;
mod machine;
mod measure;
mod plot;
mod results;
mod store;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use crate::results::{Results, Row};
use crate::store::Kind;

const USAGE: &str = "growth [--store fs,memory,s3,sled,sqlite] [--changesets 1000,10000] \
     [--out benches/results]";

/// What is asked for.
struct Asked {
    stores: Vec<Kind>,
    changesets: Vec<u64>,
    out: PathBuf,
    /// This is the process of one store and one size.
    one: bool,
}

impl Asked {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let out = PathBuf::from("benches/results");
        let mut asked =
            Self { stores: Kind::ALL.to_vec(), changesets: vec![1_000, 10_000], out, one: false };
        let mut arguments = arguments;
        while let Some(name) = arguments.next() {
            if name == "--one" {
                asked.one = true;
                continue;
            }
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--store" => {
                    let stores = value.split(',').map(|name| {
                        Kind::named(name).ok_or_else(|| format!("there is no store called {name}"))
                    });
                    asked.stores = stores.collect::<Result<_, _>>()?;
                }
                "--changesets" => {
                    let sizes = value.split(',').map(|size| match size.parse() {
                        Ok(size) if size >= content::BLOCK => Ok(size),
                        _ => Err(format!("{size} is no number of changesets, of 1000 or more")),
                    });
                    asked.changesets = sizes.collect::<Result<_, _>>()?;
                }
                "--out" => asked.out = value.into(),
                other => return Err(format!("{other} is unknown")),
            }
        }
        Ok(asked)
    }
}

fn main() -> ExitCode {
    let asked = match Asked::parse(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(why) => {
            eprintln!("{why}; {USAGE}");
            return ExitCode::FAILURE;
        }
    };
    if asked.one {
        for store in asked.stores {
            for changesets in &asked.changesets {
                for row in measure::all(store, *changesets) {
                    println!("{}", row.to_csv());
                }
            }
        }
        return ExitCode::SUCCESS;
    }
    match run(&asked) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(asked: &Asked) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", asked.out.display());
    std::fs::create_dir_all(&asked.out).map_err(failed)?;
    let path = asked.out.join("growth.csv");
    let mut results = Results::read(&path)?;
    std::fs::write(asked.out.join("machine.md"), machine::described()).map_err(failed)?;
    for store in &asked.stores {
        for changesets in &asked.changesets {
            if store.most().is_some_and(|most| *changesets > most) {
                println!(
                    "{}: {changesets} changesets are left out, for {}",
                    store.name(),
                    store.why()
                );
                continue;
            }
            println!("{}: {changesets} changesets", store.name());
            let rows = in_a_process(*store, *changesets)?;
            for row in &rows {
                println!("    {:<34} {:>14.2} {}", row.measure, row.value, row.unit);
            }
            results.replace(rows);
            // What was measured is kept if the next one fails.
            results.write(&path).map_err(failed)?;
        }
    }
    for name in plot::all(&results, &asked.out)? {
        println!("{}", asked.out.join(name).display());
    }
    Ok(())
}

/// The rows that another process of this program measures.
fn in_a_process(store: Kind, changesets: u64) -> Result<Vec<Row>, String> {
    let failed = |error: std::io::Error| format!("the process of a size cannot be run: {error}");
    let program = std::env::current_exe().map_err(failed)?;
    let child = Command::new(program)
        .args(["--one", "--store", store.name(), "--changesets", &changesets.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .map_err(failed)?;
    let (name, status) = (store.name(), child.status);
    if !status.success() {
        return Err(format!("{name} with {changesets} changesets failed: {status}"));
    }
    let text = String::from_utf8_lossy(&child.stdout);
    text.lines().map(Row::parse).collect()
}
