//! What was counted when somebody last said that it is all right.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::fs;

use crate::Result;

/// Where it is.
pub(crate) const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.txt");
/// How much more is too much, in hundredths.
const ALLOWED: f64 = 5.0;

const INTRODUCTION: &str = "\
# Instructions of one operation, by path: x86-64 with AVX2, release profile.
# Written by: cargo run --release -p instructions -- --write
";

/// Counts by the name of the path.
#[derive(Debug, Default)]
pub(crate) struct Baseline(BTreeMap<String, u64>);

/// What became of a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Change {
    /// It is not in the baseline.
    New,
    /// It is more, or less, by so many hundredths.
    By(f64),
}

impl Change {
    pub(crate) const ADVICE: &str = "\
What a path takes is not what the baseline says. If that is meant, or follows from a newer compiler:
cargo run --release -p instructions -- --write";

    pub(crate) fn is_allowed(self) -> bool {
        matches!(self, Self::By(hundredths) if hundredths <= ALLOWED)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("is not in the baseline"),
            Self::By(hundredths) if !self.is_allowed() => {
                write!(f, "{hundredths:+.2} %: more than {ALLOWED} % is too much")
            }
            Self::By(hundredths) if *hundredths < -ALLOWED => {
                write!(f, "{hundredths:+.2} %: write the baseline anew, so that it stays so")
            }
            Self::By(hundredths) => write!(f, "{hundredths:+.2} %"),
        }
    }
}

impl Baseline {
    /// The committed one; empty if there is none yet.
    pub(crate) fn read() -> Result<Self> {
        match fs::read_to_string(FILE) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("{FILE}: {error}").into()),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let mut counts = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let parsed = line.split_once(' ');
            let parsed = parsed.and_then(|(name, count)| Some((name, count.trim().parse().ok()?)));
            let Some((name, count)) = parsed else {
                return Err(format!("line {} of the baseline: {line:?}", index + 1).into());
            };
            counts.insert(name.to_owned(), count);
        }
        Ok(Self(counts))
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn take_in(&mut self, counts: &[(&'static str, u64)]) {
        self.0.extend(counts.iter().map(|(name, count)| ((*name).to_owned(), *count)));
    }

    pub(crate) fn write(&self) -> Result<()> {
        fs::write(FILE, self.text()?).map_err(|error| format!("{FILE}: {error}"))?;
        Ok(())
    }

    fn text(&self) -> Result<String> {
        let mut text = INTRODUCTION.to_owned();
        for (name, count) in &self.0 {
            writeln!(text, "{name:<24} {count:>12}")?;
        }
        Ok(text)
    }

    pub(crate) fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    pub(crate) fn compare(&self, name: &str, count: u64) -> Change {
        match self.get(name) {
            None => Change::New,
            Some(before) => Change::By((count as f64 - before as f64) * 100.0 / before as f64),
        }
    }

    /// The names for which nothing was counted.
    pub(crate) fn not_among<'a>(
        &'a self,
        counts: &'a [(&'static str, u64)],
    ) -> impl Iterator<Item = &'a str> {
        let counted = |name: &&str| counts.iter().any(|(counted, _)| counted == name);
        self.0.keys().map(String::as_str).filter(move |name| !counted(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_five_in_a_hundred_is_refused_and_less_is_not() {
        let baseline = Baseline::parse("# words\nget_memory  1000\n").unwrap();
        assert!(baseline.compare("get_memory", 1_050).is_allowed());
        assert!(!baseline.compare("get_memory", 1_051).is_allowed());
        assert!(baseline.compare("get_memory", 500).is_allowed());
    }

    #[test]
    fn a_path_that_the_baseline_lacks_is_refused_and_so_is_one_that_is_gone() {
        let baseline = Baseline::parse("get_memory 1000").unwrap();
        assert!(!baseline.compare("get_sqlite", 1).is_allowed());
        assert_eq!(baseline.not_among(&[("get_sqlite", 1)]).collect::<Vec<_>>(), ["get_memory"]);
    }

    #[test]
    fn what_is_written_is_read_again_and_what_is_neither_is_refused() {
        let mut baseline = Baseline::default();
        baseline.take_in(&[("get_memory", 1_000), ("a_name_of_twenty_four_le", 1)]);
        let read = Baseline::parse(&baseline.text().unwrap()).unwrap();
        assert_eq!(read.0, baseline.0);
        assert!(Baseline::parse("get_memory a_few").is_err());
    }
}
