//! Prints the checks as a table: what each is called, which rules it checks, what it needs.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--list"] => {
            print!("{}", conformance::table());
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!(
                "usage: conformance --list\n\nThe checks run as tests: see `conformance::suite!`."
            );
            ExitCode::from(2)
        }
    }
}
