//! Prints what a golden file of the format must hold: `cargo run --example golden -- NAME`, or
//! the names of all without one.
//!
//! The files pin the format: one is written once, and changed only along with the codec version.

#![allow(clippy::unwrap_used, reason = "the content is fixed")]

#[path = "../tests/support/golden.rs"]
mod golden;

fn main() {
    let wanted = std::env::args().nth(1);
    for golden in golden::goldens() {
        match &wanted {
            None => println!("{}", golden.name),
            Some(wanted) if wanted == golden.name => print!("{}", golden.file()),
            Some(_) => {}
        }
    }
}
