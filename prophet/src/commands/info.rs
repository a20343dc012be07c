//! `prophet info`.

use clap::Args;
use prophet_store::{Access, Durability, Sharing};
use serde_json::json;

use crate::Result;
use crate::context::Context;
use crate::failure::Exit;
use crate::output::text::{counted, one_line};
use crate::replica::without_secrets;

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {}

impl InfoArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let session = context.session().await?;
        let config = context.config()?;
        let replica = &session.replica;
        let facts = replica.store().facts();
        let head = replica.head().await?;
        let author = replica.author().await?;
        let types = replica.record_types().await?;
        let records: u64 = types.iter().filter(|(of, _)| !of.is_reserved()).map(|(_, of)| of).sum();
        let conflicts = replica.conflict_counts().await?;
        let creator = context.creator(&config);
        let mut peers = config.peers();
        peers.values_mut().for_each(|place| *place = without_secrets(place).into_owned());
        let capabilities = facts.capabilities;
        let access = match capabilities.access {
            Access::ReadOnly => "read-only",
            _ => "read-write",
        };
        let sharing = match capabilities.sharing {
            Sharing::Processes => "several programs at once",
            _ => "one program at a time",
        };
        let durability = match capabilities.durability {
            Durability::PowerLoss => "the loss of power",
            Durability::ProcessCrash => "the crash of a program",
            _ => "nothing",
        };
        let json = json!({
            "place": session.located.place.to_string(),
            "config": config.path(),
            "database": facts.identity.database,
            "replica": facts.identity.replica,
            "author": author,
            "creator": creator,
            "format": facts.format,
            "position": head.position.get(),
            "version": head.version.get(),
            "records": records,
            "conflicts": {
                "open": conflicts.open,
                "decided": conflicts.decided,
                "hidden": conflicts.hidden,
            },
            "access": access,
            "peers": peers,
        });
        let names: Vec<_> = peers.keys().map(|name| one_line(name)).collect();
        let mut lines = vec![
            (
                "replica",
                format!(
                    "{} ({})",
                    one_line(&session.located.place.to_string()),
                    facts.identity.replica
                ),
            ),
            ("database", facts.identity.database.to_string()),
            ("creator", if creator.is_empty() { "nobody".to_owned() } else { one_line(&creator) }),
            ("log", counted(head.position.get(), "changeset")),
            ("records", records.to_string()),
            (
                "conflicts",
                format!("{} open, {} decided by votes", conflicts.open, conflicts.decided),
            ),
            (
                "store",
                format!(
                    "format {}, {access}, for {sharing}; what is written survives {durability}",
                    facts.format
                ),
            ),
            ("peers", if names.is_empty() { "none".to_owned() } else { names.join(", ") }),
            ("config", format!("beside it, in {}", config.path().display())),
        ];
        if author != facts.identity.replica {
            lines.insert(1, ("author", format!("{author}, for the replica was copied")));
        }
        let lines: Vec<_> =
            lines.into_iter().map(|(name, value)| format!("{name:9}  {value}")).collect();
        context.output.thing(&json, &lines.join("\n"))?;
        Ok(Exit::Done)
    }
}
