//! `prophet undo`.

use clap::Args;
use serde_json::json;

use crate::Result;
use crate::context::Context;
use crate::failure::Exit;
use crate::naming;

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is lost by it: undoing is a changeset too, and can be undone. Where something was written \
since, nothing is done.")]
pub(crate) struct UndoArgs {
    /// The changeset: its position in the log, or the beginning of its digest.
    changeset: String,
}

impl UndoArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let replica = context.writer().await?;
        let entry = naming::entry(&replica, &self.changeset).await?;
        let undone = entry.changeset.digest();
        let changeset = replica.undo(undone).await?;
        let text = match changeset {
            Some(_) => format!("took back changeset {undone:#}, at position {}", entry.position),
            None => "it is so already".to_owned(),
        };
        let json = json!({
            "undone": undone.to_string(),
            "changeset": changeset.map(|changeset| changeset.to_string()),
        });
        context.output.thing(&json, &text)?;
        Ok(Exit::Done)
    }
}
