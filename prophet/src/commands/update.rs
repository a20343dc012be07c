//! `prophet update`.

use clap::Args;
use prophet_store::PropertyName;

use crate::Result;
use crate::commands::records;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::naming;
use crate::properties::{self, Assignment};

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = properties::HELP)]
pub(crate) struct UpdateArgs {
    /// The record: its number, or the beginning of its id.
    record: String,
    /// The properties to set; the others stay.
    #[arg(value_name = "NAME=VALUE")]
    properties: Vec<Assignment>,
    /// A property to remove; may be given several times.
    #[arg(long = "remove", value_name = "NAME")]
    removed: Vec<PropertyName>,
}

impl UpdateArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        if self.properties.is_empty() && self.removed.is_empty() {
            return Err(Failure::usage(
                "nothing is to be updated; write name=value, or --remove name",
            ));
        }
        let replica = context.writer().await?;
        let key = naming::record(&replica, &self.record).await?;
        let properties = properties::collect(&replica, &self.properties, &self.removed).await?;
        let changeset = replica.update(&key, properties).await?;
        records::tell_edit(context, "updated", &key, changeset).await?;
        Ok(Exit::Done)
    }
}
