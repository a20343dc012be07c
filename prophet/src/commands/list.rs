//! `prophet list`.

use clap::Args;
use futures_lite::{StreamExt as _, stream};
use prophet_store::{Query, Record, RecordType, Streamed};

use crate::Result;
use crate::commands::records;
use crate::commands::view::{Beyond, View};
use crate::context::Context;
use crate::failure::Exit;

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// The type of the records; all types, without it.
    #[arg(value_name = "TYPE")]
    record_type: Option<RecordType>,
    /// The properties to show, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    columns: Vec<String>,
}

impl ListArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let view = View::Now(context.session().await?.replica);
        self.run_on(&view, context).await
    }

    pub(crate) async fn run_on(self, view: &View, context: &mut Context) -> Result<Exit> {
        let session = context.session().await?;
        let types: Vec<_> = match &self.record_type {
            Some(record_type) => vec![record_type.clone()],
            None => super::types::of(&session.replica).await?,
        };
        let queries: Vec<_> = types.iter().map(Query::of).collect::<Result<_, _>>()?;
        let found = queries.iter().map(|query| view.find(query, Beyond::default()));
        let records: Streamed<'_, Record> = Box::pin(stream::iter(found).flatten());
        let shown = records::show(context.output, &session, records, &self.columns).await?;
        if shown == 0 {
            let of = self.record_type.map_or_else(String::new, |of| format!(" of the type {of}"));
            context.output.note(&format!(
                "there are no records{of}; `prophet create TYPE name=value` makes one"
            ));
        }
        Ok(Exit::Done)
    }
}
