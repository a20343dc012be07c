//! What pulling, pushing, cloning and applying have in common.

use prophet_store::{ChangesetSource, PullOptions, PullReport, Replica, Side};

use crate::Result;
use crate::failure::Exit;
use crate::output::{Output, json, text, whoever_reads};
use crate::prompt::Prompt;
use clap::ValueEnum;

/// What becomes of conflicts that the votes do not decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settle {
    Prefer(Side),
    Fail,
    Ask,
    LeaveOpen,
}

/// The same, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Prefer {
    /// Vote for what is here.
    Mine,
    /// Vote for what is there.
    Theirs,
    /// Do nothing at all if there is a conflict.
    Fail,
    /// Leave them open, and ask nothing.
    Open,
}

impl Settle {
    /// What was asked for, or, where somebody is there to be asked, to ask.
    pub(crate) fn of(prefer: Option<Prefer>) -> Self {
        match prefer {
            Some(Prefer::Mine) => Self::Prefer(Side::Target),
            Some(Prefer::Theirs) => Self::Prefer(Side::Source),
            Some(Prefer::Fail) => Self::Fail,
            Some(Prefer::Open) => Self::LeaveOpen,
            None if Output::can_ask() => Self::Ask,
            None => Self::LeaveOpen,
        }
    }

    /// The same, seen from the other side.
    pub(crate) const fn seen_from_there(self) -> Self {
        match self {
            Self::Prefer(Side::Target) => Self::Prefer(Side::Source),
            Self::Prefer(Side::Source) => Self::Prefer(Side::Target),
            other => other,
        }
    }
}

/// Pulls.
pub(crate) async fn pull(
    target: &Replica,
    source: &dyn ChangesetSource,
    settle: Settle,
    output: Output,
) -> Result<PullReport> {
    let bar = output.bar();
    let shown = bar.clone();
    let options = PullOptions::new().progress(move |progress| {
        shown.show(progress);
        // What is asked next is not to stand beside a bar.
        if progress.done == progress.total {
            shown.clear();
        }
    });
    let options = match settle {
        Settle::Prefer(side) => options.prefer(side),
        Settle::Fail => options.fail_on_conflict(),
        Settle::Ask => options.ask_later(Prompt::new(output, target.clone())),
        Settle::LeaveOpen => options,
    };
    let report = target.pull(source, options).await;
    bar.clear();
    Ok(report?)
}

/// Which way changesets went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    From,
    To,
}

/// Shows what became of pulls, each by what the peer was called, and says how the command ends.
pub(crate) fn show(output: Output, way: Way, reports: &[(String, PullReport)]) -> Result<Exit> {
    let mut listing = output.listing(&[]);
    for (peer, report) in reports {
        if output.is_for_people() {
            let mut said = report.clone();
            said.place.clone_from(peer);
            let said = match way {
                Way::From => said.to_string(),
                Way::To => said.to_string().replacen(" from ", " to ", 1),
            };
            whoever_reads(output.thing(&serde_json::Value::Null, &text::one_line(&said)))?;
            continue;
        }
        let json = || {
            let mut json = json::pull(report);
            super::records::insert(&mut json, "peer", peer.as_str().into());
            json
        };
        whoever_reads(listing.add(json, Vec::new))?;
    }
    if !output.is_for_people() {
        whoever_reads(listing.end().map(drop))?;
    }
    let open: u64 = reports.iter().map(|(_, report)| report.open).sum();
    match open {
        0 => Ok(Exit::Done),
        _ => Ok(Exit::Conflicts),
    }
}
