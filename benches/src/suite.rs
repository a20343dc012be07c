//! Runs all benches over a store.

use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput};
use harnesses::Harness;

use crate::floor::Floor;
use crate::report::{Figure, Report, Row};
use crate::sizes::Sizes;
use crate::turns::Contest;
use crate::worlds::Worlds;
use crate::{crash, operations};

/// What an operation is called, and how to measure it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// So many in one time: edits, records, changesets.
    pub(crate) elements: usize,
    /// One time takes long, and has a long set-up.
    pub(crate) slow: bool,
}

impl Operation {
    pub(crate) const fn new(name: &'static str, elements: usize) -> Self {
        Self { name, elements, slow: false }
    }

    pub(crate) const fn slow(mut self) -> Self {
        self.slow = true;
        self
    }
}

/// Measures one operation after the other.
pub(crate) struct Runner {
    store: &'static str,
    criterion: Criterion,
    rows: Vec<Row>,
    left_out: Vec<String>,
}

impl Runner {
    /// Measures an operation, if it is asked for: only then `set_up` is called.
    pub(crate) fn bench<'a>(&mut self, operation: Operation, set_up: impl FnOnce() -> Contest<'a>) {
        let Operation { name, elements, slow } = operation;
        let (mut set_up, mut contest) = (Some(set_up), None);
        let mut group = self.criterion.benchmark_group(self.store);
        group.throughput(Throughput::Elements(elements as u64));
        if slow {
            group.sample_size(10).sampling_mode(SamplingMode::Flat);
        }
        group.bench_function(name, |bencher| {
            if let Some(set_up) = set_up.take() {
                contest = Some(set_up());
            }
            if let Some(contest) = &mut contest {
                bencher.iter_custom(|count| contest.run(count));
            }
        });
        group.finish();
        if let Some(contest) = contest {
            let (bytes, ours, others) = contest.medians();
            let others = others.into_iter().map(|(other, nanoseconds)| Figure {
                name: other.name,
                floor: other.floor,
                nanoseconds,
            });
            let others = others.collect();
            let operation = name.to_owned();
            self.rows.push(Row { operation, elements: elements as u64, bytes, ours, others });
        }
    }

    /// An operation that this store has not, and why.
    pub(crate) fn leave_out(&mut self, name: &str, why: &str) {
        self.left_out.push(format!("{name}: left out, for {why}"));
    }
}

/// Runs all benches over the places of a harness: what [`suite!`](crate::suite) makes of it.
///
/// The floors are what the store stands on; what is `beside` it is what somebody might pick instead.
pub fn run(store: &'static str, harness: &dyn Harness, floors: &[Floor], beside: &[Floor]) {
    crash::die_if_asked(harness);
    let small = std::env::args().any(|argument| argument == "--test");
    let sizes = if small { Sizes::SMALL } else { Sizes::USUAL };
    let criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let mut runner = Runner { store, criterion, rows: Vec::new(), left_out: Vec::new() };
    let worlds = Worlds::new(harness, sizes, floors, beside);
    operations::write::all(&mut runner, &worlds);
    operations::read::all(&mut runner, &worlds);
    operations::sync::all(&mut runner, &worlds);
    operations::publish::all(&mut runner, &worlds);
    operations::open::all(&mut runner, &worlds);
    runner.criterion.final_summary();
    let report = Report { store: store.to_owned(), rows: runner.rows };
    if !report.rows.is_empty() {
        for line in &runner.left_out {
            println!("{store}/{line}");
        }
        // What ran once, and small, is no figure.
        if !small {
            println!("\n{}", report.table());
            report.save();
        }
    }
}
