//! What was measured, as a table for people and as lines for later.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What was measured over one store.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(clippy::exhaustive_structs, reason = "numbers to read")]
pub struct Report {
    /// The name of the suite.
    pub store: String,
    /// The operations, in the order in which they were measured.
    pub rows: Vec<Row>,
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "numbers to read")]
pub struct Row {
    /// Its name.
    pub operation: String,
    /// So many edits, records or changesets in one time.
    pub elements: u64,
    /// So many bytes of content in one time; 0 where that means nothing.
    pub bytes: u64,
    /// Nanoseconds of one time: the median.
    pub ours: f64,
    /// What it was measured in turns with.
    pub others: Vec<Figure>,
}

/// What an operation was measured in turns with.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "numbers to read")]
pub struct Figure {
    /// The engine.
    pub name: String,
    /// Whether the store stands on it; or else it stands beside.
    pub floor: bool,
    /// Nanoseconds of one time: the median.
    pub nanoseconds: f64,
}

impl Row {
    /// How many times as long as its floor it takes, if it has one: the first of them.
    pub fn ratio(&self) -> Option<f64> {
        let floor = self.others.iter().find(|other| other.floor)?;
        Some(self.ours / floor.nanoseconds)
    }
}

/// Nanoseconds in the unit in which they are read best.
pub fn time(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        under if under < 1e3 => (under, "ns"),
        under if under < 1e6 => (under / 1e3, "us"),
        under if under < 1e9 => (under / 1e6, "ms"),
        over => (over / 1e9, "s"),
    };
    format!("{} {unit}", digits(value))
}

/// Three digits that count.
fn digits(value: f64) -> String {
    let decimals = match value {
        over if over >= 99.95 => 0,
        over if over >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

/// A rate, by thousands.
fn rate(value: f64) -> String {
    match value {
        under if under < 1e3 => digits(under),
        under if under < 1e6 => format!("{}k", digits(under / 1e3)),
        over => format!("{}M", digits(over / 1e6)),
    }
}

impl Report {
    /// As a table for people. A ratio says how many times as long as the other one the store takes.
    pub fn table(&self) -> String {
        let head =
            ["operation", "time", "a second", "MB/s", "floor", "its time", "ratio", "beside"];
        let mut lines = vec![head.map(str::to_owned)];
        for row in &self.rows {
            let seconds = row.ours / 1e9;
            let bytes = match row.bytes {
                0 => String::new(),
                bytes => digits(bytes as f64 / 1e6 / seconds),
            };
            let floor = row.others.iter().find(|other| other.floor);
            let besides = row.others.iter().filter(|other| !other.floor).map(|other| {
                format!(
                    "{} {}x ({})",
                    other.name,
                    digits(row.ours / other.nanoseconds),
                    time(other.nanoseconds)
                )
            });
            lines.push([
                row.operation.clone(),
                time(row.ours),
                rate(row.elements as f64 / seconds),
                bytes,
                floor.map_or_else(|| "-".to_owned(), |floor| floor.name.clone()),
                floor.map_or_else(String::new, |floor| time(floor.nanoseconds)),
                row.ratio().map_or_else(String::new, |ratio| format!("{}x", digits(ratio))),
                besides.collect::<Vec<_>>().join(", "),
            ]);
        }
        format!("{}, medians\n{}", self.store, aligned(&lines))
    }

    /// One line for each figure: the operation, its elements and bytes, what was measured, whether that
    /// is the store, a floor or beside, and its nanoseconds.
    pub fn to_csv(&self) -> String {
        let mut out = "operation;elements;bytes;what;kind;nanoseconds\n".to_owned();
        for Row { operation, elements, bytes, ours, others } in &self.rows {
            // Writing to a text does not fail.
            let _ = writeln!(out, "{operation};{elements};{bytes};{};store;{ours:.1}", self.store);
            for Figure { name, floor, nanoseconds } in others {
                let kind = if *floor { "floor" } else { "beside" };
                let _ =
                    writeln!(out, "{operation};{elements};{bytes};{name};{kind};{nanoseconds:.1}");
            }
        }
        out
    }

    /// What [`to_csv`](Self::to_csv) made; `None` for what it did not make.
    pub fn from_csv(store: &str, csv: &str) -> Option<Self> {
        let mut rows: Vec<Row> = Vec::new();
        for line in csv.lines().skip(1) {
            let [operation, elements, bytes, what, kind, nanoseconds] =
                line.split(';').collect::<Vec<_>>().try_into().ok()?;
            let nanoseconds = nanoseconds.parse().ok()?;
            if kind == "store" {
                rows.push(Row {
                    operation: operation.to_owned(),
                    elements: elements.parse().ok()?,
                    bytes: bytes.parse().ok()?,
                    ours: nanoseconds,
                    others: Vec::new(),
                });
            } else {
                let (name, floor) = (what.to_owned(), kind == "floor");
                rows.last_mut()?.others.push(Figure { name, floor, nanoseconds });
            }
        }
        Some(Self { store: store.to_owned(), rows })
    }

    /// Keeps it beside the programs of this build, for `summary`: operations that were not measured
    /// this time stay as they were.
    pub fn save(&self) {
        let Some(directory) = directory() else { return };
        let path = directory.join(&self.store).with_extension("csv");
        let before = std::fs::read_to_string(&path).ok();
        let before = before.and_then(|csv| Self::from_csv(&self.store, &csv)).unwrap_or_default();
        let measured = |row: &Row| self.rows.iter().find(|now| now.operation == row.operation);
        let mut rows: Vec<Row> =
            before.rows.iter().map(|row| measured(row).unwrap_or(row).clone()).collect();
        let new = self
            .rows
            .iter()
            .filter(|row| before.rows.iter().all(|earlier| earlier.operation != row.operation));
        rows.extend(new.cloned());
        let all = Self { store: self.store.clone(), rows };
        let saved =
            std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(&path, all.to_csv()));
        if let Err(error) = saved {
            println!("the figures cannot be kept in {}: {error}", path.display());
        }
    }
}

/// Columns of one width; the first is on the left, and so is text.
fn aligned(lines: &[[String; 8]]) -> String {
    let mut widths = [0; 8];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for line in lines {
        let mut text = String::new();
        for (place, (width, cell)) in widths.iter().zip(line).enumerate() {
            let _ = match place {
                0 | 4 | 7 => write!(text, "{cell:<width$}  "),
                _ => write!(text, "{cell:>width$}  "),
            };
        }
        let _ = writeln!(out, "{}", text.trim_end());
    }
    out
}

/// Where figures are kept: beside the programs of this build.
pub fn directory() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let directory = program.parent()?;
    let profile = match directory.ends_with("deps") {
        true => directory.parent()?,
        false => directory,
    };
    Some(profile.join("bench-figures"))
}

/// The reports that are kept in a directory, by name.
pub fn kept(directory: &Path) -> Vec<Report> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort_unstable();
    let reports = paths.iter().filter_map(|path| {
        let store = path.file_stem()?.to_str()?;
        Report::from_csv(store, &std::fs::read_to_string(path).ok()?)
    });
    reports.collect()
}

#[cfg(test)]
mod tests {
    use super::{Figure, Report, Row, digits, rate, time};

    fn report() -> Report {
        let figure =
            |name: &str, floor, nanoseconds| Figure { name: name.into(), floor, nanoseconds };
        let edit = Row {
            operation: "edit".into(),
            elements: 1,
            bytes: 50,
            ours: 250_000.0,
            others: vec![figure("a file", true, 200_000.0), figure("redb", false, 500_000.0)],
        };
        let open = Row {
            operation: "open".into(),
            bytes: 0,
            ours: 2e6,
            others: Vec::new(),
            ..edit.clone()
        };
        Report { store: "fs".into(), rows: vec![edit, open] }
    }

    #[test]
    fn a_report_is_read_back_as_it_was() {
        let report = report();
        assert_eq!(Report::from_csv("fs", &report.to_csv()), Some(report));
        assert_eq!(Report::from_csv("fs", "head\nedit;1;2;fs;store"), None);
        assert_eq!(Report::from_csv("fs", "head\nedit;1;2;redb;beside;3.0"), None);
    }

    #[test]
    fn a_ratio_is_how_many_times_the_floor() {
        let report = report();
        let ratios: Vec<_> = report.rows.iter().map(Row::ratio).collect();
        assert_eq!(ratios, [Some(1.25), None]);
        let table = report.table();
        assert!(table.contains("1.25x"), "{table}");
        assert!(table.contains("redb 0.50x (500 us)"), "{table}");
    }

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!([0.5, 9.994, 99.94, 99.96].map(digits), ["0.50", "9.99", "99.9", "100"]);
        assert_eq!(
            [999.0, 1_500.0, 2.5e7, 3e9].map(time),
            ["999 ns", "1.50 us", "25.0 ms", "3.00 s"]
        );
        assert_eq!([12.0, 12_000.0, 1.2e7].map(rate), ["12.0", "12.0k", "12.0M"]);
    }
}
