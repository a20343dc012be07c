//! `prophet diff`.

use std::fmt::Write as _;

use clap::Args;

use crate::Result;
use crate::context::Context;
use crate::failure::Exit;
use crate::naming;
use crate::output::{BOLD, json, text};

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Positions are those that `prophet log` shows; 0 is before the first changeset.")]
pub(crate) struct DiffArgs {
    /// The position from which, or the beginning of a changeset's digest.
    from: String,
    /// The position to which; the end of the log, without it.
    to: Option<String>,
}

impl DiffArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let session = context.session().await?;
        let from = naming::position(&session.replica, &self.from).await?;
        let to = match &self.to {
            Some(to) => naming::position(&session.replica, to).await?,
            None => session.replica.head().await?.position,
        };
        let differing = session.replica.diff(from, to).await?;
        let keys: Vec<_> = differing.iter().map(|diff| diff.record.clone()).collect();
        let luids = session.luids(&keys).await?;
        if !context.output.is_for_people() {
            let mut listing = context.output.listing(&[]);
            for (diff, luid) in differing.iter().zip(luids) {
                listing.add(|| json::diff(diff, luid), Vec::new)?;
            }
            listing.end()?;
            return Ok(Exit::Done);
        }
        for (diff, label) in differing.iter().zip(session.labels(&keys).await?) {
            let mut lines = format!("{BOLD}{}{BOLD:#}", text::one_line(&label));
            for differs in &diff.registers {
                let name = text::one_line(text::register(&differs.register));
                let shown = |value| text::quoted(&differs.register, value);
                let (old, new) = (shown(differs.old.as_ref()), shown(differs.new.as_ref()));
                let _ = write!(lines, "\n  {name}: {old} -> {new}");
            }
            context.output.thing(&serde_json::Value::Null, &lines)?;
        }
        if differing.is_empty() {
            context.output.note("nothing differs");
        }
        Ok(Exit::Done)
    }
}
