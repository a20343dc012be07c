//! `prophet settings`.

use clap::{Args, Subcommand};
use prophet_store::Value;
use serde_json::json;

use crate::Result;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{json, text};
use crate::properties::Assignment;

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct SettingsArgs {
    #[command(subcommand)]
    command: Option<Of>,
}

#[derive(Debug, Subcommand)]
enum Of {
    /// Lists the settings.
    List,
    /// Shows one setting.
    Get {
        /// Its name.
        name: String,
    },
    /// Sets a setting.
    #[command(after_help = "Example:\n  prophet settings set title='Our bugs'")]
    Set {
        /// Its name and its value, as for `prophet update`.
        #[arg(value_name = "NAME=VALUE")]
        setting: Assignment,
    },
    /// Removes a setting.
    Remove {
        /// Its name.
        name: String,
    },
}

impl SettingsArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        match self.command.unwrap_or(Of::List) {
            Of::List => {
                let settings = context.session().await?.replica.settings().list().await?;
                let mut listing = context.output.listing(&["name", "value"]);
                for (name, value) in &settings {
                    listing.add(
                        || json!({ "name": name, "value": json::value(Some(value)) }),
                        || vec![text::one_line(name), text::value(value)],
                    )?;
                }
                listing.end()?;
            }
            Of::Get { name } => {
                let value = context.session().await?.replica.settings().get(&name).await?;
                let value: Value = value.ok_or_else(|| not_set(&name))?;
                context.output.thing(&json::value(Some(&value)), &text::value(&value))?;
            }
            Of::Set { setting } => {
                let replica = context.writer().await?;
                let value = setting.value(&replica).await?;
                let name = setting.name.as_str();
                let changeset = replica.settings().set(name, value).await?;
                let changeset = changeset.map(|changeset| changeset.to_string());
                context.output.thing(
                    &json!({ "name": name, "changeset": changeset }),
                    &format!("set {}", text::one_line(name)),
                )?;
            }
            Of::Remove { name } => {
                let replica = context.writer().await?;
                let changeset = replica.settings().remove(&name).await?;
                let changeset = changeset.ok_or_else(|| not_set(&name))?;
                context.output.thing(
                    &json!({ "name": name, "changeset": changeset.to_string() }),
                    &format!("removed {}", text::one_line(&name)),
                )?;
            }
        }
        Ok(Exit::Done)
    }
}

fn not_set(name: &str) -> Failure {
    Failure::not_found(format!(
        "the setting {name} is not set; `prophet settings` lists those that are"
    ))
}
