//! `prophet delete`.

use clap::Args;

use crate::Result;
use crate::commands::records;
use crate::context::Context;
use crate::failure::Exit;

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is asked, for nothing is lost: `prophet undelete` brings them back. Several records are \
deleted in one changeset, all of them or none.")]
pub(crate) struct DeleteArgs {
    /// The records: their numbers, or the beginnings of their ids.
    #[arg(value_name = "RECORD", required = true)]
    records: Vec<String>,
}

impl DeleteArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        records::set_existence(context, &self.records, false).await?;
        Ok(Exit::Done)
    }
}
