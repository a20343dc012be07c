//! `prophet shell`.

use std::io::{BufRead as _, IsTerminal as _};

use clap::{Args, Parser as _};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Editor, Helper, Highlighter, Hinter, Validator};

use crate::Result;
use crate::args::{self, Cli, Command, Global};
use crate::context::Context;
use crate::failure::{Exit, Failure};

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Each line is a command without `prophet` before it; `exit` ends it. The replica is opened once. From a \
pipe or a file lines are read without a prompt, and the first that fails ends it, with its exit code.")]
pub(crate) struct ShellArgs {}

impl ShellArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        // What cannot be opened is said before anything is typed.
        context.session().await?;
        match std::io::stdin().is_terminal() {
            true => at_a_terminal(context).await,
            false => from_a_pipe(context).await,
        }
    }
}

async fn from_a_pipe(context: &mut Context) -> Result<Exit> {
    let mut exit = Exit::Done;
    // Not locked, for commands may read what follows them.
    loop {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        match read {
            Ok(0) => return Ok(exit),
            Ok(_) => {}
            Err(error) => return Err(Failure::io("read", "standard input", &error)),
        }
        match run(&line, context).await {
            Ok(Some(ended)) => exit = exit.max(ended),
            Ok(None) => return Ok(exit),
            Err(failure) => match failure.exit() {
                Exit::Done => drop(failure.tell(&context.output)),
                _ => return Err(failure),
            },
        }
    }
}

async fn at_a_terminal(context: &mut Context) -> Result<Exit> {
    let failed = |error: ReadlineError| Failure::failed(format!("the terminal: {error}"));
    let mut editor: Editor<Words, DefaultHistory> = Editor::new().map_err(failed)?;
    let mut commands: Vec<_> =
        args::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    commands.extend(["exit".to_owned(), "help".to_owned()]);
    editor.set_helper(Some(Words(commands)));
    context.output.note("`help` shows the commands, `exit` ends");
    loop {
        match editor.readline("prophet> ") {
            Ok(line) => {
                if !line.trim().is_empty() {
                    // What is not remembered can be typed again.
                    let _ = editor.add_history_entry(&line);
                }
                match run(&line, context).await {
                    Ok(Some(_)) => {}
                    Ok(None) => return Ok(Exit::Done),
                    Err(failure) => drop(failure.tell(&context.output)),
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => return Ok(Exit::Done),
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Runs one line; nothing, if it ends the shell.
async fn run(line: &str, context: &mut Context) -> Result<Option<Exit>> {
    let words = shlex::split(line)
        .ok_or_else(|| Failure::usage("a quotation mark is not closed; close it"))?;
    match words.first().map(String::as_str) {
        None => return Ok(Some(Exit::Done)),
        Some("exit" | "quit") => return Ok(None),
        Some(_) => {}
    }
    let words = words.iter().map(String::as_str).filter({
        // Out of habit.
        let mut first = true;
        move |word| !(std::mem::take(&mut first) && *word == "prophet")
    });
    let cli = Cli::try_parse_from(std::iter::once("prophet").chain(words))?;
    if matches!(cli.command, Command::Shell(_)) {
        return Err(Failure::usage("this is the shell already; `exit` ends it"));
    }
    let global = within(cli.global, &context.global);
    let mut context = context.for_line(global);
    cli.command.run(&mut context).await.map(Some)
}

/// The options of a line, and those that the shell was begun with.
fn within(line: Global, shell: &Global) -> Global {
    Global {
        replica: line.replica.or_else(|| shell.replica.clone()),
        creator: line.creator.or_else(|| shell.creator.clone()),
        format: if line.format == args::Format::default() { shell.format } else { line.format },
        color: if line.color == args::Color::default() { shell.color } else { line.color },
        quiet: line.quiet || shell.quiet,
    }
}

/// Completes the first word of a line.
#[derive(Helper, Highlighter, Hinter, Validator)]
struct Words(Vec<String>);

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = line.get(..position).unwrap_or_default();
        let begin = typed.len() - typed.trim_start().len();
        let word = typed.trim_start();
        if word.contains(char::is_whitespace) {
            return Ok((position, Vec::new()));
        }
        let fitting = self.0.iter().filter(|command| command.starts_with(word));
        Ok((begin, fitting.map(|command| format!("{command} ")).collect()))
    }
}
