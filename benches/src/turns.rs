//! Measuring several in turns, so that a noisy machine slows all of them.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Does something so many times, and says how long that took without what it had to set up.
pub(crate) type Run<'a> = Box<dyn FnMut(u64) -> Duration + 'a>;

/// Something that needs no set-up: the clock is read once for all times.
pub(crate) fn tight<'a, T>(mut act: impl FnMut() -> T + 'a) -> Run<'a> {
    Box::new(move |count| {
        let started = Instant::now();
        for _ in 0..count {
            black_box(act());
        }
        started.elapsed()
    })
}

/// Something with a set-up, which is not measured; nor is dropping what comes of it.
pub(crate) fn each<'a, S, T>(
    mut set_up: impl FnMut() -> S + 'a,
    mut act: impl FnMut(S) -> T + 'a,
) -> Run<'a> {
    Box::new(move |count| {
        let mut total = Duration::ZERO;
        for _ in 0..count {
            let ready = set_up();
            let started = Instant::now();
            let made = black_box(act(ready));
            total += started.elapsed();
            drop(made);
        }
        total
    })
}

/// What is measured beside what, and how much one time of it is.
pub(crate) struct Contest<'a> {
    ours: Run<'a>,
    /// What it stands on comes before what stands beside it.
    others: Vec<(Other, Run<'a>)>,
    /// So many times each in a turn: more than one where reading the clock would show.
    per_turn: u64,
    bytes: u64,
    /// Nanoseconds of each time, of the store and of each other.
    times: Vec<Vec<f64>>,
}

/// What a figure is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Other {
    pub(crate) name: String,
    /// Whether the store stands on it; or else it stands beside.
    pub(crate) floor: bool,
}

impl<'a> Contest<'a> {
    pub(crate) fn new(ours: Run<'a>) -> Self {
        Self { ours, others: Vec::new(), per_turn: 1, bytes: 0, times: vec![Vec::new()] }
    }

    pub(crate) fn against(mut self, other: Other, run: Run<'a>) -> Self {
        self.others.push((other, run));
        self.times.push(Vec::new());
        self
    }

    /// Against a floor that is no engine.
    pub(crate) fn above(self, name: &str, run: Run<'a>) -> Self {
        self.against(Other { name: name.to_owned(), floor: true }, run)
    }

    pub(crate) const fn per_turn(mut self, times: u64) -> Self {
        self.per_turn = times;
        self
    }

    /// The bytes of content of one time.
    pub(crate) const fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// Does each `count` times, in turns, and gives the time of the store's.
    pub(crate) fn run(&mut self, count: u64) -> Duration {
        let (mut total, mut left) = (Duration::ZERO, count);
        while left > 0 {
            let now = left.min(self.per_turn);
            left -= now;
            let runs =
                std::iter::once(&mut self.ours).chain(self.others.iter_mut().map(|it| &mut it.1));
            for (place, (run, times)) in runs.zip(&mut self.times).enumerate() {
                let time = run(now);
                times.push(time.as_secs_f64() * 1e9 / now as f64);
                if place == 0 {
                    total += time;
                }
            }
        }
        total
    }

    /// The bytes of one time, the median of the store's times, and those of the others.
    pub(crate) fn medians(mut self) -> (u64, f64, Vec<(Other, f64)>) {
        let mut medians = self.times.iter_mut().map(|times| median(times));
        let ours = medians.next().unwrap_or_default();
        let others = self.others.into_iter().map(|(other, _)| other).zip(medians).collect();
        (self.bytes, ours, others)
    }
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
