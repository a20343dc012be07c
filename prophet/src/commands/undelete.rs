//! `prophet undelete`.

use clap::Args;

use crate::Result;
use crate::commands::records;
use crate::context::Context;
use crate::failure::Exit;

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct UndeleteArgs {
    /// The records: their numbers, or the beginnings of their ids.
    #[arg(value_name = "RECORD", required = true)]
    records: Vec<String>,
}

impl UndeleteArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        records::set_existence(context, &self.records, true).await?;
        Ok(Exit::Done)
    }
}
