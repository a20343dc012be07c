//! Valgrind's callgrind, once for each path.

use std::fs;
use std::hint::black_box;
use std::path::Path as File;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use crate::Result;
use crate::paths::{Act, Path};

/// What makes this program the one that is counted; the name of the path follows.
pub(crate) const ARGUMENT: &str = "--path";

/// Does what is counted.
pub(crate) fn counted(act: &mut Act) -> Result<()> {
    begin();
    let done = act();
    end();
    done
}

// Valgrind knows these two by their names: it writes down what was counted, of all threads, and begins
// anew, where one of them is called. They differ, so that the compiler does not make one of them.

#[inline(never)]
fn begin() {
    black_box("begin");
}

#[inline(never)]
fn end() {
    black_box("end");
}

/// The instructions of one operation of each path.
pub(crate) fn count(paths: &[Path]) -> Result<Vec<(&'static str, u64)>> {
    check_machine()?;
    // Counts do not depend on what else runs, so as many run at once as there are cores.
    let next = Mutex::new(paths.iter());
    let take = || next.lock().ok().and_then(|mut next| next.next());
    let work = || {
        let mut counts = Vec::new();
        while let Some(path) = take() {
            let count = one(path).map_err(|error| format!("{}: {error}", path.name))?;
            counts.push((path.name, count));
        }
        Ok::<_, String>(counts)
    };
    let workers = thread::available_parallelism()?.get();
    let mut counts = Vec::new();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            counts.extend(worker.join().map_err(|_| "a worker has panicked")??);
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    })?;
    let place = |name| paths.iter().position(|path| path.name == name);
    counts.sort_by_key(|(name, _)| place(*name));
    Ok(counts)
}

/// What is compiled for several kinds of processor takes another way on each.
fn check_machine() -> Result<()> {
    #[cfg(target_arch = "x86_64")]
    let fits = std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    let fits = false;
    if fits { Ok(()) } else { Err("the baseline is of an x86-64 processor with AVX2".into()) }
}

fn one(path: &Path) -> Result<u64> {
    let program = std::env::current_exe()?;
    // The stores are in a directory below it that has the same name each time, and nobody uses the
    // full one: its length would count.
    let directory = tempfile::tempdir()?;
    let out = directory.path().join("out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--dump-line=no"])
        .args(["--dump-before=*callgrind::begin*", "--dump-before=*callgrind::end*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args([ARGUMENT, path.name])
        .current_dir(&directory)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        // The C library picks how it copies memory by the processor; this is what all of them have.
        .env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX2,-AVX,-ERMS,-FSRM")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| {
            format!("valgrind cannot be run: {error}; Debian's package is valgrind")
        })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("ended with {}:\n{said}", output.status).into());
    }
    Ok(total(directory.path())?.div_ceil(path.operations))
}

/// The total of the one dump that was written where what is counted ended.
fn total(directory: &File) -> Result<u64> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with("out.") {
            continue;
        }
        let text = fs::read_to_string(entry.path())?;
        found.extend(total_of(&text));
    }
    match found.as_slice() {
        [total] => Ok(*total),
        others => Err(format!("{} dumps of what was counted instead of 1", others.len()).into()),
    }
}

/// The total of a dump, if it was written where what is counted ended.
fn total_of(dump: &str) -> Option<u64> {
    let mut lines = dump.lines();
    lines.find(|line| line.starts_with("desc: Trigger: ") && line.contains("callgrind::end"))?;
    lines.find_map(|line| line.strip_prefix("totals:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_dump_behind_what_is_counted_is_read() {
        let dump =
            |trigger| format!("version: 1\ndesc: Trigger: {trigger}\nfn=(1)\n1 2\ntotals: 42\n");
        assert_eq!(total_of(&dump("--dump-before=instructions::callgrind::end")), Some(42));
        assert_eq!(total_of(&dump("--dump-before=instructions::callgrind::begin")), None);
        assert_eq!(total_of(&dump("Program termination")), None);
    }
}
