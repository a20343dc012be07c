//! Shows what `cargo bench -p benches` measured last, store beside store: each time, and how many times
//! as long as its floor that is.

use std::process::ExitCode;

use benches::report::{Report, directory, kept, time};

fn main() -> ExitCode {
    let reports = directory().map(|directory| kept(&directory)).unwrap_or_default();
    if reports.is_empty() {
        println!("nothing was measured by this build; run: cargo bench -p benches");
        return ExitCode::FAILURE;
    }
    print!("{}", side_by_side(&reports));
    ExitCode::SUCCESS
}

/// A table in Markdown.
fn side_by_side(reports: &[Report]) -> String {
    let mut operations: Vec<&str> = Vec::new();
    for row in reports.iter().flat_map(|report| &report.rows) {
        if !operations.contains(&row.operation.as_str()) {
            operations.push(&row.operation);
        }
    }
    let names: Vec<_> = reports.iter().map(|report| report.store.as_str()).collect();
    let mut out = format!("| | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for operation in operations {
        let cells = reports.iter().map(|report| {
            let row = report.rows.iter().find(|row| row.operation == operation);
            row.map_or_else(String::new, |row| match row.ratio() {
                Some(ratio) => format!("{} ({ratio:.2}x)", time(row.ours)),
                None => time(row.ours),
            })
        });
        let cells: Vec<_> = cells.collect();
        out.push_str(&format!("| {operation} | {} |\n", cells.join(" | ")));
    }
    out
}
