//! `prophet aliases`, and the aliases themselves.

use clap::{Args, Parser as _, Subcommand};
use serde_json::json;

use crate::Result;
use crate::args::{self, Cli};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::text;

/// So often an alias may lead to another one.
const DEPTH: usize = 10;

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
What follows an alias on the command line is added to it. Aliases are kept beside the replica, and are \
nobody else's.

Example:
  prophet aliases add todo search bug status=open --sort priority
  prophet todo owner=ada")]
pub(crate) struct AliasesArgs {
    #[command(subcommand)]
    command: Option<Of>,
}

#[derive(Debug, Subcommand)]
enum Of {
    /// Lists the aliases.
    List,
    /// Names a command line.
    Add {
        /// What it is to be called.
        name: String,
        /// The command and its arguments.
        #[arg(
            value_name = "COMMAND",
            required = true,
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        line: Vec<String>,
    },
    /// Forgets an alias.
    Remove {
        /// What it is called.
        name: String,
    },
}

impl AliasesArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let mut config = context.config()?;
        match self.command.unwrap_or(Of::List) {
            Of::List => {
                let mut listing = context.output.listing(&["name", "command"]);
                for (name, line) in config.aliases() {
                    listing.add(
                        || json!({ "name": name, "command": line }),
                        || vec![text::one_line(&name), text::one_line(&line)],
                    )?;
                }
                if listing.end()? == 0 {
                    context
                        .output
                        .note("there are none; `prophet aliases add NAME COMMAND` adds one");
                }
            }
            Of::Add { name, line } => {
                if is_command(&name) || name.starts_with('-') {
                    return Err(Failure::usage(format!(
                        "{name} is a command or an option already; choose another name"
                    )));
                }
                // One word may be the whole line, as in a shell's own aliases.
                let line = match line.as_slice() {
                    [line] => line.clone(),
                    words => shlex::try_join(words.iter().map(String::as_str))
                        .map_err(|error| Failure::usage(format!("the command: {error}")))?,
                };
                words_of(&name, &line)?;
                config.set_alias(&name, &line)?;
                config.save()?;
                context.output.thing(
                    &json!({ "name": name, "command": line }),
                    &format!("{name} is {line}"),
                )?;
            }
            Of::Remove { name } => {
                if !config.remove_alias(&name) {
                    return Err(Failure::not_found(format!(
                        "no alias is called {name}; `prophet aliases` lists those there are"
                    )));
                }
                config.save()?;
                context.output.thing(&json!({ "name": name }), &format!("forgot {name}"))?;
            }
        }
        Ok(Exit::Done)
    }
}

fn is_command(name: &str) -> bool {
    let mut commands = args::command();
    // `help` is added when it is built.
    commands.build();
    commands.find_subcommand(name).is_some()
}

fn words_of(name: &str, line: &str) -> Result<Vec<String>> {
    let words = shlex::split(line).filter(|words| !words.is_empty());
    words.ok_or_else(|| {
        Failure::usage(format!(
            "the alias {name} is not a command line: {line:?}; close its quotation marks"
        ))
    })
}

/// Runs the command line that an alias stands for.
pub(crate) async fn run(typed: Vec<String>, context: &mut Context) -> Result<Exit> {
    let mut words = typed.clone();
    for _ in 0..DEPTH {
        // Where there is no replica there are no aliases either, and the command is a mistake.
        let aliases = context.config().map(|config| config.aliases()).unwrap_or_default();
        let Some((name, rest)) = words.split_first() else { break };
        let Some(line) = aliases.get(name) else {
            return Err(unknown(&words));
        };
        let expanded = words_of(name, line)?;
        let all = expanded.iter().map(String::as_str).chain(rest.iter().map(String::as_str));
        let cli = Cli::try_parse_from(std::iter::once("prophet").chain(all.clone()))?;
        words = match cli.command {
            args::Command::Alias(words) => words,
            command => {
                let global = given_or(cli.global, context);
                let mut context = context.for_line(global);
                return command.run(&mut context).await;
            }
        };
    }
    Err(Failure::usage(format!(
        "the alias {} leads from alias to alias without an end; `prophet aliases` shows them",
        typed.first().map_or("", String::as_str)
    )))
}

/// The options of the alias's line, and those that stood before the alias.
fn given_or(mut global: args::Global, context: &Context) -> args::Global {
    let before = &context.global;
    global.replica = global.replica.or_else(|| before.replica.clone());
    global.creator = global.creator.or_else(|| before.creator.clone());
    if global.format == args::Format::default() {
        global.format = before.format;
    }
    if global.color == args::Color::default() {
        global.color = before.color;
    }
    global.quiet |= before.quiet;
    global
}

/// What clap says of a command that is none, with what might have been meant.
fn unknown(words: &[String]) -> Failure {
    let commands = args::command();
    let strict = clap::Command::new("prophet")
        .subcommand_required(true)
        .subcommands(commands.get_subcommands().cloned());
    let typed = std::iter::once("prophet").chain(words.iter().map(String::as_str));
    match strict.try_get_matches_from(typed) {
        Err(error) => error.into(),
        Ok(_) => Failure::usage(format!("{words:?} is no command")),
    }
}
