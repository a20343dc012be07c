//! `prophet history`.

use clap::Args;
use futures_lite::StreamExt as _;
use prophet_store::Direction;

use crate::Result;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::naming;
use crate::output::{json, text};

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The record, which may be deleted: its number, or the beginning of its id.
    record: String,
    /// The latest first.
    #[arg(long)]
    reverse: bool,
}

impl HistoryArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let session = context.session().await?;
        let key = naming::record(&session.replica, &self.record).await?;
        let direction = match self.reverse {
            true => Direction::Backward,
            false => Direction::Forward,
        };
        let mut entries = session.replica.history(&key, direction);
        if context.output.is_for_people() {
            let mut shown = false;
            while let Some(entry) = entries.next().await {
                let lines = entry?.to_string();
                let lines: Vec<_> = lines.split('\n').map(text::one_line).collect();
                context.output.thing(&serde_json::Value::Null, &lines.join("\n"))?;
                shown = true;
            }
            return match shown {
                true => Ok(Exit::Done),
                false => Err(Failure::not_found(format!("nothing ever happened to {key}"))),
            };
        }
        let mut listing = context.output.listing(&[]);
        while let Some(entry) = entries.next().await {
            let entry = entry?;
            listing.add(|| json::history(&entry), Vec::new)?;
        }
        listing.end()?;
        Ok(Exit::Done)
    }
}
