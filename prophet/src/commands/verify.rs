//! `prophet verify`.

use clap::Args;
use prophet_store::ReplicaStoreExt as _;
use serde_json::json;

use crate::Result;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::text::{counted, one_line};
use crate::output::whoever_reads;

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Everything stored is read and checked, and the log is replayed and compared with the records. Nothing \
is repaired: what is damaged comes back from a peer or a backup.")]
pub(crate) struct VerifyArgs {}

impl VerifyArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let session = context.session().await?;
        let store = session.replica.store();
        let stored = store.verify().await?;
        let mut problems = stored.problems.clone();
        // What cannot be read cannot be replayed either.
        if stored.is_sound() {
            problems.extend(store.audit().await?.problems);
        }
        let json = json!({
            "place": session.located.place.to_string(),
            "sound": problems.is_empty(),
            "entries": stored.entries,
            "records": stored.records,
            "resolutions": stored.resolutions,
            "metadata": stored.metadata,
            "problems": problems,
        });
        let mut text = format!(
            "{}: {}, {}, {}",
            session.located.place,
            counted(stored.entries, "changeset"),
            counted(stored.records, "record"),
            counted(stored.resolutions, "vote"),
        );
        if problems.is_empty() {
            text.push_str("; all sound");
        }
        for problem in &problems {
            text.push_str(&format!("\n  {}", one_line(problem)));
        }
        whoever_reads(context.output.thing(&json, &text))?;
        match problems.len() as u64 {
            0 => Ok(Exit::Done),
            number => Err(Failure::new(
                Exit::Damaged,
                format!(
                    "{} found in {}; restore it from a backup, or clone a peer",
                    counted(number, "problem"),
                    session.located.place
                ),
            )),
        }
    }
}
