//! `prophet as-of`.

use clap::{Args, Subcommand};

use crate::Result;
use crate::commands::view::View;
use crate::commands::{list, search, show};
use crate::context::Context;
use crate::failure::Exit;
use crate::naming;

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  prophet as-of 12 search bug status=open")]
pub(crate) struct AsOfArgs {
    /// The position in the log, as `prophet log` shows it, or the beginning of a changeset's digest.
    position: String,
    #[command(subcommand)]
    command: Then,
}

#[derive(Debug, Subcommand)]
enum Then {
    /// Shows a record as it was.
    Show(show::ShowArgs),
    /// Lists the records that were there.
    List(list::ListArgs),
    /// Finds the records that were so.
    Search(search::SearchArgs),
}

impl AsOfArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let replica = context.session().await?.replica;
        let position = naming::position(&replica, &self.position).await?;
        let view = View::Then(replica.as_of(position).await?);
        match self.command {
            Then::Show(args) => args.run_on(&view, context).await,
            Then::List(args) => args.run_on(&view, context).await,
            Then::Search(args) => args.run_on(&view, context).await,
        }
    }
}
