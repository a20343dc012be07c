//! `prophet peers`.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::Result;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::text;
use crate::replica::{Place, without_secrets};

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Peers are kept beside the replica, in config.toml of the folder .prophet, and are nobody else's. Users, \
passwords and parameters of URLs are kept there, and not shown.")]
pub(crate) struct PeersArgs {
    #[command(subcommand)]
    command: Option<Of>,
}

#[derive(Debug, Subcommand)]
enum Of {
    /// Lists the peers.
    List,
    /// Names a replica.
    Add {
        /// What it is to be called.
        name: String,
        /// Where it is.
        #[arg(value_name = "WHERE")]
        place: String,
    },
    /// Forgets a peer.
    Remove {
        /// What it is called.
        name: String,
    },
}

impl PeersArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let mut config = context.config()?;
        match self.command.unwrap_or(Of::List) {
            Of::List => {
                let mut listing = context.output.listing(&["name", "where"]);
                for (name, place) in config.peers() {
                    listing.add(
                        || json!({ "name": name, "place": without_secrets(&place) }),
                        || vec![text::one_line(&name), text::one_line(&without_secrets(&place))],
                    )?;
                }
                if listing.end()? == 0 {
                    context.output.note("no peer is named; `prophet peers add NAME WHERE` does");
                }
            }
            Of::Add { name, place } => {
                if let Some(there) = config.peers().get(&name) {
                    return Err(Failure::failed(format!(
                        "the peer {name} is named already: {}; remove it first, or choose \
                         another name",
                        without_secrets(there)
                    )));
                }
                let place = everywhere(Place::parse(&place)?)?;
                config.set_peer(&name, &place.name())?;
                config.save()?;
                context.output.thing(
                    &json!({ "name": name, "place": place.to_string() }),
                    &format!("named {place} {name}"),
                )?;
            }
            Of::Remove { name } => {
                if !config.remove_peer(&name) {
                    return Err(Failure::not_found(format!(
                        "no peer is called {name}; `prophet peers` lists those there are"
                    )));
                }
                config.save()?;
                context.output.thing(&json!({ "name": name }), &format!("forgot {name}"))?;
            }
        }
        Ok(Exit::Done)
    }
}

/// A place, named so that it is found from everywhere.
pub(crate) fn everywhere(place: Place) -> Result<Place> {
    let place = place.absolute()?;
    // Without `..` in it, if it is there.
    Ok(match &place {
        Place::Path(path) => Place::Path(path.canonicalize().unwrap_or_else(|_| path.clone())),
        _ => place,
    })
}
