//! `prophet clone`.

use clap::Args;
use prophet_store::{Identity, VersionVector};

use crate::Result;
use crate::commands::init::Target;
use crate::commands::peers::everywhere;
use crate::commands::sync::{self, Settle, Way};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::replica::{Place, open, without_secrets};

/// The name under which what was cloned is a peer.
pub(crate) const ORIGIN: &str = "origin";

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
What was cloned becomes the peer `origin`, which `prophet pull` pulls from.

Examples:
  prophet clone https://example.org/notes
  prophet clone /mnt/stick/notes.bundle ~/notes
  prophet clone s3://bucket/notes sqlite:notes.db")]
pub(crate) struct CloneArgs {
    /// What to clone: a replica, a published one, or a bundle of everything.
    source: String,
    #[command(flatten)]
    target: Target,
}

impl CloneArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let place = everywhere(Place::parse(&self.source)?)?;
        let source = open::source(&place, "").await?;
        let offer = source.offer(&VersionVector::new()).await?;
        if !offer.basis.is_empty() {
            return Err(Failure::failed(format!(
                "{place} is for those who have what came before, and cannot be cloned; clone a bundle of \
                 everything, or a replica, and pull from this one then"
            )));
        }
        let identity = Identity::new_replica(offer.database)?;
        let (located, opened) = self.target.make(context, identity).await?;
        let mut config = located.config()?;
        config.set_peer(ORIGIN, &place.name())?;
        config.save()?;
        let pulled = sync::pull(&opened.replica, &*source, Settle::LeaveOpen, context.output);
        let report = pulled.await.map_err(|failure| {
            Failure::new(
                failure.exit(),
                format!("{failure}; what came is in {}, and `prophet pull` goes on", located.place),
            )
        })?;
        context.output.note(&format!("made {}", located.place));
        sync::show(
            context.output,
            Way::From,
            &[(without_secrets(&self.source).into_owned(), report)],
        )
    }
}
