//! `prophet update`.

use clap::Args;
use prophet_store::{PropertyName, RegisterName};

use crate::Result;
use crate::commands::records;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::naming;
use crate::output::text;
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
        let record = replica.get(&key).await?;
        let contested = record.iter().flat_map(|record| record.contested().keys());
        let settled: Vec<_> = contested
            .filter(|register| match register {
                RegisterName::Property(name) => properties.names(name.as_str()),
                RegisterName::Existence => false,
            })
            .map(|register| text::one_line(text::register(register)))
            .collect();
        let changeset = replica.update(&key, properties).await?;
        records::tell_edit(context, "updated", &key, changeset).await?;
        if changeset.is_some() && !settled.is_empty() {
            context.output.note(&format!(
                "writes disagreed about {}: this settles it; `prophet history {}` has what else was \
                 written",
                settled.join(", "),
                self.record
            ));
        }
        Ok(Exit::Done)
    }
}
