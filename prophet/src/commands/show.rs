//! `prophet show`.

use clap::Args;

use crate::Result;
use crate::commands::view::View;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::naming;
use crate::output::{json, text};

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The record: its number, or the beginning of its id.
    record: String,
}

impl ShowArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let view = View::Now(context.session().await?.replica);
        self.run_on(&view, context).await
    }

    pub(crate) async fn run_on(self, view: &View, context: &mut Context) -> Result<Exit> {
        let session = context.session().await?;
        let key = naming::record(&session.replica, &self.record).await?;
        let label = session.label(&key).await?;
        let Some(record) = view.get(&key).await? else {
            return Err(match view {
                View::Now(replica) => {
                    let read = replica.store().get_records(std::slice::from_ref(&key)).await?;
                    match read.value.into_iter().next().flatten() {
                        Some(_) => Failure::not_found(format!(
                            "{label} was deleted; `prophet history {0}` tells how, and `prophet \
                             undelete {0}` brings it back",
                            self.record
                        )),
                        None => Failure::not_found(format!(
                            "there is no record {key} in this replica; pull from who has it"
                        )),
                    }
                }
                View::Then(then) => Failure::not_found(format!(
                    "{label} was not there at position {}; `prophet history {}` tells when it was",
                    then.position(),
                    self.record
                )),
            });
        };
        let luid = session.luids(std::slice::from_ref(&key)).await?.into_iter().next().flatten();
        context.output.thing(&json::record(&record, luid), &text::record(&label, &record))?;
        Ok(Exit::Done)
    }
}
