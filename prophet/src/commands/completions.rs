//! `prophet completions`.

use std::io::Write as _;

use clap::Args;
use clap_complete::Shell;

use crate::Result;
use crate::args;
use crate::context::Context;
use crate::failure::Exit;

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prophet completions bash > ~/.local/share/bash-completion/completions/prophet
  prophet completions fish > ~/.config/fish/completions/prophet.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

impl CompletionsArgs {
    pub(crate) async fn run(self, _: &mut Context) -> Result<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut args::command(), "prophet", &mut script);
        std::io::stdout().write_all(&script)?;
        Ok(Exit::Done)
    }
}
