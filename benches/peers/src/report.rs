//! What came of it, as tables, with ratios to Prophet in the same run.

use std::fmt::Write as _;

use crate::Result;
use crate::run::{KINDS, Results, SUBJECTS};
use crate::steps::Steps;
use crate::work::BATCH;

/// What others are compared with.
const BASE: &str = "sqlite";
const OURS: [&str; 2] = ["sqlite", "fs"];

/// A column: the step as processes call it, the heading, and whether it is of bytes.
const COLUMNS: [(&str, &str, bool); 10] = [
    ("load", "load", false),
    ("update", "update", false),
    ("load and update", "load and update", false),
    ("list", "list", false),
    ("replicate", "replicate", false),
    ("nothing new", "nothing new", false),
    ("open", "open, get one", false),
    ("bytes", "bytes", true),
    ("bytes of the other", "bytes, other peer", true),
    ("peak", "peak memory", true),
];

pub(crate) fn write(
    machine: &[String],
    records: usize,
    edits: usize,
    results: &Results,
) -> Result<String> {
    let mut text = String::from("# Peers side by side\n\n");
    writeln!(
        text,
        "Written by `benches/peers/run`. `README.md` beside it says what is done in each step, and what\n\
         differs between the peers; without that, the figures mean little. In parentheses: how many times\n\
         as much as Prophet on SQLite took in the same run, so above 1 Prophet is better.\n"
    )?;
    for line in machine {
        writeln!(text, "- {line}")?;
    }
    for kind in KINDS {
        for mode in ["each", "batches"] {
            let of = |word: &'static str| results.get(&(kind, mode.to_owned(), word));
            if SUBJECTS.iter().all(|(word, _)| of(*word).is_none()) {
                continue;
            }
            let what = match kind {
                "records" => format!("{records} records"),
                _ => format!("The {edits} edits of a bug tracker"),
            };
            let how = match mode {
                "each" => "each edit by itself".to_owned(),
                _ => format!("{BATCH} edits together"),
            };
            writeln!(text, "\n## {what}, {how}\n")?;
            table(&mut text, of)?;
            better(&mut text, of)?;
        }
    }
    Ok(text)
}

/// Time to load and update where it is said as two steps, so that it can be compared.
fn value(steps: &Steps, step: &str) -> Option<f64> {
    match step {
        "load and update" => {
            steps.get(step).or_else(|| Some(steps.get("load")? + steps.get("update")?))
        }
        _ => steps.get(step),
    }
}

fn table<'a>(text: &mut String, of: impl Fn(&'static str) -> Option<&'a Steps>) -> Result<()> {
    let columns = COLUMNS.iter().filter(|(step, ..)| {
        SUBJECTS.iter().any(|(word, _)| of(*word).and_then(|steps| value(steps, step)).is_some())
    });
    let columns: Vec<_> = columns.collect();
    write!(text, "| |")?;
    for (_, heading, _) in &columns {
        write!(text, " {heading} |")?;
    }
    writeln!(text, "\n|---|{}", "---:|".repeat(columns.len()))?;
    for (word, name) in SUBJECTS {
        let Some(steps) = of(word) else { continue };
        write!(text, "| {name} |")?;
        for (step, _, bytes) in &columns {
            let Some(figure) = value(steps, step) else {
                write!(text, " – |")?;
                continue;
            };
            let shown = if *bytes { in_bytes(figure) } else { in_seconds(figure) };
            let base = of(BASE).filter(|_| word != BASE).and_then(|steps| value(steps, step));
            match base {
                Some(base) => write!(text, " {shown} ({}x) |", ratio(figure / base))?,
                None => write!(text, " {shown} |")?,
            }
        }
        writeln!(text)?;
    }
    Ok(())
}

/// Says where a peer does better than either of the two of Prophet.
fn better<'a>(text: &mut String, of: impl Fn(&'static str) -> Option<&'a Steps>) -> Result<()> {
    let mut lines = Vec::new();
    for (word, name) in SUBJECTS.iter().filter(|(word, _)| !OURS.contains(word)) {
        let Some(steps) = of(*word) else { continue };
        let won = COLUMNS.iter().filter_map(|(step, heading, _)| {
            let ours = OURS.iter().filter_map(|ours| value(of(*ours)?, step));
            let best = ours.min_by(f64::total_cmp)?;
            let theirs = value(steps, step).filter(|theirs| *theirs < best)?;
            Some(format!("{heading} ({}x)", ratio(theirs / best)))
        });
        let won: Vec<_> = won.collect();
        if !won.is_empty() {
            lines.push(format!("- {name}: {}", won.join(", ")));
        }
    }
    if OURS.iter().all(|word| of(*word).is_none()) {
        return Ok(());
    }
    if lines.is_empty() {
        writeln!(text, "\nNo peer is better than the better one of Prophet's two in any column.")?;
    } else {
        writeln!(text, "\nBetter than the better one of Prophet's two:\n\n{}", lines.join("\n"))?;
    }
    Ok(())
}

fn ratio(ratio: f64) -> String {
    match ratio {
        ..0.095 => format!("{ratio:.3}"),
        0.095..0.95 => format!("{ratio:.2}"),
        0.95..9.5 => format!("{ratio:.1}"),
        _ => format!("{ratio:.0}"),
    }
}

fn in_seconds(seconds: f64) -> String {
    match seconds {
        ..1e-3 => format!("{:.0} µs", seconds * 1e6),
        1e-3..0.1 => format!("{:.1} ms", seconds * 1e3),
        0.1..1.0 => format!("{:.0} ms", seconds * 1e3),
        1.0..10.0 => format!("{seconds:.2} s"),
        _ => format!("{seconds:.1} s"),
    }
}

fn in_bytes(bytes: f64) -> String {
    match bytes {
        ..1e6 => format!("{:.0} kB", bytes / 1e3),
        1e6..1e8 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.0} MB", bytes / 1e6),
    }
}
