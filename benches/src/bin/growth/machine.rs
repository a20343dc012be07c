//! On what it was measured, without saying whose it is.

use std::fs::read_to_string;
use std::process::Command;

/// The machine in Markdown: no names of hosts, no paths.
pub(crate) fn described() -> String {
    let cpus = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| value(line, "model name")).unwrap_or("unknown");
    let threads = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().find_map(|line| value(line, "MemTotal")).unwrap_or("unknown");
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    let rustc = Command::new("rustc").arg("--version").output().ok();
    let rustc = rustc.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned());
    format!(
        "The machine of the last run:\n\n\
         | | |\n|---|---|\n\
         | processor | {model} |\n\
         | hardware threads | {threads} |\n\
         | memory | {memory} |\n\
         | file system | {} |\n\
         | kernel | {} |\n\
         | compiler | {} |\n\
         | load when it began | {load} |\n",
        file_system().as_deref().unwrap_or("unknown"),
        kernel.trim(),
        rustc.as_deref().unwrap_or("unknown"),
    )
}

fn value<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let (found, value) = line.split_once(':')?;
    (found.trim() == name).then(|| value.trim())
}

/// The kind of file system that temporary files are on: that of the longest place they are below.
fn file_system() -> Option<String> {
    let temporary = std::env::temp_dir().canonicalize().ok()?;
    let mounts = read_to_string("/proc/self/mounts").ok()?;
    let kinds = mounts.lines().filter_map(|line| {
        let mut parts = line.split(' ').skip(1);
        let (place, kind) = (parts.next()?, parts.next()?);
        temporary.starts_with(place).then(|| (place.len(), kind.to_owned()))
    });
    kinds.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}
