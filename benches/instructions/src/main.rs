//! How many instructions the hot paths take: figures that are the same on a busy machine as on a
//! quiet one, so that CI can compare them with `baseline.txt` and refuse what makes them grow.
//!
//! ```text
//! cargo run --release -p instructions [-- [--write] [NAME]...]
//! ```
//!
//! The program runs itself under valgrind's callgrind, once for each *path*, and has it write down the
//! counts of all threads just before and just after the part that is measured. Not gungraun, which is
//! made for such benches: its baselines are in the target directory and not committed, it wants a
//! second program of the very same version installed, and it counts the thread that runs the bench,
//! where here a commit is done by another.
//!
//! User-space instructions are counted and nothing else: a path can take as many and yet take longer,
//! by waiting for a disk or missing caches. `cargo bench` tells that.

mod baseline;
mod callgrind;
mod environment;
mod paths;

use std::process::ExitCode;

use baseline::{Baseline, Change};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.as_slice() {
        [first, name] if first == callgrind::ARGUMENT => paths::take(name).map(|()| true),
        _ => run(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing grew by more than is allowed.
fn run(arguments: &[String]) -> Result<bool> {
    let (mut write, mut names) = (false, Vec::new());
    for argument in arguments {
        match argument.as_str() {
            "--write" => write = true,
            option if option.starts_with('-') => {
                return Err(format!("{option} is not known; usage: [--write] [NAME]...").into());
            }
            name => names.push(name),
        }
    }
    let chosen = |name: &str| names.is_empty() || names.iter().any(|part| name.contains(part));
    let paths: Vec<_> = paths::all().into_iter().filter(|path| chosen(path.name)).collect();
    if paths.is_empty() {
        return Err(format!("no path has a name with {}", names.join(" or ")).into());
    }
    let counts = callgrind::count(&paths)?;
    let mut baseline = Baseline::read()?;
    if write {
        if names.is_empty() {
            baseline.clear();
        }
        baseline.take_in(&counts);
        baseline.write()?;
        println!("{} figures written to {}", counts.len(), baseline::FILE);
        return Ok(true);
    }
    let mut fits = true;
    println!("{:<24} {:>12} {:>12}", "", "baseline", "now");
    for (name, count) in &counts {
        let change = baseline.compare(name, *count);
        fits &= change.is_allowed();
        let before = baseline.get(name).map_or_else(|| "-".to_owned(), |count| count.to_string());
        println!("{name:<24} {before:>12} {count:>12} {change}");
    }
    // Where only some were asked for, what is not there may be one of the others.
    let gone = baseline.not_among(&counts).filter(|_| names.is_empty());
    for name in gone {
        println!("{name:<24} is in the baseline, and there is no such path any more");
        fits = false;
    }
    if !fits {
        println!("\n{}", Change::ADVICE);
    }
    Ok(fits)
}
