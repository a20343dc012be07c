//! `prophet types`.

use clap::Args;
use prophet_store::{RecordType, Replica};
use serde_json::json;

use crate::Result;
use crate::context::Context;
use crate::failure::Exit;
use crate::output::text;

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct TypesArgs {}

impl TypesArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let session = context.session().await?;
        let counts = session.replica.record_types().await?;
        let mut listing = context.output.listing(&["type", "records"]);
        for (record_type, count) in counts.iter().filter(|(of, _)| !of.is_reserved()) {
            listing.add(
                || json!({ "type": record_type, "count": count }),
                || vec![text::one_line(record_type.as_str()), count.to_string()],
            )?;
        }
        listing.end()?;
        Ok(Exit::Done)
    }
}

/// The types of records that people made.
pub(crate) async fn of(replica: &Replica) -> Result<Vec<RecordType>> {
    let counts = replica.record_types().await?;
    Ok(counts.into_keys().filter(|record_type| !record_type.is_reserved()).collect())
}
