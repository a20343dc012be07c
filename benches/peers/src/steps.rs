//! What a process measures of itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::Result;

/// How often a step that takes little time is done; its figure is the median.
const TIMES: usize = 5;

/// What a step took: seconds, or bytes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Steps(BTreeMap<String, f64>);

impl Steps {
    /// Does something once, and notes its time as that of `step`.
    pub(crate) fn once<T>(&mut self, step: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let done = act()?;
        self.0.insert(step.to_owned(), started.elapsed().as_secs_f64());
        Ok(done)
    }

    /// Does something several times, and notes the median of the times.
    pub(crate) fn often(&mut self, step: &str, mut act: impl FnMut() -> Result<()>) -> Result<()> {
        let mut times = Vec::new();
        for _ in 0..TIMES {
            let started = Instant::now();
            act()?;
            times.push(started.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        let median = times.get(TIMES / 2).copied().unwrap_or_default();
        self.0.insert(step.to_owned(), median);
        Ok(())
    }

    /// Notes the bytes of two peers that have the same.
    pub(crate) fn sizes(&mut self, first: &Path, second: &Path) -> Result<()> {
        self.0.insert("bytes".to_owned(), size(first)? as f64);
        self.0.insert("bytes of the other".to_owned(), size(second)? as f64);
        Ok(())
    }

    /// Notes the most memory that was in use at once, in bytes.
    pub(crate) fn peak(&mut self, bytes: u64) {
        self.0.insert("peak".to_owned(), bytes as f64);
    }

    pub(crate) fn get(&self, step: &str) -> Option<f64> {
        self.0.get(step).copied()
    }
}

/// The length of a file, or of all files in a directory and below it.
fn size(path: &Path) -> Result<u64> {
    let found = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if found.is_file() {
        return Ok(found.len());
    }
    let mut total = 0;
    for entry in fs::read_dir(path)? {
        total += size(&entry?.path())?;
    }
    Ok(total)
}

/// The most memory that this process has had resident, in bytes.
pub(crate) fn peak_of_this_process() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: u64 =
        line.and_then(|line| line.split_whitespace().next()).ok_or("no VmHWM")?.parse()?;
    Ok(kilobytes * 1024)
}
