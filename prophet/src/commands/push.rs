//! `prophet push`.

use clap::Args;

use crate::Result;
use crate::commands::clone::ORIGIN;
use crate::commands::pull::peer;
use crate::commands::sync::{self, Prefer, Settle, Way};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::replica::open::{self, Target};

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is asked: conflicts that the votes do not decide stay open there, unless --prefer says \
otherwise; then the exit code is 4.")]
pub(crate) struct PushArgs {
    /// Peers by their names, or replicas by where they are; the peer `origin`, without it.
    #[arg(value_name = "TO")]
    to: Vec<String>,
    /// What to do about conflicts that the votes do not decide.
    #[arg(long, value_enum)]
    prefer: Option<Prefer>,
}

impl PushArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let session = context.session().await?;
        let config = context.config()?;
        let names = match self.to.as_slice() {
            [] if config.peers().contains_key(ORIGIN) => vec![ORIGIN.to_owned()],
            [] => {
                return Err(Failure::not_found(
                    "it is not said where to push to; add where, or name a peer `origin` with \
                     `prophet peers add origin WHERE`",
                ));
            }
            names => names.to_vec(),
        };
        let settle = Settle::of(self.prefer.or(Some(Prefer::Open))).seen_from_there();
        let creator = context.creator(&config);
        let mut reports = Vec::new();
        for name in names {
            let (name, place) = peer(&config, &name)?;
            let mut report = match open::target(&place, &creator).await? {
                Target::Replica(target) => {
                    let pulled = sync::pull(&target, &session.replica, settle, context.output);
                    let report = pulled.await?;
                    target.close().await?;
                    report
                }
                Target::Served(_) if self.prefer.is_some() => {
                    return Err(Failure::usage(format!(
                        "{place}: what becomes of conflicts there is for those there to say; leave \
                         --prefer out"
                    )));
                }
                Target::Served(peer) => peer.push(&session.replica).await?,
            };
            // It says whence: what was pushed is said of where it went to.
            report.place = place.to_string();
            reports.push((name, report));
        }
        sync::show(context.output, Way::To, &reports)
    }
}
