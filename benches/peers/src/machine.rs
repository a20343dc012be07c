//! What the figures were measured on, without a name that anybody would be known by.

use std::fs;
use std::process::Command;

use crate::Result;

const LOCK: &str = include_str!("../Cargo.lock");
const NODE_LOCK: &str = include_str!("../package-lock.json");

/// Lines of a list.
pub(crate) fn describe() -> Result<Vec<String>> {
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kilobytes: f64 = word_after(&memory, "MemTotal:").ok_or("no MemTotal")?.parse()?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let load: f64 = load.split_whitespace().next().ok_or("no load")?.parse()?;
    let busy = if load > 0.5 { ": not quiet, so times are rough" } else { "" };
    Ok(vec![
        format!("{cores} cores, {:.0} GB of memory, Linux {}", kilobytes / 1e6, kernel.trim()),
        format!("load average when it began: {load}{busy}"),
        format!("{}; Node.js {}", said("rustc", "--version")?, said("node", "--version")?),
        format!(
            "PouchDB {}, {}, Automerge {}, Loro {}",
            node_version("pouchdb")?,
            said("fossil", "version")?
                .split(" [")
                .next()
                .unwrap_or_default()
                .replace("This is f", "F"),
            version("automerge")?,
            version("loro")?
        ),
    ])
}

fn said(program: &str, argument: &str) -> Result<String> {
    let output = Command::new(program)
        .arg(argument)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn word_after<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_whitespace().next()
}

/// The version of a crate.
fn version(name: &str) -> Result<String> {
    let word = word_after(LOCK, &format!("name = \"{name}\"\nversion = "));
    Ok(word.ok_or(format!("{name} is not in Cargo.lock"))?.trim_matches('"').to_owned())
}

fn node_version(name: &str) -> Result<String> {
    let lock: serde_json::Value = serde_json::from_str(NODE_LOCK)?;
    let version = lock.pointer(&format!("/packages/node_modules~1{name}/version"));
    let version = version.and_then(serde_json::Value::as_str);
    Ok(version.ok_or(format!("{name} is not in package-lock.json"))?.to_owned())
}
