//! `prophet init`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use prophet_store::Identity;
use serde_json::json;

use crate::Result;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::replica::open::{self, Opened};
use crate::replica::{FOLDER, Located, Place, Store};

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Without arguments the replica is made in the folder .prophet, here, with what belongs to it: \
config.toml has the creator, peers and aliases, and can be written by hand.

Examples:
  prophet init
  prophet init ~/notes --store fs
  prophet init sqlite:notes.db
  prophet init s3://bucket/notes")]
pub(crate) struct InitArgs {
    #[command(flatten)]
    target: Target,
}

/// Where a replica is to be made.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// Where: a directory, which gets a folder .prophet; or sqlite:, fs: or sled: and a path, or
    /// s3://bucket/prefix.
    #[arg(value_name = "WHERE")]
    place: Option<String>,
    /// What the replica of a folder is kept in.
    #[arg(long, value_enum)]
    store: Option<Store>,
}

impl InitArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let identity = Identity::new_database()?;
        let (located, _) = self.target.make(context, identity).await?;
        let json = json!({
            "place": located.place.to_string(),
            "database": identity.database,
            "replica": identity.replica,
        });
        context.output.thing(&json, &format!("made {}", located.place))?;
        Ok(Exit::Done)
    }
}

impl Target {
    /// Makes an empty replica there.
    pub(crate) async fn make(
        &self,
        context: &Context,
        identity: Identity,
    ) -> Result<(Located, Opened)> {
        let name = self.place.as_deref().or(context.global.replica.as_deref());
        match name.map(Place::parse).transpose()? {
            None => self.make_folder(Path::new(""), context, identity).await,
            Some(Place::Path(path)) => self.make_folder(&path, context, identity).await,
            Some(place) => {
                if self.store.is_some() {
                    return Err(Failure::usage(format!(
                        "{place} says itself what it is kept in; leave out --store"
                    )));
                }
                let located = Located::at(place)?;
                let mut config = located.config()?;
                let opened =
                    open::create(&located.place, identity, &context.creator(&config)).await?;
                if let Some(creator) = &context.global.creator {
                    config.set_creator(creator);
                    config.save()?;
                }
                warn(context, &opened);
                Ok((located, opened))
            }
        }
    }

    /// Makes a folder with a replica in it, or nothing.
    async fn make_folder(
        &self,
        directory: &Path,
        context: &Context,
        identity: Identity,
    ) -> Result<(Located, Opened)> {
        let folder: PathBuf = match directory.ends_with(FOLDER) {
            true => directory.to_owned(),
            false => directory.join(FOLDER),
        };
        if folder.exists() {
            return Err(Failure::failed(format!(
                "{} exists already; use the replica in it, or name another directory",
                folder.display()
            )));
        }
        if directory.is_file() {
            return Err(Failure::failed(format!(
                "{} is a file; name a directory, or sqlite:{0}-to-be",
                directory.display()
            )));
        }
        // Whoever is killed in the middle leaves nothing that looks like a replica.
        let unfinished = folder.with_extension(identity.replica.to_string());
        std::fs::create_dir_all(&unfinished)
            .map_err(|error| Failure::io("made", folder.display(), &error))?;
        let made = self.fill(&unfinished, context, identity).await.and_then(|()| {
            let renamed = std::fs::rename(&unfinished, &folder).and_then(|()| sync(&folder));
            renamed.map_err(|error| Failure::io("made", folder.display(), &error))
        });
        if let Err(failure) = made {
            // Nothing half-done is left; that failing too would change nothing about the error.
            let _ = std::fs::remove_dir_all(&unfinished);
            return Err(failure);
        }
        let located = Located::in_folder(&folder)?;
        let creator = context.creator(&located.config()?);
        let opened = open::open(&located.place, &creator).await?;
        Ok((located, opened))
    }

    async fn fill(&self, folder: &Path, context: &Context, identity: Identity) -> Result<()> {
        let mut config = Located::in_folder(folder)?.config()?;
        config.set_replica(self.store.unwrap_or_default().in_folder());
        if let Some(creator) = &context.global.creator {
            config.set_creator(creator);
        }
        config.save()?;
        let located = Located::in_folder(folder)?;
        let opened = open::create(&located.place, identity, &context.creator(&config)).await?;
        Ok(opened.replica.close().await?)
    }
}

/// Has the system keep the name of a folder: what is committed in it is not to vanish with it.
fn sync(folder: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    let beside = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(beside.unwrap_or(Path::new(".")))?.sync_all()
}

fn warn(context: &Context, opened: &Opened) {
    if let Some(warning) = &opened.warning {
        context.output.note(warning);
    }
}
