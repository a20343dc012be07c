//! How things are shown: data on stdout, for people or as JSON; messages on stderr.

mod bar;
pub(crate) mod json;
mod listing;
pub(crate) mod text;

use std::io::{self, IsTerminal as _, Write as _};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use serde_json::Value as Json;

pub(crate) use bar::Bar;
pub(crate) use listing::Listing;

use crate::Result;
use crate::args::{Color, Format, Global};
use crate::failure::Failure;

/// Where everything goes that a command says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
    color: ColorChoice,
    quiet: bool,
}

/// What was shown of what a command came to, by which it ends as it has to, also if nobody reads it.
pub(crate) fn whoever_reads(shown: Result<()>) -> Result<()> {
    match shown {
        Err(Failure::NobodyReads) => Ok(()),
        shown => shown,
    }
}

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const CONTESTED: Style = AnsiColor::Yellow.on_default();
const ERROR: Style = AnsiColor::Red.on_default().bold();

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        let color = match global.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        Self { format: global.format, color, quiet: global.quiet }
    }

    /// Whether it is for people.
    pub(crate) fn is_for_people(&self) -> bool {
        self.format == Format::Table
    }

    /// Whether somebody sits in front of it who can be asked.
    pub(crate) fn can_ask() -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// How wide the terminal is that data goes to, if it goes to one.
    fn width() -> Option<u16> {
        let stdout = io::stdout();
        let width = stdout.is_terminal().then(|| terminal_size::terminal_size_of(&stdout));
        width.flatten().map(|(width, _)| width.0)
    }

    /// Shows one thing: as text for people, or as JSON.
    pub(crate) fn thing(&self, json: &Json, text: &str) -> Result<()> {
        match self.format {
            Format::Table => self.line(text),
            Format::Json => self.line(&format!("{json:#}")),
            Format::Jsonl => self.line(&json.to_string()),
        }
    }

    /// Writes text and a line feed to stdout.
    fn line(&self, text: &str) -> Result<()> {
        self.write(&format!("{text}\n"))
    }

    /// Writes text to stdout.
    fn write(&self, text: &str) -> Result<()> {
        let mut out = AutoStream::new(io::stdout(), self.color);
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// Begins to show things of one kind, under these headings.
    pub(crate) fn listing(&self, headings: &[&str]) -> Listing {
        Listing::new(*self, headings)
    }

    /// Whether nothing is to be said but what was asked for, and what goes wrong.
    pub(crate) const fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Says something on stderr, unless nothing is to be said.
    pub(crate) fn note(&self, message: &str) {
        if !self.quiet {
            self.say("", message);
        }
    }

    /// Says on stderr what went wrong.
    pub(crate) fn error(&self, message: &str) {
        self.say(&format!("{ERROR}prophet:{ERROR:#} "), message);
    }

    /// Writes to stderr, where a question is to be asked, as it is: what is not trusted in it has to be
    /// escaped.
    pub(crate) fn ask(&self, text: &str) {
        let mut err = AutoStream::new(io::stderr(), self.color);
        // If nobody reads it there is nobody to be told.
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }

    /// The message may have words of a server or of a file in it.
    fn say(&self, prefix: &str, message: &str) {
        self.ask(&format!("{prefix}{}\n", text::lines(message, "")));
    }

    /// A bar that shows how far a pull has come: on a terminal, and if anything is to be said.
    pub(crate) fn bar(&self) -> Bar {
        Bar::new(!self.quiet && io::stderr().is_terminal())
    }
}
