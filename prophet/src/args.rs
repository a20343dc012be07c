//! What can be typed.

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::commands::{
    aliases, as_of, bundle, clone, completions, conflicts, create, delete, diff, export, history,
    import, info, init, list, log, man, peers, publish, pull, push, resolve, search, settings,
    shell, show, types, undelete, undo, update, verify, why,
};
use crate::context::Context;
use crate::failure::EXIT_CODES;
use crate::{Result, serve};

const ABOUT: &str = "\
Prophet keeps typed records with free properties in replicas that people pull from one another.

Every update is a changeset, and nothing is ever lost. Conflicts are data: they block nobody, votes \
on them travel, and settle them.

Begin with `prophet init` (or `prophet clone SOURCE`), then:

    prophet create bug title='It crashes' status=new
    prophet search bug status=new
    prophet pull SOURCE

A replica is named by where it is (-r, or PROPHET_REPLICA):

    sqlite:notes.db       one SQLite file
    fs:notes              a directory of files that people can read
    sled:notes            a sled database
    s3://bucket/prefix    a bucket of S3 or the like
    https://host/notes    a published replica, only to be read
    http://host:8008      one that `prophet serve` serves
    bundle:notes.bundle   a bundle, only to be read
    notes                 whatever is there; a directory with .prophet in it, for one

Without a name it is the nearest folder .prophet, here or upwards.

A record is named by its number in this replica (12, or '#12'), or by as much of its id as no other \
record has (018f2d, bug/018f2d).";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "prophet",
    version,
    about = "Keeps records in replicas that people pull from one another",
    long_about = ABOUT,
    after_help = EXIT_CODES,
    after_long_help = EXIT_CODES,
    arg_required_else_help = true,
    subcommand_required = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// The replica; without it, the nearest folder .prophet.
    #[arg(short, long, global = true, env = "PROPHET_REPLICA", hide_env_values = true)]
    pub(crate) replica: Option<String>,
    /// Who makes the changes; without it, what the settings beside the replica say, then EMAIL, then
    /// the user's name.
    #[arg(
        long,
        global = true,
        env = "PROPHET_CREATOR",
        hide_env_values = true,
        value_name = "NAME"
    )]
    pub(crate) creator: Option<String>,
    /// How things are shown: a table for people, or JSON: one document, or a line for each thing.
    #[arg(long, global = true, value_enum, default_value_t, hide_default_value = true)]
    pub(crate) format: Format,
    /// When to use colours: on a terminal, unless NO_COLOR is set, or as is said here.
    #[arg(long, global = true, value_enum, default_value_t, hide_default_value = true)]
    pub(crate) color: Color,
    /// Says nothing but what came of it, and errors: no notes, no progress.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// How things are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One line of JSON for each thing.
    Jsonl,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    #[default]
    Auto,
    /// Also where there is no terminal.
    Always,
    /// Not even on a terminal.
    Never,
}

macro_rules! commands {
    ($($(#[$doc:meta])* $variant:ident => $module:ident::$args:ident,)*) => {
        /// The commands.
        #[derive(Debug, Subcommand)]
        pub(crate) enum Command {
            $($(#[$doc])* $variant(Box<$module::$args>),)*
            #[command(external_subcommand)]
            Alias(Vec<String>),
        }

        impl Command {
            /// Does it.
            pub(crate) async fn run(self, context: &mut Context) -> Result<crate::Exit> {
                match self {
                    $(Self::$variant(args) => Box::pin(args.run(context)).await,)*
                    Self::Alias(words) => Box::pin(aliases::run(words, context)).await,
                }
            }
        }
    };
}

commands! {
    /// Makes an empty replica of a new database.
    Init => init::InitArgs,
    /// Makes a new replica of the database that another one has.
    Clone => clone::CloneArgs,
    /// Creates a record.
    Create => create::CreateArgs,
    /// Shows a record.
    Show => show::ShowArgs,
    /// Sets and removes properties of a record.
    Update => update::UpdateArgs,
    /// Deletes records; `undelete` brings them back.
    Delete => delete::DeleteArgs,
    /// Brings deleted records back as they were.
    Undelete => undelete::UndeleteArgs,
    /// Finds records of a type.
    Search => search::SearchArgs,
    /// Lists the records of a type, or of all.
    List => list::ListArgs,
    /// Lists the types of records, and how many there are of each.
    Types => types::TypesArgs,
    /// Tells what happened to a record.
    History => history::HistoryArgs,
    /// Tells what happened to the replica, latest first.
    Log => log::LogArgs,
    /// Shows what differs between two positions of the log.
    Diff => diff::DiffArgs,
    /// Shows, lists or searches the replica as it was at a position of its log.
    AsOf => as_of::AsOfArgs,
    /// Takes back a changeset, with another one.
    Undo => undo::UndoArgs,
    /// Takes in what another replica has and this one lacks.
    Pull => pull::PullArgs,
    /// Gives another replica what it lacks.
    Push => push::PushArgs,
    /// Writes the replica as files, for any web server, for others to pull from.
    Publish => publish::PublishArgs,
    /// Makes, applies and looks at bundles: changesets in a file.
    Bundle => bundle::BundleArgs,
    /// Lists the conflicts that are open.
    Conflicts => conflicts::ConflictsArgs,
    /// Decides about conflicts, by a vote or with a merged value.
    Resolve => resolve::ResolveArgs,
    /// Tells why a property is what it is, and what would change that.
    Why => why::WhyArgs,
    /// Reads and writes the settings of the database, which all its replicas share.
    Settings => settings::SettingsArgs,
    /// Names other replicas, to pull from and push to.
    Peers => peers::PeersArgs,
    /// Names command lines.
    Aliases => aliases::AliasesArgs,
    /// Reads records from JSON Lines or CSV.
    Import => import::ImportArgs,
    /// Writes records as JSON Lines or CSV.
    Export => export::ExportArgs,
    /// Reads everything, and says what is damaged.
    Verify => verify::VerifyArgs,
    /// Says which replica this is, where, and what is in it.
    Info => info::InfoArgs,
    /// Serves the replica over HTTP.
    Serve => serve::ServeArgs,
    /// A prompt that takes these commands, on one open replica.
    Shell => shell::ShellArgs,
    /// Writes what makes a shell complete these commands.
    Completions => completions::CompletionsArgs,
    /// Writes the manual pages.
    Man => man::ManArgs,
}

/// The command line, as clap knows it.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}
