//! `prophet man`.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man;

use crate::Result;
use crate::args;
use crate::context::Context;
use crate::failure::{Exit, Failure};

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prophet man | man -l -
  prophet man pull | man -l -
  prophet man --output ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// The command whose page is written; that of `prophet` itself, without it.
    command: Option<String>,
    /// Writes all pages, each into a file in this directory.
    #[arg(long, short, value_name = "DIRECTORY", conflicts_with = "command")]
    output: Option<PathBuf>,
}

impl ManArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let mut command = args::command().disable_help_subcommand(true);
        command.build();
        if let Some(directory) = &self.output {
            let failed =
                |error: std::io::Error| Failure::io("written", directory.display(), &error);
            std::fs::create_dir_all(directory).map_err(failed)?;
            clap_mangen::generate_to(command, directory).map_err(failed)?;
            context.output.note(&format!("the pages are in {}", directory.display()));
            return Ok(Exit::Done);
        }
        if let Some(name) = &self.command {
            let found = command.find_subcommand(name).cloned();
            command = found.ok_or_else(|| {
                Failure::not_found(format!("there is no command {name}; `prophet help` lists them"))
            })?;
        }
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        std::io::stdout().write_all(&page)?;
        Ok(Exit::Done)
    }
}
