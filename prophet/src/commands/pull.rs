//! `prophet pull`.

use std::time::Duration;

use clap::Args;
use prophet_store::{
    ChangesetSource, Error, MemoryStore, PullReport, Replica, ReplicaStoreExt as _,
};

use crate::Result;
use crate::commands::clone::ORIGIN;
use crate::commands::sync::{self, Prefer, Settle, Way};
use crate::config::Config;
use crate::context::{Context, Session};
use crate::failure::{Exit, Failure};
use crate::replica::web::Web;
use crate::replica::{Place, local, open, without_secrets};

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Conflicts that the votes at hand do not decide are asked about, on a terminal; in a script they stay \
open, and the exit code is 4. `prophet conflicts` lists them, `prophet resolve` decides.

Examples:
  prophet pull
  prophet pull bob https://example.org/notes
  prophet pull --all --prefer theirs")]
pub(crate) struct PullArgs {
    /// Peers by their names, or replicas, published ones and bundles by where they are; the peer
    /// `origin`, or the only one, without it.
    #[arg(value_name = "FROM")]
    from: Vec<String>,
    /// From every named peer; one that fails does not keep the others from being pulled from.
    #[arg(long, conflicts_with = "from")]
    all: bool,
    /// From whoever serves this database on the local network. They are sent no token: one whose replica
    /// is private is pulled from by its URL.
    #[arg(long, conflicts_with_all = ["from", "all"])]
    local: bool,
    /// How long to wait for answers on the local network, in seconds.
    #[arg(long, default_value_t = 2, requires = "local", value_name = "SECONDS")]
    wait: u64,
    /// What to do about conflicts that the votes do not decide, instead of asking.
    #[arg(long, value_enum)]
    prefer: Option<Prefer>,
    /// Says what would come, and what would become of it, and changes nothing. It is tried on a copy
    /// in memory.
    #[arg(long)]
    dry_run: bool,
}

impl PullArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let session = context.session().await?;
        let config = context.config()?;
        let target = match self.dry_run {
            true => copy_in_memory(&session, &context.creator(&config)).await?,
            false => context.writer().await?,
        };
        let peers = self.peers(&session, &config).await?;
        let settle = match Settle::of(self.prefer) {
            // Answers to what only might come would be lost.
            Settle::Ask if self.dry_run => Settle::LeaveOpen,
            settle => settle,
        };
        let (mut reports, mut failures) = (Vec::new(), Vec::new());
        for (name, place) in peers {
            let pulled = match self.source(&place).await {
                Ok(source) => sync::pull(&target, &*source, settle, context.output).await,
                Err(failure) => Err(failure),
            };
            match pulled {
                Ok(report) => reports.push((name, report)),
                Err(failure) => failures.push((name, failure)),
            }
        }
        self.end(context, reports, failures)
    }

    /// What is pulled from at a place.
    async fn source(&self, place: &Place) -> Result<Box<dyn ChangesetSource>> {
        match place {
            Place::Web(url) if self.local => Ok(Box::new(Web::found(url)?)),
            place => open::source(place, "").await,
        }
    }

    /// From whom, each by name.
    async fn peers(&self, session: &Session, config: &Config) -> Result<Vec<(String, Place)>> {
        let named = config.peers();
        if self.local {
            let database = session.replica.store().facts().identity.database;
            let found = local::browse(database, Duration::from_secs(self.wait)).await?;
            if found.is_empty() {
                return Err(Failure::not_found(
                    "nobody on the local network serves this database; `prophet serve --announce` \
                     does",
                ));
            }
            return Ok(found.into_iter().map(|url| (url.clone(), Place::Web(url))).collect());
        }
        if self.all {
            if named.is_empty() {
                return Err(no_peers());
            }
            let places = named.into_iter().map(|(name, place)| Ok((name, Place::parse(&place)?)));
            return places.collect();
        }
        match self.from.as_slice() {
            [] => {
                let only = named.iter().next().filter(|_| named.len() == 1);
                let peer = named.get_key_value(ORIGIN).or(only);
                let (name, place) = peer.ok_or_else(no_peers)?;
                Ok(vec![(name.clone(), Place::parse(place)?)])
            }
            names => names.iter().map(|name| peer(config, name)).collect(),
        }
    }

    fn end(
        &self,
        context: &Context,
        reports: Vec<(String, PullReport)>,
        mut failures: Vec<(String, Failure)>,
    ) -> Result<Exit> {
        let shown = sync::show(context.output, Way::From, &reports)?;
        let all = reports.len() + failures.len();
        if all == 1
            && let Some((_, failure)) = failures.pop()
        {
            return Err(failure);
        }
        for (name, failure) in &failures {
            context.output.error(&format!("{name}: {failure}"));
        }
        if self.dry_run {
            context.output.note("nothing was changed");
        }
        let Some((_, first)) = failures.first() else {
            if shown == Exit::Conflicts && !self.dry_run {
                context
                    .output
                    .note("`prophet conflicts` shows what is open, and `prophet resolve` decides");
            }
            return Ok(shown);
        };
        let names: Vec<_> = failures.iter().map(|(name, _)| name.as_str()).collect();
        Err(Failure::new(
            first.exit(),
            format!("{} of {all} peers failed: {}", failures.len(), names.join(", ")),
        ))
    }
}

fn no_peers() -> Failure {
    Failure::not_found(
        "it is not said whom to pull from or push to, and no peer is named; add where it is, or \
         name a peer with `prophet peers add NAME WHERE`",
    )
}

/// The peer of this name, or else whatever is at the place that is called so; and what to call it.
pub(crate) fn peer(config: &Config, name: &str) -> Result<(String, Place)> {
    let place = Place::parse(config.peers().get(name).map_or(name, String::as_str))?;
    Ok((without_secrets(name).into_owned(), place))
}

/// All that the replica has, to be tried on.
async fn copy_in_memory(session: &Session, creator: &str) -> Result<Replica> {
    let store = session.replica.store();
    let copy = MemoryStore::new(store.facts().identity);
    store.copy_to(&copy).await?;
    Ok(Replica::options().creator(creator).map_err(Error::from)?.open(copy).await?)
}
