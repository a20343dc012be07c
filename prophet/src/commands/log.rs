//! `prophet log`.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use futures_lite::StreamExt as _;
use prophet_store::{Direction, LogEntry, Position, RegisterName};

use crate::Result;
use crate::context::{Context, Session};
use crate::failure::Exit;
use crate::naming;
use crate::output::{BOLD, json, text};

/// How often the log is looked at for what other programs commit.
const INTERVAL: Duration = Duration::from_millis(500);

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// At most so many changesets.
    #[arg(long, short = 'n', value_name = "NUMBER")]
    limit: Option<usize>,
    /// Only what came after this position or changeset.
    #[arg(long, value_name = "POSITION")]
    after: Option<String>,
    /// The oldest first.
    #[arg(long)]
    reverse: bool,
    /// The oldest first, and then whatever comes, until it is interrupted.
    #[arg(long, short)]
    follow: bool,
}

impl LogArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let session = context.session().await?;
        let replica = &session.replica;
        let after = match &self.after {
            Some(text) => naming::position(replica, text).await?,
            None => Position::ZERO,
        };
        let mut entries = if self.follow {
            replica.watch(after, INTERVAL)
        } else if self.reverse {
            replica.log(Some(after), Direction::Forward)
        } else {
            replica.log(None, Direction::Backward)
        };
        let mut listing = context.output.listing(&[]);
        let mut shown = 0;
        while self.limit.is_none_or(|limit| shown < limit)
            && let Some(entry) = entries.next().await
        {
            let entry = entry?;
            if entry.position <= after {
                break;
            }
            shown += 1;
            match context.output.is_for_people() {
                true => {
                    let lines = lines(&session, &entry).await?;
                    context.output.thing(&serde_json::Value::Null, &lines)?;
                }
                false => listing.add(|| json::entry(&entry), Vec::new)?,
            }
        }
        match context.output.is_for_people() {
            true if shown == 0 => context.output.note("nothing has happened yet"),
            true => {}
            false => drop(listing.end()?),
        }
        Ok(Exit::Done)
    }
}

/// A line for the changeset, and one for each record and vote.
async fn lines(session: &Session, entry: &LogEntry) -> Result<String> {
    let header = entry.changeset.header();
    let creator = match header.creator.as_str() {
        "" => "nobody".to_owned(),
        creator => text::one_line(creator),
    };
    let mut lines = format!(
        "{BOLD}{:>5}{BOLD:#}  {}  {creator}  {}  {:#}",
        entry.position.get(),
        header.time,
        header.kind,
        entry.changeset.digest()
    );
    let payload = entry.changeset.payload();
    let keys: Vec<_> = payload.records().cloned().collect();
    let mut labels = session.labels(&keys).await?.into_iter();
    let mut label = || text::one_line(&labels.next().unwrap_or_default());
    for change in payload.changes() {
        let _ = write!(lines, "\n       {} {}", change.kind, label());
        for property in &change.properties {
            let register = RegisterName::Property(property.name.clone());
            let shown = |value| text::quoted(&register, value);
            let name = text::one_line(property.name.as_str());
            let _ = match (&property.old, &property.new) {
                (None, new) => write!(lines, "  {name}: {}", shown(new.as_ref())),
                (old, new) => {
                    write!(lines, "  {name}: {} -> {}", shown(old.as_ref()), shown(new.as_ref()))
                }
            };
        }
    }
    for vote in payload.votes() {
        let value = text::quoted(&vote.register, vote.choice.as_ref());
        let register = text::one_line(text::register(&vote.register));
        let _ = write!(lines, "\n       vote on {register} of {}: {value}", label());
    }
    Ok(lines)
}
