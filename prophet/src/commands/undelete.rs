//! `prophet undelete`.

use clap::Args;

use crate::Result;
use crate::commands::records;
use crate::context::Context;
use crate::failure::Exit;
use crate::naming;

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct UndeleteArgs {
    /// The records: their numbers, or the beginnings of their ids.
    #[arg(value_name = "RECORD", required = true)]
    records: Vec<String>,
}

impl UndeleteArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let replica = context.writer().await?;
        let mut keys = Vec::new();
        for record in &self.records {
            keys.push(naming::record(&replica, record).await?);
        }
        keys.sort_unstable();
        keys.dedup();
        let edited = replica
            .edit(|edit| {
                let keys = keys.clone();
                async move {
                    for key in &keys {
                        edit.undelete(key).await?;
                    }
                    Ok(())
                }
            })
            .await?;
        for key in &keys {
            records::tell_edit(context, "brought back", key, edited.changeset()).await?;
        }
        Ok(Exit::Done)
    }
}
