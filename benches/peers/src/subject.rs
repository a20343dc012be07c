//! One process: one of the peers, in one mode, doing one kind of work.

use std::path::PathBuf;

use crate::steps::Steps;
use crate::work::Mode;
use crate::{Result, crdt, fossil, prophet, tracker};

/// What makes this program one of those that it starts.
pub(crate) const ARGUMENT: &str = "--subject";

/// What is to be done, and where.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) mode: Mode,
    /// An empty directory.
    pub(crate) directory: PathBuf,
    pub(crate) work: Work,
}

/// The two kinds of work.
#[derive(Debug)]
pub(crate) enum Work {
    /// So many records.
    Records(usize),
    /// The edits of a bug tracker.
    History(Vec<tracker::Line>),
}

/// Does the work, and prints what it took as one line of JSON.
pub(crate) fn work(arguments: &[String]) -> Result<()> {
    let [name, mode, directory, kind, of] = arguments else {
        return Err("a subject wants its name, mode, directory, kind of work and what of".into());
    };
    let work = match kind.as_str() {
        "records" => Work::Records(of.parse()?),
        "history" => Work::History(tracker::read(of)?),
        _ => return Err(format!("{kind:?} is neither records nor history").into()),
    };
    let task = Task { mode: Mode::parse(mode)?, directory: directory.into(), work };
    let steps: Steps = match name.as_str() {
        "sqlite" => prophet::work(&task, prophet::Engine::Sqlite)?,
        "fs" => prophet::work(&task, prophet::Engine::Files)?,
        "automerge" => crdt::work::<crdt::automerge::Document>(&task)?,
        "loro" => crdt::work::<crdt::loro::Document>(&task)?,
        "fossil" => fossil::work(&task)?,
        _ => return Err(format!("there is no subject {name:?}").into()),
    };
    println!("{}", serde_json::to_string(&steps)?);
    Ok(())
}
