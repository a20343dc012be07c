//! `prophet conflicts`.

use clap::Args;
use futures_lite::StreamExt as _;
use prophet_store::Conflict;

use crate::Result;
use crate::context::{Context, Session};
use crate::failure::Exit;
use crate::naming;
use crate::output::{Listing, json, text};
use crate::prompt;

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct ConflictsArgs {
    /// Every conflict of this record: also those that are decided, or hidden.
    record: Option<String>,
}

impl ConflictsArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let session = context.session().await?;
        let replica = &session.replica;
        let mut listing = context.output.listing(&[]);
        let mut shown = 0;
        if let Some(record) = &self.record {
            let key = naming::record(replica, record).await?;
            for conflict in replica.conflicts_of(&key).await? {
                show(context, &session, &mut listing, &conflict).await?;
                shown += 1;
            }
        } else {
            let mut conflicts = replica.conflicts();
            while let Some(conflict) = conflicts.next().await {
                show(context, &session, &mut listing, &conflict?).await?;
                shown += 1;
            }
        }
        if !context.output.is_for_people() {
            listing.end()?;
        } else if shown == 0 {
            let none = match &self.record {
                Some(_) => "nothing of it is contested".to_owned(),
                None => match replica.conflict_counts().await?.decided {
                    0 => "none are open".to_owned(),
                    1 => "none are open; 1 is decided by votes".to_owned(),
                    decided => format!("none are open; {decided} are decided by votes"),
                },
            };
            context.output.note(&none);
        }
        Ok(Exit::Done)
    }
}

async fn show(
    context: &Context,
    session: &Session,
    listing: &mut Listing,
    conflict: &Conflict,
) -> Result<()> {
    let key = std::slice::from_ref(&conflict.record);
    if context.output.is_for_people() {
        let label = session.label(&conflict.record).await?;
        let mut shown = prompt::shown(&label, conflict);
        if conflict.rule.decides() {
            let value = text::quoted(&conflict.register, conflict.visible.as_ref());
            shown.push_str(&format!("  decided: {value}, {}\n", conflict.rule));
        }
        return context.output.thing(&serde_json::Value::Null, shown.trim_end());
    }
    let luid = session.luids(key).await?.into_iter().next().flatten();
    listing.add(|| json::conflict(conflict, luid), Vec::new)
}
