//! `prophet bundle`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use prophet_store::{Bundle, BundleSummary, VersionVector};
use serde_json::{Value as Json, json};

use crate::Result;
use crate::commands::pull::peer;
use crate::commands::sync::{self, Prefer, Settle, Way};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::text::counted;
use crate::replica::{Place, open};

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct BundleArgs {
    #[command(subcommand)]
    command: Of,
}

#[derive(Debug, Subcommand)]
enum Of {
    /// Writes changesets into a new file.
    Create(Create),
    /// Takes in what is in a bundle.
    Apply(Apply),
    /// Says what is in a bundle.
    Inspect(Inspect),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without --for and --after it has everything, and can be cloned. It is to whoever gets it what a pull \
is: `prophet bundle apply`, or `prophet pull FILE`.")]
struct Create {
    /// The file, which must not be there.
    file: PathBuf,
    /// Leaves out what this peer or replica has seen.
    #[arg(long = "for", value_name = "PEER", conflicts_with = "after")]
    receiver: Option<String>,
    /// Leaves out what whoever applied this earlier bundle has seen.
    #[arg(long, value_name = "BUNDLE")]
    after: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Apply {
    /// The bundle.
    file: PathBuf,
    /// What to do about conflicts that the votes do not decide, instead of asking.
    #[arg(long, value_enum)]
    prefer: Option<Prefer>,
}

#[derive(Debug, Args)]
struct Inspect {
    /// The bundle.
    file: PathBuf,
}

impl BundleArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        match self.command {
            Of::Create(args) => args.run(context).await,
            Of::Apply(args) => args.run(context).await,
            Of::Inspect(args) => args.run(context),
        }
    }
}

impl Create {
    async fn run(self, context: &mut Context) -> Result<Exit> {
        if self.file.as_os_str() == "-" {
            return Err(Failure::usage(
                "a bundle is written into a file, not to standard output; name one (./- if it is to be \
                 called so)",
            ));
        }
        let replica = context.session().await?.replica;
        let basis = match (&self.receiver, &self.after) {
            (Some(receiver), _) => {
                let (_, place) = peer(&context.config()?, receiver)?;
                open::source(&place, "").await?.offer(&VersionVector::new()).await?.seen
            }
            (None, Some(earlier)) => open_bundle(earlier)?.summary().result.clone(),
            (None, None) => VersionVector::new(),
        };
        if self.file.exists() {
            return Err(Failure::failed(format!(
                "{} exists already; name another file, or remove it",
                self.file.display()
            )));
        }
        let summary = replica.bundle_to(&basis, &self.file).await?;
        let text = format!(
            "{} in {}, {}",
            counted(summary.changesets, "changeset"),
            self.file.display(),
            counted(summary.bytes, "byte")
        );
        context.output.thing(&json(&summary), &text)?;
        Ok(Exit::Done)
    }
}

impl Apply {
    async fn run(self, context: &mut Context) -> Result<Exit> {
        let replica = context.writer().await?;
        let source = open::source(&Place::Bundle(self.file.clone()), "").await?;
        let settle = Settle::of(self.prefer);
        let report = sync::pull(&replica, &*source, settle, context.output).await?;
        sync::show(context.output, Way::From, &[(self.file.display().to_string(), report)])
    }
}

impl Inspect {
    fn run(self, context: &Context) -> Result<Exit> {
        let bundle = open_bundle(&self.file)?;
        let summary = bundle.summary();
        let mut text = format!(
            "{}, of database {}\n  {}\n",
            counted(summary.changesets, "changeset"),
            summary.database,
            counted(summary.bytes, "byte"),
        );
        match summary.basis.is_empty() {
            true => text.push_str("  has everything, and can be cloned"),
            false => {
                text.push_str("  is for those who have seen\n");
                text.push_str(&vector_lines(&summary.basis));
            }
        }
        if !summary.result.is_empty() {
            text.push_str("\n  whoever applied it has seen\n");
            text.push_str(&vector_lines(&summary.result));
        }
        context.output.thing(&json(summary), &text)?;
        Ok(Exit::Done)
    }
}

fn open_bundle(file: &PathBuf) -> Result<Bundle<std::fs::File>> {
    match Bundle::open(file) {
        Err(error) if !file.exists() => Err(Failure::not_found(error.to_string())),
        opened => Ok(opened?),
    }
}

fn vector_lines(vector: &VersionVector) -> String {
    let tips = vector.tips().flat_map(|(origin, tips)| tips.iter().map(move |tip| (origin, tip)));
    let lines = tips.map(|(origin, tip)| {
        format!("    up to changeset {} of replica {origin} ({:#})", tip.sequence, tip.digest)
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn vector_json(vector: &VersionVector) -> Json {
    let tips = vector.tips().flat_map(|(origin, tips)| tips.iter().map(move |tip| (origin, tip)));
    let each = tips.map(|(origin, tip)| {
        json!({
            "origin": origin,
            "sequence": tip.sequence.get(),
            "changeset": tip.digest.to_string(),
        })
    });
    each.collect()
}

fn json(summary: &BundleSummary) -> Json {
    json!({
        "database": summary.database,
        "changesets": summary.changesets,
        "bytes": summary.bytes,
        "basis": vector_json(&summary.basis),
        "result": vector_json(&summary.result),
    })
}
