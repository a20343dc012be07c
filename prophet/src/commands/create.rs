//! `prophet create`.

use clap::Args;
use prophet_store::RecordType;
use serde_json::json;

use crate::Result;
use crate::commands::records;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::json;
use crate::properties::{self, Assignment};

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = properties::HELP)]
pub(crate) struct CreateArgs {
    /// The type of the record, such as bug.
    #[arg(value_name = "TYPE")]
    record_type: RecordType,
    /// Its properties.
    #[arg(value_name = "NAME=VALUE", required = true)]
    properties: Vec<Assignment>,
}

impl CreateArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let named = self.record_type.as_str();
        if named.contains('=') {
            return Err(Failure::usage(format!(
                "{named} is to be the type, such as bug, and looks like a property; write TYPE {named}"
            )));
        }
        let replica = context.writer().await?;
        let properties = properties::collect(&replica, &self.properties, &[]).await?;
        let key = replica.create(self.record_type, properties).await?;
        let session = context.session().await?;
        let luid = session.luids(std::slice::from_ref(&key)).await?.into_iter().next().flatten();
        let mut named = json::key(&key, luid);
        records::insert(&mut named, "created", json!(true));
        context.output.thing(&named, &format!("created {}", session.label(&key).await?))?;
        Ok(Exit::Done)
    }
}
