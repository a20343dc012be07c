//! Random cases: how many, of which seeds, and what becomes of one that fails.
//!
//! Each case has a seed of its own, from which all that is random in it comes. So one number replays
//! a failure, however many cases were tried before it.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use crate::failure::{Failure, Outcome};

/// Says how many cases there are: so many of the quick ones, and in proportion of the others.
const CASES: &str = "PROPHET_CASES";
/// Is the seed of the one case that is wanted.
const SEED: &str = "PROPHET_SEED";
/// Is the directory of saved failures, in place of the one beside the manifest.
const SAVED: &str = "PROPHET_SAVED";
/// How many cases the quick ones have.
pub(crate) const QUICK: u32 = 48;

/// Where a test is, so that its failures are saved beside its crate.
#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct Site {
    manifest: Option<&'static str>,
    name: String,
}

impl Site {
    /// The test `name` of a module, in the crate that has its manifest here.
    pub fn new(manifest: Option<&'static str>, module: &str, name: &str) -> Self {
        Self { manifest, name: format!("{}.{name}", module.replace("::", ".")) }
    }

    /// The file of saved failures; `None` where there is no crate any more.
    fn file(&self) -> Option<PathBuf> {
        let beside = || {
            let manifest = Path::new(self.manifest?);
            manifest.is_dir().then(|| manifest.join("conformance-regressions"))
        };
        let directory = std::env::var_os(SAVED).map(PathBuf::from).or_else(beside)?;
        Some(directory.join(format!("{}.txt", self.name)))
    }
}

/// What the macros say of where they are.
#[doc(hidden)]
#[macro_export]
macro_rules! __site {
    ($name:expr) => {
        $crate::__private::Site::new(option_env!("CARGO_MANIFEST_DIR"), module_path!(), $name)
    };
}

/// How the cases of one property are tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cases<'a> {
    count: u32,
    saved: Option<&'a Site>,
    /// For so many milliseconds one that fails is shortened; 0 for not at all.
    shorten: u32,
}

fn number_in<T: std::str::FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok()?;
    let number = text.trim().parse().ok();
    assert!(number.is_some(), "{variable} is a number, and not {text:?}");
    number
}

/// What `PROPHET_CASES` says.
pub(crate) fn number_of_cases() -> Option<u64> {
    let cases = number_in(CASES);
    assert!(cases != Some(0), "{CASES} is 0, so that nothing would be checked");
    cases
}

impl<'a> Cases<'a> {
    /// So many, unless `PROPHET_CASES` says more or less.
    pub(crate) fn new(count: u32, saved: Option<&'a Site>) -> Self {
        let scaled = number_of_cases().map(|quick| {
            let scaled = (quick * u64::from(count)).div_ceil(QUICK.into());
            u32::try_from(scaled).unwrap_or(u32::MAX)
        });
        Self { count: scaled.unwrap_or(count), saved, shorten: 30_000 }
    }

    /// Those take long, or do not fail each time, so that it says little whether a shorter one does.
    #[must_use]
    pub(crate) fn erratic(mut self) -> Self {
        self.shorten = self.shorten.min(4_000);
        self
    }

    /// One that fails stays as it was found.
    #[must_use]
    pub(crate) const fn as_found(mut self) -> Self {
        self.shorten = 0;
        self
    }

    /// Tries what failed before, and then new cases; or the one that `PROPHET_SEED` names.
    ///
    /// # Errors
    /// What the shortest case came to that was found to fail.
    pub(crate) fn run<S: Strategy>(
        self,
        strategy: &S,
        property: impl Fn(S::Value) -> Outcome,
    ) -> Outcome {
        if let Some(seed) = number_in(SEED) {
            return self.case(seed, strategy, &property);
        }
        for seed in self.saved.map(saved).unwrap_or_default() {
            self.case(seed, strategy, &property)?;
        }
        let first = RandomState::new().hash_one(SEED);
        let seeds = (1..=u64::from(self.count)).map(|number| mixed(first.wrapping_add(number)));
        seeds.into_iter().try_for_each(|seed| self.case(seed, strategy, &property))
    }

    fn case<S: Strategy>(
        self,
        seed: u64,
        strategy: &S,
        property: &impl Fn(S::Value) -> Outcome,
    ) -> Outcome {
        let config = Config {
            cases: 1,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(seed),
            max_shrink_iters: if self.shorten == 0 { 0 } else { 4_096 },
            max_shrink_time: self.shorten,
            ..Config::default()
        };
        // The last one seen to fail is the shortest.
        let failure = RefCell::new(None);
        let tried = TestRunner::new(config).run(strategy, |value| {
            let outcome = catch_unwind(AssertUnwindSafe(|| property(value)));
            let outcome = outcome.unwrap_or_else(|panic| Err(Failure::panicked(&*panic)));
            outcome.map_err(|found| {
                failure.replace(Some(found));
                TestCaseError::fail("it fails")
            })
        });
        let failed = match tried {
            Ok(()) => return Ok(()),
            Err(TestError::Abort(reason)) => Failure::around(format!("no case: {reason}")),
            Err(TestError::Fail(reason, value)) => {
                let failure = failure.take().unwrap_or_else(|| Failure::around(reason.to_string()));
                let value = format!("{value:?}");
                let saved = self.saved.and_then(|site| save(site, seed, &value));
                failure.with(format!("\n      with: {value}{}", saved.unwrap_or_default()))
            }
        };
        Err(failed.with(format!("\n    replay: {SEED}={seed}, and this test alone")))
    }
}

/// SplitMix64: neighbours have nothing in common.
const fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The seeds of what failed before.
fn saved(site: &Site) -> Vec<u64> {
    let text = site.file().and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
    let seed = |line: &str| line.split_whitespace().next()?.parse().ok();
    text.lines().filter_map(seed).collect()
}

/// Keeps a seed for later runs, and says where.
fn save(site: &Site, seed: u64, value: &str) -> Option<String> {
    let file = site.file()?;
    let mut said = String::new();
    if !saved(site).contains(&seed) {
        let open = || {
            fs::create_dir_all(file.parent().unwrap_or(&file))?;
            let mut opened = OpenOptions::new().append(true).create(true).open(&file)?;
            // One write, for several tests may fail at once.
            opened.write_all(format!("{seed} # {}\n", value.replace('\n', " ")).as_bytes())
        };
        if let Err(error) = open() {
            let _ = write!(said, "\n     saved: nowhere, for {}: {error}", file.display());
            return Some(said);
        }
    }
    let _ = write!(said, "\n     saved: {}, which is tried first from now on", file.display());
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::ensure;

    fn replayed(failure: &Failure) -> u64 {
        let text = failure.to_string();
        let (_, seed) = text.split_once("PROPHET_SEED=").expect("a failure names its seed");
        let digits = seed.split(',').next().expect("there is a first part");
        digits.parse().expect("the seed is a number")
    }

    fn below_a_hundred(number: u32) -> Outcome {
        ensure!(V1, number < 100, "{number} is not below a hundred");
        Ok(())
    }

    #[test]
    fn a_failure_shrinks_and_its_seed_replays_it() {
        let cases = Cases { count: 100, saved: None, shorten: 30_000 };
        let failure = cases.run(&(0_u32..1_000), below_a_hundred).expect_err("some are above");
        assert_eq!(failure.rule(), Some("V1"));
        assert!(failure.to_string().contains("with: 100"), "{failure}");
        let again = cases.case(replayed(&failure), &(0_u32..1_000), &below_a_hundred);
        assert_eq!(again.expect_err("it failed before").to_string(), failure.to_string());
    }

    #[test]
    fn a_panic_is_a_failure() {
        let cases = Cases { count: 1, saved: None, shorten: 30_000 };
        let failure = cases.run(&(0_u32..9), |number| panic!("at {number}"));
        assert!(failure.expect_err("all panic").to_string().contains("a panic: at 0"));
    }

    #[test]
    fn a_failure_is_saved_and_tried_first() {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let manifest: &'static str =
            directory.path().to_str().expect("the path is text").to_owned().leak();
        let site = Site::new(Some(manifest), "a::crate", "property");
        let cases = Cases { count: 100, saved: Some(&site), shorten: 30_000 };
        let failure = cases.run(&(0_u32..1_000), below_a_hundred).expect_err("some are above");
        let seed = replayed(&failure);
        let file = directory.path().join("conformance-regressions/a.crate.property.txt");
        assert_eq!(fs::read_to_string(file).expect("it is there"), format!("{seed} # 100\n"));
        let none = Cases { count: 0, saved: Some(&site), shorten: 30_000 };
        let again = none.run(&(0_u32..1_000), below_a_hundred).expect_err("it is still wrong");
        assert_eq!(replayed(&again), seed);
        assert_eq!(saved(&site), [seed], "it is saved once");
    }
}
