//! How a command ends, and what is said when it ends badly.

use std::fmt;
use std::io::{self, Write as _};

use prophet_files::{FetchError, PublishError};
use prophet_http::PushError;
use prophet_site::SiteError;
use prophet_store::{Error, NameError, ParseIdError, StoreError, Unreadable};

use crate::output::{Output, text};
use crate::replica::web;

/// The exit codes, which `--help` and `docs/command.md` promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Conflicts = 4,
    Damaged = 5,
    TryAgain = 6,
}

/// What `--help` says of them.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  it failed; the message says why, and what to do
  2  the command line cannot be understood
  3  what was named is not there: a replica, a record, a changeset, a peer
  4  conflicts were left open, or nothing was done because of conflicts
  5  the replica is damaged
  6  somebody else is in the way, or the network: try again later";

/// Why a command ends.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something went wrong, and this is to be said.
    Told { exit: Exit, message: String },
    /// What clap has to say: an error, help or the version.
    Clap(Box<clap::Error>),
    /// Nobody reads the output any more: `prophet log | head`. That is no failure.
    NobodyReads,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self::Told { exit, message: message.into() }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, message)
    }

    /// A file or the like that could not be used.
    pub(crate) fn io(action: &str, place: impl fmt::Display, error: &io::Error) -> Self {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Failed,
        };
        Self::new(exit, format!("{place} cannot be {action}: {error}"))
    }

    /// The exit code that goes with it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Told { exit, .. } => *exit,
            Self::Clap(error) if error.use_stderr() => Exit::Usage,
            Self::Clap(_) | Self::NobodyReads => Exit::Done,
        }
    }

    /// Says it on stderr.
    pub(crate) fn tell(self, output: &Output) -> Exit {
        match &self {
            Self::Told { message, .. } => output.error(message),
            Self::Clap(error) => drop(error.print()),
            Self::NobodyReads => {}
        }
        self.exit()
    }

    /// Says it on stderr, where nothing is known of the output that was asked for.
    pub(crate) fn tell_plainly(self) -> Exit {
        match &self {
            Self::Told { message, .. } => {
                drop(writeln!(io::stderr(), "prophet: {}", text::lines(message, "")));
            }
            Self::Clap(error) => drop(error.print()),
            Self::NobodyReads => {}
        }
        self.exit()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told { message, .. } => f.write_str(message),
            Self::Clap(error) => error.fmt(f),
            Self::NobodyReads => f.write_str("nobody reads the output"),
        }
    }
}

/// Of the output. Files are read and written with [`Failure::io`], which names them.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::failed(format!("the output cannot be written: {error}")),
        }
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self::Clap(Box::new(error))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::NoSuchRecord { .. }
            | Error::NoSuchChangeset { .. }
            | Error::NoSuchPosition { .. }
            | Error::NoSuchLuid { .. } => Exit::NotFound,
            Error::ConflictsFound { .. } => Exit::Conflicts,
            Error::UncleanLog(_) | Error::Metadata { .. } => Exit::Damaged,
            Error::Name(_) | Error::Pattern(_) | Error::Typed(_) => Exit::Usage,
            Error::Store(error) => exit_of(error),
            Error::BadSource { cause, .. } => exit_of_source(*cause),
            _ => Exit::Failed,
        };
        let hint = match &error {
            Error::NoSuchLuid { .. } => "; `prophet list` gives each record its number",
            _ => "",
        };
        Self::new(exit, format!("{}{hint}", web::in_words_of_the_command(error)))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(exit_of(&error), web::in_words_of_the_command(error))
    }
}

impl From<PushError> for Failure {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Replica(error) => error.into(),
            PushError::Server { cause, .. } => {
                Self::new(exit_of_source(cause), web::in_words_of_the_command(error))
            }
            other => Self::failed(other.to_string()),
        }
    }
}

fn exit_of(error: &StoreError) -> Exit {
    match error {
        StoreError::NotFound { .. } => Exit::NotFound,
        StoreError::Corrupt { .. } => Exit::Damaged,
        StoreError::Busy { .. } | StoreError::Locked { .. } => Exit::TryAgain,
        StoreError::Io { source, .. } => match source.downcast_ref::<io::Error>() {
            Some(error) if error.kind() == io::ErrorKind::TimedOut => Exit::TryAgain,
            _ => Exit::Failed,
        },
        _ => Exit::Failed,
    }
}

const fn exit_of_source(cause: Unreadable) -> Exit {
    match cause {
        Unreadable::NotFound => Exit::NotFound,
        Unreadable::Temporary => Exit::TryAgain,
        _ => Exit::Failed,
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Replica(error) => error.into(),
            PublishError::Tree(error) => {
                Self::new(exit_of_source(error.cause()), error.to_string())
            }
            PublishError::Occupied { .. } | PublishError::BadManifest { .. } => {
                Self::failed(format!("{error} (--replace)"))
            }
            other => Self::failed(other.to_string()),
        }
    }
}

impl From<SiteError> for Failure {
    fn from(error: SiteError) -> Self {
        let exit = match &error {
            SiteError::Sink { why, .. } => why.downcast_ref::<FetchError>(),
            _ => None,
        };
        let exit = exit.map_or(Exit::Failed, |error| exit_of_source(error.cause()));
        match error {
            SiteError::Occupied { .. } => Self::new(exit, format!("{error} (--replace)")),
            error => Self::new(exit, error.to_string()),
        }
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<ParseIdError> for Failure {
    fn from(error: ParseIdError) -> Self {
        Self::usage(error.to_string())
    }
}
